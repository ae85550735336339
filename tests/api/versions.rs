//! Versions of messages: what stood in a place, and what stands again.

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    fake_model::{Answer, FakeModel, delta, finish},
    harness::{App, column, user},
};

fn message(id: &str, text: &str) -> Value {
    json!({ "id": id, "role": "user", "parts": [{ "type": "text", "text": text }] })
}

/// A session `c` of an organization whose model says these.
fn asking(app: &App, answers: &[&str]) -> (Client, FakeModel) {
    let model = FakeModel::start(answers.iter().map(|text| Answer::text(text)));
    (app.org_asking("acme", &model), model)
}

fn ask(acme: &Client, id: &str, text: &str) -> String {
    acme.chat(json!({ "id": "c", "message": message(id, text) })).message_id()
}

fn again(acme: &Client, id: &str) -> String {
    acme.chat(json!({ "id": "c", "trigger": "regenerate-message", "messageId": id, "messages": [] })).message_id()
}

fn edit(acme: &Client, id: &str, text: &str) -> String {
    acme.chat(json!({ "id": "c", "messageId": id, "messages": [message(id, text)] })).message_id()
}

fn texts(acme: &Client) -> Vec<String> {
    acme.history("c").into_iter().map(|(_, text)| text).collect()
}

fn versions(acme: &Client, id: &str) -> Vec<Value> {
    acme.get(&format!("/sessions/c/messages/{id}/versions")).ok(200)["items"].as_array().unwrap().clone()
}

/// Their texts, each with whether it stands.
fn shown(acme: &Client, id: &str) -> Vec<(String, bool)> {
    let shown = |item: &Value| (item["content"].as_str().unwrap().to_owned(), item["replacedBy"].is_null());
    versions(acme, id).iter().map(shown).collect()
}

fn restore(acme: &Client, id: &str, version: i64) -> Value {
    acme.post(&format!("/sessions/c/messages/{id}/restore"), json!({ "version": version })).ok(200)
}

/// Of every message of the history that has any: which version it is, and of how many.
fn numbers(acme: &Client) -> Vec<(i64, i64)> {
    let number = |message: &Value| Some((message["version"].as_i64()?, message["versions"].as_i64()?));
    acme.messages("c").iter().filter_map(number).collect()
}

fn pairs(texts: &[(&str, bool)]) -> Vec<(String, bool)> {
    texts.iter().map(|(text, stands)| ((*text).to_owned(), *stands)).collect()
}

#[test]
fn a_reply_that_is_given_again_has_versions_under_every_id() {
    let app = App::shared();
    let (acme, _model) = asking(&app, &["one", "two", "three", "and"]);
    let first = ask(&acme, "u1", "count");
    assert_eq!(numbers(&acme), []);
    assert_eq!(shown(&acme, &first), pairs(&[("one", true)]));
    let second = again(&acme, &first);
    // The same question once more asks for a reply, and is no other question.
    let third = acme.chat(json!({ "id": "c", "messages": [message("u1", "count")] })).message_id();
    assert_eq!((texts(&acme), numbers(&acme)), (vec!["count".into(), "three".into()], vec![(3, 3)]));
    for id in [&first, &second, &third] {
        assert_eq!(shown(&acme, id), pairs(&[("one", false), ("two", false), ("three", true)]), "{id}");
    }
    let all: Vec<_> = versions(&acme, &first).iter().map(|item| item["version"].as_i64().unwrap()).collect();
    assert_eq!(all, [1, 2, 3]);
    // A later message changes nothing of it, and it stays when the conversation goes on.
    ask(&acme, "u2", "go on");
    assert_eq!(numbers(&acme), [(3, 3)]);
    assert_eq!(shown(&acme, "u2"), pairs(&[("go on", true)]));
}

