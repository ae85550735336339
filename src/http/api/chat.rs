//! Chat: a question in, a stream out.
//!
//! Rule: everything that can be refused is refused before the first byte. From there on the turn belongs to the engine
//! and the connection is one reader of it.

use poem_openapi::{
    Enum, Object, OpenApi,
    param::{Header, Path},
    types::Example,
};
use serde::Serialize;
use serde_json::Value;

use super::{
    agents::NewAgent,
    approvals::ResumeRequest,
    messages::MessageRole,
    tags::Tag,
    ui_stream::{RunningStream, UiStream},
};
use crate::{
    error::{Error, Result},
    http::{
        auth::{Caller, Chat, ReadOrChat},
        body::{HistoryBody, MaybeBody},
        wire::{check::Checks, data::Data, envelope::ApiError},
    },
    id,
    key::Env,
    store::messages::Role,
    tools::client,
    turn::{
        answers::Answers,
        ask::{Ask, Asker, By, Given, Posted, SessionRef, Trigger},
        history, parts,
        wire::UiWire,
    },
};

/// The id of the message of the example.
pub(crate) const EXAMPLE_QUESTION: &str = "example-question";
/// Messages one request may post.
const MESSAGES_MAX: usize = 10_000;

/// A chat request.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
pub(crate) struct ChatRequest {
    /// The new messages, or the whole history. Messages the session already has are not stored again.
    messages: Option<Vec<ChatMessage>>,
    /// A single new message, for clients that send only one.
    message: Option<ChatMessage>,
    /// An existing session.
    session_id: Option<String>,
    /// The chat's id, as `useChat` generates it: names a session, which is created if it does not exist.
    id: Option<String>,
    /// An agent's id or slug. Default: the session's agent, or Ala.
    agent_id: Option<String>,
    /// One of `GET /models`. Default: the agent's model, the organization's, or the built-in one.
    model: Option<String>,
    /// A project's id or slug.
    project_id: Option<String>,
    /// Default `submit-message`.
    trigger: Option<ChatTrigger>,
    /// With `regenerate-message`: the message to replace. Default: the last one.
    message_id: Option<String>,
    /// Tools that you run yourself: an object of `{description, parameters}` by name, or an array of
    /// `{name, description, inputSchema}`. A call of one ends the stream with `tool-calls`.
    tools: Option<Value>,
    /// An agent that is tried out before it is stored: the whole conversation is in `messages`, no word of it is kept, and it is
    /// billed. Needs the scope `write` too.
    agent_draft: Option<NewAgent>,
}

/// What is asked for: a reply to a new message, or a new reply in place of an old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "kebab-case")]
enum ChatTrigger {
    SubmitMessage,
    RegenerateMessage,
}

/// A message: plain `{role, content}`, or a UIMessage with `parts`.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
struct ChatMessage {
    /// 1 to 128 characters. Generated if absent.
    id: Option<String>,
    role: MessageRole,
    /// The text, instead of `parts`.
    content: Option<String>,
    /// AI SDK v6 UIMessage parts.
    parts: Option<Vec<Value>>,
}

impl Example for ChatRequest {
    fn example() -> Self {
        let message = ChatMessage {
            id: Some(EXAMPLE_QUESTION.into()),
            role: MessageRole::User,
            content: Some("Summarise the periodic table in 3 sentences.".into()),
            parts: None,
        };
        ChatRequest {
            messages: Some(vec![message]),
            message: None,
            session_id: None,
            id: Some("example-chat".into()),
            agent_id: Some("ala".into()),
            model: None,
            project_id: None,
            trigger: None,
            message_id: None,
            tools: None,
            agent_draft: None,
        }
    }
}

/// The operations.
#[derive(Default)]
pub struct Chats;

