//! What a crash leaves, and what the next start makes of it.

use serde_json::{Value, json};

use crate::{
    client::Client,
    fake_model::{Answer, FakeModel, delta},
    harness::{App, until, user},
};

fn word(text: &str) -> Value {
    delta(json!({ "content": text }))
}

/// Kills the server once what it said so far is in its journal, this word too; answers the next one and its client.
fn crash_after(app: &App, client: &Client, word: &str) -> (App, Client) {
    let (file, journal) = (app.file(), "SELECT group_concat(CAST(frames AS TEXT), '') FROM turn_journal");
    let frames = || file.query_row(journal, [], |row| row.get::<_, Option<String>>(0)).unwrap();
    until("a checkpoint", || frames().filter(|frames| frames.contains(word)));
    let app = app.crash();
    let client = client.at(app.url());
    (app, client)
}

/// The balance, when nothing of it is held.
fn balance(client: &Client) -> i64 {
    let billing = client.get("/billing").ok(200);
    assert_eq!(billing["heldMicrocents"], json!(0));
    billing["balanceMicrocents"].as_i64().unwrap()
}

#[test]
fn a_session_whose_resume_failed_early_is_still_interrupted() {
    let script = [Answer::empty().chunk(word("one ")).wait(), Answer::status(401), Answer::text("two")];
    let (app, model) = (App::start(&[]), FakeModel::start(script));
    let acme = app.org_asking("acme", &model);
    acme.listen(json!({ "id": "c", "messages": [user("Hi")] })).until("text-delta");
    let (_app, acme) = crash_after(&app, &acme, "one ");
    let before = (acme.get("/sessions/c").ok(200)["status"].clone(), acme.messages("c"));
    assert_eq!(before.0, json!("interrupted"));
    acme.post("/chat/c/resume", json!({})).fails(502, "MODEL_UNAVAILABLE");
    assert_eq!((acme.get("/sessions/c").ok(200)["status"].clone(), acme.messages("c")), before);
    assert_eq!(acme.resume("c").text(), "two");
}

#[test]
fn a_turn_that_failed_early_binds_its_session_to_no_agent() {
    let (app, model) = (App::shared(), FakeModel::start([Answer::status(401), Answer::text("Hello.")]));
    let acme = app.org_asking("acme", &model);
    acme.post("/agents", json!({ "name": "Bea" })).ok(201);
    let session = acme.post("/sessions", json!({})).ok(201)["id"].clone();
    let ask = |agent: &str| json!({ "sessionId": session, "agentId": agent, "messages": [user("Hi")] });
    acme.post("/chat", ask("bea")).fails(502, "MODEL_UNAVAILABLE");
    assert_eq!(acme.chat(ask("ala")).text(), "Hello.");
}

#[test]
fn a_reply_that_is_killed_a_second_time_is_charged_for_what_it_added() {
    let long = "x".repeat(4_000);
    let script = [Answer::empty().chunk(word(&long)).wait(), Answer::empty().chunk(word("two ")).wait()];
    let (app, model) = (App::start(&[]), FakeModel::start(script));
    let acme = app.org_asking("acme", &model);
    let tenant = app.slug("acme");
    app.alm(&["org", "set", &tenant, "--default-model", "up/paid"]).ok();
    app.deposit("acme", 1_000_000);
    acme.listen(json!({ "id": "c", "messages": [user("Hi")] })).until("text-delta");
    let (app, acme) = crash_after(&app, &acme, &long);
    let first = balance(&acme);
    assert!(first <= 1_000_000 - 1_000, "4,000 bytes are some 1,000 tokens: {first}");
    acme.listen_to_resumed("c").until("text-delta");
    let (_app, acme) = crash_after(&app, &acme, "two ");
    let stored = acme.messages("c").pop().unwrap();
    assert_eq!((&stored["status"], &stored["content"]), (&json!("interrupted"), &json!(format!("{long}two "))));
    let second = first - balance(&acme);
    assert!((1_000..1_500).contains(&second), "what it had is part of the prompt, and not said again: {second}");
    assert_eq!(stored["metadata"]["costMicrocents"], json!(second));
}

#[test]
fn an_answer_that_went_on_with_a_clients_output_keeps_all_it_had_over_a_kill() {
    let (app, model) = (App::start(&[]), FakeModel::start([Answer::empty().chunk(word("Ghent ")).wait()]));
    let acme = app.org_asking("acme", &model);
    let session = acme.post("/sessions", json!({})).ok(201)["id"].as_str().unwrap().to_owned();
    let path = format!("/sessions/{session}/messages");
    acme.post(&path, user("Where am I?")).ok(201);
    let mut parts = json!([
        { "type": "text", "text": "Let me look. " },
        { "type": "tool-locate", "toolCallId": "t1", "state": "input-available", "input": {} },
    ]);
    acme.post(&path, json!({ "id": "a1", "role": "assistant", "parts": parts })).ok(201);
    parts[1]["state"] = json!("output-available");
    parts[1]["output"] = json!({ "city": "Ghent" });
    let answered = json!({ "id": session, "messages": [{ "id": "a1", "role": "assistant", "parts": parts }] });
    acme.listen(answered).until("text-delta");
    let (_app, acme) = crash_after(&app, &acme, "Ghent ");
    let stored = acme.messages(&session).pop().unwrap();
    assert_eq!((&stored["id"], &stored["status"]), (&json!("a1"), &json!("interrupted")));
    assert_eq!(stored["content"], json!("Let me look. Ghent "));
    assert!(stored["parts"].as_array().unwrap().starts_with(parts.as_array().unwrap()), "{stored}");
}

#[test]
fn an_answer_that_was_killed_while_it_was_given_again_replaces_the_old_one_and_goes_on() {
    let script = [Answer::text("old"), Answer::empty().chunk(word("new ")).wait(), Answer::text("whole")];
    let (app, model) = (App::start(&[]), FakeModel::start(script));
    let acme = app.org_asking("acme", &model);
    acme.chat(json!({ "id": "c", "messages": [user("Hi")] }));
    acme.listen(json!({ "id": "c", "trigger": "regenerate-message" })).until("text-delta");
    let (app, acme) = crash_after(&app, &acme, "new ");
    let texts = || acme.history("c").into_iter().map(|(_, text)| text).collect::<Vec<_>>();
    assert_eq!(texts(), ["Hi", "new "]);
    acme.resume("c");
    assert_eq!(texts(), ["Hi", "new whole"]);
    let old = "SELECT count(*) FROM message WHERE content = 'old' AND superseded_by IS NOT NULL";
    assert_eq!(app.file().query_row(old, [], |row| row.get::<_, i64>(0)).unwrap(), 1, "it is kept, out of the history");
}

#[test]
fn a_reply_of_a_model_that_is_gone_since_is_kept_and_costs_nothing() {
    let (app, model) = (App::start(&[]), FakeModel::start([Answer::empty().chunk(word("one ")).wait()]));
    let acme = app.org_asking("acme", &model);
    app.deposit("acme", 1_000_000);
    acme.listen(json!({ "id": "c", "model": "up/paid", "messages": [user("Hi")] })).until("text-delta");
    app.alm(&["providers", "remove", "--org", &app.slug("acme"), "up"]).ok();
    let (_app, acme) = crash_after(&app, &acme, "one ");
    assert_eq!((balance(&acme), acme.history("c")[1].1.as_str()), (1_000_000, "one "));
}
