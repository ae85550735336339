//! A running reply: read by anyone of the organization, from anywhere, and stopped.

use serde_json::{Value, json};

use crate::support::{
    client::{Client, Listening},
    fake_model::{Answer, FakeModel, call, delta, finish, usage},
    harness::{App, until, user},
};

fn word(text: &str) -> Value {
    delta(json!({ "content": text }))
}

/// A reply that says `one`, waits, and then `two`; it runs in the session `c`.
fn running(app: &App) -> (Client, FakeModel, Listening) {
    let slow = Answer::empty().chunk(word("one ")).wait().chunk(word("two")).chunk(finish("stop")).chunk(usage(10, 5));
    let model = FakeModel::start([slow]);
    let acme = app.org_asking("acme", &model);
    app.deposit("acme", 1_000_000);
    let mut listening = acme.listen(json!({ "id": "c", "model": "up/paid", "messages": [user("Hi")] }));
    listening.until("text-delta");
    (acme, model, listening)
}

fn stop(client: &Client) -> Value {
    client.post("/chat/c/stop", json!({})).ok(200)
}

#[test]
fn a_second_reader_hears_the_same_from_the_start() {
    let app = App::shared();
    let (acme, model, first) = running(&app);
    let mut second = acme.listen_in("c");
    assert_eq!(second.until("text-delta")["delta"], json!("one "));
    model.go();
    let (first, second, third) = (first.rest(), second.rest(), acme.get("/chat/c/stream").status);
    assert_eq!(first.chunks, second.chunks);
    assert_eq!(second.ids.len(), second.chunks.len() + 1, "every event has an id, the last one too");
    assert_eq!(third, 204, "when it is over there is nothing to hear");
}

#[test]
fn a_reader_goes_on_after_the_last_event_it_read() {
    let app = App::shared();
    let (acme, model, first) = running(&app);
    let mut lost = acme.listen_in("c");
    lost.until("text-delta");
    let heard = lost.heard();
    let later = acme.header("last-event-id", heard.ids.last().unwrap()).listen_in("c");
    model.go();
    let (first, later) = (first.rest(), later.rest());
    assert_eq!([&heard.chunks[..], &later.chunks[..]].concat(), first.chunks);
    assert_eq!(later.text(), "two");
}

#[test]
fn nothing_that_runs_is_204_and_nothing_to_stop_is_no_failure() {
    let app = App::shared();
    let acme = app.org("acme");
    let session = acme.ask("demo/ala", "Hi").session();
    for id in [&*session, "nobody"] {
        let idle = acme.get(&format!("/chat/{id}/stream"));
        assert_eq!((idle.status, &*idle.text), (204, ""));
        let stopped = acme.post(&format!("/chat/{id}/stop"), json!({})).ok(200);
        assert_eq!(stopped, json!({ "stopped": false, "messageId": null }));
    }
}

#[test]
fn a_stopped_reply_is_kept_paid_for_and_ended_for_every_reader() {
    let app = App::shared();
    let (acme, model, first) = running(&app);
    let second = acme.listen_in("c");
    let stopped = stop(&acme);
    assert_eq!(stopped["stopped"], json!(true));
    model.go();
    model.wait_hung_up(1);
    for reader in [first.rest(), second.rest()] {
        assert_eq!(reader.types().last(), Some(&"abort"));
        assert_eq!(Value::from(reader.message_id()), stopped["messageId"]);
    }
    let stored = acme.messages("c").pop().unwrap();
    assert_eq!((&stored["id"], &stored["status"]), (&stopped["messageId"], &json!("stopped")));
    assert_eq!((&stored["content"], &stored["parts"][1]["state"]), (&json!("one "), &json!("done")));
    assert_eq!(acme.get("/sessions/c").ok(200)["status"], json!("idle"));
    let billing = acme.get("/billing").ok(200);
    assert_eq!(billing["heldMicrocents"], json!(0));
    assert!(billing["balanceMicrocents"].as_i64().unwrap() < 1_000_000, "what was said is paid for");
    assert_eq!(stop(&acme)["stopped"], json!(false));
    acme.chat(json!({ "id": "c", "model": "demo/ala", "messages": [user("Go on")] }));
}

#[test]
fn another_organization_neither_hears_nor_stops_a_reply() {
    let app = App::shared();
    let (acme, model, first) = running(&app);
    let quick = FakeModel::saying("Hello.");
    let globex = app.org_asking("globex", &quick);
    assert_eq!(globex.get("/chat/c/stream").status, 204);
    assert_eq!(stop(&globex)["stopped"], json!(false));
    globex.chat(json!({ "id": "c", "messages": [user("Mine")] }));
    assert_eq!(stop(&globex)["stopped"], json!(false));
    model.go();
    assert_eq!(first.rest().text(), "one two");
    assert_eq!(acme.history("c").len(), 2);
}

#[test]
fn a_reply_that_is_not_yet_heard_of_can_be_stopped() {
    let (app, model) = (App::shared(), FakeModel::start([Answer::text("late").late()]));
    let acme = app.org_asking("acme", &model);
    let mut listening = acme.listen(json!({ "id": "c", "model": "up/free", "messages": [user("Hi")] }));
    listening.until("start");
    assert_eq!(stop(&acme)["stopped"], json!(true));
    assert_eq!(listening.rest().types().last(), Some(&"abort"));
    until("the session to rest", || (acme.get("/sessions/c").ok(200)["status"] == "idle").then_some(()));
    assert_eq!(acme.history("c").len(), 1, "an answer that said nothing is none");
}

