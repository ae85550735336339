//! The bytes of chat completions, held to golden files (`UPDATE=1 cargo test chat_wire`).

use std::{fs, path::Path};

use super::*;
use crate::turn::line::LINE_BYTES_MAX;

fn head() -> Head {
    Head { id: String::new(), created: 1_764_460_800, model: "ala".into() }
}

fn text(delta: &str) -> Chunk {
    Chunk::TextDelta { id: "p0".into(), delta: delta.into() }
}

fn thought(delta: &str) -> Chunk {
    Chunk::ReasoningDelta { id: "p1".into(), delta: delta.into() }
}

fn begin(id: &str, name: &str) -> Chunk {
    Chunk::ToolInputStart { tool_call_id: id.into(), tool_name: name.into(), dynamic: false }
}

fn more(id: &str, arguments: &str) -> Chunk {
    Chunk::ToolInputDelta { tool_call_id: id.into(), input_text_delta: arguments.into() }
}

fn available(id: &str, name: &str, input: Value, provider_metadata: Option<Value>) -> Chunk {
    Chunk::ToolInputAvailable {
        tool_call_id: id.into(),
        tool_name: name.into(),
        input,
        provider_metadata,
        dynamic: false,
    }
}

fn finish(word: &str) -> Chunk {
    Chunk::Finish { finish_reason: word.into(), message_metadata: json!({}) }
}

fn start() -> Chunk {
    Chunk::Start { message_id: "019aa7c2-6f7e-7c51-9f0a-1d2b3c4d5e6f".into(), message_metadata: json!({}) }
}

/// A reply between its beginning and its end.
fn reply(chunks: Vec<Chunk>, word: &str) -> Vec<Chunk> {
    let begun = [start(), Chunk::StartStep];
    begun.into_iter().chain(chunks).chain([Chunk::FinishStep, finish(word)]).collect()
}

fn bytes_of(mut wire: ChatWire, chunks: &[Chunk]) -> String {
    let mut frames = Vec::new();
    chunks.iter().for_each(|chunk| wire.chunk(chunk, &mut frames));
    wire.end(&Usage { input_tokens: 27, cache_read_tokens: 5, output_tokens: 3, reasoning_tokens: 1 }, &mut frames);
    String::from_utf8(frames).unwrap()
}

fn streamed(chunks: &[Chunk]) -> String {
    bytes_of(ChatWire::stream(head(), true), chunks)
}

fn whole(chunks: &[Chunk]) -> Value {
    serde_json::from_str(&bytes_of(ChatWire::whole(head()), chunks)).unwrap()
}

/// The events of a stream, without `[DONE]`.
fn events(stream: &str) -> Vec<Value> {
    let data = stream.split_terminator("\n\n").map(|frame| frame.strip_prefix("data: ").expect("only data lines"));
    data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn deltas(chunks: &[Chunk]) -> Vec<Value> {
    events(&streamed(chunks)).iter().map(|event| event["choices"][0]["delta"].clone()).collect()
}

/// Everything a reply may hold: thoughts, two steps, two calls, one of them without a piece of its arguments, and a source.
fn everything() -> Vec<Chunk> {
    let beside = json!({ "google": { "call": { "extra_content": { "google": { "thought_signature": "s" } } }, "function": {} } });
    let steps = vec![
        thought("Hm."),
        text("I look."),
        Chunk::FinishStep,
        Chunk::StartStep,
        text("It\u{2028}rains."),
        text(" A lot."),
        Chunk::SourceUrl { source_id: "p2".into(), url: "https://example.com".into(), title: Some("Rain".into()) },
        begin("call_1", "get_weather"),
        more("call_1", "{\"city\":"),
        begin("call_2", "now"),
        more("call_1", "\"Paris\"}"),
        available("call_1", "get_weather", json!({ "city": "Paris" }), None),
        available("call_2", "now", json!({}), Some(beside)),
    ];
    reply(steps, "stop")
}

#[test]
fn a_reply_has_the_bytes_of_the_golden_files() {
    for (name, bytes) in [("chat.sse", streamed(&everything())), ("chat.json", format!("{:#}\n", whole(&everything())))]
    {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/openai").join(name);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &bytes).unwrap();
        }
        assert_eq!(bytes, fs::read_to_string(path).unwrap(), "{name}");
    }
}

