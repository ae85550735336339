//! Every code of the table can be provoked, and looks as the contract says.

use std::sync::atomic::Ordering;

use alm::http::envelope::ErrorCode;
use serde_json::{Value, json};

use crate::{
    harness::{Reply, App},
};

/// Answers with that code. The match is exhaustive: a new code needs a way to provoke it.
fn provoke(code: ErrorCode, app: &App) -> Reply {
    let acme = app.org("acme");
    let chat =
        |model: &str| acme.post("/chat", json!({ "messages": [{ "role": "user", "content": "x" }], "model": model }));
    match code {
        ErrorCode::BadRequest => acme.send("POST", "/agents", Some("{".into())),
        ErrorCode::Unauthorized => app.anonymous().get("/agents"),
        ErrorCode::PaymentRequired => chat("up/paid:1b"),
        ErrorCode::Forbidden => acme.delete("/agents/ala"),
        ErrorCode::NotFound => acme.get("/agents/nobody"),
        ErrorCode::MethodNotAllowed => acme.send("PUT", "/agents", None),
        ErrorCode::Conflict => acme.post("/agents", json!({ "name": "x", "slug": "taken" })),
        ErrorCode::PayloadTooLarge => acme.asking_first().post("/agents", json!({ "name": "x".repeat(200 * 1024) })),
        ErrorCode::ValidationError => acme.post("/agents", json!({ "name": "" })),
        ErrorCode::TooManyRequests => {
            let stranger = app.anonymous().header("x-api-key", "alm_live_guess");
            (0..61).map(|_| stranger.get("/agents")).last().unwrap()
        }
        ErrorCode::Internal => {
            let file = rusqlite::Connection::open(app.folder.path().join(alm::store::FILE_NAME)).unwrap();
            file.execute_batch("ALTER TABLE provider RENAME TO elsewhere").unwrap();
            acme.get("/providers")
        }
        ErrorCode::ModelUnavailable => chat("up/free"),
        ErrorCode::ServiceUnavailable => {
            app.app.draining.store(true, Ordering::Relaxed);
            app.anonymous().get("/readyz")
        }
    }
}

/// What `details` of that code holds, if anything.
fn details(code: ErrorCode) -> Option<&'static str> {
    match code {
        ErrorCode::PaymentRequired => Some("balanceMicrocents"),
        ErrorCode::ValidationError => Some("fields"),
        ErrorCode::TooManyRequests => Some("retryAfterMs"),
        _ => None,
    }
}

#[test]
fn every_code_can_be_met_and_has_the_whole_envelope() {
    for code in ErrorCode::ALL {
        let app = App::shared();
        app.provider("acme", &nobody(), &[ModelSpec::FREE, ModelSpec::PAID]);
        app.org("acme").post("/agents", json!({ "name": "taken" })).ok(201);
        let reply = provoke(code, &app);
        let name = serde_json::to_value(code).unwrap();
        let error = reply.fails(code.status().as_u16(), name.as_str().unwrap());
        match details(code) {
            Some(field) => assert!(error["details"].get(field).is_some(), "{error}"),
            None => assert_eq!(error.get("details"), None),
        }
        let waits = matches!(code, ErrorCode::TooManyRequests | ErrorCode::ServiceUnavailable);
        assert_eq!(reply.headers.contains_key("retry-after"), waits);
        assert_eq!(reply.headers.contains_key("www-authenticate"), code == ErrorCode::Unauthorized);
        assert_eq!(reply.headers.contains_key("allow"), code == ErrorCode::MethodNotAllowed);
    }
}

#[test]
fn a_cause_of_ours_is_in_the_log_under_the_request_id_and_not_in_the_body() {
    let app = App::shared();
    let reply = provoke(ErrorCode::Internal, &app);
    let error = reply.fails(500, "INTERNAL");
    assert!(!reply.text.contains("provider") && !reply.text.contains("SQL"), "{}", reply.text);
    let id = error["requestId"].as_str().unwrap();
    let logs = crate::harness::logs();
    let lines: Vec<Value> = logs.lines().filter(|line| line.contains(id)).flat_map(serde_json::from_str).collect();
    let causes: Vec<_> = lines.iter().filter(|line| line["level"] == "ERROR").collect();
    assert!(
        matches!(&causes[..], [cause] if cause["fields"]["cause"].as_str().unwrap().contains("provider")),
        "{lines:?}"
    );
}

#[test]
fn guessing_keys_is_slowed_and_who_has_one_is_not() {
    let app = App::shared();
    let acme = app.org("acme");
    provoke(ErrorCode::TooManyRequests, &app).fails(429, "TOO_MANY_REQUESTS");
    acme.get("/agents").ok(200);
    app.anonymous().get("/agents").fails(401, "UNAUTHORIZED");
}

#[test]
fn chats_are_limited_by_the_minute() {
    let app = App::shared();
    let acme = app.org("acme");
    // Refused for its model, so that nothing is streamed: what is counted is the asking.
    let ask = || acme.post("/chat", json!({ "messages": [{ "role": "user", "content": "x" }], "model": "no/such" }));
    (0..60).for_each(|_| assert_eq!(ask().invalid(), ["model"]));
    let reply = ask();
    let wait_ms = reply.fails(429, "TOO_MANY_REQUESTS")["details"]["retryAfterMs"].as_u64().unwrap();
    let wait_s: u64 = reply.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert_eq!(wait_s, wait_ms.div_ceil(1000).max(1));
}
