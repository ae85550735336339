//! What a model is asked: its tools, how it is to answer, and as much of the conversation as there is room for.

use super::Run;
use crate::{
    error::{Error, Result},
    model::{
        Content, Message, Needs, Request, ToolSpec,
        facts::Lesson,
        sampling::{Sampling, ToolChoice},
    },
    store::{self, tools::Policy},
    time::Timestamp,
    tools::{Tool, Toolbox, Way, builtin::Builtin, client},
    turn::{
        ask::By,
        given,
        history::{self, Room},
        recall::recall,
        replace,
        resolve::prompt,
        structured::Shape,
        system::{one_front, one_system},
        window::Window,
    },
};

/// Of a prompt that was too long so much is kept at most, in per cent of its tokens as they are estimated.
const OVERFLOW_KEPT: u64 = 75;

impl Run {
    /// The request, without the conversation.
    pub(super) fn request(&mut self, toolbox: &Toolbox) -> Request {
        let mut sampling = self.sampling();
        if sampling.response_format.is_none() && toolbox.tools.is_empty() {
            self.progress.shape = self.resolved.settings.response_format.as_deref().and_then(Shape::of_text);
            sampling.response_format = self.progress.shape.as_ref().map(Shape::asked);
        }
        Request {
            model: self.resolved.model.name.clone(),
            tools: toolbox.tools.iter().map(Tool::spec).collect(),
            sampling,
            legacy: self.asked.legacy.clone(),
            ..Request::default()
        }
    }

    /// What whoever asks says, and the agent where they do not.
    fn sampling(&self) -> Sampling {
        let (asked, own) = (&self.asked.sampling, &self.resolved.settings);
        Sampling {
            temperature: asked.temperature.or(own.temperature),
            top_p: asked.top_p.or(own.top_p),
            reasoning_effort: asked.reasoning_effort.clone().or_else(|| own.reasoning_effort.clone()),
            ..asked.clone()
        }
    }

    /// The tools of the first step alone, if whoever asks has chosen: their own, of which one has to be called. A choice that bound
    /// every step would never end.
    pub(super) fn first_step(&self, toolbox: &Toolbox) -> Option<Toolbox> {
        let (ToolChoice::Required | ToolChoice::Named(_)) = self.asked.sampling.tool_choice.as_ref()? else {
            return None;
        };
        let theirs = toolbox.tools.iter().filter(|tool| is_theirs(tool)).cloned();
        Some(Toolbox { tools: theirs.collect(), ..Toolbox::default() })
    }

    /// Offers the tools of a step, and says what of the request its asker cannot do without.
    pub(super) fn offer(&mut self, request: &mut Request, toolbox: &Toolbox, is_first: bool) {
        request.tools = toolbox.tools.iter().map(Tool::spec).collect();
        if !is_first {
            request.sampling.tool_choice = None;
        }
        if !self.asker.by.is_program() {
            return;
        }
        let brings_tools = toolbox.tools.iter().any(is_theirs);
        self.out.offered(toolbox, brings_tools);
        let is_file = |content: &Content| matches!(content, Content::File { .. });
        let has_files = request.messages.iter().any(|message| match message {
            Message::User(contents) => contents.iter().any(is_file),
            _ => false,
        });
        let format = self.asked.sampling.response_format.is_some();
        request.needs = Needs { tools: brings_tools, files: has_files, format };
    }

    /// The tools of the turn. Those that a person would have to allow are not offered where nobody can be asked, nor is any other
    /// agent to a conversation that is not kept: what it is asked would be.
    pub(super) fn toolbox(&mut self) -> Result<Toolbox> {
        let client = self.client_tools()?;
        if self.asked.sampling.tool_choice == Some(ToolChoice::None) {
            return Ok(Toolbox::default());
        }
        let Some(agent) = &self.resolved.agent else { return Ok(Toolbox { tools: client, ..Toolbox::default() }) };
        let mut toolbox = self.services.tools.of(&self.asker.tenant, agent, client)?;
        self.progress.tools_left_out = toolbox.left_out;
        self.progress.tools_unavailable.clone_from(&toolbox.unavailable);
        if self.asker.by.leaves_out_asking() {
            let is_kept = self.begun.session.is_some();
            let is_offered = |tool: &mut Tool| {
                let asks_agents = matches!(tool.way, Way::Builtin(Builtin::AskAgent));
                matches!(tool.way, Way::Client) || tool.policy == Policy::Never && (is_kept || !asks_agents)
            };
            let left_out: Vec<_> = toolbox.tools.extract_if(.., |tool| !is_offered(tool)).collect();
            self.out.turn().ignore(left_out.iter().map(|tool| format!("agent.{}", tool.name)));
        }
        self.resolved.system = prompt(&[&self.resolved.system, &toolbox.instructions()]);
        Ok(toolbox)
    }

