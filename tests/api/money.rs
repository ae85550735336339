//! Money of turns: held before the model is asked, settled by what it used, never below nothing.

use std::thread;

use alm::key::{Env, Scope};
use serde_json::{Value, json};

use crate::support::{
    client::{Client, Stream},
    fake_model::{Answer, FakeModel, delta, finish, usage},
    harness::{App, ModelSpec, column, user},
};

/// Microcents of one turn that uses what `Answer::text` says: ten tokens in, five out.
const TURN_COST: i64 = 15;

fn acme_with(app: &App, model: &FakeModel, microcents: i64) -> Client {
    app.provider("acme", &model.base_url(), &[ModelSpec::FREE, ModelSpec::PAID]);
    if microcents > 0 {
        app.deposit("acme", microcents);
    }
    app.org("acme")
}

fn ask(model: &str) -> Value {
    json!({ "model": model, "messages": [user("Hi")] })
}

/// The balance, and what of it is held.
fn balance(client: &Client) -> (i64, i64) {
    let billing = client.get("/billing").ok(200);
    (billing["balanceMicrocents"].as_i64().unwrap(), billing["heldMicrocents"].as_i64().unwrap())
}

fn cost(stream: &Stream) -> i64 {
    stream.facts()["costMicrocents"].as_i64().unwrap()
}

