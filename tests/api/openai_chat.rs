//! Chat completions: what a client of OpenAI's API is answered, and what its request becomes for the model.

use serde_json::{Map, Value, json};

use crate::support::{
    client::{Client, Reply},
    fake_model::{Answer, FakeModel, delta, finish, usage},
    harness::{App, user},
};

/// The path.
pub const CHAT: &str = "/v1/chat/completions";

/// A request of `model` with these fields besides.
pub fn ask(client: &Client, model: &str, more: Value) -> Reply {
    let mut body = json!({ "model": model, "messages": [user("Hello")] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.post(CHAT, body)
}

/// The object of a reply that came whole.
#[track_caller]
pub fn whole(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    reply.json()
}

/// The message of such a reply.
#[track_caller]
pub fn message(reply: &Reply) -> Value {
    whole(reply)["choices"][0]["message"].clone()
}

/// The events of a stream, each of them a line of JSON; the last one is `[DONE]`.
#[track_caller]
pub fn events(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert!(reply.header("content-type").unwrap().starts_with("text/event-stream"));
    let body = reply.text.strip_suffix("data: [DONE]\n\n").unwrap_or_else(|| panic!("{}", reply.text));
    let data =
        body.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap_or_else(|| panic!("{event}")));
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

/// What the deltas of a stream add up to under `key`.
pub fn said(events: &[Value], key: &str) -> String {
    events.iter().filter_map(|event| event["choices"][0]["delta"][key].as_str()).collect()
}

/// The error object of a failure.
#[track_caller]
pub fn fails(reply: &Reply, status: u16, code: &str) -> Value {
    reply.fault(status, if status < 500 { "invalid_request_error" } else { "server_error" }, code)
}

/// An agent of that slug which asks this model, and what else it is.
pub fn agent(client: &Client, slug: &str, model: &str, more: Value) {
    let mut body = json!({ "name": slug, "slug": slug, "model": model, "systemPrompt": "Be kind." });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.post("/agents", body).ok(201);
}

#[test]
fn an_agent_and_a_raw_model_answer_whole_and_streamed() {
    let (app, model) = (App::shared(), FakeModel::saying("Hello there."));
    let client = app.org_asking("acme", &model);
    for name in ["ala", "up/free"] {
        let reply = ask(&client, name, json!({}));
        let object = whole(&reply);
        assert!(object["id"].as_str().unwrap().starts_with("chatcmpl-") && object["created"].is_u64());
        assert_eq!((&object["object"], &object["model"]), (&json!("chat.completion"), &json!(name)));
        let expected = json!([{ "index": 0, "logprobs": null, "finish_reason": "stop",
            "message": { "role": "assistant", "content": "Hello there.", "refusal": null, "annotations": [] } }]);
        assert_eq!(object["choices"], expected);
        assert_eq!(object["usage"]["total_tokens"], 15);
        assert_eq!(reply.header("x-alm-model"), Some("up/free"));
        assert_eq!((reply.header("x-alm-test-mode"), reply.header("x-alm-ignored")), (None, None));
        let events = events(&ask(&client, name, json!({ "stream": true })));
        assert_eq!(said(&events, "content"), "Hello there.");
        assert_eq!(events[0]["choices"][0]["delta"], json!({ "role": "assistant", "content": "" }));
        assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "stop");
        assert!(events.iter().all(|event| event["id"] == events[0]["id"] && event.get("usage").is_none()));
    }
}

#[test]
fn usage_comes_when_asked_for_is_summed_and_estimated_where_a_model_gives_none() {
    let (app, model) = (
        App::shared(),
        FakeModel::start([Answer::text("One."), Answer::chunks([delta(json!({ "content": "Two." })), finish("stop")])]),
    );
    let client = app.org_asking("acme", &model);
    let asked = json!({ "stream": true, "stream_options": { "include_usage": true } });
    let events = events(&ask(&client, "ala", asked));
    let last = events.last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]["prompt_tokens"]), (&json!([]), &json!(10)));
    let object = whole(&ask(&client, "ala", json!({})));
    assert!(
        object["usage"]["prompt_tokens"].as_u64().unwrap() > 0
            && object["usage"]["completion_tokens"].as_u64().unwrap() > 0
    );
}

#[test]
fn a_raw_model_is_sent_no_prompt_and_no_tool_of_ours() {
    let (app, model) = (App::shared(), FakeModel::saying("Fine."));
    let client = app.org_asking("acme", &model);
    whole(&ask(&client, "up/free", json!({})));
    let sent = model.chats().pop().unwrap();
    assert_eq!(sent["messages"], json!([{ "role": "user", "content": "Hello" }]));
    assert!(sent.get("tools").is_none() && sent["stream"] == true);
}

