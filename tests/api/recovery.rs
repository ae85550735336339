//! What a crash leaves, and what the next start makes of it.

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    fake_model::{Answer, FakeModel, delta},
    harness::{App, ModelSpec, until, user},
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

#[test]
fn what_the_model_was_not_sent_is_counted_with_an_interrupted_answer_too() {
    const SMALL: ModelSpec = ModelSpec { name: "small", price: None, context_window: Some(770) };
    let script = [Answer::text("Short."), Answer::empty().chunk(word("one ")).wait()];
    let (app, model) = (App::start(&[]), FakeModel::start(script));
    app.provider("acme", &model.base_url(), &[SMALL]);
    let acme = app.org("acme");
    let ask = |text: &str| json!({ "id": "c", "model": "up/small", "messages": [user(text)] });
    acme.chat(ask(&"first ".repeat(150)));
    acme.listen(ask(&"second ".repeat(120))).until("text-delta");
    let (_app, acme) = crash_after(&app, &acme, "one ");
    assert_eq!(acme.messages("c")[3]["metadata"]["droppedMessages"], json!(2));
}

#[test]
fn however_many_turns_a_crash_cut_off_each_is_ended_with_its_own_words() {
    const TURNS: i64 = 200;
    let (app, model) = (App::start(&[]), FakeModel::start([Answer::empty().chunk(word("one ")).wait()]));
    let acme = app.org_asking("acme", &model);
    acme.listen(json!({ "id": "c", "messages": [user("Hi")] })).until("text-delta");
    // More of its kind, as if as many people had asked.
    let more = format!(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {TURNS})
         INSERT INTO session (seq, org_id, id, user_id, label, status, created_at, updated_at)
             SELECT s.seq + n, s.org_id, 'c' || n, s.user_id, 'c' || n, 'running', 0, 0 FROM session s, n;
         INSERT INTO turn (seq, id, org_id, session, user_id, agent_id, model, message_id, status, started_at)
             SELECT t.seq + s.seq, s.id, t.org_id, s.seq, t.user_id, t.agent_id, t.model, 'm', 'running', 0
             FROM session s, turn t WHERE s.id <> 'c';
         INSERT INTO turn_journal (turn, n, frames)
             SELECT seq, 1, CAST('data: {{\"type\":\"text-start\",\"id\":\"p\"}}' || char(10, 10)
                 || 'data: {{\"type\":\"text-delta\",\"id\":\"p\",\"delta\":\"' || id || '\"}}' || char(10, 10) AS BLOB)
             FROM turn WHERE id LIKE 'c%';",
    );
    app.file().execute_batch(&more).unwrap();
    let (app, _acme) = crash_after(&app, &acme, "one ");
    let count = |question: &str| app.file().query_row(question, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM turn WHERE status = 'interrupted'"), TURNS + 1);
    let own = "SELECT count(*) FROM message m JOIN session s ON s.seq = m.session
               WHERE m.status = 'interrupted' AND m.content = s.id AND s.status = 'interrupted'";
    assert_eq!(count(own), TURNS);
}

#[test]
fn a_reply_that_cannot_be_read_any_more_keeps_neither_its_session_nor_its_money() {
    let slow = || Answer::empty().chunk(word("one ")).wait();
    let (app, model) = (App::start(&[]), FakeModel::start([slow(), slow(), Answer::text("two")]));
    let acme = app.org_asking("acme", &model);
    app.alm(&["org", "set", &app.slug("acme"), "--default-model", "up/paid"]).ok();
    app.deposit("acme", 1_000_000);
    acme.listen(json!({ "id": "c", "messages": [user("Hi")] })).until("text-delta");
    let (app, acme) = crash_after(&app, &acme, "one ");
    let before = balance(&acme);
    acme.listen_to_resumed("c").until("text-delta");
    app.file().execute("UPDATE message SET parts = '[' WHERE role = 'assistant'", []).unwrap();
    let (app, acme) = crash_after(&app, &acme, "one ");
    assert_eq!(balance(&acme), before);
    app.says("what an interrupted turn said is lost");
    assert_eq!(acme.get("/sessions/c").ok(200)["status"], json!("interrupted"));
    assert_eq!(acme.chat(json!({ "id": "d", "messages": [user("Hi")] })).text(), "two");
}
