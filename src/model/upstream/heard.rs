//! What a provider said last in place of a reply: for the owner who looks for the reason.
//!
//! Rule: it is in no error and no stream. Keys were masked before it came here.

use std::sync::{Arc, Mutex, PoisonError};

/// Characters that are kept of it.
pub const SAID_CHARS_MAX: usize = 500;

/// Where it is kept; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Heard(Arc<Mutex<Option<String>>>);

impl Heard {
    /// Keeps the beginning of what was said. Nothing but white space is nothing.
    pub fn note(&self, said: &str) {
        let said: String = said.trim().chars().take(SAID_CHARS_MAX).collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(said).filter(|said| !said.is_empty());
    }

    /// What was said last, if anything was since it was asked.
    pub fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_what_was_said_is_kept_once() {
        let heard = Heard::default();
        for chars in [SAID_CHARS_MAX - 1, SAID_CHARS_MAX, SAID_CHARS_MAX + 1] {
            heard.clone().note(&format!(" {} ", "ü".repeat(chars)));
            assert_eq!(heard.take(), Some("ü".repeat(chars.min(500))));
            assert_eq!(heard.take(), None);
        }
        heard.note(" \n");
        assert_eq!(heard.take(), None);
    }
}
