//! What a chat makes of a server on the user's own machine, and of any server that refuses something of a request.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    asked::Asked,
    client::Client,
    fake_model::{Answer, FakeModel, delta},
    harness::{App, ModelSpec, PATIENCE, until, user},
    local_server::{LocalServer, Template},
};

const PNG: &str = "data:image/png;base64,iVBORw0KGgo=";

/// A message to a session that all messages of the test go to.
fn chat(text: &str) -> Value {
    json!({ "id": "c", "model": "up/free", "messages": [user(text)] })
}

/// A body that refuses the request, with this status and these words.
fn refusal(status: u16, words: &str) -> Answer {
    Answer::json(status, &json!({ "error": { "message": words, "type": "invalid_request_error" } }))
}

fn omitted(client: &Client, at: usize) -> Value {
    client.messages("c")[at]["metadata"]["fieldsOmitted"].clone()
}

#[test]
fn ten_turns_over_a_small_window_all_have_their_reply() {
    // One whose window nobody told, and one of denser text than is supposed, with a window that was told.
    let app = App::shared();
    for (org, bytes, told) in [("acme", 4.0, None), ("globex", 2.0, Some(768))] {
        let model = LocalServer::new().window(768).token_bytes(bytes).saying("A reply of some words.").start();
        app.provider(org, &model.base_url(), &[ModelSpec { name: "free", price: None, context_window: told }]);
        let owner = app.org(org);
        for turn in 0..10 {
            let text = format!("{turn} {}", "words ".repeat(40));
            let reply = owner.chat(chat(&text));
            assert_eq!(reply.finish_reason(), "stop", "{org} {turn}");
        }
        let stored = owner.messages("c");
        assert_eq!(stored.len(), 20);
        let dropped: Vec<_> = stored.iter().filter_map(|one| one["metadata"]["droppedMessages"].as_u64()).collect();
        assert!(!dropped.is_empty(), "{stored:?}");
    }
}

#[test]
fn after_a_cut_the_model_server_finds_most_of_the_prompt_in_its_cache() {
    let (app, model) = (App::shared(), LocalServer::new().window(1_500).saying("Short.").start());
    let owner = app.org_asking("acme", &model);
    let mut shares = Vec::new();
    for turn in 0..24 {
        let reply = owner.chat(chat(&format!("{turn} {}", "words ".repeat(40))));
        let usage = &reply.facts()["usage"];
        let cached = usage["inputTokenDetails"]["cacheReadTokens"].as_f64().unwrap();
        shares.push((cached / usage["inputTokens"].as_f64().unwrap(), reply.facts()["droppedMessages"].as_u64()));
    }
    let first_cut = shares.iter().position(|(_, dropped)| dropped.is_some()).expect("a prompt that was cut");
    let after: Vec<f64> = shares[first_cut..].iter().map(|(share, _)| *share).collect();
    let found = after.iter().filter(|share| **share >= 0.4).count();
    assert!(found * 3 >= after.len() * 2, "{after:?}");
}

#[test]
fn a_message_that_no_window_holds_is_refused_with_both_numbers_and_leaves_nothing() {
    let (app, model) = (App::shared(), LocalServer::new().window(700).start());
    let owner = app.org_asking("acme", &model);
    let error = owner.post("/chat", chat(&"words ".repeat(2_000))).fails(422, "VALIDATION_ERROR");
    let words = error["message"].as_str().unwrap();
    assert!(words.contains("tokens, and free holds 700: shorten it"), "{words}");
    assert!(words.split_whitespace().any(|word| word.parse::<u32>().is_ok_and(|tokens| tokens > 2_000)), "{words}");
    owner.get("/sessions/c").fails(404, "NOT_FOUND");
    // The next one, of the same session, is answered.
    assert_eq!(owner.chat(chat("Hi")).finish_reason(), "stop");
}

#[test]
fn a_model_that_is_loading_is_waited_for_and_the_stream_says_so() {
    let (app, model) = (App::shared(), LocalServer::new().loading(Duration::from_secs(4)).start());
    let owner = app.org_asking("acme", &model);
    let reply = owner.chat(chat("Hi"));
    let states = reply.all("data-model");
    assert!(!states.is_empty() && states.iter().all(|state| state["data"]["state"] == "loading"), "{states:?}");
    assert!(states.iter().all(|state| state["transient"] == json!(true) && state["data"]["sinceMs"].is_u64()));
    assert_eq!(reply.finish_reason(), "stop");
    assert_eq!(owner.history("c").len(), 2);
}

