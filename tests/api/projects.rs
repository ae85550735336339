//! Projects.

use alm::{
    id,
    store::{Tenant, projects::Project},
    time::Timestamp,
};
use serde_json::{Value, json};

use crate::harness::{App, column, wait};

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
    let acme = app.org("acme");
    let tenant = app.tenant("acme");
    // Someone else of the organization: there is no door for members yet, so the store makes theirs.
    let other = Tenant { user_id: another_member(&app), ..tenant };
    let org = app.store().org(&other);
    let private = Project {
        id: id::generate(),
        user_id: other.user_id.clone(),
        slug: "secret".into(),
        name: "Secret".into(),
        emoji: None,
        is_private: true,
        created_at: Timestamp::now(),
        updated_at: Timestamp::now(),
        description: String::new(),
        prompt: String::new(),
    };
    wait(org.create_project(private.clone())).unwrap();
    org.project("secret").unwrap();
    for path in ["/projects/secret", &format!("/projects/{}", private.id)] {
        acme.get(path).fails(404, "NOT_FOUND");
        acme.patch(path, json!({ "name": "Mine" })).fails(404, "NOT_FOUND");
        acme.delete(path).fails(404, "NOT_FOUND");
    }
    acme.post("/sessions", json!({ "projectId": "secret" })).fails(404, "NOT_FOUND");
    assert!(column(&acme.get("/projects").ok(200), "id").is_empty());
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

fn another_member(app: &App) -> String {
    let user_id = id::generate();
    let insert = "INSERT INTO user (id, email, created_at) VALUES (?1, ?1 || '@acme.example', 0)";
    app.file().execute(insert, [&user_id]).unwrap();
    user_id
}
