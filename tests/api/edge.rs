//! What holds for every request, whatever it asks.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::json;

use crate::support::{
    client::Client,
    fake_model::{Answer, FakeModel, delta, finish, nobody},
    harness::{App, ModelSpec, until, user},
};

#[test]
fn a_request_id_is_kept_or_made_and_always_answered() {
    let app = App::shared();
    let anonymous = app.anonymous();
    let kept = anonymous.header("x-request-id", "trace-1").get("/agents");
    assert_eq!(kept.fails(401, "UNAUTHORIZED")["requestId"], json!("trace-1"));
    let made = anonymous.header("x-request-id", &"x".repeat(129)).get("/healthz");
    assert_eq!(made.headers["x-request-id"].len(), alm::id::generate().len());
}

/// What a server answers to a GET with exactly these header lines.
fn ask_raw(address: &str, path: &str, lines: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\n{lines}connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_request_that_says_two_things_is_refused() {
    let app = App::shared();
    let acme = app.org("acme");
    let (address, key) = (app.url().trim_start_matches("http://"), acme.key());
    let host = format!("host: {address}\r\n");
    let ask = |lines: &str| ask_raw(address, "/api/v1/agents", &format!("{host}{lines}"));
    let bearer = format!("authorization: Bearer {key}\r\n");
    assert!(ask(&bearer).starts_with("HTTP/1.1 200"));
    let thrice = format!("{bearer}{bearer}x-api-key: {key}\r\n");
    assert!(ask(&thrice).starts_with("HTTP/1.1 200"), "one thing, said three times");
    for other in [
        "authorization: Bearer other\r\n",
        "x-api-key: other\r\n",
        "x-alumia-org: acme\r\nx-alumia-org: globex\r\n",
        "origin: http://a\r\norigin: http://b\r\n",
        "host: evil.example\r\n",
        "x-alumia-org: \u{e4}\r\n",
    ] {
        let answer = ask(&format!("{bearer}{other}"));
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("BAD_REQUEST"), "{other}: {answer}");
    }
    let odd = ask_raw(address, "/api/v1/agents", &format!("host: localh\u{f6}st\r\n{bearer}"));
    assert!(odd.starts_with("HTTP/1.1 400"), "{odd}");
    for (asked, status) in [(app.url(), "200"), ("http://evil.example", "400")] {
        let answer = ask_raw(address, &format!("{asked}/api/v1/agents"), &format!("{host}{bearer}"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{asked}: {answer}");
    }
}

#[test]
fn an_empty_header_is_as_if_it_were_not_there() {
    let app = App::shared();
    for caller in [app.org("acme"), app.browser("acme")] {
        caller.header("x-alumia-org", "").get("/agents").ok(200);
        caller.header("x-alumia-org", "  ").get("/agents").ok(200);
        caller.header("x-alumia-org", "globex").get("/agents").fails(403, "FORBIDDEN");
        let named = json!({ "name": alm::id::generate() });
        caller.on_a_page().header("idempotency-key", "").post("/projects", named).ok(201);
    }
    let alias = app.anonymous().header("authorization", "Bearer ").header("x-api-key", app.org("acme").key());
    alias.get("/agents").ok(200);
}

#[test]
fn a_server_with_a_name_says_that_it_should_know_its_proxy() {
    App::start(&["--allow-host", "alm.example.com"]).says("--trust-proxy");
    let app = App::start(&["--allow-host", "alm.example.com", "--trust-proxy", "127.0.0.1,::1"]);
    app.terminate();
    assert_eq!(app.exit_code(), Some(0));
    assert!(!app.output().contains("--trust-proxy"));
}

#[test]
fn wrong_keys_are_counted_for_whom_a_trusted_proxy_names() {
    let from = |app: &App, addresses: &str| {
        let nobody = app.anonymous().header("x-forwarded-for", addresses);
        nobody.header("authorization", "Bearer alm_live_x").get("/agents").status
    };
    let until_refused = |app: &App| (0..100).take_while(|_| from(app, "6.6.6.6") == 401).count();
    let app = App::start(&["--trust-proxy", "127.0.0.0/8"]);
    assert!((60..70).contains(&until_refused(&app)));
    assert_eq!([from(&app, "9.9.9.9"), from(&app, "6.6.6.6, 9.9.9.9")], [401, 401]);
    assert_eq!(from(&app, "9.9.9.9, 6.6.6.6"), 429, "what stands first, anyone may have written");
    let app = App::start(&[]);
    assert!((60..70).contains(&until_refused(&app)));
    assert_eq!(from(&app, "9.9.9.9"), 429, "without a trusted proxy nothing reads the header");
}

#[test]
fn an_unknown_route_and_a_wrong_method_have_the_envelope() {
    let app = App::shared();
    let acme = app.org("acme");
    for path in ["/nothing", "/agents/ala/nothing", "/agents/", "/healthz/nothing", "/agents/%ff"] {
        acme.get(path).fails(404, "NOT_FOUND");
    }
    for (method, path, allow) in [
        ("PUT", "/agents", "GET, HEAD, POST"),
        ("POST", "/agents/ala", "GET, HEAD, PATCH, DELETE"),
        ("DELETE", "/healthz", "GET, HEAD"),
        ("FOO", "/models", "GET, HEAD"),
    ] {
        let reply = acme.send(method, path, None);
        reply.fails(405, "METHOD_NOT_ALLOWED");
        assert_eq!(reply.headers["allow"], allow);
    }
    let head = acme.send("HEAD", "/agents", None);
    assert_eq!((head.status, head.text.as_str()), (200, ""));
}

#[test]
fn a_body_that_is_no_json_object_is_refused_in_its_own_words() {
    let app = App::shared();
    let acme = app.org("acme");
    let message = |body: &str| {
        let error = acme.send("POST", "/agents", Some(body)).fails(400, "BAD_REQUEST");
        error["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(message(""), "the body is empty: send a JSON object");
    assert!(message("{").starts_with("the body is not JSON"));
    assert_eq!(message("[]"), "the body: expected an object");
    assert_eq!(message("{}"), "name: required");
    assert_eq!(message(r#"{"name":5}"#), "name: expected a string");
    assert_eq!(message(r#"{"name":"x","settings":{"maxSteps":"5"}}"#), "settings.maxSteps: expected an integer");
    let plain = acme.header("content-type", "text/plain");
    plain.send("POST", "/agents", Some("{}")).fails(400, "BAD_REQUEST");
    acme.header("content-type", "application/json; charset=utf-8").post("/agents", json!({ "name": "x" })).ok(201);
}

#[test]
fn who_may_not_is_refused_before_the_body_is_looked_at() {
    let app = App::shared();
    app.org("acme").send("POST", "/api-keys", Some("{")).fails(403, "FORBIDDEN");
    app.anonymous().send("POST", "/agents", Some("{")).fails(401, "UNAUTHORIZED");
}

#[test]
fn every_answer_tells_browsers_to_be_careful() {
    let app = App::shared();
    for path in ["/healthz", "/agents", "/nothing"] {
        let reply = app.anonymous().get(path);
        assert_eq!(reply.headers["x-content-type-options"], "nosniff");
        assert_eq!(reply.headers["x-frame-options"], "DENY");
        assert_eq!(reply.headers["cache-control"], "no-store");
        assert!(reply.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    }
}

#[test]
fn pages_of_other_origins_are_let_in_only_by_name() {
    let named = "https://app.example.com";
    let app = App::start(&["--cors-origin", named]);
    let from = |origin: &str| app.org("acme").header("origin", origin);
    let reply = from(named).get("/agents");
    reply.ok(200);
    assert_eq!(reply.headers["access-control-allow-origin"], named);
    assert_eq!(reply.headers["vary"], "Origin");
    let failed = from(named).get("/agents/nobody");
    assert_eq!(failed.headers["access-control-allow-origin"], named);
    let stranger = from("https://evil.example").get("/agents");
    stranger.ok(200);
    assert!(!stranger.headers.contains_key("access-control-allow-origin"));
    let asks = |origin: &str| {
        let browser = app.anonymous().header("origin", origin).header("access-control-request-method", "POST");
        browser.send("OPTIONS", "/chat", None)
    };
    let preflight = asks(named);
    assert_eq!(preflight.status, 204);
    let allowed = preflight.headers["access-control-allow-headers"].to_str().unwrap();
    assert_eq!(allowed, "authorization, content-type, x-alumia-org, user-agent, idempotency-key");
    asks("https://evil.example").fails(405, "METHOD_NOT_ALLOWED");
    let off = App::shared();
    let reply = off.org("acme").header("origin", named).get("/agents");
    assert!(!reply.headers.contains_key("access-control-allow-origin"));
}

#[test]
fn the_server_says_that_it_lives_and_whether_it_can_work() {
    let app = App::shared();
    for path in ["/healthz", "/health"] {
        assert_eq!(app.anonymous().get(path).ok(200), json!({ "status": "alive" }));
    }
    assert_eq!(app.anonymous().get("/readyz").ok(200), json!({ "status": "ready" }));
}

#[test]
fn a_server_that_goes_down_takes_nothing_new_and_lets_answers_end() {
    let app = App::start(&[]);
    let (acme, model) = (
        app.org("acme"),
        FakeModel::start([Answer::empty()
            .chunk(delta(json!({ "content": "slowly" })))
            .wait()
            .chunk(finish("stop"))
            .done()]),
    );
    app.provider("acme", &model.base_url(), &[ModelSpec::FREE]);
    let mut answer = acme.listen(json!({ "model": "up/free", "messages": [user("Hi")] }));
    answer.until("text-delta");
    app.terminate();
    let anonymous = app.anonymous();
    until("the server to go down", || (anonymous.get("/readyz").status == 503).then_some(()));
    anonymous.get("/readyz").fails(503, "SERVICE_UNAVAILABLE");
    acme.post("/chat", json!({ "messages": [user("Me too")] })).fails(503, "SERVICE_UNAVAILABLE");
    anonymous.get("/healthz").ok(200);
    model.go();
    assert_eq!(answer.rest().finish_reason(), "stop");
    assert_eq!(app.exit_code(), Some(0));
}

#[test]
fn requests_are_counted_by_pattern_and_never_by_path() {
    let metrics = nobody().trim_start_matches("http://").trim_end_matches("/v1").to_owned();
    let app = App::start(&["--metrics-listen", &metrics]);
    let acme = app.org("acme");
    acme.get("/agents/some-very-secret-name").fails(404, "NOT_FOUND");
    acme.get("/no/such/very-secret-route").fails(404, "NOT_FOUND");
    let model = FakeModel::start([Answer::call("t1", "current_time", "{}"), Answer::text("Noon.")]);
    app.org_asking("globex", &model).chat(json!({ "messages": [user("What time is it?")] }));
    let text = Client::new(&format!("http://{metrics}"), None).get("/metrics").text;
    let rebound = ask_raw(&metrics, "/metrics", "host: evil.example\r\n");
    assert!(rebound.starts_with("HTTP/1.1 403") && !rebound.contains("alm_requests"), "{rebound}");
    let counted = r#"alm_requests_total{method="GET",path="/api/v1/agents/:param0",status="404"} 1"#;
    assert!(text.contains(counted), "{text}");
    assert!(text.contains(r#"alm_tool_calls_total{origin="builtin",outcome="done"} 1"#), "{text}");
    assert!(text.contains(r#"alm_tool_seconds_total{origin="builtin"} 0."#), "{text}");
    assert!(!text.contains("very-secret"), "{text}");
}

#[test]
fn odd_texts_come_back_as_they_went_in() {
    let app = App::shared();
    let acme = app.org("acme");
    let session = acme.post("/sessions", json!({})).ok(201)["id"].as_str().unwrap().to_owned();
    let path = format!("/sessions/{session}/messages");
    let texts = [
        "a\u{0}b",
        "\u{202e}right to left",
        "👩‍👩‍👧‍👦 ﷽",
        "'; DROP TABLE message; --",
        "\r\n\t\u{1}",
        "\u{fffd}\u{feff}",
        " ",
    ];
    for text in texts {
        let made = acme.post(&path, user(text)).ok(201);
        assert_eq!(made["content"], json!(text));
    }
    let stored: Vec<_> = acme.history(&session).into_iter().map(|(_, text)| text).collect();
    assert_eq!(stored, texts);
}

#[test]
fn a_body_that_is_hostile_is_a_400_and_not_the_end() {
    let app = App::shared();
    let acme = app.org("acme");
    let deep = format!("{}1{}", "[".repeat(100_000 / 2), "]".repeat(100_000 / 2));
    let nested = format!(r#"{{"messages":[{{"role":"user","parts":[{{"type":"data-x","data":{deep}}}]}}]}}"#);
    for body in
        [&*deep, &nested, r#"{"messages":[{"role":"user","content":"\ud800"}]}"#, "{\"a\":1}{", "nul", "\u{feff}{}"]
    {
        acme.send("POST", "/chat", Some(body)).fails(400, "BAD_REQUEST");
    }
    let shallow = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let data = serde_json::from_str::<serde_json::Value>(&shallow).unwrap();
    let parts = json!([{ "type": "text", "text": "x" }, { "type": "data-x", "data": data }]);
    acme.chat(json!({ "messages": [{ "role": "user", "parts": parts }] }));
}

#[test]
fn a_head_is_answered_like_a_get_without_its_body() {
    let app = App::shared();
    let acme = app.org("acme");
    for path in ["/agents", "/healthz", "/openapi.json"] {
        let reply = acme.send("HEAD", path, None);
        assert_eq!((reply.status, &*reply.text), (200, ""), "{path}");
    }
}
