//! Bodies: what is refused before one is read, and what one may cost.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use alm::key::{Env, Scope};
use serde_json::json;

use crate::support::{
    client::Client,
    fake_model::FakeModel,
    harness::{App, PATIENCE, user},
};

/// What a server says to a head that announces a body and waits to be asked for it.
fn answer_to_head(app: &App, client: &Client, route: &str, header: &str) -> String {
    let mut socket = TcpStream::connect(app.url().trim_start_matches("http://")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (method, path) = route.split_once(' ').unwrap();
    write!(socket, "{method} /api/v1{path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {}\r\n{header}", client.key())
        .unwrap();
    write!(socket, "content-type: application/json\r\ncontent-length: 100\r\nexpect: 100-continue\r\n\r\n").unwrap();
    let mut heard = [0; 12];
    socket.read_exact(&mut heard).unwrap();
    String::from_utf8_lossy(&heard[9..]).into_owned()
}

#[test]
fn who_may_not_do_it_is_refused_before_the_body_is_read() {
    let app = App::shared();
    let mut stranger = app.anonymous();
    stranger.key = Some("alm_live_guess".into());
    let (reader, chatter) = (app.key("acme", Env::Live, &[Scope::Read]), app.key("acme", Env::Live, &[Scope::Chat]));
    for header in ["", "idempotency-key: k\r\n"] {
        for route in [
            "POST /agents",
            "PATCH /agents/ala",
            "POST /projects",
            "PATCH /projects/p",
            "POST /sessions",
            "PATCH /sessions/c",
            "POST /sessions/c/messages",
            "POST /chat",
            "POST /chat/c/resume",
            "POST /chat/c/stop",
            "POST /providers",
            "PATCH /providers/p",
            "POST /providers/p/test",
            "POST /providers/p/refresh",
            "POST /billing/deposit",
            "POST /api-keys",
            "POST /api-keys/k/rotate",
            "PATCH /org",
        ] {
            assert_eq!(answer_to_head(&app, &reader, route, header), "403", "{route} {header}");
        }
        assert_eq!(answer_to_head(&app, &chatter, "POST /agents", header), "403");
        assert_eq!(answer_to_head(&app, &chatter, "POST /chat", header), "100");
        assert_eq!(answer_to_head(&app, &chatter, "POST /chat", &format!("{header}x-alumia-org: other\r\n")), "403");
        assert_eq!(answer_to_head(&app, &stranger, "POST /chat", header), "401");
    }
}

#[test]
fn an_empty_rate_is_said_before_the_body_is_read_unless_it_may_be_a_repeat() {
    let (app, model) = (App::start(&["--chat-rate", "2"]), FakeModel::saying("Hello."));
    let acme = app.org_asking("acme", &model);
    let (once, ask) = (acme.header("idempotency-key", "k"), json!({ "id": "c", "messages": [user("Hi")] }));
    assert_eq!(once.chat(ask.clone()).text(), "Hello.");
    let added = acme.post("/sessions/c/messages", json!({ "role": "user", "content": "x" }));
    added.ok(201);
    for route in ["POST /chat", "POST /chat/c/resume", "POST /sessions/c/messages"] {
        assert_eq!(answer_to_head(&app, &acme, route, ""), "429", "{route}");
        assert_eq!(answer_to_head(&app, &acme, route, "idempotency-key: k\r\n"), "100", "{route}");
    }
    // What is told again costs nothing, however often.
    for _time in 0..3 {
        assert_eq!(once.chat(ask.clone()).text(), "Hello.");
    }
    once.post("/chat", json!({ "id": "c", "messages": [user("Other")] })).fails(422, "VALIDATION_ERROR");
    acme.header("idempotency-key", "new").post("/chat", ask).fails(429, "TOO_MANY_REQUESTS");
    assert_eq!(answer_to_head(&app, &acme, "POST /sessions", ""), "100");
}

#[test]
fn a_message_that_is_appended_counts_as_a_chat_does() {
    let app = App::start(&["--chat-rate", "3"]);
    let acme = app.org("acme");
    let session = acme.post("/sessions", json!({})).ok(201)["id"].as_str().unwrap().to_owned();
    let path = format!("/sessions/{session}/messages");
    let append = |client: &Client| client.post(&path, json!({ "role": "user", "content": "x" }));
    let once = acme.header("idempotency-key", "k");
    (0..3).for_each(|_| drop(append(&once).ok(201)));
    (0..2).for_each(|_| drop(append(&acme).ok(201)));
    append(&acme).fails(429, "TOO_MANY_REQUESTS");
    append(&once).ok(201);
    acme.post("/chat", json!({ "messages": [user("x")] })).fails(429, "TOO_MANY_REQUESTS");
}

#[test]
fn a_body_of_too_many_values_is_refused_wherever_they_are() {
    let app = App::shared();
    let acme = app.org("acme");
    acme.post("/sessions", json!({})).ok(201);
    let numbers = |count: usize| format!("[0{}]", ",0".repeat(count - 1));
    let post = |path: &str, body: String| acme.send("POST", path, Some(&body));
    let refused =
        post("/chat", format!(r#"{{"messages":[],"x":{}}}"#, numbers(200_000))).fails(413, "PAYLOAD_TOO_LARGE");
    assert_eq!(refused["message"], "the body holds more than 200000 values");
    let part = r#"{"type":"text","text":"x"},"#.repeat(999) + r#"{"type":"text","text":"x"}"#;
    let message = format!(r#"{{"role":"user","parts":[{part}]}}"#);
    let many = vec![message.as_str(); 100].join(",");
    post("/chat", format!(r#"{{"messages":[{many}]}}"#)).fails(413, "PAYLOAD_TOO_LARGE");
    let data = format!(r#"{{"role":"user","parts":[{{"type":"data-x","data":{}}}]}}"#, numbers(250_000));
    acme.header("idempotency-key", "k")
        .send("POST", "/sessions/c/messages", Some(&data))
        .fails(413, "PAYLOAD_TOO_LARGE");
    // A comma in a text is no value.
    let text = format!(r#"{{"messages":[],"x":"{}"}}"#, ",".repeat(1_000_000));
    assert_eq!(post("/chat", text).invalid(), ["messages"]);
}

#[test]
fn a_large_body_is_taken_as_a_small_one_is() {
    let (app, model) = (App::shared(), FakeModel::saying("Hello."));
    let acme = app.org_asking("acme", &model);
    for bytes in [1024 * 1024 - 100, 1024 * 1024, 3 * 1024 * 1024] {
        let once = acme.header("idempotency-key", &format!("k{bytes}"));
        let ask = || json!({ "id": format!("c{bytes}"), "messages": [user(&"x".repeat(bytes))] });
        (0..2).for_each(|_| assert_eq!(once.chat(ask()).text(), "Hello."));
        once.post("/chat", json!({ "messages": [user(&"y".repeat(bytes))] })).fails(422, "VALIDATION_ERROR");
        assert_eq!(acme.messages(&format!("c{bytes}"))[0]["content"].as_str().map(str::len), Some(bytes));
        let wrong = format!(r#"{{"messages":[{{"role":"user","content":5,"x":"{}"}}]}}"#, "x".repeat(bytes));
        let refused = acme.send("POST", "/chat", Some(&wrong)).fails(400, "BAD_REQUEST");
        assert_eq!(refused["message"], "messages[0].content: expected a string");
    }
}