#[test]
fn a_stop_ends_the_wait_for_a_model_that_is_loading() {
    let (app, model) = (App::shared(), LocalServer::new().loading(PATIENCE * 2).start());
    let owner = app.org_asking("acme", &model);
    let mut heard = owner.listen(chat("Hi"));
    heard.until("data-model");
    assert_eq!(owner.post("/chat/c/stop", json!({})).ok(200)["stopped"], json!(true));
    assert_eq!(heard.rest().types().last(), Some(&"abort"));
}

#[test]
fn a_model_without_tools_is_asked_without_them_once_told_and_ever_after() {
    let (app, model) = (App::shared(), LocalServer::new().without_tools().start());
    let owner = app.org_asking("acme", &model);
    for _ in 0..2 {
        assert_eq!(owner.chat(chat("Hi")).finish_reason(), "stop");
    }
    let with_tools: Vec<bool> = model.chats().iter().map(|body| body.get("tools").is_some()).collect();
    assert_eq!(with_tools, [true, false, false], "one request more, and none the next time");
    assert_eq!([omitted(&owner, 1), omitted(&owner, 3)], [json!(["tools"]), json!(["tools"])]);
    let known = owner.get("/models").ok(200);
    let free = known["items"].as_array().unwrap().iter().find(|one| one["id"] == "up/free").unwrap().clone();
    assert!(!free["capabilities"].as_array().unwrap().contains(&json!("tools")), "{free}");
}

#[test]
fn an_image_in_the_history_ends_no_conversation_with_a_text_model() {
    let app = App::shared();
    for (org, status) in [("acme", 400), ("globex", 500)] {
        let model = LocalServer::new().without_images(status).start();
        let owner = app.org_asking(org, &model);
        let image = json!({ "role": "user", "parts": [
            { "type": "text", "text": "look" }, { "type": "file", "mediaType": "image/png", "url": PNG },
        ] });
        owner.chat(json!({ "id": "c", "model": "up/free", "messages": [image] }));
        owner.chat(chat("And now?"));
        assert_eq!(model.chats().len(), 3, "one request more, and none the next time");
        assert_eq!([omitted(&owner, 1), omitted(&owner, 3)], [json!(["files"]), json!(["files"])]);
        let sent = model.chats()[2]["messages"].to_string();
        assert!(sent.contains("(image/png) cannot be shown to you") && !sent.contains("image_url"), "{sent}");
    }
}

#[test]
fn what_a_stop_leaves_is_taken_by_every_template() {
    let app = App::shared();
    for (org, template) in [("acme", Template::Gemma2), ("globex", Template::Ministral), ("initech", Template::Nemo)] {
        let model = LocalServer::new().template(template).reading_silently().start();
        let owner = app.org_asking(org, &model);
        let mut heard = owner.listen(chat("stopped before the first token"));
        heard.until("start");
        until("the model to be asked", || (model.chats().len() == 1).then_some(()));
        owner.post("/chat/c/stop", json!({})).ok(200);
        heard.rest();
        let mut heard = owner.listen(chat("and again"));
        heard.until("start");
        until("the model to be asked", || (model.chats().len() == 2).then_some(()));
        // One for the prompt that nobody waits for any more, one for this.
        model.go();
        model.go();
        assert_eq!(heard.rest().finish_reason(), "stop", "{template:?}");
        let sent = model.chats()[1]["messages"].as_array().unwrap().last().unwrap()["content"].clone();
        assert_eq!(sent, "stopped before the first token\n\nand again");
    }
}

#[test]
fn calls_go_back_under_an_id_that_strict_servers_take() {
    let model = FakeModel::deciding(|n, _| match n {
        0 => Answer::call("call_0123456789", "current_time", "{}"),
        _ => Answer::text("It is noon."),
    });
    let app = App::shared();
    let owner = app.org_asking("acme", &model);
    owner.chat(chat("When?"));
    owner.chat(chat("And now?"));
    let ids: Vec<_> = model
        .chats()
        .iter()
        .flat_map(|body| {
            let messages = body["messages"].as_array().unwrap().clone();
            messages.into_iter().filter_map(|one| one["tool_call_id"].as_str().map(str::to_owned))
        })
        .collect();
    let is_strict = |id: &String| id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    assert!(ids.len() == 2 && ids[0] == ids[1] && is_strict(&ids[0]), "{ids:?}");
    assert_eq!(owner.messages("c")[1]["parts"][1]["toolCallId"], "call_0123456789", "the stored one stays");
}

