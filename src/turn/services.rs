//! What every turn uses. Engine and turn both hold it, so that neither holds the other.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::stats::Stats;
use crate::{catalog::Catalog, store::Store, tools::Tools};

/// The store, the models, the tools, and the counters.
pub(super) struct Services {
    pub store: Store,
    pub catalog: Arc<Catalog>,
    pub tools: Arc<Tools>,
    pub stats: Stats,
    /// Calls of tools that may run at once.
    pub tool_places: Semaphore,
}

/// Calls of tools that run at once in this process.
pub(super) const TOOL_PLACES: usize = 256;
