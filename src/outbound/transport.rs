//! The socket, and ureq's way to it.
//!
//! Rule: a socket is blocking until its call hands it over, non-blocking while a body streams, and blocking again in
//! the pool.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustls::ClientConfig;
use socket2::{Domain, SockAddr, Type};
use tokio::io::{Interest, unix::AsyncFd};
use ureq::{
    Agent, Error, ProxyProtocol,
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::{
            Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout,
            RustlsConnector, Transport,
        },
    },
};

use super::{
    call::{CURRENT, Connection},
    policy::{Guard, is_loopback},
    socket::{Socket, Usage, locked},
    sockets::Sockets,
    tls::TlsConnector,
};

/// While a body streams, all that is written are a few bytes of TLS, by a worker that has others to serve.
const STREAMING_WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// ureq over sockets that can be awaited, to where the guard permits.
pub(super) fn agent(config: Config, tls: Option<Arc<ClientConfig>>, guard: Guard, resolver: impl Resolver) -> Agent {
    let (guard, has_proxy) = (Arc::new(guard), config.proxy().is_some());
    let ready = |loopback_only| ReadyConnector { loopback_only, guard: guard.clone(), has_proxy };
    let connectors =
        ().chain(ready(true))
            .chain(ConnectProxyConnector::default())
            .chain(ready(false))
            .chain(TlsConnector(tls))
            .chain(RustlsConnector::default())
            .chain(Arrived { has_proxy });
    Agent::with_parts(config, connectors, resolver)
}

/// Makes a failed look-up recognisable: the standard library gives it no error kind of its own.
#[derive(Debug, Default)]
pub(super) struct Names(DefaultResolver);

impl Resolver for Names {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        self.0.resolve(uri, config, timeout).map_err(|e| if let Error::Io(_) = e { Error::HostNotFound } else { e })
    }
}

/// Nothing has an address: what is reached by a socket's path needs none.
#[derive(Debug)]
pub(super) struct NoNames;

impl Resolver for NoNames {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}

/// Connects directly. Placed before the proxy for this machine alone, which a proxy would look for at its own end.
#[derive(Debug)]
struct ReadyConnector {
    loopback_only: bool,
    guard: Arc<Guard>,
    has_proxy: bool,
}

impl<In: Transport> Connector<In> for ReadyConnector {
    type Out = Either<In, ReadyTransport>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        if let Some(connected) = chained {
            return Ok(Some(Either::A(connected)));
        }
        if let Guard::Children(sockets) = &*self.guard {
            return Ok(Some(Either::B(to_child(sockets, details)?)));
        }
        let loopback = is_loopback(details.uri);
        let proxy = details.config.proxy().filter(|proxy| !loopback && !proxy.is_no_proxy(details.uri));
        if self.loopback_only && !loopback {
            if proxy.is_some() {
                self.guard.permits_by_name(details.uri)?;
            }
            return Ok(None);
        }
        if proxy.is_some_and(|p| !matches!(p.protocol(), ProxyProtocol::Http | ProxyProtocol::Https)) {
            // Going around a proxy that somebody configured would be worse than failing.
            return Err(Error::ConnectProxyFailed("not an HTTP proxy".into()));
        }
        let stream = if details.addrs.is_empty() {
            let addresses = details.resolver.resolve(details.uri, details.config, details.timeout)?;
            connect_first(&self.permitted(details, &addresses)?, details.timeout)?
        } else {
            connect_first(&self.permitted(details, &details.addrs)?, details.timeout)?
        };
        stream.set_nodelay(details.config.no_delay())?;
        Ok(Some(Either::B(ReadyTransport::new(stream.into(), details)?)))
    }
}

/// A connection to a child, as the guard names it: nothing is looked up, and no proxy is asked.
fn to_child(sockets: &Sockets, details: &ConnectionDetails) -> Result<ReadyTransport, Error> {
    let host = details.uri.host().unwrap_or_default();
    let path = sockets.path_of(host)?;
    let stream = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // This bounds the connecting as well, which would wait for ever for a child that takes no connection.
    stream.set_write_timeout(details.timeout.not_zero().map(|left| *left))?;
    let connected = stream.connect(&SockAddr::unix(&path)?).map_err(|e| match e.kind() {
        // A child makes its socket when it has started.
        ErrorKind::NotFound => ErrorKind::ConnectionRefused.into(),
        _ => e,
    });
    timed(connected, details.timeout)?;
    let transport = ReadyTransport::new(stream, details)?;
    sockets.note(host, &path, &transport.socket)?;
    Ok(transport)
}

impl ReadyConnector {
    fn permitted(&self, details: &ConnectionDetails, addresses: &[SocketAddr]) -> io::Result<Vec<SocketAddr>> {
        match is_to_proxy(self.has_proxy, details) {
            true => Ok(addresses.to_vec()),
            false => self.guard.permitted(details.uri, addresses),
        }
    }
}

/// Whether a connection is to the proxy itself, which its operator named: only then ureq takes the proxy out of its settings.
fn is_to_proxy(has_proxy: bool, details: &ConnectionDetails) -> bool {
    has_proxy && details.config.proxy().is_none()
}

