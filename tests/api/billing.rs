//! Money.

use alm::money::USD;
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    fake_model::{Answer, FakeModel, delta, finish, nobody, usage},
    harness::{App, ModelSpec, column, user, wait},
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
    for (group, name) in [("agent", "Ala"), ("key", "test"), ("session", "Hello")] {
        assert_eq!(acme.get(&format!("/billing/usage?groupBy={group}")).ok(200)["items"][0]["name"], json!(name));
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
fn usage_is_split_by_a_second_thing_where_one_asks_for_it() {
    let app = App::start(&[]);
    let (acme, model) = (app.org("acme"), FakeModel::answering(|_, _| Answer::text("Hello you.")));
    app.provider("acme", &model.base_url(), &[ModelSpec::FREE]);
    for model in ["demo/ala", "up/free", "up/free"] {
        acme.ask(model, "Hi");
    }
    let split = acme.get("/billing/usage?groupBy=day&splitBy=model").ok(200);
    let parts: Vec<_> = split["items"].as_array().unwrap().iter().map(|item| (&item["part"], &item["turns"])).collect();
    assert_eq!(parts, [(&json!("up/free"), &json!(2)), (&json!("demo/ala"), &json!(1))]);
    assert_eq!(column(&split, "key")[0], column(&split, "key")[1]);
    assert_eq!(acme.get("/billing/usage?groupBy=day").ok(200)["items"][0].get("part"), None);
    acme.get("/billing/usage?splitBy=mood").fails(400, "BAD_REQUEST");
}

#[test]
fn an_entry_says_the_balance_that_it_left_and_what_its_turn_was() {
    let app = App::start(&[]);
    let model = FakeModel::answering(|_, _| Answer::text("Hello you."));
    let key = app.org_asking("acme", &model);
    app.deposit("acme", USD);
    key.chat(json!({ "id": "s1", "model": "up/paid", "messages": [user("Hi")] }));
    app.deposit("acme", USD);
    let of = |client: &Client, query: &str| client.get(&format!("/billing/transactions?{query}")).ok(200);
    let entries = of(&key, "");
    assert_eq!(column(&entries, "kind"), ["deposit", "settle", "reserve", "deposit"]);
    let cost = -entries["items"][1]["amountMicrocents"].as_i64().unwrap();
    let after = |entries: &Value| -> Vec<i64> {
        entries["items"].as_array().unwrap().iter().map(|e| e["balanceAfterMicrocents"].as_i64().unwrap()).collect()
    };
    assert!(cost > 0);
    assert_eq!(after(&entries), [2 * USD - cost, USD - cost, USD, USD]);
    let turn = &entries["items"][1]["turn"];
    let facts = ["model", "agentName", "sessionId", "keyName"].map(|fact| turn[fact].clone());
    assert_eq!(facts, ["up/paid", "Ala", "s1", "test"].map(Value::from));
    assert!(turn["inputTokens"].as_i64().unwrap() > 0 && turn["outputTokens"].as_i64().unwrap() > 0);
    assert_eq!(entries["items"][0]["turn"], Value::Null);
    let short = of(&key, "holds=open&limit=2");
    assert_eq!(
        (column(&short, "kind"), after(&short)),
        (vec!["deposit".into(), "settle".into()], vec![2 * USD - cost, USD - cost])
    );
    let rest = of(&key, &format!("holds=open&cursor={}", short["nextCursor"].as_str().unwrap()));
    assert_eq!((column(&rest, "kind"), after(&rest)), (vec!["deposit".into()], vec![USD]));
    // Whose key it was is told to its person and to an owner.
    assert_eq!(of(&app.member("acme"), "")["items"][1]["turn"]["keyName"], Value::Null);
    key.delete("/sessions/s1").ok(200);
    assert_eq!(of(&key, "")["items"][1]["turn"]["sessionId"], Value::Null);
    key.get("/billing/transactions?holds=some").fails(400, "BAD_REQUEST");
}

#[test]
fn a_hold_is_listed_while_it_holds() {
    let app = App::start(&[]);
    let slow = Answer::empty().chunk(delta(json!({ "content": "x" }))).wait().chunk(finish("stop")).chunk(usage(10, 5));
    let model = FakeModel::start([slow]);
    let key = app.org_asking("acme", &model);
    app.deposit("acme", USD);
    let open = || column(&key.get("/billing/transactions?holds=open").ok(200), "kind");
    let mut listening = key.listen(json!({ "model": "up/paid", "messages": [user("Hi")] }));
    listening.until("text-delta");
    assert_eq!(open(), ["reserve", "deposit"]);
    model.go();
    listening.rest();
    assert_eq!(open(), ["settle", "deposit"]);
    assert_eq!(column(&key.get("/billing/transactions").ok(200), "kind"), ["settle", "reserve", "deposit"]);
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
