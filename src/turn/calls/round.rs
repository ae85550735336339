//! The calls of one step: written down, asked for, run.
//!
//! Rule: a call is on the disk before its first byte leaves, and a person is asked before it runs if its policy says so. What
//! fails here is a sentence for the model and never the turn.

use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::time::{Duration, Instant};

use super::{
    Checked, check, input_chunk, keep_written,
    one::run_one,
    shown::{Ready, Shown, is_dynamic, is_foreign, show},
    so_far::{CallsSoFar, FAILURES_MAX, RunningCall, UnwrittenCall},
    theirs_chunk,
};
use crate::{
    error::{Error, Result},
    id,
    model::{Ending, Message, ToolCall, source::Source},
    store::{
        tool_calls::{CallStatus, EndedCall, OpenCall, Origin},
        tools::Policy,
        turn_calls::{NewCall, StartedCall},
        turns::Begun,
    },
    tools::{
        Tool, Toolbox,
        call::{Call, Ended},
        fingerprint::fingerprint,
    },
    turn::{
        answers::server_stopped,
        ask::{Asker, NOBODY_TO_ASK},
        bill::Bill,
        chunk::Chunk,
        history::TOOL_PROMPT_BYTES_MAX,
        scribe::Scribe,
        services::Services,
        stats::OverCall,
    },
};

/// Calls of one turn that run at once.
const CALLS_AT_ONCE: usize = 8;

/// The calls of a turn, and what they need of it.
pub struct Round<'a> {
    pub services: &'a Services,
    pub asker: &'a Asker,
    pub begun: &'a Begun,
    /// What each call may know and reach; each has an id of its own.
    pub call: &'a Call,
    pub toolbox: &'a Toolbox,
    /// The model's id, for refusals of money.
    pub model: &'a str,
    /// Where the model answers, and the tools of what was recorded.
    pub source: &'a Source,
    pub bill: &'a mut Bill,
    pub out: &'a mut Scribe,
    pub so_far: &'a mut CallsSoFar,
}

/// What the calls of a step leave.
pub enum Left {
    /// There were none.
    Nothing,
    /// What the model gets of them.
    Outputs(Vec<Message>),
    /// Somebody has to answer some of them first.
    Waits,
}

/// What becomes of one call.
enum Fate<'a> {
    Refused(String),
    /// Whoever asks runs it.
    Client,
    Waits(NewCall),
    Runs(NewCall, &'a Tool, Value),
}

impl<'a> Round<'a> {
    /// Ends every call of a step that can be ended now: all inputs first, then what is asked, then the outputs as they come.
    pub async fn of_step(&mut self, ending: &Ending) -> Result<Left> {
        if ending.calls.is_empty() {
            return Ok(Left::Nothing);
        }
        let mut fates = Vec::with_capacity(ending.calls.len());
        let mut inputs = Vec::with_capacity(ending.calls.len());
        let mut due = 0;
        let is_over = self.begun.session.is_none() && ending.calls.iter().any(|call| self.is_theirs(call, ending));
        for (nth, call) in ending.calls.iter().enumerate() {
            let (mut input, fate) = match () {
                () if self.is_theirs(call, ending) => (theirs_chunk(call), Fate::Client),
                () => {
                    let checked = check(call, self.toolbox, ending.finish);
                    let dynamic = self.toolbox.find(&call.name).is_some_and(is_dynamic);
                    let input = input_chunk(call, &checked, dynamic);
                    // Nobody goes on with a step that is not kept but whoever asks: what it ran would be lost.
                    let fate = match is_over {
                        true => Fate::Refused("This was not run: another call of the step ended the reply.".into()),
                        false => self.fate(nth, call, checked, &mut due).await?,
                    };
                    (input, fate)
                }
            };
            if matches!(fate, Fate::Client) && self.asker.by.is_program() {
                keep_written(&mut input, &call.arguments);
            }
            inputs.push(input);
            fates.push(fate);
        }
        self.out.write(&inputs);
        // A crash while a tool runs must not forget that it was called.
        self.out.checkpoint();
        self.write_down(&mut fates).await?;
        self.bill.add_tools(due);
        let (mut ready, mut outputs, mut waits) = (Vec::new(), Vec::new(), false);
        for (call, fate) in ending.calls.iter().zip(fates) {
            match fate {
                Fate::Refused(sentence) => {
                    self.tell_refused(call, sentence.clone());
                    outputs.push((call.id.clone(), sentence));
                }
                Fate::Client | Fate::Waits(_) => waits = true,
                Fate::Runs(new, tool, input) => {
                    ready.push(Ready { id: new.id, call_id: call.id.clone(), tool, input });
                }
            }
        }
        outputs.extend(self.run(ready).await);
        if waits {
            return Ok(Left::Waits);
        }
        let in_order = ending.calls.iter().filter_map(|call| {
            let at = outputs.iter().position(|(id, _)| *id == call.id)?;
            let (call_id, output) = outputs.swap_remove(at);
            Some(Message::Tool { call_id, output })
        });
        Ok(Left::Outputs(in_order.collect()))
    }

