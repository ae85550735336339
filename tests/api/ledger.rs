//! `alm ledger verify`, beside a running server and on a file that somebody wrote in.

use serde_json::json;

use crate::support::{
    fake_model::{Answer, FakeModel, delta, finish, usage},
    harness::{App, ModelSpec, user},
};

#[test]
fn a_ledger_is_added_up_beside_a_server_while_a_turn_runs() {
    let slow = Answer::empty().chunk(delta(json!({ "content": "x" }))).wait().chunk(finish("stop")).chunk(usage(10, 5));
    let (app, model) = (App::start(&[]), FakeModel::start([Answer::text("Hello."), slow]));
    app.provider("acme", &model.base_url(), &[ModelSpec::PAID]);
    app.deposit("acme", 1_000_000);
    let (acme, ask) = (app.org("acme"), json!({ "model": "up/paid", "messages": [user("Hi")] }));
    acme.chat(ask.clone());
    let mut listening = acme.listen(ask);
    listening.until("text-delta");
    let verified = app.alm(&["ledger", "verify", "--json"]).json();
    let book = &verified["orgs"][0];
    assert_eq!((&verified["ok"], &book["org"]), (&json!(true), &json!(app.slug("acme"))));
    assert_eq!((&book["turnsCharged"], &book["turnsRunning"]), (&json!(1), &json!(1)));
    assert_eq!(book["balanceMicrocents"], acme.get("/billing").ok(200)["balanceMicrocents"]);
    assert!(book["heldMicrocents"].as_i64().unwrap() > 0, "{book}");
    model.go();
    listening.rest();
    let told = app.alm(&["ledger", "verify"]);
    assert!(told.ok().contains("1.00 USD deposited, 0.00003 charged for 2 turns"), "{told:?}");
    assert!(told.ok().ends_with("the ledger adds up: 1 organization"), "{told:?}");
}

#[test]
fn a_ledger_that_does_not_add_up_says_where_and_fails() {
    let app = App::start(&[]);
    app.deposit("acme", 1_000_000);
    app.file().execute_batch("UPDATE org SET balance = 2000000").unwrap();
    let told = app.alm(&["ledger", "verify"]);
    assert_eq!(told.code, 1);
    assert!(told.stdout.contains("the stored balance is 2.00 USD, but its entries add up to 1.00 USD"), "{told:?}");
    assert!(told.stderr.contains("does not add up in 1 place"), "{told:?}");
    let told = app.alm(&["ledger", "verify", "--json"]);
    let verified: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!((told.code, &verified["ok"], &verified["findingsCount"]), (1, &json!(false), &json!(1)));
}
