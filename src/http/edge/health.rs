//! Whether the server lives and whether it can work, for supervisors and load balancers.

use std::{
    net::{Ipv4Addr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use poem::{handler, web::Data};
use serde::Serialize;
use tokio::time::timeout;

use crate::{
    error::{Error, NO_DESCRIPTOR, Result as Outcome, is_out_of_descriptors},
    http::{
        state::App,
        wire::{data::Data as Success, envelope::ApiError},
    },
};

/// How long a client waits without descriptors: as long as a client that does not ask may keep its own.
const DESCRIPTOR_RETRY: Duration = Duration::from_secs(10);

/// How long the file may take for one write before it counts as stalled.
const CHECK_WAIT: Duration = Duration::from_secs(5);
/// What is said of it then.
const STALLED: &str = "the database's disk does not respond: check it";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    status: &'static str,
    /// Of a server that runs models itself. It is ready before they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    local_models: Vec<LocalModelStatus>,
}

#[derive(Serialize)]
struct LocalModelStatus {
    name: String,
    state: &'static str,
}

/// The process answers.
#[handler]
pub async fn healthz() -> Success<Status> {
    Success::of(&Status { status: "alive", local_models: Vec::new() })
}

/// The file can be read and written, there are descriptors left, and the server is not going down.
#[handler]
pub async fn readyz(Data(app): Data<&Arc<App>>) -> Result<Success<Status>, ApiError> {
    app.refuse_while_draining()?;
    check_descriptors()?;
    match timeout(CHECK_WAIT, app.store.check()).await {
        Ok(checked) => checked?,
        Err(_) => return Err(ApiError(Error::Unavailable { message: STALLED.into(), retry_after: CHECK_WAIT })),
    }
    let local = app.catalog.local().all().iter().map(|model| {
        let status = model.status();
        LocalModelStatus { name: status.name, state: status.state.as_str() }
    });
    Ok(Success::of(&Status { status: "ready", local_models: local.collect() }))
}

/// Whether there is a descriptor left for the next client and the next reply.
fn check_descriptors() -> Outcome<()> {
    match UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) {
        Err(error) if is_out_of_descriptors(&error) => {
            Err(Error::Unavailable { message: NO_DESCRIPTOR.into(), retry_after: DESCRIPTOR_RETRY })
        }
        _ => Ok(()),
    }
}
