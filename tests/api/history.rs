//! What a posted history means for the stored one: of what is posted, only what is new counts.

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    fake_model::{Answer, FakeModel},
    harness::{App, user},
};

/// An organization whose model says `one`, then `two`, then `three` for ever.
fn acme(app: &App) -> (Client, FakeModel) {
    let model = FakeModel::start(["one", "two", "three"].map(Answer::text));
    (app.org_asking("acme", &model), model)
}

fn message(id: &str, role: &str, text: &str) -> Value {
    json!({ "id": id, "role": role, "parts": [{ "type": "text", "text": text }] })
}

fn texts(acme: &Client) -> Vec<String> {
    acme.history("c").into_iter().map(|(_, text)| text).collect()
}

/// What the model was sent last, without the agent's own prompt.
fn sent(model: &FakeModel) -> Vec<String> {
    model.last_messages().into_iter().filter(|(role, _)| role != "system").map(|(_, text)| text).collect()
}

#[test]
fn a_whole_history_posted_again_stores_nothing_twice() {
    let app = App::shared();
    let (acme, model) = acme(&app);
    let first = acme.chat(json!({ "id": "c", "messages": [message("u1", "user", "a")] }));
    let answer = message(&first.message_id(), "assistant", "one");
    let history = json!([message("u1", "user", "a"), answer, message("u2", "user", "b")]);
    acme.chat(json!({ "id": "c", "trigger": "submit-message", "messages": history }));
    assert_eq!(texts(&acme), ["a", "one", "b", "two"]);
    assert_eq!(sent(&model), ["a", "one", "b"]);
    assert_eq!(acme.get("/sessions/c/messages?countOnly=true").ok(200)["count"], json!(4));
}

#[test]
fn plain_messages_without_ids_add_what_follows_the_last_answer() {
    let app = App::shared();
    let (acme, model) = acme(&app);
    acme.chat(json!({ "id": "c", "messages": [user("a")] }));
    let answer = json!({ "role": "assistant", "content": "one" });
    acme.chat(json!({ "id": "c", "messages": [user("a"), answer, user("b")] }));
    assert_eq!(texts(&acme), ["a", "one", "b", "two"]);
    acme.chat(json!({ "sessionId": "c", "messages": [user("c")] }));
    assert_eq!(sent(&model), ["a", "one", "b", "two", "c"]);
}

#[test]
fn a_reduced_request_holds_only_the_new_message() {
    let app = App::shared();
    let (acme, model) = acme(&app);
    acme.chat(json!({ "id": "c", "message": message("u1", "user", "a") }));
    acme.chat(json!({ "id": "c", "message": message("u2", "user", "b") }));
    assert_eq!(texts(&acme), ["a", "one", "b", "two"]);
    assert_eq!(sent(&model), ["a", "one", "b"]);
}

#[test]
fn a_first_turn_adopts_the_history_it_is_given() {
    let app = App::shared();
    let (acme, model) = acme(&app);
    let history =
        json!([message("u1", "user", "a"), message("a1", "assistant", "elsewhere"), message("u2", "user", "b")]);
    acme.chat(json!({ "id": "c", "messages": history }));
    assert_eq!(texts(&acme), ["a", "elsewhere", "b", "one"]);
    assert_eq!(sent(&model), ["a", "elsewhere", "b"]);
}

#[test]
fn an_edit_replaces_the_question_and_what_followed() {
    let app = App::shared();
    let (acme, model) = acme(&app);
    acme.chat(json!({ "id": "c", "message": message("u1", "user", "a") }));
    acme.chat(json!({ "id": "c", "message": message("u2", "user", "b") }));
    let edit = json!({
        "id": "c", "trigger": "submit-message", "messageId": "u1", "messages": [message("u1", "user", "A!")],
    });
    acme.chat(edit);
    assert_eq!(texts(&acme), ["A!", "three"]);
    assert_eq!(sent(&model), ["A!"]);
    assert_eq!(acme.messages("c")[0]["id"], json!("u1"));
    assert_eq!(acme.get("/sessions/c").ok(200)["messageCount"], json!(2));
}

#[test]
fn a_regenerated_answer_takes_the_place_of_the_last() {
    let app = App::shared();
    let (acme, model) = acme(&app);
    let first = acme.chat(json!({ "id": "c", "messages": [message("u1", "user", "a")] }));
    let again = json!({ "id": "c", "trigger": "regenerate-message", "messages": [message("u1", "user", "a")] });
    let second = acme.chat(again);
    assert_ne!(first.message_id(), second.message_id());
    assert_eq!(texts(&acme), ["a", "two"]);
    assert_eq!(sent(&model), ["a"]);
    let file = app.file();
    let kept = "SELECT superseded_by IS NOT NULL FROM message WHERE id = ?1";
    assert!(file.query_row(kept, [first.message_id()], |row| row.get::<_, bool>(0)).unwrap(), "it is kept, superseded");
}

