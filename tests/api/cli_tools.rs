//! `alm tools`, as an operator types it beside a running server.

use std::fs;

use serde_json::{Value, json};

use crate::support::{
    counting::{Counting, Says},
    harness::{App, column},
};

const SECRET: &str = "Bearer very-secret";

/// What declares a tool.
fn declared(name: &str, method: &str) -> Value {
    json!({
        "name": name, "description": "Opens a ticket.", "inputSchema": { "type": "object" }, "method": method,
        "url": "http://127.0.0.1:9/tickets", "secretHeaders": { "authorization": { "value": SECRET }, "x-team": { "env": "TEAM" } },
    })
}

/// A file of it.
fn file(app: &App, tool: &Value) -> String {
    let path = app.folder().join("tool.json");
    fs::write(&path, tool.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_tool_is_added_listed_set_and_removed_beside_a_running_server() {
    let app = App::start(&["--org", "acme"]);
    let owner = app.org("acme");
    let acme = app.slug("acme");
    let alm = |words: &[&str]| app.alm(&[&["tools"], words, &["--org", &acme]].concat());
    let added = alm(&["add", &file(&app, &declared("create_ticket", "POST")), "--json"]).json();
    assert_eq!(added, json!({ "name": "create_ticket", "url": "http://127.0.0.1:9/tickets", "approval": "ask" }));
    let seen = owner.get("/tools/create_ticket").ok(200);
    assert_eq!((&seen["addedBy"], &seen["approval"], &seen["isOn"]), (&json!("operator"), &json!("ask"), &json!(true)));
    assert_eq!(seen["secretHeaders"], json!(["authorization", "x-team"]));
    alm(&["add", &file(&app, &declared("read_ticket", "GET"))]).ok();

    let listed = alm(&["list", "--json"]).json();
    let names = ["current_time", "search_history", "create_ticket", "read_ticket"];
    assert!(
        names.iter().all(|name| column(&json!({ "items": listed }), "name").iter().any(|known| known == name)),
        "{listed}"
    );
    let told = alm(&["list"]);
    let line = |name: &str| told.ok().lines().find(|line| line.starts_with(name)).map(str::to_owned).unwrap();
    assert!(line("create_ticket").contains("http") && line("create_ticket").contains("ask"), "{told:?}");
    assert!(line("read_ticket").contains("never"), "what only reads asks nobody: {told:?}");
    for ran in [&told, &alm(&["list", "--json"])] {
        assert!(!format!("{ran:?}").contains("very-secret"), "{ran:?}");
    }

    let set = alm(&[
        "set",
        "create_ticket",
        "--approval",
        "owner",
        "--off",
        "--idempotent",
        "yes",
        "--price",
        "0.02",
        "--json",
    ]);
    let set = set.json();
    assert_eq!((&set["approval"], &set["isOn"], &set["state"]), (&json!("owner"), &json!(false), &json!("off")));
    let seen = owner.get("/tools/create_ticket").ok(200);
    let facts = ["approval", "isOn", "idempotent", "pricePerCall"].map(|field| seen[field].clone());
    assert_eq!(facts, [json!("owner"), json!(false), json!(true), json!("0.02")]);
    assert!(alm(&["set", "create_ticket", "--on"]).ok().ends_with("on"));
    alm(&["remove", "create_ticket"]).ok();
    owner.get("/tools/create_ticket").fails(404, "NOT_FOUND");
    assert!(alm(&["remove", "create_ticket"]).fails(1).contains("tool"));
}

#[test]
fn a_tool_that_cannot_be_is_refused_by_what_is_wrong() {
    let app = App::shared();
    app.org("acme");
    let acme = app.slug("acme");
    let alm = |words: &[&str]| app.alm(&[&["tools"], words, &["--org", &acme]].concat());
    let folder = tempfile::tempdir().unwrap();
    let add = |text: &str| {
        let path = folder.path().join("tool.json");
        fs::write(&path, text).unwrap();
        alm(&["add", path.to_str().unwrap()]).fails(1).to_owned()
    };
    let with = |field: &str, value: Value| {
        let mut tool = declared("refused", "POST");
        tool[field] = value;
        add(&tool.to_string())
    };
    for (field, value, word) in [
        ("name", json!("A b"), "name: must be"),
        ("name", json!("current_time"), "choose another"),
        ("method", json!("BREW"), "method: must be"),
        ("url", json!("ftp://x"), "url: must"),
        ("inputSchema", json!({ "type": 1 }), "inputSchema"),
        ("aproval", json!("ask"), "unknown field `aproval`"),
    ] {
        let told = with(field, value);
        assert!(told.contains(word) && !told.contains("very-secret"), "{field}: {told}");
    }
    assert!(add("not JSON").contains("it declares no tool"));
    assert!(alm(&["add", "/nowhere/at/all"]).fails(1).contains("/nowhere/at/all"));
    assert!(alm(&["set", "current_time", "--off"]).fails(1).contains("tool"), "what is built in stays as it is");
    assert!(alm(&["set", "nobody__x", "--accept"]).fails(1).contains("tool"));
    assert!(alm(&["set", "current_time"]).fails(1).contains("say what to set"));
    alm(&["set", "current_time", "--on", "--off"]).fails(2);
    alm(&["set", "current_time", "--approval", "hints"]).fails(2);
    assert!(app.alm(&["tools", "list", "--org", "nobody"]).fails(1).contains("organization"));
}

#[test]
fn a_tool_is_run_once_by_whoever_types_it() {
    let app = App::shared();
    app.org("acme");
    let acme = app.slug("acme");
    let service = Counting::start(|came, _| {
        if came == 0 { Says::json("{\"id\":7}") } else { Says::Response(503, "text/plain", "gone".into()) }
    });
    let mut tool = declared("create_ticket", "POST");
    tool["url"] = service.url("/tickets").into();
    tool["secretHeaders"] = json!({ "authorization": { "value": SECRET } });
    tool["inputSchema"] =
        json!({ "type": "object", "properties": { "title": { "type": "string" } }, "required": ["title"] });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tool.json");
    fs::write(&path, tool.to_string()).unwrap();
    app.alm(&["tools", "add", "--org", &acme, path.to_str().unwrap()]).ok();
    let test = |words: &[&str]| app.alm(&[&["tools", "test", "--org", &acme], words].concat());

    assert!(test(&["create_ticket"]).fails(1).contains("title"), "an input that does not fit is not sent");
    assert!(test(&["create_ticket", "[]"]).fails(1).contains("must be a JSON object"));
    assert!(test(&["nobody"]).fails(1).contains("tool"));
    assert!(test(&["files__read"]).fails(1).contains("alm mcp test"));
    assert_eq!(service.came().len(), 0);

    let ran = test(&["create_ticket", r#"{"title":"tea"}"#, "--json"]);
    let told = ran.json();
    assert_eq!((&told["ok"], &told["status"], &told["output"]), (&json!(true), &json!(200), &json!({ "id": 7 })));
    assert!(
        told["request"]["headerNames"].to_string().contains("authorization")
            && !format!("{ran:?}").contains("very-secret")
    );
    let [came] = &service.came()[..] else { panic!("{:?}", service.came()) };
    assert_eq!((&*came.body, came.header("authorization")), (r#"{"title":"tea"}"#, Some(SECRET)));

    let ran = test(&["create_ticket", r#"{"title":"tea"}"#]);
    assert_eq!((ran.code, ran.stdout.starts_with("HTTP 503, ")), (1, true), "{ran:?}");
    assert!(ran.stderr.contains("gone"), "{ran:?}");
    assert_eq!(service.came().len(), 2, "what failed is not sent again");
}
