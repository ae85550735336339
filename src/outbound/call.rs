//! One request and the socket it holds: each knows the other, so that a dropped call shuts down what blocks, and never a
//! connection that it has given back.

use std::{
    cell::RefCell,
    io::{self, ErrorKind},
    net::Shutdown,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use ureq::{
    Agent, BodyReader, Error,
    http::{Method, Request, response},
};

use super::{
    failure::SendError,
    socket::{NO_CALL, Socket, locked},
};

/// What a dying pooled connection may still say: a TLS goodbye of 24 to 31 bytes, which is less than any useful head.
const GOODBYE_BYTES_MAX: usize = 31;

/// Which connection a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// A pooled one if there is one.
    Any,
    /// A new one; pooled ones of the same host are closed.
    Fresh,
}

thread_local! {
    /// The call this head thread works for; none on tokio's workers.
    pub(super) static CURRENT: RefCell<Option<Arc<Call>>> = const { RefCell::new(None) };
}

/// One request, from its head thread to the end of its body.
pub(super) struct Call {
    id: u64,
    pub(super) connection: Connection,
    cancelled: AtomicBool,
    /// There is a connection to where the request goes, the proxy's tunnel and the handshake included.
    connected: AtomicBool,
    /// The request has begun to leave.
    sent: AtomicBool,
    /// Locked before the socket's own lock, never after.
    socket: Mutex<Option<Arc<Socket>>>,
}

pub(super) type Head = (response::Parts, BodyReader<'static>, Option<Arc<Socket>>);

impl Call {
    pub(super) fn new(connection: Connection) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(NO_CALL + 1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Call {
            id,
            connection,
            cancelled: AtomicBool::new(false),
            connected: AtomicBool::new(false),
            sent: AtomicBool::new(false),
            socket: Mutex::new(None),
        }
    }

    pub(super) fn note_connected(&self) {
        self.connected.store(true, Ordering::SeqCst);
    }

    /// Something is about to be written: of the request, if there is a connection.
    pub(super) fn note_sending(&self) {
        if self.connected.load(Ordering::SeqCst) {
            self.sent.store(true, Ordering::SeqCst);
        }
    }

    /// Whether the request may have left.
    pub(super) fn is_sent(&self) -> bool {
        self.sent.load(Ordering::SeqCst)
    }

    /// Blocks until the head has come. Runs on a thread that may block, inside the runtime's context.
    pub(super) fn head(self: Arc<Self>, agent: &Agent, request: Request<Bytes>) -> Result<Head, SendError> {
        let (parts, body) = request.into_parts();
        let has_no_body = body.is_empty() && !matches!(parts.method, Method::POST | Method::PUT | Method::PATCH);
        let response = if has_no_body {
            agent.run(Request::from_parts(parts, ()))
        } else {
            agent.run(Request::from_parts(parts, &body[..]))
        };
        let response = response.map_err(|cause| self.failed(cause))?;
        let socket = self.hand_over().map_err(|e| self.failed(e.into()))?;
        let (parts, body) = response.into_parts();
        Ok((parts, body.into_reader(), socket))
    }

    /// Turns the socket non-blocking, unless the body is already over: then the socket is in the pool, or another's.
    fn hand_over(&self) -> io::Result<Option<Arc<Socket>>> {
        let Some(socket) = locked(&self.socket).clone() else { return Ok(None) };
        let mut usage = locked(&socket.usage);
        if usage.holder != self.id {
            return Ok(None);
        }
        socket.io.get_ref().set_nonblocking(true)?;
        usage.streaming = true;
        drop(usage);
        Ok(Some(socket))
    }

    /// Takes the socket for this call, or refuses to go on if the call was cancelled meanwhile.
    pub(super) fn claim(&self, socket: &Arc<Socket>) -> io::Result<()> {
        let mut slot = locked(&self.socket);
        locked(&socket.usage).holder = self.id;
        if !slot.as_ref().is_some_and(|known| Arc::ptr_eq(known, socket)) {
            *slot = Some(socket.clone());
        }
        if self.cancelled.load(Ordering::SeqCst) { Err(ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    fn failed(&self, cause: Error) -> SendError {
        let slot = locked(&self.socket);
        let usage = slot.as_ref().map(|socket| locked(&socket.usage));
        SendError::Failed {
            cause: cause.into(),
            reused: usage.as_ref().is_some_and(|usage| usage.reused),
            answered: usage.as_ref().is_some_and(|usage| usage.received_bytes > GOODBYE_BYTES_MAX),
            sent: self.is_sent(),
        }
    }
}

/// Ends its call when dropped: whatever blocks on the socket returns, and the other side sees the end.
pub(super) struct CancelOnDrop(pub(super) Arc<Call>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancelled.store(true, Ordering::SeqCst);
        if let Some(socket) = &*locked(&self.0.socket) {
            let usage = locked(&socket.usage);
            if usage.holder == self.0.id {
                // It fails on a socket that is closed already, which is what is wanted.
                let _ = socket.io.get_ref().shutdown(Shutdown::Both);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::scripted::Server,
        outbound::{Options, ProviderClients, Whose},
    };

    #[tokio::test]
    async fn what_is_no_longer_than_a_goodbye_is_no_answer() {
        for (bytes, is_answer) in
            [(GOODBYE_BYTES_MAX - 1, false), (GOODBYE_BYTES_MAX, false), (GOODBYE_BYTES_MAX + 1, true)]
        {
            let server = Server::start(move |_, peer| {
                peer.request()?;
                peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")?;
                peer.request()?;
                peer.send(&b"HTTP/1.1 204 No Content\r\nconnection: keep-alive"[..bytes])
            });
            let clients = ProviderClients::new(&Options { proxy_from_env: false, ..Options::default() }).unwrap();
            let client = clients.of(Whose::Operators);
            let request = || Request::get(format!("http://{}/", server.address)).body(Bytes::new()).unwrap();
            client.send(request(), Connection::Any).await.unwrap();
            let failed = client.send(request(), Connection::Any).await.map(drop);
            let Err(SendError::Failed { reused: true, answered, .. }) = failed else { panic!("{failed:?}") };
            assert_eq!(answered, is_answer, "{bytes}");
        }
    }
}
