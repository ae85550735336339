//! The proof that a body survives any split, and that a connection is never another's.

mod both; // what holds for either kind of socket

use std::{
    sync::{Mutex, mpsc},
    time::Duration,
};

use bytes::Bytes;
use rustls::version::{TLS12, TLS13};
use ureq::http::Request;
use ureq::tls::{Certificate, TlsConfig};
use ureq::{Proxy, ProxyProtocol};

use super::*;
use crate::model::scripted::{Peer, Server, self_signed};

const TEXT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"größer\"}}]}\r\n\r\n: still here\n\ndata: [DONE]\n\n";

fn config() -> Config {
    Config::builder().http_status_as_error(false).max_redirects(0).build()
}

fn get(url: String) -> Request<Bytes> {
    Request::get(url).body(Bytes::new()).unwrap()
}

fn url(server: &Server) -> String {
    format!("http://{}/", server.address)
}

/// Runs a test with a time limit: what is tested here fails by waiting for ever.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let limit = Duration::from_secs(60);
    runtime.block_on(async { tokio::time::timeout(limit, test).await.expect("in time") });
}

/// How a body may be framed; its head, and its bytes on the wire.
fn framings() -> Vec<(&'static str, String)> {
    let chunk = |text: &str, extension: &str| format!("{:x}{extension}\r\n{text}\r\n", text.len());
    let (a, b) = TEXT.split_at(30);
    let single: String = TEXT.chars().map(|c| chunk(&c.to_string(), "")).collect();
    vec![
        ("transfer-encoding: chunked", format!("{}{}0\r\n\r\n", chunk(a, ""), chunk(b, ""))),
        ("transfer-encoding: chunked", format!("{}{}0\r\nx: y\r\n\r\n", chunk(a, ";v=1"), chunk(b, ";q=\"z\""))),
        ("transfer-encoding: chunked", format!("{single}0\r\n\r\n")),
        ("content-length: ", TEXT.to_owned()),
        ("connection: close", TEXT.to_owned()),
    ]
}

/// Reads a body to its end and asks for the next packet whenever nothing is left to read.
async fn read_paced(mut body: Body, ask: &mpsc::Sender<()>) -> (String, usize) {
    let (mut text, mut waits) = (Vec::new(), 0);
    let mut buffer = [0; 1000];
    loop {
        let read = std::future::poll_fn(|cx| {
            let read = body.poll_read(cx, &mut buffer);
            if read.is_pending() {
                waits += 1;
                let _ = ask.send(());
            }
            read
        });
        match read.await.unwrap() {
            0 => return (String::from_utf8(text).unwrap(), waits),
            n => text.extend_from_slice(&buffer[..n]),
        }
    }
}

/// What a server does to each of its connections.
type Script = Box<dyn Fn(usize, &mut Peer) -> io::Result<()> + Send + Sync>;

/// A server, and a client that reaches it at `url`.
struct Reached {
    server: Server,
    client: Client,
    url: String,
    /// What its socket lies in.
    _folder: Option<tempfile::TempDir>,
}

fn over_tcp(scheme: &str, config: Config, tls: Option<Arc<rustls::ServerConfig>>, script: Script) -> Reached {
    let server = Server::start_with(tls, script);
    let (client, url) = (Client::with_config(config, 8).unwrap(), format!("{scheme}://{}/", server.address));
    Reached { server, client, url, _folder: None }
}