#[test]
fn a_version_stands_again_with_all_that_followed_it() {
    let app = App::shared();
    let (acme, _model) = asking(&app, &["one", "two", "uno", "three"]);
    ask(&acme, "u1", "count");
    ask(&acme, "u2", "on");
    edit(&acme, "u1", "cuenta");
    assert_eq!((texts(&acme), numbers(&acme)), (vec!["cuenta".into(), "uno".into()], vec![(2, 2)]));
    let back = restore(&acme, "u1", 1);
    assert_eq!((&back["content"], &back["version"], &back["versions"]), (&json!("count"), &json!(1), &json!(2)));
    assert_eq!(texts(&acme), ["count", "one", "on", "two"]);
    assert_eq!(acme.get("/sessions/c").ok(200)["messageCount"], json!(4));
    // The same again changes nothing, and the other one comes back too.
    restore(&acme, "u1", 1);
    restore(&acme, "u1", 2);
    assert_eq!((texts(&acme), numbers(&acme)), (vec!["cuenta".into(), "uno".into()], vec![(2, 2)]));
    restore(&acme, "u1", 1);
    // It goes on from there, and what came is kept with its version.
    ask(&acme, "u3", "on");
    restore(&acme, "u1", 2);
    restore(&acme, "u1", 1);
    assert_eq!(texts(&acme), ["count", "one", "on", "two", "on", "three"]);
    let found = acme.get("/sessions?q=cuenta").ok(200);
    assert_eq!(found["items"], json!([]), "what does not stand is not found");
}

#[test]
fn a_version_of_a_place_that_is_gone_brings_its_conversation_back() {
    let app = App::shared();
    let (acme, _model) = asking(&app, &["one", "two", "uno", "dos"]);
    let first = ask(&acme, "u1", "count");
    let second = again(&acme, &first);
    edit(&acme, "u1", "cuenta");
    assert_eq!(shown(&acme, &first), pairs(&[("one", false), ("two", false)]), "of a question that was edited since");
    restore(&acme, &second, 1);
    assert_eq!((texts(&acme), numbers(&acme)), (vec!["count".into(), "one".into()], vec![(1, 2), (1, 2)]));
    // Each question keeps the replies that it got.
    let third = again(&acme, &first);
    assert_eq!((texts(&acme), numbers(&acme)), (vec!["count".into(), "dos".into()], vec![(1, 2), (3, 3)]));
    assert_eq!(shown(&acme, &third), pairs(&[("one", false), ("two", false), ("dos", true)]));
}

#[test]
fn versions_come_in_pages() {
    let app = App::shared();
    let (acme, _model) = asking(&app, &["one", "two", "three"]);
    let first = ask(&acme, "u1", "count");
    again(&acme, &first);
    again(&acme, "u1");
    let page = acme.get(&format!("/sessions/c/messages/{first}/versions?pageSize=2")).ok(200);
    assert_eq!((column(&page, "content"), &page["hasMore"]), (vec!["one".to_owned(), "two".to_owned()], &json!(true)));
    let cursor = page["nextCursor"].as_str().unwrap();
    let page = acme.get(&format!("/sessions/c/messages/{first}/versions?pageSize=2&cursor={cursor}")).ok(200);
    assert_eq!(
        (column(&page, "content"), &page["hasMore"], &page["nextCursor"]),
        (vec!["three".to_owned()], &json!(false), &Value::Null)
    );
    let versions = format!("/sessions/c/messages/{first}/versions");
    assert_eq!(acme.get(&format!("{versions}?cursor=x")).invalid(), ["cursor"]);
    assert_eq!(acme.get(&format!("{versions}?pageSize=0")).invalid(), ["pageSize"]);
    acme.get("/sessions/c/messages/nobody/versions").fails(404, "NOT_FOUND");
    for version in [0, 4, -1] {
        let refused = acme.post(&format!("/sessions/c/messages/{first}/restore"), json!({ "version": version }));
        assert_eq!(refused.invalid(), ["version"], "{version}");
    }
}

#[test]
fn nothing_stands_again_while_a_reply_is_written() {
    let slow = Answer::empty().chunk(delta(json!({ "content": "two" }))).wait().chunk(finish("stop")).done();
    let (app, model) = (App::shared(), FakeModel::start([Answer::text("one"), Answer::text("uno"), slow]));
    let acme = app.org_asking("acme", &model);
    let first = ask(&acme, "u1", "count");
    again(&acme, &first);
    let mut asked = acme.listen(json!({ "id": "c", "message": message("u2", "on") }));
    asked.until("text-delta");
    let path = format!("/sessions/c/messages/{first}/restore");
    acme.post(&path, json!({ "version": 1 })).fails(409, "CONFLICT");
    model.go();
    asked.rest();
    acme.post(&path, json!({ "version": 1 })).ok(200);
    assert_eq!(texts(&acme), ["count", "one"]);
    let usage = acme.get("/billing/usage?groupBy=session").ok(200);
    assert_eq!(usage["items"][0]["turns"], json!(3), "to restore is no turn of a model");
}

