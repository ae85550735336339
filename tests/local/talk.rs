//! Conversations with a real model: the quickstart, a full window, two at once, a model that is still loading.

use std::thread;

use serde_json::{Value, json};

use super::{
    people::{FEW_TOKENS, agent, connect, limit, owner, question, words},
    program::{Llama, Model, free_port},
    proof,
    support::{
        client::{Client, Stream},
        harness::{App, until, user},
    },
};

/// Turns of a conversation that outgrows its window.
const TURNS: usize = 10;
/// Tokens of that window.
const WINDOW: u32 = 768;
/// What each of its questions takes.
const QUESTION_TOKENS: usize = 80;
/// What each of its answers takes.
const ANSWER_TOKENS: u32 = 48;

/// A reply that the model ended, or its cap; its last facts.
#[track_caller]
pub fn whole(stream: &Stream) -> &Value {
    assert!(!stream.text().is_empty() && stream.all("error").is_empty(), "{}", stream.raw);
    assert!(["stop", "length"].contains(&stream.finish_reason()), "{}", stream.raw);
    stream.facts()
}

#[test]
fn the_quickstart_is_answered_by_a_real_model() {
    let llama = Llama::start(Model::Smollm2, 2_048, &[]);
    let (app, owner) = owner(&llama);
    let agents = owner.get("/agents").ok(200);
    let agent = agents["items"][0]["id"].as_str().unwrap();
    limit(&owner, agent, 64);
    let session = owner.post("/sessions", json!({ "label": "API quickstart", "agentId": agent })).ok(201)["id"].clone();
    let asked = user("Summarise the periodic table in 3 sentences.");
    let stream = owner.chat(json!({ "sessionId": session, "agentId": agent, "messages": [asked] }));
    let usage = &whole(&stream)["usage"];
    assert!(usage["inputTokens"].as_u64() > Some(0) && usage["outputTokens"].as_u64() > Some(0), "{usage}");
    assert!(stream.facts()["timeToFirstTokenMs"].is_number(), "{}", stream.facts());
    let history = owner.history(session.as_str().unwrap());
    assert_eq!(history[1], ("assistant".into(), stream.text()));
    assert!(!app.output().contains("panicked"));
}

#[test]
fn two_sessions_at_once_are_both_answered() {
    for slots in ["1", "2"] {
        let llama = Llama::start(Model::Smollm2, 2_048, &["-np", slots]);
        let (_app, owner) = owner(&llama);
        let agent = agent(&owner, FEW_TOKENS);
        thread::scope(|scope| {
            let ask = |session: &'static str| {
                let (owner, agent) = (&owner, &agent);
                scope.spawn(move || whole(&owner.chat(question(session, agent, "Say a few words."))).clone())
            };
            let asked = ["one", "two"].map(ask);
            asked.into_iter().for_each(|asked| drop(asked.join().unwrap()));
        });
        for session in ["one", "two"] {
            assert_eq!(owner.messages(session).len(), 2, "{session} with {slots} slots");
        }
    }
}

/// One turn: the tokens of its prompt, those that llama.cpp had to read, and how many messages were left out.
#[derive(Debug)]
struct Turn {
    prompt: u64,
    read: u64,
    dropped: u64,
}

/// A conversation of so many turns; llama.cpp counts with `--metrics`.
fn conversation(llama: &Llama, owner: &Client, agent: &str, turns: usize) -> Vec<Turn> {
    let ask = |n: usize| {
        let before = llama.tokens_read();
        let stream = owner.chat(question("c", agent, &format!("{n}: {}", words(QUESTION_TOKENS))));
        let facts = whole(&stream);
        let prompt = facts["usage"]["inputTokens"].as_u64().unwrap();
        Turn { prompt, read: llama.tokens_read() - before, dropped: facts["droppedMessages"].as_u64().unwrap_or(0) }
    };
    (0..turns).map(ask).collect()
}

#[test]
fn each_prompt_begins_with_the_one_before() {
    let llama = Llama::start(Model::Smollm2, 4_096, &["--metrics"]);
    let (_app, owner) = owner(&llama);
    let agent = agent(&owner, FEW_TOKENS);
    let turns = conversation(&llama, &owner, &agent, 5);
    for pair in turns.windows(2) {
        // All of the prompt before was there still, but for the token that an answer is made from.
        let kept = pair[1].prompt - pair[1].read;
        assert!(kept + 1 >= pair[0].prompt, "{pair:?}");
    }
}

#[test]
fn a_full_window_ends_no_conversation() {
    let llama = Llama::start(Model::Smollm2, WINDOW, &["--metrics", "--ignore-eos"]);
    let (_app, owner) = owner(&llama);
    let agent = agent(&owner, ANSWER_TOKENS);
    let turns = conversation(&llama, &owner, &agent, TURNS);
    assert_eq!(owner.messages("c").len(), 2 * TURNS);
    assert!(turns.last().unwrap().dropped > 0, "{turns:?}");
    // A cut is made in one big step, and most turns after one only add to their prompt again.
    let later: Vec<_> = turns.iter().skip_while(|turn| turn.dropped == 0).skip(1).collect();
    let reused = later.iter().filter(|turn| (turn.prompt - turn.read) * 10 >= turn.prompt * 4).count();
    assert!(!later.is_empty() && reused * 3 >= later.len() * 2, "{turns:?}");
    proof("turns_over_a_full_window", TURNS);
}

#[test]
fn a_model_that_still_loads_is_waited_for() {
    let app = App::start(&[]);
    let llama = Llama::begin(free_port(), Model::Gemma3, 16_384, &[]);
    let owner = connect(&app, &llama);
    let agent = agent(&owner, FEW_TOKENS);
    until("llama-server to listen", || llama.listens().then_some(()));
    whole(&owner.chat(question("c", &agent, "Hello.")));
}
