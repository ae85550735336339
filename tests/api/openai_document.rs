//! The OpenAI-compatible face in the document: all of it is there, its examples work, and nobody reads another's.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    document::{operations_below, resolve, served},
    support::{client::Reply, harness::App},
};

/// Path, method and operation of everything below `/v1`.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    operations_below(document, "/v1/")
}

fn body_of(document: &Value, operation: &Value) -> Option<String> {
    let schema = &operation.get("requestBody")?["content"]["application/json"]["schema"];
    Some(resolve(document, schema)["example"].to_string())
}

/// Fails in the shape of its path, with that status.
#[track_caller]
fn refused(reply: &Reply, path: &str, status: u16) {
    assert_eq!(reply.status, status, "{path}: {}", reply.text);
    let json = reply.json();
    let keys = json["error"].as_object().unwrap().keys().map(String::as_str).collect::<BTreeSet<_>>();
    if path.starts_with("/v1/messages") {
        assert_eq!((&json["type"], keys), (&json!("error"), BTreeSet::from(["message", "type"])), "{path}");
        assert_eq!(reply.header("request-id"), reply.header("x-request-id"), "{path}");
    } else {
        assert_eq!(keys, BTreeSet::from(["code", "message", "param", "type"]), "{path}");
    }
}

#[test]
fn every_operation_of_v1_says_what_it_is_what_it_takes_and_how_it_fails() {
    let document = served();
    let all = operations(&document);
    assert!(all.iter().any(|(path, method, _)| path == "/v1/models" && method == "GET"));
    for (path, method, operation) in all {
        let at = format!("{method} {path}");
        assert_eq!(operation["tags"], json!(["OpenAI-compatible"]), "{at}");
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{at}");
        assert_eq!(operation["security"], json!([{ "bearer": [] }, { "apiKey": [] }]), "{at}");
        for status in ["200", "400", "401", "403", "404", "409", "413", "429", "500", "502", "503"] {
            assert!(operation["responses"].get(status).is_some(), "{at}: no {status}");
        }
        assert_eq!(path.contains('{'), operation["parameters"][0]["example"].is_string(), "{at}");
    }
}

#[test]
fn the_examples_of_v1_work_as_they_stand() {
    let app = App::shared();
    let acme = app.org("acme");
    let document = served();
    for (path, method, operation) in operations(&document) {
        // These need a response of that id, or a model that nobody is sure to have.
        let of_another_moment = ["/v1/responses/{", "/v1/conversations/{", "/v1/embeddings", "/v1/completions"];
        if of_another_moment.iter().any(|begin| path.starts_with(begin)) {
            continue;
        }
        let example = operation["parameters"][0]["example"].as_str().unwrap_or_default();
        let url = path.replace("{id}", example);
        let reply = acme.send(&method, &url, body_of(&document, &operation).as_deref());
        assert_eq!(reply.status, 200, "{method} {url}: {}", reply.text);
    }
}

#[test]
fn nobody_is_answered_401_on_every_path_of_v1() {
    let app = App::shared();
    let document = served();
    for (path, method, operation) in operations(&document) {
        let (url, body) = (path.replace("{id}", "x"), body_of(&document, &operation));
        refused(&app.anonymous().send(&method, &url, body.as_deref()), &url, 401);
        refused(&app.browser("acme").send(&method, &url, body.as_deref()), &url, 401);
    }
}

#[test]
fn what_another_organization_has_is_not_there_on_v1() {
    let app = App::shared();
    let (acme, theirs) = (app.org("acme"), app.org("globex"));
    let response = theirs.post("/v1/responses", json!({ "model": "ala", "input": "Hi" })).json()["id"].clone();
    let conversation = theirs.post("/v1/conversations", json!({})).json()["id"].clone();
    let agent = theirs.post("/agents", json!({ "name": "Theirs" })).ok(201)["id"].clone();
    let document = served();
    for (path, method, operation) in operations(&document) {
        let id = match path.split('/').nth(2).unwrap() {
            "responses" => &response,
            "conversations" => &conversation,
            _ => &agent,
        };
        if path.contains("{id}") {
            let url = path.replace("{id}", id.as_str().unwrap());
            refused(&acme.send(&method, &url, body_of(&document, &operation).as_deref()), &url, 404);
        }
    }
    for body in [
        json!({ "model": agent, "input": "Hi" }),
        json!({ "model": "ala", "input": "Hi", "previous_response_id": response }),
        json!({ "model": "ala", "input": "Hi", "conversation": conversation }),
    ] {
        refused(&acme.post("/v1/responses", body), "/v1/responses", 404);
    }
    assert_eq!(theirs.get(&format!("/v1/responses/{}", response.as_str().unwrap())).status, 200);
}