    /// The tools that whoever asks runs: the request's, and those of the agent. Another agent that asks runs none.
    fn client_tools(&mut self) -> Result<Vec<Tool>> {
        let runs_them = self.asker.by == By::Chat || self.asker.by.leaves_out_asking();
        let agent = self.resolved.agent.as_ref().filter(|_| runs_them);
        let kept = agent.and_then(|agent| agent.client_tools.as_deref());
        client::with_kept(std::mem::take(&mut self.asked.tools), kept).map_err(Error::internal)
    }

    /// Puts as much of the history into a request as there is room for, before what this turn has added; whether it is less
    /// than before.
    pub(super) fn read_history(&mut self, request: &mut Request, room: Option<Room>) -> Result<bool> {
        let Some(session) = &self.begun.session else { return Ok(self.take_given(request, room)) };
        let org = self.services.store.org(&self.asker.tenant);
        let (answered, id) = (self.progress.answered.as_deref(), &self.begun.message_id);
        let amend = |history: &mut Vec<store::messages::Message>| {
            let own = answered.and_then(|parts| Some((history.iter_mut().rfind(|message| message.id == *id)?, parts)));
            own.into_iter().for_each(|(message, parts)| message.parts = parts.to_owned());
            replace::put(&self.asked.asides, history)
        };
        let cut = self.progress.cut.or(session.cut);
        let mut fitted = recall(&org, session.seq, amend, &self.resolved.system, room, cut)?;
        let field = self.resolved.source.facts().thoughts_field(Timestamp::now());
        given::bind(&mut fitted.messages, &self.resolved.model.provider, field);
        let of_this_turn = request.messages.split_off(self.progress.history_len);
        let was_longer = self.progress.history_len > fitted.messages.len();
        request.messages = match (self.asker.by.is_program(), self.resolved.source.takes_system_anywhere()) {
            (false, _) => fitted.messages,
            (true, true) => one_front(fitted.messages),
            (true, false) => one_system(fitted.messages),
        };
        self.progress.history_len = request.messages.len();
        request.messages.extend(of_this_turn);
        self.progress.dropped = fitted.dropped;
        self.progress.cut = fitted.cut.or(self.progress.cut);
        Ok(was_longer)
    }

    /// The same of a conversation that whoever asks keeps: all of it, then what there is room for.
    fn take_given(&mut self, request: &mut Request, room: Option<Room>) -> bool {
        if let Some(mut given) = self.asked.given.take() {
            let field = self.resolved.source.facts().thoughts_field(Timestamp::now());
            given::bind(&mut given, &self.resolved.model.provider, field);
            if !self.resolved.source.takes_system_anywhere() {
                given = one_system(given);
            }
            let system = &self.resolved.system;
            let system = (!system.is_empty()).then(|| Message::System(system.clone()));
            request.messages.splice(..0, system.into_iter().chain(given));
            self.progress.history_len = request.messages.len();
        }
        let Some(room) = room else { return false };
        let of_this_turn = request.messages.split_off(self.progress.history_len);
        let dropped = history::leave_out(&mut request.messages, room);
        self.progress.history_len = request.messages.len();
        request.messages.extend(of_this_turn);
        self.progress.dropped += dropped;
        dropped > 0
    }

    /// What is known of the model's window by now.
    pub(super) fn window(&self) -> Window {
        Window::new(self.resolved.model.context_window, &self.resolved.source.facts(), Timestamp::now())
    }

    /// The room of the conversation; absent: all of it is sent.
    pub(super) fn room(&self, tools: &[ToolSpec]) -> Option<Room> {
        self.window().room(self.resolved.settings.output_tokens_max, tools).filter(|_| !self.asked.is_whole)
    }

    /// Shortens a conversation that was too long; false if nothing more can be left out.
    pub(super) fn shorten(&mut self, request: &mut Request, prompt_tokens: Option<u32>) -> Result<bool> {
        let measured = prompt_tokens.and_then(|tokens| Window::measure(history::text_bytes(request), tokens.into()));
        if let Some(bytes) = measured {
            self.resolved.source.learn(Lesson::BytesPerToken { bytes });
        }
        if self.asked.is_whole {
            return Ok(false);
        }
        let window = self.window();
        let (bytes_per_token, output_bytes) = (window.bytes_per_token, window.output_bytes());
        let sent = history::tokens_in(&request.messages, bytes_per_token);
        let tokens = self.room(&request.tools).map_or(u64::MAX, |room| room.tokens).min(sent * OVERFLOW_KEPT / 100);
        self.read_history(request, Some(Room { tokens, bytes_per_token, output_bytes }))
    }
}

/// Whether whoever asks runs a tool.
fn is_theirs(tool: &Tool) -> bool {
    matches!(tool.way, Way::Client)
}
