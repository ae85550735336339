//! What every turn uses. Engine and turn both hold it, so that neither holds the other.

use std::sync::Arc;

use super::stats::Stats;
use crate::{catalog::Catalog, store::Store, tools::Tools};

/// The store, the models, the tools, and the counters.
pub(super) struct Services {
    pub store: Store,
    pub catalog: Arc<Catalog>,
    pub tools: Arc<Tools>,
    pub stats: Stats,
}