#[test]
fn a_stream_is_data_lines_and_every_event_is_of_one_reply() {
    let stream = streamed(&everything());
    assert!(stream.lines().all(|line| line.is_empty() || line.starts_with("data: ")), "{stream}");
    assert!(!stream.contains(['\r', '\u{2028}']) && stream.ends_with("data: [DONE]\n\n"));
    let events = events(&stream);
    let same = |key: &str| events.iter().all(|event| event[key] == events[0][key]);
    assert!(same("id") && same("created") && same("model") && same("object"));
    assert_eq!(events[0]["choices"][0]["delta"], json!({ "role": "assistant", "content": "" }));
    let roles = events.iter().filter(|event| event["choices"][0]["delta"].get("role").is_some()).count();
    let finishes: Vec<_> = events.iter().filter(|event| event["choices"][0]["finish_reason"].is_string()).collect();
    assert_eq!((roles, finishes.len()), (1, 1));
    assert_eq!(finishes[0]["choices"][0]["delta"], json!({}));
}

#[test]
fn usage_comes_last_and_only_where_it_was_asked_for() {
    let chunks = reply(vec![text("Hello.")], "stop");
    let with = events(&streamed(&chunks));
    let last = with.last().unwrap();
    assert_eq!((last["choices"].clone(), last["usage"]["total_tokens"].clone()), (json!([]), json!(30)));
    let without = events(&bytes_of(ChatWire::stream(head(), false), &chunks));
    assert_eq!(without.len() + 1, with.len());
    assert!(without.iter().all(|event| event.get("usage").is_none()));
    let usage = &whole(&chunks)["usage"];
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 5);
    assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 1);
    assert_eq!(whole(&[start(), Chunk::Abort])["usage"]["total_tokens"], 30, "also of a reply that was stopped");
}

#[test]
fn a_later_step_begins_on_a_line_of_its_own_where_an_earlier_one_has_spoken() {
    let steps = |first: &str| {
        let said = if first.is_empty() { Vec::new() } else { vec![text(first)] };
        let later = [Chunk::FinishStep, Chunk::StartStep, text("B"), thought("t"), text("C")];
        reply(said.into_iter().chain(later).collect(), "stop")
    };
    for (first, content) in [("A", "A\n\nBC"), ("", "BC")] {
        assert_eq!(whole(&steps(first))["choices"][0]["message"]["content"], content);
        let said: String = deltas(&steps(first)).iter().filter_map(|delta| delta["content"].as_str()).collect();
        assert_eq!(said, content);
    }
}

#[test]
fn the_whole_reply_is_the_fold_of_the_stream() {
    let (deltas, message) = (deltas(&everything()), whole(&everything())["choices"][0]["message"].clone());
    let joined = |key: &str| deltas.iter().filter_map(|delta| delta[key].as_str()).collect::<String>();
    assert_eq!(message["content"], joined("content"));
    assert_eq!(message["reasoning_content"], joined("reasoning_content"));
    for (index, call) in message["tool_calls"].as_array().unwrap().iter().enumerate() {
        let own = deltas.iter().map(|delta| &delta["tool_calls"][0]).filter(|call| call["index"] == index);
        let arguments: String = own.map(|call| call["function"]["arguments"].as_str().unwrap()).collect();
        assert_eq!(call["function"]["arguments"], arguments);
    }
    assert_eq!(message["tool_calls"].as_array().unwrap().len(), 2);
    assert_eq!(message["annotations"].as_array().unwrap().len(), 1);
}