    /// Tells that a call was not made, and counts it. A name that a model made up is no tool, and stays out of the log.
    fn tell_refused(&mut self, call: &ToolCall, error_text: String) {
        let tool = self.toolbox.find(&call.name);
        if let Some(tool) = tool {
            self.services.stats.note_call(&OverCall::refused(&self.begun.turn_id, &tool.name, tool.origin));
        }
        let (tool_call_id, dynamic) = (call.id.clone(), tool.is_some_and(is_dynamic));
        self.out.write(&[Chunk::ToolOutputError { tool_call_id, error_text, dynamic }]);
    }

    /// Runs what a person has allowed in an earlier turn of this message, and what a crash left to be made again.
    pub async fn of_message(&mut self) -> Result<()> {
        let org = self.services.store.org(&self.asker.tenant);
        let open = org.open_calls_of(self.begun.session_row(), &self.begun.message_id)?;
        let parts = self.out.so_far().to_vec();
        let (mut ready, mut started, mut due) = (Vec::new(), Vec::new(), 0);
        for part in &parts {
            let field = |key: &str| part.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let tool_call_id = field("toolCallId");
            match (&*field("state"), open.iter().find(|call| call.call_id == tool_call_id)) {
                ("approval-responded", _) if part["approval"]["approved"] == false => {
                    self.out.write(&[Chunk::ToolOutputDenied { tool_call_id }]);
                }
                ("approval-responded" | "input-available", Some(row)) => {
                    let input = part.get("input").cloned().unwrap_or(Value::Null);
                    match self.allow(row, &input, &mut due).await? {
                        Ok(tool) => {
                            let (id, is_idempotent, cost) = (row.id.clone(), tool.is_idempotent, tool.price);
                            started.push(StartedCall { id: id.clone(), is_idempotent, cost });
                            ready.push(Ready { id, call_id: tool_call_id, tool, input });
                        }
                        Err(sentence) => self.refuse(row, sentence),
                    }
                }
                _ => {}
            }
        }
        if !started.is_empty() {
            // What ran before a crash is on the disk, and may have happened.
            let is_new =
                |row: &&OpenCall| row.status == CallStatus::Approved && started.iter().any(|call| call.id == row.id);
            self.so_far.unwritten = open.iter().filter(is_new).map(UnwrittenCall::from).collect();
            org.start_calls(self.begun, started).await?;
            self.so_far.unwritten.clear();
        }
        self.bill.add_tools(due);
        self.run(ready).await;
        Ok(())
    }

