//! The log of requests: what is in it, who reads it, and what goes.

use alm::key::{Env, Scope};
use serde_json::{Value, json};

use crate::support::{
    fake_model::{Answer, FakeModel},
    harness::{App, column, until, user},
};

/// The newest request, once its row says `status`.
fn newest(read: impl Fn() -> Value, status: &str) -> Value {
    until("a row", || Some(read()["items"][0].clone()).filter(|row| row["status"] == status))
}

#[test]
fn a_reply_has_a_row_with_its_numbers() {
    let (app, model) = (App::shared(), FakeModel::saying("Hello."));
    let key = app.org_asking("acme", &model);
    app.deposit("acme", 1_000_000);
    let session =
        key.header("x-request-id", "mine-1").chat(json!({ "model": "up/paid", "messages": [user("Hi")] })).session();
    let row = newest(|| key.get("/requests").ok(200), "complete");
    assert_eq!(
        [&row["requestId"], &row["route"], &row["model"], &row["sessionId"]],
        [&json!("mine-1"), &json!("/api/v1/chat"), &json!("up/paid"), &json!(session)]
    );
    assert_eq!((&row["httpStatus"], &row["code"], &row["turnId"]), (&json!(200), &Value::Null, &row["id"]));
    assert_eq!(row["usage"], json!({ "inputTokens": 10, "cachedInputTokens": 0, "outputTokens": 5 }));
    assert!(row["costMicrocents"].as_i64().unwrap() > 0 && row["durationMs"].is_number() && row["firstMs"].is_number());
    assert_eq!(row["keyId"], key.get("/api-keys").ok(200)["items"][0]["id"]);
    for name in ["mine-1", row["id"].as_str().unwrap()] {
        assert_eq!(key.get(&format!("/requests/{name}")).ok(200), row);
    }
    key.get("/requests/none").fails(404, "NOT_FOUND");
}

#[test]
fn what_is_refused_has_a_row_that_says_why() {
    let (app, model) = (App::shared(), FakeModel::start([Answer::status(401)]));
    let key = app.org_asking("acme", &model);
    key.post("/chat", json!({ "model": "no/such", "messages": [user("Hi")] })).fails(422, "VALIDATION_ERROR");
    key.post("/chat", json!({ "messages": 1 })).fails(400, "BAD_REQUEST");
    key.post("/chat", json!({ "model": "up/free", "messages": [user("Hi")] })).fails(502, "MODEL_UNAVAILABLE");
    let rows = until("three rows", || {
        let items = key.get("/requests?failed=true").ok(200)["items"].as_array().unwrap().clone();
        Some(items).filter(|rows| rows.len() == 3 && rows.iter().all(|row| row["status"] == "refused"))
    });
    let said = |row: &Value| (row["httpStatus"].as_i64().unwrap(), row["code"].as_str().unwrap().to_owned());
    let mut all: Vec<_> = rows.iter().map(said).collect();
    all.sort();
    assert_eq!(all, [(400, "BAD_REQUEST".into()), (422, "VALIDATION_ERROR".into()), (502, "MODEL_UNAVAILABLE".into())]);
    let undone = rows.iter().find(|row| row["httpStatus"] == 502).unwrap();
    assert_eq!(
        (&undone["model"], &undone["turnId"], &undone["sessionId"]),
        (&json!("up/free"), &Value::Null, &Value::Null)
    );
    app.anonymous().post("/chat", json!({})).fails(401, "UNAUTHORIZED");
    assert_eq!(key.get("/requests?failed=false").ok(200)["items"], json!([]));
}

#[test]
fn refusals_in_a_loop_are_counted_and_not_listed() {
    let app = App::shared();
    let key = app.org("acme");
    let (mut posted, post) = (0, || drop(key.post("/chat", json!({ "messages": 1 }))));
    while posted < 40 {
        post();
        posted += 1;
    }
    let rows = || key.get("/requests?limit=100").ok(200)["items"].as_array().unwrap().clone();
    let told =
        |rows: &[Value]| rows.len() as i64 + rows.iter().map(|row| row["unlisted"].as_i64().unwrap()).sum::<i64>();
    // Whatever was left over is told by a row of a later second.
    until("all are told", || {
        let told = told(&rows());
        assert!(told <= posted, "{told} of {posted}");
        if told < 40 {
            post();
            posted += 1;
        }
        (told >= 40).then_some(())
    });
}