#[test]
fn arguments_are_the_models_own_words_valid_or_not() {
    let broken = |chunks| whole(&reply(chunks, "tool-calls"))["choices"][0]["message"]["tool_calls"][0].clone();
    let error = |input: Value| Chunk::ToolInputError {
        tool_call_id: "c".into(),
        tool_name: "f".into(),
        input,
        error_text: "not JSON".into(),
        provider_metadata: None,
        dynamic: false,
    };
    for chunks in [
        vec![begin("c", "f"), more("c", "{\"a\": "), error(json!("{\"a\": "))],
        vec![begin("c", "f"), error(json!("{\"a\": "))],
        vec![error(json!("{\"a\": "))],
    ] {
        assert_eq!(broken(chunks)["function"], json!({ "name": "f", "arguments": "{\"a\": " }));
    }
}

#[test]
fn a_reply_of_calls_alone_has_null_as_its_content_and_any_other_a_text() {
    let content = |chunks| whole(&reply(chunks, "stop"))["choices"][0]["message"]["content"].clone();
    assert_eq!(content(vec![available("c", "f", json!({}), None)]), Value::Null);
    assert_eq!(content(Vec::new()), "");
}

#[test]
fn a_reply_ends_with_one_of_four_words() {
    let ends = |chunks: Vec<Chunk>, word: &str| whole(&reply(chunks, word))["choices"][0]["finish_reason"].clone();
    for (word, with_calls, without) in [
        ("stop", "tool_calls", "stop"),
        ("tool-calls", "tool_calls", "stop"),
        ("other", "tool_calls", "stop"),
        ("length", "length", "length"),
        ("content-filter", "content_filter", "content_filter"),
    ] {
        assert_eq!(ends(vec![begin("c", "f")], word), with_calls, "{word}");
        assert_eq!(ends(Vec::new(), word), without, "{word}");
    }
}

#[test]
fn a_failure_is_one_event_and_nothing_follows_it_but_the_end() {
    let failed = Chunk::of_error(&crate::error::Error::ModelUnavailable("it broke".into()), "r");
    let chunks: Vec<_> =
        [start(), Chunk::StartStep, text("Hel")].into_iter().chain(failed).chain([finish("error")]).collect();
    let stream = streamed(&chunks);
    let events = events(&stream);
    let error = &events.last().unwrap()["error"];
    assert_eq!(error["message"], "it broke");
    assert!(["message", "type", "param", "code"].iter().all(|key| error.get(key).is_some()));
    assert!(events.iter().all(|event| event.get("usage").is_none()) && stream.ends_with("data: [DONE]\n\n"));
    assert_eq!(bytes_of(ChatWire::whole(head()), &chunks), "", "a status says it");
}

#[test]
fn a_silence_is_filled_with_a_piece_without_words_once_the_reply_has_begun() {
    let mut wire = ChatWire::stream(head(), false);
    assert!(wire.heartbeat().is_empty());
    let mut frames = Vec::new();
    wire.chunk(&start(), &mut frames);
    wire.chunk(&begin("c", "f"), &mut frames);
    let beat = String::from_utf8(wire.heartbeat()).unwrap();
    assert_eq!(
        events(&beat)[0]["choices"][0],
        json!({ "index": 0, "delta": { "content": "" }, "logprobs": null, "finish_reason": null })
    );
    let mut whole = ChatWire::whole(head());
    whole.chunk(&start(), &mut frames);
    assert!(whole.heartbeat().is_empty());
}

#[test]
fn no_line_is_longer_than_a_line_may_be() {
    let input = json!({ "a": "\u{1}".repeat(2 * LINE_BYTES_MAX) });
    let stream = streamed(&reply(vec![available("c", "f", input.clone(), None)], "stop"));
    assert!(stream.lines().all(|line| line.len() <= LINE_BYTES_MAX));
    let call = whole(&reply(vec![available("c", "f", input.clone(), None)], "stop"));
    let arguments =
        call["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"].as_str().unwrap().to_owned();
    assert_eq!(serde_json::from_str::<Value>(&arguments).unwrap(), input);
}
