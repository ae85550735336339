//! Stored histories, and what a model gets of them.

use serde_json::json;

use super::*;
use crate::{
    store::messages::{Place, Status},
    time::Timestamp,
};

fn message(role: Role, parts: Value) -> Message {
    Message {
        seq: 0,
        id: "m".into(),
        role,
        status: Status::Complete,
        created_at: Timestamp::now(),
        metadata: "{}".into(),
        content: crate::turn::fold::content(parts.as_array().unwrap()),
        parts: parts.to_string(),
        place: Place::default(),
    }
}

fn room(tokens: u64) -> Option<Room> {
    Some(Room { tokens, bytes_per_token: 4.0, output_bytes: usize::MAX })
}

fn text(role: Role, text: &str) -> Message {
    message(role, json!([{ "type": "text", "text": text }]))
}

#[test]
fn the_oldest_turns_are_left_out_whole_and_counted() {
    let long = "x".repeat(400);
    let history = [
        text(Role::User, &long),
        text(Role::Assistant, &long),
        text(Role::User, &long),
        text(Role::User, "b"),
        text(Role::Assistant, "c"),
    ];
    let all = fit("be brief", &history, None, None).unwrap();
    assert_eq!((all.messages.len(), all.dropped), (6, 0));
    let some = fit("be brief", &history, room(240), None).unwrap();
    assert_eq!((some.messages.len(), some.dropped), (4, 2));
    let last_only = fit("", &history, room(0), None).unwrap();
    assert_eq!((last_only.messages.len(), last_only.dropped), (3, 2), "the last turn stays whatever it takes");
}

#[test]
fn of_a_conversation_that_is_given_whole_turns_go_but_never_its_front_and_its_last() {
    let user = |text: &str| model::Message::User(vec![model::Content::Text(text.into())]);
    let (system, long) = (model::Message::System("be brief".into()), "x".repeat(400));
    let output = model::Message::Tool { call_id: "t".into(), output: long.clone() };
    let given = [system.clone(), user(&long), output, user("b"), user("c"), user("d")];
    let whole = tokens_in(&given, 4.0);
    for (tokens, left) in [(whole, 6), (whole - 1, 4), (0, 4)] {
        let mut messages = given.to_vec();
        assert_eq!(leave_out(&mut messages, room(tokens).unwrap()), 6 - left, "{tokens}");
        assert_eq!((messages.len(), &messages[0], messages.last()), (left, &system, given.last()));
    }
    assert_eq!(leave_out(&mut Vec::new(), room(0).unwrap()), 0);
}

#[test]
fn a_reply_of_two_steps_keeps_its_tools_output_between_them() {
    let reply = message(
        Role::Assistant,
        json!([
            { "type": "step-start" },
            { "type": "reasoning", "text": "hm" },
            { "type": "tool-current_time", "toolCallId": "c1", "state": "output-available", "input": {}, "output": { "utc": 1 } },
            { "type": "tool-x", "toolCallId": "c2", "state": "output-error", "rawInput": "{bad", "errorText": "no" },
            { "type": "tool-x", "toolCallId": "c3", "state": "input-available", "input": {} },
            { "type": "step-start" },
            { "type": "text", "text": "It is one." },
        ]),
    );
    let metadata = r#"{"model":"groq/m","reasoningField":"reasoning"}"#.to_owned();
    let reply = Message { metadata, ..reply };
    let fitted = fit("", &[text(Role::User, "when?"), reply], None, None).unwrap();
    let call = |id: &str, name: &str, arguments: &str| ToolCall {
        id: id.into(),
        name: name.into(),
        arguments: arguments.into(),
        beside: None,
    };
    let said = |text: &str, thoughts: &str, calls| model::Message::Assistant {
        text: text.into(),
        thoughts: (!thoughts.is_empty()).then(|| Thoughts {
            text: thoughts.into(),
            field: Some(ThoughtsField::Reasoning),
            provider: "groq".into(),
            beside: Map::new(),
        }),
        calls,
    };
    let tool = |id: &str, output: &str| model::Message::Tool { call_id: id.into(), output: output.into() };
    assert_eq!(
        fitted.messages,
        [
            model::Message::User(vec![Content::Text("when?".into())]),
            said("", "hm", vec![call("c1", "current_time", "{}"), call("c2", "x", "{bad")]),
            tool("c1", "{\"utc\":1}"),
            tool("c2", "no"),
            said("It is one.", "", vec![]),
        ]
    );
}

