//! `alm prune`: permanently deletes old sessions and soft-deleted items.

use std::time::Duration;

use serde_json::json;

use super::{
    globals::{Globals, block_on},
    text::{count_text, duration},
};
use crate::{
    error::{Error, Result},
    store::file::prune::{Old, vacuum},
    time::Timestamp,
};

#[derive(Debug, clap::Args)]
pub(super) struct Prune {
    /// How long unused or deleted, such as 90d or 12months
    #[arg(long, value_name = "TIME", value_parser = duration)]
    older_than: Duration,
    /// Only this organization; all by default
    #[arg(long, value_name = "SLUG")]
    org: Option<String>,
    /// Count what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
    /// Also shrink the file; needs as much free disk again, and blocks a running server's writes meanwhile
    #[arg(long, conflicts_with = "dry_run")]
    vacuum: bool,
}

impl Prune {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        let store = globals.store()?;
        let org_id = self.org.map(|slug| globals.org(&store, &slug)).transpose()?.map(|org| org.id);
        let before = Timestamp::now().minus(self.older_than);
        let old = Old { before, org_id };
        let gone = if self.dry_run { store.prunable(&old)? } else { block_on(store.prune(&old))? };
        if self.vacuum {
            vacuum(&globals.folder()?).map_err(|error| Error::failed(format!("cannot shrink the file: {error}")))?;
        }
        let free = store.free_bytes()?;
        let verb = if self.dry_run { "would delete" } else { "deleted" };
        let json = json!({
            "sessions": gone.sessions, "messages": gone.messages, "agents": gone.agents, "projects": gone.projects,
            "freeBytes": free, "dryRun": self.dry_run, "before": before.to_string(),
        });
        let text = format!(
            "{verb} {} with {}, {}, {}, unused since {before}\n\
             {free} bytes of the file are free, and are reused before it grows",
            count_text(gone.sessions.unsigned_abs(), "session"),
            count_text(gone.messages.unsigned_abs(), "message"),
            count_text(gone.agents.unsigned_abs(), "agent"),
            count_text(gone.projects.unsigned_abs(), "project"),
        );
        globals.report(|| json, || text);
        Ok(())
    }
}
