//! A clock that jumps: forward by a day, then back by two.

use std::collections::BTreeSet;

use alm::{
    key::{Env, Scope},
    time::Timestamp,
};
use serde_json::json;

use crate::{
    did_not_panic, proof,
    shim::{Fault, Faults},
    support::{
        client::Client,
        fake_model::{Answer, FakeModel, delta, finish, usage},
        harness::{column, user},
    },
};

/// Seconds.
const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;
/// Where the clock stands, one after the other, beside the right time.
const JUMPS: [i64; 5] = [0, DAY, -DAY, DAY, 0];

/// One field of everything in a list, page by page.
fn whole(client: &Client, path: &str, size: &str, field: &str) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{path}?{size}=2{cursor}")).ok(200);
        found.extend(column(&page, field));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

#[track_caller]
fn are(found: &[String], made: &BTreeSet<String>) {
    assert_eq!(found.len(), made.len(), "nothing is lost and nothing is listed twice");
    assert_eq!(&found.iter().cloned().collect::<BTreeSet<_>>(), made);
}

#[test]
fn nothing_is_lost_out_of_order_or_listed_twice_when_the_clock_jumps() {
    let (faults, model) = (Faults::none(), FakeModel::saying("Hello."));
    let app = faults.start(&[]);
    let acme = app.org_asking("acme", &model);
    let (mut sessions, mut agents, mut said) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    agents.extend(column(&acme.get("/agents").ok(200), "id"));
    let id_of = |made: serde_json::Value| made["id"].as_str().unwrap().to_owned();
    for (at, jump) in JUMPS.into_iter().enumerate() {
        faults.set(Fault::Clock, jump);
        for n in 0..3 {
            sessions.insert(id_of(acme.post("/sessions", json!({ "label": "x" })).ok(201)));
            agents.insert(id_of(acme.post("/agents", json!({ "name": format!("agent {at} {n}") })).ok(201)));
        }
        let question = format!("question {at}");
        let answer = acme.chat(json!({ "id": "c", "messages": [user(&question)] }));
        assert!(answer.facts()["durationMs"].as_u64().unwrap() < HOUR as u64, "a turn is timed by another clock");
        said.extend([question, "Hello.".to_owned()]);
        app.anonymous().get("/readyz").ok(200);
    }
    sessions.insert("c".to_owned());
    are(&whole(&acme, "/sessions", "limit", "id"), &sessions);
    are(&whole(&acme, "/agents", "limit", "id"), &agents);
    assert_eq!(whole(&acme, "/sessions/c/messages", "pageSize", "content"), said);
    assert_eq!(model.last_messages().len(), said.len(), "the agent's prompt, and all but the last answer");
    did_not_panic(&app);
    proof("clock.jumps", JUMPS.len());
}

#[test]
fn a_running_reply_does_not_mind_what_the_clock_does() {
    let word = |text: &str| delta(json!({ "content": text }));
    let slow = Answer::empty().chunk(word("one ")).wait().chunk(word("two ")).wait().chunk(word("three"));
    let (faults, model) = (Faults::none(), FakeModel::start([slow.chunk(finish("stop")).chunk(usage(10, 5)).done()]));
    let app = faults.start(&[]);
    let acme = app.org_asking("acme", &model);
    app.deposit("acme", 1_000_000);
    let mut listening = acme.listen(json!({ "id": "c", "model": "up/paid", "messages": [user("Hi")] }));
    for jump in [DAY, -DAY] {
        listening.until("text-delta");
        faults.set(Fault::Clock, jump);
        model.go();
    }
    let stream = listening.rest();
    assert_eq!((&*stream.text(), stream.finish_reason()), ("one two three", "stop"));
    assert_eq!(acme.history("c")[1].1, "one two three");
    let billing = acme.get("/billing").ok(200);
    assert_eq!((&billing["balanceMicrocents"], &billing["heldMicrocents"]), (&json!(999_985), &json!(0)));
    did_not_panic(&app);
}

#[test]
fn a_key_and_a_sign_in_that_end_today_are_back_when_the_clock_is() {
    let faults = Faults::none();
    let app = faults.start(&[]);
    let ends = Timestamp::now().plus(std::time::Duration::from_secs(HOUR as u64));
    let acme = app.key_until("acme", Env::Live, &Scope::ALL, Some(ends));
    let browser = app.browser("acme");
    for (jump, status) in [(0, 200), (DAY, 401), (-DAY, 200), (0, 200)] {
        faults.set(Fault::Clock, jump);
        assert_eq!((acme.get("/agents").status, browser.get("/agents").status), (status, status), "{jump}");
    }
}

#[test]
fn neither_a_repeat_nor_a_limit_is_forgotten_because_the_clock_was_set_back() {
    let faults = Faults::none();
    let app = faults.start(&["--chat-rate", "2"]);
    let acme = app.org("acme");
    let once = acme.header("idempotency-key", "once");
    let made = once.post("/sessions", json!({})).ok(201);
    let ask = || acme.post("/chat", json!({ "messages": [user("Hi")], "model": "no/such" }));
    (0..2).for_each(|_| drop(ask().invalid()));
    for jump in [-DAY, HOUR, 0] {
        faults.set(Fault::Clock, jump);
        assert_eq!(once.post("/sessions", json!({})).ok(201), made);
        ask().fails(429, "TOO_MANY_REQUESTS");
    }
    // A day ahead a key's day is over: it is done once more, and no more than that.
    faults.set(Fault::Clock, DAY + HOUR);
    let later = once.post("/sessions", json!({})).ok(201);
    assert_ne!(later, made);
    assert_eq!(once.post("/sessions", json!({})).ok(201), later);
}
