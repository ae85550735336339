//! What tools ask for: whole responses within bounds, and whether a request that failed may have taken effect.
//!
//! Rule: nothing is sent twice, unless its caller says that it may be. A pooled connection may have died unseen, and then nobody can
//! tell whether the request was read: so what must happen once gets a new connection.
//! Rule: the time is for all of it: a server that drips bytes gains none.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};
use ureq::http::{HeaderMap, Request, Response, StatusCode};

use super::{
    Body, Client,
    call::{Call, CancelOnDrop, Connection},
    failure::{Cause, SendError},
};

/// What a request may cost.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// From its beginning to the end of its body.
    pub time_max: Duration,
    /// The body; more is not read.
    pub bytes_max: usize,
    /// The same request twice is as good as once, so it may go over a pooled connection, and again if that one was dead.
    pub may_repeat: bool,
}

/// A response.
#[derive(Debug)]
pub struct Fetched {
    /// Its status, whatever it is.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, or the beginning of it.
    pub body: Vec<u8>,
    /// The body was longer.
    pub is_cut: bool,
}

/// Why there is no response.
#[derive(Debug)]
pub enum Failure {
    /// The request did not leave: it has had no effect.
    NotSent(Cause),
    /// The connection broke, or what came was no HTTP; it may have taken effect.
    Cut(Cause),
    /// No answer in time; it may have taken effect.
    Timeout,
}

impl Failure {
    fn of(error: SendError) -> Self {
        match error {
            SendError::TooMany => Failure::NotSent(Cause::TooMany),
            SendError::Failed { cause, sent: false, .. } => Failure::NotSent(cause),
            SendError::Failed { cause: Cause::HeadTimeout, .. } => Failure::Timeout,
            SendError::Failed { cause, .. } => Failure::Cut(cause),
        }
    }
}

impl Client {
    /// Sends a request and reads its response. No redirect is followed. Dropping the future closes the connection.
    pub async fn fetch(&self, request: Request<Bytes>, bounds: Bounds) -> Result<Fetched, Failure> {
        let ends = Instant::now() + bounds.time_max;
        let response = self.open_until(request, ends, bounds.may_repeat).await?;
        let (head, mut body) = response.into_parts();
        let read = timeout_at(ends, body.read_up_to(bounds.bytes_max.saturating_add(1))).await;
        let mut body = read.map_err(|_| Failure::Timeout)?.map_err(|error| Failure::Cut(Cause::Io(error)))?;
        let is_cut = body.len() > bounds.bytes_max;
        body.truncate(bounds.bytes_max);
        Ok(Fetched { status: head.status, headers: head.headers, body, is_cut })
    }

    /// Sends a request and waits so long for the head of its response; the body is its caller's to read, piece by piece. Dropping the
    /// future or the body closes the connection.
    pub async fn open(
        &self,
        request: Request<Bytes>,
        head_time_max: Duration,
        may_repeat: bool,
    ) -> Result<Response<Body>, Failure> {
        self.open_until(request, Instant::now() + head_time_max, may_repeat).await
    }

    async fn open_until(
        &self,
        request: Request<Bytes>,
        ends: Instant,
        may_repeat: bool,
    ) -> Result<Response<Body>, Failure> {
        let connection = if may_repeat { Connection::Any } else { Connection::Fresh };
        match self.open_once(request.clone(), connection, ends).await {
            Err(SendError::Failed { reused: true, answered: false, cause: Cause::Io(error), .. })
                if may_repeat && is_end(&error) =>
            {
                self.open_once(request, Connection::Fresh, ends).await.map_err(Failure::of)
            }
            done => done.map_err(Failure::of),
        }
    }

    async fn open_once(
        &self,
        request: Request<Bytes>,
        connection: Connection,
        ends: Instant,
    ) -> Result<Response<Body>, SendError> {
        let call = Arc::new(Call::new(connection));
        match timeout_at(ends, self.send_as(CancelOnDrop(call.clone()), request)).await {
            Ok(sent) => sent,
            // The call is over by now: what has not left never will.
            Err(_) => {
                let sent = call.is_sent();
                let cause = if sent { Cause::HeadTimeout } else { Cause::ConnectTimeout };
                Err(SendError::Failed { cause, reused: false, answered: false, sent })
            }
        }
    }
}

/// Whether a connection had ended before it was used.
fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

#[cfg(test)]
pub(super) mod tests;
