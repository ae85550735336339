//! Sessions.

use serde_json::{Value, json};

use crate::support::harness::{App, column, user};

#[test]
fn a_session_binds_an_agent_by_id_or_slug() {
    let app = App::shared();
    let acme = app.org("acme");
    let ala = acme.get("/agents/ala").ok(200);
    let session = acme.post("/sessions", json!({ "label": "API quickstart", "agentId": "ala" })).ok(201);
    let keys: Vec<_> = session.as_object().unwrap().keys().collect();
    let mut expected = vec!["id", "orgId", "userId", "agentId", "agentName", "agentAvatar", "projectId", "label"];
    expected.extend(["status", "metadata", "messageCount", "createdAt", "updatedAt", "origin"]);
    assert_eq!(keys, expected);
    assert_eq!((&session["agentId"], &session["agentName"]), (&ala["id"], &json!("Ala")));
    assert_eq!((&session["status"], &session["messageCount"]), (&json!("idle"), &json!(0)));
    acme.post("/sessions", json!({ "agentId": ala["id"] })).ok(201);
    acme.post("/sessions", json!({ "agentId": "nobody" })).fails(404, "NOT_FOUND");
    let bare = acme.post("/sessions", json!({})).ok(201);
    assert_eq!((&bare["label"], &bare["agentId"], &bare["metadata"]), (&json!("New chat"), &Value::Null, &json!({})));
}

#[test]
fn a_session_is_changed_and_gone() {
    let app = App::shared();
    let acme = app.org("acme");
    let project = acme.post("/projects", json!({ "name": "Handbook" })).ok(201);
    let path = format!("/sessions/{}", acme.post("/sessions", json!({})).ok(201)["id"].as_str().unwrap());
    let changed = acme.patch(&path, json!({ "label": "A  b", "metadata": { "k": [1] }, "projectId": "handbook" }));
    let changed = changed.ok(200);
    assert_eq!((&changed["label"], &changed["metadata"]), (&json!("A b"), &json!({ "k": [1] })));
    assert_eq!(changed["projectId"], project["id"]);
    assert_eq!(acme.patch(&path, json!({ "projectId": null })).ok(200)["projectId"], Value::Null);
    assert_eq!(acme.patch(&path, json!({ "status": "running", "label": "" })).invalid(), ["label", "status"]);
    acme.patch(&path, json!({ "metadata": 1 })).fails(400, "BAD_REQUEST");
    assert_eq!(acme.patch(&path, json!({ "metadata": { "k": "x".repeat(16_384) } })).invalid(), ["metadata"]);
    acme.delete(&path).ok(200);
    acme.get(&path).fails(404, "NOT_FOUND");
    acme.get(&format!("{path}/messages")).fails(404, "NOT_FOUND");
    assert!(column(&acme.get("/sessions").ok(200), "id").is_empty());
}

#[test]
fn sessions_are_listed_by_their_last_change_and_filtered() {
    let app = App::shared();
    let acme = app.org("acme");
    acme.post("/projects", json!({ "name": "Handbook" })).ok(201);
    acme.post("/agents", json!({ "name": "Bea" })).ok(201);
    let make = |body: Value| acme.post("/sessions", body).ok(201)["id"].as_str().unwrap().to_owned();
    let one = make(json!({ "label": "one", "agentId": "ala" }));
    let two = make(json!({ "label": "two", "agentId": "bea", "projectId": "handbook" }));
    acme.post(&format!("/sessions/{one}/messages"), user("Latest")).ok(201);
    assert_eq!(column(&acme.get("/sessions").ok(200), "id"), [one.clone(), two.clone()]);
    let first = acme.get("/sessions?limit=1").ok(200);
    let next = first["nextCursor"].as_str().unwrap();
    let second = acme.get(&format!("/sessions?limit=1&cursor={next}")).ok(200);
    assert_eq!((column(&first, "id"), column(&second, "id")), (vec![one.clone()], vec![two.clone()]));
    assert_eq!(second["hasMore"], json!(false));
    let project = acme.get("/projects/handbook").ok(200)["id"].as_str().unwrap().to_owned();
    assert_eq!(column(&acme.get(&format!("/sessions?projectId={project}")).ok(200), "id"), [&*two]);
    assert_eq!(column(&acme.get("/agents/bea/sessions").ok(200), "id"), [two]);
    acme.get("/agents/nobody/sessions").fails(404, "NOT_FOUND");
    assert_eq!(acme.get("/sessions?cursor=x").invalid(), ["cursor"]);
}

#[test]
fn a_search_finds_words_in_labels_and_messages_of_ones_own() {
    let app = App::shared();
    let acme = app.org("acme");
    let make =
        |label: &str| acme.post("/sessions", json!({ "label": label })).ok(201)["id"].as_str().unwrap().to_owned();
    let (labelled, said) = (make("Größere Pläne"), make("Other"));
    acme.post(&format!("/sessions/{said}/messages"), user("We have large plans, plane and all")).ok(201);
    assert_eq!(column(&acme.get("/sessions?q=gr%C3%B6ss").ok(200), "id"), [&*labelled]);
    assert_eq!(column(&acme.get("/sessions?q=plane").ok(200), "id"), [said.clone(), labelled]);
    let found = acme.get("/sessions?q=large%20pl").ok(200);
    assert_eq!(column(&found, "id"), [said]);
    assert!(found["items"][0]["snippet"].as_str().unwrap().contains("large plans"));
    for words in ["%22", "NEAR(", "*", "a%20OR%20b"] {
        acme.get(&format!("/sessions?q={words}")).ok(200);
    }
    assert!(column(&app.org("globex").get("/sessions?q=plans").ok(200), "id").is_empty());
}

#[test]
fn pinned_sessions_are_those_whose_metadata_says_so() {
    let app = App::shared();
    let acme = app.org("acme");
    let mut ids = Vec::new();
    for pinned in [json!(true), json!(false), json!("true"), json!(1), json!({ "pinned": true })] {
        let made = acme.post("/sessions", json!({ "metadata": { "pinned": pinned, "other": 1 } })).ok(201);
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    let pinned = || column(&acme.get("/sessions?pinned=true").ok(200), "id");
    assert_eq!(pinned(), ids[..1]);
    assert_eq!(column(&acme.get("/sessions?pinned=false").ok(200), "id").len(), 5);
    acme.patch(&format!("/sessions/{}", ids[1]), json!({ "metadata": { "pinned": true } })).ok(200);
    assert_eq!(pinned(), [ids[1].clone(), ids[0].clone()]);
    acme.patch(&format!("/sessions/{}", ids[0]), json!({ "metadata": {} })).ok(200);
    assert_eq!(pinned(), ids[1..2]);
    acme.delete(&format!("/sessions/{}", ids[1])).ok(200);
    assert!(pinned().is_empty());
}