#[test]
fn what_tools_returned_is_told_in_words_where_a_template_has_no_place_for_it() {
    let model = FakeModel::deciding(|n, asked: &Asked| {
        let has_output = asked.json["messages"].as_array().unwrap().iter().any(|message| message["role"] == "tool");
        match n {
            0 => Answer::call("t1", "current_time", "{}"),
            _ if has_output => refusal(500, "Jinja Exception: Conversation roles must alternate user/assistant/..."),
            _ => Answer::text("It is noon."),
        }
    });
    let app = App::shared();
    let owner = app.org_asking("acme", &model);
    for text in ["When?", "And now?"] {
        assert_eq!(owner.chat(chat(text)).finish_reason(), "stop");
    }
    assert_eq!(model.chats().len(), 4, "one request more, and none the next time");
    let sent = model.chats()[3]["messages"].to_string();
    assert!(sent.contains("(I called current_time with {} and got: ") && !sent.contains("tool_calls"), "{sent}");
    assert_eq!(omitted(&owner, 3), json!(["tools"]));
}

#[test]
fn instructions_go_with_the_question_where_their_role_is_refused() {
    let model = FakeModel::deciding(|_, asked: &Asked| match asked.json["messages"][0]["role"] == "system" {
        true => refusal(400, "Developer instruction is not enabled for models/gemma-3-4b-it"),
        false => Answer::text("Fine."),
    });
    let app = App::shared();
    let owner = app.org_asking("acme", &model);
    let agent = json!({ "name": "Brief", "slug": "brief", "systemPrompt": "Be brief.", "model": "up/free" });
    owner.post("/agents", agent).ok(201);
    for text in ["Hi", "And now?"] {
        let body = json!({ "id": "c", "agentId": "brief", "messages": [user(text)] });
        assert_eq!(owner.chat(body).text(), "Fine.");
    }
    assert_eq!(model.chats().len(), 3);
    assert_eq!(model.chats()[2]["messages"][0], json!({ "role": "user", "content": "Be brief.\n\nHi" }));
    assert_eq!([omitted(&owner, 1), omitted(&owner, 3)], [json!(["system"]), json!(["system"])]);
}

#[test]
fn a_field_that_is_refused_is_left_out_and_remembered() {
    let app = App::shared();
    let strict: [(&str, u16, &str, &str); 4] = [
        ("acme", 400, "temperature", "Unsupported value: 'temperature' does not support 0.2 with this model."),
        ("globex", 422, "top_p", "top_p: Extra inputs are not permitted"),
        ("initech", 400, "reasoning_effort", "Unrecognized request argument supplied: reasoning_effort"),
        ("umbrella", 400, "stream_options", "Unknown field: stream_options"),
    ];
    for (org, status, field, words) in strict {
        let model = FakeModel::deciding(move |_, asked: &Asked| match asked.json.get(field) {
            Some(_) => refusal(status, words),
            None => Answer::text("Fine."),
        });
        let owner = app.org_asking(org, &model);
        let settings = json!({ "temperature": 0.2, "topP": 0.9, "reasoningEffort": "low" });
        let agent = json!({ "name": "Set", "slug": "set", "model": "up/free", "settings": settings });
        owner.post("/agents", agent).ok(201);
        for _ in 0..2 {
            let body = json!({ "id": "c", "agentId": "set", "messages": [user("Hi")] });
            assert_eq!(owner.chat(body).finish_reason(), "stop");
        }
        assert_eq!(model.chats().len(), 3, "{field}");
        assert_eq!([omitted(&owner, 1), omitted(&owner, 3)], [json!([field]), json!([field])]);
    }
}

#[test]
fn a_field_that_is_refused_in_the_place_of_a_reply_is_left_out_and_remembered() {
    let app = App::shared();
    let error = json!({ "message": "Unknown field: stream_options", "type": "invalid_request_error", "code": 400 });
    let kinds = ["acme", "globex", "initech", "umbrella"];
    for (kind, org) in kinds.into_iter().enumerate() {
        let error = error.clone();
        let model = FakeModel::deciding(move |_, asked: &Asked| match (asked.json.get("stream_options"), kind) {
            (None, _) => Answer::text("Fine."),
            (_, 0) => Answer::chunks([json!({ "error": error })]),
            (_, 1) => Answer::empty().raw(format!("event: error\ndata: {error}\n\n")).done(),
            (_, 2) => Answer::json(200, &json!({ "error": error })),
            _ => Answer::json(200, &json!({ "detail": "stream_options: Extra inputs are not permitted" })),
        });
        let owner = app.org_asking(org, &model);
        for _ in 0..2 {
            let reply = owner.chat(chat("Hi"));
            assert_eq!((&*reply.text(), reply.all("start-step").len()), ("Fine.", 1), "{org}");
        }
        assert_eq!(model.chats().len(), 3, "{org}");
        assert_eq!([omitted(&owner, 1), omitted(&owner, 3)], [json!(["stream_options"]), json!(["stream_options"])]);
    }
}