/// The last of the connectors: what is written from here on is the request.
#[derive(Debug)]
struct Arrived {
    has_proxy: bool,
}

impl<In: Transport> Connector<In> for Arrived {
    type Out = In;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<In>, Error> {
        if chained.is_some() && !is_to_proxy(self.has_proxy, details) {
            CURRENT.with_borrow(|call| call.iter().for_each(|call| call.note_connected()));
        }
        Ok(chained)
    }
}

/// The first address that answers; each gets an equal share of the time that is left.
fn connect_first(addresses: &[SocketAddr], timeout: NextTimeout) -> Result<TcpStream, Error> {
    let deadline = timeout.not_zero().map(|left| Instant::now() + *left);
    let mut failure = Error::Io(ErrorKind::ConnectionRefused.into());
    for (tried, address) in addresses.iter().enumerate() {
        let stream = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
            None => TcpStream::connect(address),
            Some(Duration::ZERO) => return Err(Error::Timeout(timeout.reason)),
            Some(left) => TcpStream::connect_timeout(address, left / (addresses.len() - tried) as u32),
        };
        match timed(stream, timeout) {
            Ok(stream) => return Ok(stream),
            Err(e) => failure = e,
        }
    }
    Err(failure)
}

struct ReadyTransport {
    socket: Arc<Socket>,
    buffers: LazyBuffers,
}

impl std::fmt::Debug for ReadyTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ReadyTransport").field(self.socket.io.get_ref()).finish()
    }
}

impl ReadyTransport {
    fn new(stream: socket2::Socket, details: &ConnectionDetails) -> io::Result<Self> {
        #[expect(deprecated, reason = "safe for a Socket, which owns the one descriptor it names; else `unsafe`")]
        let io = AsyncFd::try_with_interest(stream, Interest::READABLE).map_err(io::Error::from)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(ReadyTransport { socket: Arc::new(Socket { io, usage: Mutex::default() }), buffers })
    }

    fn claim(&self) -> io::Result<()> {
        CURRENT.with_borrow(|call| call.as_ref().map_or(Ok(()), |call| call.claim(&self.socket)))
    }

    fn read_when_ready(&mut self) -> io::Result<usize> {
        let buffer = self.buffers.input_append_buf();
        // Without readiness this is `WouldBlock` and no system call.
        self.socket.io.try_io(Interest::READABLE, |mut stream| stream.read(buffer))
    }

    fn read_blocking(&mut self, timeout: NextTimeout) -> Result<usize, Error> {
        self.claim()?;
        let mut stream = self.socket.io.get_ref();
        stream.set_read_timeout(timeout.not_zero().map(|left| *left))?;
        let n = loop {
            match stream.read(self.buffers.input_append_buf()) {
                // A signal ends a read that has a timeout, even with SA_RESTART.
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                done => break timed(done, timeout)?,
            }
        };
        locked(&self.socket.usage).received_bytes += n;
        self.claim()?;
        Ok(n)
    }
}

impl Transport for ReadyTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        // In this order: whoever ends the call now either stops the write, or learns of it.
        CURRENT.with_borrow(|call| call.iter().for_each(|call| call.note_sending()));
        self.claim()?;
        let timeout = timeout.for_write();
        let mut usage = locked(&self.socket.usage);
        usage.received_bytes = 0;
        let streaming = usage.streaming;
        drop(usage);
        let mut stream = self.socket.io.get_ref();
        let limit = if streaming { Some(STREAMING_WRITE_TIMEOUT) } else { timeout.not_zero().map(|left| *left) };
        stream.set_write_timeout(limit)?;
        if streaming {
            stream.set_nonblocking(false)?;
        }
        let written = stream.write_all(&self.buffers.output()[..amount]);
        if streaming {
            stream.set_nonblocking(true)?;
        }
        timed(written, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let streaming = locked(&self.socket.usage).streaming;
        let n = if streaming { self.read_when_ready()? } else { self.read_blocking(timeout.for_read())? };
        self.buffers.input_appended(n);
        Ok(n > 0)
    }

    /// Asked when a body is over, and again when the connection is taken from the pool: no call uses it in between.
    fn is_open(&mut self) -> bool {
        let mut usage = locked(&self.socket.usage);
        *usage = Usage { reused: true, ..Usage::default() };
        let mut stream = self.socket.io.get_ref();
        let silent = stream.set_nonblocking(true).is_ok()
            && matches!(stream.read(&mut [0]), Err(e) if e.kind() == ErrorKind::WouldBlock);
        let wanted = CURRENT.with_borrow(|call| call.as_ref().is_none_or(|call| call.connection == Connection::Any));
        // The next head is waited for by a thread.
        let is_open = silent && stream.set_nonblocking(false).is_ok() && wanted;
        if is_open {
            CURRENT.with_borrow(|call| call.iter().for_each(|call| call.note_connected()));
        }
        is_open
    }
}

/// A timeout of the socket as the timeout of ureq that it stands for.
fn timed<T>(result: io::Result<T>, timeout: NextTimeout) -> Result<T, Error> {
    result.map_err(|e| match e.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => Error::Io(e),
    })
}
