//! API keys.

use std::time::Duration;

use alm::{
    key::{Env, Scope},
    store::keys::KeysOf,
    time::Timestamp,
};
use serde_json::{Value, json};

use crate::support::{
    browser::PASSWORD,
    client::Client,
    fake_model::{Answer, FakeModel, delta, finish},
    harness::{App, column, until, user, wait},
};

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
    assert!(error["message"].as_str().unwrap().contains("sign in with a browser"));
}

#[test]
fn a_revoked_key_is_nobody_at_once() {
    let app = App::shared();
    let acme = app.org("acme");
    let id = column(&acme.get("/api-keys").ok(200), "id").remove(0);
    wait(app.store().org(&app.tenant("acme")).revoke_key(id, KeysOf::Own)).unwrap();
    acme.get("/agents").fails(401, "UNAUTHORIZED");
}

#[test]
fn a_revoked_key_reads_nothing_more_and_what_it_asked_for_stops() {
    let app = App::start(&[]);
    let word = |text: &str| delta(json!({ "content": text }));
    let model = FakeModel::start(vec![Answer::empty().chunk(word("one ")).silent()]);
    let acme = app.org_asking("acme", &model);
    let mut asked = acme.listen(json!({ "id": "c", "messages": [user("Hi")] }));
    asked.until("text-delta");
    let other = app.key("acme", Env::Live, &Scope::ALL);
    let mut beside = other.listen_in("c");
    beside.until("text-delta");
    let revoke =
        |prefix: &str| wait(app.store().org(&app.tenant("acme")).revoke_key(prefix.into(), KeysOf::Own)).unwrap();
    // Whoever only reads hears no more; the reply goes on.
    revoke(&other.key()[..12]);
    assert_eq!(beside.rest().types().last(), Some(&"abort"));
    assert_eq!(acme.get("/sessions/c").ok(200)["status"], json!("running"));
    revoke(&acme.key()[..12]);
    assert_eq!(asked.rest().types().last(), Some(&"abort"));
    model.wait_hung_up(1);
    let browser = app.browser("acme");
    until("the reply to be stored", || (browser.get("/sessions/c").ok(200)["status"] == json!("idle")).then_some(()));
    assert_eq!(browser.messages("c")[1]["status"], json!("stopped"));
}