    /// Whether an allowed call may run now: the tool must be the one that the person saw.
    async fn allow(&mut self, row: &OpenCall, input: &Value, due: &mut i64) -> Result<Result<&'a Tool, String>> {
        let name = &row.tool;
        let Some(tool) = self.toolbox.find(name) else {
            return Ok(Err(format!("{name} is not there any more, so it was not run.")));
        };
        if tool.fingerprint != row.fingerprint {
            return Ok(Err(format!("{name} has changed since it was allowed, so it was not run.")));
        }
        if let Some(sentence) = tool.refuse(input) {
            return Ok(Err(sentence));
        }
        let is_paid_already = row.status == CallStatus::Called;
        let price = if is_paid_already { 0 } else { tool.price };
        Ok(self.pay(price, due).await?.map(|()| tool))
    }

    /// Ends an allowed call that is not made; one that was made before a crash may have happened all the same.
    fn refuse(&mut self, row: &OpenCall, sentence: String) {
        let (error_text, ended) = match row.status {
            CallStatus::Called => {
                let text = server_stopped();
                (text.clone(), EndedCall::made(row.id.clone(), CallStatus::Unknown, text))
            }
            _ => (sentence.clone(), EndedCall::not_made(row.id.clone(), CallStatus::Failed, sentence)),
        };
        let over = OverCall::of(&self.begun.turn_id, &row.tool, row.origin, &ended, Duration::ZERO);
        over.iter().for_each(|call| self.services.stats.note_call(call));
        self.so_far.ended(&row.id);
        let (tool_call_id, dynamic) = (row.call_id.clone(), is_foreign(row.origin));
        self.out.end_call(ended, &[Chunk::ToolOutputError { tool_call_id, error_text, dynamic }]);
    }

    /// Whether whoever asks runs a call, whatever its arguments.
    fn is_theirs(&self, call: &ToolCall, ending: &Ending) -> bool {
        ending.finish.allows_calls() && self.out.clients().run(&call.name)
    }

    /// Decides what becomes of a call.
    async fn fate(&mut self, nth: usize, call: &ToolCall, checked: Checked<'a>, due: &mut i64) -> Result<Fate<'a>> {
        let (input, tool) = match checked {
            Ok(fit) => fit,
            Err((_, sentence)) => return Ok(Fate::Refused(sentence)),
        };
        if let Err(sentence) = self.so_far.count(nth) {
            return Ok(Fate::Refused(sentence));
        }
        if tool.origin == Origin::Client {
            return Ok(Fate::Client);
        }
        let input_hash = fingerprint(&input);
        if self.so_far.has_failed(&tool.name, &input_hash) {
            return Ok(Fate::Refused(format!(
                "This call failed {FAILURES_MAX} times with this input, so it was not run."
            )));
        }
        let waits = self.asks(tool)?;
        if waits && self.asker.by.asks_nobody() {
            return Ok(Fate::Refused(NOBODY_TO_ASK.into()));
        }
        if !waits && let Err(sentence) = self.pay(tool.price, due).await? {
            return Ok(Fate::Refused(sentence));
        }
        let new = NewCall {
            id: id::generate(),
            call_id: call.id.clone(),
            tool: tool.name.clone(),
            origin: tool.origin,
            fingerprint: tool.fingerprint,
            input: input.to_string(),
            input_hash,
            policy: tool.policy,
            is_idempotent: tool.is_idempotent,
            waits,
            cost: tool.price,
        };
        if waits {
            return Ok(Fate::Waits(new));
        }
        Ok(Fate::Runs(new, tool, input))
    }

    /// Whether a person has to allow a call of that tool.
    fn asks(&self, tool: &Tool) -> Result<bool> {
        let is_safe = tool.is_read_only || tool.is_idempotent;
        if self.so_far.is_unknown(&tool.name) && !is_safe {
            return Ok(true);
        }
        match tool.policy {
            Policy::Never => Ok(false),
            Policy::Ask => {
                let org = self.services.store.org(&self.asker.tenant);
                Ok(!org.is_granted(self.begun.session_row(), &tool.name, &tool.fingerprint)?)
            }
            Policy::Owner | Policy::Off => Ok(true),
        }
    }

    /// Holds the price of a call beside what is `due` for others that are to be made with it; a refusal is a sentence for the model.
    async fn pay(&mut self, price: i64, due: &mut i64) -> Result<Result<(), String>> {
        if price == 0 {
            return Ok(Ok(()));
        }
        if self.asker.test {
            return Ok(Err("This is a test key: a tool that costs money is not run.".into()));
        }
        if let Some(hold) = self.bill.hold_for_tools(*due + price) {
            let org = self.services.store.org(&self.asker.tenant);
            match org.hold_more(self.begun.turn_id.clone(), self.model.to_owned(), hold).await {
                Ok(held) => self.bill.add_hold(held),
                Err(Error::PaymentRequired { .. }) => return Ok(Err("The balance does not cover this tool.".into())),
                Err(Error::KeyLimit { .. }) => {
                    return Ok(Err("The monthly limit of the API key does not cover this tool.".into()));
                }
                Err(error) => return Err(error),
            }
        }
        *due += price;
        Ok(Ok(()))
    }

    /// Writes the calls of a step down in one commit, and asks for those that wait.
    async fn write_down(&mut self, fates: &mut [Fate<'_>]) -> Result<()> {
        let new: Vec<_> = fates
            .iter()
            .filter_map(|fate| match fate {
                Fate::Waits(new) | Fate::Runs(new, ..) => Some(new.clone()),
                Fate::Refused(_) | Fate::Client => None,
            })
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let org = self.services.store.org(&self.asker.tenant);
        self.so_far.unwritten = new.iter().map(UnwrittenCall::from).collect();
        let refused = org.open_calls(self.begun, new).await?;
        self.so_far.unwritten.clear();
        let mut asked = Vec::new();
        for fate in fates {
            let Fate::Waits(new) = fate else { continue };
            if refused.contains(&new.id) {
                *fate = Fate::Refused("Too many calls wait for an answer: this one was not run.".into());
                continue;
            }
            asked.push(Chunk::ToolApprovalRequest { approval_id: new.id.clone(), tool_call_id: new.call_id.clone() });
        }
        self.out.write(&asked);
        Ok(())
    }

    /// Runs calls that are written down, a few at once; answers what the model gets of each.
    async fn run(&mut self, ready: Vec<Ready<'a>>) -> Vec<(String, String)> {
        self.so_far.running.extend(ready.iter().map(|call| RunningCall {
            id: call.id.clone(),
            call_id: call.call_id.clone(),
            is_idempotent: call.tool.is_idempotent,
            is_read_only: call.tool.is_read_only,
            tool: call.tool.name.clone(),
            origin: call.tool.origin,
            began: Instant::now(),
        }));
        let (services, source, asked) = (self.services, self.source, self.call);
        let runs = stream::iter(ready).map(|ready| async move {
            let call = Call { id: ready.id.clone(), ..asked.clone() };
            let (ended, took) = run_one(services, source, ready.tool, &ready.input, call).await;
            (ready, ended, took)
        });
        let mut runs = runs.buffer_unordered(CALLS_AT_ONCE).boxed();
        let mut outputs = Vec::new();
        while let Some((ready, ended, took)) = runs.next().await {
            match &ended {
                Ended::Failed(_) => self.so_far.note_failed(&ready.tool.name, &fingerprint(&ready.input)),
                Ended::Unknown(_) => self.so_far.note_unknown(&ready.tool.name),
                Ended::Done { .. } => {}
            }
            let Shown { chunks, output, ended } = show(&ready, ended);
            let over = OverCall::of(&self.begun.turn_id, &ready.tool.name, ready.tool.origin, &ended, took);
            over.iter().for_each(|call| self.services.stats.note_call(call));
            if output.len() > TOOL_PROMPT_BYTES_MAX {
                self.services.stats.count_cut();
            }
            self.so_far.ended(&ready.id);
            self.out.end_call(ended, &chunks);
            outputs.push((ready.call_id, output));
        }
        outputs
    }
}