#[test]
fn the_agents_prompt_is_first_the_clients_follows_and_later_ones_stay_in_their_place() {
    let (app, model) = (App::shared(), FakeModel::saying("Fine."));
    let client = app.org_asking("acme", &model);
    agent(&client, "kind", "up/free", json!({}));
    let system = |role: &str, text: &str| json!({ "role": role, "content": text });
    let messages = json!([system("system", "Be short."), system("developer", "Be true."), user("One"),
        { "role": "assistant", "content": "Two" }, system("developer", "Now."), user("Three")]);
    whole(&ask(&client, "kind", json!({ "messages": messages })));
    let said = |role: &str, text: &str| (role.to_owned(), text.to_owned());
    let expected = [
        said("system", "Be kind.\n\nBe short.\n\nBe true."),
        said("user", "One"),
        said("assistant", "Two"),
        said("user", "<system>\nNow.\n</system>\n\nThree"),
    ];
    assert_eq!(model.last_messages(), expected);
    whole(&ask(&client, "up/free", json!({ "messages": messages })));
    assert_eq!(model.last_messages()[0], said("system", "Be short.\n\nBe true."));
}

#[test]
fn thoughts_come_beside_the_words() {
    let thoughts = || {
        Answer::chunks([
            delta(json!({ "reasoning_content": "Hm." })),
            delta(json!({ "content": "Yes." })),
            finish("stop"),
            usage(10, 5),
        ])
    };
    let (app, model) = (App::shared(), FakeModel::start([thoughts()]));
    let client = app.org_asking("acme", &model);
    let spoken = message(&ask(&client, "up/free", json!({})));
    assert_eq!((&spoken["reasoning_content"], &spoken["content"]), (&json!("Hm."), &json!("Yes.")));
    let events = events(&ask(&client, "up/free", json!({ "stream": true })));
    assert_eq!((said(&events, "reasoning_content"), said(&events, "content")), ("Hm.".into(), "Yes.".into()));
    // They go back to a model that is known to send some, under its own name for them.
    let messages = json!([user("Hello"), { "role": "assistant", "content": "Yes.", "reasoning": "Hm." }, user("Why?")]);
    whole(&ask(&client, "up/free", json!({ "messages": messages })));
    assert_eq!(model.chats().pop().unwrap()["messages"][1]["reasoning_content"], "Hm.");
}

#[test]
fn thoughts_do_not_go_to_a_model_that_never_sent_any() {
    let (app, model) = (App::shared(), FakeModel::saying("Fine."));
    let client = app.org_asking("acme", &model);
    let messages =
        json!([user("Hello"), { "role": "assistant", "content": "Yes.", "reasoning_content": "Hm." }, user("Why?")]);
    whole(&ask(&client, "up/free", json!({ "messages": messages })));
    assert!(!model.chats().pop().unwrap()["messages"].to_string().contains("Hm."));
}

#[test]
fn what_a_client_tunes_arrives_at_the_model_and_an_end_users_id_never() {
    let (app, model) = (App::shared(), FakeModel::saying("Fine."));
    let client = app.org_asking("acme", &model);
    agent(&client, "short", "up/free", json!({ "settings": { "temperature": 0.1, "maxOutputTokens": 50 } }));
    let tuned = json!({ "temperature": 0.7, "top_p": 0.9, "stop": ["END"], "seed": 7, "presence_penalty": 0.5,
        "frequency_penalty": -0.5, "reasoning_effort": "low", "response_format": { "type": "json_object" } });
    let private = json!({ "user": "u-1", "safety_identifier": "s", "prompt_cache_key": "k", "metadata": { "a": "b" } });
    let mut both = tuned.as_object().unwrap().clone();
    both.extend(private.as_object().unwrap().clone());
    for (name, cap, sent_cap) in [("up/free", 30, 30), ("short", 30, 30), ("short", 70, 50)] {
        both.insert("max_tokens".into(), (cap + 5).into());
        both.insert("max_completion_tokens".into(), cap.into());
        whole(&ask(&client, name, both.clone().into()));
        let sent = model.chats().pop().unwrap();
        for (field, value) in tuned.as_object().unwrap() {
            assert_eq!(sent[field], *value, "{name} {field}");
        }
        assert_eq!(sent["max_tokens"], sent_cap, "{name}");
        assert!(private.as_object().unwrap().keys().all(|field| sent.get(field).is_none()), "{sent}");
    }
}

