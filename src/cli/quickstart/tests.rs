//! Against a server of a few lines that says what the API promises, but for one lie.

use std::{
    io::{BufRead, BufReader, Read},
    net::{TcpListener, TcpStream},
    str, thread,
};

use super::*;

const ANSWER: &str = "The periodic table lists the elements.";

/// How the server breaks its promise.
#[derive(Clone, Copy, PartialEq)]
enum Lie {
    None,
    ForgetsTheReply,
    ForgetsTheQuestion,
    WritesToItsCap,
    TakesAnyKey,
    GivesCredit,
    NeverTires,
    /// After so many chats, where nine is its word.
    TiresAfter(usize),
    CutsTheStream,
    FailsInTheStream,
    AsksNobody,
    RunsUnasked,
    RunsTwice,
    /// Its list of agents takes so many bytes.
    ListsAgentsIn(u64),
}

/// Serves one connection a request; ends with the process.
fn server(lie: Lie) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let mut chats = 0;
        for stream in listener.incoming() {
            answer(stream.unwrap(), lie, &mut chats);
        }
    });
    base_url
}

fn answer(stream: TcpStream, lie: Lie, chats: &mut usize) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
    let field = |name: &str| head.lines().find_map(|line| line.to_lowercase().strip_prefix(name).map(str::to_owned));
    let mut body = vec![0; field("content-length: ").map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    let body = str::from_utf8(&body).unwrap();

    let is_key_good = head.contains("alm_live_good") || lie == Lie::TakesAnyKey;
    let is_chat = head.starts_with("POST /api/v1/chat ");
    let is_for_agents = head.starts_with("GET /api/v1/agents ");
    *chats += usize::from(is_chat);
    let chats_max = match lie {
        Lie::NeverTires => usize::MAX,
        Lie::TiresAfter(chats) => chats,
        _ => 9,
    };
    let (head, body) = match () {
        () if !is_key_good => failure("401", "UNAUTHORIZED"),
        () if is_chat && *chats > chats_max => failure("429", "TOO_MANY_REQUESTS"),
        () if is_chat && body.contains("no-such") => failure("422", "VALIDATION_ERROR"),
        () if is_chat && body.contains("acme/paid") && lie != Lie::GivesCredit => failure("402", "PAYMENT_REQUIRED"),
        () if is_chat || head.contains("/resume ") => {
            ("200 OK\r\ncontent-type: text/event-stream".into(), stream_of(body, lie))
        }
        () if head.starts_with("POST /api/v1/sessions ") => success("201", r#"{"id":"s1"}"#),
        () if head.contains("countOnly") => success("200", r#"{"count":2}"#),
        () if head.contains("/messages") && lie == Lie::ForgetsTheReply => success("200", r#"{"items":[]}"#),
        () if head.contains("/messages") => success(
            "200",
            &json!({"items": [
                {"id": "u1", "role": "user", "content": PROMPT},
                {"id": "m1", "role": "assistant", "content": ANSWER},
            ]})
            .to_string(),
        ),
        () => success("200", r#"{"items":[{"id":"a1","slug":"ala"}]}"#),
    };
    let body = match lie {
        Lie::ListsAgentsIn(bytes) if is_for_agents => body.clone() + &" ".repeat(bytes as usize - body.len()),
        _ => body,
    };
    let length = body.len();
    write!(reader.get_mut(), "HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}").unwrap();
}

fn success(status: &str, data: &str) -> (String, String) {
    (format!("{status} OK\r\ncontent-type: application/json"), format!(r#"{{"success":true,"data":{data}}}"#))
}

fn failure(status: &str, code: &str) -> (String, String) {
    let body = json!({"success": false, "error": {"code": code, "message": "no", "requestId": "r"}});
    (format!("{status} No\r\ncontent-type: application/json\r\nretry-after: 1"), body.to_string())
}

fn stream_of(body: &str, lie: Lie) -> String {
    let text = match body.contains(SECOND_PROMPT) {
        true if lie == Lie::ForgetsTheQuestion => "I do not know.",
        true => "You asked about the Periodic Table.",
        false => ANSWER,
    };
    let mut stream = ": stream-open\n\n".to_owned();
    let mut event = |chunk: Value| stream.push_str(&format!("data: {chunk}\n\n"));
    event(json!({"type": "start", "messageId": "m1"}));
    let output =
        |booking: u8| json!({"type": "tool-output-available", "toolCallId": "c", "output": {"booking": booking}});
    let (is_asked, is_allowed) = (body.contains("book_room"), body.contains("approvals"));
    if is_asked && lie != Lie::AsksNobody {
        event(json!({"type": "tool-approval-request", "approvalId": "p1", "toolCallId": "c"}));
    }
    if is_allowed || is_asked && lie == Lie::RunsUnasked {
        event(output(if lie == Lie::RunsTwice { 2 } else { 1 }));
    }
    for word in text.split_inclusive(' ') {
        event(json!({"type": "text-delta", "id": "t", "delta": word}));
    }
    if lie == Lie::FailsInTheStream {
        event(json!({"type": "error", "errorText": "gone"}));
    }
    if lie != Lie::CutsTheStream {
        let reason = match is_asked {
            true => "tool-calls",
            false if lie == Lie::WritesToItsCap && !is_allowed => "length",
            false => "stop",
        };
        event(json!({"type": "finish", "finishReason": reason}));
        stream.push_str("data: [DONE]\n\n");
    }
    stream
}

fn run_at(lie: Lie) -> (Result<(), QuickstartFailed>, String) {
    run_with(Replies::Prepared, lie)
}

fn run_with(replies: Replies, lie: Lie) -> (Result<(), QuickstartFailed>, String) {
    let mut out = Vec::new();
    let base_url = server(lie);
    let result = run(&base_url, "alm_live_good", "demo", (replies, "acme/paid"), &mut out, Style::plain());
    (result, String::from_utf8(out).unwrap().replace(&base_url, "http://127.0.0.1:2560"))
}

#[test]
fn it_passes_where_every_promise_does() {
    let (result, out) = run_at(Lie::None);
    result.unwrap();
    assert!(out.contains(
        "$ curl http://127.0.0.1:2560/api/v1/agents \\\n  -H \"Authorization: Bearer alm_live_good\" \\\n  -H \"X-Alumia-Org: demo\"\n"
    ));
    for seen in [
        ANSWER,
        "countOnly=true\"",
        "UNAUTHORIZED",
        "PAYMENT_REQUIRED",
        "TOO_MANY_REQUESTS",
        "Retry-After: 1",
        "chat/s1/resume",
        r#""approvalId":"p1","approved":true"#,
    ] {
        assert!(out.contains(seen), "{seen} in:\n{out}");
    }
    assert!(!out.contains('\x1b'), "plain means plain");
}

#[test]
fn it_ends_at_the_first_promise_that_does_not_hold() {
    let lies = [
        (Lie::ForgetsTheReply, "Read the stored history"),
        (Lie::ForgetsTheQuestion, "Continue the conversation"),
        (Lie::TakesAnyKey, "Error 401"),
        (Lie::GivesCredit, "Error 402"),
        (Lie::NeverTires, "Error 429"),
        (Lie::CutsTheStream, "Stream an agent's reply"),
        (Lie::FailsInTheStream, "Stream an agent's reply"),
        (Lie::AsksNobody, "A tool of your own"),
        (Lie::RunsUnasked, "A tool of your own"),
        (Lie::RunsTwice, "Allow the call"),
    ];
    for (lie, step) in lies {
        let failed = run_at(lie).0.unwrap_err().to_string();
        assert!(failed.contains(step), "expected a failure in {step}: {failed}");
    }
}

#[test]
fn a_real_model_says_what_it_likes_and_the_built_in_one_calls_the_tool() {
    for (replies, lie, holds) in [
        (Replies::Real, Lie::None, true),
        (Replies::Real, Lie::ForgetsTheQuestion, true),
        (Replies::Real, Lie::WritesToItsCap, true),
        (Replies::Prepared, Lie::WritesToItsCap, false),
        (Replies::Real, Lie::ForgetsTheReply, false),
    ] {
        let (result, out) = run_with(replies, lie);
        assert_eq!(result.is_ok(), holds, "{replies:?} {result:?}");
        assert_eq!(out.contains(&format!(r#""model":"{BUILT_IN}""#)), holds);
    }
}

#[test]
fn the_limit_must_come_within_so_many_chats() {
    // Three that are answered and one that is not paid for come before.
    for (calls, fits) in [(RATE_CALLS_MAX - 1, true), (RATE_CALLS_MAX, true), (RATE_CALLS_MAX + 1, false)] {
        let (result, _) = run_at(Lie::TiresAfter(4 + calls - 1));
        assert_eq!(result.is_ok(), fits, "{calls}");
    }
}

#[test]
fn an_answer_is_read_up_to_its_bound() {
    let max = client::BODY_BYTES_MAX;
    for (bytes, fits) in [(max - 1, true), (max, true), (max + 1, false)] {
        assert_eq!(run_at(Lie::ListsAgentsIn(bytes)).0.is_ok(), fits, "{bytes}");
    }
}

#[test]
fn a_curl_survives_quotes_in_what_it_says() {
    let curl = curl_to_copy("http://127.0.0.1:2560", "k", "demo", "What's up?");
    assert!(curl.contains(r#"What'\''s up?"#), "{curl}");
}
