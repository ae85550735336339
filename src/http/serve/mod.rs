//! The accept loop: sockets in, poem requests out, HTTP/1.1 and HTTP/2 with prior knowledge on one port.
//!
//! poem's own server spins when descriptors run out, waits for ever for a request head, and keeps a client that takes
//! nothing. This one hands every socket to hyper and keeps the bounds here.
//!
//! Rule: nothing here looks at a path, a header or a body, and every wait has a bound in [`Limits`]; `life.rs` says which bound
//! a connection is under, `places.rs` who makes room.
//! Rule: a client that shuts its half of the socket has asked and still listens. One that is gone looks the same until
//! something is said to it, which a silent stream does every few seconds. Who needs to know sooner binds its work to the client
//! ([`Client::bind`]), and then the end of what it sends is the end of the connection.
//! Deliberately absent: TLS (a proxy's work), and a limit on slow request bodies (who reads a body bounds it).

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use poem::{
    Endpoint,
    http::{Version, uri::Scheme},
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

pub use self::{
    client::{Bound, Client},
    limits::Limits,
    places::Sharing,
};
use self::{
    life::End,
    places::{Place, Places},
    watched::{Running, Socket, Watched},
};
use crate::error::{Error, Reason, Result};

mod client;
mod life;
mod limits;
mod places;
mod watched;

/// Connections the kernel keeps for us until we accept them.
const BACKLOG_CONNECTIONS: u32 = 4096;
/// How long a failed accept rests: time for a descriptor to come free, and ten log lines a second at most.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often it is looked at whether places run short.
const RELIEF_INTERVAL: Duration = Duration::from_secs(1);
/// How often a silent HTTP/2 peer is pinged, and how long it may take to answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 200;
/// The whole of a request's headers.
const HEADERS_BYTES_MAX: usize = 64 * 1024;
/// What is buffered for a client that does not take it; the next piece of its answer is asked for when this is gone.
const UNSENT_BYTES_MAX: usize = 64 * 1024;

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
            if taken {
                let any = SocketAddr::new(addr.ip(), 0);
                let text = format!("{addr} is taken: choose another with --listen, or {any} for any");
                return Error::failed_because(Reason::AddressInUse, text);
            }
            Error::failed(format!("cannot listen on {addr}: {cause}"))
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

/// Serves until `shutdown`, then drains. `sharing` says which addresses have to share.
///
/// At the shutdown the port is closed, idle connections end at once, and running responses may end in their own time:
/// when `limits.drain_timeout` is over, what still runs is dropped.
pub async fn serve<E: Endpoint + 'static>(
    listener: Listener,
    endpoint: E,
    limits: Limits,
    sharing: Sharing,
    shutdown: impl Future<Output = ()>,
) {
    let server = Arc::new(Server { endpoint, http: http_builder(), local_addr: listener.local_addr, limits });
    let places = Arc::new(Places::new(limits, sharing));
    let stop = watch::Sender::new(());
    // Dropping the set aborts what is left in it, so no connection outlives this call.
    let mut connections = JoinSet::new();
    let accepting = async {
        loop {
            let (socket, peer, permit) = accept(&listener.tcp, &places).await;
            if let Some(place) = places.give(permit, peer) {
                let (server, stopped) = (server.clone(), stop.subscribe());
                connections.spawn(async move { server.converse(socket, peer, place, stopped).await });
            }
            while connections.try_join_next().is_some() {}
        }
    };
    let relieving = async {
        loop {
            sleep(RELIEF_INTERVAL.min(limits.idle_pressed_max)).await;
            places.relieve(Instant::now());
        }
    };
    tokio::select! {
        biased;
        () = shutdown => {}
        () = accepting => {}
        () = relieving => {}
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
async fn accept(listener: &TcpListener, places: &Places) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let permit = places.free().await;
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => return (socket, peer, permit),
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

fn http_builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // hyper's begins while a connection is idle; `Life` knows when a head begins.
        .header_read_timeout(None)
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
    async fn converse(
        self: Arc<Self>,
        socket: TcpStream,
        peer: SocketAddr,
        place: Place,
        mut stopped: watch::Receiver<()>,
    ) {
        // Small events must leave at once. Both fail only on a socket that is already dead.
        let _ = socket.set_nodelay(true);
        let _ = socket2::SockRef::from(&socket).set_tcp_user_timeout(Some(self.limits.write_stall_max));
        let life = &place.life;
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let running = Running::begin(life, request.version() == Version::HTTP_2);
            let (local, remote) = (LocalAddr(self.local_addr.into()), RemoteAddr(peer.into()));
            let (server, client) = (self.clone(), Client::new(life));
            async move {
                let mut request = poem::Request::from((request, local, remote, Scheme::HTTP));
                request.set_data(client);
                let response: hyper::Response<_> = server.endpoint.get_response(request).await.into();
                Ok::<_, Infallible>(response.map(|body| Watched::new(body, running)))
            }
        });
        let socket = TokioIo::new(Socket::new(socket, life.clone()));
        let mut connection = pin!(self.http.serve_connection(socket, service));
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            end = life.overdue(&self.limits) => if end == End::Drop { return },
            () = life.gone() => return,
            () = life.told() => {}
            _ = stopped.changed() => {}
            () = sleep(self.limits.connection_age_max) => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            biased;
            // An error here is a client that left: there is nobody to tell.
            _ = connection => {}
            () = life.left(&self.limits) => {}
            () = life.gone() => {}
        }
    }
}

#[cfg(test)]
mod tests;
