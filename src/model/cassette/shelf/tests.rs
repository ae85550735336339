//! What conversations hear of a cassette: which answer, when, and what is told where there is none.

use std::fs;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::{
    error::Refused,
    model::{
        Content, Delta, Finish, Message,
        cassette::{
            choose::Match,
            line::{End, Line, Piece},
            player,
            tape::{self, Speed},
        },
    },
};

/// A folder with a cassette of these lines.
fn recorded(lines: &[Line]) -> (TempDir, Tape) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tour.jsonl");
    write(&file, lines);
    let (provider, speed) = ("replay".into(), Speed::Instant);
    (folder, Tape { provider, file, speed, reach: Match::Nearest, real_tools: false, secrets: Vec::new() })
}

/// Puts a cassette of these lines in the place of a file.
fn write(file: &Path, lines: &[Line]) {
    let lines = lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n");
    let text: String = ["{\"almCassette\":1}\n".to_owned()].into_iter().chain(lines).collect();
    let draft = file.with_extension("draft");
    fs::write(&draft, text).unwrap();
    fs::rename(draft, file).unwrap();
}

fn event(text: &str) -> Piece {
    Piece::Text(format!("data: {}\n\n", json!({ "choices": [{ "delta": { "content": text } }] })))
}

fn done() -> Piece {
    Piece::Text("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n".into())
}

/// What answers `asked` with `body`.
fn answer(asked: &str, body: Vec<(u64, Piece)>) -> Exchange {
    Exchange { model: "m".into(), asked: asked.into(), status: Some(200), body, ..Exchange::default() }
}

fn says(asked: &str, text: &str) -> Line {
    Line::Model(answer(asked, vec![(0, event(text)), (0, done())]))
}

fn question(text: &str) -> Request {
    let messages = vec![Message::User(vec![Content::Text(text.into())])];
    Request { model: "m".into(), messages, ..Request::default() }
}

/// All of a reply: what it said, what was wrong with it, and how it ended.
async fn heard(reply: &mut Reply) -> (String, Option<String>, Finish) {
    let (mut deltas, mut ending) = (Vec::new(), None);
    while ending.is_none() {
        ending = reply.next(&mut deltas).await;
    }
    let (mut said, mut fault) = (String::new(), None);
    for delta in deltas {
        match delta {
            Delta::Text(text) => said.push_str(&text),
            Delta::Fault(sentence) => fault = Some(sentence),
            other => panic!("{other:?}"),
        }
    }
    (said, fault, ending.unwrap().finish)
}

/// What that conversation hears to a question.
async fn ask(shelf: &Shelf, tape: &Tape, conversation: &str, text: &str) -> String {
    heard(&mut shelf.start(tape, conversation, &question(text)).await.unwrap()).await.0
}

async fn refusal(shelf: &Shelf, tape: &Tape) -> Error {
    shelf.start(tape, "c", &question("Hi")).await.err().unwrap()
}

#[tokio::test]
async fn each_conversation_gets_the_answers_in_their_order() {
    let (_folder, tape) = recorded(&[says("Hi", "one"), says("Hi", "two")]);
    let shelf = Shelf::default();
    let mut heard = Vec::new();
    for conversation in ["a", "b", "a", "a", "b"] {
        heard.push(ask(&shelf, &tape, conversation, "Hi").await);
    }
    assert_eq!(heard, ["one", "one", "two", "two", "two"]);
    // Another organization's provider plays the same file for a conversation of its own.
    assert_eq!(ask(&shelf, &tape, "c", "hi!").await, "one");
}

#[tokio::test]
async fn a_file_that_changed_counts_for_the_next_reply_and_one_that_is_gone_fails_it_by_its_name() {
    let (_folder, tape) = recorded(&[says("Hi", "one")]);
    let shelf = Shelf::default();
    assert_eq!(ask(&shelf, &tape, "c", "Hi").await, "one");
    let mut running = shelf.start(&tape, "d", &question("Hi")).await.unwrap();
    write(&tape.file, &[says("Hi", "uno"), says("Hi", "due")]);
    assert_eq!(heard(&mut running).await.0, "one", "what has begun goes on");
    assert_eq!(ask(&shelf, &tape, "c", "Hi").await, "uno", "and is counted anew");
    fs::write(&tape.file, "{\"almCassette\":2}\n").unwrap();
    let newer = refusal(&shelf, &tape).await;
    assert_eq!(newer.to_string(), "tour.jsonl is cassette format 2, this alm knows 1: use a newer alm");
    fs::remove_file(&tape.file).unwrap();
    let gone = refusal(&shelf, &tape).await;
    let folder = tape.file.parent().unwrap().to_str().unwrap();
    assert!(matches!(gone, Error::ModelUnavailable(_)), "{gone:?}");
    assert!(gone.to_string().starts_with("the cassette tour.jsonl cannot be read"), "{gone}");
    assert!(!gone.to_string().contains(folder), "{gone}");
    write(&tape.file, &[says("Hi", "back")]);
    assert_eq!(ask(&shelf, &tape, "c", "Hi").await, "back");
}