#[test]
fn an_unknown_field_goes_to_a_free_raw_model_alone_and_is_named_elsewhere() {
    let (app, model) = (App::shared(), FakeModel::saying("Fine."));
    let client = app.org_asking("acme", &model);
    app.deposit("acme", 1_000_000_000);
    let more = json!({ "mirostat": 2, "top_k": 5, "store": false });
    for (name, sent, ignored) in [
        ("up/free", json!({ "mirostat": 2, "top_k": 5 }), None),
        ("up/paid", json!({ "top_k": 5 }), Some("mirostat")),
        ("ala", json!({}), Some("mirostat, top_k")),
    ] {
        let reply = ask(&client, name, more.clone());
        assert_eq!((reply.status, reply.header("x-alm-ignored")), (200, ignored), "{name}");
        let body = model.chats().pop().unwrap();
        let there: Map<_, _> = ["mirostat", "top_k", "store"]
            .iter()
            .filter_map(|field| Some(((*field).to_owned(), body.get(field)?.clone())))
            .collect();
        assert_eq!(Value::from(there), sent, "{name}");
    }
}

#[test]
fn what_no_answer_would_be_right_for_is_refused_by_its_name() {
    let (app, model) = (App::shared(), FakeModel::saying("Fine."));
    let client = app.org_asking("acme", &model);
    for (more, code, param) in [
        (json!({ "n": 2 }), "unsupported_value", "n"),
        (json!({ "logprobs": true }), "unsupported_parameter", "logprobs"),
        (json!({ "audio": {} }), "unsupported_parameter", "audio"),
        (json!({ "functions": [] }), "unsupported_parameter", "functions"),
        (json!({ "messages": [] }), "invalid_value", "messages"),
        (json!({ "model": "" }), "invalid_value", "model"),
        (json!({ "model": "nobody" }), "model_not_found", "model"),
        (json!({ "temperature": "hot" }), "invalid_type", "temperature"),
        (json!({ "messages": [{ "role": "user" }] }), "missing_field", "messages[0].content"),
        (
            json!({ "messages": [user("Hello"), { "role": "assistant", "content": "Once" }] }),
            "invalid_value",
            "messages",
        ),
    ] {
        let status = if code == "model_not_found" { 404 } else { 400 };
        assert_eq!(fails(&ask(&client, "ala", more), status, code)["param"], param);
    }
    assert!(model.chats().is_empty());
    let prefill = json!({ "messages": [user("Hello"), { "role": "assistant", "content": "Once" }] });
    whole(&ask(&client, "up/free", prefill));
    assert_eq!(model.last_messages().pop().unwrap(), ("assistant".to_owned(), "Once".to_owned()));
}

#[test]
fn images_arrive_as_they_are() {
    let (app, model) = (App::shared(), FakeModel::saying("A cat."));
    let client = app.org_asking("acme", &model);
    let image = |url: &str| json!({ "type": "image_url", "image_url": { "url": url } });
    let urls = ["data:image/png;base64,iVBORw0KGgo=", "https://example.com/cat.png"];
    let content = json!([{ "type": "text", "text": "What is it?" }, image(urls[0]), image(urls[1])]);
    whole(&ask(&client, "up/free", json!({ "messages": [{ "role": "user", "content": content }] })));
    assert_eq!(model.chats().pop().unwrap()["messages"][0]["content"], content);
}

#[test]
fn what_a_server_refuses_of_ours_is_left_out_and_named_and_of_the_clients_refuses_the_request() {
    let refusal = |words: &str| Answer::json(400, &json!({ "error": { "message": words } }));
    let (app, model) = (
        App::shared(),
        FakeModel::deciding(move |_, asked| {
            let has = |name: &str| asked.json.get(name).is_some();
            match () {
                () if has("tools") => refusal("this model does not support tools"),
                () if has("response_format") => refusal("response_format is not supported"),
                () if has("seed") => refusal("Unrecognized request argument supplied: seed"),
                () if asked.json["messages"].to_string().contains("image_url") => {
                    refusal("image input is not supported")
                }
                () => Answer::text("Fine."),
            }
        }),
    );
    let client = app.org_asking("acme", &model);
    let reply = ask(&client, "ala", json!({ "seed": 7 }));
    assert_eq!((reply.status, reply.header("x-alm-ignored")), (200, Some("seed, agent.tools")), "{}", reply.text);
    let tools = json!([{ "type": "function", "function": { "name": "f" } }]);
    let content = json!([{ "type": "image_url", "image_url": "data:image/png;base64,iVBORw0KGgo=" }]);
    for (more, param) in [
        (json!({ "tools": tools }), "tools"),
        (json!({ "response_format": { "type": "json_object" } }), "response_format"),
        (json!({ "messages": [{ "role": "user", "content": content }] }), "messages"),
    ] {
        assert_eq!(fails(&ask(&client, "up/free", more), 400, "unsupported_parameter")["param"], param);
    }
}

