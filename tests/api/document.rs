//! The document is what the server does, and what the repository shows.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;

use crate::support::{browser::PASSWORD, harness::App};

/// Path, method and operation of everything below `/api`. Next door, `openai_document.rs` walks the rest.
pub fn operations(document: &Value) -> Vec<(String, String, Value)> {
    operations_below(document, "/api/")
}

/// The same below another prefix.
pub fn operations_below(document: &Value, prefix: &str) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap().iter().filter(|(path, _)| path.starts_with(prefix));
    let each = |(path, methods): (&String, &Value)| -> Vec<_> {
        let methods = methods.as_object().unwrap();
        methods.iter().map(|(method, operation)| (path.clone(), method.to_uppercase(), operation.clone())).collect()
    };
    paths.flat_map(each).collect()
}

/// Whether an operation may be called with a key, or else only by a person at a browser.
pub fn takes_keys(operation: &Value) -> bool {
    operation["security"].as_array().is_some_and(|ways| ways.iter().any(|way| way.get("bearer").is_some()))
}

/// The document as the server serves it.
pub fn served() -> Value {
    App::shared().anonymous().get("/openapi.json").json()
}

#[test]
fn the_repository_shows_what_the_binary_serves() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/openapi.json");
    let app = App::shared();
    let document = app.alm(&["openapi"]).stdout;
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &document).unwrap();
    }
    let shown = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(shown == document, "openapi/openapi.json is out of date: UPDATE=1 cargo test --test api writes it");
    assert_eq!(app.anonymous().get("/openapi.json").text, document);
}

#[test]
fn every_operation_says_what_it_is_what_it_takes_and_how_it_fails() {
    let document = served();
    assert_eq!(document["openapi"], "3.0.0");
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let at = format!("{method} {path}");
        let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{at}: no operation id"));
        assert!(ids.insert(id.to_owned()), "{at}: {id} is there twice");
        assert!(id.contains('_') && id.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{at}: {id}");
        assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{at}: no summary");
        assert!(operation["tags"].as_array().is_some_and(|tags| tags.len() == 1), "{at}: no tag");
        let security = operation["security"].to_string();
        match id {
            "set_up" | "log_in" | "show_invitation" | "accept_invitation" => {
                assert_eq!(security, "null", "{at}: whoever calls is nobody yet")
            }
            _ if takes_keys(&operation) => {
                assert_eq!(security, r#"[{"bearer":[]},{"apiKey":[]},{"signIn":[]}]"#, "{at}");
            }
            _ => assert_eq!(security, r#"[{"signIn":[]}]"#, "{at}"),
        }
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{at}: no success");
        for status in ["400", "401", "403", "404", "409", "413", "422", "429", "500", "502", "503"] {
            assert!(responses.contains_key(status), "{at}: no {status}");
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let example = parameter["in"] != "path" || parameter["example"].is_string();
            assert!(example, "{at}: {} has no example", parameter["name"]);
        }
        if let Some(body) = operation.get("requestBody") {
            let schema = body["content"]["application/json"]["schema"].clone();
            assert!(resolve(&document, &schema)["example"].is_object(), "{at}: the body has no example");
        }
    }
}

#[test]
fn every_parameter_of_a_path_is_declared_and_every_reference_leads_somewhere() {
    let document = served();
    for (path, method, operation) in operations(&document) {
        let named: BTreeSet<_> = path.split(['{', '}']).skip(1).step_by(2).map(str::to_owned).collect();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let of_path = parameters.iter().filter(|parameter| parameter["in"] == "path");
        let declared: BTreeSet<_> = of_path.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect();
        assert_eq!(named, declared, "{method} {path}");
    }
    let text = document.to_string();
    for reference in text.split(r##""$ref":"#"##).skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "#{pointer} leads nowhere");
    }
}

#[test]
fn the_examples_work_as_they_stand() {
    let app = App::start(&[]);
    let acme = app.org("acme");
    // The person of the examples, who owns an organization of their own.
    let hash = alm::password::hash(PASSWORD).unwrap();
    app.store().create_org("example", "you@example.com", Some(hash)).unwrap();
    let person = app.anonymous().sign_in("you@example.com", PASSWORD);
    let document = served();
    // Those that make what others read come first, the containers before what they hold; those that delete come last.
    let order = |method: &str| ["POST", "GET", "PATCH", "DELETE"].iter().position(|known| *known == method);
    let mut operations = operations(&document);
    operations.sort_by_key(|(path, method, _)| (path.ends_with("/logout"), order(method), path.split('/').count()));
    for (path, method, operation) in operations {
        // These need something of another moment: a code, a reply or a call that waits, a model server, a key or a sign-in of that id; events end never.
        let of_another_moment = [
            "/resume",
            "/setup",
            "/test",
            "/refresh",
            "/restart",
            "/rotate",
            "/sessions/{id}",
            "/api-keys/{id}",
            "/members/{id}",
            "/invitations/{id}",
            "/requests/{request_id}",
            "/events",
            "/auth/invitation",
            "/auth/join",
            "/approvals/{approval_id}",
        ];
        // There is none without a file.
        let is_of_a_local_model = path.starts_with("/api/v1/local-models/");
        let is_chat_session = path.starts_with("/api/v1/sessions/");
        if is_of_a_local_model || of_another_moment.iter().any(|end| path.ends_with(end)) && !is_chat_session {
            continue;
        }
        let mut url = path.clone();
        for parameter in operation["parameters"].as_array().unwrap() {
            let placeholder = format!("{{{}}}", parameter["name"].as_str().unwrap());
            url = url.replace(&placeholder, parameter["example"].as_str().unwrap_or_default());
        }
        let body = operation
            .get("requestBody")
            .map(|body| resolve(&document, &body["content"]["application/json"]["schema"])["example"].to_string());
        // What the person alone can make, the person reads.
        let persons = ["/api/v1/providers", "/api/v1/tools/", "/api/v1/mcp/"];
        let is_persons = !takes_keys(&operation) || persons.iter().any(|path| url.starts_with(path));
        let reply = if is_persons { &person } else { &acme }.send(&method, &url, body.as_deref());
        let is_ala = url == "/api/v1/agents/ala" && method == "DELETE";
        assert!((200..300).contains(&reply.status) || is_ala, "{method} {url}: {} {}", reply.status, reply.text);
    }
}

pub fn resolve(document: &Value, schema: &Value) -> Value {
    match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).cloned().unwrap_or_default(),
        None => schema.clone(),
    }
}