#[test]
fn people_read_their_own_requests_and_an_owner_everybodys() {
    let app = App::shared();
    let (key, member, browser) = (app.org("acme"), app.member("acme"), app.browser("acme"));
    key.chat(json!({ "messages": [user("Hi")] }));
    member.chat(json!({ "messages": [user("Hi")] }));
    let ids = |list: Value| column(&list, "id");
    let (mine, theirs) = (ids(key.get("/requests").ok(200)), ids(member.get("/requests").ok(200)));
    assert_eq!((mine.len(), theirs.len()), (1, 1));
    assert_eq!(ids(browser.get("/requests").ok(200)), [theirs.clone(), mine.clone()].concat());
    key.get(&format!("/requests/{}", theirs[0])).fails(404, "NOT_FOUND");
    browser.get(&format!("/requests/{}", theirs[0])).ok(200);
    assert_eq!(app.org("globex").get("/requests").ok(200)["items"], json!([]));
    app.key("acme", Env::Live, &[Scope::Chat]).get("/requests").fails(403, "FORBIDDEN");
}

#[test]
fn requests_are_found_by_what_they_are() {
    let app = App::shared();
    let key = app.org("acme");
    for session in ["one", "two"] {
        key.chat(json!({ "id": session, "messages": [user("Hi")] }));
    }
    let all = key.get("/requests").ok(200);
    let listed = |query: &str| column(&key.get(&format!("/requests{query}")).ok(200), "sessionId");
    assert_eq!(listed(""), ["two", "one"]);
    for (field, name) in [("keyId", "keyId"), ("agentId", "agentId"), ("model", "model"), ("status", "status")] {
        let value = all["items"][0][field].as_str().unwrap();
        assert_eq!(listed(&format!("?{name}={value}")), ["two", "one"], "{name}");
    }
    for query in ["?keyId=x", "?agentId=x", "?model=x", "?status=running", "?to=2020-01-01T00:00:00.000Z"] {
        assert_eq!(listed(query), [""; 0], "{query}");
    }
    assert_eq!(listed("?sessionId=one&from=2020-01-01T00:00:00.000Z"), ["one"]);
    let first = key.get("/requests?limit=1").ok(200);
    assert_eq!(listed(&format!("?cursor={}", first["nextCursor"].as_str().unwrap())), ["one"]);
    for (query, wrong) in [("?from=yesterday", "from"), ("?cursor=x", "cursor"), ("?limit=0", "limit")] {
        assert_eq!(key.get(&format!("/requests{query}")).invalid(), [wrong]);
    }
    key.delete("/sessions/one").ok(200);
    assert_eq!(
        key.get("/requests").ok(200)["items"][1]["sessionId"],
        Value::Null,
        "a session that is gone is not named"
    );
}

#[test]
fn an_owner_alone_reads_what_the_provider_said() {
    let words = json!({ "error": { "message": "You have no quota left, see https://provider.example" } });
    let (app, model) = (App::shared(), FakeModel::start([Answer::json(401, &words)]));
    let (key, browser) = (app.org_asking("acme", &model), app.browser("acme"));
    let refused = key.post("/chat", json!({ "model": "up/free", "messages": [user("Hi")] }));
    assert!(!refused.fails(502, "MODEL_UNAVAILABLE").to_string().contains("quota left"));
    let row = newest(|| browser.get("/requests").ok(200), "refused");
    let one = |client: &crate::support::client::Client| {
        client.get(&format!("/requests/{}", row["id"].as_str().unwrap())).ok(200)["upstreamSaid"].clone()
    };
    assert!(one(&browser).as_str().unwrap().contains("You have no quota left"));
    assert_eq!([&row["upstreamSaid"], &one(&key)], [&Value::Null; 2]);
    let shown = app.alm(&["logs", "--org", &app.slug("acme"), "--failed"]).ok().to_owned();
    assert!(shown.contains("MODEL_UNAVAILABLE") && shown.contains("the provider said: "), "{shown}");
    assert_eq!(app.alm(&["logs", "--org", &app.slug("acme"), "--key-name", "nobody's", "--json"]).ok(), "");
}
