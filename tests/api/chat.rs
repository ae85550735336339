//! Chat: which session, whose turn, and what a model is sent.

use serde_json::{Value, json};

use crate::support::{
    fake_model::{Answer, FakeModel, delta, finish},
    harness::{App, ModelSpec, until, user, wait},
};

/// An answer that says a word and then waits.
fn slow_answer() -> Answer {
    let word = |text: &str| delta(json!({ "content": text }));
    Answer::empty().chunk(word("half")).wait().chunk(word(" whole")).chunk(finish("stop")).done()
}

fn id_of(session: &Value) -> String {
    session["id"].as_str().unwrap().to_owned()
}

fn said(role: &str, text: &str) -> (String, String) {
    (role.to_owned(), text.to_owned())
}

#[test]
fn an_answer_is_streamed_stored_and_remembered() {
    let (app, model) = (App::shared(), FakeModel::saying("Hello you."));
    let acme = app.org_asking("acme", &model);
    let first = acme.chat(json!({ "model": "up/free", "messages": [user("Hi")] }));
    assert_eq!((&*first.text(), first.finish_reason()), ("Hello you.", "stop"));
    let session = first.session();
    let second = acme.chat(json!({ "model": "up/free", "sessionId": session, "messages": [user("And now?")] }));
    assert_eq!(second.session(), session);
    let sent = model.last_messages();
    assert_eq!(sent[1..], [said("user", "Hi"), said("assistant", "Hello you."), said("user", "And now?")]);
    let stored = acme.messages(&session);
    assert_eq!(stored.len(), 4);
    assert_eq!(stored[1]["id"], Value::from(first.message_id()));
    assert_eq!(stored[1]["metadata"]["usage"]["totalTokens"], json!(15));
    assert_eq!((&stored[1]["status"], &stored[1]["metadata"]["model"]), (&json!("complete"), &json!("up/free")));
}

#[test]
fn the_stream_has_the_heads_and_the_order_that_clients_expect() {
    let (app, model) = (App::shared(), FakeModel::saying("One two"));
    let acme = app.org_asking("acme", &model);
    let answer = acme.ask("up/free", "Hi");
    let head = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(head("content-type"), Some("text/event-stream"));
    assert_eq!(head("cache-control"), Some("no-cache"));
    assert_eq!(head("x-vercel-ai-ui-message-stream"), Some("v1"));
    assert_eq!(head("x-accel-buffering"), Some("no"));
    assert_eq!((head("content-length"), head("content-encoding")), (None, None));
    let mut types = answer.types();
    types.dedup();
    assert_eq!(types, ["start", "start-step", "text-start", "text-delta", "text-end", "finish-step", "finish"]);
    let facts = answer.facts();
    assert_eq!((&facts["model"], &facts["costMicrocents"]), (&json!("up/free"), &json!(0)));
    assert!(facts["durationMs"].is_u64() && facts["timeToFirstTokenMs"].is_u64());
    assert_eq!(facts["usage"]["inputTokens"], json!(10));
}

#[test]
fn a_session_is_found_by_its_id_made_by_the_clients_or_made_anew() {
    let (app, model) = (App::shared(), FakeModel::saying("Hello."));
    let acme = app.org_asking("acme", &model);
    acme.post("/chat", json!({ "sessionId": "nobody", "messages": [user("Hi")] })).fails(404, "NOT_FOUND");
    let named = acme.chat(json!({ "id": "chat-1", "messages": [user("Hi")] }));
    assert_eq!((&*named.session(), &named.headers["x-alm-session-id"]), ("chat-1", &"chat-1".parse().unwrap()));
    let again = acme.chat(json!({ "id": "chat-1", "messages": [user("Again")] }));
    assert_eq!((again.session(), again.headers.get("x-alm-session-id")), ("chat-1".to_owned(), None));
    assert_eq!(acme.history("chat-1").len(), 4);
    let by_session = acme.chat(json!({ "sessionId": "chat-1", "id": "chat-2", "messages": [user("Third")] }));
    assert_eq!(by_session.session(), "chat-1");
    acme.get("/sessions/chat-2").fails(404, "NOT_FOUND");
    let new = acme.ask("up/free", "Hi");
    assert_eq!(new.session(), new.headers["x-alm-session-id"].to_str().unwrap());
    assert_eq!(acme.post("/chat", json!({ "id": "a b", "messages": [user("Hi")] })).invalid(), ["id"]);
}

