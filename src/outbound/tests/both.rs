//! What holds for either kind of socket: TCP, and a child's of this machine.

use std::{
    os::unix::net::UnixListener,
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
    time::Duration,
};

use tokio::sync::mpsc::unbounded_channel;
use ureq::Proxy;

use super::{
    super::{Body, Cause, Client, Connection, SendError, Sockets, child_host},
    *,
};
use crate::model::scripted::Server;

const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";

fn over_unix(config: Config, script: Script) -> Reached {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.sock");
    let server = Server::start_at(&path, script);
    let sockets = Sockets::default();
    sockets.set("small", path);
    let client = Client::of_children_with_config(config, 8, sockets).unwrap();
    Reached { server, client, url: format!("http://{}/", child_host("small")), _folder: Some(folder) }
}

impl Reached {
    async fn send(&self, connection: Connection) -> Result<Body, SendError> {
        Ok(self.client.send(get(self.url.clone()), connection).await?.into_body())
    }

    async fn text(&self, connection: Connection) -> Vec<u8> {
        self.send(connection).await.unwrap().read_up_to(10_000).await.unwrap()
    }
}

/// Runs a test over each kind of socket.
fn over_each<T: Future<Output = ()>>(
    script: impl Fn(usize, &mut Peer) -> io::Result<()> + Clone + Send + Sync + 'static,
    test: impl Fn(Reached) -> T,
) {
    run(test(over_tcp("http", config(), None, Box::new(script.clone()))));
    run(test(over_unix(config(), Box::new(script))));
}

/// The same for a server that answers one request after another, told the number of the request from 0.
fn responding<T: Future<Output = ()>>(
    respond: impl Fn(usize) -> String + Clone + Send + Sync + 'static,
    test: impl Fn(Reached) -> T,
) {
    let start = |kind: fn(Script) -> Reached| {
        let (requests, respond) = (AtomicUsize::new(0), respond.clone());
        kind(Box::new(move |_, peer| {
            while peer.request()?.is_some() {
                peer.send(respond(requests.fetch_add(1, Ordering::SeqCst)).as_bytes())?;
            }
            Ok(())
        }))
    };
    run(test(start(|script| over_tcp("http", config(), None, script))));
    run(test(start(|script| over_unix(config(), script))));
}

#[test]
fn a_body_from_a_child_survives_every_split() {
    survives_every_split(|script| over_unix(Config::default(), script));
}

#[test]
fn forty_events_that_arrived_together_are_one_read() {
    let respond = |_| {
        let events = "5\r\ndata\n\r\n".repeat(40);
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{events}0\r\n\r\n")
    };
    responding(respond, async |reached| {
        let mut body = reached.send(Connection::Any).await.unwrap();
        let mut buffer = [0; 1000];
        let read = std::future::poll_fn(|cx| body.poll_read(cx, &mut buffer)).await.unwrap();
        assert_eq!(read, 200);
    });
}

#[test]
fn a_body_that_was_over_with_its_head_leaves_the_pooled_connection_to_the_next() {
    for empty in
        ["204 No Content\r\n\r\n", "200 OK\r\ncontent-length: 0\r\n\r\n", "404 Not Found\r\ncontent-length: 0\r\n\r\n"]
    {
        let respond = move |number| match number {
            0 => format!("HTTP/1.1 {empty}"),
            _ => "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnext".into(),
        };
        responding(respond, async |reached| {
            let mut first = reached.send(Connection::Any).await.unwrap();
            assert!(first.socket.is_none(), "{empty}");
            let mut second = reached.send(Connection::Any).await.unwrap();
            assert_eq!(first.read_up_to(10).await.unwrap(), b"");
            drop(first);
            assert_eq!(second.read_up_to(10).await.unwrap(), b"next");
            assert_eq!(reached.server.connections(), 1);
        });
    }
}

#[test]
fn an_error_body_that_was_read_gives_its_connection_back() {
    responding(
        |_| "HTTP/1.1 429 Slow\r\ncontent-length: 4\r\n\r\nwait".into(),
        async |reached| {
            for _ in 0..3 {
                assert_eq!(reached.text(Connection::Any).await, b"wait");
            }
            assert_eq!(reached.server.connections(), 1);
        },
    );
}

