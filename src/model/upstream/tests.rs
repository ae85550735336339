//! What a provider may do to us, and what we make of it.

mod children; // the same of a child of ours

use std::net::TcpListener;

use tokio::sync::mpsc::unbounded_channel;

use super::*;
use crate::{
    error::Error,
    model::{
        Delta, Ending, Finish,
        openai::Dialect,
        sampling::Sampling,
        scripted::{Server, self_signed},
    },
    secret::Secret,
};

const HELLO: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"hello\"}}]}\n\n";
const STOP: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn endpoint(base_url: String) -> Endpoint {
    Endpoint {
        whose: Whose::Operators,
        name: "ollama".into(),
        base_url,
        api_key: Some(Secret::new("sk-very-secret")),
        headers: Vec::new(),
        dialect: Dialect::default(),
        heard: Default::default(),
    }
}

fn at(server: &Server) -> Endpoint {
    endpoint(format!("http://{}/v1", server.address))
}

fn request() -> Request {
    Request { model: "tiny".into(), ..Request::default() }
}

fn upstreams() -> Upstreams {
    Upstreams::new(&outbound::Options::default()).unwrap()
}

fn chunked(events: &[&str]) -> String {
    let chunks: String = events.iter().map(|event| format!("{:x}\r\n{event}\r\n", event.len())).collect();
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{chunks}")
}

fn whole() -> String {
    chunked(&[HELLO, STOP, DONE]) + "0\r\n\r\n"
}

fn refusal(status: &str, headers: &str) -> String {
    let said = "sk-very-secret is wrong";
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{said}", said.len())
}

async fn all(mut reply: Reply) -> (Vec<Delta>, Ending) {
    let mut deltas = Vec::new();
    loop {
        if let Some(ending) = reply.next(&mut deltas).await {
            return (deltas, ending);
        }
    }
}

/// The whole reply, or the sentence of the failure.
async fn ask(upstreams: &Upstreams, endpoint: &Endpoint) -> Result<(Vec<Delta>, Finish), String> {
    match upstreams.start(endpoint, &Known::default(), &request(), &mut |_| ()).await {
        Ok(reply) => Ok(all(reply).await).map(|(deltas, ending)| (deltas, ending.finish)),
        Err(Error::ModelUnavailable(sentence) | Error::ModelRefused { message: sentence, .. }) => Err(sentence),
        Err(other) => panic!("{other:?}"),
    }
}

fn hello() -> Result<(Vec<Delta>, Finish), String> {
    Ok((vec![Delta::Text("hello".into())], Finish::Stop))
}

