//! A POST that is sent again is done once.

use serde_json::json;

use crate::{
    fake_model::{Answer, FakeModel, delta, finish},
    harness::{App, column, user, wait},
};

#[test]
fn the_same_key_and_body_is_the_first_answer_again() {
    let app = App::shared();
    let acme = app.org("acme").header("idempotency-key", "order-1");
    let body = json!({ "label": "once" });
    let first = acme.post("/sessions", body.clone()).ok(201);
    assert_eq!(acme.post("/sessions", body.clone()).ok(201), first);
    assert_eq!(column(&acme.get("/sessions").ok(200), "id").len(), 1);
    assert_eq!(acme.post("/sessions", json!({ "label": "other" })).invalid(), ["Idempotency-Key"]);
    acme.post("/projects", json!({ "name": "another route" })).ok(201);
    let globex = app.org("globex").header("idempotency-key", "order-1");
    assert_ne!(globex.post("/sessions", body).ok(201)["id"], first["id"]);
}

#[test]
fn what_was_refused_may_be_tried_again_with_the_same_key() {
    let app = App::shared();
    let acme = app.org("acme").header("idempotency-key", "order-1");
    assert_eq!(acme.post("/agents", json!({ "name": "" })).invalid(), ["name"]);
    acme.post("/agents", json!({ "name": "x" })).ok(201);
    let long = app.org("acme").header("idempotency-key", &"x".repeat(256));
    assert_eq!(long.post("/agents", json!({ "name": "y" })).invalid(), ["Idempotency-Key"]);
    app.anonymous().header("idempotency-key", "order-1").post("/agents", json!({})).fails(401, "UNAUTHORIZED");
}

#[test]
fn a_revoked_key_learns_nothing_from_the_memory() {
    let app = App::shared();
    let acme = app.org("acme").header("idempotency-key", "order-1");
    acme.post("/sessions", json!({})).ok(201);
    let id = column(&acme.get("/api-keys").ok(200), "id").remove(0);
    wait(app.store().org(&app.tenant("acme")).revoke_key(id)).unwrap();
    acme.post("/sessions", json!({})).fails(401, "UNAUTHORIZED");
}

#[test]
fn a_chat_that_is_sent_again_is_heard_again_and_asked_once() {
    let (app, model) = (App::shared(), FakeModel::saying("Hello."));
    let acme = app.org_asking("acme", &model).header("idempotency-key", "ask-1");
    let body = json!({ "id": "c", "messages": [user("Hi")] });
    let (first, again) = (acme.chat(body.clone()), acme.chat(body));
    assert_eq!(again.chunks, first.chunks);
    assert_eq!(again.headers["x-alm-session-id"], first.headers["x-alm-session-id"]);
    assert_eq!((model.asked().len(), acme.messages("c").len()), (1, 2));
    let other = acme.post("/chat", json!({ "id": "c", "messages": [user("Other")] }));
    assert_eq!(other.invalid(), ["Idempotency-Key"]);
}

#[test]
fn a_chat_that_is_sent_again_while_it_runs_is_joined() {
    let slow =
        Answer::empty().chunk(delta(json!({ "content": "one " }))).wait().chunk(delta(json!({ "content": "two" })));
    let (app, model) = (App::shared(), FakeModel::start([slow.chunk(finish("stop")).done()]));
    let acme = app.org_asking("acme", &model).header("idempotency-key", "ask-1");
    let body = json!({ "id": "c", "messages": [user("Hi")] });
    let mut first = acme.listen(body.clone());
    first.until("text-delta");
    let mut again = acme.listen(body);
    again.until("text-delta");
    model.go();
    assert_eq!(first.rest().chunks, again.rest().chunks);
    assert_eq!((model.asked().len(), acme.messages("c").len()), (1, 2));
}

#[test]
fn what_is_sent_again_is_neither_counted_nor_paid_for_again() {
    let (app, model) = (App::start(&["--chat-rate", "1"]), FakeModel::saying("Hello."));
    let acme = app.org_asking("acme", &model);
    app.deposit("acme", 1_000_000);
    let body = || json!({ "model": "up/paid", "messages": [user("Hi")] });
    let again = acme.header("idempotency-key", "ask-1");
    (0..3).for_each(|_| assert_eq!(again.chat(body()).text(), "Hello."));
    acme.post("/chat", body()).fails(429, "TOO_MANY_REQUESTS");
    assert_eq!(acme.get("/billing").ok(200)["currentMonth"]["turns"], json!(1));
}

#[test]
fn a_chat_that_failed_early_may_be_tried_again_with_the_same_key() {
    let (app, model) = (App::shared(), FakeModel::start([Answer::status(401), Answer::text("Hello.")]));
    let acme = app.org_asking("acme", &model).header("idempotency-key", "ask-1");
    let body = || json!({ "id": "c", "messages": [user("Hi")] });
    acme.post("/chat", body()).fails(502, "MODEL_UNAVAILABLE");
    assert_eq!(acme.chat(body()).text(), "Hello.");
}
