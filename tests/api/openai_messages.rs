//! Messages, as Anthropic's clients ask for them and read them.

use alm::key::{Env, Scope};
use serde_json::{Value, json};

use crate::support::{
    client::{Client, Reply},
    fake_model::{Answer, FakeModel, call, delta, finish, usage},
    harness::{App, ModelSpec},
};

const MESSAGES: &str = "/v1/messages?beta=true";

/// A request of a few words, and more fields.
fn body(model: &str, more: Value) -> Value {
    let mut body = json!({"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": "Hi"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn acme(app: &App, model: &FakeModel) -> Client {
    app.provider("acme", &model.base_url(), &[ModelSpec::FREE, ModelSpec::PAID]);
    app.org("acme")
}

fn message(client: &Client, body: Value) -> Value {
    let reply = client.post(MESSAGES, body);
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

/// The events of a stream; each one's name is its type.
fn events(reply: &Reply) -> Vec<Value> {
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/event-stream")), "{}", reply.text);
    let event = |text: &str| {
        let (name, data) = text.strip_prefix("event: ").and_then(|rest| rest.split_once("\ndata: ")).unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["type"], name);
        data
    };
    reply.text.split_terminator("\n\n").map(event).collect()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// The failure of a reply in Anthropic's shape: its type and its sentence.
#[track_caller]
fn failure(reply: &Reply, status: u16) -> (String, String) {
    assert_eq!((reply.status, reply.header("content-type")), (status, Some("application/json")), "{}", reply.text);
    let json = reply.json();
    assert_eq!((json.as_object().unwrap().len(), &json["type"]), (3, &json!("error")), "{}", reply.text);
    assert_eq!(json["request_id"].as_str(), reply.header("request-id"));
    let text = |key: &str| json["error"][key].as_str().unwrap().to_owned();
    (text("type"), text("message"))
}

/// A block of words.
fn text(text: &str) -> Value {
    json!({"type": "text", "citations": null, "text": text})
}

#[test]
fn a_reply_is_a_message_and_streamed_it_comes_to_the_same() {
    let app = App::shared();
    let upstream = FakeModel::saying("Hello there.");
    let acme = acme(&app, &upstream);
    let plain = acme.post(MESSAGES, body("up/free", json!({})));
    assert_eq!((plain.status, plain.header("x-alm-model")), (200, Some("up/free")), "{}", plain.text);
    assert_eq!(plain.header("request-id"), plain.header("x-request-id"));
    let mut whole = plain.json();
    assert!(whole["id"].as_str().unwrap().starts_with("msg_"));
    let events = events(&acme.post(MESSAGES, body("up/free", json!({"stream": true}))));
    let expected =
        ["message_start", "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"];
    assert_eq!(kinds(&events), [&expected[..], &["message_delta", "message_stop"]].concat());
    let start = &events[0]["message"];
    assert_eq!((&start["model"], &start["content"]), (&json!("up/free"), &json!([])));
    let said: String = events.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
    whole["id"] = json!("msg");
    let usage = json!({"input_tokens": 10, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 5,
            "output_tokens_details": {"thinking_tokens": 0}, "cache_creation": null, "inference_geo": null,
            "server_tool_use": null, "service_tier": null});
    assert_eq!(
        whole,
        json!({
            "id": "msg", "type": "message", "role": "assistant", "model": "up/free", "content": [text(&said)],
            "stop_reason": "end_turn", "stop_sequence": null, "stop_details": null, "container": null, "usage": usage,
        })
    );
    assert_eq!((said.as_str(), &events[5]["usage"]), ("Hello there.", &usage));
    assert_eq!(
        events[5]["delta"],
        json!({"stop_reason": "end_turn", "stop_sequence": null, "stop_details": null, "container": null})
    );
    let listed = acme.get("/sessions").ok(200);
    assert_eq!(listed["items"], json!([]), "nothing is kept");
}

#[test]
fn an_agents_prompt_goes_before_the_clients() {
    let app = App::shared();
    let upstream = FakeModel::saying("Yes.");
    let acme = acme(&app, &upstream);
    acme.post("/agents", json!({"name": "Zoe", "systemPrompt": "You are Zoe.", "model": "up/free"})).ok(201);
    let system = json!([
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1;"},
        {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "Be kind."},
    ]);
    let said = json!([
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "system", "content": "It is late."},
        {"role": "user", "content": "So?"},
    ]);
    assert_eq!(message(&acme, body("zoe", json!({"system": system, "messages": said})))["model"], "zoe");
    let asked = upstream.last_messages();
    assert_eq!(asked[0], ("system".into(), "You are Zoe.\n\nBe brief.\n\nBe kind.".into()));
    assert_eq!(asked[1..], [("user".into(), "Hi\n\n<system>\nIt is late.\n</system>\n\nSo?".into())]);
    message(&acme, body("up/free", json!({"system": "Be brief."})));
    let expected = [("system".into(), "Be brief.".into()), ("user".into(), "Hi".into())];
    assert_eq!(upstream.last_messages(), expected, "a raw model has the client's alone");
}

#[test]
fn a_tool_of_the_client_goes_round() {
    let app = App::shared();
    let upstream = FakeModel::start([
        Answer::call("call_1", "get_weather", r#"{"city": "Paris"}"#),
        Answer::call("call_1", "get_weather", r#"{"city": "Paris"}"#),
        Answer::text("It rains."),
    ]);
    let acme = acme(&app, &upstream);
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let tools = json!([{"name": "get_weather", "description": "Now.", "input_schema": schema}]);
    let first = message(&acme, body("up/free", json!({"tools": tools, "tool_choice": {"type": "any"}})));
    let by = json!({"type": "direct"});
    let call =
        json!({"type": "tool_use", "caller": by, "id": "call_1", "name": "get_weather", "input": {"city": "Paris"}});
    assert_eq!((&first["content"], &first["stop_reason"]), (&json!([call]), &json!("tool_use")));
    let function = json!({"name": "get_weather", "description": "Now.", "parameters": schema});
    let asked = &upstream.chats()[0];
    assert_eq!(asked["tools"], json!([{"type": "function", "function": function}]));
    assert_eq!(asked["tool_choice"], "required");
    let streamed = events(&acme.post(MESSAGES, body("up/free", json!({"tools": tools, "stream": true}))));
    let pieces = streamed.iter().filter_map(|event| event["delta"]["partial_json"].as_str());
    assert_eq!(pieces.collect::<String>(), r#"{"city": "Paris"}"#, "as the model wrote it");
    let said = json!([
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": first["content"]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "rain"}]}]},
    ]);
    let last = message(&acme, body("up/free", json!({"tools": tools, "messages": said})));
    assert_eq!(last["content"], json!([text("It rains.")]));
    let asked = &upstream.chats()[2]["messages"];
    assert_eq!(asked[1]["tool_calls"][0]["id"], asked[2]["tool_call_id"]);
    assert_eq!((&asked[2]["role"], &asked[2]["content"]), (&json!("tool"), &json!("rain")));
}

#[test]
fn thoughts_are_a_block_of_their_own_and_a_cut_reply_says_so() {
    let app = App::shared();
    let thinking =
        [delta(json!({"reasoning_content": "Hm."})), delta(json!({"content": "Ye"})), finish("length"), usage(10, 5)];
    let upstream = FakeModel::start([Answer::chunks(thinking)]);
    let acme = acme(&app, &upstream);
    let said = message(&acme, body("up/free", json!({"thinking": {"type": "adaptive"}})));
    let expected = json!([{"type": "thinking", "thinking": "Hm.", "signature": ""}, text("Ye")]);
    assert_eq!((&said["content"], &said["stop_reason"]), (&expected, &json!("max_tokens")));
    assert!(upstream.chats()[0].get("thinking").is_none());
}

#[test]
fn what_tunes_a_reply_arrives_and_what_only_anthropic_serves_is_named() {
    let app = App::shared();
    let upstream = FakeModel::saying("Yes.");
    let acme = acme(&app, &upstream).header("anthropic-version", "2023-06-01").header("anthropic-beta", "x");
    let tuned = json!({
        "temperature": 0.5, "top_p": 0.9, "stop_sequences": ["END"], "top_k": 5, "metadata": {"user_id": "someone"},
        "tools": [{"name": "f"}, {"type": "web_search_20250305", "name": "web_search"}],
        "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": true},
    });
    let reply = acme.post("/v1/messages", body("up/free", tuned));
    assert_eq!((reply.status, reply.header("x-alm-ignored")), (200, Some("tools[1], top_k")), "{}", reply.text);
    let asked = upstream.chats().remove(0);
    assert_eq!((&asked["temperature"], &asked["top_p"]), (&json!(0.5), &json!(0.9)));
    assert_eq!((&asked["stop"], &asked["max_tokens"]), (&json!(["END"]), &json!(64)));
    assert_eq!(asked["tool_choice"], json!({"type": "function", "function": {"name": "f"}}));
    assert_eq!((&asked["parallel_tool_calls"], asked["tools"].as_array().unwrap().len()), (&json!(false), 1));
    assert!(!asked.to_string().contains("someone"), "{asked}");
}

#[test]
fn every_failure_has_a_type() {
    let app = App::shared();
    let upstream = FakeModel::start([Answer::status(500)]);
    let acme = acme(&app, &upstream);
    let kind = |reply: Reply, status| failure(&reply, status).0;
    assert_eq!(kind(app.anonymous().post(MESSAGES, body("ala", json!({}))), 401), "authentication_error");
    let reader = app.key("acme", Env::Live, &[Scope::Read]);
    assert_eq!(kind(reader.post(MESSAGES, body("ala", json!({}))), 403), "permission_error");
    let (kind_of_unknown, said) = failure(&acme.post(MESSAGES, body("claude-sonnet-4-5", json!({}))), 404);
    assert_eq!(kind_of_unknown, "not_found_error");
    assert_eq!(said, "no model called claude-sonnet-4-5: GET /v1/models lists those there are");
    let (kind_of_wrong, said) = failure(&acme.post(MESSAGES, body("ala", json!({"messages": []}))), 400);
    assert_eq!((&*kind_of_wrong, &*said), ("invalid_request_error", "messages: must hold 1 to 10000 messages"));
    assert_eq!(kind(acme.send("POST", MESSAGES, Some("{")), 400), "invalid_request_error");
    assert_eq!(kind(acme.get("/v1/messages"), 405), "invalid_request_error");
    assert_eq!(kind(acme.get("/v1/messages/batches"), 404), "not_found_error");
    assert_eq!(kind(acme.post(MESSAGES, body("up/free", json!({}))), 502), "api_error");
    let poor = acme.post(MESSAGES, body("up/paid", json!({})));
    assert_eq!(poor.header("x-should-retry"), Some("false"));
    assert_eq!(kind(poor, 429), "billing_error");
}

#[test]
fn a_reply_that_breaks_off_ends_with_an_error_event() {
    let app = App::shared();
    let broken = || Answer::empty().chunk(delta(json!({"content": "Hel"}))).cut();
    let upstream = FakeModel::start([broken()]);
    let acme = acme(&app, &upstream);
    let reply = acme.post(MESSAGES, body("up/free", json!({"stream": true})));
    let events = events(&reply);
    let last = events.last().unwrap();
    assert_eq!((&last["type"], &last["error"]["type"]), (&json!("error"), &json!("api_error")));
    assert_eq!(last["request_id"].as_str(), reply.header("request-id"));
    assert!(!kinds(&events).contains(&"message_stop"));
    assert_eq!(failure(&acme.post(MESSAGES, body("up/free", json!({}))), 502).0, "api_error");
}

#[test]
fn a_test_key_is_answered_by_the_built_in_model() {
    let app = App::shared();
    let upstream = FakeModel::saying("Never.");
    acme(&app, &upstream);
    let tester = app.key("acme", Env::Test, &Scope::ALL);
    let reply = tester.post(MESSAGES, body("up/paid", json!({})));
    assert_eq!((reply.status, reply.header("x-alm-test-mode")), (200, Some("true")), "{}", reply.text);
    assert_eq!((reply.header("x-alm-model"), reply.json()["model"].as_str()), (Some("demo/ala"), Some("up/paid")));
    assert!(upstream.chats().is_empty());
}

#[test]
fn tokens_are_counted_without_asking_a_model() {
    let app = App::shared();
    let upstream = FakeModel::saying("Never.");
    let acme = acme(&app, &upstream);
    let counted = |body: Value| {
        let reply = acme.post("/v1/messages/count_tokens?beta=true", body);
        assert_eq!((reply.status, reply.json().as_object().unwrap().len()), (200, 1), "{}", reply.text);
        reply.json()["input_tokens"].as_u64().unwrap()
    };
    let few = counted(body("up/free", json!({"max_tokens": null})));
    assert!(few > 0);
    assert!(counted(body("up/free", json!({"system": "x".repeat(4_000)}))) >= few + 500);
    let tools = json!([{"name": "f", "description": "x".repeat(4_000)}]);
    assert!(counted(body("up/free", json!({"tools": tools}))) >= few + 500);
    assert!(counted(body("ala", json!({}))) > few, "an agent's own prompt counts");
    assert_eq!(failure(&acme.post("/v1/messages/count_tokens", body("gpt-4o", json!({}))), 404).0, "not_found_error");
    assert!(upstream.chats().is_empty());
}

#[test]
fn calls_that_come_in_turns_are_one_block_after_another() {
    let app = App::shared();
    let chunks = [
        call(Some(0), Some("a"), Some("f"), "{\"x\":"),
        call(Some(1), Some("b"), Some("f"), "{\"y\":"),
        call(Some(0), None, None, "1}"),
        call(Some(1), None, None, "2}"),
        finish("tool_calls"),
        usage(10, 5),
    ];
    let upstream = FakeModel::start([Answer::chunks(chunks)]);
    let acme = acme(&app, &upstream);
    let tools = json!([{"name": "f"}]);
    let events = events(&acme.post(MESSAGES, body("up/free", json!({"tools": tools, "stream": true}))));
    let (mut open, mut inputs) = (None, vec![String::new(); 2]);
    for event in &events {
        let index = event["index"].as_u64();
        match event["type"].as_str().unwrap() {
            "content_block_start" => assert_eq!(std::mem::replace(&mut open, index), None),
            "content_block_stop" => open = None,
            "content_block_delta" => {
                assert_eq!(open, index);
                inputs[index.unwrap() as usize] += event["delta"]["partial_json"].as_str().unwrap();
            }
            _ => {}
        }
    }
    assert_eq!(inputs, ["{\"x\":1}", "{\"y\":2}"]);
}