#[test]
fn a_new_reply_that_says_nothing_replaces_nothing() {
    let silent = Answer::empty().chunk(delta(json!({ "role": "assistant" }))).silent();
    let (app, model) = (App::shared(), FakeModel::start([Answer::text("one"), silent, Answer::text("two")]));
    let acme = app.org_asking("acme", &model);
    let first = ask(&acme, "u1", "count");
    let body = json!({ "id": "c", "trigger": "regenerate-message", "messageId": first, "messages": [] });
    let mut asked = acme.listen(body);
    asked.until("start-step");
    acme.post("/chat/c/stop", json!({})).ok(200);
    asked.rest();
    assert_eq!(texts(&acme), ["count", "one"]);
    again(&acme, &first);
    assert_eq!((texts(&acme), numbers(&acme)), (vec!["count".into(), "two".into()], vec![(2, 2)]));
}

#[test]
fn versions_are_found_by_nobody_else() {
    let app = App::shared();
    let (acme, _model) = asking(&app, &["one", "two"]);
    let first = ask(&acme, "u1", "count");
    again(&acme, &first);
    let globex = app.org("globex");
    globex.get(&format!("/sessions/c/messages/{first}/versions")).fails(404, "NOT_FOUND");
    globex.post(&format!("/sessions/c/messages/{first}/restore"), json!({ "version": 1 })).fails(404, "NOT_FOUND");
    globex.get(&format!("/sessions/c/messages?around={first}")).fails(404, "NOT_FOUND");
    // Another session of the same organization knows nothing of them either.
    acme.post("/sessions", json!({})).ok(201);
    let other = acme.chat(json!({ "id": "d", "messages": [user("Hi")] }));
    acme.get(&format!("/sessions/d/messages/{first}/versions")).fails(404, "NOT_FOUND");
    assert_ne!(other.message_id(), first);
}

#[test]
fn a_page_has_the_named_message_in_its_middle() {
    let app = App::shared();
    let acme = app.org("acme");
    let session = acme.post("/sessions", json!({})).ok(201)["id"].as_str().unwrap().to_owned();
    let path = format!("/sessions/{session}/messages");
    for n in 0..9 {
        acme.post(&path, json!({ "role": "user", "content": format!("word{n}"), "id": format!("m{n}") })).ok(201);
    }
    let around = |id: &str, size: usize| {
        let page = acme.get(&format!("{path}?around={id}&pageSize={size}")).ok(200);
        let text = |key: &str| page[key].as_str().map(str::to_owned);
        (column(&page, "id").join(" "), text("previousCursor"), text("nextCursor"), page["hasMore"].as_bool().unwrap())
    };
    let some = |id: &str| Some(id.to_owned());
    assert_eq!(around("m4", 4), ("m2 m3 m4 m5".into(), some("m2"), some("m5"), true));
    assert_eq!(around("m4", 1), ("m4".into(), some("m4"), some("m4"), true));
    assert_eq!(around("m0", 4), ("m0 m1 m2 m3".into(), None, some("m3"), true));
    assert_eq!(around("m8", 4), ("m6 m7 m8".into(), some("m6"), None, false));
    assert_eq!(around("m4", 100), ("m0 m1 m2 m3 m4 m5 m6 m7 m8".into(), None, None, false));
    assert_eq!(acme.get(&format!("{path}?around=nobody")).invalid(), ["around"]);
    assert_eq!(acme.get(&format!("{path}?around=m1&cursor=m2")).invalid(), ["around"]);
    let hit = acme.get("/sessions?q=word7").ok(200);
    assert_eq!(hit["items"][0]["messageId"], json!("m7"), "a search names the message it found");
}
