//! ureq, read when the socket is ready: a thread waits for each response head, none for a body.
//!
//! ureq is blocking, yet its body reader keeps all its state when a read says `WouldBlock`, and goes on at the next
//! one. So connecting, TLS, sending and the head run as ureq runs them, on a thread; then the socket turns
//! non-blocking and the body is read by whoever polls it. A call knows its socket and a socket knows its call, so that
//! dropping a call shuts down what blocks, and never a connection it has already given back.
//!
//! Rule: dropping is cancelling, and nothing else is: both the future of [`Client::send`] and [`Body`].
//! Rule: only `transport.rs` uses ureq's transport interface, which ureq may change with any minor release; the tests
//! prove what is not promised, that a body survives any split.
//! Deliberately absent: SOCKS (its sockets are not ours to read) and gzip (its reader hides `WouldBlock`).

mod transport;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;
use ureq::config::Config;
use ureq::http::{Request, Response, response};
use ureq::{Agent, BodyReader, Error};

use transport::Socket;

/// Enough for a TLS handshake in an unoptimised build; only what is touched costs memory.
const HEAD_STACK_BYTES: usize = 256 * 1024;
/// A read that finds nothing although the socket was ready is repeated this often before the worker looks elsewhere.
const READS_PER_POLL_MAX: usize = 8;
/// What a dying pooled connection may still say: a TLS goodbye of 24 to 31 bytes, which is less than any useful head.
const GOODBYE_BYTES_MAX: usize = 31;
/// The holder of a socket that no call uses.
const NOBODY: u64 = 0;

/// ureq with a pool of connections whose bodies are read without a thread.
pub(super) struct Client {
    agent: Agent,
    runtime: Handle,
    heads: Arc<Semaphore>,
    /// A runtime for its pool of threads and for nothing else. A new thread costs more than a short reply, and the pool
    /// of the runtime around us is everybody's. Absent in the moment of the drop.
    threads: Option<Runtime>,
}

/// Why no head came.
#[derive(Debug)]
pub(super) enum SendError {
    /// As many heads are being waited for as may be.
    TooMany,
    /// ureq failed.
    Failed {
        /// How.
        cause: Error,
        /// The connection had served an earlier request.
        reused: bool,
        /// Something came back, so the request was read and must not be sent twice.
        answered: bool,
    },
}

/// Which connection a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connection {
    /// A pooled one if there is one.
    Any,
    /// A new one; pooled ones of the same host are closed.
    Fresh,
}

impl Client {
    /// A client that waits for at most `heads_max` heads at a time. Needs a running tokio.
    pub(super) fn new(config: Config, heads_max: usize) -> io::Result<Self> {
        let threads = Builder::new_current_thread()
            .thread_name("model-head")
            .thread_stack_size(HEAD_STACK_BYTES)
            .max_blocking_threads(heads_max.max(1))
            .build()?;
        Ok(Client {
            agent: transport::agent(config),
            runtime: Handle::current(),
            heads: Arc::new(Semaphore::new(heads_max)),
            threads: Some(threads),
        })
    }

    /// Sends a request and waits for the head of its response, whatever its status.
    pub(super) async fn send(
        &self,
        request: Request<Bytes>,
        connection: Connection,
    ) -> Result<Response<Body>, SendError> {
        let permit = self.heads.clone().try_acquire_owned().map_err(|_| SendError::TooMany)?;
        let call = CancelOnDrop(Arc::new(Call::new(connection)));
        let (agent, runtime, own) = (self.agent.clone(), self.runtime.clone(), call.0.clone());
        let threads = self.threads.as_ref().ok_or(SendError::TooMany)?;
        // Nobody waits for it once the call is cancelled; what came is then closed over there.
        let head = threads.spawn_blocking(move || {
            let _permit = permit;
            let _runtime = runtime.enter();
            CURRENT.set(Some(own.clone()));
            let head = own.head(&agent, request);
            CURRENT.set(None);
            head
        });
        let panicked = || SendError::Failed { cause: Error::ConnectionFailed, reused: false, answered: true };
        let (parts, reader, socket) = head.await.map_err(|_| panicked())??;
        Ok(Response::from_parts(parts, Body { reader, socket, _cancel: call }))
    }
}

impl Drop for Client {
    /// Waits for no thread: those that still wait for a head belong to calls that are cancelled.
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

/// A response body. Dropping it before its end closes the connection; at its end the connection is pooled.
pub(super) struct Body {
    reader: BodyReader<'static>,
    /// None if the body was over with the head; then a read ends at once.
    socket: Option<Arc<Socket>>,
    _cancel: CancelOnDrop,
}

impl Body {
    /// Reads what has arrived, at most `buffer`; 0 is the end. Must not be called again after an error: ureq has then
    /// dropped its state and would report a clean end.
    pub(super) fn poll_read(&mut self, cx: &mut Context, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        for _ in 0..READS_PER_POLL_MAX {
            match (self.reader.read(buffer), &self.socket) {
                (Err(e), Some(socket)) if e.kind() == ErrorKind::WouldBlock => {
                    ready!(socket.io.poll_read_ready(cx))?.retain_ready();
                }
                (done, _) => return Poll::Ready(done),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads until the end, or until `bytes_max` are there.
    pub(super) async fn read_up_to(&mut self, bytes_max: usize) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        let mut buffer = vec![0; bytes_max.min(4096)];
        while all.len() < bytes_max {
            match std::future::poll_fn(|cx| self.poll_read(cx, &mut buffer)).await? {
                0 => break,
                n => all.extend_from_slice(&buffer[..n]),
            }
        }
        Ok(all)
    }
}

thread_local! {
    /// The call this head thread works for; none on tokio's workers.
    static CURRENT: RefCell<Option<Arc<Call>>> = const { RefCell::new(None) };
}

/// One request, from its head thread to the end of its body.
struct Call {
    id: u64,
    connection: Connection,
    cancelled: AtomicBool,
    /// Locked before the socket's own lock, never after.
    socket: Mutex<Option<Arc<Socket>>>,
}

type Head = (response::Parts, BodyReader<'static>, Option<Arc<Socket>>);

impl Call {
    fn new(connection: Connection) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(NOBODY + 1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Call { id, connection, cancelled: AtomicBool::new(false), socket: Mutex::new(None) }
    }

    /// Blocks until the head has come. Runs on a thread that may block, inside the runtime's context.
    fn head(self: Arc<Self>, agent: &Agent, request: Request<Bytes>) -> Result<Head, SendError> {
        let (parts, body) = request.into_parts();
        let response = if body.is_empty() {
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
    fn claim(&self, socket: &Arc<Socket>) -> io::Result<()> {
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
            cause,
            reused: usage.as_ref().is_some_and(|usage| usage.reused),
            answered: usage.as_ref().is_some_and(|usage| usage.received_bytes > GOODBYE_BYTES_MAX),
        }
    }
}

/// Ends its call when dropped: whatever blocks on the socket returns, and the other side sees the end.
struct CancelOnDrop(Arc<Call>);

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

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
