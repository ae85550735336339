//! The accept loop: sockets in, poem requests out, HTTP/1.1 and HTTP/2 with prior knowledge on one port.
//!
//! poem's own server spins when descriptors run out, waits for ever for a request head, and keeps a client that takes
//! nothing. This one hands every socket to hyper and keeps the bounds here.
//!
//! Rule: nothing here looks at a path, a header or a body, and every wait has a bound in [`Limits`].
//! Rule: a client that shuts its half of the socket has asked and still listens. One that is gone looks the same until
//! something is said to it, which a silent stream does every few seconds.
//! Deliberately absent: TLS (a proxy's work), and a limit on slow request bodies (who reads a body bounds it).

use std::{
    convert::Infallible,
    future::pending,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use poem::{
    Endpoint,
    http::uri::Scheme,
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::error::{Error, Reason, Result};

/// Connections the kernel keeps for us until we accept them.
const BACKLOG_CONNECTIONS: u32 = 4096;
/// How long a failed accept rests: time for a descriptor to come free, and ten log lines a second at most.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often a silent HTTP/2 peer is pinged, and how long it may take to answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 200;
/// The whole of a request's headers.
const HEADERS_BYTES_MAX: usize = 64 * 1024;
/// What is buffered for a client that does not take it; the next piece of its answer is asked for when this is gone.
const UNSENT_BYTES_MAX: usize = 64 * 1024;

/// The bounds of one server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open connections. The next one waits in the kernel's backlog: it is served when a place comes free, where a
    /// refusal would make every client of a short rush try again at once.
    pub connections_max: usize,
    /// How long a request head may take, and so how long a connection may be idle between two requests.
    pub header_timeout: Duration,
    /// How long written bytes may stay unacknowledged, or a peer's window shut, before the kernel ends the connection: a
    /// peer that is gone without a word, or never reads, would hold its place for ever.
    pub write_stall_max: Duration,
    /// The age at which a connection is asked to end after what it is doing, so that none holds its place for ever.
    pub connection_age_max: Duration,
    /// How long running responses may go on after the shutdown.
    pub drain_timeout: Duration,
}

/// Open connections where descriptors do not bound them.
const CONNECTIONS_MAX: usize = 8192;

impl Limits {
    /// Leaves half of the descriptors to providers' sockets and to the file: clients that take all there are would
    /// otherwise get no answer.
    pub fn within(self, descriptors_max: u64) -> Self {
        let half = usize::try_from(descriptors_max / 2).unwrap_or(usize::MAX);
        Self { connections_max: self.connections_max.min(half.max(1)), ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_MAX,
            header_timeout: Duration::from_secs(10),
            write_stall_max: Duration::from_secs(60),
            connection_age_max: Duration::from_secs(3600),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// Open files where the kernel does not say how many there may be.
const DESCRIPTORS_DEFAULT: u64 = 1024;

/// An address that is being listened on.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    local_addr: SocketAddr,
}

impl Listener {
    /// Listens on an IPv4 or IPv6 address; port 0 takes a free one. Needs a tokio runtime around it.
    ///
    /// `[::]` takes IPv4 as well, where the kernel's default says so.
    pub fn bind(addr: SocketAddr) -> Result<Self> {
        Self::listen(addr).map_err(|cause| {
            let taken = cause.kind() == io::ErrorKind::AddrInUse;
            let reason = if taken { Reason::AddressInUse } else { Reason::Other };
            Error::failed_because(reason, format!("cannot listen on {addr}: {cause}"))
        })
    }

    fn listen(addr: SocketAddr) -> io::Result<Self> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        let tcp = socket.listen(BACKLOG_CONNECTIONS)?;
        Ok(Self { local_addr: tcp.local_addr()?, tcp })
    }

    /// Where it listens, with the port it was given.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }
}

/// How many files this process may have open.
pub fn nofile_limit() -> u64 {
    rlimit::Resource::NOFILE.get_soft().unwrap_or(DESCRIPTORS_DEFAULT)
}

/// Serves until `shutdown`, then drains.
///
/// At the shutdown the port is closed, idle connections end at once, and running responses may end in their own time:
/// when `limits.drain_timeout` is over, what still runs is dropped.
pub async fn serve<E: Endpoint + 'static>(
    listener: Listener,
    endpoint: E,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let server = Arc::new(Server { endpoint, http: http_builder(&limits), local_addr: listener.local_addr, limits });
    let places = Arc::new(Semaphore::new(limits.connections_max));
    let stop = watch::Sender::new(());
    // Dropping the set aborts what is left in it, so no connection outlives this call.
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let (socket, peer, place) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener.tcp, &places) => accepted,
        };
        let (server, stopped) = (server.clone(), stop.subscribe());
        connections.spawn(async move {
            server.converse(socket, peer, stopped).await;
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    stop.send_replace(());
    let drained = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.drain_timeout, drained).await.is_err() {
        tracing::warn!(connections = connections.len(), "the drain is over: dropping what still runs");
        connections.shutdown().await;
    }
}

/// Waits for a place, then for somebody to take it.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    if places.available_permits() == 0 {
        tracing::warn!("every connection is taken: the next ones wait");
    }
    let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => return (socket, peer, place),
            // This client gave up while it waited; the next one has nothing to do with it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            // Out of descriptors or memory: the listener stays ready, so trying again at once would spin.
            Err(error) => {
                tracing::error!(%error, "cannot accept connections");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn http_builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .half_close(true)
        .max_buf_size(HEADERS_BYTES_MAX.max(UNSENT_BYTES_MAX));
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(STREAMS_MAX)
        .max_send_buf_size(UNSENT_BYTES_MAX)
        .max_header_list_size(HEADERS_BYTES_MAX as u32);
    builder
}

struct Server<E> {
    endpoint: E,
    http: auto::Builder<TokioExecutor>,
    local_addr: SocketAddr,
    limits: Limits,
}

impl<E: Endpoint + 'static> Server<E> {
    /// Everything that happens on one connection, from its first byte to its last.
    async fn converse(self: Arc<Self>, socket: TcpStream, peer: SocketAddr, mut stopped: watch::Receiver<()>) {
        // Small events must leave at once. Both fail only on a socket that is already dead.
        let _ = socket.set_nodelay(true);
        let _ = socket2::SockRef::from(&socket).set_tcp_user_timeout(Some(self.limits.write_stall_max));
        let spoken = Arc::new(AtomicBool::new(false));
        let service = service_fn(|request: hyper::Request<Incoming>| {
            spoken.store(true, Ordering::Relaxed);
            let (local, remote) = (LocalAddr(self.local_addr.into()), RemoteAddr(peer.into()));
            let (server, request) = (self.clone(), (request, local, remote, Scheme::HTTP));
            async move { Ok::<hyper::Response<_>, Infallible>(server.endpoint.get_response(request.into()).await.into()) }
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(socket), service));
        // hyper's own header timeout begins only when it knows which HTTP is spoken.
        let silent = async {
            sleep(self.limits.header_timeout).await;
            if spoken.load(Ordering::Relaxed) {
                pending().await
            }
        };
        tokio::select! {
            _ = connection.as_mut() => return,
            () = silent => return,
            _ = stopped.changed() => {}
            () = sleep(self.limits.connection_age_max) => {}
        }
        connection.as_mut().graceful_shutdown();
        // An error here is a client that left: there is nobody to tell.
        let _ = connection.await;
    }
}

#[cfg(test)]
mod tests;
