//! A cassette in memory, and where in it what stands.

use super::{choose::Index, file::Cassette, line::Exchange};

/// A cassette in memory.
#[derive(Debug)]
pub struct Album {
    pub(super) cassette: Cassette,
    pub(super) index: Index,
}

impl Album {
    /// The exchange at that place.
    pub(super) fn exchange(&self, at: usize) -> &Exchange {
        &self.cassette.exchanges[at].exchange
    }

    /// What was read.
    pub fn cassette(&self) -> &Cassette {
        &self.cassette
    }
}
