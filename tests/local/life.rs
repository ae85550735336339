//! Kills in mid-answer, on both sides, and what goes on afterwards.

use serde_json::json;

use super::{
    people::{FEW_TOKENS, agent, limit, owner, question},
    program::{Llama, Model},
    support::harness::until,
};

/// Tokens of an answer that is cut long before its end.
const MANY_TOKENS: u32 = 2_000;

#[test]
fn an_answer_that_a_kill_of_the_server_cut_is_resumed() {
    let llama = Llama::start(Model::Smollm2, 4_096, &["--ignore-eos"]);
    let (app, client) = owner(&llama);
    let agent = agent(&client, MANY_TOKENS);
    client.listen(question("c", &agent, "Count.")).until("text-delta");
    let (file, journal) = (app.file(), "SELECT group_concat(CAST(frames AS TEXT), '') FROM turn_journal");
    let frames = || file.query_row(journal, [], |row| row.get::<_, Option<String>>(0)).unwrap();
    until("a checkpoint", || frames().filter(|frames| frames.contains("text-delta")));
    let app = app.crash();
    let client = client.at(app.url());
    until("the model to be free", || (!llama.works()).then_some(()));
    let before = client.messages("c").pop().unwrap();
    assert_eq!(client.get("/sessions/c").ok(200)["status"], json!("interrupted"));
    let said = before["content"].as_str().unwrap().to_owned();
    assert!(!said.is_empty());
    limit(&client, &agent, FEW_TOKENS);
    let resumed = client.resume("c");
    assert!(!resumed.text().is_empty() && resumed.facts().is_object(), "{}", resumed.raw);
    let after = client.messages("c").pop().unwrap();
    assert_eq!(after["id"], before["id"]);
    let text = after["content"].as_str().unwrap();
    assert!(text.starts_with(&said) && text.len() > said.len(), "{text}");
}

#[test]
fn a_kill_of_the_model_is_told_and_the_next_question_is_answered_once_it_is_back() {
    let llama = Llama::start(Model::Smollm2, 4_096, &["--ignore-eos"]);
    let (_app, client) = owner(&llama);
    let agent = agent(&client, MANY_TOKENS);
    let mut heard = client.listen(question("c", &agent, "Count."));
    heard.until("text-delta");
    let port = llama.kill();
    let stream = heard.rest();
    assert_eq!(stream.all("error").len(), 1, "{}", stream.raw);
    assert!(!stream.text().is_empty());
    let kept = client.messages("c").pop().unwrap();
    assert_eq!(kept["content"].as_str(), Some(&*stream.text()));
    limit(&client, &agent, FEW_TOKENS);
    let _back = Llama::begin(port, Model::Smollm2, 4_096, &[]).ready();
    let next = client.chat(question("c", &agent, "Go on."));
    assert!(!next.text().is_empty() && next.facts().is_object(), "{}", next.raw);
}
