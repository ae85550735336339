//! The end of a turn: stored in one commit, then streamed.

use serde_json::Value;

use super::{Ended, Run};
use crate::{
    error::{Error, Result},
    model::Finish,
    store::{
        messages::{NewMessage, Role},
        tool_calls::{CallStatus, EndedCall},
        turns::{EndedTurn, Outcome},
    },
    turn::{
        calls::shown::unknown,
        chunk::Chunk,
        fold, metadata,
        running::Stop,
        stored::{STORE_RETRY, until_stored},
    },
};

impl Run {
    /// Stores the turn, then streams its end: a client that reads the end may ask again at once.
    pub(super) async fn end(&mut self, ended: Ended) {
        let (outcome, finish) = match &ended {
            Ended::Finished(Finish::Error) => (Outcome::Failed, "error"),
            Ended::Finished(finish) => (Outcome::Complete, finish.as_str()),
            Ended::Failed(_) => (Outcome::Failed, "error"),
            Ended::Stopped(Stop::Requested) => (Outcome::Stopped, "other"),
            Ended::Stopped(Stop::Draining) => (Outcome::Interrupted, "other"),
        };
        self.end_call(None);
        self.leave_calls(outcome);
        let parts = self.out.parts(outcome);
        let metadata = metadata::of_end(&self.resolved, &self.bill, &self.progress, self.out.first_piece(), finish);
        let message = (!parts.is_empty()).then(|| NewMessage {
            id: self.begun.message_id.clone(),
            role: Role::Assistant,
            status: outcome.into(),
            metadata: metadata.to_string(),
            content: fold::content(&parts),
            parts: Value::Array(parts).to_string(),
        });
        self.services.stats.count(outcome, &self.bill.usage());
        let mut last = Vec::new();
        match (self.store(outcome, message).await, ended) {
            (Err(error), _) | (Ok(()), Ended::Failed(error)) => last.extend(self.error_chunks(&error)),
            (Ok(()), Ended::Finished(_)) => {
                last.extend(self.progress.fault.iter().flat_map(|fault| self.error_chunks(fault)));
                last.push(Chunk::Finish { finish_reason: finish.into(), message_metadata: metadata });
            }
            (Ok(()), Ended::Stopped(Stop::Requested)) => last.push(Chunk::Abort),
            (Ok(()), Ended::Stopped(Stop::Draining)) => {
                let message = "the server is shutting down: what was said so far is stored";
                last.extend(self.error_chunks(&Error::Unavailable { message, retry_after: STORE_RETRY }));
            }
        }
        self.out.end(&last);
    }

    /// Ends the calls that still run: nobody knows whether they took effect. Those that may be made again are left to a turn that
    /// resumes an interrupted one.
    fn leave_calls(&mut self, outcome: Outcome) {
        let why = match outcome {
            Outcome::Interrupted => "The server stopped while this call ran",
            Outcome::Stopped => "The reply was stopped while this call ran",
            Outcome::Complete | Outcome::Failed => "The reply failed while this call ran",
        };
        if self.begun.is_final && outcome != Outcome::Interrupted {
            self.leave_allowed();
        }
        for call in std::mem::take(&mut self.progress.calls.running) {
            if outcome == Outcome::Interrupted && call.is_idempotent && !call.is_builtin {
                self.out.keep_open([call.call_id]);
                continue;
            }
            let (status, error_text) = unknown(why, call.is_read_only);
            let ended = EndedCall { id: call.id, status, output_bytes: 0, reason: Some(error_text.clone()) };
            let (tool_call_id, dynamic) = (call.call_id, call.dynamic);
            self.out.end_call(ended, &[Chunk::ToolOutputError { tool_call_id, error_text, dynamic }]);
        }
    }

    /// Ends the calls that were allowed and not made.
    fn leave_allowed(&mut self) {
        let org = self.services.store.org(&self.asker.tenant);
        let open = org.open_calls_of(self.begun.session.seq, &self.begun.message_id).unwrap_or_default();
        for call in open.into_iter().filter(|call| call.status == CallStatus::Approved) {
            let reason = Some("The reply ended before this call was made.".to_owned());
            self.out.end_call(EndedCall { id: call.id, status: CallStatus::Failed, output_bytes: 0, reason }, &[]);
        }
    }

    fn error_chunks(&self, error: &Error) -> [Chunk; 2] {
        if let Error::Internal(cause) = error {
            tracing::error!(turn = self.begun.turn_id, %cause, "a turn failed");
        }
        Chunk::of_error(error, &self.asker.request_id)
    }

    async fn store(&mut self, outcome: Outcome, message: Option<NewMessage>) -> Result<()> {
        let (usage, calls) = (self.bill.usage(), self.out.take_ended());
        let ended = EndedTurn {
            turn: self.begun.turn,
            turn_id: self.begun.turn_id.clone(),
            session: self.begun.session.seq,
            outcome,
            message,
            input_tokens: usage.input_tokens,
            cache_read_tokens: usage.cache_read_tokens,
            output_tokens: usage.output_tokens,
            cost: self.bill.charge(),
            cut: self.progress.cut,
            calls,
        };
        let org = self.services.store.org(&self.asker.tenant);
        until_stored(|| org.end_turn(ended.clone())).await
    }
}
