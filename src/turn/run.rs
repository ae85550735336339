//! One turn, from its begin to its end: ask the model, stream what it says, run its tools, ask again; then store.
//!
//! Rule: whatever happens to the connection that asked, the turn ends in exactly one commit, and `finish` and `[DONE]`
//! are written after it.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{sync::oneshot, time::Instant};

use super::{
    Engine,
    bill::{self, Bill},
    calls,
    chunk::{Chunk, clean_json},
    fold, history,
    live::{Live, Stop},
    replay,
    scribe::Scribe,
    step::Step,
    stored::{STORE_RETRY, until_stored},
    tools::{self, Tool},
};
use crate::{
    catalog::Model,
    error::{Error, Result},
    model::{Delta, Ending, Finish, Message, Request, Usage, source::Source},
    store::{
        Tenant,
        agents::Agent,
        messages::{NewMessage, Role},
        turns::{Begun, EndedTurn, Outcome},
    },
    time::Timestamp,
};

/// Model calls one turn may make unless its agent says otherwise.
const STEPS_DEFAULT: u32 = 20;
/// Bytes one turn may stream; past it the answer ends with `length`.
const TURN_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long one turn may take.
const TURN_TIME_MAX: Duration = Duration::from_secs(30 * 60);
/// Bytes of stored parts a prompt is built from, files included.
const HISTORY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Tokens of a model's window that are kept for its reply.
const REPLY_TOKENS_DEFAULT: u64 = 1_024;

/// Where metadata count the messages that the model was not sent.
pub(super) const DROPPED_MESSAGES: &str = "droppedMessages";

/// A turn that runs.
pub(super) struct Run {
    pub engine: Arc<Engine>,
    pub tenant: Tenant,
    /// Names the request that asked, in errors.
    pub request_id: String,
    pub begun: Begun,
    pub agent: Agent,
    /// The project's prompt and the agent's.
    pub system: String,
    pub model: Model,
    pub source: Source,
    pub bill: Bill,
    pub live: Arc<Live>,
    pub scribe: Scribe,
    /// The model call that runs, so that one that is cut off is paid for what it said.
    pub call: Option<OpenCall>,
    /// Messages of the history that the model was not sent.
    pub dropped: usize,
    /// What went wrong in the upstream's reply, which need not end it.
    pub fault: Option<Error>,
    /// Who waits for the model's first sign of life.
    pub head: Option<oneshot::Sender<Error>>,
    pub started: Instant,
}

/// How the running part ended.
enum Ended {
    Finished(Finish),
    Failed(Error),
    Stopped(Stop),
}

/// What a step leaves to do.
enum Next {
    Ask,
    Finish(Finish),
}

impl Run {
    /// Runs the turn to its end.
    pub async fn run(mut self) {
        let live = self.live.clone();
        let mut ended = tokio::select! {
            stop = live.stopped() => Ended::Stopped(stop),
            () = tokio::time::sleep(TURN_TIME_MAX) => {
                Ended::Failed(Error::ModelUnavailable("the reply took longer than 30 minutes".into()))
            }
            answered = self.answer() => answered.map_or_else(Ended::Failed, Ended::Finished),
        };
        if let (Ended::Failed(error), Some(head)) = (&mut ended, self.head.take()) {
            let error = std::mem::replace(error, Error::internal("told"));
            match head.send(error) {
                // The one who waits withdraws the turn.
                Ok(()) => return,
                Err(error) => ended = Ended::Failed(error),
            }
        }
        self.end(ended).await;
    }

    async fn answer(&mut self) -> Result<Finish> {
        let org = self.engine.store.org(&self.tenant);
        let (history, left_out) = org.history(self.begun.session.seq, HISTORY_BYTES_MAX)?;
        let fitted = history::fit(&self.system, &history, self.prompt_tokens_max())?;
        let tools = Tool::allowed(self.agent.allowed_tools.as_deref());
        let mut request = Request {
            model: self.model.name.clone(),
            messages: fitted.messages,
            tools: tools.iter().map(|tool| tool.spec()).collect(),
            temperature: self.agent.settings.temperature,
            top_p: self.agent.settings.top_p,
            reasoning_effort: self.agent.settings.reasoning_effort.clone(),
            output_tokens_max: None,
        };
        self.dropped = left_out + fitted.dropped;
        self.start()?;
        let mut step = Step::new(fold::call_ids(self.begun.continued_parts.as_deref())?);
        for _ in 0..self.agent.settings.steps_max.unwrap_or(STEPS_DEFAULT) {
            if let Next::Finish(finish) = self.step(&mut request, &tools, &mut step).await? {
                return Ok(finish);
            }
        }
        self.close_with_words(&mut step, "I have used all the steps I may take for one answer. Ask me to go on.");
        Ok(Finish::Length)
    }

    fn prompt_tokens_max(&self) -> Option<u64> {
        let reply = self.agent.settings.output_tokens_max.map_or(REPLY_TOKENS_DEFAULT, u64::from);
        self.model.context_window.map(|window| u64::from(window).saturating_sub(reply))
    }

