//! Who looks after a server: asks for its list when it is due, when it has changed, and until a server that is down is back.
//!
//! Rule: a server that always says that its list has changed is asked ever more slowly.

use std::{
    collections::HashSet,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    known::{Known, State},
    list::TTL_DEFAULT,
    servers::{DEBOUNCE, Servers},
};
use crate::store::{Tenant, mcp::McpServer};

/// Between two looks at a server that is down, at most.
pub const DOWN_PAUSE_MAX: Duration = Duration::from_secs(60);
/// Between a notice that a list has changed and the question for it, at most. A list that did not change for longer is asked for at once.
pub const CHANGE_PAUSE_MAX: Duration = Duration::from_secs(60);
/// How soon a command ends whose row was removed or switched off beside the server.
const SWEEP_INTERVAL: Duration = Duration::from_secs(2);
/// Changes in a row after which the pause grows.
const CHANGES_AT_ONCE: u32 = 4;

impl Servers {
    /// Has somebody look after a server, if there is none yet.
    pub(super) fn look_after(self: &Arc<Self>, tenant: &Tenant, server_id: &str) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let known = self.known(server_id);
        let keeping = known.clone();
        let (servers, tenant, server_id) = (Arc::downgrade(self), tenant.clone(), server_id.to_owned());
        known.keep_by(|| runtime.spawn(keep(servers, keeping, tenant, server_id)).abort_handle());
    }

    /// Ends, again and again, what is looked after and should not be any more: its row was changed beside the server.
    pub(super) fn sweep_always(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let servers = Arc::downgrade(self);
        runtime.spawn(async move {
            loop {
                sleep(SWEEP_INTERVAL).await;
                let Some(servers) = servers.upgrade() else { return };
                servers.sweep().await;
            }
        });
    }

    pub(super) async fn sweep(&self) {
        let kept = self.kept_ids();
        if kept.is_empty() {
            return;
        }
        let active: HashSet<_> = match self.store.active_mcp_servers() {
            Ok(active) => active.into_iter().map(|(_, id)| id).collect(),
            Err(error) => return tracing::error!(%error, "MCP servers could not be read"),
        };
        join_all(kept.iter().filter(|id| !active.contains(*id)).map(|id| self.forget(id))).await;
    }

    /// The row, if it is still to be looked after.
    fn kept_row(&self, tenant: &Tenant, server_id: &str) -> Option<McpServer> {
        self.store.org(tenant).mcp_server_of_id(server_id).ok().filter(|row| row.is_active)
    }
}

async fn keep(servers: Weak<Servers>, known: Arc<Known>, tenant: Tenant, server_id: String) {
    let (mut failures, mut pause) = (0, Duration::ZERO);
    let mut changes = Changes::default();
    loop {
        let due = Instant::now() + pause;
        let is_due = tokio::select! {
            () = sleep_until(due) => true,
            () = known.poked.notified() => false,
            () = known.changed.notified() => {
                sleep(changes.pause(Instant::now())).await;
                false
            }
        };
        // Nothing is looked after any more when its process is done with it, or its row.
        let Some(servers) = servers.upgrade() else { return };
        let Some(row) = servers.kept_row(&tenant, &server_id) else {
            known.disconnect().await;
            servers.end_command(&server_id).await;
            return;
        };
        if is_due && servers.rests(&row, &known) {
            pause = holds(&row);
            continue;
        }
        let Ok(_place) = servers.starts.acquire().await else { return };
        match servers.refresh_row(&tenant, &row).await {
            Ok(Ok(())) => failures = 0,
            // What it said is in its row, and in no log.
            Ok(Err(_)) => {
                failures += 1;
                let state = known.seen().state.word();
                tracing::warn!(server = row.slug, state, "an MCP server's list could not be read");
            }
            Err(error) => {
                failures += 1;
                tracing::error!(server = row.slug, %error, "an MCP server's list could not be kept");
            }
        }
        pause = match known.seen().state {
            State::Failed | State::AuthFailed => TTL_DEFAULT,
            _ if failures > 0 => after(failures),
            _ => servers.kept_row(&tenant, &server_id).map_or(TTL_DEFAULT, |row| holds(&row)),
        };
    }
}

/// How long a list holds.
fn holds(row: &McpServer) -> Duration {
    let ttl = row.ttl_ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
    ttl.unwrap_or(TTL_DEFAULT)
}

/// Notices that a list has changed, one soon after the other.
#[derive(Default)]
struct Changes {
    in_a_row: u32,
    last: Option<Instant>,
}

impl Changes {
    /// How long to wait after a notice that comes now: more may come.
    fn pause(&mut self, now: Instant) -> Duration {
        let is_soon = self.last.is_some_and(|last| now - last < 2 * CHANGE_PAUSE_MAX);
        self.in_a_row = if is_soon { self.in_a_row.saturating_add(1) } else { 0 };
        self.last = Some(now);
        // The first few are a server that starts up, or a person at work.
        let doubled = self.in_a_row.saturating_sub(CHANGES_AT_ONCE).min(6);
        (DEBOUNCE * (1 << doubled)).min(CHANGE_PAUSE_MAX)
    }
}

/// How long to wait after so many failures in a row.
fn after(failures: u32) -> Duration {
    Duration::from_secs(1 << (failures - 1).min(6)).min(DOWN_PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_down_is_tried_ever_more_slowly() {
        let seconds: Vec<_> = (1..9).map(|failures| after(failures).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(after(u32::MAX), DOWN_PAUSE_MAX);
    }

    #[tokio::test]
    async fn a_server_whose_list_always_changes_is_asked_ever_more_slowly() {
        let (mut changes, mut now) = (Changes::default(), Instant::now());
        let mut next = |quiet: Duration| {
            now += quiet;
            changes.pause(now).as_secs()
        };
        let pauses: Vec<_> = (0..12).map(|_| next(Duration::from_secs(1))).collect();
        assert_eq!(pauses, [1, 1, 1, 1, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(next(CHANGE_PAUSE_MAX), 60, "it slowed down because it was told to wait");
        assert_eq!(next(2 * CHANGE_PAUSE_MAX), 1, "it has been quiet since");
    }
}
