//! How often the OpenAI-compatible face is asked, how long a reply lives that its client keeps, and what is done once.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
};

use serde_json::{Value, json};

use crate::support::{
    client::{Client, Reply},
    fake_model::{Answer, FakeModel, call, delta, finish},
    harness::{App, PATIENCE, until, user},
};

/// Asks that model for a reply that is not stored.
fn given(model: &str) -> Value {
    json!({ "model": model, "input": "Hi", "store": false })
}

/// A connection on which a POST was sent and nothing was read yet.
fn posted(client: &Client, path: &str, body: &Value) -> TcpStream {
    let (address, body) = (client.url.trim_start_matches("http://"), body.to_string());
    let mut socket = TcpStream::connect(address).unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n", client.key());
    let rest = format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    socket.write_all(format!("{head}{rest}").as_bytes()).unwrap();
    socket
}

#[test]
fn requests_to_models_are_counted_by_person_and_every_answer_says_what_is_left() {
    let app = App::start(&["--v1-rate", "3", "--chat-rate", "2"]);
    let acme = app.org("acme");
    let left = |reply: &Reply| {
        assert_eq!(reply.header("x-ratelimit-limit-requests"), Some("3"), "{}", reply.text);
        reply.header("x-ratelimit-remaining-requests").unwrap().to_owned()
    };
    let ask = || acme.post("/v1/responses", json!({ "model": "nobody", "input": "Hi" }));
    for (remaining, reset) in [("2", "20s"), ("1", "40s"), ("0", "1m0s")] {
        let reply = ask();
        reply.fault(404, "invalid_request_error", "model_not_found");
        assert_eq!((&*left(&reply), reply.header("x-ratelimit-reset-requests")), (remaining, Some(reset)));
    }
    let refused = ask();
    let error = refused.fault(429, "rate_limit_error", "rate_limit_exceeded");
    assert_eq!(left(&refused), "0");
    let seconds = refused.header("retry-after").unwrap();
    assert!(error["message"].as_str().unwrap().ends_with(&format!("try again in {seconds}s")), "{error}");
    assert_eq!(acme.get("/v1/models").header("x-ratelimit-limit-requests"), None, "reading is not counted");
    acme.ask("demo/ala", "Hi");
    acme.ask("demo/ala", "Hi");
    acme.post("/chat", json!({ "model": "demo/ala", "messages": [] })).fails(429, "TOO_MANY_REQUESTS");
    assert_eq!(app.org("globex").post("/v1/responses", given("ala")).status, 200);
}

#[test]
fn a_body_over_its_cap_or_encoded_or_broken_is_refused_in_words() {
    let app = App::shared();
    let acme = app.org("acme");
    let long = json!({ "model": "ala", "input": "x".repeat(20 * 1024 * 1024) });
    let refused = acme.asking_first().post("/v1/responses", long);
    refused.fault(413, "invalid_request_error", "request_too_large");
    let encoded = acme.header("content-encoding", "gzip").post("/v1/responses", given("ala"));
    let error = encoded.fault(400, "invalid_request_error", Value::Null);
    assert!(error["message"].as_str().unwrap().contains("Content-Encoding: gzip"), "{error}");
    assert_eq!(acme.header("content-encoding", "identity").post("/v1/responses", given("ala")).status, 200);
    for broken in ["{", "", "[]"] {
        acme.send("POST", "/v1/responses", Some(broken)).fault(400, "invalid_request_error", "invalid_json");
    }
}

#[test]
fn what_is_asked_once_is_answered_the_same_again() {
    let app = App::shared();
    let model = FakeModel::saying("Once.");
    let acme = app.org_asking("acme", &model).header("idempotency-key", &alm::id::generate());
    let first = acme.post("/v1/responses", given("up/free"));
    assert_eq!(first.status, 200, "{}", first.text);
    let again = acme.post("/v1/responses", given("up/free"));
    assert_eq!((again.status, &again.text), (200, &first.text));
    let left = |reply: &Reply| reply.header("x-ratelimit-remaining-requests").map(str::to_owned);
    assert!(left(&first).is_some() && left(&again) == left(&first), "what is told again is not counted");
    assert_eq!(model.asked().len(), 1);
    acme.post("/v1/responses", given("ala")).fault(400, "invalid_request_error", "idempotency_key_reused");
}

