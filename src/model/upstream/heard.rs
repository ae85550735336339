//! What a provider said last in place of a reply: for the owner who looks for the reason.
//!
//! Rule: it is in no error and no stream. Keys were masked before it came here.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

/// Characters that are shown of it.
pub const SAID_CHARS_MAX: usize = 500;

/// Where it is kept; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Heard(Arc<Mutex<Option<String>>>);

impl Heard {
    /// Keeps what was said. Nothing but white space is nothing.
    pub(super) fn note(&self, said: &str) {
        let said = Some(said.trim()).filter(|said| !said.is_empty());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = said.map(str::to_owned);
    }

    /// The beginning of what was said last, if anything was since it was asked.
    pub fn take(&self) -> Option<String> {
        self.take_whole().map(|said| beginning(&said))
    }

    /// The same; of an error's document the sentence alone.
    pub fn take_sentence(&self) -> Option<String> {
        let said = self.take_whole()?;
        let sentence = beginning(sentence(&said).as_deref().unwrap_or(&said));
        Some(sentence).filter(|sentence| !sentence.is_empty())
    }

    fn take_whole(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn beginning(said: &str) -> String {
    said.trim().chars().take(SAID_CHARS_MAX).collect()
}

/// The sentence in an error's document, where it has one.
fn sentence(said: &str) -> Option<String> {
    let document: Value = serde_json::from_str(said).ok()?;
    let error = document.get("error").unwrap_or(&document);
    let text = error.get("message").unwrap_or(error).as_str()?;
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_what_was_said_is_given_once() {
        let heard = Heard::default();
        for chars in [SAID_CHARS_MAX - 1, SAID_CHARS_MAX, SAID_CHARS_MAX + 1] {
            heard.clone().note(&format!(" {} ", "ü".repeat(chars)));
            assert_eq!(heard.take(), Some("ü".repeat(chars.min(500))));
            assert_eq!(heard.take(), None);
        }
        heard.note(" \n");
        assert_eq!(heard.take(), None);
    }

    #[test]
    fn the_sentence_of_a_document_is_found_and_bounded() {
        let heard = Heard::default();
        for chars in [SAID_CHARS_MAX - 1, SAID_CHARS_MAX, SAID_CHARS_MAX + 1] {
            let words = "é".repeat(chars);
            for said in [
                words.clone(),
                serde_json::json!(words).to_string(),
                serde_json::json!({ "error": words }).to_string(),
                serde_json::json!({ "error": { "code": 7, "message": words } }).to_string(),
                serde_json::json!({ "message": words }).to_string(),
            ] {
                heard.note(&said);
                assert_eq!(heard.take_sentence(), Some("é".repeat(chars.min(500))), "{said}");
            }
        }
        for (said, sentence) in [("{\"no\": 1}", Some("{\"no\": 1}")), (" \n", None), ("\" \"", None)] {
            heard.note(said);
            assert_eq!(heard.take_sentence().as_deref(), sentence, "{said}");
        }
    }
}
