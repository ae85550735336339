//! What the model says: every kind of answer there is, drawn from the seed and from how much it was asked before.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::support::{
    asked::Asked,
    fake_model::{Answer, FakeModel, call, delta, finish, usage},
};
use crate::tools;

/// Words of an answer that outlives a checkpoint or two.
const LONG_WORDS: usize = 400;
/// Bytes of one very long word.
const LONG_WORD_BYTES: usize = 64 * 1024;

/// A model that says something else each time.
pub fn start(seed: u64) -> FakeModel {
    FakeModel::answering(move |n, asked| answer(&mut StdRng::seed_from_u64(seed ^ n as u64), n, asked))
}

fn answer(rng: &mut StdRng, n: usize, asked: &Asked) -> Answer {
    // What has called a tool and got its output speaks, or a turn might call for ever.
    let has_output =
        asked.json["messages"].as_array().is_some_and(|all| all.last().is_some_and(|m| m["role"] == "tool"));
    let kind = rng.random_range(if has_output { 0..12 } else { 0..26 });
    let words = rng.random_range(1..40);
    let end = |answer: Answer| answer.chunk(finish("stop")).chunk(usage(10, 5)).done();
    match kind {
        0 => say(Answer::empty(), n, words, rng).chunk(finish("stop")).done(),
        1 => say(Answer::empty(), n, words, rng).cut(),
        2 => end(say(Answer::empty(), n, LONG_WORDS, rng)),
        3 => end(Answer::empty().chunk(word(&format!("{n} {}", "ü".repeat(LONG_WORD_BYTES / 2))))),
        4 => end(think(n, rng)),
        5 => end(say(Answer::empty(), n, words, rng)).packets_of(7),
        6..12 => end(say(Answer::empty(), n, words, rng)),
        12 => Answer::status(401),
        13 => end(say(Answer::empty(), n, words, rng)).late(),
        kind => calls(say(Answer::empty(), n, words / 8, rng), n, kind % 3 + 1, rng),
    }
}

fn word(text: &str) -> Value {
    delta(json!({ "content": text }))
}

fn say(answer: Answer, n: usize, words: usize, rng: &mut StdRng) -> Answer {
    let pauses = rng.random_range(1..5);
    (0..words).fold(answer, |answer, at| {
        let answer = answer.chunk(word(&format!("{n}.{at} 🎉 ")));
        if at % pauses == 0 { answer.wait() } else { answer }
    })
}

fn think(n: usize, rng: &mut StdRng) -> Answer {
    let thought = delta(json!({ "reasoning_content": "Hm, " }));
    say(Answer::empty().chunk(thought.clone()).wait().chunk(thought), n, 5, rng)
}

/// A few calls, whose arguments come in pieces. Each has a word of its own.
fn calls(answer: Answer, n: usize, count: usize, rng: &mut StdRng) -> Answer {
    let names: Vec<_> = tools::names().chain(["search_history", "current_time"]).collect();
    let answer = (0..count).fold(answer, |answer, at| {
        let name = names[rng.random_range(..names.len())];
        let (begin, end) = match name {
            "search_history" => ("{\"query\":", "\"then\"}".to_owned()),
            "current_time" => ("{", "}".to_owned()),
            _ => ("{\"n\":", format!("\"w{n}-{at}\"}}")),
        };
        let id = format!("call-{n}-{at}");
        let begun = answer.chunk(call(Some(at), Some(&id), Some(name), begin));
        begun.wait().chunk(call(Some(at), None, None, &end))
    });
    answer.chunk(finish("tool_calls")).chunk(usage(10, 5)).done()
}