#[OpenApi(tag = "Tag::Chat")]
impl Chats {
    /// Stream an agent's reply
    ///
    /// The reply is stored even if the client disconnects. `finish` and `[DONE]` are sent once it is on disk.
    #[oai(path = "/chat", method = "post", operation_id = "create_chat")]
    async fn create_chat(&self, caller: Caller<Chat>, body: HistoryBody<ChatRequest>) -> Result<UiStream, ApiError> {
        caller.app.refuse_while_draining()?;
        let (asker, writes) = (asker(&caller), caller.writes);
        let ask = body.into(move |request| request.into_ask(asker, writes)).await?;
        Ok(UiStream::of(caller.app.engine.begin(ask).await?))
    }

    /// Go on with a reply
    ///
    /// With answers to the calls that it waits for: all of them at once. The same answers again find the same stream. Without a
    /// body, a reply that a restart interrupted continues under its own id, in a new step.
    #[oai(path = "/chat/:session_id/resume", method = "post", operation_id = "resume_chat")]
    async fn resume_chat(
        &self,
        caller: Caller<Chat>,
        /// The session's id.
        session_id: Path<String>,
        body: MaybeBody<ResumeRequest>,
    ) -> Result<UiStream, ApiError> {
        caller.app.refuse_while_draining()?;
        let answers = body.0.map_or_else(|| Ok(Answers::default()), ResumeRequest::into_answers)?;
        let ask = Ask {
            session: SessionRef::Existing(session_id.0),
            trigger: Trigger::Resume(answers),
            ..Ask::new(asker(&caller))
        };
        Ok(UiStream::of(caller.app.engine.begin(ask).await?))
    }

    /// Read the running reply
    ///
    /// From its start and then live, for any number of readers. Events have an `id:`; with `Last-Event-ID` the stream
    /// continues after that event. 204 if no reply is running.
    #[oai(path = "/chat/:session_id/stream", method = "get", operation_id = "resume_chat_stream")]
    async fn resume_chat_stream(
        &self,
        caller: Caller<ReadOrChat>,
        /// The session's id.
        session_id: Path<String>,
        /// The last event that was received.
        #[oai(name = "Last-Event-ID")]
        last_event_id: Header<Option<String>>,
    ) -> Result<RunningStream, ApiError> {
        let Some(turn) = caller.app.engine.running_turn(&caller.tenant, &session_id) else {
            return Ok(RunningStream::Idle);
        };
        // What is no number of ours is from another stream: the reader gets all of this one.
        let last = last_event_id.0.and_then(|id| id.trim().parse().ok()).unwrap_or(0);
        Ok(RunningStream::Live(UiStream::after(turn, last)))
    }

    /// Stop the running reply
    ///
    /// Safe to repeat. The text so far is stored as `stopped` and charged; every reader gets `abort`.
    #[oai(path = "/chat/:session_id/stop", method = "post", operation_id = "stop_chat")]
    async fn stop_chat(
        &self,
        caller: Caller<Chat>,
        /// The session's id.
        session_id: Path<String>,
    ) -> Result<Data<Stopped>, ApiError> {
        let Some(id) = caller.app.engine.stop(&caller.tenant, &session_id).await else {
            return Ok(Data::of(&Stopped { stopped: false, message_id: None }));
        };
        // A reply that had said nothing is not kept.
        let message_id = caller.org().holds_message(&session_id, &id)?.then_some(id);
        Ok(Data::of(&Stopped { stopped: true, message_id }))
    }
}

/// The caller, as a turn knows them.
fn asker(caller: &Caller<Chat>) -> Asker {
    Asker {
        tenant: caller.tenant.clone(),
        test: caller.env == Env::Test,
        key_id: caller.key_id.clone(),
        request_id: caller.request_id.as_str().to_owned(),
        route: caller.route,
        claim: caller.claim.clone(),
        by: By::Chat,
        decider: caller.decider(),
    }
}

/// The result of a stop.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct Stopped {
    /// Whether a reply was running.
    stopped: bool,
    /// The stored message's id; `null` if no reply was running, or it had no content yet.
    #[oai(nullable)]
    message_id: Option<String>,
}

