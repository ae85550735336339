//! Every code of the table can be provoked, and looks as the contract says.

use alm::error::ErrorCode;
use serde_json::{Value, json};

use crate::support::{
    client::Reply,
    fake_model::{Answer, FakeModel, delta},
    harness::{App, ModelSpec, until, user},
};

/// Answers with that code. The match is exhaustive: a new code needs a way to provoke it.
fn provoke(code: ErrorCode, app: &App) -> Reply {
    let acme = app.org("acme");
    let model = FakeModel::start([Answer::status(401)]);
    let chat = |model: &str| acme.post("/chat", json!({ "messages": [user("x")], "model": model }));
    match code {
        ErrorCode::BadRequest => acme.send("POST", "/agents", Some("{")),
        ErrorCode::Unauthorized => app.anonymous().get("/agents"),
        ErrorCode::PaymentRequired => {
            app.provider("acme", &model.base_url(), &[ModelSpec::PAID]);
            chat("up/paid")
        }
        ErrorCode::Forbidden => acme.delete("/agents/ala"),
        ErrorCode::NotFound => acme.get("/agents/nobody"),
        ErrorCode::MethodNotAllowed => acme.send("PUT", "/agents", None),
        ErrorCode::Conflict => {
            acme.post("/agents", json!({ "name": "taken" })).ok(201);
            acme.post("/agents", json!({ "name": "taken" }))
        }
        ErrorCode::PayloadTooLarge => acme.asking_first().post("/agents", json!({ "name": "x".repeat(200 * 1024) })),
        ErrorCode::ValidationError => acme.post("/agents", json!({ "name": "" })),
        ErrorCode::TooManyRequests => {
            let stranger = app.anonymous().header("x-api-key", "alm_live_guess");
            until("the limit", || Some(stranger.get("/agents")).filter(|reply| reply.status != 401))
        }
        ErrorCode::Internal => {
            app.file().execute_batch("ALTER TABLE provider RENAME TO elsewhere").unwrap();
            acme.get("/providers")
        }
        ErrorCode::ModelUnavailable => {
            app.provider("acme", &model.base_url(), &[ModelSpec::FREE]);
            chat("up/free")
        }
        ErrorCode::ServiceUnavailable => while_going_down(app),
    }
}

/// What a server answers that waits for the last answer.
fn while_going_down(app: &App) -> Reply {
    let slow = FakeModel::start([Answer::empty().chunk(delta(json!({ "content": "slowly" }))).wait()]);
    app.provider("acme", &slow.base_url(), &[ModelSpec::FREE]);
    let mut answer = app.org("acme").listen(json!({ "model": "up/free", "messages": [user("Hi")] }));
    answer.until("text-delta");
    app.terminate();
    until("the server to go down", || Some(app.anonymous().get("/readyz")).filter(|reply| reply.status != 200))
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
        let spoils_the_server =
            matches!(code, ErrorCode::TooManyRequests | ErrorCode::Internal | ErrorCode::ServiceUnavailable);
        let app = if spoils_the_server { App::start(&[]) } else { App::shared() };
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
    let app = App::start_with(&["--log-format", "json"], &[("RUST_LOG", "error")]);
    let reply = provoke(ErrorCode::Internal, &app);
    let error = reply.fails(500, "INTERNAL");
    assert!(!reply.text.contains("provider") && !reply.text.contains("SQL"), "{}", reply.text);
    let id = error["requestId"].as_str().unwrap();
    let cause = until("the log", || {
        let output = app.output();
        let mut lines = output.lines().filter(|line| line.contains(id)).flat_map(serde_json::from_str::<Value>);
        lines.find(|line| line["level"] == "ERROR")
    });
    assert!(cause["fields"]["cause"].as_str().unwrap().contains("provider"), "{cause}");
}
