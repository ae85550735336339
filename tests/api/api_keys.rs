//! API keys.

use alm::key::{Env, Scope};
use serde_json::json;

use crate::harness::{App, column, wait};

#[test]
fn a_key_sees_its_persons_live_keys_and_never_a_key() {
    let app = App::shared();
    let acme = app.org("acme");
    app.key("acme", Env::Test, &[Scope::Read]);
    app.org("globex");
    let reply = acme.get("/api-keys");
    let keys = reply.ok(200);
    assert_eq!(column(&keys, "env"), ["test", "live"]);
    assert_eq!(column(&keys, "prefix")[1], acme.key()[..12]);
    assert_eq!(keys["items"][0]["scopes"], json!(["read"]));
    assert!(!reply.text.contains(acme.key()) && !reply.text.contains("hash"));
}

#[test]
fn a_key_never_mints_changes_or_ends_keys() {
    let app = App::shared();
    let acme = app.org("acme");
    acme.post("/api-keys", json!({ "name": "more" })).fails(403, "FORBIDDEN");
    acme.post("/api-keys/x/rotate", json!({})).fails(403, "FORBIDDEN");
    let error = acme.delete("/api-keys/x").fails(403, "FORBIDDEN");
    assert!(error["message"].as_str().unwrap().contains("signed-in browser session"));
}

#[test]
fn a_revoked_key_is_nobody_at_once() {
    let app = App::shared();
    let acme = app.org("acme");
    let id = column(&acme.get("/api-keys").ok(200), "id").remove(0);
    wait(app.store().org(&app.tenant("acme")).revoke_key(id)).unwrap();
    acme.get("/agents").fails(401, "UNAUTHORIZED");
}

#[test]
fn every_form_of_the_key_is_taken_and_no_other() {
    let app = App::shared();
    let key = app.org("acme").key.unwrap();
    let with = |name, value: String| app.anonymous().header(name, &value).get("/agents");
    with("authorization", format!("bearer {key}")).ok(200);
    with("authorization", format!("BEARER {key}")).ok(200);
    with("x-api-key", key.clone()).ok(200);
    for (name, value) in [("authorization", key.clone()), ("authorization", format!("Basic {key}"))] {
        let reply = with(name, value);
        reply.fails(401, "UNAUTHORIZED");
        assert_eq!(reply.headers["www-authenticate"], "Bearer");
    }
    with("x-api-key", format!("{key}0")).fails(401, "UNAUTHORIZED");
    with("x-api-key", key[..key.len() - 1].to_owned()).fails(401, "UNAUTHORIZED");
}

#[test]
fn the_organizations_header_must_match_its_key() {
    let app = App::shared();
    let acme = app.org("acme");
    app.org("globex");
    acme.header("x-alumia-org", &app.slug("acme")).get("/agents").ok(200);
    for other in [&*app.slug("globex"), "nobody", ""] {
        acme.header("x-alumia-org", other).get("/agents").fails(403, "FORBIDDEN");
    }
}

#[test]
fn the_last_use_of_a_key_is_noted() {
    let app = App::shared();
    let acme = app.org("acme");
    acme.get("/agents").ok(200);
    // The note rides with the next commit; a write that waits for its own commit comes after it.
    acme.post("/agents", json!({ "name": "x" })).ok(201);
    assert!(acme.get("/api-keys").ok(200)["items"][0]["lastUsedAt"].is_string());
}
