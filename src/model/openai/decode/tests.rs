//! What the odd bodies of servers mean. That the split of the bytes does not matter stands in `crate::properties`.

use super::*;
use crate::{model::Usage, properties::read_reply};

fn whole(body: &str) -> (Vec<Delta>, Ending) {
    read_reply([body.as_bytes()])
}

fn fault(body: &str) -> String {
    let (deltas, ending) = whole(body);
    assert_eq!(ending.finish, Finish::Error, "{body}");
    let faults: Vec<_> = deltas.into_iter().filter(|delta| matches!(delta, Delta::Fault(_))).collect();
    let [Delta::Fault(sentence)] = &faults[..] else { panic!("{faults:?} for {body}") };
    sentence.clone()
}

#[test]
fn a_reply_that_never_says_why_it_ended_was_cut_off() {
    for body in
        ["", " \n", ": ping\n\n", "data: [DONE]\n\n", "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n", "{}"]
    {
        assert_eq!(fault(body), CUT_OFF);
    }
}

#[test]
fn an_error_is_found_wherever_a_server_puts_it_and_told_in_our_words() {
    for body in [
        r#"data: {"error":{"code":429,"message":"sk-1"},"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"error":{"type":"rate_limit_error","message":"sk-1"}}"#,
        "event: error\ndata: {\"code\":429,\"message\":\"sk-1\"}\n\n",
        "error: {\"code\":429,\"message\":\"sk-1\"}\n\ndata: [DONE]\n\n",
    ] {
        assert_eq!(fault(body), explain(r#"{"code":429}"#), "{body}");
    }
    assert_eq!(fault(r#"data: {"choices":[{"finish_reason":"error"}]}"#), explain(""));
    assert_eq!(fault("data: sk-1\n\ndata: sk-2\n\n"), UNREADABLE);
}

#[test]
fn nulls_blanks_and_missing_fields_mean_nothing() {
    for chunk in [
        "{}",
        r#"{"error":null,"choices":null,"usage":null,"x_groq":null}"#,
        r#"{"choices":[]}"#,
        r#"{"choices":[{}]}"#,
        r#"{"choices":[{"delta":null,"message":null,"finish_reason":null,"usage":null}]}"#,
        r#"{"choices":[{"delta":{"role":null,"content":null,"reasoning":"","refusal":false,"tool_calls":null,"annotations":null},"finish_reason":""}]}"#,
        r#"{"choices":[{"delta":{"content":[{"type":"image","image":1}],"tool_calls":[{"function":null}],"annotations":[{}]}}]}"#,
    ] {
        let body = format!("data: {chunk}\n\ndata: {{\"choices\":[{{\"finish_reason\":\"stop\"}}]}}\n\n");
        assert_eq!(whole(&body), (vec![], Ending::new(Finish::Stop)), "{chunk}");
    }
}

#[test]
fn nothing_is_read_after_done() {
    let (deltas, ending) = whole(
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"length\"}]}\n\ndata: [DONE] \n\ndata: junk\n\n",
    );
    assert_eq!((deltas, ending.finish), (vec![Delta::Text("a".into())], Finish::Length));
}

#[test]
fn a_body_past_its_cap_is_a_fault_and_ends_the_reading() {
    let mebi = "x".repeat(EVENT_BYTES_MAX);
    for head in ["data: ", "{\"a\":\"", "data"] {
        let (mut decoder, mut deltas) = (Decoder::new(), Vec::new());
        decoder.feed(head.as_bytes(), &mut deltas);
        decoder.feed(mebi.as_bytes(), &mut deltas);
        assert!(decoder.is_done());
        assert_eq!(decoder.finish(&mut deltas).finish, Finish::Error);
        assert_eq!(deltas, [Delta::Fault(TOO_MUCH.to_owned())]);
    }
}

#[test]
fn a_count_that_is_missing_is_no_count() {
    let usage = |body: &str| whole(body).1.usage;
    let line = |usage: &str| format!("data: {{\"choices\":[],\"usage\":{usage}}}\n\n");
    assert_eq!(usage(&line("{}")), None);
    let two =
        line(r#"{"prompt_tokens":5,"completion_tokens":1}"#) + &line(r#"{"prompt_tokens":5,"completion_tokens":2}"#);
    assert_eq!(usage(&(two + &line("null"))), Some(Usage { input_tokens: 5, output_tokens: 2, ..Usage::default() }));
    let odd = line(r#"{"prompt_tokens":1e300,"completion_tokens":-1,"completion_tokens_details":null}"#);
    assert_eq!(usage(&odd), Some(Usage { input_tokens: u32::MAX.into(), ..Usage::default() }));
}

/// A body of these chunks, each a delta, and its end.
fn body_of(deltas: &[&str]) -> Vec<u8> {
    let chunks = deltas.iter().map(|delta| format!("data: {{\"choices\":[{{\"delta\":{delta}}}]}}\n\n"));
    let end = ["data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n".to_owned()];
    chunks.chain(end).collect::<String>().into_bytes()
}

fn said(body: &[u8]) -> Vec<Delta> {
    let (deltas, ending) = read_reply([body]);
    assert!(deltas.iter().all(|delta| !matches!(delta, Delta::Fault(_))), "{deltas:?} of {}", body.escape_ascii());
    assert_eq!(ending.finish, Finish::Stop, "{}", body.escape_ascii());
    let bytes = body.chunks(1);
    assert_eq!(read_reply(bytes), (deltas.clone(), ending), "the split matters");
    deltas
}

fn text(text: &str) -> Vec<Delta> {
    vec![Delta::Text(text.into())]
}

#[test]
fn half_a_character_does_not_end_a_reply() {
    for (pieces, expected) in [
        (&[r#"{"content":"hi \ud83d"}"#, r#"{"content":"\ude00 there"}"#][..], "hi 😀 there"),
        (&[r#"{"content":"hi \ud83d"}"#, r#"{"content":""}"#, "{}", r#"{"content":"\uDE00"}"#], "hi 😀"),
        (&[r#"{"content":"hi \ud83d"}"#, r#"{"content":" there"}"#], "hi \u{fffd} there"),
        (&[r#"{"content":"hi \ud83d"}"#], "hi \u{fffd}"),
        (&[r#"{"content":"a\udc00b"}"#], "a\u{fffd}b"),
        (&[r#"{"content":[{"type":"text","text":"\ud83d"}]}"#, r#"{"content":"\ude00"}"#], "😀"),
        (&[r#"{"content":"a","logprobs":"\ud83d","\ud83d":1}"#], "a"),
    ] {
        assert_eq!(said(&body_of(pieces)), text(expected), "{pieces:?}");
    }
    let bytes = "é€😀".as_bytes();
    for at in 0..bytes.len() {
        let piece = |bytes: &[u8]| [b"data: {\"choices\":[{\"delta\":{\"content\":\"", bytes, b"\"}}]}\n\n"].concat();
        let body = [piece(&bytes[..at]), piece(&bytes[at..]), body_of(&[])].concat();
        assert_eq!(said(&body), text("é€😀"), "{at}");
    }
    let arguments = |json: &str| {
        format!(r#"{{"tool_calls":[{{"index":0,"id":"c","function":{{"name":"f","arguments":"{json}"}}}}]}}"#)
    };
    let (first, second) = (arguments(r#"{\"q\":\"\ud83d"#), arguments(r#"\ude00\"}"#));
    let (_, ending) = read_reply([&body_of(&[&first, &second])[..]]);
    assert_eq!(ending.calls[0].arguments, r#"{"q":"😀"}"#);
    let (_, ending) = read_reply([&body_of(&[&first])[..]]);
    assert_eq!(ending.calls[0].arguments, "{\"q\":\"\u{fffd}");
}

#[test]
fn what_one_kind_of_words_left_open_the_other_does_not_end() {
    let body = body_of(&[r#"{"content":"a\ud83d"}"#, r#"{"reasoning":"\ude00b"}"#, r#"{"content":"c"}"#]);
    let expected = [Delta::Text("a\u{fffd}".into()), Delta::Reasoning("\u{fffd}b".into()), Delta::Text("c".into())];
    assert_eq!(said(&body), expected);
}

#[test]
fn a_field_of_any_type_is_no_reason_to_fail() {
    let values =
        ["null", "true", "false", "0", "-1.5", "1e3", "\"x\"", "[]", "{}", "[[1]]", "{\"a\":{}}", "NaN", "[null]"];
    for name in ["index", "delta", "message", "usage", "logprobs", "finish_reason", "x"] {
        for value in values {
            let chunk = format!("data: {{\"choices\":[{{\"{name}\":{value}}}]}}\n\n");
            let (deltas, ending) = read_reply([&[chunk.as_bytes(), &body_of(&[])[..]].concat()[..]]);
            assert!(deltas.iter().all(|delta| !matches!(delta, Delta::Fault(_))), "{name}: {value}: {deltas:?}");
            assert_eq!(ending.finish, Finish::Stop);
        }
    }
    for name in [
        "id",
        "object",
        "created",
        "model",
        "choices",
        "usage",
        "x_groq",
        "service_tier",
        "timings",
        "system_fingerprint",
    ] {
        for value in values {
            let chunk = format!("data: {{\"{name}\":{value}}}\n\n");
            assert_eq!(said(&[chunk.as_bytes(), &body_of(&[])[..]].concat()), [], "{name}: {value}");
        }
    }
    for name in ["role", "reasoning", "refusal", "annotations", "function_call", "audio", "token_ids"] {
        for value in values.iter().filter(|value| !value.contains(['x', '1', '5', '0', '3'])) {
            let delta = format!("{{\"content\":\"a\",\"{name}\":{value}}}");
            assert_eq!(said(&body_of(&[&delta])), text("a"), "{name}: {value}");
        }
    }
    for (field, value) in [("index", "true"), ("type", "7"), ("id", "[]"), ("function", "\"f\""), ("x", "NaN")] {
        let delta = format!("{{\"content\":\"a\",\"tool_calls\":[{{\"{field}\":{value}}}]}}");
        assert_eq!(said(&body_of(&[&delta])), text("a"), "{field}: {value}");
    }
}

#[test]
fn numbers_and_strings_of_the_same_meaning_are_one() {
    for content in
        [r#""1""#, "1", r#"["1"]"#, r#"[{"type":"text","text":"1"}]"#, r#"{"type":"text","text":1}"#, r#"[["1"],null]"#]
    {
        assert_eq!(said(&body_of(&[&format!("{{\"content\":{content}}}")])), text("1"), "{content}");
    }
    let call = |index: &str, id: &str, name: &str, arguments: &str| {
        format!(
            r#"{{"tool_calls":[{{"index":{index},"id":{id},"function":{{"name":{name},"arguments":{arguments}}}}}]}}"#
        )
    };
    for (index, id) in [("0", "\"5\""), ("\"0\"", "5"), ("0.0", "5"), ("null", "5")] {
        let body = body_of(&[&call(index, id, "\"f\"", r#""{\"a\"""#), &call(index, id, "null", r#"":1}""#)]);
        let (_, ending) = read_reply([&body[..]]);
        let said: Vec<_> = ending.calls.iter().map(|call| (&*call.name, &*call.arguments)).collect();
        assert_eq!(said, [("f", r#"{"a":1}"#)], "{index} {id}");
    }
    for arguments in [r#""{\"a\":1}""#, r#"{"a":1}"#] {
        let (_, ending) = read_reply([&body_of(&[&call("0", "5", "\"f\"", arguments)])[..]]);
        assert_eq!(ending.calls[0].arguments, r#"{"a":1}"#);
    }
    let body = body_of(&[&call("0", "5", "\"f\"", "{}"), &call("0", "5", "null", r#""{\"a\":1}""#)]);
    assert_eq!(read_reply([&body[..]]).1.calls[0].arguments, r#"{"a":1}"#, "an empty object comes before its pieces");
    for reason in ["stop", "STOP"] {
        let body = format!("data: {{\"choices\":{{\"delta\":null,\"finish_reason\":\"{reason}\"}}}}\n\n");
        assert_eq!(said(body.as_bytes()), []);
    }
}

#[test]
fn what_keeps_the_connection_alive_is_nothing() {
    for alive in [
        "data: \n\n",
        "data:\n\n",
        "data: {}\n\n",
        "data: null\n\n",
        "data: []\n\n",
        "data: \"\"\n\n",
        ": ping\n\n",
        ":\n",
        "data: ping\n\n",
        "data: [PING]\n\n",
        "data: : keep-alive\n\n",
        "data: OPENROUTER PROCESSING\n\n",
        "data: 1\n\n",
        "data: {\"type\":\"ping\"}\n\n",
        "event: ping\ndata: {\"type\":\"ping\"}\n\n",
        "event: ping\ndata: 2026-11-30\n\n",
        "event: heartbeat\n\n",
        "data: {\"choices\":[]}\n\n",
        "data: {\"choices\":null}\n\n",
        "data: {\"choices\":[null]}\n\n",
        "\n\n\n",
        "retry: 3\n\n",
    ] {
        let body = [alive.as_bytes(), &body_of(&[r#"{"content":"a"}"#])[..]].concat();
        assert_eq!(said(&body), text("a"), "{alive:?}");
        let body = String::from_utf8(body_of(&[r#"{"content":"a"}"#, r#"{"content":"b"}"#])).unwrap().replacen(
            "\n\n",
            &format!("\n\n{alive}"),
            1,
        );
        assert_eq!(said(body.as_bytes()), text("ab"), "{alive:?}");
    }
    for done in ["[DONE]", "[DONE] ", "[done]", "\"[DONE]\""] {
        let body = [body_of(&[r#"{"content":"a"}"#]), format!("data: {done}\n\ndata: junk\n\n").into_bytes()].concat();
        assert_eq!(said(&body), text("a"), "{done}");
    }
}

#[test]
fn of_several_choices_the_first_is_read() {
    let chunk = |index: u8, content: &str| {
        format!("data: {{\"choices\":[{{\"index\":{index},\"delta\":{{\"content\":\"{content}\"}}}}]}}\n\n")
    };
    let end = r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"},{"index":1,"delta":{},"finish_reason":"length"}]}"#;
    let body = chunk(0, "a") + &chunk(1, "x") + &chunk(0, "b") + end;
    assert_eq!(said(body.as_bytes()), text("ab"));
    let body = chunk(1, "a") + &chunk(1, "b") + &end.replace("\"index\":0", "\"index\":1");
    assert_eq!(said(body.as_bytes()), text("ab"), "the only one need not be the first by number");
}

#[test]
fn a_body_may_begin_with_a_mark_and_end_its_lines_in_any_way() {
    let whole = r#"{"choices":[{"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}]}"#;
    for body in [
        whole.to_owned(),
        format!("\u{feff}{whole}"),
        format!(" \n\u{feff}{whole}"),
        format!("\u{feff} [{whole}]"),
        format!("[{whole}]\n"),
    ] {
        assert_eq!(said(body.as_bytes()), text("a"), "{body}");
    }
    let events = String::from_utf8(body_of(&[r#"{"content":"a"}"#])).unwrap();
    for end in ["\n", "\r\n", "\r"] {
        for mark in ["", "\u{feff}"] {
            assert_eq!(said((mark.to_owned() + &events.replace('\n', end)).as_bytes()), text("a"), "{end:?}");
        }
    }
}

#[test]
fn what_is_no_reply_says_what_it_is() {
    for (document, has) in [
        (
            r#"{"id":"x","choices":null,"created":1,"model":"m","usage":{"total_tokens":0},"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}"#,
            "balance",
        ),
        (r#"{"choices":null,"base_resp":{"status_code":1002,"status_msg":"rate limit"}}"#, "limiting"),
        (
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"base_resp":{"status_code":1027,"status_msg":"x"}}"#,
            "refused the content",
        ),
        (r#"{"code":401,"msg":"token expired or incorrect","success":false}"#, "key"),
        (r#"{"detail":"Not authenticated"}"#, "key"),
        (r#"{"message":"Too many requests","object":"error","code":429}"#, "limiting"),
        (r#"{"message":"something odd"}"#, "in place of a reply"),
        (r#"{"error":"model is overloaded"}"#, "overloaded"),
        (r#"{"error":true,"message":"Too many requests"}"#, "limiting"),
        (r#"{"errors":[{"message":"Unauthorized"}]}"#, "key"),
        (r#"[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}]"#, "limiting"),
    ] {
        for body in
            [document.to_owned(), format!("data: {document}\n\n"), format!("data: {document}\n\ndata: [DONE]\n\n")]
        {
            assert!(fault(&body).contains(has), "{body}: {}", fault(&body));
        }
    }
    for (body, has) in [
        ("<!doctype html><title>Welcome</title>", "web page"),
        ("\n <html>429 Too Many Requests", "limiting"),
        ("upstream connect error or disconnect/reset before headers", "overloaded"),
        ("Not here\n", "else than a reply"),
        ("event: error\ndata: {\"message\":\"invalid api key\"}\n\n", "key"),
        ("event: response.error\ndata: rate limit\n\n", "limiting"),
    ] {
        assert!(fault(body).contains(has), "{body}: {}", fault(body));
    }
}

#[test]
fn a_reply_that_comes_to_its_end_is_one_whatever_stands_between() {
    for odd in [
        r#"{"message":"queued"}"#,
        r#"{"code":200,"msg":"ok"}"#,
        r#"{"base_resp":{"status_code":0}}"#,
        r#"{"detail":"x"}"#,
    ] {
        let body = [format!("data: {odd}\n\n").as_bytes(), &body_of(&[r#"{"content":"a"}"#])].concat();
        assert_eq!(said(&body), text("a"), "{odd}");
    }
}

#[test]
fn the_beginning_of_what_is_no_reply_is_kept_up_to_its_bound() {
    for (before, is_seen) in
        [(BEGINNING_BYTES_MAX - 11, true), (BEGINNING_BYTES_MAX - 10, true), (BEGINNING_BYTES_MAX - 9, false)]
    {
        for begin in ["<", "x"] {
            let body = format!("{begin}{} overloaded", " ".repeat(before - 2));
            assert_eq!(fault(&body).contains("overloaded"), is_seen, "{before} {begin}");
        }
    }
}
