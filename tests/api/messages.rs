//! Messages.

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    harness::{App, column, user},
};

fn session(client: &Client) -> String {
    let session = client.post("/sessions", json!({})).ok(201);
    format!("/sessions/{}/messages", session["id"].as_str().unwrap())
}

#[test]
fn a_message_is_kept_as_it_was_said() {
    let app = App::shared();
    let acme = app.org("acme");
    let path = session(&acme);
    let made = acme.post(&path, json!({ "role": "user", "content": "a \"quoted\"\nline", "metadata": { "k": 1 } }));
    let made = made.ok(201);
    assert_eq!(made["parts"], json!([{ "type": "text", "text": "a \"quoted\"\nline" }]));
    assert_eq!(
        (&made["role"], &made["status"], &made["metadata"]),
        (&json!("user"), &json!("complete"), &json!({ "k": 1 }))
    );
    let page = acme.get(&path).ok(200);
    assert_eq!(page["items"], json!([made]));
    let keys: Vec<_> = made.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["id", "sessionId", "role", "content", "parts", "metadata", "status", "createdAt"]);
    assert_eq!(acme.get(path.trim_end_matches("/messages")).ok(200)["messageCount"], json!(1));
}

#[test]
fn parts_that_a_strict_client_would_refuse_are_refused() {
    let app = App::shared();
    let acme = app.org("acme");
    let path = session(&acme);
    let said = json!([{ "type": "step-start" }, { "type": "text", "text": "a" }, { "type": "text", "text": "b" }]);
    assert_eq!(acme.post(&path, json!({ "role": "assistant", "parts": said })).ok(201)["content"], json!("ab"));
    assert_eq!(acme.post(&path, json!({ "role": "user", "parts": [] })).invalid(), ["parts"]);
    assert_eq!(acme.post(&path, json!({ "role": "user", "parts": [{ "type": "text" }] })).invalid(), ["parts[0]"]);
    acme.post(&path, json!({ "role": "user" })).fails(400, "BAD_REQUEST");
    acme.post(&path, json!({ "role": "tool", "content": "x" })).fails(400, "BAD_REQUEST");
    assert_eq!(acme.post(&path, json!({ "role": "user", "content": "x", "id": "a b" })).invalid(), ["id"]);
}

#[test]
fn the_same_id_again_is_the_stored_message() {
    let app = App::shared();
    let acme = app.org("acme");
    let (path, other) = (session(&acme), session(&acme));
    let first = acme.post(&path, json!({ "role": "user", "content": "one", "id": "m-1" })).ok(201);
    let again = acme.post(&path, json!({ "role": "user", "content": "two", "id": "m-1" })).ok(200);
    assert_eq!(first, again);
    assert_eq!(acme.get(&format!("{path}?countOnly=true")).ok(200), json!({ "count": 1 }));
    acme.post(&other, json!({ "role": "user", "content": "one", "id": "m-1" })).ok(201);
}

#[test]
fn a_history_is_paged_both_ways() {
    let app = App::shared();
    let acme = app.org("acme");
    let path = session(&acme);
    let ids: Vec<String> = (0..5).map(|n| format!("m{n}")).collect();
    for id in &ids {
        acme.post(&path, json!({ "role": "user", "content": "x", "id": id })).ok(201);
    }
    let walk = |order: &str| {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        for _page in 0..5 {
            let page = acme.get(&format!("{path}?pageSize=2&order={order}{cursor}")).ok(200);
            seen.extend(column(&page, "id"));
            assert_eq!(page["hasMore"], json!(page["nextCursor"] != Value::Null));
            let Some(next) = page["nextCursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        seen
    };
    assert_eq!(walk("asc"), ids);
    assert_eq!(walk("desc"), ids.iter().rev().cloned().collect::<Vec<_>>());
    assert_eq!(acme.get(&format!("{path}?pageSize=300")).ok(200)["items"].as_array().unwrap().len(), 5);
    assert_eq!(acme.get(&format!("{path}?pageSize=501")).invalid(), ["pageSize"]);
    assert_eq!(acme.get(&format!("{path}?pageSize=0")).invalid(), ["pageSize"]);
    assert_eq!(acme.get(&format!("{path}?cursor=nobody")).invalid(), ["cursor"]);
    acme.get(&format!("{path}?order=sideways")).fails(400, "BAD_REQUEST");
}

#[test]
fn a_history_with_files_may_be_large_and_other_bodies_may_not() {
    let app = App::shared();
    let acme = app.org("acme");
    let path = session(&acme);
    acme.post(&path, user(&"x".repeat(1024 * 1024))).ok(201);
    let large = json!({ "label": "x".repeat(129 * 1024) });
    acme.asking_first().post("/sessions", large).fails(413, "PAYLOAD_TOO_LARGE");
}