#[tokio::test]
async fn replies_share_a_connection() {
    let server = Server::responding(|_, request| {
        assert!(request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("authorization: Bearer sk-very-secret\r\n"), "{request}");
        assert!(request.contains("accept-encoding: identity\r\n"), "{request}");
        whole()
    });
    let upstreams = upstreams();
    for _ in 0..3 {
        assert_eq!(ask(&upstreams, &at(&server)).await, hello());
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn done_ends_a_reply_whose_body_stays_open() {
    let (tell, mut ended) = unbounded_channel();
    let server = Server::start(move |_, peer| {
        peer.request()?;
        peer.send(chunked(&[HELLO, STOP, DONE]).as_bytes())?;
        peer.wait_for_end();
        let _ = tell.send(());
        Ok(())
    });
    assert_eq!(ask(&upstreams(), &at(&server)).await, hello());
    assert_eq!(ended.recv().await, Some(()), "its connection is closed");
}

#[tokio::test]
async fn dropping_a_reply_closes_its_connection() {
    let (tell, mut ended) = unbounded_channel();
    let server = Server::start(move |_, peer| {
        peer.request()?;
        peer.send(chunked(&[HELLO]).as_bytes())?;
        peer.wait_for_end();
        let _ = tell.send(());
        Ok(())
    });
    let mut reply = upstreams().start(&at(&server), &Known::default(), &request(), &mut |_| ()).await.unwrap();
    let mut deltas = Vec::new();
    assert_eq!(reply.next(&mut deltas).await, None);
    assert_eq!(deltas, [Delta::Text("hello".into())]);
    drop(reply);
    assert_eq!(ended.recv().await, Some(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_beside_dropped_ones_are_whole() {
    let (server, upstreams) = (Server::responding(|_, _| whole()), std::sync::Arc::new(upstreams()));
    let turns = (0..400).map(|number| {
        let (endpoint, upstreams) = (at(&server), upstreams.clone());
        tokio::spawn(async move {
            let mut reply = upstreams.start(&endpoint, &Known::default(), &request(), &mut |_| ()).await.unwrap();
            match number % 3 {
                0 => drop(reply),
                1 => assert_eq!(all(reply).await.1.finish, Finish::Stop),
                _ => {
                    // One step, and the rest of the reply is dropped with its connection or after it was given back.
                    reply.next(&mut Vec::new()).await;
                }
            }
        })
    });
    for turn in turns.collect::<Vec<_>>() {
        turn.await.unwrap();
    }
}

#[tokio::test]
async fn a_cut_reply_keeps_what_had_arrived() {
    let server = Server::start(|_, peer| {
        peer.request()?;
        peer.send(chunked(&[HELLO]).as_bytes())
    });
    let (deltas, finish) = ask(&upstreams(), &at(&server)).await.unwrap();
    let fault = "the connection to the provider ollama broke in the middle of the reply";
    assert_eq!(deltas, [Delta::Text("hello".into()), Delta::Fault(fault.into())]);
    assert_eq!(finish, Finish::Error);
}

#[tokio::test]
async fn a_reply_that_had_finished_may_be_cut() {
    let server = Server::start(|_, peer| {
        peer.request()?;
        peer.send(chunked(&[HELLO, STOP]).as_bytes())
    });
    assert_eq!(ask(&upstreams(), &at(&server)).await, hello());
}

#[tokio::test]
async fn a_silent_reply_is_given_up() {
    let (tell, mut ended) = unbounded_channel();
    let server = Server::start(move |_, peer| {
        peer.request()?;
        peer.send(chunked(&[HELLO]).as_bytes())?;
        peer.wait_for_end();
        let _ = tell.send(());
        Ok(())
    });
    let options = outbound::Options { idle_timeout: Duration::from_millis(50), ..outbound::Options::default() };
    let (deltas, finish) = ask(&Upstreams::new(&options).unwrap(), &at(&server)).await.unwrap();
    let fault = "the provider ollama sent nothing for 0.05 seconds: the reply was abandoned";
    assert_eq!((deltas.last(), finish), (Some(&Delta::Fault(fault.into())), Finish::Error));
    assert_eq!(ended.recv().await, Some(()), "its connection is closed");
}

#[tokio::test]
async fn a_missing_head_is_given_up() {
    let server = Server::start(|_, peer| {
        peer.wait_for_end();
        Ok(())
    });
    let options = outbound::Options { head_timeout: Duration::from_millis(50), ..outbound::Options::default() };
    let sentence = ask(&Upstreams::new(&options).unwrap(), &at(&server)).await.unwrap_err();
    assert!(sentence.contains("did not reply in time"), "{sentence}");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn nobody_there_is_said_so() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sentence = ask(&upstreams(), &endpoint(format!("http://{address}/v1"))).await.unwrap_err();
    assert_eq!(sentence, "cannot connect to the provider ollama: is the model server running?");
}

#[tokio::test]
async fn a_name_that_cannot_be_looked_up_is_said_so() {
    // Longer than a name may be, so that no resolver is asked.
    let host = "x".repeat(70);
    let sentence = ask(&upstreams(), &endpoint(format!("http://{host}/v1"))).await.unwrap_err();
    assert!(sentence.starts_with("the host name of the provider ollama cannot be resolved"), "{sentence}");
}

#[tokio::test]
async fn a_busy_provider_is_asked_twice_more() {
    for (status, headers) in [("429 Slow", "retry-after: 0\r\n"), ("503 Later", "")] {
        let busy = move |number: usize| if number % 3 < 2 { refusal(status, headers) } else { whole() };
        let server = Server::responding(move |number, _| busy(number));
        assert_eq!(ask(&upstreams(), &at(&server)).await, hello());
        assert_eq!(server.connections(), 1, "an error that was read gives its connection back");

        let server = Server::responding(move |number, _| if number < 3 { refusal(status, headers) } else { whole() });
        assert!(ask(&upstreams(), &at(&server)).await.is_err());
    }
}

#[tokio::test]
async fn a_refusal_is_final_and_its_words_go_no_further() {
    let cases = [
        ("400 Bad", "", "the model tiny may not support"),
        ("401 Who", "", "rejected the key"),
        ("403 No", "", "rejected the key"),
        ("404 What", "", "does not know the model tiny: pull it"),
        ("429 Slow", "retry-after: 60\r\n", "is limiting requests"),
        ("500 Oops", "retry-after: 1\r\n", "failed with status 500"),
        ("200 OK", "content-type: text/html\r\n", "a web page"),
        ("302 Found", "location: /v1/chat/completions\r\n", "redirects elsewhere"),
    ];
    for (status, headers, expected) in cases {
        let server = Server::responding(move |number, _| if number == 0 { refusal(status, headers) } else { whole() });
        let sentence = ask(&upstreams(), &at(&server)).await.unwrap_err();
        assert!(sentence.contains(expected), "{status}: {sentence}");
        assert!(sentence.contains("the provider ollama"), "{sentence}");
        for hidden in ["wrong", "secret", &server.address.to_string()] {
            assert!(!sentence.contains(hidden), "{sentence}");
        }
    }
}

#[tokio::test]
async fn no_key_follows_a_redirect() {
    let elsewhere = Server::responding(|_, _| whole());
    let location = format!("location: http://localhost:{}/v1/chat/completions\r\n", elsewhere.address.port());
    for status in ["301 Moved", "302 Found", "303 Other", "307 Temporary", "308 Permanent"] {
        let location = location.clone();
        let server = Server::responding(move |_, _| refusal(status, &location));
        let sentence = ask(&upstreams(), &at(&server)).await.unwrap_err();
        assert!(sentence.contains("redirects elsewhere"), "{sentence}");
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_pooled_connection_that_died_is_replaced_at_once() {
    let server = Server::start(|connection, peer| {
        peer.request()?;
        peer.send(whole().as_bytes())?;
        if connection == 0 {
            // It takes the second request and answers with its end.
            peer.request()?;
            return Ok(());
        }
        peer.wait_for_end();
        Ok(())
    });
    let upstreams = upstreams();
    assert_eq!(ask(&upstreams, &at(&server)).await, hello());
    assert_eq!(ask(&upstreams, &at(&server)).await, hello());
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn an_end_without_an_answer_is_tried_again_and_one_after_half_an_answer_is_not() {
    let server = Server::start(|connection, peer| {
        peer.request()?;
        if connection < 2 { Ok(()) } else { peer.send(whole().as_bytes()) }
    });
    assert_eq!(ask(&upstreams(), &at(&server)).await, hello());
    assert_eq!(server.connections(), 3);

    let server = Server::start(|_, peer| {
        peer.request()?;
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-st")
    });
    assert!(ask(&upstreams(), &at(&server)).await.is_err());
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_private_authority_has_to_be_named() {
    let (pem, tls) = self_signed(rustls::ALL_VERSIONS);
    let server = Server::start_with(Some(tls), |_, peer| {
        while peer.request()?.is_some() {
            peer.send(whole().as_bytes())?;
        }
        Ok(())
    });
    let endpoint = endpoint(format!("https://{}/v1", server.address));
    let sentence = ask(&upstreams(), &endpoint).await.unwrap_err();
    assert!(sentence.contains("--ca-file"), "{sentence}");

    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    let options = outbound::Options { ca_file: Some(ca_file.clone()), ..outbound::Options::default() };
    assert!(Upstreams::new(&options).is_err(), "a missing file is refused");
    std::fs::write(&ca_file, "no certificate").unwrap();
    assert!(Upstreams::new(&options).is_err(), "a file without a certificate is refused");
    std::fs::write(&ca_file, pem).unwrap();
    let upstreams = Upstreams::new(&options).unwrap();
    let known = server.connections();
    assert_eq!([ask(&upstreams, &endpoint).await, ask(&upstreams, &endpoint).await], [hello(), hello()]);
    assert_eq!(server.connections(), known + 1, "replies over TLS share a connection");
}

#[tokio::test]
async fn what_does_not_speak_http_is_said_so() {
    let server = Server::start(|_, peer| {
        peer.request()?;
        peer.send(b"220 mail.example ESMTP, how do you do?\r\n\r\n")
    });
    assert!(ask(&upstreams(), &at(&server)).await.unwrap_err().contains("does not speak HTTP"));
}

#[tokio::test]
async fn too_many_waiting_requests_are_told_when_to_come_back() {
    let server = Server::responding(|_, _| whole());
    let options = outbound::Options { heads_max: 0, ..outbound::Options::default() };
    let refused =
        Upstreams::new(&options).unwrap().start(&at(&server), &Known::default(), &request(), &mut |_| ()).await;
    assert!(matches!(refused, Err(Error::Unavailable { .. })));
}

#[tokio::test]
async fn models_are_listed_in_the_order_of_the_provider() {
    let lists = [r#"{"object":"list","data":[{"id":"b"},{"id":"a"},{"name":"no id"}]}"#, r#"[{"id":"b"},{"id":"a"}]"#];
    for list in lists {
        let server = Server::responding(move |_, request| {
            assert!(request.starts_with("GET /v1/models HTTP/1.1\r\n"), "{request}");
            assert!(request.contains("authorization: Bearer sk-very-secret\r\n"), "{request}");
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{list}", list.len())
        });
        assert_eq!(upstreams().list_models(&at(&server)).await.unwrap(), ["b", "a"]);
    }
    let server = Server::responding(|_, _| "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi".into());
    let failed = upstreams().list_models(&at(&server)).await.unwrap_err().to_string();
    assert!(failed.contains("returned no list of models"), "{failed}");
}

#[tokio::test]
async fn a_list_of_models_is_read_up_to_its_bound() {
    let list = |bytes: usize| format!(r#"{{"data":[{{"id":"{}"}}]}}"#, "x".repeat(bytes - 20));
    for (bytes, fits) in [(MODELS_BYTES_MAX - 1, true), (MODELS_BYTES_MAX, true), (MODELS_BYTES_MAX + 1, false)] {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n");
        let server = Server::responding(move |_, _| head.clone() + &list(bytes));
        assert_eq!(upstreams().list_models(&at(&server)).await.is_ok(), fits, "{bytes}");
    }
}

#[tokio::test]
async fn a_connection_is_used_again_if_little_followed_the_reply() {
    for (bytes, connections) in
        [(reply::END_BYTES_MAX - 1, 1), (reply::END_BYTES_MAX, 1), (reply::END_BYTES_MAX + 1, 2)]
    {
        let server = Server::responding(move |_, _| chunked(&[&"x".repeat(bytes)]) + "0\r\n\r\n");
        let upstreams = upstreams();
        for _ in 0..2 {
            let request = at(&server).request(Method::GET, "/", Vec::new()).unwrap();
            let client = upstreams.clients.of(Whose::Operators);
            reply::let_end(client.send(request, Connection::Any).await.unwrap().into_body());
        }
        assert_eq!(server.connections(), connections, "{bytes}");
    }
}

#[tokio::test]
async fn a_request_is_changed_so_often_and_no_more_often() {
    let names = ["temperature", "top_p", "reasoning_effort", "stream_options", "max_tokens"];
    let full = Request { sampling: Sampling::tuned(), ..request() };
    for (count, fits) in [(REPAIRS_MAX - 1, true), (REPAIRS_MAX, true), (REPAIRS_MAX + 1, false)] {
        let refusal = |name| format!("HTTP/1.1 400 No\r\ncontent-length: {}\r\n\r\nno {name}", 3 + str::len(name));
        let server = Server::responding(move |n, _| if n < count as usize { refusal(names[n]) } else { whole() });
        let reply = upstreams().start(&at(&server), &Known::default(), &full, &mut |_| ()).await;
        assert_eq!(reply.is_ok(), fits, "{count}");
    }
}