impl ChatRequest {
    /// What is asked, and by whom.
    pub(crate) fn into_ask(mut self, asker: Asker, writes: bool) -> Result<Ask> {
        if let Some(draft) = self.agent_draft.take() {
            return self.into_try_out(draft, asker, writes);
        }
        let session = match (self.session_id, self.id) {
            (Some(id), _) => SessionRef::Existing(id),
            (None, Some(id)) => {
                id::check_client_id("id", &id)?;
                SessionRef::Client(id)
            }
            (None, None) => SessionRef::New,
        };
        if self.messages.is_none() && self.message.is_none() && self.trigger != Some(ChatTrigger::RegenerateMessage) {
            return Err(Error::BadRequest("messages: required".into()));
        }
        Ok(Ask {
            session,
            agent: self.agent_id,
            project: self.project_id,
            model: self.model,
            messages: posted(self.messages, self.message)?,
            trigger: match self.trigger {
                Some(ChatTrigger::RegenerateMessage) => Trigger::Regenerate { message_id: self.message_id },
                _ => Trigger::Submit,
            },
            tools: self.tools.map_or(Ok(Vec::new()), |tools| client::tools(&tools).map_err(refused))?,
            ..Ask::new(asker)
        })
    }

    /// A question to an agent that is not stored.
    fn into_try_out(self, draft: NewAgent, asker: Asker, writes: bool) -> Result<Ask> {
        if !writes {
            return Err(Error::forbidden("this key lacks the scope write, which agentDraft needs"));
        }
        if asker.claim.is_some() {
            return Err(Error::invalid("agentDraft", "cannot be asked with an Idempotency-Key: nothing of it is kept"));
        }
        let mut checks = Checks::default();
        let alone = |what: &str| format!("cannot be combined with {what}: nothing of it is kept");
        checks.that(self.session_id.is_none(), "agentDraft", || alone("sessionId"));
        checks.that(self.agent_id.is_none(), "agentDraft", || alone("agentId"));
        checks.done()?;
        let posted = posted(self.messages, self.message)?;
        if posted.last().is_none_or(|last| last.role != Role::User) {
            return Err(Error::invalid("messages", "must end with a user message"));
        }
        let given = Given { messages: history::given(posted)?, wire: Box::new(UiWire) };
        let tools = self.tools.map_or(Ok(Vec::new()), |tools| client::tools(&tools).map_err(refused))?;
        let asker = Asker { by: By::TryOut, ..asker };
        Ok(Ask {
            draft: Some(Box::new(draft.into_agent()?)),
            project: self.project_id,
            model: self.model,
            given: Some(given),
            tools,
            ..Ask::new(asker)
        })
    }
}

fn posted(messages: Option<Vec<ChatMessage>>, message: Option<ChatMessage>) -> Result<Vec<Posted>> {
    let messages: Vec<_> = messages.unwrap_or_default().into_iter().chain(message).collect();
    if messages.len() > MESSAGES_MAX {
        return Err(Error::invalid("messages", format!("must hold at most {MESSAGES_MAX} messages")));
    }
    messages.into_iter().enumerate().map(|(at, message)| message.into_posted(at)).collect()
}

fn refused(fault: String) -> Error {
    Error::invalid("tools", fault)
}

impl ChatMessage {
    fn into_posted(self, at: usize) -> Result<Posted> {
        let role = Role::from(self.role);
        if let Some(id) = &self.id {
            id::check_client_id(&format!("messages[{at}].id"), id)?;
        }
        let parts = match (self.parts, self.content) {
            (Some(parts), _) => parts::accept(parts, role, &format!("messages[{at}].parts"))?,
            (None, Some(content)) if !content.is_empty() || role == Role::Assistant => parts::of_text(&content),
            _ => {
                let what = "must not be empty unless there are parts";
                return Err(Error::invalid(format!("messages[{at}].content"), what));
            }
        };
        Ok(Posted { id: self.id, role, parts })
    }
}
