//! What a server of the new protocol says of its list: a subscription, which lives as long as its connection.
//!
//! Rule: one that fails is begun again, ever more slowly, and does nothing else: the list is asked for all the same when it is due.

use std::{sync::Arc, time::Duration};

use rmcp::{
    RoleClient,
    model::{ErrorCode, ServerNotification, SubscriptionFilter},
    service::{Peer, ServiceError},
};
use tokio::{
    sync::Notify,
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};

/// How long a server may take to say that it will tell.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(15);
/// A subscription that lasted this long has not failed.
const LASTED: Duration = Duration::from_secs(60);
/// Between two tries, at most.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The task that listens; it ends with this.
pub(super) struct Listening(AbortHandle);

impl Listening {
    pub(super) fn begin(peer: Peer<RoleClient>, changed: Arc<Notify>) -> Self {
        Listening(tokio::spawn(listen(peer, changed)).abort_handle())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn listen(peer: Peer<RoleClient>, changed: Arc<Notify>) {
    let (mut failed, mut has_missed) = (0, false);
    while !peer.is_transport_closed() {
        let began = Instant::now();
        if let Err(ServiceError::McpError(refused)) = hear(&peer, &changed, &mut has_missed).await
            && refused.code == ErrorCode::METHOD_NOT_FOUND
        {
            return;
        }
        failed = if began.elapsed() > LASTED { 1 } else { failed + 1 };
        sleep(pause_after(failed)).await;
    }
}

/// Until one subscription is over.
async fn hear(peer: &Peer<RoleClient>, changed: &Notify, has_missed: &mut bool) -> Result<(), ServiceError> {
    let tools = SubscriptionFilter::builder().tools_list_changed().build();
    let waited = timeout(ACKNOWLEDGE_TIMEOUT, peer.listen(tools)).await;
    let mut subscription = waited.map_err(|_| ServiceError::Timeout { timeout: ACKNOWLEDGE_TIMEOUT })??;
    // What was said between two of them nobody heard.
    if std::mem::replace(has_missed, true) {
        changed.notify_one();
    }
    while let Some(notice) = subscription.next().await? {
        if let ServerNotification::ToolListChangedNotification(_) = notice {
            changed.notify_one();
        }
    }
    Ok(())
}

/// How long to wait after so many failures in a row.
fn pause_after(failed: u32) -> Duration {
    Duration::from_secs(1 << failed.min(6)).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_is_begun_ever_more_slowly() {
        let seconds: Vec<_> = (1..8).map(|failed| pause_after(failed).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause_after(u32::MAX), PAUSE_MAX);
    }
}
