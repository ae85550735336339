//! HTTP tools and those that are built in, tried by their owner.

use serde_json::{Value, json};

use crate::support::{
    counting::{Counting, Says},
    harness::App,
    tools::{OPERATOR, declare, new_tool},
};

/// A tool `get` of acme, switched on, that who runs the machine added.
fn of_operator(app: &App, url: &str) {
    let schema = json!({ "type": "object", "properties": { "id": { "type": "integer" } }, "required": ["id"] });
    declare(app, OPERATOR, "GET", url, json!({ "name": "get", "inputSchema": schema }));
}

#[test]
fn a_test_calls_a_tool_once_and_tells_what_was_sent() {
    let (app, service) = (App::shared(), Counting::start(|_, _| Says::json("{\"id\":7}")));
    let owner = app.browser("acme");
    of_operator(&app, &service.url("/items/{id}"));
    let tried = owner.post("/tools/get/test", json!({ "input": { "id": 7 } })).ok(200);
    assert_eq!((&tried["ok"], &tried["output"], &tried["status"]), (&json!(true), &json!({ "id": 7 }), &json!(200)));
    assert_eq!(
        (&tried["request"]["method"], &tried["request"]["url"]),
        (&json!("GET"), &json!(service.url("/items/7")))
    );
    assert!(tried["durationMs"].is_u64() && tried["request"]["headerNames"].is_array(), "{tried}");
    let wrong = owner.post("/tools/get/test", json!({ "input": { "id": "seven" } })).ok(200);
    assert_eq!((&wrong["ok"], &wrong["request"]), (&json!(false), &Value::Null));
    assert!(wrong["error"].as_str().unwrap().contains("id"), "{wrong}");
    assert_eq!(service.came().len(), 1);
    owner.post("/tools/gone/test", json!({ "input": {} })).fails(404, "NOT_FOUND");
    owner.post("/tools/a__gone/test", json!({ "input": {} })).fails(404, "NOT_FOUND");
    app.org("acme").post("/tools/get/test", json!({ "input": { "id": 7 } })).fails(403, "FORBIDDEN");
    let time = owner.post("/tools/current_time/test", json!({ "input": {} })).ok(200);
    assert!(time["ok"] == json!(true) && time["output"]["utc"].is_string(), "{time}");
}

#[test]
fn what_an_owner_declares_does_not_reach_this_machine() {
    let (app, service) = (App::shared(), Counting::start(|_, _| Says::json("{}")));
    let owner = app.browser("acme");
    owner.post("/tools", new_tool("near", &service.url("/"))).ok(201);
    let tried = owner.post("/tools/near/test", json!({ "input": {} })).ok(200);
    assert!(tried["ok"] == json!(false) && tried["error"].as_str().unwrap().contains("alm tools add"), "{tried}");
    // What who runs the machine added moves by an owner's hand, and is no longer vouched for.
    of_operator(&app, &service.url("/items/{id}"));
    owner.patch("/tools/get", json!({ "url": service.url("/other/{id}") })).ok(200);
    assert_eq!(owner.post("/tools/get/test", json!({ "input": { "id": 7 } })).ok(200)["ok"], json!(false));
    assert_eq!(service.came().len(), 0);
}