#[test]
fn what_was_said_before_a_refusal_is_not_asked_for_again_and_a_quota_is_no_refusal_of_a_field() {
    let app = App::shared();
    let refusal = json!({ "error": { "message": "stream_options is not supported" } });
    let quota = json!({ "error": { "code": 429, "type": "rate_limit_error", "message": "Rate limit reached: lower max_tokens" } });
    for (org, chunks) in [("acme", vec![delta(json!({ "content": "Well, " })), refusal]), ("globex", vec![quota])] {
        let model = FakeModel::start([Answer::chunks(chunks), Answer::text("again")]);
        let reply = app.org_asking(org, &model).chat(chat("Hi"));
        assert_eq!((reply.all("error").len(), model.chats().len()), (1, 1), "{org}");
    }
}

#[test]
fn a_request_is_changed_no_more_often_than_four_times() {
    const REPAIRS_MAX: usize = 4; // upstream::REPAIRS_MAX
    let app = App::shared();
    for refused in [REPAIRS_MAX - 1, REPAIRS_MAX, REPAIRS_MAX + 1] {
        let fields = ["temperature", "top_p", "reasoning_effort", "stream_options", "tools"];
        let model = FakeModel::deciding(move |at, _| match at {
            at if at < refused => refusal(400, &format!("{} is not supported", fields[at])),
            _ => Answer::text("Fine."),
        });
        let org = format!("org{refused}");
        let owner = app.org_asking(&org, &model);
        let settings = json!({ "temperature": 0.2, "topP": 0.9, "reasoningEffort": "low" });
        owner
            .post("/agents", json!({ "name": "Set", "slug": "set", "model": "up/free", "settings": settings }))
            .ok(201);
        let reply = owner.post("/chat", json!({ "agentId": "set", "messages": [user("Hi")] }));
        assert_eq!(reply.status, if refused <= REPAIRS_MAX { 200 } else { 502 }, "{refused}");
    }
}

#[test]
fn a_reply_that_its_model_server_cut_off_goes_on() {
    let model = FakeModel::deciding(|asked, _| match asked {
        0 => Answer::empty().chunk(delta(json!({ "content": "one " }))).cut(),
        _ => Answer::text("two"),
    });
    let app = App::shared();
    let owner = app.org_asking("acme", &model);
    owner.chat(chat("Hi"));
    assert_eq!(owner.messages("c")[1]["status"], "error");
    owner.resume("c");
    assert_eq!(owner.history("c")[1], ("assistant".into(), "one two".into()));
    owner.post("/chat/c/resume", json!({})).fails(409, "CONFLICT");
}

#[test]
fn every_reply_has_a_cap_and_only_a_token_has_a_time() {
    let (app, model) = (
        App::shared(),
        FakeModel::deciding(|asked, _| match asked {
            0 => Answer::text("Hello."),
            _ => Answer::chunks([json!({ "error": { "message": "no" } })]),
        }),
    );
    let owner = app.org_asking("acme", &model);
    assert!(owner.chat(chat("Hi")).facts()["timeToFirstTokenMs"].is_u64());
    assert_eq!(model.chats()[0]["max_tokens"], 16_384);
    owner.chat(chat("Hi"));
    let failed = owner.messages("c").pop().unwrap();
    assert!(failed["metadata"].get("timeToFirstTokenMs").is_none(), "{failed}");
    let small = app.org("globex");
    app.provider("globex", &model.base_url(), &[ModelSpec { name: "small", price: None, context_window: Some(2_000) }]);
    small.chat(json!({ "model": "up/small", "messages": [user("Hi")] }));
    assert_eq!(model.chats().pop().unwrap()["max_tokens"], 1_000);
}

#[test]
fn a_server_of_this_machine_that_starts_again_is_waited_for_if_it_has_answered_before() {
    let model = FakeModel::saying("Hello.");
    let (app, address) = (App::shared(), model.address());
    let owner = app.org_asking("acme", &model);
    owner.chat(chat("Hi"));
    drop(model);
    let mut heard = owner.listen(chat("Are you there?"));
    heard.until("data-model");
    let _again = FakeModel::saying_at(address, "I am.");
    assert_eq!(heard.rest().text(), "I am.");
}
