//! Connections of both eras, over HTTP and over pipes, to a server that misbehaves on request.

use std::{os::unix::net::UnixStream, sync::Arc, thread, time::Duration};

use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use super::{
    conversations::{greeted, next, say},
    events::MCP_LINE_BYTES_MAX,
    fake::{Era, Fake, FakeMcp, Request, tool},
    http::Http,
    lines::Lines,
    list::{MCP_TOOLS_MAX, tools},
    refusal::Refusal,
    wire::{self, Call, Link, Server},
};
use crate::outbound::{Options, Row, ToolClients};

const PATIENCE: Duration = Duration::from_secs(20);
const IMPATIENCE: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Http,
    Pipes,
}

const ALL: [(Era, Way); 4] =
    [(Era::Legacy, Way::Http), (Era::Modern, Way::Http), (Era::Legacy, Way::Pipes), (Era::Modern, Way::Pipes)];

struct Met {
    link: Link,
    fake: Arc<Fake>,
    changed: Arc<Notify>,
    _server: Option<FakeMcp>,
}

async fn at(url: &str, changed: &Arc<Notify>) -> Result<Link, Refusal> {
    let row = Row::Operator { id: "row", url: &url.parse().unwrap() };
    let client = ToolClients::new(&Options::default()).unwrap().of(row);
    Link::by_url(url, Http::new(client, Vec::new()), changed.clone(), PATIENCE).await
}

async fn by_url(server: &FakeMcp, changed: &Arc<Notify>) -> Result<Link, Refusal> {
    at(&server.url(), changed).await
}

async fn by_pipes(fake: &Arc<Fake>, changed: &Arc<Notify>, patience: Duration) -> Result<Link, Refusal> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let fake = fake.clone();
    thread::spawn(move || fake.speak(theirs.try_clone().unwrap(), theirs));
    ours.set_nonblocking(true).unwrap();
    let (stdout, stdin) = tokio::net::UnixStream::from_std(ours).unwrap().into_split();
    Link::begin(Lines::new(stdout, stdin), None, None, changed.clone(), patience).await
}

async fn meet(era: Era, way: Way) -> Met {
    let changed = Arc::new(Notify::new());
    match way {
        Way::Http => {
            let server = FakeMcp::start(era);
            let link = by_url(&server, &changed).await.unwrap();
            Met { link, fake: server.server.clone(), changed, _server: Some(server) }
        }
        Way::Pipes => {
            let fake = Fake::new(era);
            let link = by_pipes(&fake, &changed, PATIENCE).await.unwrap();
            Met { link, fake, changed, _server: None }
        }
    }
}

impl Met {
    async fn call(&self, tool: &str, arguments: Value) -> Result<Value, Refusal> {
        self.call_within(tool, arguments, PATIENCE).await
    }