#[test]
fn a_key_that_expires_lets_what_runs_end() {
    let app = App::start(&[]);
    let word = |text: &str| delta(json!({ "content": text }));
    let model = FakeModel::start(vec![
        Answer::empty().chunk(word("one ")).wait().chunk(word("two")).chunk(finish("stop")).done(),
    ]);
    let acme = app.org_asking("acme", &model);
    let mut asked = acme.listen(json!({ "id": "c", "messages": [user("Hi")] }));
    asked.until("text-delta");
    let id = column(&acme.get("/api-keys").ok(200), "id").remove(0);
    let rotated = app.browser("acme").post(&format!("/api-keys/{id}/rotate"), json!({ "overlapSeconds": 0 }));
    rotated.ok(201);
    acme.get("/agents").fails(401, "UNAUTHORIZED");
    model.go();
    assert_eq!(asked.rest().text(), "one two");
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
    for other in [&*app.slug("globex"), "nobody"] {
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

#[test]
fn a_person_makes_a_key_and_sees_it_once() {
    let app = App::shared();
    let browser = app.browser("acme");
    let body = json!({ "name": " my  front end ", "env": "test", "scopes": ["chat", "read", "chat"] });
    let made = browser.post("/api-keys", body).ok(201);
    let key = Client::new(app.url(), Some(made["key"].as_str().unwrap().to_owned()));
    key.get("/agents").ok(200);
    key.post("/agents", json!({ "name": "x" })).fails(403, "FORBIDDEN");
    assert_eq!((&made["name"], &made["env"]), (&json!("my front end"), &json!("test")));
    assert_eq!((&made["scopes"], &made["expiresAt"]), (&json!(["read", "chat"]), &json!(null)));
    assert_eq!(made["prefix"], key.key()[..12]);
    let listed = browser.get("/api-keys");
    assert_eq!(column(&listed.ok(200), "id"), [made["id"].as_str().unwrap()]);
    assert!(!listed.text.contains(key.key()));
    for (body, field) in [
        (json!({ "name": " " }), "name"),
        (json!({ "name": "x".repeat(121) }), "name"),
        (json!({ "name": "x", "scopes": [] }), "scopes"),
        (json!({ "name": "x", "expiresAt": "2020-01-01T00:00:00.000Z" }), "expiresAt"),
    ] {
        assert_eq!(browser.post("/api-keys", body).invalid(), [field]);
    }
}

#[test]
fn a_key_is_never_told_twice() {
    let app = App::shared();
    let once = app.browser("acme").header("idempotency-key", "my-key");
    let made = once.post("/api-keys", json!({ "name": "x" })).ok(201);
    let again = once.post("/api-keys", json!({ "name": "x" }));
    again.fails(409, "CONFLICT");
    assert!(!again.text.contains(made["key"].as_str().unwrap()));
    assert_eq!(column(&once.get("/api-keys").ok(200), "id").len(), 1);
}

#[test]
fn a_replaced_key_works_until_the_overlap_is_over() {
    let app = App::shared();
    let browser = app.browser("acme");
    let of = |made: &Value| Client::new(app.url(), Some(made["key"].as_str().unwrap().to_owned()));
    let id = |made: &Value| made["id"].as_str().unwrap().to_owned();
    let body = json!({ "name": "x", "scopes": ["read"], "expiresAt": "2090-01-01T00:00:00.000Z" });
    let first = browser.post("/api-keys", body).ok(201);
    let rotate = |made: &Value, seconds: u32| {
        browser.post(&format!("/api-keys/{}/rotate", id(made)), json!({ "overlapSeconds": seconds }))
    };
    assert_eq!(rotate(&first, 604_801).invalid(), ["overlapSeconds"]);
    let second = rotate(&first, 600).ok(201);
    for field in ["name", "env", "scopes", "expiresAt"] {
        assert_eq!(first[field], second[field]);
    }
    assert!(first["key"] != second["key"] && first["id"] != second["id"]);
    of(&first).get("/agents").ok(200);
    of(&second).get("/agents").ok(200);
    let kept = browser.get("/api-keys").ok(200)["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["id"] == first["id"])
        .cloned();
    let end = Timestamp::parse(kept.unwrap()["expiresAt"].as_str().unwrap()).unwrap();
    assert!(end <= Timestamp::now().plus(Duration::from_secs(600)));
    let third = rotate(&second, 0).ok(201);
    of(&second).get("/agents").fails(401, "UNAUTHORIZED");
    of(&third).get("/agents").ok(200);
    rotate(&second, 0).fails(409, "CONFLICT");
}

#[test]
fn a_revoked_key_stays_revoked_and_is_its_persons_to_revoke() {
    let app = App::shared();
    let (browser, stranger) = (app.browser("acme"), app.browser("globex"));
    let made = browser.post("/api-keys", json!({ "name": "x" })).ok(201);
    let path = format!("/api-keys/{}", made["id"].as_str().unwrap());
    stranger.delete(&path).fails(404, "NOT_FOUND");
    stranger.post(&format!("{path}/rotate"), json!({})).fails(404, "NOT_FOUND");
    browser.delete(&path).ok(200);
    Client::new(app.url(), Some(made["key"].as_str().unwrap().to_owned())).get("/agents").fails(401, "UNAUTHORIZED");
    browser.delete(&path).fails(409, "CONFLICT");
    browser.post(&format!("{path}/rotate"), json!({})).fails(409, "CONFLICT");
}

#[test]
fn a_key_is_changed_by_its_person_and_limited_by_an_owner() {
    let app = App::shared();
    let (owner, stranger) = (app.browser("acme"), app.browser("globex"));
    let made = owner.post("/api-keys", json!({ "name": "x" })).ok(201);
    let path = format!("/api-keys/{}", made["id"].as_str().unwrap());
    let body = json!({ "name": "  a  b ", "expiresAt": "2090-01-01T00:00:00.000Z", "monthlyLimitMicrocents": 0 });
    let changed = owner.patch(&path, body).ok(200);
    let facts = ["name", "expiresAt", "monthlyLimitMicrocents", "spentThisMonthMicrocents"].map(|f| changed[f].clone());
    assert_eq!(facts, [json!("a b"), json!("2090-01-01T00:00:00.000Z"), json!(0), json!(0)]);
    let same = owner.patch(&path, json!({})).ok(200);
    assert_eq!(same, changed, "what is absent stays");
    let freed = owner.patch(&path, json!({ "expiresAt": null, "monthlyLimitMicrocents": null })).ok(200);
    assert_eq!((&freed["expiresAt"], &freed["monthlyLimitMicrocents"]), (&json!(null), &json!(null)));
    for (body, field) in [
        (json!({ "name": " " }), "name"),
        (json!({ "expiresAt": "2020-01-01T00:00:00.000Z" }), "expiresAt"),
        (json!({ "monthlyLimitMicrocents": -1 }), "monthlyLimitMicrocents"),
        (json!({ "monthlyLimitMicrocents": 1_000_000_000_001_i64 }), "monthlyLimitMicrocents"),
    ] {
        assert_eq!(owner.patch(&path, body).invalid(), [field]);
    }
    owner.patch(&path, json!({ "monthlyLimitMicrocents": 1_000_000_000_000_i64 })).ok(200);
    assert_eq!(made["monthlyLimitMicrocents"], json!(null));
    for limit in [0, 1_000_000_000_000_i64] {
        let limited = owner.post("/api-keys", json!({ "name": "x", "monthlyLimitMicrocents": limit })).ok(201);
        assert_eq!(limited["monthlyLimitMicrocents"], json!(limit));
    }
    for limit in [-1, 1_000_000_000_001_i64] {
        let body = json!({ "name": "x", "monthlyLimitMicrocents": limit });
        assert_eq!(owner.post("/api-keys", body).invalid(), ["monthlyLimitMicrocents"]);
    }
    stranger.patch(&path, json!({ "name": "theirs" })).fails(404, "NOT_FOUND");
    app.org("acme").patch(&path, json!({ "name": "by key" })).fails(403, "FORBIDDEN");
    owner.delete(&path).ok(200);
    owner.patch(&path, json!({ "name": "late" })).fails(409, "CONFLICT");
}

#[test]
fn an_owner_sees_and_ends_everyones_keys() {
    let app = App::start(&[]);
    let (owner, key) = (app.browser("acme"), app.org("acme"));
    let member = app.member("acme");
    assert_eq!(column(&owner.get("/api-keys").ok(200), "email"), [app.email("acme")]);
    let all = owner.get("/api-keys?all=true").ok(200);
    assert_eq!(column(&all, "email").len(), 2);
    key.get("/api-keys?all=true").fails(403, "FORBIDDEN");
    let theirs = format!("/api-keys/{}", column(&all, "id")[0]);
    owner.post(&format!("{theirs}/rotate"), json!({})).fails(404, "NOT_FOUND");
    owner.patch(&theirs, json!({ "monthlyLimitMicrocents": 7 })).ok(200);
    owner.delete(&theirs).ok(200);
    member.get("/agents").fails(401, "UNAUTHORIZED");
}

#[test]
fn past_its_limit_a_key_is_refused_and_another_is_not() {
    let app = App::start(&[]);
    let model = FakeModel::answering(|_, _| Answer::text("Hello you."));
    let key = app.org_asking("acme", &model);
    app.deposit("acme", 1_000_000);
    let owner = app.browser("acme");
    let id = column(&key.get("/api-keys").ok(200), "id").remove(0);
    owner.patch(&format!("/api-keys/{id}"), json!({ "monthlyLimitMicrocents": 1 })).ok(200);
    let asked = json!({ "model": "up/paid", "messages": [user("Hi")] });
    let error = key.post("/chat", asked.clone()).fails(402, "PAYMENT_REQUIRED");
    assert_eq!(error["details"]["keyLimitMicrocents"], json!(1));
    let resets = Timestamp::parse(error["details"]["resetsAt"].as_str().unwrap()).unwrap();
    assert!(resets > Timestamp::now() && resets.to_string().ends_with("-01T00:00:00.000Z"));
    let refused = key.post("/v1/chat/completions", asked.clone());
    let json: Value = serde_json::from_str(&refused.text).unwrap();
    assert_eq!((refused.status, &json["error"]["code"]), (429, &json!("insufficient_quota")));
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    assert_eq!(app.org("acme").post("/chat", asked.clone()).status, 200, "another key of the same person");
    owner.patch(&format!("/api-keys/{id}"), json!({ "monthlyLimitMicrocents": 500_000 })).ok(200);
    assert_eq!(key.post("/chat", asked).status, 200);
    let spent = until("the bill of the reply", || {
        let keys = key.get("/api-keys").ok(200);
        let of = keys["items"].as_array().unwrap().iter().find(|one| one["id"] == json!(id)).cloned().unwrap();
        of["spentThisMonthMicrocents"].as_i64().filter(|spent| *spent > 0)
    });
    assert!(spent <= 500_000);
    let slug = app.slug("acme");
    let set = app.alm(&["keys", "set", "--org", &slug, &id, "--monthly-limit", "none", "--json"]);
    assert_eq!(set.json()["monthlyLimitMicrocents"], json!(null));
    assert_eq!(key.get("/api-keys").ok(200)["items"].as_array().unwrap().len(), 2);
    let made = app.alm(&["keys", "create", "--org", &slug, "--name", "capped", "--monthly-limit", "2.50", "--json"]);
    let keys = app.browser("acme").get("/api-keys").ok(200);
    let shown = keys["items"].as_array().unwrap().iter().find(|one| one["id"] == made.json()["id"]).unwrap().clone();
    assert_eq!(shown["monthlyLimitMicrocents"], json!(2_500_000));
    app.alm(&["keys", "revoke", "--org", &slug, made.json()["id"].as_str().unwrap()]).ok();
    let new = app.alm(&["keys", "rotate", "--org", &slug, &id]);
    Client::new(app.url(), Some(new.ok().trim().to_owned())).get("/agents").ok(200);
    key.get("/agents").fails(401, "UNAUTHORIZED");
    app.alm(&["keys", "set", "--org", &slug, &id]).fails(2);
}

#[test]
fn a_key_tells_the_address_that_it_was_used_from_last() {
    for (flags, address) in [(&["--trust-proxy", "127.0.0.1"][..], "203.0.113.7"), (&[], "127.0.0.1")] {
        let app = App::start(flags);
        let acme = app.org("acme").header("x-forwarded-for", "198.51.100.1, 203.0.113.7");
        acme.get("/agents").ok(200);
        let seen = until("the address", || {
            let shown = app.browser("acme").get("/api-keys").ok(200);
            shown["items"][0]["lastAddress"].as_str().map(str::to_owned)
        });
        assert_eq!(seen, address);
    }
}

#[test]
fn keys_money_and_providers_need_a_password_given_lately() {
    let app = App::start(&[]);
    let browser = app.browser("acme");
    app.file().execute("UPDATE sign_in SET stepped_up_at = 0", []).unwrap();
    let changes = [
        ("POST", "/api-keys", r#"{"name":"x"}"#),
        ("POST", "/api-keys/x/rotate", "{}"),
        ("DELETE", "/api-keys/x", "{}"),
        ("PATCH", "/api-keys/x", "{}"),
        ("PATCH", "/members/x", r#"{"role":"member"}"#),
        ("DELETE", "/members/x", "{}"),
        ("POST", "/invitations", r#"{"email":"a@b","role":"member"}"#),
        ("DELETE", "/invitations/x", "{}"),
        ("POST", "/billing/deposit", r#"{"amountMicrocents":1}"#),
        ("POST", "/providers", "{}"),
        ("PATCH", "/providers/x", "{}"),
        ("DELETE", "/providers/x", "{}"),
        ("POST", "/providers/x/refresh", "{}"),
    ];
    for (method, path, body) in changes {
        let error = browser.send(method, path, Some(body)).fails(403, "FORBIDDEN");
        assert_eq!(error["details"]["stepUp"], json!(true), "{method} {path}");
    }
    browser.post("/agents", json!({ "name": "x" })).ok(201);
    browser.post("/auth/step-up", json!({ "password": PASSWORD })).ok(200);
    browser.post("/api-keys", json!({ "name": "x" })).ok(201);
}