/// Every entry of an organization, the oldest first: kind, what it did to the balance, what to the held.
fn ledger(app: &App) -> Vec<(String, i64, i64)> {
    let file = app.file();
    let select = "SELECT kind, balance_delta, held_delta FROM ledger_entry WHERE org_id = ?1 ORDER BY seq";
    let mut select = file.prepare(select).unwrap();
    let rows = select.query_map([app.tenant("acme").org_id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    rows.unwrap().map(Result::unwrap).collect()
}

/// Sums the ledger up and looks at every moment of it.
fn check_ledger(app: &App, client: &Client) {
    let (mut balance_now, mut held_now) = (0, 0);
    for (kind, of_balance, of_held) in ledger(app) {
        balance_now += of_balance;
        held_now += of_held;
        assert!(0 <= held_now && held_now <= balance_now, "{kind}: {held_now} held of {balance_now}");
    }
    assert_eq!(balance(client), (balance_now, held_now));
}

#[test]
fn a_turn_is_held_for_settled_and_what_is_left_let_go() {
    let (app, model) = (App::shared(), FakeModel::saying("Hello."));
    let acme = acme_with(&app, &model, 1_000_000);
    let stream = acme.chat(ask("up/paid"));
    assert_eq!(cost(&stream), TURN_COST);
    assert!(stream.facts().get("estimated").is_none());
    assert_eq!(balance(&acme), (1_000_000 - TURN_COST, 0));
    let kinds: Vec<_> = ledger(&app).into_iter().map(|(kind, ..)| kind).collect();
    assert_eq!(kinds, ["deposit", "reserve", "settle"]);
    check_ledger(&app, &acme);
    let transactions = acme.get("/billing/transactions").ok(200);
    assert_eq!(column(&transactions, "kind"), ["settle", "reserve", "deposit"]);
    assert_eq!(transactions["items"][0]["amountMicrocents"], json!(-TURN_COST));
    let month = acme.get("/billing").ok(200)["currentMonth"].clone();
    assert_eq!((&month["costMicrocents"], &month["turns"]), (&json!(TURN_COST), &json!(1)));
    assert_eq!(acme.messages(&stream.session())[1]["metadata"]["costMicrocents"], json!(TURN_COST));
}

#[test]
fn while_a_turn_runs_its_money_is_held() {
    let slow = Answer::empty().chunk(delta(json!({ "content": "x" }))).wait().chunk(finish("stop")).chunk(usage(10, 5));
    let (app, model) = (App::shared(), FakeModel::start([slow]));
    let acme = acme_with(&app, &model, 1_000_000);
    let mut listening = acme.listen(ask("up/paid"));
    listening.until("text-delta");
    let (whole, held) = balance(&acme);
    assert!(whole == 1_000_000 && held > 4_096, "{held}");
    model.go();
    listening.rest();
    assert_eq!(balance(&acme), (1_000_000 - TURN_COST, 0));
}

#[test]
fn an_empty_balance_asks_no_paid_model_and_leaves_no_trace() {
    let (app, model) = (App::shared(), FakeModel::saying("Hello."));
    let acme = acme_with(&app, &model, 0);
    let mut body = ask("up/paid");
    body["id"] = json!("c");
    let details = acme.post("/chat", body).fails(402, "PAYMENT_REQUIRED")["details"].clone();
    assert_eq!(details, json!({ "balanceMicrocents": 0, "model": "up/paid" }));
    assert!(model.asked().is_empty());
    acme.get("/sessions/c").fails(404, "NOT_FOUND");
    acme.chat(ask("up/free"));
    acme.chat(ask("demo/ala"));
    assert_eq!(ledger(&app), []);
}

#[test]
fn a_small_balance_shrinks_the_cap_of_the_reply_and_a_smaller_one_pays_for_none() {
    let (app, model) = (App::shared(), FakeModel::saying("Hello."));
    let acme = acme_with(&app, &model, 1_000_000);
    let cap_of = |at: usize| model.asked()[at].json["max_tokens"].as_u64().unwrap();
    acme.chat(ask("up/paid"));
    assert_eq!(cap_of(0), 16_384, "the usual one");
    let globex = app.org("globex");
    app.provider("globex", &model.base_url(), &[ModelSpec::PAID]);
    // Ala's own prompt and the tools are part of what is asked; what they come to is no secret of the test's.
    let prompt: i64 = {
        app.deposit("globex", 1_000);
        globex.chat(ask("up/paid"));
        let cap = i64::try_from(cap_of(1)).unwrap();
        assert!((16..1_000).contains(&cap), "{cap}");
        1_000 - cap
    };
    let (left, _) = balance(&globex);
    globex.chat(ask("up/paid"));
    assert_eq!(i64::try_from(cap_of(2)).unwrap(), left - prompt, "what is left pays for it to the last token");
    let poor = app.org("poor");
    app.provider("poor", &model.base_url(), &[ModelSpec::PAID]);
    app.deposit("poor", 3);
    let details = poor.post("/chat", ask("up/paid")).fails(402, "PAYMENT_REQUIRED")["details"].clone();
    assert_eq!(details["balanceMicrocents"], json!(3));
}

#[test]
fn usage_that_nobody_reports_is_estimated_and_says_so() {
    let silent = Answer::chunks([delta(json!({ "content": "x".repeat(400) })), finish("stop")]);
    let (app, model) = (App::shared(), FakeModel::start([silent]));
    let acme = acme_with(&app, &model, 1_000_000);
    let stream = acme.chat(ask("up/paid"));
    assert_eq!(stream.facts()["estimated"], json!(true));
    assert!(cost(&stream) >= 100, "400 bytes are some 100 tokens");
    assert_eq!(acme.messages(&stream.session())[1]["metadata"]["estimated"], json!(true));
    assert_eq!(balance(&acme), (1_000_000 - cost(&stream), 0));
    check_ledger(&app, &acme);
}

#[test]
fn what_a_cut_reply_said_is_paid_for() {
    let cut = Answer::empty().chunk(delta(json!({ "content": "x".repeat(400) }))).cut();
    let (app, model) = (App::shared(), FakeModel::start([cut]));
    let acme = acme_with(&app, &model, 1_000_000);
    let stream = acme.chat(ask("up/paid"));
    stream.one("error");
    let (left, held) = balance(&acme);
    assert!(left <= 1_000_000 - 100 && held == 0, "{left}");
    check_ledger(&app, &acme);
}

#[test]
fn no_report_of_an_upstream_can_raise_a_balance_or_empty_it_below_nothing() {
    let reports = [(-5, -7), (i64::MAX, i64::MAX), (1_000_000_000_000, 0), (0, 4_000_000_000)];
    for (prompt, completion) in reports {
        let reply = Answer::chunks([delta(json!({ "content": "x" })), finish("stop"), usage(prompt, completion)]);
        let (app, model) = (App::shared(), FakeModel::start([reply]));
        let acme = acme_with(&app, &model, 10_000);
        let stream = acme.chat(ask("up/paid"));
        assert!((0..=10_000).contains(&cost(&stream)), "{prompt} {completion}");
        assert_eq!(balance(&acme), (10_000 - cost(&stream), 0));
        check_ledger(&app, &acme);
    }
}

#[test]
fn every_step_of_a_turn_is_paid_for() {
    let script = [Answer::call("t1", "current_time", "{}"), Answer::text("noon")];
    let (app, model) = (App::shared(), FakeModel::start(script));
    let acme = acme_with(&app, &model, 1_000_000);
    assert_eq!(cost(&acme.chat(ask("up/paid"))), 2 * TURN_COST);
    assert_eq!(balance(&acme), (1_000_000 - 2 * TURN_COST, 0));
    check_ledger(&app, &acme);
}

#[test]
fn fifty_paid_turns_at_once_never_spend_what_is_not_there() {
    let (app, model) = (App::start(&["--chat-rate", "1000"]), FakeModel::saying("Hello."));
    // Enough for a few holds at a time, so that the turns contend for it.
    let acme = acme_with(&app, &model, 30_000);
    let replies: Vec<_> = thread::scope(|scope| {
        let turns: Vec<_> = (0..50).map(|_| scope.spawn(|| acme.post("/chat", ask("up/paid")))).collect();
        turns.into_iter().map(|turn| turn.join().unwrap()).collect()
    });
    let answered = replies.iter().filter(|reply| reply.status == 200).count();
    for refused in replies.iter().filter(|reply| reply.status != 200) {
        refused.fails(402, "PAYMENT_REQUIRED");
    }
    assert!(answered > 0);
    assert_eq!(balance(&acme), (30_000 - TURN_COST * i64::try_from(answered).unwrap(), 0));
    check_ledger(&app, &acme);
    assert_eq!(model.asked().len(), answered);
}

#[test]
fn a_balance_is_spent_to_its_end_and_not_further() {
    let dear = Answer::chunks([delta(json!({ "content": "x" })), finish("length"), usage(10_000, 10_000)]);
    let (app, model) = (App::shared(), FakeModel::start([dear]));
    let acme = acme_with(&app, &model, 1_000);
    acme.chat(ask("up/paid"));
    assert_eq!(balance(&acme), (0, 0), "a turn is charged what was held for it at most");
    acme.post("/chat", ask("up/paid")).fails(402, "PAYMENT_REQUIRED");
    check_ledger(&app, &acme);
}

#[test]
fn a_test_key_never_spends() {
    let (app, model) = (App::shared(), FakeModel::saying("Hello."));
    let acme = acme_with(&app, &model, 1_000_000);
    let tester = app.key("acme", Env::Test, &Scope::ALL);
    let paid = tester.chat(ask("up/paid"));
    assert_eq!(paid.headers["x-alm-test-mode"], "true");
    assert_eq!((&paid.facts()["model"], cost(&paid)), (&json!("demo/ala"), 0));
    assert!(model.asked().is_empty());
    let free = tester.chat(ask("up/free"));
    assert!(!free.headers.contains_key("x-alm-test-mode") && free.text() == "Hello.");
    assert!(!acme.chat(ask("up/paid")).headers.contains_key("x-alm-test-mode"));
    assert_eq!(balance(&acme), (1_000_000 - TURN_COST, 0));
}

#[test]
fn the_ledger_cannot_be_rewritten() {
    let (app, model) = (App::shared(), FakeModel::saying("Hello."));
    let acme = acme_with(&app, &model, 1_000);
    for change in ["UPDATE ledger_entry SET balance_delta = 5", "DELETE FROM ledger_entry"] {
        let error = app.file().execute_batch(change).unwrap_err().to_string();
        assert!(error.contains("append-only"), "{error}");
    }
    check_ledger(&app, &acme);
}
