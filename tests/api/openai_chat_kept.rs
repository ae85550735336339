//! What is kept of a chat completion: its bill, and no word of it.

use std::fs;

use serde_json::json;

use crate::{
    openai_chat::{CHAT, ask, message},
    support::{
        counting::{Counting, Says},
        fake_model::{Answer, FakeModel, delta},
        harness::{App, until, user},
        tools::{OPERATOR, declare},
    },
};

/// Words that are in no source and no other test.
const ASKED: &str = "zanzibarquestion";
const SAID: &str = "quixoticanswer";
const GIVEN: &str = "ottomaninput";
const RETURNED: &str = "velveteenoutput";

/// The files that hold a word, of all in the data folder.
fn files_with(app: &App, word: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![app.folder().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if fs::read(&path).is_ok_and(|bytes| bytes.windows(word.len()).any(|part| part == word.as_bytes())) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

#[track_caller]
fn assert_nowhere(app: &App) {
    for word in [ASKED, SAID, GIVEN, RETURNED] {
        assert_eq!(files_with(app, word), Vec::<String>::new(), "{word}");
        assert!(!app.output().contains(word), "{word} is in the log");
    }
}

/// The turns in the file: kind of outcome, tokens of the output and cost.
fn turns(app: &App) -> Vec<(Option<i64>, String, i64, i64)> {
    let file = app.file();
    let mut rows = file.prepare("SELECT session, status, output_tokens, cost FROM turn ORDER BY seq").unwrap();
    let turns = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
    turns.map(Result::unwrap).collect()
}

#[test]
fn no_word_of_it_is_in_the_file_and_its_bill_is() {
    let (app, model) = (App::start(&[]), FakeModel::saying(SAID));
    let client = app.org_asking("acme", &model);
    app.deposit("acme", 1_000_000);
    for stream in [false, true] {
        let reply = ask(&client, "up/paid", json!({ "messages": [user(ASKED)], "stream": stream }));
        assert_eq!(reply.status, 200);
    }
    assert_nowhere(&app);
    let turns = turns(&app);
    assert_eq!(turns.len(), 2);
    assert!(
        turns.iter().all(|(session, outcome, output, cost)| session.is_none()
            && outcome == "complete"
            && (*output, *cost) == (5, 15)),
        "{turns:?}"
    );
    let sessions = client.get("/sessions").ok(200);
    assert!(sessions["items"].as_array().unwrap().is_empty());
    assert_eq!(client.get("/billing").ok(200)["currentMonth"]["turns"], json!(2));
    app.alm(&["ledger", "verify"]).ok();
}

#[test]
fn a_crash_in_the_middle_leaves_no_word_and_the_turn_is_charged_and_closed() {
    let words = Answer::empty()
        .chunk(delta(json!({ "content": format!("{SAID} ") })))
        .chunk(delta(json!({ "content": "and more" })))
        .silent();
    let (app, model) = (App::start(&[]), FakeModel::start([words]));
    let client = app.org_asking("acme", &model);
    app.deposit("acme", 1_000_000);
    let body = json!({ "model": "up/paid", "messages": [user(ASKED)], "stream": true }).to_string();
    let response = client.attempt("POST", CHAT, Some(&body)).unwrap();
    // How much there is has been written down.
    until("a count", || {
        let counted = "SELECT count(*) FROM turn WHERE status = 'running' AND input_tokens > 0";
        app.file().query_row(counted, [], |row| row.get::<_, i64>(0)).ok().filter(|count| *count == 1)
    });
    assert_nowhere(&app);
    let app = app.crash();
    drop(response);
    assert_nowhere(&app);
    let closed = until("the turn to be closed", || turns(&app).pop().filter(|turn| turn.1 != "running"));
    assert!(closed.3 > 0, "its prompt at least is charged: {closed:?}");
    app.alm(&["ledger", "verify"]).ok();
}

#[test]
fn a_call_that_fails_leaves_no_word_of_why() {
    let api = Counting::start(|_, _| Says::Response(422, "text/plain", RETURNED.into()));
    let arguments = json!({ "title": GIVEN }).to_string();
    let (app, model) =
        (App::start(&[]), FakeModel::start([Answer::call("t", "create_ticket", &arguments), Answer::text(SAID)]));
    let client = app.org_asking("acme", &model);
    declare(&app, OPERATOR, "POST", &api.url("/tickets"), json!({}));
    assert_eq!(message(&ask(&client, "ala", json!({ "messages": [user(ASKED)] })))["content"], SAID);
    assert!(model.chats()[1].to_string().contains(RETURNED), "the model reads it");
    assert_nowhere(&app);
    let status = app.file().query_row("SELECT status FROM tool_call", [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(status, "failed");
}

#[test]
fn a_call_leaves_its_row_and_no_word_of_what_went_in_and_out() {
    let api = Counting::start(|_, _| Says::json(&json!({ "said": RETURNED }).to_string()));
    let arguments = json!({ "title": GIVEN }).to_string();
    let (app, model) =
        (App::start(&[]), FakeModel::start([Answer::call("t", "create_ticket", &arguments), Answer::text(SAID)]));
    let client = app.org_asking("acme", &model);
    declare(&app, OPERATOR, "POST", &api.url("/tickets"), json!({}));
    assert_eq!(message(&ask(&client, "ala", json!({ "messages": [user(ASKED)] })))["content"], SAID);
    assert_eq!(api.came().len(), 1);
    assert_nowhere(&app);
    let row: (Option<i64>, Option<String>, String) = app
        .file()
        .query_row("SELECT session, input, status FROM tool_call", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    assert_eq!(row, (None, None, "done".to_owned()));
}

#[test]
fn a_call_that_a_crash_cut_off_is_unknown_and_is_not_made_again() {
    let api = Counting::start(|_, _| Says::Silence);
    let arguments = json!({ "title": GIVEN }).to_string();
    let (app, model) =
        (App::start(&[]), FakeModel::start([Answer::call("t", "create_ticket", &arguments), Answer::text(SAID)]));
    let client = app.org_asking("acme", &model);
    declare(&app, OPERATOR, "POST", &api.url("/tickets"), json!({}));
    let body = json!({ "model": "ala", "messages": [user(ASKED)], "stream": true }).to_string();
    let response = client.attempt("POST", CHAT, Some(&body)).unwrap();
    until("the call", || (api.came().len() == 1).then_some(()));
    let app = app.crash();
    drop(response);
    let status = || app.file().query_row("SELECT status FROM tool_call", [], |row| row.get::<_, String>(0)).unwrap();
    until("the call to be closed", || (status() == "unknown").then_some(()));
    assert_eq!(api.came().len(), 1);
    assert_nowhere(&app);
}
