//! A POST that is sent again is done once.

use alm::store::keys::KeysOf;
use serde_json::{Value, json};

use crate::support::{
    fake_model::{Answer, FakeModel, delta, finish},
    harness::{App, column, until, user, wait},
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
    wait(app.store().org(&app.tenant("acme")).revoke_key(id, KeysOf::Own)).unwrap();
    acme.post("/sessions", json!({})).fails(401, "UNAUTHORIZED");
}

#[test]
fn a_chat_that_is_sent_again_is_heard_again_and_asked_once() {
    let (app, model) = (App::shared(), FakeModel::saying("Hello."));
    let acme = app.org_asking("acme", &model).header("idempotency-key", "ask-1");
    let body = json!({ "id": "c", "messages": [user("Hi")] });
    let (first, again) = (acme.chat(body.clone()), acme.chat(body));
    assert_eq!((again.text(), again.message_id()), (first.text(), first.message_id()));
    assert_eq!(again.chunks.last(), first.chunks.last(), "it ends in the same words");
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

#[test]
fn a_restart_forgets_nothing_that_was_done() {
    let (app, model) = (App::start(&[]), FakeModel::saying("Hello."));
    let acme = app.org_asking("acme", &model).header("idempotency-key", "once");
    app.deposit("acme", 1_000_000);
    let ask = || json!({ "id": "c", "model": "up/paid", "messages": [user("Hi")] });
    let (chat, session) = (acme.chat(ask()), acme.post("/sessions", json!({ "label": "once" })).ok(201));
    let balance = acme.get("/billing").ok(200)["balanceMicrocents"].clone();
    let app = app.crash();
    let acme = acme.at(app.url());
    let again = acme.chat(ask());
    assert_eq!((again.text(), again.message_id()), (chat.text(), chat.message_id()));
    assert_eq!(again.chunks.last(), chat.chunks.last());
    assert_eq!(again.headers["x-alm-session-id"], "c");
    assert_eq!((model.asked().len(), acme.messages("c").len()), (1, 2));
    assert_eq!(acme.get("/billing").ok(200)["balanceMicrocents"], balance);
    assert_eq!(acme.post("/sessions", json!({ "label": "once" })).ok(201), session);
    assert_eq!(acme.post("/sessions", json!({ "label": "other" })).invalid(), ["Idempotency-Key"]);
}

#[test]
fn a_chat_that_a_crash_cut_off_is_told_again_as_far_as_it_came() {
    let slow = Answer::empty().chunk(delta(json!({ "content": "one " }))).wait();
    let (app, model) = (App::start(&[]), FakeModel::start([slow]));
    let acme = app.org_asking("acme", &model).header("idempotency-key", "once");
    let ask = || json!({ "id": "c", "messages": [user("Hi")] });
    let mut first = acme.listen(ask());
    first.until("text-delta");
    let (file, rows) = (app.file(), "SELECT count(*) FROM turn_journal");
    until("a checkpoint", || file.query_row(rows, [], |row| row.get::<_, i64>(0)).ok().filter(|rows| *rows > 0));
    let app = app.crash();
    let again = acme.at(app.url()).chat(ask());
    assert_eq!((again.text(), again.types().last()), ("one ".into(), Some(&"error")));
    assert_eq!(again.one("data-error")["data"]["code"], "SERVICE_UNAVAILABLE");
    assert_eq!(model.asked().len(), 1);
}

#[test]
fn a_stopped_chat_is_told_again_as_stopped() {
    let slow = Answer::empty().chunk(delta(json!({ "content": "one " }))).wait();
    let (app, model) = (App::shared(), FakeModel::start([slow]));
    let acme = app.org_asking("acme", &model).header("idempotency-key", "once");
    let ask = || json!({ "id": "c", "messages": [user("Hi")] });
    let mut first = acme.listen(ask());
    first.until("text-delta");
    acme.post("/chat/c/stop", json!({})).ok(200);
    let heard = first.rest();
    let again = acme.chat(ask());
    assert_eq!((again.text(), again.message_id()), ("one ".into(), heard.message_id()));
    assert_eq!(again.types().last(), Some(&"abort"));
}

#[test]
fn what_was_done_and_lost_its_answer_is_not_done_again() {
    let app = App::start(&[]);
    let acme = app.org("acme").header("idempotency-key", "once");
    acme.post("/sessions", json!({})).ok(201);
    // What a crash between the two commits leaves behind.
    app.file().execute("UPDATE idempotency SET status = NULL, headers = NULL, body = NULL", []).unwrap();
    acme.post("/sessions", json!({})).fails(409, "CONFLICT");
    assert_eq!(acme.get("/sessions").ok(200)["items"].as_array().map(Vec::len), Some(1));
}

#[test]
fn an_answer_that_went_on_is_told_again_from_where_it_went_on() {
    let app = App::start(&["--drain", "1ms"]);
    let slow = Answer::empty().chunk(delta(json!({ "content": "one " }))).wait();
    let model = FakeModel::start([slow, Answer::text("two")]);
    let acme = app.org_asking("acme", &model);
    let mut first = acme.listen(json!({ "id": "c", "messages": [user("Hi")] }));
    first.until("text-delta");
    app.terminate();
    first.rest();
    let app = app.crash();
    let acme = acme.at(app.url()).header("idempotency-key", "once");
    let (resumed, again) = (acme.resume("c"), acme.resume("c"));
    assert_eq!((again.text(), again.message_id()), (resumed.text(), resumed.message_id()));
    assert_eq!(acme.messages("c").pop().map(|last| last["content"].clone()), Some(Value::from("one two")));
}

#[test]
fn an_answer_is_kept_up_to_a_bound_and_one_that_is_longer_is_only_noted() {
    let app = App::shared();
    let acme = app.org("acme");
    let session = acme.post("/sessions", json!({})).ok(201)["id"].as_str().unwrap().to_owned();
    let path = format!("/sessions/{session}/messages");
    // What is said stands in the answer twice, and an id once.
    let make = |chars: usize, id: &str| {
        let body = json!({ "role": "user", "content": "x".repeat(chars), "id": id });
        let post = || acme.header("idempotency-key", id).post(&path, body.clone());
        let first = post();
        first.ok(201);
        (first.text.len(), first.text, post())
    };
    let around = make(0, "0").0 - 1;
    const ANSWER_BYTES_MAX: usize = 1024 * 1024;
    for (bytes, is_kept) in [(ANSWER_BYTES_MAX - 1, true), (ANSWER_BYTES_MAX, true), (ANSWER_BYTES_MAX + 1, false)] {
        let chars = (bytes - around - 7) / 2;
        let width = bytes - around - 2 * chars;
        let id = format!("{bytes:0>width$}");
        let (length, first, again) = make(chars, &id);
        assert_eq!((length, again.text == first), (bytes, is_kept), "{}", again.status);
    }
}
