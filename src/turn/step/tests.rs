//! Deltas of one model call, as chunks.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::*;
use crate::{
    model::{Ending, ToolCall, openai::Decoder},
    turn::{chunk::clean_json, line::LINE_BYTES_MAX},
};

/// Where we differ from the AI SDK on purpose. What we send there is in `<name>.ours.jsonl`.
const DIFFERENT: &[(&str, &str)] = &[
    // `useChat` reads nothing after an error, so it comes when everything else is said and stored.
    ("cut-in-an-event", "an error comes last"),
    ("done-without-finish-reason", "an error comes last"),
    ("groq-error-event", "an error comes last"),
    ("html-page", "an error comes last"),
    ("json-error", "an error comes last"),
    ("llamacpp-old-error", "an error comes last"),
    ("lmstudio-error", "an error comes last"),
    ("ollama-swallowed-error", "an error comes last"),
    ("openrouter-error", "an error comes last"),
    ("unreadable-chunk", "an error comes last, and a reply with a hole in it is not a success"),
    ("vllm-error", "an error comes last"),
    // The generic provider looks in one place only.
    ("groq-usage", "usage in x_groq.usage"),
    ("moonshot-usage", "usage in the choice, cached tokens flat"),
    ("openai-citations", "sources from url_citation, and no link that is not a web page"),
    // The generic provider gives up.
    ("json-completion", "a server that does not stream when tools are given"),
    ("llamacpp-glued", "two events without a blank line between them"),
    ("multi-line-data", "a blank after [DONE]"),
    ("tool-arguments-as-object", "arguments that are not in a string"),
    // The generic provider knows no tags.
    ("think-end-alone", "the end of thoughts that nothing began is no text"),
    ("think-tags", "thoughts in tags are reasoning"),
    ("think-tags-cut", "thoughts in tags are reasoning, however they are cut"),
    // What would cost someone money or a call.
    ("reused-index-empty-start", "a new id and name on the index of a call that is whole begin a call"),
    ("usage-out-of-range", "no count below zero, no part larger than its whole"),
];

fn upstream() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/upstream")
}

/// What we send for a recorded body: the step, and around it what a turn adds.
fn chunks_of(body: &[u8]) -> Vec<Chunk> {
    let (mut decoder, mut deltas) = (Decoder::new(), Vec::new());
    decoder.feed(body, &mut deltas);
    let ending = decoder.finish(&mut deltas);
    let fault = deltas.iter().find_map(|delta| match delta {
        Delta::Fault(sentence) => Some(Chunk::Error { error_text: sentence.clone() }),
        _ => None,
    });
    let (mut step, mut chunks) = (Step::default(), vec![Chunk::StartStep]);
    deltas.into_iter().for_each(|delta| step.delta(delta, &mut chunks));
    step.end(&mut chunks);
    ending.calls.iter().for_each(|call| announce(call, &mut chunks));
    chunks.push(Chunk::FinishStep);
    chunks.extend(fault);
    chunks.push(finish(&ending));
    chunks
}

fn announce(call: &ToolCall, chunks: &mut Vec<Chunk>) {
    let known = ["get_time", "get_weather", "search"].contains(&call.name.as_str());
    let parsed = serde_json::from_str::<Value>(&call.arguments);
    let (tool_call_id, tool_name) = (call.id.clone(), call.name.clone());
    chunks.extend(match parsed {
        Ok(input) if known => vec![Chunk::ToolInputAvailable {
            tool_call_id,
            tool_name,
            input: clean_json(input),
            provider_metadata: None,
            dynamic: false,
        }],
        parsed => {
            let input = parsed.unwrap_or_else(|_| call.arguments.clone().into());
            let output = Chunk::ToolOutputError {
                tool_call_id: tool_call_id.clone(),
                error_text: String::new(),
                dynamic: false,
            };
            vec![
                Chunk::ToolInputError {
                    tool_call_id,
                    tool_name,
                    input,
                    error_text: String::new(),
                    provider_metadata: None,
                    dynamic: false,
                },
                output,
            ]
        }
    });
}

fn finish(ending: &Ending) -> Chunk {
    let usage = |u: crate::model::Usage| [u.input_tokens, u.cache_read_tokens, u.output_tokens, u.reasoning_tokens];
    let message_metadata = ending.usage.map_or(json!({}), |u| json!({ "usage": usage(u) }));
    Chunk::Finish { finish_reason: ending.finish.as_str().to_owned(), message_metadata }
}

/// The same chunks with ids numbered by first appearance, neighbouring deltas joined and sentences left out.
fn normalised(chunks: &[Chunk]) -> Vec<Value> {
    let mut names: HashMap<String, String> = HashMap::new();
    let mut counts = BTreeMap::from([("part", 0), ("call", 0)]);
    let mut out: Vec<Value> = Vec::new();
    for chunk in chunks {
        let mut chunk = serde_json::to_value(chunk).unwrap();
        for (key, kind) in [("id", "part"), ("sourceId", "part"), ("toolCallId", "call")] {
            let Some(id) = chunk.get(key).and_then(Value::as_str) else { continue };
            let name = names.entry(id.to_owned()).or_insert_with(|| {
                let count = counts.get_mut(kind).unwrap();
                *count += 1;
                format!("{kind}{}", *count - 1)
            });
            chunk[key] = name.clone().into();
        }
        if let Some(text) = chunk.get_mut("errorText") {
            *text = "*".into();
        }
        match out.last_mut().filter(|last| same_part(last, &chunk)) {
            Some(last) => join(last, &chunk),
            None => out.push(chunk),
        }
    }
    out
}

