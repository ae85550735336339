//! Where a reply comes from: the built-in model or a provider, behind one pair of functions.

use std::sync::Arc;

use super::{
    Delta, Ending, Request, demo,
    facts::{Facts, Lesson},
    known::Known,
    upstream::{
        self, Endpoint, Upstreams,
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
}

/// A running reply. Dropping it ends it at once, the provider's connection included.
pub enum Reply {
    /// Of the built-in model.
    Demo(demo::Script),
    /// Of a provider.
    Upstream(Box<upstream::Reply>),
}

impl Source {
    /// What is known of the model by now.
    pub fn facts(&self) -> Arc<Facts> {
        match self {
            Source::Demo => Arc::default(),
            Source::Upstream { known, .. } => known.facts(),
        }
    }

    /// Whether instructions may stand between other messages.
    pub fn takes_system_anywhere(&self) -> bool {
        matches!(self, Source::Upstream { endpoint, .. } if endpoint.dialect.system_anywhere)
    }

    /// Takes what asking the model has taught.
    pub fn learn(&self, lesson: Lesson) {
        if let Source::Upstream { known, .. } = self {
            known.learn(lesson);
        }
    }

    /// Asks for the vectors of texts; the built-in model has none.
    pub async fn embed(&self, texts: &Texts) -> Result<Vectors> {
        match self {
            Source::Demo => Err(Error::ModelUnavailable("the built-in model makes no vectors of texts".into())),
            Source::Upstream { upstreams, endpoint, .. } => upstreams.embed(endpoint, texts).await,
        }
    }

    /// Asks, and waits until a reply is on its way; `waiting` is told now and then what is waited for. Dropping the wait
    /// ends the asking.
    pub async fn start(&self, request: &Request, waiting: OnWaiting<'_>) -> Result<Reply> {
        Ok(match self {
            Source::Demo => Reply::Demo(demo::reply(request)),
            Source::Upstream { upstreams, endpoint, known } => {
                Reply::Upstream(Box::new(upstreams.start(endpoint, known, request, waiting).await?))
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
        }
    }

    /// Waits until something has arrived and appends it to `deltas`; the ending when the reply is over.
    pub async fn next(&mut self, deltas: &mut Vec<Delta>) -> Option<Ending> {
        match self {
            Reply::Demo(script) => script.next(deltas).await,
            Reply::Upstream(reply) => reply.next(deltas).await,
        }
    }
}
