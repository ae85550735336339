//! Calls of HTTP tools against a server that shows what it was sent.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::{
    model::scripted::Server,
    outbound::{Allowed, Options},
    store::tools::{Body, Policy},
    time::Timestamp,
    tools::secrets::NewSecret,
};

/// A sender that may reach this machine if it is named.
fn sender(allow: &[&str]) -> (Sender, Sealer) {
    let folder = tempfile::tempdir().unwrap();
    let sealer = Sealer::open(&folder.path().join("key")).unwrap();
    let allow: Vec<_> = allow.iter().map(|entry| entry.to_string()).collect();
    let tool_allow = Allowed::parse(&allow, "tool_allow").unwrap();
    let clients = Arc::new(ToolClients::new(&Options { tool_allow, ..Options::default() }).unwrap());
    (Sender::new(clients, sealer.clone()), sealer)
}

fn tool(method: &str, url: String) -> HttpTool {
    let now = Timestamp::now();
    HttpTool {
        id: "t1".into(),
        name: "create_ticket".into(),
        added_by: AddedBy::Api,
        is_active: true,
        approval: Policy::Never,
        is_idempotent: false,
        price: 0,
        method: method.into(),
        url,
        body: Body::Json,
        headers: r#"{"accept":"application/json"}"#.into(),
        secrets: "{}".into(),
        timeout_ms: 30_000,
        response_bytes_max: 1_000,
        created_at: now,
        updated_at: now,
        description: "Opens a ticket.".into(),
        input_schema: "{}".into(),
    }
}

/// Answers with what it was sent, as text.
fn echo() -> Server {
    Server::responding(|_, request| {
        let length = request.len();
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n{request}")
    })
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), test).await.expect("in time") })
}

fn text(ended: Ended) -> String {
    match ended {
        Ended::Done { output: Value::String(text), .. } => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_has_no_place_in_the_url_is_the_body_or_the_query() {
    let input = json!({"project": "a/b", "notify": true, "title": "größer", "tags": ["x", 2]});
    run(async move {
        let (server, (sender, _)) = (echo(), sender(&["127.0.0.1"]));
        let url = format!("http://{}/projects/{{project}}/tickets{{?notify}}", server.address);
        for (method, body, target, sent) in [
            ("POST", Body::Json, "?notify=true", r#"{"title":"größer","tags":["x",2]}"#),
            ("PUT", Body::Form, "?notify=true", "title=gr%C3%B6%C3%9Fer&tags=x&tags=2"),
            ("PATCH", Body::None, "?notify=true", ""),
            ("GET", Body::Json, "?notify=true&title=gr%C3%B6%C3%9Fer&tags=x&tags=2", ""),
            ("DELETE", Body::None, "?notify=true&title=gr%C3%B6%C3%9Fer&tags=x&tags=2", ""),
        ] {
            let tool = HttpTool { body, ..tool(method, url.clone()) };
            let said = text(sender.call(&tool, &input, "call-1").await);
            let first = format!("{method} /projects/a%2Fb/tickets{target} HTTP/1.1\r\n");
            assert!(said.starts_with(&first) && said.ends_with(&format!("\r\n\r\n{sent}")), "{said}");
            assert!(
                said.contains("\r\naccept: application/json\r\n") && said.contains("\r\nuser-agent: alm/"),
                "{said}"
            );
            assert_eq!(said.contains("\r\nidempotency-key: call-1\r\n"), method != "GET", "{said}");
            let kind = match (method, body) {
                ("POST", _) => Some("content-type: application/json\r\n"),
                ("PUT", _) => Some("content-type: application/x-www-form-urlencoded\r\n"),
                _ => None,
            };
            assert_eq!(said.contains("content-type"), kind.is_some_and(|kind| said.contains(kind)), "{said}");
        }
    });
}

#[test]
fn secrets_are_sent_and_come_back_to_nobody() {
    run(async {
        let (server, (sender, sealer)) = (echo(), sender(&["127.0.0.1"]));
        let secret = NewSecret::Text(Secret::new("Bearer wonderful-secret"));
        let kept = Secrets::keep(vec![("authorization".into(), secret)], &sealer, "tool/t1").unwrap();
        let tool = HttpTool { secrets: kept.to_json(), ..tool("POST", format!("http://{}/", server.address)) };
        let tried = sender.try_once(&tool, &json!({}), "call-1").await;
        let sent = tried.sent.unwrap();
        assert_eq!((sent.method.as_str(), tried.status), ("POST", Some(200)));
        assert!(sent.header_names.contains(&"authorization".to_owned()), "{sent:?}");
        let said = text(tried.ended);
        assert!(said.contains("\r\nauthorization: ***\r\n") && !said.contains("wonderful"), "{said}");
        let moved = HttpTool { id: "t2".into(), ..tool };
        let Ended::Failed(sentence) = sender.call(&moved, &json!({}), "call-2").await else {
            panic!("opened elsewhere")
        };
        assert!(sentence.contains("authorization cannot be opened"), "{sentence}");
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn an_input_that_does_not_fit_is_not_sent() {
    run(async {
        let (server, (sender, _)) = (echo(), sender(&["127.0.0.1"]));
        let tool = tool("GET", format!("http://{}/{{project}}", server.address));
        for (input, sentence) in [
            (json!({}), "create_ticket: project: is required in the URL."),
            (json!({"project": ".."}), "create_ticket: project: must not be empty, \".\" or \"..\"."),
            (json!({"project": "a", "x": {}}), "create_ticket: x: must be a string, a number or a boolean here."),
            (json!("a"), "create_ticket: the input must be an object."),
            (json!({"project": "a".repeat(70_000)}), "create_ticket: the URL becomes too long, or none at all."),
        ] {
            let tried = sender.try_once(&tool, &input, "call-1").await;
            assert_eq!((tried.ended, tried.sent), (Ended::Failed(sentence.into()), None));
        }
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn a_model_reads_less_of_a_forbidden_address_than_who_can_allow_it() {
    run(async {
        let (server, (sender, _)) = (echo(), sender(&[]));
        let url = format!("http://{}/", server.address);
        let tried = sender.try_once(&tool("GET", url.clone()), &json!({}), "call-1").await;
        assert_eq!(tried.ended, Ended::Failed("This address is not allowed.".into()));
        let advice = "127.0.0.1 is on a private network. On the machine, add it with \"alm tools add\" or start with \
                      --tool-allow 127.0.0.1.";
        assert_eq!(tried.forbidden.as_deref(), Some(advice));
        let own = HttpTool { added_by: AddedBy::Operator, ..tool("GET", url) };
        text(sender.call(&own, &json!({}), "call-2").await);
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn a_call_that_broke_or_took_too_long_is_unknown_and_was_sent_once() {
    run(async {
        let silent = Server::start(|number, peer| {
            peer.request()?;
            if number == 0 {
                return Ok(());
            }
            peer.wait_for_end();
            Ok(())
        });
        let (sender, _) = sender(&["127.0.0.1"]);
        let tool = HttpTool { timeout_ms: 200, ..tool("POST", format!("http://{}/", silent.address)) };
        let broke = sender.call(&HttpTool { timeout_ms: 30_000, ..tool.clone() }, &json!({}), "call-1").await;
        assert_eq!(broke, Ended::Unknown("The connection broke".into()));
        let late = sender.call(&tool, &json!({}), "call-2").await;
        assert_eq!(late, Ended::Unknown("No answer came within 200 ms".into()));
        assert_eq!(silent.connections(), 2);
    });
}
