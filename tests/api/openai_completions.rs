//! Legacy completions: a text that a provider's model goes on with.

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    fake_model::{Answer, FakeModel},
    harness::{App, ModelSpec},
};

const INVALID: &str = "invalid_request_error";

fn acme(app: &App, model: &FakeModel) -> Client {
    app.provider("acme", &model.base_url(), &[ModelSpec::FREE, ModelSpec::PAID]);
    app.org("acme")
}

/// A piece of a text, as servers stream it.
fn piece(text: &str, finish: Value) -> Value {
    json!({"object": "text_completion", "choices": [{"index": 0, "text": text, "finish_reason": finish}]})
}

fn going_on() -> Answer {
    let counted = json!({"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 2}});
    Answer::chunks([piece("  return", Value::Null), piece(" a + b\n", Value::Null), piece("", json!("stop")), counted])
}

fn body(model: &str, more: Value) -> Value {
    let mut body = json!({"model": model, "prompt": "def add(a, b):\n"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[test]
fn a_text_goes_on_plain_and_streamed() {
    let app = App::shared();
    let upstream = FakeModel::start([going_on()]);
    let acme = acme(&app, &upstream);
    let more =
        json!({"suffix": "\nprint(add(1, 2))", "max_tokens": 9, "stop": ["\n\n"], "user": "someone", "temperature": 0});
    let reply = acme.post("/v1/completions", body("up/free", more.clone()));
    assert_eq!((reply.status, reply.header("x-alm-model")), (200, Some("up/free")), "{}", reply.text);
    let whole = reply.json();
    let choice = json!({"text": "  return a + b\n", "index": 0, "logprobs": null, "finish_reason": "stop"});
    assert_eq!((&whole["object"], &whole["choices"]), (&json!("text_completion"), &json!([choice])));
    assert!(whole["id"].as_str().unwrap().starts_with("cmpl-"));
    assert_eq!((&whole["usage"]["prompt_tokens"], &whole["usage"]["total_tokens"]), (&json!(4), &json!(6)));
    let asked = upstream.asked().remove(0);
    assert_eq!(asked.path, "/v1/completions");
    let expected = json!({
        "model": "free", "prompt": "def add(a, b):\n", "suffix": "\nprint(add(1, 2))", "max_tokens": 9, "stop": ["\n\n"],
        "temperature": 0.0, "stream": true, "stream_options": {"include_usage": true},
    });
    assert_eq!(asked.json, expected);
    let asked = body("up/free", json!({"stream": true, "stream_options": {"include_usage": true}}));
    let streamed = acme.bare().post("/completions", asked);
    let events: Vec<_> =
        streamed.text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap()).collect();
    let (last, events) = events.split_last().unwrap();
    assert_eq!(*last, "[DONE]");
    let events: Vec<Value> = events.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    let said: String = events.iter().filter_map(|event| event["choices"][0]["text"].as_str()).collect();
    assert_eq!(said, "  return a + b\n");
    assert_eq!(
        (&events.last().unwrap()["choices"], &events.last().unwrap()["usage"]["total_tokens"]),
        (&json!([]), &json!(6))
    );
    assert_eq!(acme.get("/sessions").ok(200)["items"], json!([]), "nothing is kept");
}

#[test]
fn a_priced_text_is_paid_for() {
    let app = App::shared();
    let upstream = FakeModel::start([going_on()]);
    let acme = acme(&app, &upstream);
    acme.post("/v1/completions", body("up/paid", json!({}))).fault(429, "insufficient_quota", "insufficient_quota");
    app.deposit("acme", 10_000);
    assert_eq!(acme.post("/v1/completions", body("up/paid", json!({}))).status, 200);
    let billing = acme.get("/billing").ok(200);
    assert_eq!((&billing["balanceMicrocents"], &billing["heldMicrocents"]), (&json!(9_994), &json!(0)));
}

#[test]
fn an_agent_answers_chats() {
    let app = App::shared();
    let acme = app.org("acme");
    for model in ["ala", "demo/ala"] {
        let error = acme.post("/v1/completions", body(model, json!({}))).fault(400, INVALID, "unsupported_model");
        let said = format!("{model} answers chats: use /v1/chat/completions");
        assert_eq!((&error["param"], &error["message"]), (&json!("model"), &json!(said)));
    }
    acme.post("/v1/completions", body("nothing", json!({}))).fault(404, INVALID, "model_not_found");
}

#[test]
fn what_no_answer_would_be_right_for_is_refused() {
    let app = App::shared();
    let acme = app.org("acme");
    for (more, code, param) in [
        (json!({"prompt": null}), "missing_field", "prompt"),
        (json!({"prompt": ["a", "b"]}), "unsupported_value", "prompt"),
        (json!({"prompt": [1, 2]}), "unsupported_value", "prompt"),
        (json!({"n": 2}), "unsupported_value", "n"),
        (json!({"best_of": 2}), "unsupported_value", "best_of"),
        (json!({"echo": true}), "unsupported_parameter", "echo"),
        (json!({"logprobs": 1}), "unsupported_parameter", "logprobs"),
        (json!({"max_tokens": 0}), "invalid_value", "max_tokens"),
    ] {
        let error = acme.post("/v1/completions", body("up/free", more)).fault(400, INVALID, code);
        assert_eq!(error["param"], param);
    }
}

#[test]
fn a_server_that_has_no_such_route_is_said_to_refuse() {
    let app = App::shared();
    let upstream = FakeModel::start([Answer::status(404)]);
    let acme = acme(&app, &upstream);
    let reply = acme.post("/v1/completions", body("up/free", json!({})));
    assert!([400, 502].contains(&reply.status), "{}", reply.text);
}
