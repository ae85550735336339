//! Edits, new answers and answers that go on: what is in the history afterwards, and what only the file still knows.

use std::{collections::BTreeMap, thread};

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    fake_model::{Answer, FakeModel, call, delta, finish},
    harness::{App, user},
};

fn message(id: &str, text: &str) -> Value {
    json!({ "id": id, "role": "user", "parts": [{ "type": "text", "text": text }] })
}

fn regenerate(id: Option<&str>) -> Value {
    let mut body = json!({ "id": "c", "trigger": "regenerate-message", "messages": [] });
    id.into_iter().for_each(|id| body["messageId"] = json!(id));
    body
}

/// An organization with the conversation `one? one. two? two.` in the session `c`; the model then says `three.` for ever.
/// The ids of both answers.
fn conversation(app: &App) -> (Client, FakeModel, [String; 2]) {
    let model = FakeModel::start(["one.", "two.", "three."].map(Answer::text));
    let acme = app.org_asking("acme", &model);
    let ask = |id: &str, text: &str| acme.chat(json!({ "id": "c", "message": message(id, text) })).message_id();
    let ids = [ask("u1", "one?"), ask("u2", "two?")];
    (acme, model, ids)
}

fn texts(acme: &Client) -> Vec<String> {
    acme.history("c").into_iter().map(|(_, text)| text).collect()
}

