//! One turn, from its beginning to its end: ask the model, stream what it says, run its tools, ask again; then store.
//!
//! Rule: whatever happens to the connection that asked, the turn ends in exactly one commit, and `finish` and `[DONE]`
//! are written after it.

mod end; // how it is stored, and what its readers are told last
mod request; // what its model is asked

use std::{sync::Arc, time::Duration};

use serde_json::{Map, json};

use super::{
    ask::{Asked, Asker, By},
    bill::Bill,
    calls::{
        round::{Left, Round},
        shown::is_dynamic,
    },
    chunk::Chunk,
    fold, history, metadata,
    progress::{OpenCall, Progress, Said},
    replay,
    resolve::Resolved,
    running::Stop,
    scribe::Scribe,
    services::Services,
    stats::CallOutcome,
    step::Step,
    window::Window,
};
use crate::{
    error::{Error, Result},
    model::{
        Delta, Ending, Finish, Message, Request, Thoughts, Usage, facts::Lesson, openai::refusal, source::Reply,
        upstream::REPAIRS_MAX, waiting::Waiting,
    },
    store::turns::Begun,
    time::Timestamp,
    tools::{Toolbox, call::Call},
};

/// Model calls one turn may make unless its agent says otherwise.
const STEPS_DEFAULT: u32 = 20;
/// Bytes one turn may stream; past it the reply ends with `length`.
pub(super) const TURN_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long one turn may take.
pub(super) const TURN_TIME_MAX: Duration = Duration::from_secs(30 * 60);
/// How often a model call is made again because the conversation was too long.
pub(super) const OVERFLOW_RETRIES_MAX: u32 = 2;
/// How often the journal of a program's kept reply says that it still runs. Its readers are told once nothing was sent since the last
/// time, so nobody waits for more than twice as long.
const BEAT_INTERVAL: Duration = Duration::from_millis(7_500);

