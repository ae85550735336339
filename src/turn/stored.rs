//! Writes that must not be lost are tried until the file takes them.
//!
//! Rule: a disk that is full does not stay so. What a turn said waits in memory meanwhile; new turns are refused, so
//! what waits is bounded by the turns that ran.

use std::time::Duration;

use crate::error::{Error, Result};

/// The wait between two tries, long enough for a log that stays readable while a disk is full.
pub(super) const STORE_RETRY: Duration = Duration::from_secs(5);

/// Tries until the file takes it, or refuses it for good.
pub(super) async fn until_stored<F>(write: impl Fn() -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    loop {
        match write().await {
            Err(Error::Unavailable { .. }) => tokio::time::sleep(STORE_RETRY).await,
            done => return done,
        }
    }
}

/// Tries once; what the file does not take now is tried again in a task of its own.
pub(super) async fn now_or_later<F>(what: &'static str, write: impl Fn() -> F + Send + 'static) -> Result<()>
where
    F: Future<Output = Result<()>> + Send,
{
    let now = write().await;
    if let Err(Error::Unavailable { .. }) = &now {
        tokio::spawn(async move {
            tokio::time::sleep(STORE_RETRY).await;
            match until_stored(write).await {
                Ok(()) => tracing::info!("{what}, now that the file takes writes again"),
                Err(error) => tracing::error!(%error, "{what}: that failed for good"),
            }
        });
    }
    now
}
