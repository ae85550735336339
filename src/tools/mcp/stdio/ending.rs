//! Who ended a command.

use std::sync::{Arc, OnceLock};

/// Who ended first: we, by closing its input or by a signal, or the command, by closing its output.
#[derive(Clone, Default)]
pub(super) struct Ending(Arc<OnceLock<Ended>>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Told,
    ByItself,
}

impl Ending {
    /// We have ended it, unless it has done so itself.
    pub(super) fn tell(&self) {
        self.0.get_or_init(|| Ended::Told);
    }

    /// It has closed its output, or does not read any more.
    pub(super) fn is_by_itself(&self) {
        self.0.get_or_init(|| Ended::ByItself);
    }

    /// Whether that was us.
    pub(super) fn was_told(&self) -> bool {
        self.0.get() == Some(&Ended::Told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_first_has_ended_it() {
        let (ours, its_own) = (Ending::default(), Ending::default());
        assert!(!ours.was_told());
        ours.tell();
        ours.is_by_itself();
        its_own.is_by_itself();
        its_own.tell();
        assert!(ours.was_told() && !its_own.was_told());
    }
}
