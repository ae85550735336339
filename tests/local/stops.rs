//! Stops, at every moment, and what the session is afterwards.

use serde_json::{Value, json};

use super::{
    people::{FEW_TOKENS, agent, limit, owner, question, words},
    program::{Llama, Model, template},
    support::{client::Client, harness::until},
};

/// Tokens of an answer that is stopped long before its end.
const MANY_TOKENS: u32 = 2_000;
/// What a model is asked for that takes a while to be read.
const LONG_PROMPT_TOKENS: usize = 400;

/// Stops the session's reply, and waits until the model is free.
fn stop(owner: &Client, llama: &Llama) -> Value {
    let stopped = owner.post("/chat/c/stop", json!({})).ok(200);
    until("the model to be free", || (!llama.works()).then_some(()));
    stopped
}

/// The reply to the next question is whole.
#[track_caller]
fn goes_on(owner: &Client, agent: &str) {
    limit(owner, agent, FEW_TOKENS);
    let stream = owner.chat(question("c", agent, "Go on."));
    assert!(stream.facts().is_object() && !stream.text().is_empty(), "{}", stream.raw);
    assert_eq!(owner.get("/sessions/c").ok(200)["status"], json!("idle"));
}

#[test]
fn a_stop_in_an_answer_keeps_its_text_and_frees_the_model() {
    let llama = Llama::start(Model::Smollm2, 4_096, &["--ignore-eos"]);
    let (_app, owner) = owner(&llama);
    let agent = agent(&owner, MANY_TOKENS);
    let mut heard = owner.listen(question("c", &agent, "Count."));
    heard.until("text-delta");
    assert_eq!(stop(&owner, &llama)["stopped"], json!(true));
    let stream = heard.rest();
    assert_eq!(stream.types().last(), Some(&"abort"));
    let kept = owner.messages("c").pop().unwrap();
    assert_eq!((&kept["status"], kept["content"].as_str()), (&json!("stopped"), Some(&*stream.text())));
    goes_on(&owner, &agent);
}

/// A stop before the first token, with that template.
fn stopped_in_the_prompt(flags: &[&str]) {
    // It looks up between batches, and these are small: the machine may be busy.
    let flags = [flags, &["-b", "32", "-ub", "32"]].concat();
    let llama = Llama::start(Model::Smollm2, 4_096, &flags);
    let (_app, owner) = owner(&llama);
    let agent = agent(&owner, FEW_TOKENS);
    let mut heard = owner.listen(question("c", &agent, &words(LONG_PROMPT_TOKENS)));
    heard.until("start");
    until("the model to read", || llama.works().then_some(()));
    assert_eq!(stop(&owner, &llama)["stopped"], json!(true));
    let stream = heard.rest();
    assert_eq!((stream.types().last(), &*stream.text()), (Some(&"abort"), ""));
    goes_on(&owner, &agent);
}

#[test]
fn a_stop_while_the_prompt_is_read_frees_the_model() {
    stopped_in_the_prompt(&[]);
}

#[test]
fn strict_templates_take_a_session_that_was_stopped_before_its_first_token() {
    for name in ["google-gemma-2-2b-it", "mistralai-Mistral-Nemo-Instruct-2407"] {
        stopped_in_the_prompt(&["--chat-template-file", &template(name)]);
    }
}
