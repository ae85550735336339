//! A server on the user's own machine, scripted: first that it behaves as the real one does (the suite `local` asks that one
//! the same), then what a chat makes of it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    fake_model::FakeModel,
    harness::{App, PATIENCE, until, user},
    local_server::{LocalServer, MODEL, Template},
};

/// What the server itself answers to that request.
fn asked(model: &FakeModel, path: &str, body: Option<&Value>) -> (u16, Value) {
    let url = format!("{}{path}", model.base_url().trim_end_matches("/v1"));
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
    let agent = ureq::Agent::new_with_config(config);
    let response = match body {
        Some(body) => agent.post(url).send(body.to_string()),
        None => agent.get(url).call(),
    };
    let mut response = response.unwrap();
    let text = response.body_mut().read_to_string().unwrap();
    (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(json!(text)))
}

/// The same of a request for a reply: its status, and what is wrong.
fn chat(model: &FakeModel, messages: Value) -> (u16, String) {
    let (status, body) = asked(model, "/v1/chat/completions", Some(&json!({ "messages": messages })));
    (status, body["error"]["message"].as_str().unwrap_or_default().to_owned())
}

fn message(role: &str) -> Value {
    json!({ "role": role, "content": "x" })
}

#[test]
fn it_tells_its_window_and_refuses_what_does_not_fit() {
    let model = LocalServer::new().window(20).token_bytes(5.0).start();
    let (status, models) = asked(&model, "/v1/models", None);
    let told = &models["data"][0];
    assert_eq!((status, &told["meta"]["n_ctx"], &told["id"]), (200, &json!(20), &json!(MODEL)));
    assert_eq!(asked(&model, "/props", None).1["default_generation_settings"]["n_ctx"], 20);
    assert_eq!(asked(&model, "/health", None).0, 200);
    assert_eq!(asked(&model, "/api/tags", None).0, 404);
    let ask = |text: &str| asked(&model, "/v1/chat/completions", Some(&json!({ "messages": [user(text)] })));
    // ChatML's own words around it have 50 bytes: 95 in all are 19 tokens, 96 are 20, and an answer has no room.
    assert_eq!(ask(&"x".repeat(45)).0, 200);
    let (status, refused) = ask(&"x".repeat(46));
    let error = &refused["error"];
    assert_eq!((status, &error["type"]), (400, &json!("exceed_context_size_error")));
    assert_eq!((&error["n_prompt_tokens"], &error["n_ctx"]), (&json!(20), &json!(20)));
}

#[test]
fn it_refuses_the_orders_of_messages_that_each_template_refuses() {
    let call = |id: &str| json!({ "role": "assistant", "content": null, "tool_calls": [{ "id": id, "function": {} }] });
    let output = |id: &str| json!({ "role": "tool", "tool_call_id": id, "content": "x" });
    let [system, user, assistant] = ["system", "user", "assistant"].map(message);
    let plain = json!([system, user, assistant, user]);
    let two_users = json!([system, user, user]);
    let assistant_first = json!([assistant, user]);
    let two_assistants = json!([user, assistant, assistant, user]);
    let after_output = json!([user, call("a1b2c3d4e"), output("a1b2c3d4e"), user]);
    let answered = json!([user, call("a1b2c3d4e"), output("a1b2c3d4e"), assistant, user]);
    let long_id = json!([user, call("call_0123"), output("call_0123")]);
    let all = [&plain, &two_users, &assistant_first, &two_assistants, &after_output, &answered, &long_id];
    for (template, taken) in [
        (Template::Any, [true; 7]),
        (Template::Gemma2, [true, false, false, false, false, false, false]),
        (Template::Ministral, [true, false, false, false, false, true, true]),
        (Template::Nemo, [true, false, false, false, false, true, false]),
    ] {
        let model = LocalServer::new().template(template).start();
        assert_eq!(all.map(|messages| chat(&model, messages.clone()).0 == 200), taken, "{template:?}");
    }
}

#[test]
fn it_refuses_tools_and_images_and_while_it_loads_everything() {
    let body = json!({ "messages": [user("x")], "tools": [{ "type": "function" }] });
    let image = json!([{ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": "data:," } }] }]);
    let model = LocalServer::new().without_tools().without_images(500).start();
    let (status, refused) = asked(&model, "/v1/chat/completions", Some(&body));
    assert!(status == 400 && refused["error"]["message"].as_str().unwrap().ends_with("does not support tools"));
    let (status, words) = chat(&model, image.clone());
    assert!(status == 500 && words.starts_with("image input is not supported"), "{words}");
    assert_eq!(asked(&model, "/props", None).1["chat_template_caps"]["supports_tools"], false);
    assert_eq!(asked(&model, "/v1/models", None).1["data"][0]["architecture"]["input_modalities"], json!(["text"]));
    assert_eq!(chat(&LocalServer::new().without_images(400).start(), image.clone()).0, 400);
    let any = LocalServer::new().start();
    assert_eq!((chat(&any, image).0, asked(&any, "/v1/chat/completions", Some(&body)).0), (200, 200));
    let loading = LocalServer::new().loading(PATIENCE * 2).start();
    for path in ["/health", "/v1/models", "/props", "/v1/chat/completions"] {
        let (status, body) = asked(&loading, path, None);
        let error = json!({ "code": 503, "message": "Loading model", "type": "unavailable_error" });
        assert_eq!((status, &body["error"]), (503, &error), "{path}");
    }
    let loading = LocalServer::new().loading(Duration::from_millis(50)).start();
    until("the model to be loaded", || (asked(&loading, "/health", None).0 == 200).then_some(()));
}

#[test]
fn an_answer_that_fills_the_window_ends_with_length() {
    // 12 words.
    let says = "one two three four five six seven eight nine ten eleven twelve";
    let (app, model) = (App::shared(), LocalServer::new().saying(says).start());
    let whole = app.org_asking("acme", &model).ask("up/free", "Hi");
    assert_eq!((&*whole.text(), whole.finish_reason()), (says, "stop"));
    let tokens = whole.facts()["usage"]["inputTokens"].as_u64().unwrap() as usize;
    let model = LocalServer::new().saying(says).window(tokens + 3).start();
    let cut = app.org_asking("globex", &model).ask("up/free", "Hi");
    assert_eq!((&*cut.text(), cut.finish_reason()), ("one two three ", "length"));
}

#[test]
fn silence_while_the_prompt_is_read_is_heard_out() {
    let app = App::shared();
    let pinging = LocalServer::new().reading_with_pings(Duration::from_millis(5)).start();
    for (org, model) in [("acme", LocalServer::new().reading_silently().start()), ("globex", pinging)] {
        let owner = app.org_asking(org, &model);
        let mut heard = owner.listen(json!({ "model": "up/free", "messages": [user("Hi")] }));
        heard.until("start");
        until("the model to be asked", || (model.chats().len() == 1).then_some(()));
        model.go();
        assert_eq!(heard.rest().finish_reason(), "stop");
    }
}

#[test]
fn an_error_within_the_stream_is_told_and_the_text_before_it_is_kept() {
    let (app, model) = (App::shared(), LocalServer::new().saying("Said before.").breaking().start());
    let owner = app.org_asking("acme", &model);
    let stream = owner.chat(json!({ "id": "c", "model": "up/free", "messages": [user("Hi")] }));
    assert_eq!((stream.all("error").len(), &*stream.text()), (1, "Said before."));
    assert_eq!(owner.history("c")[1], ("assistant".into(), "Said before.".into()));
}