    fn start(&mut self) -> Result<()> {
        let (session, now) = (&self.begun.session.id, Timestamp::now());
        let mut metadata = replay::start_metadata(session, &self.model.id, Some(&self.agent.id), now);
        self.tell_dropped(&mut metadata);
        let message_id = self.begun.message_id.clone();
        let before = replay::told(&fold::stored_parts(self.begun.continued_parts.as_deref())?);
        self.scribe.begin(&Chunk::Start { message_id, message_metadata: metadata }, &before);
        Ok(())
    }

    /// Whoever reads an answer, now or later, is to know that the model had not all of the history.
    fn tell_dropped(&self, metadata: &mut Value) {
        if self.dropped > 0 {
            metadata[DROPPED_MESSAGES] = self.dropped.into();
        }
    }

    /// One model call and the tools it asks for.
    async fn step(&mut self, request: &mut Request, tools: &[Tool], step: &mut Step) -> Result<Next> {
        let prompt_tokens = history::tokens_of(&request.messages);
        if let Some(hold) = self.bill.hold_for(prompt_tokens) {
            let org = self.engine.store.org(&self.tenant);
            let held = org.hold_more(self.begun.turn_id.clone(), self.model.id.clone(), hold).await?;
            self.bill.add_hold(held);
        }
        request.output_tokens_max = self.bill.output_cap(prompt_tokens);
        let mut reply = self.source.start(&self.engine.upstreams, request).await?;
        // Whoever asked gets a stream from here on.
        self.head = None;
        self.scribe.write(&[Chunk::StartStep]);
        step.begin();
        self.call = Some(OpenCall { prompt_tokens, said: Said::default() });
        let mut deltas = Vec::new();
        let mut ending = loop {
            let ending = tokio::select! {
                ending = reply.next(&mut deltas) => ending,
                () = self.scribe.checkpoint_due() => {
                    self.scribe.checkpoint();
                    None
                }
            };
            self.tell(&mut deltas, step);
            if let Some(ending) = ending {
                break ending;
            }
            if self.scribe.bytes() > TURN_BYTES_MAX {
                break Ending { finish: Finish::Length, usage: None, calls: Vec::new() };
            }
        };
        drop(reply);
        let said = self.end_call(ending.usage);
        let mut chunks = Vec::new();
        step.end(&mut chunks);
        self.scribe.write(&chunks);
        ending.calls.iter_mut().for_each(|call| call.id = step.call_id(&call.id));
        let outputs = self.run_tools(&ending, tools).await;
        self.scribe.write(&[Chunk::FinishStep]);
        if outputs.is_empty() {
            return Ok(Next::Finish(ending.finish));
        }
        if !ending.finish.allows_calls() {
            self.close_with_words(step, "My answer was cut off before a tool call in it was whole.");
            return Ok(Next::Finish(ending.finish));
        }
        let Said { text, reasoning, .. } = said;
        request.messages.push(Message::Assistant { text, reasoning, calls: ending.calls });
        request.messages.extend(outputs);
        Ok(Next::Ask)
    }

    /// Puts the running model call on the bill, by the upstream's own count if it gave one.
    fn end_call(&mut self, usage: Option<Usage>) -> Said {
        let Some(OpenCall { prompt_tokens, said }) = self.call.take() else { return Said::default() };
        self.bill.add(usage, prompt_tokens, &said.all());
        said
    }

    /// Streams what has arrived.
    fn tell(&mut self, deltas: &mut Vec<Delta>, step: &mut Step) {
        let mut chunks = Vec::with_capacity(deltas.len());
        for delta in deltas.drain(..) {
            self.scribe.note_piece();
            if let Delta::Fault(sentence) = delta {
                self.fault.get_or_insert(Error::ModelUnavailable(sentence));
                continue;
            }
            if let Some(call) = &mut self.call {
                call.said.add(&delta);
            }
            step.delta(delta, &mut chunks);
        }
        self.scribe.write(&chunks);
    }

    /// Ends every call of a reply: all inputs first, then the outputs, as the protocol wants. Answers what the model is
    /// told of them.
    async fn run_tools(&mut self, ending: &Ending, tools: &[Tool]) -> Vec<Message> {
        let calls: Vec<_> = ending.calls.iter().map(|call| (call, calls::check(call, tools, ending.finish))).collect();
        self.scribe.write(&calls.iter().map(|(call, checked)| calls::input_chunk(call, checked)).collect::<Vec<_>>());
        if !calls.is_empty() {
            // A crash while a tool runs must not forget that it was called.
            self.scribe.checkpoint();
        }
        let mut outputs = Vec::with_capacity(calls.len());
        for (call, checked) in calls {
            let result = match checked {
                Ok((_, ready)) => ready.run(self.tool_context()).await,
                Err((_, sentence)) => Err(sentence),
            };
            let tool_call_id = call.id.clone();
            let (chunk, output) = match result.map(clean_json) {
                Ok(output) => (Chunk::ToolOutputAvailable { tool_call_id, output: output.clone() }, output.to_string()),
                Err(sentence) => (Chunk::ToolOutputError { tool_call_id, error_text: sentence.clone() }, sentence),
            };
            self.scribe.write(&[chunk]);
            outputs.push(Message::Tool { call_id: call.id.clone(), output });
        }
        outputs
    }