#[tokio::test]
async fn a_refusal_is_played_as_it_came() {
    let refused = |status, retry_after, said: &str| {
        let body = vec![(0, Piece::Text(said.into()))];
        let exchange = Exchange { status, retry_after, body, ..answer("Hi", Vec::new()) };
        Line::Model(exchange)
    };
    let too_long = r#"{"error":{"message":"This model's maximum context length is 8192 tokens."}}"#;
    for (line, expected) in [
        (refused(Some(429), Some(7), ""), "the provider replay is limiting requests: wait, or check its quota"),
        (refused(Some(500), None, "boom"), "the provider replay failed with status 500: try again"),
        (refused(Some(401), None, ""), "the provider replay rejected the key: check the provider's API key"),
        (
            Line::Model(Exchange { status: None, ..answer("Hi", Vec::new()) }),
            "the provider replay gave no answer when this was recorded",
        ),
    ] {
        let (_folder, tape) = recorded(&[line, says("Hi", "then")]);
        let shelf = Shelf::default();
        let error = refusal(&shelf, &tape).await;
        assert_eq!(error.to_string(), expected);
        if let Error::ModelRefused { why: Refused::Limited { retry_after }, .. } = error {
            assert_eq!(retry_after, Some(Duration::from_secs(7)));
        }
        assert_eq!(ask(&shelf, &tape, "c", "Hi").await, "then", "who asks again gets what came next");
    }
    let (_folder, tape) = recorded(&[refused(Some(400), None, too_long)]);
    assert!(matches!(refusal(&Shelf::default(), &tape).await, Error::TooLong { window: Some(8192), .. }));
    // By hand the status is left out.
    let by_hand = Exchange { status: None, ..answer("Hi", vec![(0, event("hello")), (0, done())]) };
    let (_folder, tape) = recorded(&[Line::Model(by_hand)]);
    assert_eq!(ask(&Shelf::default(), &tape, "c", "Hi").await, "hello");
}