#[test]
fn a_stream_that_is_asked_for_again_is_joined_and_then_told_again() {
    let app = App::shared();
    let word = |text: &str| delta(json!({ "content": text }));
    let model =
        FakeModel::start([Answer::empty().chunk(word("One ")).wait().chunk(word("two.")).chunk(finish("stop")).done()]);
    let acme = app.org_asking("acme", &model).header("idempotency-key", &alm::id::generate());
    let path = "/v1/chat/completions";
    let body = json!({ "model": "up/free", "messages": [{ "role": "user", "content": "Hi" }], "stream": true });
    let ask = || acme.attempt("POST", path, Some(&body.to_string())).unwrap().into_body();
    // The first has begun, since its head is there.
    let (mut first, mut second) = (ask(), ask());
    model.go();
    let (first, second) = (first.read_to_string().unwrap(), second.read_to_string().unwrap());
    // The answer is kept a moment after its last byte is sent.
    let third = until("the kept answer", || Some(acme.post(path, body.clone())).filter(|reply| reply.status == 200));
    assert!(first.contains("One ") && first.contains("two.") && first.contains(r#""finish_reason":"stop""#), "{first}");
    assert_eq!((&second, &third.text), (&first, &first));
    assert_eq!(model.asked().len(), 1);
}

#[test]
fn a_kept_stream_is_joined_as_it_comes() {
    let app = App::shared();
    let word = |text: &str| delta(json!({ "content": text }));
    let slow = || Answer::empty().chunk(word("One ")).wait().chunk(word("two.")).chunk(finish("stop")).done();
    let messages = json!([{ "role": "user", "content": "Hi" }]);
    for (org, path, body) in [
        ("acme", "/v1/responses", json!({ "model": "ala", "input": "Hi", "stream": true })),
        (
            "globex",
            "/v1/chat/completions",
            json!({ "model": "ala", "messages": messages, "stream": true, "store": true }),
        ),
    ] {
        let model = FakeModel::start([slow()]);
        let acme = app.org_asking(org, &model).header("idempotency-key", &alm::id::generate());
        let ask = || acme.attempt("POST", path, Some(&body.to_string())).unwrap().into_body();
        // Both have begun, though the model has not come to its end.
        let (mut first, mut second) = (ask(), ask());
        model.go();
        let (first, second) = (first.read_to_string().unwrap(), second.read_to_string().unwrap());
        let again =
            until("the kept answer", || Some(acme.post(path, body.clone())).filter(|reply| reply.status == 200));
        assert!(first.contains("One ") && first.contains("two."), "{first}");
        assert_eq!((&second, &again.text), (&first, &first), "{path}");
        assert_eq!(model.asked().len(), 1);
    }
}

#[test]
fn a_reply_that_is_asked_for_once_outlives_its_client() {
    let app = App::shared();
    let model = FakeModel::start([Answer::empty()
        .wait()
        .chunk(delta(json!({ "content": "Late." })))
        .chunk(finish("stop"))
        .done()]);
    let key = alm::id::generate();
    let acme = app.org_asking("acme", &model);
    let body = given("up/free").to_string();
    let address = acme.url.trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).unwrap();
    let head = format!("POST /v1/responses HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n", acme.key());
    let rest = format!(
        "idempotency-key: {key}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(format!("{head}{rest}").as_bytes()).unwrap();
    until("the question", || (!model.asked().is_empty()).then_some(()));
    drop(socket);
    model.go();
    let again = acme.header("idempotency-key", &key);
    let reply =
        until("the answer", || Some(again.post("/v1/responses", given("up/free"))).filter(|reply| reply.status == 200));
    assert!(reply.text.contains("Late."), "{}", reply.text);
    assert_eq!(model.asked().len(), 1);
}

#[test]
fn who_comes_while_the_server_goes_down_is_refused_and_who_is_there_hears_the_end() {
    let app = App::start(&["--drain", "10s"]);
    let model = FakeModel::start([Answer::empty()
        .chunk(delta(json!({ "content": "One " })))
        .wait()
        .chunk(delta(json!({ "content": "two." })))
        .chunk(finish("stop"))
        .done()]);
    let acme = app.org_asking("acme", &model);
    let keeps = acme.clone();
    assert_eq!(keeps.get("/v1/models").status, 200);
    let mut body = given("up/free");
    body["stream"] = json!(true);
    let mut socket = posted(&acme, "/v1/responses", &body);
    until("the question", || (!model.asked().is_empty()).then_some(()));
    app.terminate();
    let refused =
        until("the end", || Some(keeps.post("/v1/responses", given("demo/ala"))).filter(|reply| reply.status != 200));
    refused.fault(503, "server_error", "overloaded");
    assert!(refused.header("retry-after").is_some());
    model.go();
    let mut heard = String::new();
    // The server may close the connection behind the last event as it likes.
    let _ = socket.read_to_string(&mut heard);
    assert!(heard.contains("response.completed"), "{heard}");
}

#[test]
fn a_model_that_is_silent_between_the_arguments_of_a_call_is_heard_as_a_piece_without_words() {
    let fragment = |id, name, arguments| Answer::empty().chunk(call(Some(0), id, name, arguments));
    let said = fragment(Some("c1"), Some("book"), "{\"a\":").wait();
    let said = said.chunk(call(Some(0), None, None, "1}")).chunk(finish("tool_calls")).done();
    let (app, model) = (App::shared(), FakeModel::start([said]));
    let acme = app.org_asking("acme", &model);
    let body = json!({ "model": "up/free", "stream": true, "messages": [user("Book")],
        "tools": [{ "type": "function", "function": { "name": "book" } }] });
    let stream = posted(&acme, "/v1/chat/completions", &body);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut arguments, mut beats, mut finish) = (String::new(), 0, None);
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    while let Some(line) = lines.find(|line| line.starts_with("data: ") || line.starts_with(':')) {
        let data = line.strip_prefix("data: ").expect("no comment");
        if data == "[DONE]" {
            break;
        }
        let event: Value = serde_json::from_str(data).unwrap();
        let choice = &event["choices"][0];
        arguments += choice["delta"]["tool_calls"][0]["function"]["arguments"].as_str().unwrap_or("");
        finish = choice["finish_reason"].as_str().map(str::to_owned).or(finish);
        if choice["delta"] == json!({ "content": "" }) && !arguments.is_empty() {
            beats += 1;
            if beats == 1 {
                model.go();
            }
        }
    }
    assert!(beats > 0, "nothing was heard while it was silent");
    assert_eq!((arguments.as_str(), finish.as_deref()), ("{\"a\":1}", Some("tool_calls")));
}
