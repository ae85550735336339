//! What counts of a request, and what does not.

use super::*;
use crate::{
    model::{Legacy, ToolSpec, sampling::Sampling},
    secret::Secret,
};

fn user(text: &str) -> Message {
    Message::User(vec![Content::Text(text.into())])
}

fn call(id: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.into(), name: "weather".into(), arguments: arguments.into(), beside: None }
}

fn said(text: &str, calls: Vec<ToolCall>) -> Message {
    Message::Assistant { text: text.into(), thoughts: None, calls }
}

fn output(id: &str, output: &str) -> Message {
    Message::Tool { call_id: id.into(), output: output.into() }
}

fn tool(name: &str) -> ToolSpec {
    ToolSpec { name: name.into(), description: "Tells.".into(), parameters: json!({ "type": "object" }) }
}

/// A request in its second step.
fn request() -> Request {
    Request {
        model: "gpt".into(),
        messages: vec![
            Message::System("Be kind. Session 0193746a-7c5b-7def-8abc-0123456789ab.".into()),
            user("What is the weather in Bern?"),
            said("", vec![call("call_x", r#"{"town":"Bern","days":2.0}"#)]),
            output("call_x", r#"{"at":"2026-11-30T02:40:00Z","c":15000.0}"#),
        ],
        tools: vec![tool("weather"), tool("current_time")],
        ..Request::default()
    }
}

fn keys(request: &Request) -> Keys {
    Keys::of(request, &Scrubber::default(), false)
}

/// What is left the same by a change: both keys, the shape, or neither.
fn kept(change: impl FnOnce(&mut Request)) -> (bool, bool) {
    let (one, mut other) = (request(), request());
    change(&mut other);
    let (one, other) = (keys(&one), keys(&other));
    (one.key == other.key, one.shape == other.shape)
}

#[test]
fn what_does_not_count_changes_no_key() {
    assert_eq!(kept(|r| r.sampling.temperature = Some(0.5)), (true, true));
    assert_eq!(kept(|r| r.sampling.extra = [("new".to_owned(), json!(1))].into_iter().collect()), (true, true));
    assert_eq!(kept(|r| r.tools.reverse()), (true, true));
    assert_eq!(kept(|r| r.tools[0].description = "Other.".into()), (true, true));
    assert_eq!(kept(|r| r.messages[1] = user(" What is the weather in Bern?\n")), (true, true));
    let id = "0193746a-0000-7def-8abc-0123456789ab";
    assert_eq!(kept(|r| r.messages[0] = Message::System(format!("Be kind. Session {id}."))), (true, true));
    let other_id = |r: &mut Request| {
        r.messages[2] = said("", vec![call("call_y", r#"{ "days": 2, "town": "Bern" }"#)]);
        r.messages[3] = output("call_y", r#"{"c": 15000, "at": "2031-01-01T00:00:00Z"}"#);
    };
    assert_eq!(kept(other_id), (true, true));
}

#[test]
fn what_counts_changes_the_key_and_only_some_of_it_the_shape() {
    assert_eq!(kept(|r| r.messages[0] = Message::System("Be brief.".into())), (false, true));
    assert_eq!(kept(|r| drop(r.messages.remove(0))), (false, true));
    assert_eq!(kept(|r| r.messages[3] = output("call_x", "{}")), (false, true));
    assert_eq!(kept(|r| drop(r.tools.pop())), (false, true));
    assert_eq!(kept(|r| r.sampling.response_format = Some(json!({ "type": "json_object" }))), (false, true));
    assert_eq!(kept(|r| r.messages[1] = user("What is the weather in Rome?")), (false, false));
    assert_eq!(kept(|r| r.messages[2] = said("", vec![call("call_x", "{}")])), (false, false));
    assert_eq!(kept(|r| r.messages.truncate(2)), (false, false));
    assert_eq!(kept(|r| r.messages.insert(1, user("Hello"))), (false, false));
    assert_eq!(kept(|r| r.model = "other".into()), (false, false));
}

#[test]
fn a_request_that_was_read_has_the_keys_of_the_one_that_was_written() {
    let file = Content::File {
        media_type: "image/png".into(),
        url: "data:image/png;base64,aGk=".into(),
        filename: None,
        detail: None,
    };
    let with_file = Message::User(vec![Content::Text("What is this?".into()), file]);
    let legacy = Some(Legacy { prompt: "fn main() {".into(), suffix: Some("}".into()) });
    let format = Sampling { response_format: Some(json!({ "b": 1.0, "a": 2 })), ..Sampling::default() };
    for request in [
        request(),
        Request { messages: vec![with_file], ..request() },
        Request { legacy, messages: Vec::new(), ..request() },
        Request { sampling: format, ..request() },
    ] {
        let written = keys(&request);
        let files = Keys::of(&request, &Scrubber::default(), true);
        for (keys, stored) in [(&written, &written.request), (&written, &files.request)] {
            let exchange = Exchange {
                model: "gpt".into(),
                asked: keys.asked.clone(),
                request: Some(stored.clone()),
                ..Exchange::default()
            };
            let text = serde_json::to_string(&exchange).unwrap();
            let read = Keys::read(&serde_json::from_str(&text).unwrap());
            assert_eq!((&read.key, &read.shape, read.step), (&keys.key, &keys.shape, keys.step));
            assert_eq!((&read.calls, &read.words, &read.asked), (&keys.calls, &keys.words, &keys.asked));
        }
    }
}

#[test]
fn a_file_is_written_down_only_on_request_and_known_by_its_bytes() {
    let asked = |data: &str| {
        let url = format!("data:image/png;base64,{data}");
        let file = Content::File { media_type: "image/png".into(), url, filename: Some("a.png".into()), detail: None };
        Request { messages: vec![Message::User(vec![file])], ..Request::default() }
    };
    let (one, other) = (keys(&asked("aGk=")), keys(&asked("aG8=")));
    assert_ne!(one.key, other.key);
    // As `printf hi | sha256sum` has it.
    let hash = "sha256:8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4";
    assert_eq!(one.request["messages"][0]["files"], json!([{ "type": "image/png", "sha256": hash }]));
    let whole = Keys::of(&asked("aGk="), &Scrubber::default(), true);
    assert!(whole.request.to_string().contains("base64,aGk=") && whole.key == one.key);
}

#[test]
fn what_was_left_out_still_matches_and_is_written_nowhere() {
    let scrubber = Scrubber::new(vec![Secret::new("hunter-2-hunter")]);
    let request = Request {
        messages: vec![
            Message::System("The key is hunter-2-hunter.".into()),
            user("Use sk-0123456789abcdef, not hunter-2-hunter."),
            said("", vec![call("c", r#"{"key":"AKIAIOSFODNN7EXAMPLE"}"#)]),
            output("c", r#""alm_live_0123456789abcdef""#),
        ],
        ..request()
    };
    let keys = Keys::of(&request, &scrubber, false);
    let text = format!("{keys:?}");
    for secret in ["hunter", "sk-0123", "AKIA", "alm_live"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert_eq!(keys.asked, "Use [secret 2], not [secret 1].");
    let exchange = Exchange { model: "gpt".into(), request: Some(keys.request.clone()), ..Exchange::default() };
    assert_eq!(Keys::read(&exchange).key, Keys::of(&request, &scrubber, false).key);
}

#[test]
fn a_step_is_counted_and_named_from_the_question_on() {
    let keys = keys(&request());
    assert_eq!(
        (keys.step, &*keys.calls, &*keys.asked),
        (1, &["weather".to_owned()][..], "What is the weather in Bern?")
    );
    let by_hand = Exchange { model: "m".into(), asked: "Hi".into(), step: 2, ..Exchange::default() };
    let read = Keys::read(&by_hand);
    assert_eq!((read.step, read.calls.len(), read.words.len()), (2, 0, 1));
    let asked =
        Request { model: "m".into(), messages: vec![Message::System("s".into()), user("Hi")], ..Request::default() };
    assert_eq!(read.shape, Keys::of(&asked, &Scrubber::default(), false).shape);
}

#[test]
fn words_are_told_apart_in_any_script_and_only_so_many_are_looked_at() {
    for (text, expected) in
        [("", 0), ("Hi, HI hi!", 1), ("What's up?", 3), ("天气 ok", 3), ("今日のbernは", 5), ("3.5", 2)]
    {
        assert_eq!(words(text).len(), expected, "{text}");
    }
    for chars in [ASKED_CHARS_MAX - 1, ASKED_CHARS_MAX, ASKED_CHARS_MAX + 1] {
        let text = format!("{}b", "a ".repeat(chars / 2)) + if chars % 2 == 1 { "" } else { "c" };
        let looked_at: String = text.chars().take(ASKED_CHARS_MAX).collect();
        assert_eq!(words(&text), words(&looked_at), "{chars}");
    }
    assert_ne!(words(&("a ".repeat(ASKED_CHARS_MAX / 2 - 1) + "b")), words("a"));
}
