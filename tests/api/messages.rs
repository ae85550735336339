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

#[test]
fn a_page_ends_before_the_message_that_would_make_it_too_large() {
    const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
    let app = App::shared();
    let acme = app.org("acme");
    let empty = r#"[{"type":"text","text":""}]"#.len();
    for (bytes, together) in [(PAGE_BYTES_MAX - 1, 2), (PAGE_BYTES_MAX, 2), (PAGE_BYTES_MAX + 1, 1)] {
        let path = session(&acme);
        let texts = ["x".repeat(1024 * 1024), "y".repeat(1024 * 1024 - 1_000)];
        // Each text stands in its parts and in the content.
        let rest = bytes - texts.iter().map(|text| 2 * text.len() + empty).sum::<usize>() - "{}".len();
        let metadata = json!({ "a": "z".repeat(rest - r#"{"a":""}"#.len()) });
        acme.post(&path, json!({ "role": "user", "content": texts[0] })).ok(201);
        acme.post(&path, json!({ "role": "user", "content": texts[1], "metadata": metadata })).ok(201);
        let page = acme.get(&path).ok(200);
        assert_eq!(page["items"].as_array().unwrap().len(), together, "{bytes}");
        assert_eq!(page["hasMore"], json!(together == 1));
    }
}

#[test]
fn a_message_larger_than_a_page_is_a_page_of_its_own() {
    let app = App::shared();
    let acme = app.org("acme");
    let path = session(&acme);
    let large = "x".repeat(5 * 1024 * 1024);
    for text in ["first", &large, "last"] {
        let made = acme.post(&path, json!({ "role": "user", "content": text })).ok(201);
        assert_eq!(made["content"], json!(text));
    }
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = acme.get(&format!("{path}?pageSize=50{cursor}")).ok(200);
        pages.push(column(&page, "content"));
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(pages, [vec!["first".to_owned()], vec![large], vec!["last".to_owned()]]);
}
