//! Conversations word by word: recorded ones of both eras, and one that never ends.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};

use super::{
    lines::Lines,
    list::tools,
    refusal::Refusal,
    wire::{self, Call, Link, Server},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A peer that greets as one of the modern era and then does that with the next message.
pub(super) async fn greeted<F: Future<Output = ()> + Send + 'static>(
    then: impl FnOnce(Value, BufReader<DuplexStream>) -> F + Send + 'static,
) -> Link {
    let (ours, theirs) = duplex(64 * 1024);
    tokio::spawn(async move {
        let mut theirs = BufReader::new(theirs);
        let mut message = next(&mut theirs).await;
        let discovered = json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "resultType": "complete",
            "ttlMs": 0, "cacheScope": "private"});
        say(&mut theirs, &json!({"jsonrpc": "2.0", "id": message["id"], "result": discovered})).await;
        message = next(&mut theirs).await;
        then(message, theirs).await;
    });
    let (stdout, stdin) = tokio::io::split(ours);
    Link::begin(Lines::new(stdout, stdin), None, None, Arc::default(), PATIENCE).await.unwrap()
}

pub(super) async fn next(peer: &mut BufReader<DuplexStream>) -> Value {
    let mut line = String::new();
    peer.read_line(&mut line).await.unwrap();
    serde_json::from_str(&line).unwrap()
}

pub(super) async fn say(peer: &mut BufReader<DuplexStream>, message: &Value) {
    peer.write_all(format!("{message}\n").as_bytes()).await.unwrap();
}

/// Plays a recorded conversation: what we say must be what was said, and the other side says what it said.
async fn play(recorded: &'static str) -> Link {
    let (ours, theirs) = duplex(64 * 1024);
    tokio::spawn(async move {
        let mut theirs = BufReader::new(theirs);
        for line in recorded.lines() {
            match line.split_once(' ').unwrap() {
                (">", expected) => {
                    let version = env!("CARGO_PKG_VERSION");
                    let expected: Value = serde_json::from_str(&expected.replace("VERSION", version)).unwrap();
                    assert_eq!(next(&mut theirs).await, expected);
                }
                (_, said) => theirs.write_all(format!("{said}\n").as_bytes()).await.unwrap(),
            }
        }
        // Until we hang up.
        let _ = theirs.read_line(&mut String::new()).await;
    });
    let (stdout, stdin) = tokio::io::split(ours);
    Link::begin(Lines::new(stdout, stdin), None, None, Arc::default(), PATIENCE).await.unwrap()
}

#[tokio::test]
async fn recorded_conversations_of_both_eras_go_as_they_went() {
    for (era, recorded) in [
        (wire::Era::Legacy, include_str!("../../../tests/golden/mcp/legacy.txt")),
        (wire::Era::Modern, include_str!("../../../tests/golden/mcp/modern.txt")),
    ] {
        let link = play(recorded).await;
        assert_eq!(link.told.era, era);
        let list = link.list().await.unwrap();
        let aside: Vec<_> = tools(list.tools).into_iter().filter(|tool| tool.fault.is_some()).collect();
        let names: Vec<_> = aside.iter().map(|tool| &*tool.remote_name).collect();
        // It runs as a task alone.
        let expected: &[&str] = if era == wire::Era::Legacy { &["simulate-research-query"] } else { &[] };
        assert_eq!(names, expected);
        let (tool, arguments) = match era {
            wire::Era::Legacy => ("get-sum", json!({"a": 2, "b": 3})),
            wire::Era::Modern => {
                ("convert_time", json!({"source_timezone": "UTC", "time": "12:00", "target_timezone": "UTC"}))
            }
        };
        let (schema, arguments) = (Map::new(), arguments.as_object().unwrap().clone());
        let result = link.call(Call { tool, schema: &schema, arguments, patience: PATIENCE }).await.unwrap();
        let expected = if era == wire::Era::Legacy { "The sum of 2 and 3 is 5." } else { "\"time_difference\"" };
        assert!(result["content"][0]["text"].as_str().unwrap().contains(expected), "{result}");
        let wrong = link.call(Call { tool: "nope", schema: &schema, arguments: Map::new(), patience: PATIENCE }).await;
        match era {
            wire::Era::Legacy => assert_eq!(wrong.unwrap()["isError"], true),
            wire::Era::Modern => assert_eq!(wrong.unwrap_err(), Refusal::Said("Unknown tool: nope".into())),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_starts_slowly_may_answer_the_question_for_its_era_late() {
    let (ours, theirs) = duplex(64 * 1024);
    tokio::spawn(async move {
        let mut theirs = BufReader::new(theirs);
        // The second comes once the first has been waited for.
        let (probe, greeting) = (next(&mut theirs).await, next(&mut theirs).await);
        assert_eq!((&probe["method"], &greeting["method"]), (&json!("server/discover"), &json!("initialize")));
        let unknown = json!({"code": -32601, "message": "Method not found"});
        say(&mut theirs, &json!({"jsonrpc": "2.0", "id": probe["id"], "error": unknown})).await;
        let greeted = json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "slow", "version": "1"}});
        say(&mut theirs, &json!({"jsonrpc": "2.0", "id": greeting["id"], "result": greeted})).await;
        while theirs.read_line(&mut String::new()).await.is_ok_and(|bytes| bytes > 0) {}
    });
    let (stdout, stdin) = tokio::io::split(ours);
    let link = Link::begin(Lines::new(stdout, stdin), None, None, Arc::default(), PATIENCE).await.unwrap();
    assert_eq!(link.told.era, wire::Era::Legacy);
}
