//! Who looks after a server: asks for its list when it is due, when it has changed, and until a server that is down is back.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::{Instant, sleep, sleep_until};

use super::{
    known::{Known, State},
    list::TTL_DEFAULT,
    servers::{DEBOUNCE, Servers},
};
use crate::store::{Tenant, mcp::McpServer};

/// Between two looks at a server that is down, at most.
pub const DOWN_PAUSE_MAX: Duration = Duration::from_secs(60);

impl Servers {
    /// Has somebody look after a server, if there is none yet.
    pub(super) fn look_after(self: &Arc<Self>, tenant: &Tenant, server_id: &str) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let known = self.known(server_id);
        let keeping = known.clone();
        let (servers, tenant, server_id) = (Arc::downgrade(self), tenant.clone(), server_id.to_owned());
        known.keep_by(|| runtime.spawn(keep(servers, keeping, tenant, server_id)).abort_handle());
    }

    /// The row, if it is still to be looked after.
    fn kept_row(&self, tenant: &Tenant, server_id: &str) -> Option<McpServer> {
        self.store.org(tenant).mcp_server_of_id(server_id).ok().filter(|row| row.is_active)
    }
}

async fn keep(servers: Weak<Servers>, known: Arc<Known>, tenant: Tenant, server_id: String) {
    let (mut failures, mut pause) = (0, Duration::ZERO);
    loop {
        let due = Instant::now() + pause;
        let is_due = tokio::select! {
            () = sleep_until(due) => true,
            () = known.poked.notified() => false,
            () = known.changed.notified() => {
                sleep(DEBOUNCE).await;
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
}
