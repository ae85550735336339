//! Tools, declared and switched by their owner at a browser.

use alm::tools::connect::Place;
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    harness::{App, column},
    tools::new_tool,
};

const URL: &str = "https://api.example.com/v1/tickets";

/// Someone of acme whose password was given long ago.
fn stale(app: &App) -> Client {
    let browser = app.browser("acme");
    app.file()
        .execute("UPDATE sign_in SET stepped_up_at = 0 WHERE user_id = ?1", [app.tenant("acme").user_id])
        .unwrap();
    browser
}

#[test]
fn an_http_tool_is_declared_read_changed_and_deleted() {
    let app = App::shared();
    let (owner, key) = (app.browser("acme"), app.org("acme"));
    let made = owner.post("/tools", new_tool("create_ticket", URL)).ok(201);
    for (field, value) in [
        ("origin", json!("http")),
        ("approval", json!("ask")),
        ("isOn", json!(true)),
        ("state", json!("ready")),
        ("changed", json!(false)),
        ("addedBy", json!("api")),
        ("body", json!("json")),
        ("timeoutMs", json!(30_000)),
        ("responseBytesMax", json!(262_144)),
        ("pricePerCall", json!(null)),
        ("secretHeaders", json!([])),
    ] {
        assert_eq!(made[field], value, "{field}");
    }
    assert_eq!(key.get("/tools/create_ticket").ok(200), made);
    let change = json!({ "approval": "owner", "pricePerCall": "0.05", "isActive": false, "idempotent": true });
    let changed = owner.patch("/tools/create_ticket", change).ok(200);
    assert_eq!(
        (&changed["approval"], &changed["pricePerCall"], &changed["state"], &changed["idempotent"]),
        (&json!("owner"), &json!("0.05"), &json!("off"), &json!(true))
    );
    assert_eq!(changed["fingerprint"], made["fingerprint"], "its definition is the same");
    let moved = owner.patch("/tools/create_ticket", json!({ "url": format!("{URL}/new"), "isOn": true })).ok(200);
    assert_ne!(moved["fingerprint"], made["fingerprint"], "what was allowed was not this");
    assert_eq!(moved["state"], "ready");
    owner.delete("/tools/create_ticket").ok(200);
    key.get("/tools/create_ticket").fails(404, "NOT_FOUND");
    owner.post("/tools", new_tool("create_ticket", URL)).ok(201);
    owner.post("/tools", new_tool("create_ticket", URL)).fails(409, "CONFLICT");
}

#[test]
fn what_a_tool_cannot_be_is_said_by_its_field() {
    let app = App::shared();
    let owner = app.browser("acme");
    let with = |field: &str, value: Value| {
        let mut body = new_tool("ticket", URL);
        body[field] = value;
        owner.post("/tools", body)
    };
    for (field, value, wrong) in [
        ("name", json!("a__b"), "name"),
        ("name", json!("current_time"), "name"),
        ("description", json!(""), "description"),
        ("inputSchema", json!({ "type": "array" }), "inputSchema"),
        ("inputSchema", json!({ "properties": { "a": { "$ref": "file:///etc/passwd" } } }), "inputSchema"),
        ("method", json!("TRACE"), "method"),
        ("url", json!("http://{host}/"), "url"),
        ("url", json!("http://h:{port}/"), "url"),
        ("url", json!("http://u:p@h/"), "url"),
        ("url", json!("file:///etc/passwd"), "url"),
        ("headers", json!({ "Host": "h" }), "headers.host"),
        ("headers", json!({ "cookie": "a=b" }), "headers.cookie"),
        ("headers", json!({ "x": "{secret}" }), "headers.x"),
        ("secretHeaders", json!({ "x": { "value": "a\nb" } }), "secretHeaders.x"),
        ("secretHeaders", json!({ "x": { "env": "AWS_SECRET_ACCESS_KEY" } }), "secretHeaders.x.env"),
        ("secretHeaders", json!({ "x": { "env": "ALM_TOOL_SECRET_A-B" } }), "x"),
        ("secretHeaders", json!({ "x": {} }), "secretHeaders.x"),
        ("secretHeaders", json!({ "x": { "value": "a", "env": "ALM_TOOL_SECRET_X" } }), "secretHeaders.x"),
        ("timeoutMs", json!(99), "timeoutMs"),
        ("responseBytesMax", json!(4_194_305), "responseBytesMax"),
        ("pricePerCall", json!("-1"), "pricePerCall"),
        ("pricePerCall", json!("1e3"), "pricePerCall"),
    ] {
        assert_eq!(with(field, value.clone()).invalid(), [wrong], "{field}: {value}");
    }
    with("method", Value::Null).fails(400, "BAD_REQUEST");
    let mut many = new_tool("A", "ftp://h");
    many["timeoutMs"] = json!(0);
    assert_eq!(owner.post("/tools", many).invalid(), ["url"], "a tool without an address is none");
    assert_eq!(column(&owner.get("/tools?origin=http").ok(200), "name"), [""; 0]);
}