#[tokio::test(start_paused = true)]
async fn an_answer_keeps_its_pace_within_bounds() {
    let gap = player::REPLAY_GAP_MAX.as_millis() as u64;
    let wait = tape::REPLAY_WAIT_MAX.as_millis() as u64;
    for (wait_ms, at, speed, expected) in [
        (412, [0, 31, 40], Speed::Times(1.0), 412 + 40),
        (412, [0, 31, 40], Speed::Times(2.0), 206 + 20),
        (412, [0, 31, 40], Speed::Instant, 0),
        (wait - 1, [0, 0, 0], Speed::Times(1.0), wait - 1),
        (wait, [0, 0, 0], Speed::Times(1.0), wait),
        (wait + 1, [0, 0, 0], Speed::Times(1.0), wait),
        (0, [0, gap - 1, gap - 1], Speed::Times(1.0), gap - 1),
        (0, [0, gap, gap], Speed::Times(1.0), gap),
        (0, [0, gap + 1, gap + 1], Speed::Times(1.0), gap),
        (0, [70, 10, 20], Speed::Times(1.0), 80),
        (u64::MAX, [u64::MAX, 0, u64::MAX], Speed::Times(tape::SPEED_MAX), (wait + 2 * gap) / 1_000),
    ] {
        let body = vec![(at[0], event("a")), (at[1], event("b")), (at[2], done())];
        let (_folder, mut tape) = recorded(&[Line::Model(Exchange { wait_ms, ..answer("Hi", body) })]);
        tape.speed = speed;
        let began = tokio::time::Instant::now();
        assert_eq!(ask(&Shelf::default(), &tape, "c", "Hi").await, "ab");
        assert_eq!(began.elapsed().as_millis() as u64, expected, "{wait_ms} {at:?} {speed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_dropped_loses_nothing() {
    let body = vec![(1_000, event("a")), (2_000, event("b")), (3_000, done())];
    let (_folder, mut tape) = recorded(&[Line::Model(answer("Hi", body))]);
    tape.speed = Speed::Times(1.0);
    let began = tokio::time::Instant::now();
    let mut reply = Shelf::default().start(&tape, "c", &question("Hi")).await.unwrap();
    let (mut deltas, mut ended) = (Vec::new(), false);
    while !ended {
        if let Ok(ending) = tokio::time::timeout(Duration::from_millis(300), reply.next(&mut deltas)).await {
            ended = ending.is_some();
        }
    }
    assert_eq!(deltas, [Delta::Text("a".into()), Delta::Text("b".into())]);
    assert_eq!(began.elapsed().as_millis(), 3_000);
}

#[tokio::test]
async fn an_answer_ends_as_it_ended() {
    let cut = |end, last: Option<Piece>| {
        let body = [(0, event("half"))].into_iter().chain(last.map(|last| (0, last))).collect();
        Line::Model(Exchange { end, ..answer("Hi", body) })
    };
    let finish = || Some(Piece::Text("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n".into()));
    for (end, last, fault, finish) in [
        (End::Whole, finish(), None, Finish::Stop),
        (End::Cut, finish(), None, Finish::Stop),
        (End::Whole, None, Some("reply was cut off"), Finish::Error),
        (End::Cut, None, Some("the connection to the provider replay broke"), Finish::Error),
        (End::Stopped, None, Some("was stopped while it was recorded"), Finish::Error),
        (End::Failed, None, Some("sent nothing more"), Finish::Error),
    ] {
        let (_folder, tape) = recorded(&[cut(end, last)]);
        let mut reply = Shelf::default().start(&tape, "c", &question("Hi")).await.unwrap();
        let (said, told, ended) = heard(&mut reply).await;
        assert_eq!((&*said, ended), ("half", finish), "{end:?}");
        assert_eq!(told.is_some(), fault.is_some(), "{end:?}: {told:?}");
        assert!(told.is_none_or(|told| told.to_lowercase().contains(fault.unwrap())), "{end:?}");
    }
}

#[tokio::test]
async fn how_an_answer_was_found_and_what_was_not_sent_is_known() {
    let exchange = Exchange { omitted: vec!["tools".into(), "top_k".into()], ..answer("Hi", vec![(0, done())]) };
    let (_folder, mut tape) = recorded(&[Line::Model(exchange)]);
    let shelf = Shelf::default();
    let reply = shelf.start(&tape, "c", &question("Hi")).await.unwrap();
    assert_eq!((reply.found(), reply.omitted()), (Match::Exact, &["tools".to_owned(), "top_k".to_owned()][..]));
    assert_eq!(shelf.start(&tape, "c", &question("hi")).await.unwrap().found(), Match::Nearest);
    tape.reach = Match::Exact;
    let miss = shelf.start(&tape, "c", &question("hi")).await.err().unwrap();
    assert!(miss.to_string().starts_with("The cassette tour.jsonl has no answer for \"hi\""), "{miss}");
}

#[tokio::test]
async fn a_tool_answers_as_it_was_recorded_and_else_not_unless_it_may_run() {
    let exchange = ToolExchange {
        name: "weather".into(),
        input: json!({ "a": 1 }),
        output: Some(json!(4)),
        ..ToolExchange::default()
    };
    let (_folder, mut tape) = recorded(&[Line::Tool(exchange.clone())]);
    let shelf = Shelf::default();
    assert_eq!(shelf.tool(&tape, "c", "weather", &json!({ "a": 1.0 })).await.unwrap(), Some(exchange));
    let other = shelf.tool(&tape, "c", "weather", &json!({ "a": 2 })).await.unwrap().unwrap();
    assert_eq!(other.error.as_deref(), Some("This tool was not recorded with that input."));
    tape.real_tools = true;
    assert_eq!(shelf.tool(&tape, "c", "weather", &json!({ "a": 2 })).await.unwrap(), None);
}

#[test]
fn so_many_bytes_of_files_are_kept_and_always_the_last() {
    const MAX: usize = SHELF_BYTES_MAX;
    for (bytes, expected) in [
        (&[][..], 0),
        (&[MAX - 1], 0),
        (&[1, MAX - 2], 0),
        (&[1, MAX - 1], 0),
        (&[1, MAX], 1),
        (&[1, 2, MAX - 1], 2),
        (&[1, MAX + 1], 1),
        (&[MAX + 1], 0),
    ] {
        assert_eq!(surplus(bytes), expected, "{bytes:?}");
    }
}

#[test]
fn so_many_conversations_are_counted_and_the_quietest_is_forgotten() {
    let (shelf, path) = (Shelf::default(), Path::new("tour.jsonl"));
    let stamp = Stamp { changed: (0, 0), bytes: 0, inode: 0 };
    let known = || shelf.counted.lock().unwrap().given.len();
    for n in 0..CONVERSATIONS_MAX - 1 {
        shelf.counted(&n.to_string(), path, stamp, |_| ());
    }
    assert_eq!(known(), CONVERSATIONS_MAX - 1);
    for conversation in ["0", "last", "one more", "0"] {
        shelf.counted(conversation, path, stamp, |_| ());
    }
    assert_eq!(known(), CONVERSATIONS_MAX);
    let is_known = |name: &str| shelf.counted.lock().unwrap().given.contains_key(&(name.into(), path.into()));
    assert_eq!(["0", "1", "2", "last", "one more"].map(is_known), [true, false, true, true, true]);
}

#[test]
fn a_speed_is_a_word_or_a_number_within_bounds() {
    for (word, expected) in [
        ("instant", Some(Speed::Instant)),
        ("1", Some(Speed::Times(1.0))),
        ("0.1", Some(Speed::Times(tape::SPEED_MIN))),
        ("0.11", Some(Speed::Times(0.11))),
        ("0.09", None),
        ("999", Some(Speed::Times(999.0))),
        ("1000", Some(Speed::Times(tape::SPEED_MAX))),
        ("1001", None),
        ("0", None),
        ("-1", None),
        ("NaN", None),
        ("inf", None),
        ("fast", None),
        ("", None),
    ] {
        assert_eq!(word.parse::<Speed>().ok(), expected, "{word}");
    }
}
