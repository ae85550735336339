//! What a tool's request may reach and cost, and what is known of one that failed.

use std::{
    future::Future,
    net::{SocketAddr, TcpListener},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use ureq::{
    config::Config,
    http::{Method, Uri},
    unversioned::{
        resolver::{ResolvedSocketAddrs, Resolver},
        transport::NextTimeout,
    },
};

use super::{
    super::{
        Base, Options,
        allow::Allowed,
        policy::Guard,
        tools::{Row, ToolClients},
    },
    *,
};
use crate::model::scripted::Server;

pub(in crate::outbound) const BOUNDS: Bounds =
    Bounds { time_max: Duration::from_secs(30), bytes_max: 1_000, may_repeat: false };
/// For what is meant to time out: long enough for a connection on this machine to be made first.
const SOON: Duration = Duration::from_millis(300);

/// Runs a test with a time limit: what is tested here fails by waiting for ever.
pub(in crate::outbound) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), test).await.expect("in time") });
}

/// Tools' clients that may reach what these entries name.
pub(in crate::outbound) fn clients(allow: &[&str]) -> ToolClients {
    let allow: Vec<_> = allow.iter().map(|entry| entry.to_string()).collect();
    let tool_allow = Allowed::parse(&allow, "tool_allow").unwrap();
    ToolClients::new(&Options { tool_allow, ..Options::default() }).unwrap()
}

/// A client of tools that may reach this machine.
pub(in crate::outbound) fn client() -> Client {
    clients(&["127.0.0.1"]).of(Row::Owner)
}

pub(in crate::outbound) fn request(method: Method, url: &str, body: &str) -> Request<Bytes> {
    Request::builder().method(method).uri(url).body(Bytes::from(body.to_owned())).unwrap()
}

pub(in crate::outbound) fn get(url: &str) -> Request<Bytes> {
    request(Method::GET, url, "")
}

pub(in crate::outbound) fn url(server: &Server) -> String {
    format!("http://{}/", server.address)
}

/// Says one address after another, the last for ever.
#[derive(Debug)]
pub(in crate::outbound) struct Flipping {
    addresses: Vec<Vec<SocketAddr>>,
    asked: AtomicUsize,
}

impl Flipping {
    pub(in crate::outbound) fn new(addresses: &[&[SocketAddr]]) -> Self {
        Flipping { addresses: addresses.iter().map(|at| at.to_vec()).collect(), asked: AtomicUsize::new(0) }
    }
}

impl Resolver for Flipping {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst).min(self.addresses.len() - 1);
        let mut resolved = self.empty();
        self.addresses[asked].iter().for_each(|address| resolved.push(*address));
        if resolved.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(resolved) }
    }
}

#[test]
fn every_method_sends_what_it_should_and_every_status_is_a_response() {
    run(async {
        let server = Server::responding(|_, request| match request.starts_with("HEAD") {
            true => "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n".into(),
            false => format!("HTTP/1.1 404 Not Found\r\ncontent-length: {}\r\n\r\n{request}", request.len()),
        });
        let client = client();
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let has_body = matches!(method, Method::POST | Method::PUT | Method::PATCH);
            for body in if has_body { &["", "{\"a\":1}"][..] } else { &[""] } {
                let fetched = client.fetch(request(method.clone(), &url(&server), body), BOUNDS).await.unwrap();
                let sent = String::from_utf8(fetched.body).unwrap();
                assert_eq!(fetched.status, 404);
                assert!(sent.starts_with(&format!("{method} / HTTP/1.1\r\n")) && sent.ends_with(body), "{sent}");
                assert!(sent.contains("\r\naccept-encoding: identity\r\n") && sent.contains("\r\nuser-agent: alm/"));
                assert!(!sent.contains("cookie"), "{sent}");
                assert_eq!(sent.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), has_body, "{sent}");
            }
        }
        let head = client.fetch(request(Method::HEAD, &url(&server), ""), BOUNDS).await.unwrap();
        assert_eq!((head.status.as_u16(), head.body.len(), head.is_cut), (200, 0, false));
    });
}

