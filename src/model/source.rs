//! Where a reply comes from: the built-in model or a provider, behind one pair of functions.

use std::sync::Arc;

use super::{
    Delta, Ending, Request, demo,
    facts::Known,
    upstream::{self, Endpoint, Upstreams},
};
use crate::error::Result;

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
    /// Asks, and waits until a reply is on its way. Dropping the wait ends the asking.
    pub async fn start(&self, request: &Request) -> Result<Reply> {
        Ok(match self {
            Source::Demo => Reply::Demo(demo::reply(request)),
            Source::Upstream { upstreams, endpoint, known: _ } => {
                Reply::Upstream(Box::new(upstreams.start(endpoint, request).await?))
            }
        })
    }
}

impl Reply {
    /// Waits until something has arrived and appends it to `deltas`; the ending when the reply is over.
    pub async fn next(&mut self, deltas: &mut Vec<Delta>) -> Option<Ending> {
        match self {
            Reply::Demo(script) => script.next(deltas).await,
            Reply::Upstream(reply) => reply.next(deltas).await,
        }
    }
}