#[test]
fn a_conversation_that_is_too_long_is_refused_and_never_cut() {
    let too_long = Answer::json(
        400,
        &json!({ "error": { "message": "maximum context length is 100 tokens", "code": "context_length_exceeded" } }),
    );
    let (app, model) = (App::shared(), FakeModel::start([too_long]));
    let client = app.org_asking("acme", &model);
    let messages: Vec<_> = (0..40)
        .flat_map(|_| [user("word ".repeat(50).trim()), json!({ "role": "assistant", "content": "Yes." })])
        .chain([user("?")])
        .collect();
    let sent = messages.len();
    for stream in [false, true] {
        let reply = ask(&client, "up/free", json!({ "messages": messages, "stream": stream }));
        assert_eq!(fails(&reply, 400, "context_length_exceeded")["param"], "messages");
    }
    assert!(model.chats().iter().all(|chat| chat["messages"].as_array().unwrap().len() == sent));
}

#[test]
fn early_failures_of_a_models_server_are_told_for_what_they_are_and_leave_nothing() {
    let (app, model) = (
        App::start(&[]),
        FakeModel::deciding(|_, asked| {
            let status = asked.json["messages"][0]["content"].as_str().and_then(|status| status.parse().ok());
            Answer::status(status.unwrap())
        }),
    );
    let client = app.org_asking("acme", &model);
    for (theirs, ours, kind, code) in [
        (400, 400, "invalid_request_error", "upstream_refused"),
        (404, 400, "invalid_request_error", "upstream_refused"),
        (413, 400, "invalid_request_error", "upstream_refused"),
        (415, 400, "invalid_request_error", "upstream_refused"),
        (422, 400, "invalid_request_error", "upstream_refused"),
        (401, 502, "server_error", "upstream_credentials"),
        (403, 502, "server_error", "upstream_credentials"),
        (429, 429, "rate_limit_error", "upstream_rate_limited"),
        (500, 502, "server_error", "model_unavailable"),
    ] {
        let reply = ask(&client, "up/free", json!({ "messages": [user(&theirs.to_string())], "stream": true }));
        let error = reply.fault(ours, kind, code);
        assert!(!error.to_string().contains("upstream-secret-detail"), "{error}");
        let should_retry = if theirs == 401 || theirs == 403 { Some("false") } else { None };
        assert_eq!(reply.header("x-should-retry"), should_retry, "{theirs}");
        assert_eq!(reply.header("retry-after"), (theirs == 429).then_some("5"), "{theirs}");
    }
    let turns = app.file().query_row("SELECT count(*) FROM turn", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(turns, 0);
}

#[test]
fn a_failure_after_the_head_is_one_error_event() {
    let cut = Answer::empty().chunk(delta(json!({ "content": "Hel" }))).wait().cut();
    let (app, model) = (App::shared(), FakeModel::start([cut]));
    let client = app.org_asking("acme", &model);
    model.go();
    let events =
        events(&ask(&client, "up/free", json!({ "stream": true, "stream_options": { "include_usage": true } })));
    let last = events.last().unwrap();
    assert_eq!((&last["error"]["code"], &last["error"]["type"]), (&json!("model_unavailable"), &json!("server_error")));
    assert!(last["error"]["message"].is_string() && events.iter().all(|event| event["usage"].is_null()));
    model.go();
    fails(&ask(&client, "up/free", json!({})), 502, "model_unavailable");
}

#[test]
fn a_test_keys_paid_model_is_played_by_the_built_in_one() {
    let (app, model) = (App::shared(), FakeModel::saying("Fine."));
    app.org_asking("acme", &model);
    let client = app.key("acme", alm::key::Env::Test, &alm::key::Scope::ALL);
    let reply = ask(&client, "up/paid", json!({}));
    assert_eq!((reply.header("x-alm-test-mode"), reply.header("x-alm-model")), (Some("true"), Some("demo/ala")));
    assert!(model.chats().is_empty() && message(&reply)["content"].as_str().unwrap().contains("demo"));
}
