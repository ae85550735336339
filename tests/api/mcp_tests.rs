//! MCP servers, tried by their owner.

use alm::tools::connect::Place;
use serde_json::json;

use crate::support::{
    counting::{Counting, Says},
    fake_model::nobody,
    harness::App,
};

#[test]
fn a_server_that_does_not_answer_says_so_in_its_test_and_after_it() {
    let app = App::shared();
    let owner = app.browser("acme");
    app.mcp_server("acme", "away", Place::Url(nobody()));
    let tested = owner.post("/mcp/servers/away/test", json!({})).ok(200);
    let stages = tested["stages"].as_array().unwrap();
    assert_eq!((&tested["ok"], &stages.last().unwrap()["ok"]), (&json!(false), &json!(false)), "{tested}");
    assert!(stages.last().unwrap()["error"].is_string() && tested["tools"] == json!([]), "{tested}");
    for what in ["refresh", "restart"] {
        let server = owner.post(&format!("/mcp/servers/away/{what}"), json!({})).ok(200);
        assert!(server["lastError"].is_string(), "{what}: {server}");
        app.org("acme").post(&format!("/mcp/servers/away/{what}"), json!({})).fails(403, "FORBIDDEN");
    }
    owner.post("/mcp/servers/gone/test", json!({})).fails(404, "NOT_FOUND");
    assert_eq!(owner.get("/mcp/servers/away").ok(200)["log"], "");
}

#[test]
fn a_server_of_the_transport_before_is_told_what_to_do_instead() {
    let app = App::shared();
    let old = Counting::start(|_, came| match &*came.method {
        "HEAD" => Says::Cut,
        "GET" => Says::Response(200, "text/event-stream", "event: endpoint\ndata: /messages?session=1\n\n".into()),
        _ => Says::Response(405, "text/plain", "Method Not Allowed".into()),
    });
    app.mcp_server("acme", "old", Place::Url(old.url("/sse")));
    let tested = app.browser("acme").post("/mcp/servers/old/test", json!({})).ok(200);
    let error = tested["stages"].as_array().unwrap().last().unwrap()["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("old speaks HTTP+SSE") && error.contains("mcp-remote"), "{error}");
}
