//! What tools reach, and by whose connections.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use ureq::http::Method;

use super::{
    super::{
        Cause,
        fetch::{
            Bounds, Failure, Fetched,
            tests::{BOUNDS, Flipping, clients, get, request, run, url},
        },
        networks::tests::NOT_PUBLIC,
    },
    *,
};
use crate::model::scripted::Server;

fn forbidden(fetched: Result<Fetched, Failure>) -> String {
    match fetched {
        Err(Failure::NotSent(Cause::Forbidden(forbidden))) => forbidden.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_that_is_not_public_is_reached_by_literal() {
    run(async {
        let clients = clients(&[]);
        for address in NOT_PUBLIC {
            let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
            for row in [Row::Owner, Row::Operator { id: "1", url: &"http://tools.example".parse().unwrap() }] {
                let refused = forbidden(clients.of(row).fetch(get(&format!("http://{host}:9/")), BOUNDS).await);
                assert!(refused.contains("private network") || refused.contains("cloud"), "{host}: {refused}");
            }
        }
    });
}

#[test]
fn spellings_of_this_machine_reach_nothing() {
    run(async {
        let server = Server::responding(|_, _| "HTTP/1.1 204 No Content\r\n\r\n".into());
        let client = clients(&[]).of(Row::Owner);
        for host in [
            "127.0.0.1",
            "2130706433",
            "0x7f000001",
            "0x7F.0.0.1",
            "0177.0.0.1",
            "017700000001",
            "127.1",
            "127.0.1",
            "0",
            "0.0.0.0",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "[::1]",
            "[::]",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
        ] {
            let fetched = client.fetch(get(&format!("http://{host}:{}/", server.address.port())), BOUNDS).await;
            let is_refused = match &fetched {
                Err(Failure::NotSent(Cause::Forbidden(_))) => true,
                // A resolver that does not read a spelling finds nothing.
                Err(Failure::NotSent(Cause::NameUnknown)) => !host.contains("127.0.0.1"),
                _ => false,
            };
            assert!(is_refused, "{host}: {fetched:?}");
        }
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn names_that_lead_to_what_is_not_public_reach_nothing() {
    run(async {
        let server = Server::responding(|_, _| "HTTP/1.1 204 No Content\r\n\r\n".into());
        let base = Base::new(&Options::default()).unwrap();
        let guard = || Guard::Tools { allowed: Allowed::default(), own: None };
        for address in NOT_PUBLIC {
            let at = SocketAddr::new(address.parse().unwrap(), server.address.port());
            let client = base.client(guard(), None, Flipping::new(&[&[at]]));
            let refused = forbidden(client.fetch(get("http://tools.example/"), BOUNDS).await);
            assert!(refused.starts_with("tools.example ("), "{refused}");
        }
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn a_name_that_flips_reaches_only_what_was_tested() {
    run(async {
        let open = Server::responding(|_, _| "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".into());
        // On loopback too, so that nothing leaves this machine: one of its addresses is named, the other is not.
        let closed = TcpListener::bind("127.0.0.2:0").unwrap();
        closed.set_nonblocking(true).unwrap();
        let there = closed.local_addr().unwrap();
        let guard =
            || Guard::Tools { allowed: Allowed::parse(&["127.0.0.1".to_owned()], "tool_allow").unwrap(), own: None };
        let base = Base::new(&Options::default()).unwrap();
        let flips = base.client(guard(), None, Flipping::new(&[&[open.address], &[there]]));
        assert_eq!(flips.fetch(get("http://tools.example/"), BOUNDS).await.unwrap().body, b"ok");
        forbidden(flips.fetch(get("http://tools.example/"), BOUNDS).await);
        let mixed = base.client(guard(), None, Flipping::new(&[&[there, open.address]]));
        assert_eq!(mixed.fetch(get("http://tools.example/"), BOUNDS).await.unwrap().body, b"ok");
        assert_eq!(open.connections(), 2);
        assert_eq!(closed.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    });
}

#[test]
fn an_owners_row_gets_neither_the_address_nor_the_connection_of_an_operators() {
    run(async {
        let server = Server::responding(|_, _| "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".into());
        let (clients, url) = (clients(&[]), url(&server));
        let uri = url.parse().unwrap();
        let bounds = Bounds { may_repeat: true, ..BOUNDS };
        for _ in 0..2 {
            let own = clients.of(Row::Operator { id: "1", url: &uri }).fetch(get(&url), bounds).await.unwrap();
            assert_eq!(own.body, b"ok");
        }
        assert_eq!(server.connections(), 1, "an operator's row keeps its connection");
        forbidden(clients.of(Row::Owner).fetch(get(&url), bounds).await);
        let elsewhere = "http://127.0.0.1:1/".parse().unwrap();
        forbidden(clients.of(Row::Operator { id: "1", url: &elsewhere }).fetch(get(&url), bounds).await);
        assert_eq!(server.connections(), 1);
        clients.of(Row::Operator { id: "2", url: &uri }).fetch(get(&url), bounds).await.unwrap();
        assert_eq!(server.connections(), 2, "another row has a connection of its own");
    });
}

#[test]
fn a_tools_proxy_is_asked_for_what_its_name_allows() {
    run(async {
        let proxy = Server::start(|_, peer| {
            let tunnel = peer.request()?.unwrap_or_default();
            assert!(tunnel.starts_with("CONNECT tools.example:80 HTTP/1.1\r\n"), "{tunnel}");
            peer.send(b"HTTP/1.1 200 OK\r\n\r\n")?;
            peer.request()?;
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nfar")
        });
        let of = |proxy: &str| ToolClients::new(&Options { tool_proxy: Some(proxy.into()), ..Options::default() });
        let client = of(&url(&proxy)).unwrap().of(Row::Owner);
        assert_eq!(client.fetch(get("http://tools.example/"), BOUNDS).await.unwrap().body, b"far");
        for closed in
            ["http://10.0.0.1/", "http://127.0.0.1/", "http://localhost/", "http://2130706433/", "http://[::1]/"]
        {
            forbidden(client.fetch(get(closed), BOUNDS).await);
        }
        assert_eq!(proxy.connections(), 1);
        for wrong in ["socks5://127.0.0.1:1", "nonsense://x", ""] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    });
}

#[test]
fn a_refusing_proxy_was_sent_nothing() {
    run(async {
        let proxy = Server::responding(|_, _| "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n".into());
        let options = Options { tool_proxy: Some(url(&proxy)), ..Options::default() };
        let client = ToolClients::new(&options).unwrap().of(Row::Owner);
        let refused = client.fetch(request(Method::POST, "http://tools.example/", "{}"), BOUNDS).await;
        assert!(matches!(refused, Err(Failure::NotSent(Cause::Proxy))), "{refused:?}");
    });
}

#[test]
fn a_pooled_connection_that_was_passed_over_is_not_taken_for_the_requests_own() {
    run(async {
        // The first tunnel stays open in the pool; there is no second.
        let proxy = Server::start(|number, peer| {
            peer.request()?;
            if number > 0 {
                return peer.send(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
            }
            peer.send(b"HTTP/1.1 200 OK\r\n\r\n")?;
            peer.request()?;
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nfar")?;
            peer.wait_for_end();
            Ok(())
        });
        let options = Options { tool_proxy: Some(url(&proxy)), ..Options::default() };
        let client = ToolClients::new(&options).unwrap().of(Row::Owner);
        client.fetch(get("http://tools.example/"), Bounds { may_repeat: true, ..BOUNDS }).await.unwrap();
        let refused = client.fetch(request(Method::POST, "http://tools.example/", "{}"), BOUNDS).await;
        assert!(matches!(refused, Err(Failure::NotSent(Cause::Proxy))), "{refused:?}");
    });
}

#[test]
fn so_many_operators_rows_keep_connections() {
    run(async {
        for rows in [OPERATOR_POOLS_MAX - 1, OPERATOR_POOLS_MAX, OPERATOR_POOLS_MAX + 1] {
            let server = Server::responding(|_, _| "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".into());
            let (clients, url) = (clients(&[]), url(&server));
            let uri = url.parse().unwrap();
            let bounds = Bounds { may_repeat: true, ..BOUNDS };
            for row in (0..rows).chain([0]) {
                let row = Row::Operator { id: &row.to_string(), url: &uri };
                clients.of(row).fetch(get(&url), bounds).await.unwrap();
            }
            let kept_first = server.connections() == rows;
            assert_eq!(kept_first, rows <= OPERATOR_POOLS_MAX, "{rows}");
        }
    });
}

#[test]
fn a_guard_is_bound_to_its_target() {
    let own = Guard::Tools { allowed: Allowed::default(), own: Some(target(&"http://a.example:81".parse().unwrap())) };
    let client = Base::new(&Options::default()).unwrap().client(own, None, Names::default());
    run(async move {
        forbidden(client.fetch(get("http://127.0.0.1:81/"), BOUNDS).await);
    });
}