fn survives_every_split(start: impl Fn(Script) -> Reached + Send + 'static) {
    run(async move {
        for (framing, wire) in framings() {
            for packet in [1, 2, 7] {
                let (ask, asked) = mpsc::channel();
                let asked = Mutex::new(asked);
                let closes = framing == "connection: close";
                let length = if framing.starts_with("content-length") { TEXT.len().to_string() } else { String::new() };
                let (head, sent) = (format!("HTTP/1.1 200 OK\r\n{framing}{length}\r\n\r\n"), wire.clone());
                let Reached { server, client, url, _folder } = start(Box::new(move |_, peer| {
                    while peer.request()?.is_some() {
                        peer.send(head.as_bytes())?;
                        peer.send_paced(sent.as_bytes(), packet, &asked.lock().unwrap())?;
                        if closes {
                            return peer.close();
                        }
                    }
                    Ok(())
                }));
                let mut waits = 0;
                for _ in 0..2 {
                    let body = client.send(get(url.clone()), Connection::Any).await.unwrap().into_body();
                    let (text, waited) = read_paced(body, &ask).await;
                    assert_eq!(text, TEXT, "{framing} in packets of {packet}");
                    waits += waited;
                }
                assert!(waits >= 2 * (TEXT.len() / packet), "{waits} waits: the packets did not arrive one by one");
                assert_eq!(server.connections(), if closes { 2 } else { 1 }, "{framing}");
            }
        }
    });
}

#[test]
fn a_plain_body_survives_every_split() {
    survives_every_split(|script| over_tcp("http", Config::default(), None, script));
}

#[test]
fn a_tls_13_body_survives_every_split() {
    let (pem, tls) = self_signed(&[&TLS13]);
    survives_every_split(move |script| over_tcp("https", trusting(&pem), Some(tls.clone()), script));
}

#[test]
fn a_tls_12_body_survives_every_split() {
    let (pem, tls) = self_signed(&[&TLS12]);
    survives_every_split(move |script| over_tcp("https", trusting(&pem), Some(tls.clone()), script));
}

fn trusting(pem: &str) -> Config {
    let root = Certificate::from_pem(pem.as_bytes()).unwrap();
    let roots = ureq::tls::RootCerts::new_with_certs(&[root]);
    Config::builder().tls_config(TlsConfig::builder().root_certs(roots).build()).build()
}

#[test]
fn a_cut_body_is_an_error_and_no_end() {
    let (pem, tls) = self_signed(&[&TLS13]);
    for (scheme, config, tls) in [("http", Config::default(), None), ("https", trusting(&pem), Some(tls))] {
        run(async move {
            let server = Server::start_with(tls, |_, peer| {
                peer.request()?;
                peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhal")
            });
            let request = get(format!("{scheme}://{}/", server.address));
            let mut body =
                Client::with_config(config, 8).unwrap().send(request, Connection::Any).await.unwrap().into_body();
            let error = body.read_up_to(100).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{scheme}");
        });
    }
}

#[test]
fn a_handshake_is_no_answer() {
    let (pem, tls) = self_signed(&[&TLS12]);
    run(async move {
        let server = Server::start_with(Some(tls), |_, peer| peer.request().map(drop));
        let request = get(format!("https://{}/", server.address));
        let failed = Client::with_config(trusting(&pem), 8).unwrap().send(request, Connection::Any).await;
        assert!(matches!(failed, Err(SendError::Failed { answered: false, reused: false, .. })));
    });
}

#[test]
fn dropping_a_call_closes_its_connection_over_tls_too() {
    let (pem, tls) = self_signed(&[&TLS13]);
    run(async move {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let server = Server::start_with(Some(tls), move |connection, peer| {
            // The first is silent before its handshake, the second before its head, the third in its body.
            if connection > 0 {
                peer.request()?;
            }
            if connection > 1 {
                peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")?;
            }
            let _ = tell.send("silent");
            peer.wait_for_end();
            let _ = tell.send("ended");
            Ok(())
        });
        let client = Client::with_config(trusting(&pem), 1).unwrap();
        let send = || client.send(get(format!("https://{}/", server.address)), Connection::Any);
        for _ in 0..2 {
            tokio::select! {
                _ = send() => panic!("no head was sent"),
                event = told.recv() => assert_eq!(event, Some("silent")),
            }
            assert_eq!(told.recv().await, Some("ended"));
            let _ = client.threads.places.acquire().await.unwrap();
        }
        let mut body = send().await.unwrap().into_body();
        assert_eq!(body.read_up_to(3).await.unwrap(), b"abc");
        drop(body);
        assert_eq!([told.recv().await, told.recv().await], [Some("silent"), Some("ended")]);
    });
}

