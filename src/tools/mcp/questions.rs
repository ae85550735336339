//! What a server asks of us. It is told that we do not do that, or that we are there; and it can ask without reading the answers.
//!
//! Rule: so many questions wait for their answer to go out, and no more; those beyond are passed over, as if they had never come.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};

/// Questions of one server that wait for their answer; more are passed over.
pub const QUESTIONS_MAX: usize = 16;

/// Those of one connection.
#[derive(Clone, Default)]
pub(super) struct Questions(Arc<AtomicUsize>);

impl Questions {
    /// Whether a message is read: anything but a question too many.
    pub(super) fn admits(&self, message: &ServerJsonRpcMessage) -> bool {
        let one_more = |waiting| (waiting < QUESTIONS_MAX).then_some(waiting + 1);
        let is_question = matches!(message, ServerJsonRpcMessage::Request(_));
        !is_question || self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok()
    }

    /// A message of ours went out, or never will.
    pub(super) fn sent(&self, is_answer: bool) {
        if is_answer {
            let one_less = |waiting: usize| Some(waiting.saturating_sub(1));
            self.0
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less)
                .expect("there is always one less or none");
        }
    }
}

/// Whether a message of ours answers a question.
pub(super) fn is_answer(message: &ClientJsonRpcMessage) -> bool {
    matches!(message, ClientJsonRpcMessage::Response(_) | ClientJsonRpcMessage::Error(_))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn so_many_questions_wait_and_notices_are_always_read() {
        let read = |message| serde_json::from_value(message).unwrap();
        let ping: ServerJsonRpcMessage = read(json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}));
        let notice = read(json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
        let questions = Questions::default();
        let admitted = (0..QUESTIONS_MAX + 1).filter(|_| questions.admits(&ping)).count();
        assert_eq!(admitted, QUESTIONS_MAX);
        assert!(questions.admits(&notice));
        questions.sent(false);
        assert!(!questions.admits(&ping));
        questions.sent(true);
        assert!(questions.admits(&ping) && !questions.admits(&ping));
    }
}