#[test]
fn an_earlier_answer_is_regenerated_by_its_id() {
    let app = App::shared();
    let (acme, model) = acme(&app);
    let first = acme.chat(json!({ "id": "c", "message": message("u1", "user", "a") }));
    acme.chat(json!({ "id": "c", "message": message("u2", "user", "b") }));
    let regenerate = |id: &str| json!({ "id": "c", "trigger": "regenerate-message", "messageId": id, "messages": [] });
    acme.chat(regenerate(&first.message_id()));
    assert_eq!(texts(&acme), ["a", "three"]);
    assert_eq!(sent(&model), ["a"]);
    assert_eq!(acme.post("/chat", regenerate("nobody")).invalid(), ["messageId"]);
    let empty = json!({ "id": "empty", "trigger": "regenerate-message", "messages": [] });
    assert_eq!(acme.post("/chat", empty).status, 422);
    acme.get("/sessions/empty").fails(404, "NOT_FOUND");
}

#[test]
fn an_answer_goes_on_under_its_id_when_the_client_brings_its_tools_output() {
    let app = App::shared();
    let (acme, model) = acme(&app);
    let open =
        json!({ "type": "tool-weather", "toolCallId": "t1", "state": "input-available", "input": { "city": "Ulm" } });
    acme.post("/sessions", json!({ "label": "c" })).ok(201);
    let session = acme.get("/sessions").ok(200)["items"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/sessions/{session}/messages");
    acme.post(&path, json!({ "id": "u1", "role": "user", "content": "Weather?" })).ok(201);
    acme.post(&path, json!({ "id": "a1", "role": "assistant", "parts": [{ "type": "step-start" }, open] })).ok(201);
    let part = |state: &str, input: &str, output: Value| json!({ "type": "tool-weather", "toolCallId": "t1", "state": state, "input": { "city": input }, "output": output });
    let post = |part: Value| {
        let answer = json!({ "id": "a1", "role": "assistant", "parts": [{ "type": "step-start" }, part] });
        json!({ "sessionId": session, "messageId": "a1", "messages": [message("u1", "user", "Weather?"), answer] })
    };
    let answer = acme.chat(post(part("output-available", "Rome", json!({ "sun": true }))));
    assert_eq!(answer.message_id(), "a1");
    assert_eq!(answer.types()[..2], ["start", "start-step"], "or clients would ask for ever");
    let stored = acme.messages(&session);
    assert_eq!(stored.len(), 2);
    assert_eq!(stored[1]["id"], json!("a1"));
    let call = &stored[1]["parts"][1];
    assert_eq!((&call["state"], &call["output"]), (&json!("output-available"), &json!({ "sun": true })));
    assert_eq!(call["input"], json!({ "city": "Ulm" }), "the stored input stands");
    assert_eq!(stored[1]["parts"].as_array().unwrap().last().unwrap()["text"], json!("one"));
    let asked = model.asked().pop().unwrap().json;
    let sent = asked["messages"].as_array().unwrap();
    let [.., call, output] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(call["tool_calls"][0]["function"]["name"], json!("weather"));
    assert_eq!((&output["role"], &output["tool_call_id"]), (&json!("tool"), &call["tool_calls"][0]["id"]));
    // The same again is nothing new.
    let again = acme.post("/chat", post(part("output-available", "Ulm", json!(1))));
    assert_eq!(again.invalid(), ["messages"]);
}

#[test]
fn what_a_model_cannot_be_asked_is_refused_by_its_field() {
    let app = App::shared();
    let (acme, _model) = acme(&app);
    let refused = |messages: Value| acme.post("/chat", json!({ "messages": messages })).invalid();
    assert_eq!(refused(json!([])), ["messages"]);
    assert_eq!(refused(json!([{ "role": "assistant", "content": "x" }])), ["messages"]);
    assert_eq!(refused(json!([{ "role": "system", "content": "x" }])), ["messages"]);
    assert_eq!(refused(json!([user("x"), { "role": "user", "content": "" }])), ["messages[1].content"]);
    assert_eq!(refused(json!([{ "role": "user", "parts": [{ "type": "file" }] }])), ["messages[0].parts[0]"]);
    assert_eq!(refused(json!([{ "role": "user", "id": "a b", "content": "x" }])), ["messages[0].id"]);
    let wrong =
        |body: Value| acme.post("/chat", body).fails(400, "BAD_REQUEST")["message"].as_str().unwrap().to_owned();
    assert!(wrong(json!({ "messages": "x" })).starts_with("messages: "));
    assert!(wrong(json!({ "messages": [{ "role": "tool", "content": "x" }] })).starts_with("messages[0].role: "));
    assert!(wrong(json!({ "messages": [user("x")], "trigger": "x" })).starts_with("trigger: "));
    assert!(acme.get("/sessions").ok(200)["items"].as_array().unwrap().is_empty(), "and nothing is left behind");
}

#[test]
fn files_and_unknown_parts_of_a_message_reach_the_model_or_are_passed_over() {
    let app = App::shared();
    let (acme, model) = acme(&app);
    let parts = json!([
        { "type": "file", "mediaType": "image/png", "filename": "a.png", "url": "data:image/png;base64,iVBORw0KGgo=" },
        { "type": "hologram", "light": 1 },
        { "type": "text", "text": "What is this?" },
    ]);
    acme.chat(json!({ "id": "c", "messages": [{ "id": "u1", "role": "user", "parts": parts }] }));
    let content = model.asked()[0].json["messages"].as_array().unwrap().last().unwrap()["content"].clone();
    assert!(content.to_string().contains("data:image/png;base64,iVBORw0KGgo="), "{content}");
    let stored = acme.messages("c")[0]["parts"].clone();
    assert_eq!(stored.as_array().unwrap().len(), 2, "{stored}");
}
