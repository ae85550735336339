//! A POST that is sent again is done once.

use serde_json::json;

use crate::harness::{App, column, wait};

#[test]
fn the_same_key_and_body_is_the_first_answer_again() {
    let app = App::shared();
    let acme = app.org("acme").header("idempotency-key", "order-1");
    let body = json!({ "label": "once" });
    let first = acme.post("/sessions", body.clone()).ok(201);
    assert_eq!(acme.post("/sessions", body.clone()).ok(201), first);
    assert_eq!(column(&acme.get("/sessions").ok(200), "id").len(), 1);
    assert_eq!(acme.post("/sessions", json!({ "label": "other" })).invalid(), ["Idempotency-Key"]);
    acme.post("/projects", json!({ "name": "another route" })).ok(201);
    let globex = app.org("globex").header("idempotency-key", "order-1");
    assert_ne!(globex.post("/sessions", body).ok(201)["id"], first["id"]);
}

#[test]
fn what_was_refused_may_be_tried_again_with_the_same_key() {
    let app = App::shared();
    let acme = app.org("acme").header("idempotency-key", "order-1");
    assert_eq!(acme.post("/agents", json!({ "name": "" })).invalid(), ["name"]);
    acme.post("/agents", json!({ "name": "x" })).ok(201);
    let long = app.org("acme").header("idempotency-key", &"x".repeat(256));
    assert_eq!(long.post("/agents", json!({ "name": "y" })).invalid(), ["Idempotency-Key"]);
    app.anonymous().header("idempotency-key", "order-1").post("/agents", json!({})).fails(401, "UNAUTHORIZED");
}

#[test]
fn a_revoked_key_learns_nothing_from_the_memory() {
    let app = App::shared();
    let acme = app.org("acme").header("idempotency-key", "order-1");
    acme.post("/sessions", json!({})).ok(201);
    let id = column(&acme.get("/api-keys").ok(200), "id").remove(0);
    wait(app.store().org(&app.tenant("acme")).revoke_key(id)).unwrap();
    acme.post("/sessions", json!({})).fails(401, "UNAUTHORIZED");
}
