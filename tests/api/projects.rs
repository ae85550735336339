//! Projects.

use serde_json::{Value, json};

use crate::support::{
    fake_model::{Answer, FakeModel},
    harness::{App, column, user},
};

#[test]
fn a_project_is_made_read_changed_and_gone() {
    let app = App::shared();
    let acme = app.org("acme");
    let made = acme.post("/projects", json!({ "name": "Hand  book", "emoji": "📘" })).ok(201);
    assert_eq!((&made["name"], &made["slug"]), (&json!("Hand book"), &json!("hand-book")));
    assert_eq!((&made["visibility"], &made["description"]), (&json!("team"), &json!("")));
    assert_eq!(acme.get("/projects/hand-book").ok(200), made);
    let changed = acme.patch("/projects/hand-book", json!({ "emoji": null, "visibility": "private" })).ok(200);
    assert_eq!((&changed["emoji"], &changed["visibility"]), (&Value::Null, &json!("private")));
    acme.post("/projects", json!({ "name": "hand book" })).fails(409, "CONFLICT");
    acme.delete("/projects/hand-book").ok(200);
    acme.get("/projects/hand-book").fails(404, "NOT_FOUND");
    assert!(column(&acme.get("/projects").ok(200), "id").is_empty());
}

#[test]
fn a_private_project_is_its_creators_alone() {
    let app = App::shared();
    let (owner, member) = (app.org("acme"), app.member("acme"));
    let private = member.post("/projects", json!({ "name": "Secret", "visibility": "private" })).ok(201);
    member.get("/projects/secret").ok(200);
    for path in ["/projects/secret", &format!("/projects/{}", private["id"].as_str().unwrap())] {
        owner.get(path).fails(404, "NOT_FOUND");
        owner.patch(path, json!({ "name": "Mine" })).fails(404, "NOT_FOUND");
        owner.delete(path).fails(404, "NOT_FOUND");
    }
    owner.post("/sessions", json!({ "projectId": "secret" })).fails(404, "NOT_FOUND");
    owner.post("/chat", json!({ "projectId": "secret", "messages": [user("Hi")] })).fails(404, "NOT_FOUND");
    assert!(column(&owner.get("/projects").ok(200), "id").is_empty());
}

#[test]
fn what_is_said_in_a_private_project_is_its_creators_alone() {
    let search = Answer::call("t1", "search_history", r#"{"query":"heliotrope"}"#);
    let (app, model) = (App::shared(), FakeModel::start([Answer::text("heliotrope"), search, Answer::text("done")]));
    let (owner, member) = (app.org_asking("acme", &model), app.member("acme"));
    member.post("/projects", json!({ "name": "Secret", "visibility": "private" })).ok(201);
    member.chat(json!({ "id": "c", "projectId": "secret", "messages": [user("A secret flower?")] }));
    assert_eq!(member.history("c").len(), 2);
    for path in ["/sessions/c", "/sessions/c/messages", "/sessions/c/messages?countOnly=true"] {
        owner.get(path).fails(404, "NOT_FOUND");
    }
    owner.patch("/sessions/c", json!({ "label": "Mine" })).fails(404, "NOT_FOUND");
    owner.delete("/sessions/c").fails(404, "NOT_FOUND");
    owner.post("/sessions/c/messages", user("Me too")).fails(404, "NOT_FOUND");
    owner.post("/chat", json!({ "sessionId": "c", "messages": [user("Me too")] })).fails(404, "NOT_FOUND");
    for path in ["/sessions", "/sessions?q=heliotrope", "/agents/ala/sessions"] {
        assert!(column(&owner.get(path).ok(200), "id").is_empty(), "{path}");
        assert_eq!(column(&member.get(path).ok(200), "id"), ["c"], "{path}");
    }
    let asked = owner.chat(json!({ "messages": [user("What did we say?")] }));
    assert_eq!(asked.one("tool-output-available")["output"]["hits"], json!([]));
}

#[test]
fn every_field_out_of_range_is_named() {
    let app = App::shared();
    let body = json!({
        "name": "x".repeat(256), "slug": "-", "description": "x".repeat(5_001), "prompt": "x".repeat(12_001),
        "emoji": "x".repeat(17),
    });
    let fields = app.org("acme").post("/projects", body).invalid();
    assert_eq!(fields, ["name", "description", "prompt", "emoji", "slug"]);
}