#[test]
fn no_redirect_is_followed_and_no_cookie_comes_back() {
    run(async {
        let target = Server::responding(|_, _| "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".into());
        let there = url(&target);
        for status in [301, 302, 303, 307, 308] {
            let there = there.clone();
            let server = Server::responding(move |number, request| {
                assert!(number == 0 || !request.contains("sticky"), "{request}");
                format!(
                    "HTTP/1.1 {status} There\r\nlocation: {there}\r\nset-cookie: sticky=1\r\ncontent-length: 0\r\n\r\n"
                )
            });
            let client = client();
            for _ in 0..2 {
                let mut request = request(Method::POST, &url(&server), "{}");
                request.headers_mut().insert("authorization", "Bearer secret".parse().unwrap());
                let fetched = client.fetch(request, BOUNDS).await.unwrap();
                assert_eq!(fetched.status, status);
                assert_eq!(fetched.headers["location"].to_str().unwrap(), url(&target));
            }
        }
        assert_eq!(target.connections(), 0);
    });
}

#[test]
fn a_body_is_read_to_its_bound_and_the_rest_is_said_to_be_missing() {
    run(async {
        for (length, bytes_max, is_cut) in [(999, 1_000, false), (1_000, 1_000, false), (1_001, 1_000, true)] {
            let server = Server::responding(move |_, _| {
                format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{:length$}", "x")
            });
            let fetched = client().fetch(get(&url(&server)), Bounds { bytes_max, ..BOUNDS }).await.unwrap();
            assert_eq!((fetched.body.len(), fetched.is_cut), (length.min(bytes_max), is_cut), "{length}");
        }
    });
}

#[test]
fn an_endless_body_ends_at_its_bound_and_its_connection_is_closed() {
    run(async {
        let (tell, mut ended) = tokio::sync::mpsc::unbounded_channel();
        let server = Server::start(move |_, peer| {
            peer.request()?;
            peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            while peer
                .send(b"400\r\n")
                .and_then(|()| peer.send(&[b'x'; 1024]))
                .and_then(|()| peer.send(b"\r\n"))
                .is_ok()
            {}
            let _ = tell.send(());
            Ok(())
        });
        let fetched = client().fetch(get(&url(&server)), BOUNDS).await.unwrap();
        assert_eq!((fetched.body.len(), fetched.is_cut), (1_000, true));
        assert_eq!(ended.recv().await, Some(()));
    });
}

#[test]
fn a_server_that_drips_bytes_gains_no_time() {
    run(async {
        for (head, drop) in [
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
            ("HTTP/1.1 200 OK\r\n", "x: y\r\n"),
            ("", ""),
        ] {
            let (go_on, wait) = mpsc::channel::<()>();
            let (wait, (tell, mut ended)) = (Mutex::new(wait), tokio::sync::mpsc::unbounded_channel());
            let server = Server::start(move |_, peer| {
                peer.request()?;
                peer.send(head.as_bytes())?;
                // One drop each time the test says so, and then until the client is gone.
                while wait.lock().unwrap().recv().is_ok() {
                    peer.send(drop.as_bytes())?;
                }
                peer.wait_for_end();
                let _ = tell.send(());
                Ok(())
            });
            let client = client();
            let url = url(&server);
            let mut fetching = std::pin::pin!(client.fetch(get(&url), Bounds { time_max: SOON, ..BOUNDS }));
            let failed = loop {
                tokio::select! {
                    done = &mut fetching => break done,
                    () = tokio::time::sleep(SOON / 10) => { let _ = go_on.send(()); }
                }
            };
            assert!(matches!(failed, Err(Failure::Timeout)), "{failed:?}");
            std::mem::drop(go_on);
            assert_eq!(ended.recv().await, Some(()));
        }
    });
}

#[test]
fn dropping_a_request_closes_its_connection() {
    run(async {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let server = Server::start(move |number, peer| {
            peer.request()?;
            if number == 1 {
                peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")?;
            }
            let _ = tell.send("waits");
            peer.wait_for_end();
            let _ = tell.send("ended");
            Ok(())
        });
        let client = client();
        for _ in 0..2 {
            tokio::select! {
                fetched = client.fetch(get(&url(&server)), BOUNDS) => panic!("{fetched:?}"),
                event = told.recv() => assert_eq!(event, Some("waits")),
            }
            assert_eq!(told.recv().await, Some("ended"));
        }
    });
}