#[test]
fn a_session_that_was_deleted_is_not_there() {
    let (app, model) = (App::shared(), FakeModel::saying("Hello."));
    let acme = app.org_asking("acme", &model);
    let session = acme.ask("up/free", "Hi").session();
    acme.delete(&format!("/sessions/{session}")).ok(200);
    acme.post("/chat", json!({ "sessionId": session, "messages": [user("Hi")] })).fails(404, "NOT_FOUND");
}

#[test]
fn the_id_of_a_deleted_session_is_not_given_to_another() {
    let (app, model) = (App::shared(), FakeModel::saying("Hello."));
    let acme = app.org_asking("acme", &model);
    acme.chat(json!({ "id": "chat-1", "messages": [user("Hi")] }));
    acme.delete("/sessions/chat-1").ok(200);
    acme.post("/chat", json!({ "id": "chat-1", "messages": [user("Hi")] })).fails(409, "CONFLICT");
}

#[test]
fn a_session_keeps_the_agent_and_the_project_of_its_first_turn() {
    let (app, model) = (App::shared(), FakeModel::saying("Hello."));
    let acme = app.org_asking("acme", &model);
    acme.post("/agents", json!({ "name": "Bea" })).ok(201);
    acme.post("/projects", json!({ "name": "Book" })).ok(201);
    acme.post("/projects", json!({ "name": "Other" })).ok(201);
    let session = id_of(&acme.post("/sessions", json!({})).ok(201));
    let ask = |agent: &str, project: &str| json!({ "sessionId": session, "agentId": agent, "projectId": project, "messages": [user("Hi")] });
    acme.chat(ask("bea", "book"));
    let bound = acme.get(&format!("/sessions/{session}")).ok(200);
    assert_eq!((&bound["agentName"], &bound["status"]), (&json!("Bea"), &json!("idle")));
    assert_eq!(bound["projectId"], acme.get("/projects/book").ok(200)["id"]);
    acme.post("/chat", ask("ala", "book")).fails(409, "CONFLICT");
    acme.post("/chat", ask("bea", "other")).fails(409, "CONFLICT");
    acme.chat(json!({ "sessionId": session, "messages": [user("Go on")] }));
    acme.chat(ask("bea", "book"));
    for (field, code) in [("agentId", 404), ("projectId", 404)] {
        let mut body = json!({ "messages": [user("Hi")] });
        body[field] = json!("nobody");
        acme.post("/chat", body).fails(code, "NOT_FOUND");
    }
}

#[test]
fn an_inactive_agent_answers_nobody() {
    let app = App::shared();
    let acme = app.org("acme");
    acme.post("/agents", json!({ "name": "Bea", "isActive": false })).ok(201);
    acme.post("/chat", json!({ "agentId": "bea", "messages": [user("Hi")] })).fails(409, "CONFLICT");
}

#[test]
fn a_session_that_a_chat_makes_is_called_by_its_first_words() {
    let (app, model) = (App::shared(), FakeModel::saying("Hello."));
    let acme = app.org_asking("acme", &model);
    let long = format!("  Tell me\n about {}", "x".repeat(100));
    let session = acme.ask("up/free", &long).session();
    let label = acme.get(&format!("/sessions/{session}")).ok(200)["label"].as_str().unwrap().to_owned();
    assert!(label.starts_with("Tell me about xxx") && label.chars().count() == 80, "{label}");
    let named = id_of(&acme.post("/sessions", json!({ "label": "Mine" })).ok(201));
    acme.chat(json!({ "sessionId": named, "messages": [user("Hi")] }));
    assert_eq!(acme.get(&format!("/sessions/{named}")).ok(200)["label"], json!("Mine"));
}