/// A turn that runs.
pub(super) struct Run {
    pub services: Arc<Services>,
    /// What its tools reach; each call has an id of its own.
    pub call: Call,
    pub asker: Asker,
    pub begun: Begun,
    pub resolved: Resolved,
    pub bill: Bill,
    /// Writes the turn down; its handle is the engine's too.
    pub out: Scribe,
    pub progress: Progress,
    /// What whoever asks says of the reply.
    pub asked: Asked,
}

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
        let turn = self.out.turn().clone();
        let is_heard = self.asker.by.is_program() && self.begun.session.is_some();
        let mut ended = tokio::select! {
            stop = turn.stopped() => Ended::Stopped(stop),
            never = turn.beat(BEAT_INTERVAL), if is_heard => match never {},
            () = tokio::time::sleep(TURN_TIME_MAX) => {
                Ended::Failed(Error::ModelUnavailable("the reply took longer than 30 minutes".into()))
            }
            replied = self.reply() => replied.map_or_else(Ended::Failed, Ended::Finished),
        };
        if let (Ended::Failed(error), Some(head)) = (&mut ended, self.progress.head.take()) {
            let error = std::mem::replace(error, Error::internal("sent to the request"));
            match head.send(error) {
                // The receiver withdraws the turn.
                Ok(()) => return,
                Err(error) => ended = Ended::Failed(error),
            }
        }
        self.end(ended).await;
    }

    /// The reply, step by step.
    async fn reply(&mut self) -> Result<Finish> {
        if self.begun.is_final {
            // Whatever fails from here on does not undo it.
            self.progress.head = None;
        }
        let toolbox = self.toolbox()?;
        let mut request = self.request(&toolbox);
        let room = self.room(&request.tools);
        if self.begun.is_final {
            self.count_answered()?;
            // What people answered is acted on first: the model reads what came of it.
            self.start()?;
            self.round(&toolbox).of_message().await?;
            self.progress.answered = Some(json!(self.out.so_far()).to_string());
            self.read_history(&mut request, room)?;
        } else {
            self.read_history(&mut request, room)?;
            self.start()?;
        }
        let dynamic = toolbox.tools.iter().filter(|tool| is_dynamic(tool)).map(|tool| tool.name.clone());
        let step = Step::new(fold::call_ids(self.begun.continued_parts.as_deref())?).with_dynamic(dynamic);
        let mut step = step.apart(self.asker.by == By::Responses);
        let first = self.first_step(&toolbox);
        for n in 0..self.resolved.settings.steps_max.unwrap_or(STEPS_DEFAULT) {
            let offered = first.as_ref().filter(|_| n == 0).unwrap_or(&toolbox);
            self.offer(&mut request, offered, n == 0);
            if let Next::Finish(finish) = self.step(&mut request, offered, &mut step).await? {
                return Ok(finish);
            }
        }
        self.close_with_words(&mut step, "I have used all the steps allowed for one reply. Ask me to continue.");
        Ok(Finish::Length)
    }

    /// Counts the calls that no longer wait since this turn began.
    fn count_answered(&self) -> Result<()> {
        for (origin, status, calls) in self.services.store.org(&self.asker.tenant).calls_ended_by(self.begun.turn)? {
            let outcome = CallOutcome::of(status, true);
            outcome.iter().for_each(|outcome| self.services.stats.count_calls(origin, *outcome, calls));
        }
        Ok(())
    }

    /// The calls of this turn, and what they need of it.
    fn round<'a>(&'a mut self, toolbox: &'a Toolbox) -> Round<'a> {
        Round {
            services: &self.services,
            asker: &self.asker,
            begun: &self.begun,
            call: &self.call,
            toolbox,
            model: &self.resolved.model.id,
            source: &self.resolved.source,
            bill: &mut self.bill,
            out: &mut self.out,
            so_far: &mut self.progress.calls,
        }
    }

    fn start(&mut self) -> Result<()> {
        let (model, agent) = (&self.resolved.model.id, self.resolved.agent_id());
        let mut metadata = metadata::of_start(self.begun.session_id(), model, agent, Timestamp::now());
        metadata::note_dropped(&mut metadata, self.progress.dropped);
        let message_id = self.begun.message_id.clone();
        let before = replay::chunks_of(&fold::stored_parts(self.begun.continued_parts.as_deref())?);
        self.out.begin(&Chunk::Start { message_id, message_metadata: metadata }, &before);
        Ok(())
    }

    /// Holds what a model call with that prompt may cost; answers the cap of its reply, in tokens.
    async fn afford(&mut self, prompt_tokens: u64) -> Result<u32> {
        if let Some(hold) = self.bill.hold_for(prompt_tokens) {
            let org = self.services.store.org(&self.asker.tenant);
            let held = org.hold_more(self.begun.turn_id.clone(), self.resolved.model.id.clone(), hold).await?;
            self.bill.add_hold(held);
        }
        Ok(self.window().beside(prompt_tokens, self.bill.output_cap(prompt_tokens)))
    }

    /// One model call and the tools it asks for.
    async fn step(&mut self, request: &mut Request, tools: &Toolbox, step: &mut Step) -> Result<Next> {
        let prompt_tokens = history::tokens_of_prompt(&request.messages);
        request.sampling.output_tokens_max = Some(self.afford(prompt_tokens).await?);
        let reply = self.ask(request).await?;
        // From here on the client has a stream.
        self.progress.head = None;
        self.out.write(&[Chunk::StartStep]);
        step.begin();
        self.progress.call = Some(OpenCall::new(prompt_tokens));
        let ending = self.stream(reply, step).await;
        let mut ending = self.again(request, step, ending).await?;
        self.note_usage(request, &ending);
        let said = self.end_call(ending.usage);
        let mut chunks = Vec::new();
        step.end(&mut chunks);
        self.out.write(&chunks);
        for call in &mut ending.calls {
            call.id = step.call_id(&call.id);
            if let Some(beside) = &mut call.beside {
                beside.provider.clone_from(&self.resolved.model.provider);
            }
        }
        let left = self.round(tools).of_step(&ending).await?;
        self.out.write(&[Chunk::FinishStep]);
        let mut outputs = match left {
            Left::Nothing => {
                self.progress.judge(&said.text);
                return Ok(Next::Finish(ending.finish));
            }
            Left::Waits => return Ok(Next::Finish(Finish::ToolCalls)),
            Left::Outputs(outputs) => outputs,
        };
        if !ending.finish.allows_calls() {
            if self.asker.by.is_program() {
                return Ok(Next::Finish(ending.finish));
            }
            self.close_with_words(step, "My reply was cut off before a tool call in it was complete.");
            return Ok(Next::Finish(ending.finish));
        }
        if self.out.is_full(TURN_BYTES_MAX) {
            self.close_with_words(step, "My reply has become as long as a reply may be. Ask me to continue.");
            return Ok(Next::Finish(Finish::Length));
        }
        let Said { text, reasoning, .. } = said;
        let (own, provider) =
            (ending.thoughts_field.filter(|_| !reasoning.is_empty()), self.resolved.model.provider.clone());
        let thoughts = own.map(|field| Thoughts { text: reasoning, field: Some(field), provider, beside: Map::new() });
        request.messages.push(Message::Assistant { text, thoughts, calls: ending.calls });
        history::shorten_outputs(&mut outputs, self.window().output_bytes());
        request.messages.extend(outputs);
        Ok(Next::Ask)
    }

    /// Asks again where the reply was none: some servers say only once the response has begun that the conversation was too long, or what
    /// they refuse of the request.
    async fn again(&mut self, request: &mut Request, step: &mut Step, mut ending: Ending) -> Result<Ending> {
        for _ in 0..OVERFLOW_RETRIES_MAX {
            if !self.progress.is_too_long() || !self.shorten(request, None)? {
                break;
            }
            ending = self.once_more(request, step).await?;
        }
        let mut lessons = Vec::new();
        for _ in 0..REPAIRS_MAX {
            let Some(said) = ending.refusal.take() else { break };
            let Some(learned) = self.resolved.source.mend(request, &said)? else { break };
            lessons.extend(learned);
            ending = self.once_more(request, step).await?;
        }
        if ending.finish != Finish::Error {
            lessons.into_iter().for_each(|lesson| self.resolved.source.learn(lesson));
        }
        Ok(ending)
    }

    async fn once_more(&mut self, request: &mut Request, step: &mut Step) -> Result<Ending> {
        self.progress.fault = None;
        let reply = self.ask(request).await?;
        Ok(self.stream(reply, step).await)
    }

    /// Asks the model, again with less of the conversation if it was too long; readers hear of it if the model has to be
    /// loaded, or answers others first.
    async fn ask(&mut self, request: &mut Request) -> Result<Reply> {
        let mut retries = 0;
        loop {
            let (out, mut told) = (&mut self.out, None);
            let mut waiting = |waiting: Waiting| {
                if waiting.is_news_after(told) {
                    told = Some(waiting);
                    out.write(&[Chunk::DataModel { data: waiting.into(), transient: true }]);
                }
            };
            match self.resolved.source.start(request, &mut waiting).await {
                Ok(reply) => {
                    self.progress.omitted.extend(reply.omitted().iter().cloned());
                    self.progress.replayed = self.progress.replayed.max(reply.replayed());
                    self.out.turn().ignore(reply.omitted().iter().cloned());
                    return Ok(reply);
                }
                Err(Error::TooLong { model, window, prompt }) => {
                    if retries == OVERFLOW_RETRIES_MAX || !self.shorten(request, prompt)? {
                        return Err(Error::TooLong { model, window, prompt });
                    }
                    retries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Learns from what a model call took, and notes what is told of it.
    fn note_usage(&mut self, request: &Request, ending: &Ending) {
        self.progress.thoughts_field = ending.thoughts_field.or(self.progress.thoughts_field);
        self.progress.beside = if ending.calls.is_empty() { ending.beside.clone() } else { Map::new() };
        let Some(usage) = &ending.usage else { return };
        let text_bytes = history::text_bytes(request);
        self.progress.truncated |= self.window().was_cut(text_bytes, usage);
        if let Some(bytes) = Window::measure(text_bytes, usage.input_tokens).filter(|_| !self.progress.truncated) {
            self.resolved.source.learn(Lesson::BytesPerToken { bytes });
        }
    }

    /// Streams a model's reply up to its end, or to the turn's cap.
    async fn stream(&mut self, mut reply: Reply, step: &mut Step) -> Ending {
        let mut deltas = Vec::new();
        loop {
            let ending = tokio::select! {
                ending = reply.next(&mut deltas) => ending,
                () = self.out.checkpoint_due() => {
                    self.checkpoint();
                    None
                }
            };
            self.emit(&mut deltas, step);
            if let Some(ending) = ending {
                return ending;
            }
            if self.out.is_full(TURN_BYTES_MAX) {
                return Ending::new(Finish::Length);
            }
        }
    }

    /// Keeps what a crash must not take: what was said, or of a turn that is not stored what it costs.
    fn checkpoint(&mut self) {
        if self.begun.session.is_some() {
            return self.out.checkpoint();
        }
        let mut bill = self.bill.clone();
        if let Some(OpenCall { prompt_tokens, said }) = &self.progress.call {
            bill.add(None, *prompt_tokens, &said.all());
        }
        self.out.count(&bill.usage());
    }

    /// Puts the running model call on the bill, by the upstream's own count if it gave one.
    fn end_call(&mut self, usage: Option<Usage>) -> Said {
        let Some(OpenCall { prompt_tokens, said }) = self.progress.call.take() else { return Said::default() };
        self.bill.add(usage, prompt_tokens, &said.all());
        said
    }

    /// Streams what has arrived.
    fn emit(&mut self, deltas: &mut Vec<Delta>, step: &mut Step) {
        let mut chunks = Vec::with_capacity(deltas.len());
        for delta in deltas.drain(..) {
            if let Delta::Fault(sentence) = delta {
                self.progress.fault.get_or_insert(match refusal(&sentence) {
                    Some(why) => Error::ModelRefused { why, message: sentence },
                    None => Error::ModelUnavailable(sentence),
                });
                continue;
            }
            self.out.note_piece();
            if let Some(call) = &mut self.progress.call {
                call.said.add(&delta);
            }
            step.delta(delta, &mut chunks);
        }
        self.out.write(&chunks);
    }

    /// Ends a reply in a step of words. A client that sends finished calls back would otherwise ask again, for ever.
    fn close_with_words(&mut self, step: &mut Step, words: &str) {
        let mut chunks = vec![Chunk::StartStep];
        step.begin();
        step.delta(Delta::Text(words.into()), &mut chunks);
        step.end(&mut chunks);
        chunks.push(Chunk::FinishStep);
        self.out.write(&chunks);
    }
}
