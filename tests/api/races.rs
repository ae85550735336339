//! Many at once: what only one may do is done by one, and the others hear why.

use std::{collections::BTreeMap, thread};

use serde_json::{Value, json};

use crate::support::{
    client::{Client, Reply},
    fake_model::{Answer, FakeModel, delta, finish},
    harness::{App, column, user},
};

/// So many at once.
const CROWD: usize = 16;

/// How often each status was heard; every failure has the envelope.
fn crowd(ask: impl Fn(usize) -> Reply + Sync) -> BTreeMap<u16, usize> {
    let replies: Vec<_> = thread::scope(|scope| {
        let asked: Vec<_> = (0..CROWD)
            .map(|n| {
                scope.spawn({
                    let ask = &ask;
                    move || ask(n)
                })
            })
            .collect();
        asked.into_iter().map(|reply| reply.join().unwrap()).collect()
    });
    let mut statuses = BTreeMap::new();
    for reply in replies {
        assert!(reply.status < 500, "{}", reply.text);
        *statuses.entry(reply.status).or_default() += 1;
    }
    statuses
}

fn slow_model() -> FakeModel {
    let word = |text: &str| delta(json!({ "content": text }));
    FakeModel::start([Answer::empty().chunk(word("half")).wait().chunk(word(" whole")).chunk(finish("stop")).done()])
}

#[test]
fn one_slug_is_given_to_one_agent_and_one_project() {
    let app = App::shared();
    let acme = app.org("acme");
    for path in ["/agents", "/projects"] {
        assert_eq!(crowd(|_| acme.post(path, json!({ "name": "Same" }))), BTreeMap::from([(201, 1), (409, CROWD - 1)]));
    }
    assert_eq!(column(&acme.get("/agents").ok(200), "slug"), ["ala", "same"]);
}

#[test]
fn one_message_id_is_one_message() {
    let app = App::shared();
    let acme = app.org("acme");
    let session = acme.post("/sessions", json!({})).ok(201)["id"].as_str().unwrap().to_owned();
    let path = format!("/sessions/{session}/messages");
    let statuses = crowd(|n| acme.post(&path, json!({ "id": "m", "role": "user", "content": n.to_string() })));
    assert_eq!(statuses, BTreeMap::from([(200, CROWD - 1), (201, 1)]));
    assert_eq!(acme.messages(&session).len(), 1);
    crowd(|n| acme.post(&path, user(&n.to_string())));
    assert_eq!(acme.get(&format!("{path}?countOnly=true")).ok(200)["count"], json!(1 + CROWD));
    assert_eq!(acme.messages(&session).len(), 1 + CROWD);
}

#[test]
fn one_chat_id_is_one_session_and_one_turn_at_a_time() {
    let (app, model) = (App::shared(), slow_model());
    let acme = app.org_asking("acme", &model);
    let body = || json!({ "id": "c", "messages": [user("Hi")] });
    let mut first = acme.listen(body());
    first.until("text-delta");
    assert_eq!(crowd(|_| acme.post("/chat", body())), BTreeMap::from([(409, CROWD)]));
    model.go();
    first.rest();
    assert_eq!((acme.messages("c").len(), model.asked().len()), (2, 1));
}

#[test]
fn a_crowd_that_makes_one_session_leaves_every_turn_whole() {
    let (app, model) = (App::shared(), FakeModel::saying("Hello."));
    let acme = app.org_asking("acme", &model);
    let statuses = crowd(|n| acme.post("/chat", json!({ "id": "c", "messages": [user(&n.to_string())] })));
    let answered = statuses[&200];
    assert!(statuses.keys().all(|status| [200, 409].contains(status)), "{statuses:?}");
    let history = acme.history("c");
    let roles: Vec<_> = history.iter().map(|(role, _)| role.as_str()).collect();
    assert_eq!(roles, ["user", "assistant"].repeat(answered));
    assert_eq!(column(&acme.get("/sessions").ok(200), "id"), ["c"]);
}

#[test]
fn while_a_reply_is_written_its_session_is_not_pulled_from_under_it() {
    let (app, model) = (App::shared(), slow_model());
    let acme = app.org_asking("acme", &model);
    let mut reply = acme.listen(json!({ "id": "c", "messages": [user("Hi")] }));
    reply.until("text-delta");
    acme.post("/sessions/c/messages", user("Me first")).fails(409, "CONFLICT");
    acme.delete("/sessions/c").fails(409, "CONFLICT");
    acme.patch("/sessions/c", json!({ "status": "idle" })).fails(409, "CONFLICT");
    acme.patch("/sessions/c", json!({ "label": "Renamed" })).ok(200);
    let regenerate = json!({ "id": "c", "trigger": "regenerate-message", "messages": [] });
    acme.post("/chat", regenerate).fails(409, "CONFLICT");
    model.go();
    assert_eq!(reply.rest().text(), "half whole");
    let session = acme.get("/sessions/c").ok(200);
    assert_eq!((&session["label"], &session["status"]), (&json!("Renamed"), &json!("idle")));
}

#[test]
fn what_a_running_reply_stands_on_may_go_and_the_reply_stays() {
    let (app, model) = (App::shared(), slow_model());
    let acme = app.org_asking("acme", &model);
    acme.post("/agents", json!({ "name": "Bea" })).ok(201);
    acme.post("/projects", json!({ "name": "Book" })).ok(201);
    let body = json!({ "id": "c", "agentId": "bea", "projectId": "book", "messages": [user("Hi")] });
    let mut reply = acme.listen(body);
    reply.until("text-delta");
    acme.delete("/agents/bea").ok(200);
    acme.delete("/projects/book").ok(200);
    app.alm(&["providers", "remove", "up", "--org", &app.slug("acme")]).ok();
    model.go();
    assert_eq!(reply.rest().text(), "half whole");
    assert_eq!(acme.messages("c").len(), 2);
    acme.get("/sessions/c").ok(200);
    acme.get("/billing/usage?groupBy=agent").ok(200);
}

#[test]
fn everything_at_once_breaks_nothing() {
    let (app, model) = (App::shared(), FakeModel::saying("Hello."));
    let acme = app.org_asking("acme", &model);
    acme.chat(json!({ "id": "c", "messages": [user("Hi")] }));
    let read = |client: &Client, path: &str| client.get(path);
    crowd(|n| match n % 8 {
        0 => acme.post("/chat", json!({ "id": "c", "messages": [user("Hi")] })),
        1 => acme.post("/chat", json!({ "id": "c", "trigger": "regenerate-message", "messages": [] })),
        2 => acme.post("/chat/c/stop", json!({})),
        3 => read(&acme, "/chat/c/stream"),
        4 => read(&acme, "/sessions/c/messages"),
        5 => acme.patch("/sessions/c", json!({ "label": n.to_string() })),
        6 => acme.post("/sessions/c/messages", user("x")),
        _ => read(&acme, "/sessions?q=hi"),
    });
    let session = acme.get("/sessions/c").ok(200);
    assert_eq!(session["status"], json!("idle"));
    let stored = acme.messages("c");
    assert_eq!(session["messageCount"], Value::from(stored.len()), "the count is the messages there are");
}