#[test]
fn a_model_is_sent_the_projects_prompt_before_the_agents_and_the_agents_settings() {
    let (app, model) = (App::shared(), FakeModel::saying("Yes."));
    let acme = app.org_asking("acme", &model);
    acme.post("/projects", json!({ "name": "Book", "prompt": "We write a book." })).ok(201);
    let settings = json!({ "temperature": 0.5, "topP": 0.25, "maxOutputTokens": 77, "reasoningEffort": "low" });
    let agent = json!({ "name": "Bea", "systemPrompt": "Be brief.", "model": "up/free", "settings": settings });
    acme.post("/agents", agent).ok(201);
    acme.chat(json!({ "agentId": "bea", "projectId": "book", "messages": [user("Hi")] }));
    assert_eq!(model.last_messages(), [said("system", "We write a book.\n\nBe brief."), said("user", "Hi")]);
    let asked = &model.asked()[0];
    assert_eq!(asked.path, "/v1/chat/completions");
    assert_eq!(asked.json["model"], json!("free"));
    assert_eq!((&asked.json["temperature"], &asked.json["top_p"]), (&json!(0.5), &json!(0.25)));
    assert_eq!((&asked.json["max_tokens"], &asked.json["reasoning_effort"]), (&json!(77), &json!("low")));
    assert_eq!(
        (&asked.json["stream"], &asked.json["stream_options"]),
        (&json!(true), &json!({ "include_usage": true }))
    );
    let has = |name: &str, value: &str| asked.headers.contains(&(name.into(), value.into()));
    assert!(has("authorization", "Bearer sk-upstream") && has("x-upstream-token", "header-upstream"));
}

#[test]
fn the_model_is_the_bodys_then_the_agents_then_the_organizations_then_the_built_in_one() {
    let (app, model) = (App::shared(), FakeModel::saying("Yes."));
    let acme = app.org_asking("acme", &model);
    wait(app.store().org(&app.tenant("acme")).set_default_model(None)).unwrap();
    let of = |body: Value| acme.chat(body).facts()["model"].as_str().unwrap().to_owned();
    let hi = || json!([user("Hi")]);
    assert_eq!(of(json!({ "messages": hi() })), "demo/ala");
    app.alm(&["org", "set", &app.slug("acme"), "--default-model", "up/free"]).ok();
    assert_eq!(of(json!({ "messages": hi() })), "up/free");
    acme.post("/agents", json!({ "name": "Bea", "model": "demo/ala" })).ok(201);
    assert_eq!(of(json!({ "agentId": "bea", "messages": hi() })), "demo/ala");
    assert_eq!(of(json!({ "agentId": "bea", "model": "up/free", "messages": hi() })), "up/free");
    for unknown in ["up/other", "nobody/x", "x", ""] {
        assert_eq!(acme.post("/chat", json!({ "model": unknown, "messages": hi() })).invalid(), ["model"]);
    }
}

#[test]
fn what_does_not_fit_the_window_is_left_out_in_whole_turns_and_counted() {
    const SMALL: ModelSpec = ModelSpec { name: "small", price: None, context_window: Some(770) };
    let (app, model) = (App::shared(), FakeModel::saying("Short."));
    app.provider("acme", &model.base_url(), &[SMALL]);
    let acme = app.org("acme");
    let ask = |text: &str| acme.chat(json!({ "id": "c", "model": "up/small", "messages": [user(text)] }));
    let first = ask(&"first ".repeat(150));
    assert!(first.one("start")["messageMetadata"].get("droppedMessages").is_none());
    let second = ask(&"second ".repeat(120));
    assert_eq!(second.one("start")["messageMetadata"]["droppedMessages"], json!(2));
    assert_eq!(acme.messages("c")[3]["metadata"]["droppedMessages"], json!(2), "a reload is told so too");
    let sent = model.last_messages();
    assert!(sent.iter().all(|(_, text)| !text.contains("first") && text != "Short."), "{sent:?}");
    assert_eq!(sent.last().unwrap().1, "second ".repeat(120));
    assert_eq!(acme.history("c").len(), 4, "what is left out is still stored");
}