/// Everything that was ever said in the session `c`, in the file: its text, and whether something took its place.
fn in_the_file(app: &App) -> Vec<(String, bool)> {
    let all = "SELECT m.content, m.superseded_by IS NOT NULL FROM message m JOIN session s ON s.seq = m.session
               WHERE s.id = 'c' AND s.org_id = ?1 ORDER BY m.seq";
    let (file, org) = (app.file(), app.tenant("acme").org_id);
    let mut statement = file.prepare(all).unwrap();
    statement.query_map([org], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

#[test]
fn what_was_replaced_leaves_the_history_the_count_the_prompt_and_every_search_but_not_the_file() {
    let app = App::shared();
    let (acme, model, _) = conversation(&app);
    acme.chat(json!({ "id": "c", "messageId": "u1", "messages": [message("u1", "uno?")] }));
    assert_eq!(texts(&acme), ["uno?", "three."]);
    assert_eq!(acme.get("/sessions/c/messages?countOnly=true").ok(200)["count"], json!(2));
    assert_eq!(acme.get("/sessions/c").ok(200)["messageCount"], json!(2));
    let asked = model.last_messages();
    assert_eq!(asked.iter().filter(|(role, _)| role != "system").count(), 1, "{asked:?}");
    let found = |word: &str| acme.get(&format!("/sessions?q={word}")).ok(200)["items"].as_array().unwrap().len();
    // The label of a session is what was said first, so the second exchange is looked for.
    assert_eq!([found("two"), found("uno"), found("three")], [0, 1, 1]);
    let gone = ["one?", "one.", "two?", "two."].map(|text| (text.to_owned(), true));
    let here = ["uno?", "three."].map(|text| (text.to_owned(), false));
    assert_eq!(in_the_file(&app), [&gone[..], &here[..]].concat());
}

#[test]
fn an_answer_is_given_again_whichever_message_names_it() {
    let both = ["one?", "one.", "two?", "three."];
    let cases = [
        ("nothing", None, &both[..]),
        ("the last answer", Some("a2"), &both),
        ("an earlier answer", Some("a1"), &["one?", "three."]),
        ("the last question", Some("u2"), &both),
        ("an earlier question", Some("u1"), &["one?", "three."]),
    ];
    for (case, named, history) in cases {
        let app = App::shared();
        let (acme, model, ids) = conversation(&app);
        let [first, last] = &ids;
        let named = named.map(|name| {
            if name == "a1" {
                first
            } else if name == "a2" {
                last
            } else {
                name
            }
        });
        let answer = acme.chat(regenerate(named));
        assert_eq!(texts(&acme), history, "{case}");
        assert!(!ids.contains(&answer.message_id()), "{case}: a new answer has a new id");
        let asked = model.last_messages().pop().unwrap();
        assert_eq!(asked, ("user".to_owned(), history[history.len() - 2].to_owned()), "{case}");
        assert_eq!(in_the_file(&app).len(), 5, "{case}: nothing is destroyed");
    }
}

#[test]
fn an_answer_that_nobody_knows_is_not_given_again() {
    let app = App::shared();
    let (acme, model, [first, _]) = conversation(&app);
    acme.chat(regenerate(Some(&first)));
    for id in ["nobody", &first, "u2"] {
        assert_eq!(acme.post("/chat", regenerate(Some(id))).invalid(), ["messageId"], "{id}");
    }
    assert_eq!(texts(&acme), ["one?", "three."]);
    assert_eq!((model.asked().len(), in_the_file(&app).len()), (3, 5));
}

#[test]
fn an_answer_that_said_nothing_is_given_again_by_its_id() {
    let model =
        FakeModel::start([Answer::empty().chunk(delta(json!({ "role": "assistant" }))).silent(), Answer::text("Yes.")]);
    let app = App::shared();
    let acme = app.org_asking("acme", &model);
    let mut asked = acme.listen(json!({ "id": "c", "message": message("u1", "Hm?") }));
    // The page shows an empty answer under this id; it is not stored.
    let id = asked.until("start")["messageId"].as_str().unwrap().to_owned();
    asked.until("start-step");
    acme.post("/chat/c/stop", json!({})).ok(200);
    asked.rest();
    assert_eq!(texts(&acme), ["Hm?"]);
    assert_eq!(acme.chat(regenerate(Some(&id))).text(), "Yes.");
    assert_eq!(texts(&acme), ["Hm?", "Yes."]);
}

#[test]
fn while_an_answer_is_written_nothing_is_edited_away() {
    let slow = Answer::empty().chunk(delta(json!({ "content": "one" }))).wait().chunk(finish("stop")).done();
    let (app, model) = (App::shared(), FakeModel::start([slow]));
    let acme = app.org_asking("acme", &model);
    let mut asked = acme.listen(json!({ "id": "c", "message": message("u1", "one?") }));
    asked.until("text-delta");
    let edit = json!({ "id": "c", "messageId": "u1", "messages": [message("u1", "uno?")] });
    for body in [edit, regenerate(None), regenerate(Some("u1")), json!({ "id": "c", "messages": [user("and?")] })] {
        acme.post("/chat", body).fails(409, "CONFLICT");
    }
    acme.post("/chat/c/resume", json!({})).fails(409, "CONFLICT");
    model.go();
    assert_eq!(asked.rest().text(), "one");
    assert_eq!(texts(&acme), ["one?", "one"]);
    assert_eq!((model.asked().len(), in_the_file(&app).len()), (1, 2));
}

#[test]
fn an_interrupted_answer_with_a_call_goes_on_once_and_is_told_how_the_call_ended() {
    let app = App::start(&["--drain", "1ms"]);
    let half = call(Some(0), Some("t1"), Some("current_time"), "{\"utc");
    let said = Answer::empty().chunk(delta(json!({ "content": "one " }))).chunk(half).silent();
    let model = FakeModel::start([said, Answer::text("two").late()]);
    let acme = app.org_asking("acme", &model);
    let mut first = acme.listen(json!({ "id": "c", "message": message("u1", "Hi") }));
    first.until("tool-input-delta");
    app.terminate();
    let id = first.rest().message_id();
    let app = app.crash();
    let acme = acme.at(app.url());
    assert_eq!(acme.get("/sessions/c").ok(200)["status"], json!("interrupted"));
    let mut statuses = BTreeMap::new();
    thread::scope(|scope| {
        let ask = || acme.post("/chat/c/resume", json!({}));
        let asked: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        model.go();
        for reply in asked {
            *statuses.entry(reply.join().unwrap().status).or_insert(0) += 1;
        }
    });
    assert_eq!(statuses, BTreeMap::from([(200, 1), (409, 3)]), "it goes on once");
    let [_, answer] = &acme.messages("c")[..] else { panic!("one question, one answer") };
    assert_eq!(
        (&answer["id"], &answer["status"], &answer["content"]),
        (&json!(id), &json!("complete"), &json!("one two"))
    );
    let told = model.asked().pop().unwrap().json["messages"].as_array().unwrap().clone();
    let [.., call, output] = &told[..] else { panic!("{told:?}") };
    assert_eq!(call["content"], json!("one "));
    assert_eq!((&output["role"], &output["tool_call_id"]), (&json!("tool"), &call["tool_calls"][0]["id"]));
    // What the answer was before is kept as well.
    assert_eq!(in_the_file(&app).iter().filter(|(text, _)| text == "one ").count(), 2);
}

#[test]
fn whoever_comes_while_an_answer_goes_on_is_told_all_of_it_and_who_asked_only_what_is_new() {
    let app = App::start(&["--drain", "1ms"]);
    let first = Answer::empty().chunk(delta(json!({ "content": "one " }))).silent();
    let (new, end) = (delta(json!({ "content": "two " })), delta(json!({ "content": "three" })));
    let model = FakeModel::start([first, Answer::empty().chunk(new).wait().chunk(end).chunk(finish("stop")).done()]);
    let acme = app.org_asking("acme", &model);
    let mut asked = acme.listen(json!({ "id": "c", "message": message("u1", "Hi") }));
    asked.until("text-delta");
    app.terminate();
    let id = asked.rest().message_id();
    let app = app.crash();
    let acme = acme.at(app.url());
    let mut asked = acme.listen_to_resumed("c");
    asked.until("text-delta");
    assert_eq!(texts(&acme), ["Hi"], "what is being written is not listed, so that no page shows it twice");
    let mut reloaded = acme.listen_in("c");
    reloaded.until("text-delta");
    reloaded.until("text-delta");
    let later: Vec<_> = reloaded.ids().iter().map(|id| acme.header("last-event-id", id).listen_in("c")).collect();
    model.go();
    let (asked, reloaded) = (asked.rest(), reloaded.rest());
    assert_eq!((asked.message_id(), asked.text()), (id.clone(), "two three".into()));
    assert_eq!((reloaded.message_id(), reloaded.text()), (id, "one two three".into()));
    for (at, later) in later.into_iter().enumerate() {
        assert_eq!(later.rest().chunks, asked.chunks[at + 1..], "after event {}", at + 1);
    }
    assert_eq!(texts(&acme), ["Hi", "one two three"]);
}