#[test]
fn a_fresh_connection_is_never_a_pooled_one() {
    responding(
        |_| NO_CONTENT.into(),
        async |reached| {
            for connection in [Connection::Any, Connection::Fresh, Connection::Any] {
                reached.text(connection).await;
            }
            let opened = reached.server.connections();
            assert_eq!(opened, 3, "what was sent over a fresh connection is not pooled by its head thread");
        },
    );
}

#[test]
fn a_pooled_connection_that_has_died_is_not_used() {
    let script = |_, peer: &mut Peer| {
        peer.request()?;
        peer.send(NO_CONTENT.as_bytes())
    };
    over_each(script, async |reached| {
        for _ in 0..3 {
            let sent = reached.send(Connection::Any).await;
            // The end may come while the next request leaves: then it is known that the connection was an old one.
            assert!(matches!(sent, Ok(_) | Err(SendError::Failed { reused: true, answered: false, .. })));
        }
    });
}

#[test]
fn a_cut_body_is_an_error_and_no_end() {
    let script = |_, peer: &mut Peer| {
        peer.request()?;
        peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhal")
    };
    over_each(script, async |reached| {
        let error = reached.send(Connection::Any).await.unwrap().read_up_to(100).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn dropping_a_call_ends_the_wait_for_its_head() {
    let (tell, mut told) = unbounded_channel();
    let script = move |_, peer: &mut Peer| {
        peer.request()?;
        let _ = tell.send("waits");
        peer.wait_for_end();
        let _ = tell.send("ended");
        Ok(())
    };
    for reached in
        [over_tcp("http", config(), None, Box::new(script.clone())), over_unix(config(), Box::new(script.clone()))]
    {
        run(async {
            tokio::select! {
                _ = reached.send(Connection::Any) => panic!("no head was sent"),
                event = told.recv() => assert_eq!(event, Some("waits")),
            }
            assert_eq!(told.recv().await, Some("ended"));
            // The thread has ended as well: it gives its place back.
            let _ = reached.client.threads.places.acquire_many(8).await.unwrap();
        });
    }
}

#[test]
fn dropping_a_body_closes_its_connection() {
    let (tell, mut ended) = unbounded_channel();
    let script = move |_, peer: &mut Peer| {
        peer.request()?;
        peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")?;
        peer.wait_for_end();
        let _ = tell.send(());
        Ok(())
    };
    for reached in
        [over_tcp("http", config(), None, Box::new(script.clone())), over_unix(config(), Box::new(script.clone()))]
    {
        run(async {
            let mut body = reached.send(Connection::Any).await.unwrap();
            assert_eq!(body.read_up_to(3).await.unwrap(), b"abc");
            drop(body);
            assert_eq!(ended.recv().await, Some(()));
        });
    }
}

#[test]
fn more_heads_than_allowed_are_refused_at_once() {
    let script = |_, peer: &mut Peer| {
        peer.wait_for_end();
        Ok(())
    };
    over_each(script, async |reached| {
        let mut waiting: Vec<_> = (0..8).map(|_| Box::pin(reached.send(Connection::Any))).collect();
        for waiting in &mut waiting {
            assert!(matches!(futures_util::poll!(waiting), Poll::Pending));
        }
        assert!(matches!(reached.send(Connection::Any).await, Err(SendError::TooMany)));
    });
}

#[test]
fn a_body_is_read_up_to_so_many_bytes_and_not_one_more() {
    let respond = |_| format!("HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{:5000}", "x");
    responding(respond, async |reached| {
        for (bytes_max, read) in [(0, 0), (1, 1), (4_097, 4_097), (4_999, 4_999), (5_000, 5_000), (5_001, 5_000)] {
            let mut body = reached.send(Connection::Any).await.unwrap();
            assert_eq!(body.read_up_to(bytes_max).await.unwrap().len(), read);
        }
    });
}

/// Why a request to that host failed.
async fn cause_at(client: &Client, host: &str) -> Cause {
    match client.send(get(format!("http://{host}/")), Connection::Any).await {
        Err(SendError::Failed { cause, sent: false, .. }) => cause,
        other => panic!("{host}: {:?}", other.map(drop)),
    }
}

fn is_refused(cause: &Cause) -> bool {
    matches!(cause, Cause::Io(e) if e.kind() == ErrorKind::ConnectionRefused)
}

#[test]
fn a_child_that_is_not_there_refuses_as_a_port_does() {
    run(async {
        let (folder, sockets) = (tempfile::tempdir().unwrap(), Sockets::default());
        let client = Client::of_children_with_config(config(), 8, sockets.clone()).unwrap();
        assert!(is_refused(&cause_at(&client, "stranger.child.invalid").await), "nobody has that name");
        sockets.set("small", folder.path().join("small.sock"));
        assert!(is_refused(&cause_at(&client, "small.child.invalid").await), "it has no socket yet");
        drop(UnixListener::bind(folder.path().join("small.sock")).unwrap());
        assert!(is_refused(&cause_at(&client, "small.child.invalid").await), "its socket was left behind");
        sockets.set("long", folder.path().join("l".repeat(108)));
        let cause = cause_at(&client, "long.child.invalid").await;
        assert!(matches!(&cause, Cause::Io(e) if e.kind() == ErrorKind::InvalidInput), "{cause:?}");
    });
}

#[test]
fn a_child_that_takes_no_connection_is_waited_for_so_long_and_no_longer() {
    run(async {
        let (folder, sockets) = (tempfile::tempdir().unwrap(), Sockets::default());
        let path = folder.path().join("small.sock");
        let listener = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        let address = socket2::SockAddr::unix(&path).unwrap();
        listener.bind(&address).unwrap();
        listener.listen(0).unwrap();
        let first = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        first.connect(&address).unwrap();
        sockets.set("small", path);
        let patience = Some(Duration::from_millis(20));
        let hasty = Config::builder().timeout_connect(patience).build();
        let cause = cause_at(&Client::of_children_with_config(hasty, 8, sockets).unwrap(), "small.child.invalid").await;
        assert!(matches!(cause, Cause::ConnectTimeout), "{cause:?}");
    });
}

#[test]
fn a_child_is_reached_past_every_proxy_and_by_no_address() {
    run(async {
        // Nothing listens on the proxy's port.
        let proxy = Proxy::builder(ProxyProtocol::Http).host("127.0.0.1").port(9).build().unwrap();
        let config = Config::builder().proxy(Some(proxy)).build();
        let reached =
            over_unix(config, Box::new(|_, peer| peer.request()?.map_or(Ok(()), |_| peer.send(NO_CONTENT.as_bytes()))));
        reached.text(Connection::Any).await;
        let elsewhere = Server::responding(|_, _| NO_CONTENT.into());
        assert!(is_refused(&cause_at(&reached.client, &elsewhere.address.to_string()).await));
        assert_eq!(elsewhere.connections(), 0);
    });
}

#[test]
fn a_child_that_is_let_go_has_no_connection_left() {
    let (tell, mut told) = unbounded_channel();
    let script = move |_, peer: &mut Peer| {
        peer.request()?;
        peer.send(NO_CONTENT.as_bytes())?;
        peer.request()?;
        peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")?;
        peer.wait_for_end();
        let _ = tell.send(());
        Ok(())
    };
    run(async {
        let (folder, sockets) = (tempfile::tempdir().unwrap(), Sockets::default());
        let path = folder.path().join("small.sock");
        let _server = Server::start_at(&path, script);
        sockets.set("small", &path);
        let client = Client::of_children_with_config(config(), 8, sockets.clone()).unwrap();
        let send = || client.send(get("http://small.child.invalid/".into()), Connection::Any);
        // One is pooled, and one is being read.
        send().await.unwrap();
        let mut body = send().await.unwrap().into_body();
        assert_eq!(body.read_up_to(3).await.unwrap(), b"abc");
        sockets.close("small");
        assert_eq!(told.recv().await, Some(()));
        assert_eq!(body.read_up_to(3).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert!(is_refused(&cause_at(&client, "small.child.invalid").await));
        sockets.set("small", &path);
        send().await.unwrap();
    });
}
