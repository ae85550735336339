//! A server for tests: it does to each connection what a script says, byte by byte if need be.
//!
//! Rule: nothing sleeps. A script that has to wait waits for its client.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};
use socket2::Socket;

/// A listening server.
pub struct Server {
    /// Where it listens; of one at a socket, nowhere.
    pub address: SocketAddr,
    /// How many connections it has taken.
    pub connections: Arc<AtomicUsize>,
}

impl Server {
    /// Runs `script` for every connection, with the number of the connection from 0.
    pub fn start(script: impl Fn(usize, &mut Peer) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::start_with(None, script)
    }

    /// The same over TLS.
    pub fn start_with(
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(usize, &mut Peer) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let accept = move || {
            let (stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            Ok(stream.into())
        };
        Server { address, connections: serve(accept, tls, script) }
    }

    /// The same at a socket of this machine.
    pub fn start_at(path: &Path, script: impl Fn(usize, &mut Peer) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let accept = move || Ok(listener.accept()?.0.into());
        Server { address: SocketAddr::from(([0; 4], 0)), connections: serve(accept, None, script) }
    }

    /// A script that answers one request after another with `respond`, told the number of the request from 0.
    pub fn responding(respond: impl Fn(usize, &str) -> String + Send + Sync + 'static) -> Self {
        let requests = AtomicUsize::new(0);
        Self::start(move |_, peer| {
            while let Some(request) = peer.request()? {
                peer.send(respond(requests.fetch_add(1, Ordering::SeqCst), &request).as_bytes())?;
            }
            Ok(())
        })
    }

    /// How many connections it has taken.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Runs a script for every connection on a thread of its own, and counts them.
fn serve(
    accept: impl Fn() -> io::Result<Socket> + Send + 'static,
    tls: Option<Arc<ServerConfig>>,
    script: impl Fn(usize, &mut Peer) -> io::Result<()> + Send + Sync + 'static,
) -> Arc<AtomicUsize> {
    let connections = Arc::new(AtomicUsize::new(0));
    let (count, script) = (connections.clone(), Arc::new(script));
    thread::spawn(move || {
        loop {
            let stream = accept().unwrap();
            let number = count.fetch_add(1, Ordering::SeqCst);
            let (script, tls) = (script.clone(), tls.clone());
            thread::spawn(move || {
                let mut peer = Peer::new(stream, tls);
                // A client that goes away in the middle is part of many tests.
                let _ = script(number, &mut peer);
            });
        }
    });
    connections
}

/// The server's side of a connection.
pub struct Peer {
    stream: Socket,
    tls: Option<ServerConnection>,
}

impl Peer {
    fn new(stream: Socket, tls: Option<Arc<ServerConfig>>) -> Self {
        Peer { stream, tls: tls.map(|config| ServerConnection::new(config).unwrap()) }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(tls, &mut self.stream).read(buffer),
            None => self.stream.read(buffer),
        }
    }

    /// The next request, head and body; none when the client has ended.
    pub fn request(&mut self) -> io::Result<Option<String>> {
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") {
            if self.read(&mut byte)? == 0 {
                return Ok(None);
            }
            request.push(byte[0]);
        }
        let mut text = String::from_utf8(request).unwrap();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        for byte in body.chunks_mut(1) {
            self.read(byte)?;
        }
        text.push_str(&String::from_utf8(body).unwrap());
        Ok(Some(text))
    }

    /// Sends all of it at once.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let wire = self.sealed(bytes)?;
        self.stream.write_all(&wire)
    }

    /// Sends packets of `packet` bytes, each when the client asks for it: it has then read all that came before.
    pub fn send_paced(&mut self, bytes: &[u8], packet: usize, asked: &mpsc::Receiver<()>) -> io::Result<()> {
        let wire = self.sealed(bytes)?;
        for packet in wire.chunks(packet) {
            asked.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.stream.write_all(packet)?;
        }
        Ok(())
    }

    /// The bytes as they go over the wire.
    fn sealed(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let Some(tls) = &mut self.tls else { return Ok(bytes.to_vec()) };
        let mut wire = Vec::new();
        // Small records, so that the packets split many of them.
        for record in bytes.chunks(61) {
            tls.writer().write_all(record)?;
            while tls.wants_write() {
                tls.write_tls(&mut wire)?;
            }
        }
        Ok(wire)
    }

    /// Says goodbye as a server does whose body ends with the connection.
    pub fn close(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        let goodbye = self.sealed(&[])?;
        let mut rest = Vec::new();
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                tls.write_tls(&mut rest)?;
            }
        }
        self.stream.write_all(&[goodbye, rest].concat())?;
        self.stream.shutdown(Shutdown::Write)
    }

    /// Waits until the client has closed, and says so.
    pub fn wait_for_end(&mut self) -> bool {
        let mut buffer = [0; 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) | Err(_) => return true,
                Ok(_) => {}
            }
        }
    }
}

/// A certificate for 127.0.0.1 in PEM, signed by itself, and a server that shows it.
pub fn self_signed(versions: &[&'static SupportedProtocolVersion]) -> (String, Arc<ServerConfig>) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
    (cert.pem(), Arc::new(config))
}