#[test]
fn secrets_are_read_back_as_names_and_do_not_follow_a_tool_to_another_host() {
    let app = App::shared();
    let owner = app.browser("acme");
    let mut body = new_tool("ticket", URL);
    body["secretHeaders"] =
        json!({ "Authorization": { "value": "Bearer very-secret" }, "x-team": { "env": "ALM_TOOL_SECRET_T" } });
    let made = owner.post("/tools", body);
    assert_eq!(made.ok(201)["secretHeaders"], json!(["authorization", "x-team"]));
    assert!(!made.text.contains("very-secret") && !made.text.contains("ALM_TOOL_SECRET_T"));
    let to = |url: &str, more: Value| {
        let mut change = json!({ "url": url });
        change.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        owner.patch("/tools/ticket", change)
    };
    for elsewhere in ["https://evil.example/", "http://api.example.com/v1/tickets", "https://api.example.com:8443/"] {
        assert_eq!(to(elsewhere, json!({})).invalid(), ["secretHeaders"]);
    }
    assert_eq!(owner.get("/tools/ticket").ok(200)["url"], URL);
    let kept = to("https://api.example.com/v2", json!({})).ok(200);
    assert_eq!(kept["secretHeaders"], json!(["authorization", "x-team"]));
    let moved = to("https://other.example/", json!({ "secretHeaders": { "authorization": { "value": "y" } } })).ok(200);
    assert_eq!(moved["secretHeaders"], json!(["authorization"]));
    let dropped = to("https://third.example/", json!({ "secretHeaders": {} })).ok(200);
    assert_eq!(dropped["secretHeaders"], json!([]));
}

#[test]
fn only_an_owner_who_gave_the_password_lately_changes_tools() {
    let app = App::shared();
    let writes = |who: &Client| {
        [
            who.post("/tools", new_tool("t", URL)),
            who.patch("/tools/t", json!({})),
            who.delete("/tools/t"),
            who.post("/mcp/servers", json!({ "slug": "s", "url": URL })),
            who.patch("/mcp/servers/s", json!({})),
            who.delete("/mcp/servers/s"),
        ]
    };
    for refused in writes(&app.org("acme")) {
        refused.fails(403, "FORBIDDEN");
    }
    for refused in writes(&stale(&app)) {
        assert_eq!(refused.fails(403, "FORBIDDEN")["details"]["stepUp"], json!(true));
    }
    assert_eq!(app.org("acme").get("/tools?origin=http").ok(200)["items"], json!([]));
}

#[test]
fn a_list_of_tools_is_read_page_by_page_in_the_order_of_a_request() {
    let app = App::shared();
    let owner = app.browser("acme");
    for name in ["b", "a"] {
        owner.post("/tools", new_tool(name, URL)).ok(201);
    }
    let at = |url: &str| Place::Url(url.into());
    // `-` stands before `_`, so the second of these servers has the first tools.
    for slug in ["git", "git-hub"] {
        let server = app.mcp_server("acme", slug, at("https://mcp.example.com/"));
        for tool in ["search", "Read"] {
            app.mcp_tool(&server, tool, "Finds.");
        }
    }
    let expected = [
        "ask_agent",
        "current_time",
        "search_history",
        "a",
        "b",
        "git-hub__Read",
        "git-hub__search",
        "git__Read",
        "git__search",
    ];
    assert_eq!(column(&owner.get("/tools").ok(200), "name"), expected);
    for limit in 1..=expected.len() {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = owner.get(&format!("/tools?limit={limit}{cursor}")).ok(200);
            all.extend(column(&page, "name"));
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(all, expected, "{limit}");
    }
    assert_eq!(column(&owner.get("/tools?origin=mcp&limit=1").ok(200), "name"), ["git-hub__Read"]);
    assert_eq!(owner.get("/tools?cursor=x").invalid(), ["cursor"]);
    let chat = app.key("acme", alm::key::Env::Live, &[alm::key::Scope::Chat]);
    assert_eq!(column(&chat.get("/tools").ok(200), "name"), expected);
}

