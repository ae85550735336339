//! What the odd bodies of servers mean. That the split of the bytes does not matter stands in `crate::properties`.

use super::*;
use crate::properties::read_reply;

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
        ["", " \n", "data: [DONE]\n\n", "<html>", "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n", "{}"]
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
        assert_eq!(whole(&body), (vec![], Ending { finish: Finish::Stop, usage: None, calls: vec![] }), "{chunk}");
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
        assert_eq!(deltas, [Delta::Fault(TOO_LONG.to_owned())]);
    }
}

#[test]
fn the_last_usage_counts_and_a_count_that_is_missing_is_no_count() {
    let usage = |body: &str| whole(body).1.usage;
    let line = |usage: &str| format!("data: {{\"choices\":[],\"usage\":{usage}}}\n\n");
    assert_eq!(usage(&line("{}")), None);
    let two =
        line(r#"{"prompt_tokens":5,"completion_tokens":1}"#) + &line(r#"{"prompt_tokens":5,"completion_tokens":2}"#);
    assert_eq!(usage(&(two + &line("null"))), Some(Usage { input_tokens: 5, output_tokens: 2, ..Usage::default() }));
    let odd = line(r#"{"prompt_tokens":1e300,"completion_tokens":-1,"completion_tokens_details":null}"#);
    assert_eq!(usage(&odd), Some(Usage { input_tokens: u32::MAX.into(), ..Usage::default() }));
}
