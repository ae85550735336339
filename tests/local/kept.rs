//! Its prompt cache: what of a prompt is read anew.

use serde_json::{Value, json};

use super::{
    people::words,
    program::{Llama, Model},
    support::harness::user,
};

/// Tokens around the end of a prompt that read otherwise once an answer follows them.
const SEAM_TOKENS: u64 = 8;

/// What was read of a prompt: all its tokens, and those that were there already.
fn read(llama: &Llama, messages: &[Value]) -> (u64, u64, String) {
    let (status, body) = llama.chat(json!({ "messages": messages, "max_tokens": 12 }));
    assert_eq!(status, 200, "{body}");
    let usage = &body["usage"];
    let cached = usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
    let text = body["choices"][0]["message"]["content"].as_str().unwrap();
    (usage["prompt_tokens"].as_u64().unwrap(), cached, text.to_owned())
}

/// A conversation's next turn.
fn turn(llama: &Llama, talk: &mut Vec<Value>, text: &str) -> (u64, u64) {
    talk.push(user(text));
    let (tokens, cached, said) = read(llama, talk);
    talk.push(json!({ "role": "assistant", "content": said }));
    (tokens, cached)
}

#[test]
fn of_a_prompt_that_was_only_added_to_nothing_is_read_again() {
    for model in [Model::Smollm2, Model::Gemma3] {
        let llama = Llama::start(model, 2_048, &[]);
        let mut talk = vec![json!({ "role": "system", "content": words(40) })];
        let mut before = turn(&llama, &mut talk, &words(30)).0;
        for _ in 0..3 {
            let (tokens, cached) = turn(&llama, &mut talk, &words(30));
            assert!(cached + SEAM_TOKENS >= before, "{model:?}: {cached} of {before} kept");
            before = tokens;
        }
    }
}

#[test]
fn dropping_the_oldest_turn_throws_the_rest_away() {
    let llama = Llama::start(Model::Smollm2, 2_048, &[]);
    let mut talk = vec![json!({ "role": "system", "content": words(40) })];
    for n in 0..4 {
        turn(&llama, &mut talk, &format!("{n} {}", words(50)));
    }
    talk.drain(1..3);
    let (tokens, cached) = turn(&llama, &mut talk, "And?");
    assert!(cached * 2 < tokens, "{cached} of {tokens} kept");
}

#[test]
fn conversations_in_turn_on_one_slot_find_what_is_theirs() {
    let talks =
        || ["a ", "b ", "c "].map(|name| vec![json!({ "role": "system", "content": name.to_owned() + &words(50) })]);
    let second_round = |llama: Llama| {
        let mut talks = talks();
        for talk in &mut talks {
            turn(&llama, talk, &words(40));
        }
        let again: Vec<_> = talks.iter_mut().map(|talk| turn(&llama, talk, "And?")).collect();
        again.iter().map(|(tokens, cached)| *cached as f64 / *tokens as f64).fold(1.0, f64::min)
    };
    assert!(second_round(Llama::start(Model::Smollm2, 2_048, &[])) > 0.5);
    assert!(second_round(Llama::start(Model::Smollm2, 2_048, &["--cache-ram", "0"])) < 0.5);
}