#[test]
fn an_agent_has_the_tools_it_names_and_keeps_names_of_what_is_not_there() {
    let app = App::shared();
    let (owner, key) = (app.browser("acme"), app.org("acme"));
    owner.post("/tools", new_tool("ticket", URL)).ok(201);
    let server = app.mcp_server("acme", "github", Place::Url("https://mcp.example.com/".into()));
    app.mcp_tool(&server, "search", "Finds.");
    let agent = |slug: &str, tools: Value| {
        key.post("/agents", json!({ "name": slug, "slug": slug, "allowedTools": tools })).ok(201);
        let listed = key.get(&format!("/tools?agentId={slug}")).ok(200);
        let states = column(&listed, "state").into_iter();
        column(&listed, "name")
            .into_iter()
            .zip(states)
            .map(|(name, state)| format!("{name} {state}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(agent("all", Value::Null).len(), 4);
    assert_eq!(agent("none", json!([])), [""; 0]);
    assert_eq!(
        agent("named", json!(["ticket", "github__*", "gone", "gitlab__*", "github__gone"])),
        ["ticket ready", "github__search ready", "github__gone missing", "gitlab__* missing", "gone missing",]
    );
    let kept = key.get("/agents/named").ok(200);
    assert_eq!(kept["allowedTools"], json!(["ticket", "github__*", "gone", "gitlab__*", "github__gone"]));
    key.get("/tools?agentId=nobody").fails(404, "NOT_FOUND");
}

#[test]
fn a_tool_of_a_server_is_switched_and_accepted_and_stays_what_its_server_says() {
    let app = App::shared();
    let owner = app.browser("acme");
    let server = app.mcp_server("acme", "github", Place::Url("https://mcp.example.com/".into()));
    let path = format!("/tools/{}", app.mcp_tool(&server, "search", "Finds."));
    let first = owner.get(&path).ok(200);
    assert_eq!(
        (&first["server"], &first["approval"], &first["changed"]),
        (&json!("github"), &json!("ask"), &json!(false))
    );
    let set = owner.patch(&path, json!({ "approval": "never", "pricePerCall": "0.01", "idempotent": true })).ok(200);
    assert_eq!((&set["approval"], &set["pricePerCall"]), (&json!("never"), &json!("0.01")));
    app.mcp_tool_changes(&server, "search", "Finds, and sends what it finds to somebody else.");
    let changed = owner.get(&path).ok(200);
    assert_eq!(
        (&changed["changed"], &changed["approval"]),
        (&json!(true), &json!("ask")),
        "it asks until it is accepted"
    );
    assert_eq!(changed["accepted"]["description"], "Finds.");
    owner.patch(&path, json!({ "accept": first["fingerprint"] })).fails(409, "CONFLICT");
    let accepted = owner.patch(&path, json!({ "accept": changed["fingerprint"] })).ok(200);
    assert_eq!((&accepted["changed"], &accepted["approval"]), (&json!(false), &json!("never")));
    assert_eq!(accepted["accepted"], json!(null));
    assert_eq!(owner.patch(&path, json!({ "approval": null })).ok(200)["approval"], "ask", "its server's");
    assert_eq!(owner.patch(&path, json!({ "isOn": false })).ok(200)["state"], "off");
    for (field, value) in [("description", json!("x")), ("url", json!(URL)), ("secretHeaders", json!({}))] {
        assert_eq!(owner.patch(&path, json!({ field: value })).invalid(), [field]);
    }
    owner.delete(&path).fails(404, "NOT_FOUND");
    owner.post("/tools", new_tool("ticket", URL)).ok(201);
    assert_eq!(owner.patch("/tools/ticket", json!({ "accept": "x" })).invalid(), ["accept"]);
    assert_eq!(owner.patch("/tools/ticket", json!({ "approval": null })).invalid(), ["approval"]);
}