#[test]
fn a_refused_connection_an_unknown_name_and_no_tls_are_not_sent() {
    run(async {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let plain = Server::start(|_, peer| {
            peer.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")?;
            peer.wait_for_end();
            Ok(())
        });
        let silent = Server::start(|_, peer| {
            peer.wait_for_end();
            Ok(())
        });
        let (client, post) = (client(), |url: &str| request(Method::POST, url, "{}"));
        let refused = client.fetch(post(&format!("http://{closed}/")), BOUNDS).await;
        assert!(matches!(refused, Err(Failure::NotSent(Cause::Io(_)))), "{refused:?}");
        let guard = Guard::Tools { allowed: Allowed::default(), own: None };
        let nowhere = Base::new(&Options::default()).unwrap().client(guard, None, Flipping::new(&[&[]]));
        let unknown = nowhere.fetch(post("http://nowhere.example/"), BOUNDS).await;
        assert!(matches!(unknown, Err(Failure::NotSent(Cause::NameUnknown))), "{unknown:?}");
        let no_tls = client.fetch(post(&format!("https://{}/", plain.address)), BOUNDS).await;
        assert!(matches!(no_tls, Err(Failure::NotSent(Cause::Tls(_)))), "{no_tls:?}");
        let bounds = Bounds { time_max: SOON, ..BOUNDS };
        let no_handshake = client.fetch(post(&format!("https://{}/", silent.address)), bounds).await;
        assert!(matches!(no_handshake, Err(Failure::NotSent(Cause::ConnectTimeout))), "{no_handshake:?}");
    });
}

#[test]
fn what_broke_after_it_was_sent_is_cut_and_sent_once() {
    run(async {
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\ncontent-le",
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
            "no HTTP at all\r\n\r\n",
        ] {
            let server = Server::start(move |_, peer| {
                peer.request()?;
                peer.send(answer.as_bytes())
            });
            for may_repeat in [false, true] {
                let before = server.connections();
                let bounds = Bounds { may_repeat, ..BOUNDS };
                let cut = client().fetch(request(Method::POST, &url(&server), "{}"), bounds).await;
                assert!(matches!(cut, Err(Failure::Cut(_))), "{answer:?}: {cut:?}");
                assert_eq!(server.connections(), before + 1, "{answer:?}");
            }
        }
    });
}

#[test]
fn a_dead_pooled_connection_is_replaced_only_for_what_may_be_repeated() {
    run(async {
        // The first connection dies with its second request, whatever that was.
        let server = Server::start(|number, peer| {
            peer.request()?;
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
            if number == 0 {
                peer.request()?;
                return Ok(());
            }
            while peer.request()?.is_some() {
                peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
            }
            Ok(())
        });
        let (client, url) = (client(), url(&server));
        for _ in 0..2 {
            client.fetch(get(&url), Bounds { may_repeat: true, ..BOUNDS }).await.unwrap();
        }
        assert_eq!(server.connections(), 2);
        client.fetch(request(Method::POST, &url, "{}"), BOUNDS).await.unwrap();
        assert_eq!(server.connections(), 3, "what must happen once has a connection of its own");
    });
}

#[test]
fn what_left_over_a_pooled_connection_may_have_taken_effect() {
    run(async {
        let server = Server::start(|_, peer| {
            peer.request()?;
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
            peer.wait_for_end();
            Ok(())
        });
        let (client, url) = (client(), url(&server));
        let bounds = Bounds { may_repeat: true, ..BOUNDS };
        client.fetch(get(&url), bounds).await.unwrap();
        let silent = client.fetch(get(&url), Bounds { time_max: SOON, ..bounds }).await;
        assert!(matches!(silent, Err(Failure::Timeout)), "{silent:?}");
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn a_stream_is_read_piece_by_piece() {
    run(async {
        let (go_on, wait) = mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        let server = Server::start(move |_, peer| {
            peer.request()?;
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")?;
            for _ in 0..3 {
                let _ = wait.lock().unwrap().recv();
                peer.send(b"9\r\ndata: 1\n\n\r\n")?;
            }
            peer.send(b"0\r\n\r\n")
        });
        let opened = client().open(request(Method::POST, &url(&server), "{}"), BOUNDS.time_max, false).await.unwrap();
        let (mut body, mut buffer) = (opened.into_body(), [0; 100]);
        for _ in 0..3 {
            go_on.send(()).unwrap();
            let read = body.piece(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..read], b"data: 1\n\n");
        }
        assert_eq!(body.piece(&mut buffer).await.unwrap(), 0);
    });
}
