//! MCP servers, tried by their owner.

use alm::tools::connect::Place;
use serde_json::json;

use crate::support::{fake_model::nobody, harness::App};

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
