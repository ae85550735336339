//! How often, and how much.

use serde_json::json;

use crate::support::harness::{App, until, user};

#[test]
fn guessing_keys_is_slowed_and_who_has_one_is_not() {
    let app = App::start(&[]);
    let acme = app.org("acme");
    let stranger = app.anonymous().header("x-api-key", "alm_live_guess");
    let refused = until("the limit", || Some(stranger.get("/agents")).filter(|reply| reply.status != 401));
    refused.fails(429, "TOO_MANY_REQUESTS");
    acme.get("/agents").ok(200);
    app.anonymous().get("/agents").fails(401, "UNAUTHORIZED");
}

#[test]
fn chats_are_limited_by_the_minute_and_for_each_person() {
    let app = App::start(&["--chat-rate", "3"]);
    let acme = app.org("acme");
    // Refused for its model, so that nothing is streamed: what is counted is the asking.
    let ask = || acme.post("/chat", json!({ "messages": [user("x")], "model": "no/such" }));
    (0..3).for_each(|_| assert_eq!(ask().invalid(), ["model"]));
    ask().fails(429, "TOO_MANY_REQUESTS");
    // Another key of the same person is the same person.
    app.org("acme").post("/chat", json!({ "messages": [user("x")] })).fails(429, "TOO_MANY_REQUESTS");
    acme.get("/agents").ok(200);
    app.org("globex").chat(json!({ "messages": [user("Hi")] }));
}

#[test]
fn a_body_over_its_cap_is_refused_before_it_is_sent() {
    let app = App::shared();
    let acme = app.org("acme").asking_first();
    let long = |bytes: usize| json!({ "label": "x".repeat(bytes), "messages": [] });
    acme.post("/sessions", long(128 * 1024)).fails(413, "PAYLOAD_TOO_LARGE");
    assert_eq!(acme.post("/chat", long(1024 * 1024)).invalid(), ["messages"]);
    acme.post("/chat", long(20 * 1024 * 1024)).fails(413, "PAYLOAD_TOO_LARGE");
}

#[test]
fn who_is_refused_with_a_large_body_on_the_way_hears_it_and_keeps_the_connection() {
    let app = App::shared();
    let large = json!({ "label": "x".repeat(2 * 1024 * 1024), "messages": [] });
    let (nobody, acme) = (app.anonymous(), app.org("acme"));
    for _time in 0..3 {
        nobody.post("/chat", large.clone()).fails(401, "UNAUTHORIZED");
        nobody.get("/healthz").ok(200);
        acme.post("/sessions", large.clone()).fails(413, "PAYLOAD_TOO_LARGE");
        acme.post("/nothing", large.clone()).fails(404, "NOT_FOUND");
        acme.get("/agents").ok(200);
    }
}
