//! The only outbound HTTP: ureq, read when the socket is ready. A thread waits for each response head, none for a body.
//!
//! ureq is blocking, yet its body reader keeps all its state when a read says `WouldBlock`, and goes on at the next
//! one. So connecting, TLS, sending and the head run as ureq runs them, on a thread; then the socket turns
//! non-blocking and the body is read by the task that polls it. `call.rs` ends them.
//!
//! Rule: dropping is cancelling, and nothing else is: both the future of [`Client::send`] and [`Body`].
//! Rule: a redirect is not followed. ureq would turn a POST into a GET, and a key belongs to the host it was given for.
//! Rule: only `transport.rs` and `tls.rs` use ureq's transport interface, which ureq may change with any minor release; the tests
//! prove what is not promised, that a body survives any split.
//! Deliberately absent: SOCKS (its sockets are not ours to read) and gzip (its reader hides `WouldBlock`).

mod allow; // what an operator names as reachable
mod call; // one request, and the socket it holds
mod failure; // why no head came
mod fetch; // whole responses, within bounds
mod networks; // which addresses are public
mod policy; // where a request may go, and what it may not do
mod providers; // the clients of providers
mod socket; // one connection, and who uses it
mod sockets; // our own children, by name
mod tls; // authorities of a file
mod tools; // the clients of tools
mod transport; // ureq's own interface

#[cfg(test)]
mod tests;

use std::{
    io::{self, ErrorKind, Read},
    path::PathBuf,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use rustls::ClientConfig;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::Semaphore,
};
pub use ureq::http;
use ureq::{
    Agent, BodyReader, Proxy,
    config::Config,
    http::{Request, Response},
    unversioned::resolver::Resolver,
};

pub use self::{
    allow::Allowed,
    call::Connection,
    failure::{Cause, SendError, Untrusted},
    fetch::{Bounds, Failure, Fetched},
    policy::{ForbiddenAddress, frames_request, is_loopback},
    providers::{ProviderClients, Whose},
    sockets::{NO_CHILD_HOST, Sockets, child_host, is_child_host},
    tls::agent_trusting,
    tools::{Row, ToolClients},
};
use self::{
    call::{CURRENT, Call, CancelOnDrop},
    policy::Guard,
    socket::Socket,
    transport::NoNames,
};
use crate::error::{Error, Result};

/// Enough for a TLS handshake in an unoptimised build; only what is touched costs memory.
const HEAD_STACK_BYTES: usize = 256 * 1024;
/// A read that finds nothing although the socket was ready is repeated this often before the worker looks elsewhere.
const READS_PER_POLL_MAX: usize = 8;
/// Until a response begins: a local model is loaded, or reads a long prompt.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// Between two reads of a body.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const INPUT_BUFFER_BYTES: usize = 16 * 1024;
const OUTPUT_BUFFER_BYTES: usize = 8 * 1024;
/// Idle connections kept, so that a burst of short replies does not open one each.
const IDLE_CONNECTIONS_MAX: usize = 256;
const IDLE_CONNECTIONS_PER_HOST_MAX: usize = 64;
/// For one write of a request; a long conversation takes many.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// What bounds requests.
#[derive(Debug, Clone)]
pub struct Options {
    /// The certificates to trust instead of the built-in public authorities', in PEM or DER.
    pub ca_file: Option<PathBuf>,
    /// Whether `HTTPS_PROXY` and its kin are read from the environment, for providers.
    pub proxy_from_env: bool,
    /// If it names something, providers that owners added reach nothing else.
    pub upstream_allow: Allowed,
    /// What tools reach besides public addresses.
    pub tool_allow: Allowed,
    /// The proxy that tools go through, and which then resolves for them.
    pub tool_proxy: Option<String>,
    /// Where our own children are reached.
    pub sockets: Sockets,
    /// Requests that may wait for their response head at a time. Each costs a thread, some 30 KB, and no CPU.
    pub heads_max: usize,
    /// For TCP and TLS together, once the name is looked up.
    pub connect_timeout: Duration,
    /// From the request to the response head. A local model is loaded meanwhile, which takes minutes.
    pub head_timeout: Duration,
    /// Between two reads of a body. Comments count.
    pub idle_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            ca_file: None,
            proxy_from_env: true,
            upstream_allow: Allowed::default(),
            tool_allow: Allowed::default(),
            tool_proxy: None,
            sockets: Sockets::default(),
            // As many as there may be turns: to wait for a model is what turns do.
            heads_max: 4096,
            connect_timeout: Duration::from_secs(10),
            head_timeout: HEAD_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
        }
    }
}

/// ureq with a pool of connections whose bodies are read without a thread.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    head_timeout: Duration,
    idle_timeout: Duration,
    threads: Arc<Threads>,
}

/// Where heads are waited for: a runtime for its pool of threads and for nothing else. A new thread costs more than a short reply,
/// and the pool of the runtime around us is everybody's.
struct Threads {
    places: Arc<Semaphore>,
    /// Absent in the moment of the drop.
    runtime: Option<Runtime>,
}

impl Threads {
    fn new(heads_max: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .thread_name("response-head")
            .thread_stack_size(HEAD_STACK_BYTES)
            .max_blocking_threads(heads_max.max(1))
            .build()?;
        Ok(Threads { places: Arc::new(Semaphore::new(heads_max)), runtime: Some(runtime) })
    }
}

