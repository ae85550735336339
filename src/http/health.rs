//! Whether the server lives and whether it can work, for supervisors and load balancers.

use std::{sync::Arc, time::Duration};

use poem::{handler, web::Data};
use serde::Serialize;

use super::{App, data::Data as Success, envelope::ApiError};
use crate::error::Error;

/// What a client that comes while we drain is told to wait: a successor is up by then.
const DRAINING_RETRY: Duration = Duration::from_secs(5);

#[derive(Serialize)]
pub struct Status {
    status: &'static str,
}

/// The process answers.
#[handler]
pub async fn healthz() -> Success<Status> {
    Success::of(&Status { status: "alive" })
}

/// The file can be read and written, and the server is not going down.
#[handler]
pub async fn readyz(Data(app): Data<&Arc<App>>) -> Result<Success<Status>, ApiError> {
    app.refuse_while_draining()?;
    app.store.check().await?;
    Ok(Success::of(&Status { status: "ready" }))
}

/// What new work is told while the server goes down.
pub fn draining() -> Error {
    Error::Unavailable { message: "the server is going down: try again in a few seconds", retry_after: DRAINING_RETRY }
}
