//! The audit: who may read which calls.

use serde_json::{Value, json};

use crate::support::harness::{App, column, user};

#[test]
fn calls_are_listed_newest_first_and_by_what_they_are() {
    let app = App::shared();
    let key = app.org("acme");
    for session in ["one", "two"] {
        key.chat(json!({ "id": session, "messages": [user("Hi")] }));
    }
    let ids: Vec<_> = [("one", "a", "done"), ("one", "b", "failed"), ("two", "a", "unknown")]
        .map(|(session, tool, status)| app.tool_call("acme", session, tool, status))
        .into();
    let listed = |query: &str| column(&key.get(&format!("/tool-calls{query}")).ok(200), "approvalId");
    let of = |numbers: &[usize]| numbers.iter().map(|n| ids[*n].clone()).collect::<Vec<_>>();
    assert_eq!(listed(""), of(&[2, 1, 0]));
    assert_eq!(listed("?sessionId=one"), of(&[1, 0]));
    assert_eq!(listed("?tool=a"), of(&[2, 0]));
    assert_eq!(listed("?status=failed"), of(&[1]));
    assert_eq!(listed("?from=2020-01-01T00:00:00.000Z&to=2999-01-01T00:00:00.000Z"), of(&[2, 1, 0]));
    assert_eq!(listed("?to=2020-01-01T00:00:00.000Z"), of(&[]));
    let first = key.get("/tool-calls?limit=2").ok(200);
    let next = first["nextCursor"].as_str().unwrap();
    assert_eq!(listed(&format!("?cursor={next}")), of(&[0]));
    let call = &first["items"][0];
    assert_eq!(
        (&call["sessionId"], &call["origin"], &call["policy"], &call["input"], &call["decidedBy"]),
        (&json!("two"), &json!("http"), &json!("ask"), &json!({ "q": 1 }), &Value::Null)
    );
    for (query, wrong) in [("?from=yesterday", "from"), ("?cursor=x", "cursor"), ("?limit=0", "limit")] {
        assert_eq!(key.get(&format!("/tool-calls{query}")).invalid(), [wrong]);
    }
    assert_eq!(app.org("globex").get("/tool-calls").ok(200)["items"], json!([]));
    let chat = app.key("acme", alm::key::Env::Live, &[alm::key::Scope::Chat]);
    chat.get("/tool-calls").fails(403, "FORBIDDEN");
}

#[test]
fn a_call_is_as_visible_as_its_session() {
    let app = App::shared();
    let (key, member) = (app.org("acme"), app.member("acme"));
    let project = json!({ "name": "Mine", "slug": "mine", "visibility": "private" });
    key.post("/projects", project).ok(201);
    key.chat(json!({ "id": "mine", "projectId": "mine", "messages": [user("Hi")] }));
    app.tool_call("acme", "mine", "a", "done");
    assert_eq!(column(&key.get("/tool-calls").ok(200), "tool"), ["a"]);
    assert_eq!(member.get("/tool-calls").ok(200)["items"], json!([]));
    key.delete("/sessions/mine").ok(200);
    assert_eq!(key.get("/tool-calls").ok(200)["items"], json!([]), "it went with its session");
}
