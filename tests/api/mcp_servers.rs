//! MCP servers, connected by their owner at a browser.

use alm::tools::connect::{ON_THE_MACHINE, Place};
use serde_json::{Value, json};

use crate::support::harness::{App, column};

const URL: &str = "https://mcp.example.com/mcp";

#[test]
fn a_server_by_url_is_connected_read_changed_and_removed() {
    let app = App::shared();
    let (owner, key) = (app.browser("acme"), app.org("acme"));
    let body =
        json!({ "slug": "github", "url": URL, "bearer": { "value": "very-secret" }, "headers": { "X-Team": "red" } });
    let reply = owner.post("/mcp/servers", body.clone());
    let made = reply.ok(201);
    assert!(!reply.text.contains("very-secret"));
    for (field, value) in [
        ("name", json!("github")),
        ("transport", json!("http")),
        ("addedBy", json!("api")),
        ("approval", json!("ask")),
        ("newTools", json!("off")),
        ("headers", json!({ "x-team": "red" })),
        ("secretHeaders", json!(["authorization"])),
        ("timeoutMs", json!(60_000)),
        ("handshakeMs", json!(15_000)),
        ("toolCount", json!(0)),
        ("era", json!(null)),
        ("pid", json!(null)),
    ] {
        assert_eq!(made[field], value, "{field}");
    }
    owner.post("/mcp/servers", body).fails(409, "CONFLICT");
    assert_eq!(column(&key.get("/mcp/servers").ok(200), "slug"), ["github"]);
    let change = json!({ "name": "GitHub", "approval": "hints", "newTools": "ask", "isActive": false });
    let changed = owner.patch("/mcp/servers/github", change).ok(200);
    assert_eq!(
        (&changed["name"], &changed["approval"], &changed["state"]),
        (&json!("GitHub"), &json!("hints"), &json!("off"))
    );
    assert_eq!(key.get("/mcp/servers/github").ok(200)["secretHeaders"], json!(["authorization"]));
    owner.delete("/mcp/servers/github").ok(200);
    key.get("/mcp/servers/github").fails(404, "NOT_FOUND");
}

#[test]
fn no_request_makes_or_changes_a_command() {
    let app = App::shared();
    let owner = app.browser("acme");
    for (field, value) in
        [("command", json!("npx")), ("args", json!(["-y", "x"])), ("env", json!({ "A": "b" })), ("cwd", json!("/srv"))]
    {
        let mut new = json!({ "slug": "s", "url": URL });
        new[field] = value.clone();
        let refused = owner.post("/mcp/servers", new).fails(403, "FORBIDDEN");
        assert_eq!(refused["message"], ON_THE_MACHINE, "{field}");
    }
    let command = Place::Command { command: "npx".into(), args: vec!["-y".into()], cwd: None };
    app.mcp_server("acme", "files", command);
    let path = "/mcp/servers/files";
    let before = owner.get(path).ok(200);
    assert_eq!((&before["command"], &before["args"], &before["url"]), (&json!("npx"), &json!(["-y"]), &json!(null)));
    for (field, value) in [
        ("command", json!("sh")),
        ("args", json!([])),
        ("env", json!({})),
        ("cwd", json!("/")),
        ("url", json!(URL)),
        ("headers", json!({})),
        ("secretHeaders", json!({ "PATH": { "value": "/srv" } })),
        ("bearer", json!({ "value": "x" })),
    ] {
        owner.patch(path, json!({ field: value })).fails(403, "FORBIDDEN");
    }
    assert_eq!(owner.get(path).ok(200), before);
    let set = json!({ "approval": "never", "isActive": false, "idleStopMinutes": 5, "timeoutMs": 1000 });
    let switched = owner.patch(path, set).ok(200);
    assert_eq!((&switched["state"], &switched["idleStopMinutes"]), (&json!("off"), &json!(5)));
    assert_eq!(owner.patch(path, json!({ "idleStopMinutes": null })).ok(200)["idleStopMinutes"], json!(null));
}

#[test]
fn a_servers_secrets_do_not_follow_it_and_who_moves_it_vouches_for_it() {
    let app = App::shared();
    let owner = app.browser("acme");
    app.mcp_server("acme", "near", Place::Url("http://127.0.0.1:9000/mcp".into()));
    owner.patch("/mcp/servers/near", json!({ "bearer": { "env": "ALM_TOOL_SECRET_NEAR" } })).ok(200);
    assert_eq!(owner.get("/mcp/servers/near").ok(200)["addedBy"], "operator");
    let moved = owner.patch("/mcp/servers/near", json!({ "url": "http://127.0.0.1:9001/mcp" }));
    assert_eq!(moved.invalid(), ["secretHeaders"]);
    let moved = owner.patch("/mcp/servers/near", json!({ "url": "http://127.0.0.1:9000/other" })).ok(200);
    assert_eq!((&moved["addedBy"], &moved["secretHeaders"]), (&json!("api"), &json!(["authorization"])));
}

#[test]
fn what_a_server_cannot_be_is_said_by_its_field() {
    let app = App::shared();
    let owner = app.browser("acme");
    for (field, value, wrong) in [
        ("slug", json!("A"), "slug"),
        ("slug", json!("a_b"), "slug"),
        ("slug", json!("a".repeat(25)), "slug"),
        ("url", Value::Null, "url"),
        ("url", json!("sse://h/"), "url"),
        ("url", json!("https://h/{x}"), "url"),
        ("url", json!("https://u:p@h/"), "url"),
        ("bearer", json!({ "env": "PATH" }), "bearer.env"),
        ("headers", json!({ "content-length": "1" }), "headers.content-length"),
        ("timeoutMs", json!(600_001), "timeoutMs"),
        ("handshakeMs", json!(9_999), "handshakeMs"),
    ] {
        let mut body = json!({ "slug": "s", "url": URL });
        body[field] = value.clone();
        assert_eq!(owner.post("/mcp/servers", body).invalid(), [wrong], "{field}: {value}");
    }
    let twice = json!({ "slug": "s", "url": URL, "bearer": { "value": "a" }, "secretHeaders": { "Authorization": { "value": "b" } } });
    assert_eq!(owner.post("/mcp/servers", twice).invalid(), ["secretHeaders"]);
}
