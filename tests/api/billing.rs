//! Money.

use alm::money::USD;
use serde_json::{Value, json};

use crate::support::{
    fake_model::nobody,
    harness::{App, ModelSpec, column, wait},
};

#[test]
fn a_new_organization_has_nothing_and_used_nothing() {
    let app = App::shared();
    let billing = app.org("acme").get("/billing").ok(200);
    let month = json!({
        "inputTokens": 0, "outputTokens": 0, "cacheReadTokens": 0, "costMicrocents": 0, "turns": 0,
    });
    let expected = json!({ "balanceMicrocents": 0, "heldMicrocents": 0, "currency": "USD", "currentMonth": month });
    assert_eq!(billing, expected);
}

#[test]
fn a_deposit_is_the_operators_and_shows_in_the_ledger() {
    let app = App::shared();
    let acme = app.org("acme");
    acme.post("/billing/deposit", json!({ "amountMicrocents": USD })).fails(403, "FORBIDDEN");
    let tenant = app.tenant("acme");
    for note in ["first", "second"] {
        wait(app.store().org(&tenant).deposit(3 * USD, note.into())).unwrap();
    }
    assert_eq!(acme.get("/billing").ok(200)["balanceMicrocents"], json!(6 * USD));
    let entries = acme.get("/billing/transactions?limit=1").ok(200);
    assert_eq!(column(&entries, "note"), ["second"]);
    assert_eq!(column(&entries, "kind"), ["deposit"]);
    assert_eq!(entries["items"][0]["amountMicrocents"], json!(3 * USD));
    let cursor = entries["nextCursor"].as_str().unwrap();
    let rest = acme.get(&format!("/billing/transactions?cursor={cursor}")).ok(200);
    assert_eq!((column(&rest, "note"), &rest["nextCursor"]), (vec!["first".into()], &Value::Null));
    assert!(column(&app.org("globex").get("/billing/transactions").ok(200), "id").is_empty());
}

#[test]
fn usage_is_summed_by_what_one_asks_for() {
    let app = App::shared();
    let acme = app.org("acme");
    let asked = json!({ "messages": [{ "role": "user", "content": "Hello" }], "id": "chat-1" });
    assert_eq!(acme.post("/chat", asked).status, 200);
    for (group, key) in [("model", json!("demo/ala")), ("session", json!("chat-1")), ("project", Value::Null)] {
        let usage = acme.get(&format!("/billing/usage?groupBy={group}")).ok(200);
        assert_eq!((&usage["items"][0]["key"], &usage["items"][0]["turns"]), (&key, &json!(1)), "{usage}");
        assert!(usage["items"][0]["outputTokens"].as_i64().unwrap() > 0);
    }
    let day = acme.get("/billing/usage?groupBy=day").ok(200);
    assert_eq!(day["items"][0]["key"].as_str().unwrap().len(), "2026-11-23".len());
    assert_eq!(acme.get("/billing").ok(200)["currentMonth"]["turns"], json!(1));
    let before = acme.get("/billing/usage?from=2020-01-01T00:00:00Z&to=2020-02-01T00:00:00Z").ok(200);
    assert_eq!(before["items"], json!([]));
    assert_eq!(acme.get("/billing/usage?from=yesterday").invalid(), ["from"]);
    assert_eq!(acme.get("/billing/usage?from=2030-01-01T00:00:00Z").invalid(), ["from"]);
    acme.get("/billing/usage?groupBy=mood").fails(400, "BAD_REQUEST");
}

#[test]
fn what_models_cost_is_said_beforehand() {
    let app = App::shared();
    app.provider("acme", &nobody(), &[ModelSpec::FREE, ModelSpec::PAID]);
    let pricing = app.org("acme").get("/billing/pricing").ok(200);
    assert_eq!(column(&pricing, "model"), ["demo/ala", "up/free", "up/paid"]);
    assert_eq!(pricing["items"][0]["pricing"], Value::Null);
    assert_eq!(pricing["items"][2]["pricing"]["outputPerMillion"], json!("1"));
}
