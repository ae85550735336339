//! `alm prune`: lets old sessions and deleted things really go.

use std::time::Duration;

use serde_json::json;

use super::globals::{Globals, block_on};
use crate::{
    error::{Error, Result},
    store::file::prune::{Old, vacuum},
    time::Timestamp,
};

#[derive(Debug, clap::Args)]
pub(super) struct Prune {
    /// How long ago: 90d, 12months. Goes by the last change of a session, and by when anything was deleted
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    older_than: Duration,
    /// The organization's slug; all of them when absent
    #[arg(long, value_name = "SLUG")]
    org: Option<String>,
    /// Only count what would go
    #[arg(long)]
    dry_run: bool,
    /// Make the file smaller as well; takes as much disk again for a while, and a running server cannot write meanwhile
    #[arg(long, conflicts_with = "dry_run")]
    vacuum: bool,
}

impl Prune {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        let store = globals.store()?;
        let org_id = self.org.map(|slug| store.org_by_slug(&slug)).transpose()?.map(|org| org.id);
        let before = Timestamp::now().minus(self.older_than);
        let old = Old { before, org_id };
        let gone = if self.dry_run { store.prunable(&old)? } else { block_on(store.prune(&old))? };
        if self.vacuum {
            vacuum(&globals.folder()?).map_err(|error| Error::failed(format!("the file keeps its size: {error}")))?;
        }
        let free = store.free_bytes()?;
        let verb = if self.dry_run { "would go" } else { "gone" };
        let json = json!({
            "sessions": gone.sessions, "messages": gone.messages, "agents": gone.agents, "projects": gone.projects,
            "freeBytes": free, "dryRun": self.dry_run, "before": before.to_string(),
        });
        let text = format!(
            "{verb}: {} sessions with {} messages, {} deleted agents, {} deleted projects, older than {before}\n\
             {free} bytes of the file are free: they are filled before it grows",
            gone.sessions, gone.messages, gone.agents, gone.projects
        );
        globals.print(|| json, || text);
        Ok(())
    }
}