#[test]
fn past_nine_tenths_of_the_room_whole_turns_go_down_to_half_of_it() {
    // Each message: 100 tokens of text and 4 around it. Turns begin at 0, 2, 4, 6 and 8.
    let long = "x".repeat(400);
    let roles = [Role::User, Role::Assistant].into_iter().cycle().take(9);
    let history: Vec<_> = roles.map(|role| text(role, &long)).collect();
    let dropped = |tokens: u64| fit("", &history, room(tokens), None).unwrap().dropped;
    // All of it takes 936; without the first turn 728, then 520, 312, 104.
    for (tokens, expected) in [(1_040, 0), (1_039, 6), (624, 6), (623, 8), (207, 8), (0, 8)] {
        assert_eq!(dropped(tokens), expected, "room for {tokens}");
    }
    // The system prompt takes its own: 8 bytes are 2 tokens, and 4 around it.
    for (tokens, expected) in [(1_047, 0), (1_046, 6)] {
        let fitted = fit("be brief", &history, room(tokens), None).unwrap();
        assert_eq!(fitted.dropped, expected, "room for {tokens}");
    }
    let dense = Some(Room { tokens: 1_040, bytes_per_token: 2.0, output_bytes: usize::MAX });
    assert_eq!(fit("", &history, dense, None).unwrap().dropped, 8, "each message takes 204");
}

#[test]
fn a_cut_holds_until_what_follows_it_is_too_long_again() {
    let long = "x".repeat(400);
    let roles = [Role::User, Role::Assistant].into_iter().cycle();
    let history = |count: usize| -> Vec<_> {
        let numbered = roles.clone().take(count).enumerate();
        numbered.map(|(at, role)| Message { seq: at as i64 + 10, ..text(role, &long) }).collect()
    };
    let (mut cut, mut reads) = (None, Vec::new());
    for count in (1..=21).step_by(2) {
        let fitted = fit("", &history(count), room(1_040), cut).unwrap();
        cut = fitted.cut.or(cut);
        reads.push(fitted.dropped);
    }
    assert_eq!(reads, [0, 0, 0, 0, 0, 6, 6, 6, 12, 12, 12], "each of these numbers once is a prompt read anew");
    // A model that holds all of it is sent all of it, and a cut that no message follows is none.
    assert_eq!(fit("", &history(11), room(2_000), Some(16)).unwrap().dropped, 0);
    assert_eq!(fit("", &history(11), room(1_040), Some(99)).unwrap().dropped, 6);
}

#[test]
fn a_question_without_a_reply_goes_when_the_next_one_does_not_fit_beside_it() {
    let question = |bytes: usize| text(Role::User, &"x".repeat(bytes));
    let dropped = |history: &[Message]| fit("", history, room(500), None).unwrap().dropped;
    assert_eq!(dropped(&[question(8_000), question(400)]), 1);
    assert_eq!(dropped(&[question(1_600), question(300)]), 0, "past nine tenths, but it fits");
    assert_eq!(dropped(&[question(400), text(Role::Assistant, "a"), question(8_000), question(400)]), 3);
}

#[test]
fn of_a_long_output_head_and_tail_are_shown() {
    let shown = |output: &str, bytes_max: usize| {
        if output.len() <= bytes_max { output.to_owned() } else { shortened(output, bytes_max) }
    };
    let output = "0123456789abcdef";
    assert_eq!([shown(output, 17), shown(output, 16)], [output, output]);
    assert_eq!(shown(output, 15), "012345678[… 4 of 16 bytes left out: ask for less …]def");
    assert_eq!(shown("ééééé", 8), "ééé[… 2 of 10 bytes left out: ask for less …]é");
    let call = json!([{ "type": "tool-x", "toolCallId": "c", "state": "output-available", "input": {}, "output": "long ".repeat(1_000) }]);
    let history = [text(Role::User, "?"), message(Role::Assistant, call)];
    let small = Room { tokens: 9_000, bytes_per_token: 4.0, output_bytes: 1_024 };
    assert!(tokens_of_prompt(&fit("", &history, Some(small), None).unwrap().messages) < 300);
}

#[test]
fn a_prompt_is_counted_by_its_texts_its_calls_and_its_files() {
    let file = Content::File { media_type: "image/png".into(), url: "data:,x".into(), filename: None, detail: None };
    let call = ToolCall { id: "id".into(), name: "12345".into(), arguments: "123456789".into(), beside: None };
    let messages = [
        model::Message::User(vec![Content::Text("1234".into()), file]),
        model::Message::Assistant { text: "12345".into(), thoughts: None, calls: vec![call] },
        model::Message::Tool { call_id: "id".into(), output: "123456789".into() },
    ];
    let tokens = messages.each_ref().map(|message| tokens_of_message(message, 4.0));
    // 5 + 5 + 9 bytes are 5 tokens.
    assert_eq!(tokens, [1 + FILE_TOKENS + 4, 5 + 4, 3 + 4]);
    assert_eq!(tokens_of_prompt(&messages), tokens.iter().sum::<u64>());
    assert_eq!((tokens_of_bytes(3), tokens_of_bytes(4), tokens_of_bytes(5)), (1, 1, 2));
    assert_eq!(tokens_at_most(9, 2), 3 + 2 * 5);
}

