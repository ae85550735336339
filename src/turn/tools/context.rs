//! What a tool reaches: the data of the person who asks, and nothing else.

use crate::store::{Store, Tenant};

/// What a tool may use.
#[derive(Clone)]
pub struct Context {
    pub store: Store,
    pub tenant: Tenant,
    /// The session that asks.
    pub session_id: String,
}