fn same_part(last: &Value, chunk: &Value) -> bool {
    let is_delta = chunk["type"].as_str().is_some_and(|kind| kind.ends_with("-delta"));
    is_delta && ["type", "id", "toolCallId"].iter().all(|key| last.get(key) == chunk.get(key))
}

fn join(last: &mut Value, chunk: &Value) {
    for key in ["delta", "inputTextDelta"] {
        if let Some(more) = chunk.get(key).and_then(Value::as_str) {
            last[key] = (last[key].as_str().unwrap().to_owned() + more).into();
        }
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn written(chunks: &[Value]) -> String {
    chunks.iter().map(|chunk| chunk.to_string() + "\n").collect()
}

/// Every recorded body, by name.
fn bodies() -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(upstream()).unwrap().map(|file| file.unwrap().path());
    let bodies = files.filter(|path| path.extension().is_some_and(|extension| extension == "sse"));
    bodies.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap())).collect()
}

#[test]
fn every_recorded_body_becomes_the_chunks_that_the_sdk_makes_of_it() {
    let mut wrong = Vec::new();
    for (name, body) in bodies() {
        let actual = normalised(&chunks_of(&body));
        let differs = actual != lines(&upstream().join(format!("{name}.expected.jsonl")));
        let on_purpose = DIFFERENT.iter().any(|(different, _)| *different == name);
        let ours = upstream().join(format!("{name}.ours.jsonl"));
        if on_purpose && std::env::var_os("UPDATE").is_some() {
            std::fs::write(&ours, written(&actual)).unwrap();
        }
        if differs != on_purpose || (on_purpose && actual != lines(&ours)) {
            wrong.push(format!("{name}:\n{}", written(&actual)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_parts_of_a_second_step_have_ids_of_their_own() {
    let (mut step, mut first, mut second) = (Step::default(), Vec::new(), Vec::new());
    for out in [&mut first, &mut second] {
        step.begin();
        step.delta(Delta::Text("a".into()), out);
        step.delta(Delta::ToolStart { id: "call:0".into(), name: "f".into() }, out);
        step.delta(Delta::ToolArguments { id: "call:0".into(), fragment: "{}".into() }, out);
        step.end(out);
    }
    assert!(first.iter().all(|chunk| !second.contains(chunk)), "{first:?} {second:?}");
    assert_eq!(step.call_id("call:0"), "call:0-2", "the turn announces the call under the id that it began with");
}

#[test]
fn a_message_that_goes_on_keeps_the_ids_it_has() {
    let mut step = Step::new(["a".to_owned(), "a-2".to_owned()]);
    assert_eq!(step.call_id("a"), "a-3");
    assert_eq!(step.call_id("b"), "b");
}

#[test]
fn a_continuation_gives_its_calls_ids_that_the_message_does_not_have() {
    let mut step = Step::new(["call_0".to_owned(), "call_0-2".to_owned()]);
    step.begin();
    assert_eq!(
        [step.call_id("call_0"), step.call_id("call_1"), step.call_id("call_0")],
        ["call_0-3", "call_1", "call_0-3"]
    );
    step.begin();
    assert_eq!([step.call_id("call_1"), step.call_id("call_0")], ["call_1-2", "call_0-4"]);
}

#[test]
fn no_line_of_words_is_longer_than_readers_of_lines_take() {
    for (text, lines) in [("a".repeat(200_000), 4), ("\u{2028}\"".repeat(30_000), 4), ("é".into(), 1)] {
        let deltas = [
            Delta::Reasoning(text.clone()),
            Delta::Text(text.clone()),
            Delta::ToolStart { id: "\u{1}".repeat(256), name: "f".into() },
            Delta::ToolArguments { id: "\u{1}".repeat(256), fragment: text.clone() },
        ];
        let (mut step, mut chunks) = (Step::default(), Vec::new());
        deltas.into_iter().for_each(|delta| step.delta(delta, &mut chunks));
        let mut frames = Vec::new();
        chunks.iter().for_each(|chunk| chunk.write_to(&mut frames));
        let longest = frames.split(|byte| *byte == b'\n').map(<[u8]>::len).max();
        assert!(longest <= Some(LINE_BYTES_MAX), "{longest:?}");
        let said = |chunk: &Chunk| match chunk {
            Chunk::TextDelta { delta, .. } => Some(delta.clone()),
            _ => None,
        };
        let pieces: Vec<_> = chunks.iter().filter_map(said).collect();
        assert_eq!((pieces.len(), pieces.concat() == text), (lines, true));
    }
}
