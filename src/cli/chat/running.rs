//! The reply that runs, as Ctrl-C finds it.

use std::sync::Mutex;

/// Which session's reply runs, and whether it was told to stop.
#[derive(Default)]
pub struct Running(Mutex<State>);

#[derive(Default)]
struct State {
    session: Option<String>,
    is_stopping: bool,
}

/// What Ctrl-C means.
#[derive(Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// Stop the reply of that session.
    Stop(String),
    /// Nothing runs, or what runs was told already: leave.
    Leave,
}

impl Running {
    /// A reply begins.
    pub fn begin(&self, session: &str) {
        *self.state() = State { session: Some(session.to_owned()), is_stopping: false };
    }

    /// It is over.
    pub fn end(&self) {
        self.state().session = None;
    }

    /// Whether it was told to stop, and has not ended.
    pub fn is_stopping(&self) -> bool {
        let state = self.state();
        state.session.is_some() && state.is_stopping
    }

    /// Whether the last reply was told to stop.
    pub fn was_stopped(&self) -> bool {
        self.state().is_stopping
    }

    /// Ctrl-C was pressed.
    pub fn interrupt(&self) -> Interrupt {
        let mut state = self.state();
        match state.session.clone() {
            Some(session) if !state.is_stopping => {
                state.is_stopping = true;
                Interrupt::Stop(session)
            }
            _ => Interrupt::Leave,
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_interrupt_stops_the_reply_and_the_second_leaves() {
        let running = Running::default();
        assert_eq!(running.interrupt(), Interrupt::Leave);
        running.begin("s");
        assert!(!running.is_stopping());
        assert_eq!(running.interrupt(), Interrupt::Stop("s".into()));
        assert!(running.is_stopping());
        assert_eq!(running.interrupt(), Interrupt::Leave);
        running.end();
        assert!(!running.is_stopping() && running.was_stopped());
        running.begin("s");
        assert_eq!(running.interrupt(), Interrupt::Stop("s".into()), "of the next reply it is the first again");
    }
}
