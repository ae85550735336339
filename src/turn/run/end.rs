//! The end of a turn: stored in one commit, then streamed.

use std::time::Duration;

use serde_json::Value;

use super::{Ended, Run};
use crate::{
    error::{Error, Result},
    model::Finish,
    store::{
        messages::{NewMessage, Role},
        requests::Noted,
        tool_calls::{CallStatus, EndedCall, Origin},
        turns::{EndedTurn, Outcome},
    },
    turn::{
        answers::server_stopped,
        ask::By,
        bill::usage_json,
        calls::shown::{is_foreign, unknown},
        chunk::{Chunk, ErrorData},
        ending::Ending,
        fold, metadata,
        running::Stop,
        stats::OverCall,
        stored::{STORE_RETRY, until_stored},
    },
};

/// What is read of a call that was not made before its reply ended.
const NOT_MADE: &str = "The reply ended before this call was made.";

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
        let is_open = self.out.is_open();
        let parts = self.out.parts(outcome);
        let mut metadata = metadata::of_end(&self.resolved, &self.bill, &self.progress, self.out.first_piece(), finish);
        if self.asker.by.is_program() {
            // Programs are always told numbers: ours, where the upstream gave none.
            metadata["usage"] = usage_json(&self.bill.usage());
        }
        let error = self.error_of(&ended);
        if let (Outcome::Failed, Some(error)) = (outcome, &error) {
            metadata::note_error(&mut metadata, error);
        }
        let is_kept = self.begun.session.is_some() && !parts.is_empty();
        let message = is_kept.then(|| NewMessage {
            id: self.begun.message_id.clone(),
            role: Role::Assistant,
            status: outcome.into(),
            metadata: metadata.to_string(),
            content: fold::content(&parts),
            parts: Value::Array(parts).to_string(),
        });
        self.services.stats.count(outcome, &self.bill.usage());
        let ending = self.ending(error, is_open, &metadata);
        let noted = self.noted(&ended);
        let stored = self.store(outcome, message, ending, noted).await;
        let (failure, own) = match (stored, ended) {
            (Err(error), _) | (Ok(()), Ended::Failed(error)) => (Some(error), None),
            (Ok(()), Ended::Stopped(Stop::Draining)) => (Some(self.draining()), None),
            (Ok(()), Ended::Stopped(Stop::Requested)) => (None, Some(Chunk::Abort)),
            (Ok(()), Ended::Finished(_)) => {
                let end = Chunk::Finish { finish_reason: finish.into(), message_metadata: metadata };
                (self.progress.fault.take(), Some(end))
            }
        };
        let mut last: Vec<_> = failure.iter().flat_map(|failure| self.error_chunks(failure)).collect();
        last.extend(own);
        if let Some(failure) = failure {
            self.out.turn().fail(failure);
        }
        self.out.end(&last, &self.bill.usage());
    }

    /// Ends the calls that still run: nobody knows whether they took effect. Those that may be made again are left to a turn that
    /// resumes an interrupted one.
    fn leave_calls(&mut self, outcome: Outcome) {
        let why = match outcome {
            Outcome::Interrupted => "The server stopped while this call ran",
            Outcome::Stopped => "The reply was stopped while this call ran",
            Outcome::Complete | Outcome::Failed => "The reply failed while this call ran",
        };
        if self.begun.is_final {
            self.leave_untouched(outcome);
        }
        for call in std::mem::take(&mut self.progress.calls.unwritten) {
            // Its row may come after this look at it, and before the commit that ends it.
            let status = if call.waits { CallStatus::Withdrawn } else { CallStatus::Failed };
            self.leave_call(call.call_id, call.dynamic, EndedCall::not_made(call.id, status, NOT_MADE.into()));
        }
        // One that is not kept is never gone on with.
        let is_resumed = outcome == Outcome::Interrupted && self.begun.session.is_some();
        for call in std::mem::take(&mut self.progress.calls.running) {
            if is_resumed && call.is_idempotent && call.origin != Origin::Builtin {
                self.out.keep_open([call.call_id]);
                continue;
            }
            let (status, text) = unknown(why, call.is_read_only);
            let ended = EndedCall::made(call.id, status, text);
            self.note_call(&call.tool, call.origin, &ended, call.began.elapsed());
            self.leave_call(call.call_id, is_foreign(call.origin), ended);
        }
    }

    /// Leaves the calls of an earlier turn that this one has not come to: they wait on for the turn that resumes an interrupted one.
    fn leave_untouched(&mut self, outcome: Outcome) {
        let org = self.services.store.org(&self.asker.tenant);
        let mut open = org.open_calls_of(self.begun.session_row(), &self.begun.message_id).unwrap_or_default();
        open.retain(|call| !self.progress.calls.knows(&call.id));
        for call in open {
            let ended = match (call.status, outcome) {
                (CallStatus::Called, Outcome::Interrupted) => {
                    self.out.keep_open([call.call_id]);
                    continue;
                }
                (CallStatus::Called, _) => EndedCall::made(call.id, CallStatus::Unknown, server_stopped()),
                (CallStatus::Approved, Outcome::Complete | Outcome::Stopped | Outcome::Failed) => {
                    EndedCall::not_made(call.id, CallStatus::Failed, NOT_MADE.into())
                }
                _ => continue,
            };
            self.note_call(&call.tool, call.origin, &ended, Duration::ZERO);
            self.leave_call(call.call_id, is_foreign(call.origin), ended);
        }
    }

    fn note_call(&self, tool: &str, origin: Origin, ended: &EndedCall, took: Duration) {
        let over = OverCall::of(&self.begun.turn_id, tool, origin, ended, took);
        over.iter().for_each(|call| self.services.stats.note_call(call));
    }

    fn leave_call(&mut self, tool_call_id: String, dynamic: bool, ended: EndedCall) {
        let error_text = ended.reason.clone().unwrap_or_default();
        self.out.end_call(ended, &[Chunk::ToolOutputError { tool_call_id, error_text, dynamic }]);
    }

    fn error_chunks(&self, error: &Error) -> [Chunk; 2] {
        if let Error::Internal(cause) = error {
            tracing::error!(turn = self.begun.turn_id, %cause, "a turn failed");
        }
        let mut chunks = Chunk::of_error(error, &self.asker.request_id);
        if let (Chunk::DataError { data, .. }, true) = (&mut chunks[0], self.asker.by.is_program()) {
            *data = ErrorData::of(error, &self.asker.request_id);
        }
        chunks
    }

    /// What a turn ends with that the end of the process interrupts.
    fn draining(&self) -> Error {
        let message = match self.begun.session {
            Some(_) => "the server is shutting down: what was said so far is stored",
            None => "the server is shutting down: try again in a few seconds",
        };
        Error::Unavailable { message: message.into(), retry_after: STORE_RETRY }
    }

    /// Why a reply broke off, as its client may read it.
    fn error_of(&self, ended: &Ended) -> Option<ErrorData> {
        let draining = self.draining();
        let error = match ended {
            Ended::Failed(error) => Some(error),
            Ended::Finished(_) => self.progress.fault.as_ref(),
            Ended::Stopped(Stop::Draining) => Some(&draining),
            Ended::Stopped(Stop::Requested) => None,
        };
        error.map(|error| ErrorData::of(error, &self.asker.request_id))
    }

    /// How a response ended, for those who read it later.
    fn ending(&self, error: Option<ErrorData>, is_open: bool, metadata: &Value) -> Option<String> {
        (self.asker.by == By::Responses).then(|| Ending::new(error, is_open, metadata).to_text())
    }

    /// What the log notes of it.
    fn noted(&self, ended: &Ended) -> Noted {
        let error = match ended {
            Ended::Failed(error) => Some(error),
            Ended::Finished(_) => self.progress.fault.as_ref(),
            Ended::Stopped(_) => None,
        };
        let first = self.out.first_piece().map(|first| (first - self.progress.started).as_millis() as i64);
        let is_told = error.is_some() && self.begun.session.is_some();
        let said = self.resolved.source.heard().take().filter(|_| is_told);
        Noted { code: error.map(|error| error.code().as_str()), first_ms: first, said }
    }

    async fn store(
        &mut self,
        outcome: Outcome,
        message: Option<NewMessage>,
        ending: Option<String>,
        noted: Noted,
    ) -> Result<()> {
        let (usage, calls) = (self.bill.usage(), self.out.take_ended());
        let ended = EndedTurn {
            turn: self.begun.turn,
            turn_id: self.begun.turn_id.clone(),
            session: self.begun.session_row(),
            outcome,
            message,
            input_tokens: usage.input_tokens,
            cache_read_tokens: usage.cache_read_tokens,
            output_tokens: usage.output_tokens,
            cost: self.bill.charge(),
            cut: self.progress.cut,
            calls,
            ending,
            noted,
        };
        let org = self.services.store.org(&self.asker.tenant);
        until_stored(|| org.end_turn(ended.clone())).await
    }
}
