//! The properties, short: the fuzzer looks longer and further (`CONTRIBUTING.md` says how).

use std::{fs, path::Path};

use proptest::{collection::vec, prelude::*, sample::select};

use super::cut::CUTS;

/// Words of a wire between any bytes, behind sizes to cut it by.
fn written_with(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => select(words).prop_map(|word| word.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..12),
    ];
    (any::<[u8; CUTS]>(), vec(piece, 0..40)).prop_map(|(sizes, pieces)| [&sizes[..], &pieces.concat()].concat())
}

const EVENT_WORDS: &[&str] =
    &["data: ", "data:", "\n", "\r", "\r\n", "\n\n", ": c", "error: ", "event: é", "\u{feff}", "[DONE]"];

const REPLY_WORDS: &[&str] = &[
    "data: ",
    "\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"reasoning\":\"b\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":\"current_time\",\"arguments\":\"{\"}}]}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"}\"}}]}}]}\n\n",
    "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n",
    "data: [DONE]\n\n",
];

const JOURNAL_WORDS: &[&str] = &[
    "data: {\"type\":\"start-step\"}\n\n",
    "data: {\"type\":\"text-start\",\"id\":\"",
    "data: {\"type\":\"tool-input-available\",\"toolCallId\":\"c\",\"toolName\":\"t\",\"input\":",
    "data: {\"type\":\"tool-approval-request\",\"approvalId\":\"a\",\"toolCallId\":\"c\"}\n\n",
    "a",
    "\"}\n\n",
    "{}}\n\n",
    "1e23}\n\n",
];

const REQUEST_MESSAGES: &[&str] = &[
    r#"{"role":"user","content":"a"}"#,
    r#"{"role":"user","content":""}"#,
    r#"{"id":"u","role":"user","parts":[{"type":"text","text":"a"}]}"#,
    r#"{"id":"u","role":"user","parts":[{"type":"text","text":"b","__proto__":1}]}"#,
    r#"{"id":"u","role":"assistant","content":"c"}"#,
    r#"{"id":"v","role":"assistant","parts":[{"type":"step-start"},{"type":"tool-x","toolCallId":"c","state":"input-available","input":{}}]}"#,
    r#"{"id":"v","role":"assistant","parts":[{"type":"tool-x","toolCallId":"c","state":"output-available","input":1e23,"output":null}]}"#,
    r#"{"role":"system","content":"d"}"#,
    r#"{"role":"tool","content":"d"}"#,
];

fn recorded() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/upstream");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sse"));
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn a_recorded_body_byte_by_byte_is_the_same_reply() {
    recorded().iter().for_each(|body| super::reply(&[&[0; CUTS][..], body].concat()));
}

proptest! {
    #[test]
    fn the_split_of_events_does_not_matter(bytes in written_with(EVENT_WORDS)) {
        super::events(&bytes);
    }

    #[test]
    fn whatever_fragments_come_no_call_is_lost(bytes in vec(any::<u8>(), 0..300)) {
        super::tool_calls(&bytes);
    }

    #[test]
    fn any_bytes_are_a_reply_that_a_client_can_take(bytes in written_with(REPLY_WORDS)) {
        super::reply(&bytes);
    }

    #[test]
    fn a_recorded_body_is_one_however_it_is_cut_and_broken(
        body in select(recorded()),
        sizes in any::<[u8; CUTS]>(),
        holes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut body = body;
        for (at, byte) in holes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        super::reply(&[&sizes[..], &body].concat());
    }

    #[test]
    fn a_posted_body_is_refused_or_does_what_it_says(
        messages in vec(select(REQUEST_MESSAGES), 0..6),
        rest in select(vec!["", r#","trigger":"regenerate-message""#, r#","message":{"role":"user","content":"z"}"#]),
    ) {
        super::request(format!("{{\"messages\":[{}]{rest}}}", messages.join(",")).as_bytes());
    }

    #[test]
    fn whatever_chunks_come_a_closed_message_is_valid(bytes in vec(any::<u8>(), 0..600)) {
        super::fold(&bytes);
    }

    #[test]
    fn whatever_becomes_of_replies_no_prompt_has_a_call_without_an_answer(bytes in vec(any::<u8>(), 0..600)) {
        super::prompt(&bytes);
    }

    #[test]
    fn any_file_is_a_models_header_or_a_fault(bytes in vec(any::<u8>(), 0..200), begin in any::<bool>()) {
        let head: &[u8] = if begin { b"GGUF\x03\0\0\0" } else { b"" };
        super::gguf(&[head, &bytes].concat());
    }

    #[test]
    fn a_broken_journal_still_folds(bytes in written_with(JOURNAL_WORDS)) {
        super::journal(&bytes[CUTS..]);
    }
}