#[test]
fn what_stood_beside_the_last_words_goes_back_with_them() {
    let parts = json!([
        { "type": "step-start" },
        { "type": "text", "text": "First." },
        { "type": "step-start" },
        { "type": "text", "text": "Last." },
    ]);
    let beside = |metadata: Value| {
        let reply = Message { metadata: metadata.to_string(), ..message(Role::Assistant, parts.clone()) };
        let fitted = fit("", &[text(Role::User, "u"), reply], None, None).unwrap();
        let thoughts = |message: model::Message| match message {
            model::Message::Assistant { thoughts, .. } => thoughts,
            _ => None,
        };
        fitted.messages.into_iter().map(thoughts).collect::<Vec<_>>()
    };
    let signed = json!({ "extra_content": { "google": { "thought_signature": "s" } } });
    let kept = beside(json!({ "model": "gemini/m", "beside": signed }));
    assert_eq!((&kept[0], &kept[1]), (&None, &None));
    let last = kept[2].as_ref().unwrap();
    assert_eq!((&*last.provider, &*last.text, last.field), ("gemini", "", None));
    assert_eq!(Value::from(last.beside.clone()), signed);
    assert_eq!(beside(json!({ "model": "gemini/m", "beside": { "role": "system" } })), [None, None, None]);
}

#[test]
fn the_outputs_of_a_step_share_what_a_prompt_holds_of_them() {
    let shown = |count: usize, bytes: usize| {
        let tool = |n| model::Message::Tool { call_id: format!("c{n}"), output: "x".repeat(bytes) };
        let mut messages: Vec<_> = (0..count).map(tool).collect();
        shorten_outputs(&mut messages, usize::MAX);
        let len = |message: &model::Message| match message {
            model::Message::Tool { output, .. } => output.len(),
            _ => 0,
        };
        messages.iter().map(len).max().unwrap()
    };
    for bytes in [TOOL_PROMPT_BYTES_MAX - 1, TOOL_PROMPT_BYTES_MAX] {
        assert_eq!(shown(1, bytes), bytes);
    }
    let note = 64;
    assert!(shown(1, TOOL_PROMPT_BYTES_MAX + 1) <= TOOL_PROMPT_BYTES_MAX + note);
    assert!(shown(4, TOOL_PROMPT_BYTES_MAX) == TOOL_PROMPT_BYTES_MAX, "four have all of it");
    assert!(shown(8, TOOL_PROMPT_BYTES_MAX) <= STEP_PROMPT_BYTES_MAX / 8 + note);
    for bytes in [OUTPUT_BYTES_MIN - 1, OUTPUT_BYTES_MIN] {
        assert_eq!(shown(STEP_PROMPT_BYTES_MAX, bytes.min(3)), 3, "{bytes}");
    }
}

#[test]
fn a_model_reads_the_texts_of_a_servers_answer_and_every_other_output_as_it_is() {
    let answer = json!({ "content": [{ "type": "text", "text": "20 degrees" }], "structuredContent": { "c": 20 } });
    let read = |part: Value| {
        let mut part = part;
        part["toolCallId"] = "c".into();
        part["state"] = "output-available".into();
        let fitted = fit("", &[message(Role::Assistant, json!([part]))], None, None).unwrap();
        let Some(model::Message::Tool { output, .. }) = fitted.messages.last().cloned() else { panic!("{fitted:?}") };
        output
    };
    let dynamic = |name: &str, output: &Value| json!({ "type": "dynamic-tool", "toolName": name, "output": output });
    assert_eq!(read(dynamic("weather__now", &answer)), "20 degrees");
    assert_eq!(read(dynamic("weather__now", &json!("cut short"))), "cut short");
    assert_eq!(read(dynamic("weather__now", &json!({ "c": 20 }))), "{\"c\":20}");
    assert_eq!(read(dynamic("weather", &answer)), answer.to_string(), "a service may answer like that");
    assert_eq!(read(json!({ "type": "tool-weather__now", "output": answer })), answer.to_string(), "and a client");
}