#[test]
fn an_answer_belongs_to_the_server_and_not_to_the_connection() {
    let (app, model) = (App::shared(), FakeModel::start([slow_answer()]));
    let acme = app.org_asking("acme", &model);
    let mut listening = acme.listen(json!({ "id": "c", "model": "up/free", "messages": [user("Hi")] }));
    listening.until("text-delta");
    drop(listening);
    model.go();
    let stored = until("the answer to be stored", || acme.messages("c").get(1).cloned());
    assert_eq!((&stored["content"], &stored["status"]), (&json!("half whole"), &json!("complete")));
}

#[test]
fn a_session_writes_one_reply_at_a_time_and_shows_it_when_it_is_whole() {
    let (app, model) = (App::shared(), FakeModel::start([slow_answer()]));
    let acme = app.org_asking("acme", &model);
    let body = json!({ "id": "c", "model": "up/free", "messages": [user("Hi")] });
    let mut listening = acme.listen(body.clone());
    listening.until("text-delta");
    assert_eq!(acme.get("/sessions/c").ok(200)["status"], json!("running"));
    assert_eq!(acme.history("c"), [said("user", "Hi")], "history ends at the question");
    acme.post("/chat", body.clone()).fails(409, "CONFLICT");
    acme.post("/chat", json!({ "sessionId": "c", "messages": [user("Hi")] })).fails(409, "CONFLICT");
    model.go();
    assert_eq!(listening.rest().text(), "half whole");
    assert_eq!(acme.history("c").len(), 2, "the answer is durable when the stream ends");
    assert_eq!(acme.get("/sessions/c").ok(200)["status"], json!("idle"));
}

#[test]
fn a_chat_is_checked_in_the_order_of_the_contract() {
    let (app, model) = (App::start(&["--chat-rate", "9"]), FakeModel::start([slow_answer()]));
    app.provider("acme", &model.base_url(), &[ModelSpec::FREE, ModelSpec::PAID]);
    let acme = app.org("acme");
    let ask = |session: &str, model: &str| {
        acme.post("/chat", json!({ "sessionId": session, "model": model, "messages": [user("Hi")] }))
    };
    let mut listening = acme.listen(json!({ "id": "busy", "model": "up/free", "messages": [user("Hi")] }));
    listening.until("text-delta");
    let idle = id_of(&acme.post("/sessions", json!({})).ok(201));
    app.anonymous().send("POST", "/chat", Some("{")).fails(401, "UNAUTHORIZED");
    acme.send("POST", "/chat", Some("{")).fails(400, "BAD_REQUEST");
    ask("nobody", "up/paid").fails(404, "NOT_FOUND");
    assert_eq!(ask("busy", "no/such").invalid(), ["model"]);
    ask("busy", "up/paid").fails(409, "CONFLICT");
    ask(&idle, "up/paid").fails(402, "PAYMENT_REQUIRED");
    until("the limit", || Some(ask("nobody", "x")).filter(|reply| reply.status == 429));
    ask("nobody", "no/such").fails(429, "TOO_MANY_REQUESTS");
    // An empty rate is said from the head alone; a body that no one will read is not looked at.
    acme.send("POST", "/chat", Some("{")).fails(429, "TOO_MANY_REQUESTS");
    app.key("acme", alm::key::Env::Live, &[alm::key::Scope::Read])
        .post("/chat", json!({ "messages": [user("Hi")] }))
        .fails(403, "FORBIDDEN");
    model.go();
    listening.rest();
}
