//! Where a reply comes from: the built-in model, a provider or a process of ours, behind one pair of functions.

use std::sync::Arc;

use serde_json::Value;

use super::{
    Delta, Ending, Request, Said,
    cassette::{self, Match, Shelf, Tape, ToolExchange},
    demo,
    facts::{Facts, Lesson},
    known::Known,
    local::{LocalModel, LocalReply},
    upstream::{
        self, Endpoint, Heard, Upstreams,
        embeddings::{Texts, Vectors},
    },
    waiting::OnWaiting,
};
use crate::error::{Error, Result};

/// Whom to ask.
#[derive(Clone)]
pub enum Source {
    /// The built-in model.
    Demo,
    /// A provider, the way there, and what is known of the model.
    Upstream { upstreams: Arc<Upstreams>, endpoint: Box<Endpoint>, known: Known },
    /// A cassette, and the conversation whose answers are counted. There is no way to a network from here.
    Cassette { shelf: Arc<Shelf>, tape: Box<Tape>, conversation: String },
    /// A model whose process is ours, the way there, and who asks it.
    Local { model: Arc<LocalModel>, endpoint: Box<Endpoint>, person: String },
}

/// A running reply. Dropping it ends it at once, the provider's connection included.
pub enum Reply {
    /// Of the built-in model.
    Demo(Box<demo::Script>),
    /// Of a provider.
    Upstream(Box<upstream::Reply>),
    /// Of a cassette.
    Cassette(Box<cassette::Reply>),
    /// Of a local model.
    Local(Box<LocalReply>),
}

impl Source {
    /// What is known of the model by now.
    pub fn facts(&self) -> Arc<Facts> {
        match self {
            Source::Demo | Source::Cassette { .. } => Arc::default(),
            Source::Upstream { known, .. } => known.facts(),
            Source::Local { model, .. } => model.known().facts(),
        }
    }

    /// Whether instructions may stand between other messages.
    pub fn takes_system_anywhere(&self) -> bool {
        matches!(self, Source::Upstream { endpoint, .. } if endpoint.dialect.system_anywhere)
    }

    /// Takes what asking the model has taught.
    pub fn learn(&self, lesson: Lesson) {
        match self {
            Source::Demo | Source::Cassette { .. } => {}
            Source::Upstream { known, .. } => known.learn(lesson),
            Source::Local { model, .. } => model.known().learn(lesson),
        }
    }

    /// Where what it says in place of a reply is kept.
    pub fn heard(&self) -> Heard {
        match self {
            Source::Demo | Source::Cassette { .. } => Heard::default(),
            Source::Upstream { endpoint, .. } | Source::Local { endpoint, .. } => endpoint.heard.clone(),
        }
    }

    /// Says which conversation it is that asks.
    pub fn asked_in(&mut self, asking: &str) {
        match self {
            Source::Demo => {}
            Source::Cassette { conversation, .. } => asking.clone_into(conversation),
            // Others of the same provider have a place of their own.
            Source::Upstream { endpoint, .. } | Source::Local { endpoint, .. } => endpoint.heard = Heard::default(),
        }
    }

    /// What a tool answered to that input when the conversation was recorded; none if it is to run.
    pub async fn recorded(&self, tool: &str, input: &Value) -> Option<Result<ToolExchange>> {
        let Source::Cassette { shelf, tape, conversation } = self else { return None };
        shelf.tool(tape, conversation, tool, input).await.transpose()
    }

    /// Takes a refusal that came in the place of words: from now on the model is asked without what it names. What that teaches, once
    /// the rest is taken; `None`: nothing is to be left out.
    pub fn mend(&mut self, request: &Request, said: &Said) -> Result<Option<Vec<Lesson>>> {
        match self {
            Source::Demo | Source::Cassette { .. } => Ok(None),
            Source::Upstream { endpoint, known, .. } => Upstreams::mend(endpoint, known, request, said),
            Source::Local { model, endpoint, .. } => Upstreams::mend(endpoint, model.known(), request, said),
        }
    }

    /// Asks for the vectors of texts; the built-in model and local ones have none.
    pub async fn embed(&self, texts: &Texts) -> Result<Vectors> {
        match self {
            Source::Demo => Err(Error::ModelUnavailable("the built-in model makes no vectors of texts".into())),
            Source::Upstream { upstreams, endpoint, .. } => upstreams.embed(endpoint, texts).await,
            Source::Cassette { .. } => Err(Error::ModelUnavailable("a cassette has no vectors of texts".into())),
            Source::Local { .. } => Err(Error::ModelUnavailable("a local model makes no vectors of texts".into())),
        }
    }

    /// Asks, and waits until a reply is on its way; `waiting` is told now and then what is waited for. Dropping the wait
    /// ends the asking.
    pub async fn start(&self, request: &Request, waiting: OnWaiting<'_>) -> Result<Reply> {
        Ok(match self {
            Source::Demo => Reply::Demo(Box::new(demo::reply(request))),
            Source::Upstream { upstreams, endpoint, known } => {
                Reply::Upstream(Box::new(upstreams.start(endpoint, known, request, waiting).await?))
            }
            Source::Cassette { shelf, tape, conversation } => {
                Reply::Cassette(Box::new(shelf.start(tape, conversation, request).await?))
            }
            Source::Local { model, endpoint, person } => {
                Reply::Local(model.ask(endpoint, person, request, waiting).await?)
            }
        })
    }
}

impl Reply {
    /// Fields of the request that the model was not sent, since it refuses them.
    pub fn omitted(&self) -> &[String] {
        match self {
            Reply::Demo(_) => &[],
            Reply::Upstream(reply) => reply.omitted(),
            Reply::Cassette(reply) => reply.omitted(),
            Reply::Local(reply) => reply.omitted(),
        }
    }

    /// How it was found, if it was recorded.
    pub fn replayed(&self) -> Option<Match> {
        match self {
            Reply::Demo(_) | Reply::Upstream(_) | Reply::Local(_) => None,
            Reply::Cassette(reply) => Some(reply.found()),
        }
    }

    /// Waits until something has arrived and appends it to `deltas`; the ending when the reply is over.
    pub async fn next(&mut self, deltas: &mut Vec<Delta>) -> Option<Ending> {
        match self {
            Reply::Demo(script) => script.next(deltas).await,
            Reply::Upstream(reply) => reply.next(deltas).await,
            Reply::Cassette(reply) => reply.next(deltas).await,
            Reply::Local(reply) => reply.next(deltas).await,
        }
    }
}
