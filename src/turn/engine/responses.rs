//! The turns of responses, by their rows: another turn may run in their session by the time that somebody asks for one.

use std::{sync::Arc, time::Duration};

use super::Engine;
use crate::{
    store::{Tenant, TurnRow},
    turn::running::RunningTurn,
};

/// How long a response is kept after the last turn of its session, unless the server says otherwise; then it is gone.
pub const RESPONSE_KEEP: Duration = Duration::from_secs(30 * 24 * 3_600);

impl Engine {
    /// The turn of a response, if it runs.
    pub fn running_response(&self, tenant: &Tenant, session_id: &str, turn: TurnRow) -> Option<Arc<RunningTurn>> {
        self.find(tenant, session_id).filter(|running| running.row == turn).map(|running| running.turn)
    }

    /// Stops a response if it runs, and waits until what it said is stored.
    pub async fn stop_response(&self, tenant: &Tenant, session_id: &str, turn: TurnRow) {
        if self.running_response(tenant, session_id, turn).is_some() {
            self.stop(tenant, session_id).await;
        }
    }
}