impl Drop for Threads {
    /// Waits for no thread: those that still wait for a head belong to calls that are cancelled.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What clients of one kind share: bounds, authorities, and the threads that wait for heads.
struct Base {
    options: Options,
    tls: Option<Arc<ClientConfig>>,
    threads: Arc<Threads>,
}

impl Base {
    /// Reads the authorities.
    fn new(options: &Options) -> Result<Self> {
        let tls = options.ca_file.as_deref().map(tls::trusting).transpose()?;
        let threads = Arc::new(Threads::new(options.heads_max).map_err(Error::internal)?);
        Ok(Base { options: options.clone(), tls, threads })
    }

    /// The client of our children, with a pool of its own.
    fn of_children(&self) -> Client {
        self.client(Guard::Children(self.options.sockets.clone()), None, NoNames)
    }

    /// A client with a pool of its own.
    fn client(&self, guard: Guard, proxy: Option<Proxy>, resolver: impl Resolver) -> Client {
        let options = &self.options;
        let config = Config::builder()
            .proxy(proxy)
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("alm/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .timeout_connect(Some(options.connect_timeout))
            .timeout_recv_response(Some(options.head_timeout))
            .timeout_per_write(Some(WRITE_TIMEOUT))
            .input_buffer_size(INPUT_BUFFER_BYTES)
            .output_buffer_size(OUTPUT_BUFFER_BYTES)
            .max_idle_connections(IDLE_CONNECTIONS_MAX)
            .max_idle_connections_per_host(IDLE_CONNECTIONS_PER_HOST_MAX)
            .build();
        Client {
            agent: transport::agent(config, self.tls.clone(), guard, resolver),
            head_timeout: options.head_timeout,
            idle_timeout: options.idle_timeout,
            threads: self.threads.clone(),
        }
    }
}

impl Client {
    /// For our own children, and nothing else.
    pub fn of_children(options: &Options) -> Result<Self> {
        Ok(Base::new(options)?.of_children())
    }

    /// How long a response may take to begin.
    pub fn head_timeout(&self) -> Duration {
        self.head_timeout
    }

    /// How long a body may be silent. It is the reader of the body who waits.
    pub fn idle_timeout(&self) -> Duration {
        self.idle_timeout
    }

    #[cfg(test)]
    fn with_config(config: Config, heads_max: usize) -> io::Result<Self> {
        let guard = Guard::Providers { only: None };
        Self::with_agent(transport::agent(config, None, guard, transport::Names::default()), heads_max)
    }

    #[cfg(test)]
    fn of_children_with_config(config: Config, heads_max: usize, sockets: Sockets) -> io::Result<Self> {
        Self::with_agent(transport::agent(config, None, Guard::Children(sockets), NoNames), heads_max)
    }

    #[cfg(test)]
    fn with_agent(agent: Agent, heads_max: usize) -> io::Result<Self> {
        Ok(Client {
            agent,
            head_timeout: HEAD_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            threads: Arc::new(Threads::new(heads_max)?),
        })
    }

    /// Sends a request and waits for the head of its response, whatever its status.
    pub async fn send(&self, request: Request<Bytes>, connection: Connection) -> Result<Response<Body>, SendError> {
        self.send_as(CancelOnDrop(Arc::new(Call::new(connection))), request).await
    }

    /// The same for a call that its caller keeps an eye on.
    async fn send_as(&self, call: CancelOnDrop, request: Request<Bytes>) -> Result<Response<Body>, SendError> {
        let permit = self.threads.places.clone().try_acquire_owned().map_err(|_| SendError::TooMany)?;
        let (agent, runtime, own) = (self.agent.clone(), Handle::current(), call.0.clone());
        let threads = self.threads.runtime.as_ref().ok_or(SendError::TooMany)?;
        // Nobody waits for it once the call is cancelled; what came is then closed over there.
        let head = threads.spawn_blocking(move || {
            let _permit = permit;
            let _runtime = runtime.enter();
            CURRENT.set(Some(own.clone()));
            let head = own.head(&agent, request);
            CURRENT.set(None);
            head
        });
        let panicked = || SendError::Failed {
            cause: Cause::Other("a thread panicked".into()),
            reused: false,
            answered: true,
            sent: true,
        };
        let (parts, reader, socket) = head.await.map_err(|_| panicked())??;
        Ok(Response::from_parts(parts, Body { reader, socket, _cancel: call }))
    }
}

/// A response body. Dropping it before its end closes the connection; at its end the connection is pooled.
pub struct Body {
    reader: BodyReader<'static>,
    /// None if the body was over with the head; then a read ends at once.
    socket: Option<Arc<Socket>>,
    _cancel: CancelOnDrop,
}

impl Body {
    /// Reads what has arrived, at most `buffer`; 0 is the end. Must not be called again after an error: ureq has then
    /// dropped its state and would report a clean end.
    pub fn poll_read(&mut self, cx: &mut Context, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
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

    /// Waits for the next piece, at most `buffer`; 0 is the end. Must not be called again after an error.
    pub async fn piece(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_read(cx, buffer)).await
    }

    /// Reads until the end, or until `bytes_max` are there; more are never taken.
    pub async fn read_up_to(&mut self, bytes_max: usize) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        let mut buffer = vec![0; bytes_max.min(4096)];
        while all.len() < bytes_max {
            let room = buffer.len().min(bytes_max - all.len());
            match self.piece(&mut buffer[..room]).await? {
                0 => break,
                n => all.extend_from_slice(&buffer[..n]),
            }
        }
        Ok(all)
    }
}