    fn tool_context(&self) -> tools::Context {
        tools::Context {
            store: self.engine.store.clone(),
            tenant: self.tenant.clone(),
            session_id: self.begun.session.id.clone(),
        }
    }

    /// Ends an answer in a step of words. One that ended in tool outputs would make a client that sends finished calls
    /// back ask again, for ever.
    fn close_with_words(&mut self, step: &mut Step, words: &str) {
        let mut chunks = vec![Chunk::StartStep];
        step.begin();
        step.delta(Delta::Text(words.into()), &mut chunks);
        step.end(&mut chunks);
        chunks.push(Chunk::FinishStep);
        self.scribe.write(&chunks);
    }

    /// Stores the turn, then tells its readers how it ended: who hears of the end may ask again at once.
    async fn end(&mut self, ended: Ended) {
        let (outcome, finish) = match &ended {
            Ended::Finished(Finish::Error) => (Outcome::Failed, "error"),
            Ended::Finished(finish) => (Outcome::Complete, finish.as_str()),
            Ended::Failed(_) => (Outcome::Failed, "error"),
            Ended::Stopped(Stop::Asked) => (Outcome::Stopped, "other"),
            Ended::Stopped(Stop::Draining) => (Outcome::Interrupted, "other"),
        };
        self.end_call(None);
        let parts = self.scribe.parts(outcome);
        let facts = self.facts(finish);
        let message = (!parts.is_empty()).then(|| NewMessage {
            id: self.begun.message_id.clone(),
            role: Role::Assistant,
            status: outcome.into(),
            metadata: facts.to_string(),
            content: fold::content(&parts),
            parts: Value::Array(parts).to_string(),
        });
        self.engine.stats.count(outcome, &self.bill.usage());
        let mut last = Vec::new();
        match (self.store(outcome, message).await, ended) {
            (Err(error), _) | (Ok(()), Ended::Failed(error)) => last.extend(self.error_chunks(&error)),
            (Ok(()), Ended::Finished(_)) => {
                last.extend(self.fault.iter().flat_map(|fault| self.error_chunks(fault)));
                last.push(Chunk::Finish { finish_reason: finish.into(), message_metadata: facts });
            }
            (Ok(()), Ended::Stopped(Stop::Asked)) => last.push(Chunk::Abort),
            (Ok(()), Ended::Stopped(Stop::Draining)) => {
                let message = "the server is going down: what was said so far is kept";
                last.extend(self.error_chunks(&Error::Unavailable { message, retry_after: STORE_RETRY }));
            }
        }
        self.live.end(&last);
    }

    fn error_chunks(&self, error: &Error) -> [Chunk; 2] {
        if let Error::Internal(cause) = error {
            tracing::error!(turn = self.begun.turn_id, %cause, "a turn failed");
        }
        Chunk::of_error(error, &self.request_id)
    }

    /// What is kept with the answer and told at its end.
    fn facts(&self, finish: &str) -> Value {
        let millis = |since: Instant| (since - self.started).as_millis() as u64;
        let mut facts = json!({
            "model": self.model.id, "agentId": self.agent.id, "finishReason": finish,
            "costMicrocents": self.bill.charge(), "durationMs": millis(Instant::now()),
        });
        if let Some(first) = self.scribe.first_piece() {
            facts["timeToFirstTokenMs"] = millis(first).into();
        }
        if let Some(usage) = self.bill.reported_usage() {
            facts["usage"] = bill::usage_json(&usage);
        }
        if self.bill.is_estimated() {
            facts["estimated"] = true.into();
        }
        self.tell_dropped(&mut facts);
        facts
    }

    async fn store(&self, outcome: Outcome, message: Option<NewMessage>) -> Result<()> {
        let usage = self.bill.usage();
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
        };
        let org = self.engine.store.org(&self.tenant);
        until_stored(|| org.end_turn(ended.clone())).await
    }
}

/// A model call that runs.
pub(super) struct OpenCall {
    prompt_tokens: u64,
    said: Said,
}

/// What a model said in one call.
#[derive(Default)]
struct Said {
    text: String,
    reasoning: String,
    calls: String,
}

impl Said {
    fn add(&mut self, delta: &Delta) {
        match delta {
            Delta::Text(text) => self.text.push_str(text),
            Delta::Reasoning(text) => self.reasoning.push_str(text),
            Delta::ToolArguments { fragment, .. } => self.calls.push_str(fragment),
            _ => {}
        }
    }

    fn all(&self) -> String {
        [&*self.text, &*self.reasoning, &*self.calls].concat()
    }
}