    async fn call_within(&self, tool: &str, arguments: Value, patience: Duration) -> Result<Value, Refusal> {
        let schema = json!({"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}});
        let schema = if tool == "region" { schema.as_object().unwrap().clone() } else { Map::new() };
        let arguments = arguments.as_object().unwrap().clone();
        self.link.call(Call { tool, schema: &schema, arguments, patience }).await
    }
}

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap()
}

fn headers_of(fake: &Fake, method: &str) -> std::collections::BTreeMap<String, String> {
    let told = fake.told();
    let request = told.requests.iter().rfind(|request| request.message["method"] == method);
    request.unwrap().headers.clone()
}

#[tokio::test]
async fn both_eras_list_and_call_over_both_transports() {
    for (era, way) in ALL {
        let met = meet(era, way).await;
        let told = &met.link.told;
        let modern = era == Era::Modern;
        assert_eq!(told.era, if modern { wire::Era::Modern } else { wire::Era::Legacy });
        assert_eq!(told.version, if modern { "2026-07-28" } else { "2025-11-25" });
        assert_eq!(told.name.as_ref().unwrap().0, "fake");
        let list = met.link.list().await.unwrap();
        assert_eq!((list.tools.len(), list.tools[0]["name"].as_str()), (14, Some("echo")), "{era:?} {way:?}");
        let result = met.call("echo", json!({"a": [1, {"b": "\u{e9}"}]})).await.unwrap();
        assert_eq!(text(&result), "{\"a\":[1,{\"b\":\"\u{e9}\"}]}");
        let asks = met.call("asks", json!({})).await.unwrap();
        assert_eq!(asks["resultType"], "input_required");
        met.link.close().await;
    }
}

#[tokio::test]
async fn the_server_reads_who_asks_and_what() {
    for era in [Era::Legacy, Era::Modern] {
        let met = meet(era, Way::Http).await;
        met.call("region", json!({"region": "eu \u{e9}"})).await.unwrap();
        let headers = headers_of(&met.fake, "tools/call");
        let told = met.fake.told();
        let first = &told.requests[0].message;
        if era == Era::Modern {
            assert_eq!(headers["mcp-protocol-version"], "2026-07-28");
            assert_eq!((&*headers["mcp-method"], &*headers["mcp-name"]), ("tools/call", "region"));
            assert_eq!(headers["mcp-param-region"], "=?base64?ZXUgw6k=?=");
            assert_eq!(first["params"]["_meta"]["io.modelcontextprotocol/clientInfo"]["name"], "alm");
        } else {
            assert_eq!((&*headers["mcp-protocol-version"], &*headers["mcp-session-id"]), ("2025-11-25", "session-1"));
            let initialize = told.requests.iter().find(|request| request.message["method"] == "initialize").unwrap();
            assert_eq!(initialize.message["params"]["clientInfo"]["name"], "alm");
            assert_eq!(initialize.message["params"]["capabilities"], json!({}));
        }
    }
}

#[tokio::test]
async fn what_a_server_says_too_much_or_wrong_changes_no_answer() {
    for (era, way) in ALL {
        let met = meet(era, way).await;
        for name in ["twice", "wrong_id"] {
            assert_eq!(text(&met.call(name, json!({})).await.unwrap()), "done", "{era:?} {way:?} {name}");
        }
        assert_eq!(met.call("error", json!({})).await.unwrap_err(), Refusal::Said("it broke inside".into()));
        assert_eq!(text(&met.call("echo", json!({})).await.unwrap()), "{}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_may_have_done_something() {
    for (era, way) in ALL {
        for name in ["dies", "half"] {
            let met = meet(era, way).await;
            assert_eq!(met.call(name, json!({})).await.unwrap_err(), Refusal::Cut, "{era:?} {way:?} {name}");
            assert_eq!(met.fake.calls(name), 1, "and is not repeated");
            if way == Way::Http {
                assert_eq!(text(&met.call("echo", json!({})).await.unwrap()), "{}", "the next one is fine");
            }
        }
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for() {
    for (era, way) in ALL {
        let met = meet(era, way).await;
        let answered = met.call_within("silent", json!({}), IMPATIENCE).await;
        assert_eq!(answered.unwrap_err(), Refusal::Silent(IMPATIENCE), "{era:?} {way:?}");
        let fake = met.fake.clone();
        let heard = move || fake.wait(|told| told.cancelled > 0);
        assert!(tokio::task::spawn_blocking(heard).await.unwrap(), "{era:?} {way:?}: it hears that nobody waits");
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_is_told_to_the_server() {
    for (era, way) in ALL {
        let met = meet(era, way).await;
        let fake = met.fake.clone();
        let called = tokio::task::spawn_blocking(move || fake.wait(|told| told.calls.contains_key("silent")));
        tokio::select! {
            answered = met.call("silent", json!({})) => panic!("{answered:?}"),
            called = called => assert!(called.unwrap()),
        }
        let fake = met.fake.clone();
        let heard = tokio::task::spawn_blocking(move || fake.wait(|told| told.cancelled > 0));
        assert!(heard.await.unwrap(), "{era:?} {way:?}");
    }
}

#[tokio::test]
async fn progress_renews_the_time_out() {
    for (era, way) in ALL {
        let met = meet(era, way).await;
        // Notices each 20 ms, and more of them than fit into one time-out.
        let patience = Duration::from_millis(500);
        let done = met.call_within("progress", json!({"times": 50}), patience).await;
        assert_eq!(text(&done.unwrap()), "done", "{era:?} {way:?}");
    }
}

#[tokio::test]
async fn an_answer_may_be_so_large_and_no_larger() {
    for era in [Era::Legacy, Era::Modern] {
        for as_json in [false, true] {
            let met = meet(era, Way::Http).await;
            met.fake.told().mood.as_json = as_json;
            let result = json!({"content": [{"type": "text", "text": ""}]});
            let around = json!({"jsonrpc": "2.0", "id": 2, "result": result}).to_string().len();
            let room = MCP_LINE_BYTES_MAX - around - if as_json { 0 } else { "data: event: message".len() };
            for (bytes, fits) in [(room - 1, true), (room, true), (room + 1, false), (5 << 20, false)] {
                let answered = met.call("large", json!({ "bytes": bytes })).await;
                match fits {
                    true => assert_eq!(text(&answered.unwrap()).len(), bytes, "{era:?} {as_json}"),
                    false => assert_eq!(answered.unwrap_err(), Refusal::TooLong(MCP_LINE_BYTES_MAX as u64)),
                }
            }
            assert_eq!(text(&met.call("echo", json!({})).await.unwrap()), "{}");
        }
    }
}

#[tokio::test]
async fn a_lost_session_is_renewed_and_the_call_is_made_once() {
    for status in [404, 400] {
        let met = meet(Era::Legacy, Way::Http).await;
        met.fake.told().mood.loses = Some(status);
        assert_eq!(text(&met.call("echo", json!({"n": 1})).await.unwrap()), "{\"n\":1}", "{status}");
        assert_eq!(met.fake.calls("echo"), 1);
        assert_eq!(headers_of(&met.fake, "tools/call")["mcp-session-id"], "session-2");
    }
}

#[tokio::test]
async fn a_server_that_refuses_the_credentials_says_so() {
    for era in [Era::Legacy, Era::Modern] {
        for status in [401, 403] {
            let server = FakeMcp::start(era);
            server.server.told().mood.refuses = Some(status);
            let refused = by_url(&server, &Arc::new(Notify::new())).await.err().unwrap();
            assert_eq!(refused, Refusal::Credentials(status));
            server.server.told().mood.refuses = None;
            let link = by_url(&server, &Arc::new(Notify::new())).await.unwrap();
            server.server.told().mood.refuses = Some(status);
            assert_eq!(link.list().await.unwrap_err(), Refusal::Credentials(status));
        }
    }
}

#[tokio::test]
async fn what_is_no_server_of_the_protocol_is_told_apart() {
    let server = FakeMcp::start(Era::Modern);
    for (status, said) in [(404, "HTTP 404: "), (500, "HTTP 500: "), (302, "HTTP 302: ")] {
        server.server.told().mood.refuses = Some(status);
        let refused = by_url(&server, &Arc::new(Notify::new())).await.err().unwrap();
        assert_eq!(refused, Refusal::Said(said.into()));
    }
}

#[tokio::test]
async fn a_stream_of_notices_that_fails_harms_nothing() {
    for status in [405, 404, 500, 400] {
        let server = FakeMcp::start(Era::Legacy);
        server.server.told().mood.notices = Some(status);
        let link = by_url(&server, &Arc::new(Notify::new())).await.unwrap();
        let fake = server.server.clone();
        let tried = move || fake.wait(|told| told.requests.iter().any(|request| request.method == "GET"));
        assert!(tokio::task::spawn_blocking(tried).await.unwrap());
        assert_eq!(link.list().await.unwrap().tools.len(), 14, "{status}");
        assert!(!link.is_closed());
    }
}

#[tokio::test]
async fn a_changed_list_is_told() {
    // On the stream of notices, or to who has subscribed.
    for era in [Era::Legacy, Era::Modern] {
        let met = meet(era, Way::Http).await;
        let fake = met.fake.clone();
        let asks = move |request: &Request| match era {
            Era::Legacy => request.method == "GET",
            Era::Modern => request.message["method"] == "subscriptions/listen",
        };
        let listens = move || fake.wait(|told| told.requests.iter().any(asks));
        assert!(tokio::task::spawn_blocking(listens).await.unwrap(), "{era:?}");
        met.fake.relist(vec![tool("new")]);
        tokio::time::timeout(PATIENCE, met.changed.notified()).await.unwrap();
        assert_eq!(met.link.list().await.unwrap().tools, [tool("new")]);
        let asked = met.fake.told().requests.iter().find(|request| asks(request)).cloned().unwrap();
        if era == Era::Modern {
            assert_eq!(asked.message["params"]["notifications"], json!({ "toolsListChanged": true }));
        }
    }
}

#[tokio::test]
async fn a_bad_tool_does_not_spoil_the_list() {
    for (era, way) in ALL {
        let met = meet(era, way).await;
        let bad = json!({"name": "bad", "inputSchema": "no schema"});
        met.fake.relist(vec![tool("a"), bad, json!({"inputSchema": {}}), json!(7), tool("z")]);
        let listed = tools(met.link.list().await.unwrap().tools);
        let fine: Vec<_> = listed.iter().filter(|tool| tool.fault.is_none()).map(|tool| &*tool.remote_name).collect();
        assert_eq!((fine, listed.len()), (vec!["a", "z"], 5), "{era:?} {way:?}");
    }
}

#[tokio::test]
async fn a_long_list_comes_in_pages_and_not_in_endless_ones() {
    let names = |count: usize| (0..count).map(|at| tool(&format!("t{at}"))).collect::<Vec<_>>();
    for (era, way) in ALL {
        let met = meet(era, way).await;
        met.fake.relist(names(300));
        let list = met.link.list().await.unwrap();
        assert_eq!((list.tools.len(), list.note), (300, None));
        let aside = tools(list.tools).iter().filter(|tool| tool.fault.is_some()).count();
        assert_eq!(aside, 300 - MCP_TOOLS_MAX);
    }
    let met = meet(Era::Modern, Way::Pipes).await;
    for (pages, note) in [(wire::PAGES_MAX - 1, false), (wire::PAGES_MAX, false), (wire::PAGES_MAX + 1, true)] {
        met.fake.relist(names(pages * 100));
        let list = met.link.list().await.unwrap();
        assert_eq!((list.tools.len(), list.note.is_some()), (pages.min(wire::PAGES_MAX) * 100, note));
    }
    met.fake.told().mood.of_list = json!({"nextCursor": "0"});
    assert!(met.link.list().await.unwrap().note.unwrap().contains("again and again"));
}

#[tokio::test]
async fn a_start_ends_in_its_time_out() {
    let fake = Fake::new(Era::Modern);
    fake.told().mood.is_silent = true;
    let refused = by_pipes(&fake, &Arc::new(Notify::new()), IMPATIENCE).await.err().unwrap();
    assert_eq!(refused, Refusal::Silent(IMPATIENCE));
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let server = FakeMcp::start(Era::Modern);
    let link = by_url(&server, &Arc::new(Notify::new())).await.unwrap();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = at(&format!("http://{gone}/mcp"), &Arc::default()).await.err().unwrap();
    assert!(matches!(refused, Refusal::NotSent(_)), "{refused:?}");
    drop(link);
}

#[tokio::test(start_paused = true)]
async fn progress_renews_no_call_for_ever() {
    for (notices, fits) in [(wire::TOOL_TIME_MAX.as_secs() - 1, true), (wire::TOOL_TIME_MAX.as_secs() + 1, false)] {
        let link = greeted(move |call, mut peer| async move {
            let token = &call["params"]["_meta"]["progressToken"];
            let notice = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": 1}});
            for _ in 0..notices {
                say(&mut peer, &notice).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            say(&mut peer, &json!({"jsonrpc": "2.0", "id": call["id"], "result": {}})).await;
            next(&mut peer).await;
        });
        let link = link.await;
        let (schema, arguments) = (Map::new(), Map::new());
        let call = Call { tool: "t", schema: &schema, arguments, patience: Duration::from_secs(10) };
        let answered = link.call(call).await;
        assert_eq!(answered.is_ok(), fits, "{answered:?}");
    }
}