#[test]
fn whoever_finds_a_reply_that_then_fails_early_hears_it_end() {
    let (app, model) = (App::shared(), FakeModel::start([Answer::status(401).late()]));
    let acme = app.org_asking("acme", &model);
    std::thread::scope(|scope| {
        let asked =
            scope.spawn(|| acme.post("/chat", json!({ "id": "c", "model": "up/free", "messages": [user("Hi")] })));
        until("the turn to run", || {
            let session = acme.get("/sessions/c");
            (session.status == 200 && session.json()["data"]["status"] == "running").then_some(())
        });
        let found = acme.listen_in("c");
        model.go();
        let ending = found.rest().types().last().map(|kind| (*kind).to_owned());
        // On a machine so slow that the response begins first, the failure is told in the stream.
        match asked.join().unwrap().status {
            502 => assert_eq!(ending.as_deref(), Some("abort")),
            _ => assert_eq!(ending.as_deref(), Some("error")),
        }
    });
}

#[test]
fn a_server_that_goes_down_interrupts_what_does_not_end_and_keeps_it() {
    let app = App::start(&["--drain", "1ms"]);
    let (_acme, _model, first) = running(&app);
    app.terminate();
    let stream = first.rest();
    assert_eq!(stream.one("data-error")["data"]["code"], json!("SERVICE_UNAVAILABLE"));
    stream.one("error");
    let kept = "SELECT content FROM message WHERE role = 'assistant' AND status = 'interrupted'";
    let kept: String = app.file().query_row(kept, [], |row| row.get(0)).unwrap();
    assert_eq!(kept, "one ");
}

#[test]
fn what_a_killed_server_was_saying_is_kept_and_paid_for() {
    let said = [word("one "), call(Some(0), Some("t1"), Some("current_time"), "{}"), finish("tool_calls")];
    let (app, model) = (App::start(&[]), FakeModel::start([Answer::chunks(said), Answer::text("late").late()]));
    let acme = app.org_asking("acme", &model);
    app.deposit("acme", 1_000_000);
    let mut listening = acme.listen(json!({ "id": "c", "model": "up/paid", "messages": [user("Hi")] }));
    listening.until("tool-output-available");
    let journaled = "SELECT count(*) FROM turn_journal";
    let file = app.file();
    until("a checkpoint", || file.query_row(journaled, [], |row| row.get::<_, i64>(0)).ok().filter(|rows| *rows > 0));
    let app = app.crash();
    let acme = acme.at(app.url());
    let session = acme.get("/sessions/c").ok(200);
    assert_eq!((&session["status"], &session["messageCount"]), (&json!("interrupted"), &json!(2)));
    let stored = acme.messages("c").pop().unwrap();
    assert_eq!((&stored["status"], &stored["content"]), (&json!("interrupted"), &json!("one ")));
    let billing = acme.get("/billing").ok(200);
    assert_eq!(billing["heldMicrocents"], json!(0));
    assert!(billing["balanceMicrocents"].as_i64().unwrap() < 1_000_000, "{billing}");
    assert_eq!(acme.get("/chat/c/stream").status, 204);
    acme.chat(json!({ "id": "c", "model": "demo/ala", "messages": [user("Go on")] }));
    assert_eq!(acme.get("/sessions/c").ok(200)["status"], json!("idle"));
}

#[test]
fn a_killed_server_that_had_said_nothing_lets_the_money_go() {
    let (app, model) = (App::start(&[]), FakeModel::start([Answer::text("late").late()]));
    let acme = app.org_asking("acme", &model);
    app.deposit("acme", 1_000_000);
    let mut listening = acme.listen(json!({ "id": "c", "model": "up/paid", "messages": [user("Hi")] }));
    listening.until("start");
    let app = app.crash();
    let acme = acme.at(app.url());
    assert_eq!(acme.get("/billing").ok(200)["heldMicrocents"], json!(0));
    assert_eq!(acme.history("c")[0].1, "Hi");
    acme.chat(json!({ "id": "c", "model": "demo/ala", "messages": [user("Again")] }));
}

#[test]
fn an_interrupted_reply_goes_on_under_its_own_id() {
    let app = App::start(&["--drain", "1ms"]);
    let slow = Answer::empty().chunk(word("one ")).wait();
    let model = FakeModel::start([slow, Answer::text("two")]);
    let acme = app.org_asking("acme", &model);
    let mut first = acme.listen(json!({ "id": "c", "model": "up/free", "messages": [user("Hi")] }));
    first.until("text-delta");
    app.terminate();
    let interrupted = first.rest().message_id();
    let app = app.crash();
    let acme = acme.at(app.url());
    let stream = acme.resume("c");
    let history = acme.messages("c");
    assert_eq!(history.len(), 2);
    assert_eq!((&history[1]["id"], &history[1]["status"]), (&json!(interrupted), &json!("complete")));
    assert_eq!((stream.message_id(), stream.text()), (interrupted, "two".into()));
    assert_eq!(history[1]["content"], json!("one two"));
    acme.post("/chat/c/resume", json!({})).fails(409, "CONFLICT");
}

#[test]
fn words_before_a_long_silence_survive_a_kill() {
    let app = App::start(&[]);
    let (_acme, _model, _first) = running(&app);
    let (file, journaled) = (app.file(), "SELECT group_concat(CAST(frames AS TEXT), '') FROM turn_journal");
    let frames = || file.query_row(journaled, [], |row| row.get::<_, Option<String>>(0)).unwrap();
    until("a checkpoint", || frames().filter(|frames| frames.contains("one ")));
}