#[test]
fn no_proxy_is_asked_for_this_machine_and_socks_is_refused_for_others() {
    run(async {
        let server = Server::responding(|_, _| "HTTP/1.1 204 No Content\r\n\r\n".into());
        for protocol in [ProxyProtocol::Http, ProxyProtocol::Socks4A] {
            // Nothing listens on the proxy's port.
            let proxy = Proxy::builder(protocol).host("127.0.0.1").port(9).build().unwrap();
            let client = Client::with_config(Config::builder().proxy(Some(proxy)).build(), 8).unwrap();
            client.send(get(url(&server)), Connection::Any).await.unwrap();
            let far = client.send(get("http://far.example/".into()), Connection::Any).await;
            let Err(SendError::Failed { cause, .. }) = far else { panic!("there is no proxy") };
            match protocol {
                ProxyProtocol::Http => assert!(matches!(cause, Cause::Io(_)), "{cause:?}"),
                _ => assert!(matches!(cause, Cause::Proxy), "{cause:?}"),
            }
        }
    });
}

#[test]
fn a_proxy_is_asked_for_other_machines() {
    run(async {
        let proxy = Server::start(|_, peer| {
            let tunnel = peer.request()?.unwrap_or_default();
            assert!(tunnel.starts_with("CONNECT far.example:80 HTTP/1.1\r\n"), "{tunnel}");
            peer.send(b"HTTP/1.1 200 OK\r\n\r\n")?;
            while peer.request()?.is_some() {
                peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nfar")?;
            }
            Ok(())
        });
        let http = Proxy::new(&url(&proxy)).unwrap();
        let client = Client::with_config(Config::builder().proxy(Some(http)).build(), 8).unwrap();
        for _ in 0..2 {
            let mut body = client.send(get("http://far.example/".into()), Connection::Any).await.unwrap().into_body();
            assert_eq!(body.read_up_to(10).await.unwrap(), b"far");
        }
        assert_eq!(proxy.connections(), 1, "the tunnel is pooled");
    });
}

/// How many connections are kept of those that were open at once, so many to each server.
async fn kept(servers: &[(Server, usize)]) -> usize {
    let clients = ProviderClients::new(&Options { proxy_from_env: false, ..Options::default() }).unwrap();
    let client = clients.of(Whose::Operators);
    let open = servers.iter().map(|(_, times)| times).sum::<usize>();
    let before = servers.iter().map(|(server, _)| server.connections()).sum::<usize>();
    for _ in 0..2 {
        let mut bodies = Vec::new();
        for url in servers.iter().flat_map(|(server, times)| std::iter::repeat_n(url(server), *times)) {
            bodies.push(client.send(get(url), Connection::Any).await.unwrap().into_body());
        }
        for mut body in bodies {
            assert_eq!(body.read_up_to(10).await.unwrap(), b"text");
        }
    }
    let opened = servers.iter().map(|(server, _)| server.connections()).sum::<usize>() - before;
    2 * open - opened
}

#[test]
fn so_many_idle_connections_are_kept_for_a_host_and_in_all() {
    run(async {
        let server = || Server::responding(|_, _| "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ntext".into());
        let of_host = IDLE_CONNECTIONS_PER_HOST_MAX;
        for open in [of_host - 1, of_host, of_host + 1] {
            assert_eq!(kept(&[(server(), open)]).await, open.min(of_host));
        }
        for open in [IDLE_CONNECTIONS_MAX - 1, IDLE_CONNECTIONS_MAX, IDLE_CONNECTIONS_MAX + 1] {
            let each = open.div_ceil(5);
            let servers: Vec<_> = (0..5).map(|at| (server(), each.min(open - at * each))).collect();
            assert_eq!(kept(&servers).await, open.min(IDLE_CONNECTIONS_MAX));
        }
    });
}
