//! One organization is invisible to another, on every path there is.

use std::collections::BTreeMap;

use alm::tools::connect::Place;
use serde_json::{Value, json};

use crate::{
    document::{operations, served, takes_keys},
    support::{
        client::Client,
        fake_model::nobody,
        harness::{App, ModelSpec, user},
        tools::new_tool,
    },
};

/// What an organization has, by the word its paths begin with.
fn belongings(app: &App, slug: &str) -> BTreeMap<&'static str, String> {
    let client = app.org(slug);
    let id = |reply: Value| reply["id"].as_str().unwrap().to_owned();
    let tool = format!("t-{}", alm::id::generate());
    app.browser(slug).post("/tools", new_tool(&tool, "https://api.example.com/")).ok(201);
    // As long as a server's slug may be, and nobody else's.
    let server = alm::id::generate()[..24].replace('-', "0");
    app.mcp_server(slug, &server, Place::Url("https://mcp.example.com/".into()));
    let session = id(client.post("/sessions", json!({ "label": "theirs" })).ok(201));
    client.post(&format!("/sessions/{session}/messages"), user("their words")).ok(201);
    let chat = client.chat(json!({ "messages": [user("Hi")] })).session();
    let call = app.tool_call(slug, &chat, "their_tool", "waiting");
    let invited =
        app.browser(slug).post("/invitations", json!({ "email": format!("{tool}@example.com"), "role": "member" }));
    BTreeMap::from([
        ("members", app.tenant(slug).user_id),
        ("invitations", id(invited.ok(201))),
        ("agents", id(client.post("/agents", json!({ "name": "Theirs" })).ok(201))),
        ("projects", id(client.post("/projects", json!({ "name": "Theirs" })).ok(201))),
        ("providers", app.provider(slug, &nobody(), &[ModelSpec::FREE]).id),
        // Nobody's, or everybody's: no organization has one of its own.
        ("local-models", alm::id::generate()),
        ("tools", tool),
        ("mcp", server),
        ("approvals", call),
        ("api-keys", client.get("/api-keys").ok(200)["items"][0]["id"].as_str().unwrap().to_owned()),
        ("requests", client.get("/requests").ok(200)["items"][0]["id"].as_str().unwrap().to_owned()),
        ("sessions", session.clone()),
        ("chat", session),
        ("auth", app.browser(slug).get("/auth/me").ok(200)["signInId"].as_str().unwrap().to_owned()),
    ])
}

/// Path, method and body of every operation; the path's id is one of `ids`.
fn requests(ids: &BTreeMap<&'static str, String>) -> Vec<(String, String, Option<String>, Value)> {
    let document = served();
    let each = |(path, method, operation): (String, String, Value)| {
        let resource = path.split('/').nth(3).unwrap();
        let segments = path.split('/');
        let filled: Vec<_> = segments.map(|s| if s.starts_with('{') { ids[resource].as_str() } else { s }).collect();
        let body = operation.get("requestBody").map(|body| {
            let schema = &body["content"]["application/json"]["schema"];
            let pointer = schema["$ref"].as_str().unwrap().trim_start_matches('#');
            document.pointer(pointer).unwrap()["example"].to_string()
        });
        (filled.join("/"), method, body, operation)
    };
    operations(&document).into_iter().map(each).collect()
}

fn state(client: &Client, ids: &BTreeMap<&'static str, String>) -> Vec<String> {
    let read = |path: String| client.get(&path).ok(200).to_string();
    let mut state: Vec<_> = ["agents", "projects", "providers", "sessions"]
        .iter()
        .map(|resource| read(format!("/{resource}/{}", ids[resource])))
        .collect();
    state.push(read(format!("/sessions/{}/messages", ids["sessions"])));
    state.push(read(format!("/tools/{}", ids["tools"])));
    state.push(read(format!("/mcp/servers/{}", ids["mcp"])));
    state
}

#[test]
fn nobody_is_answered_401_on_every_path() {
    let app = App::shared();
    let ids = belongings(&app, "globex");
    for (path, method, body, operation) in requests(&ids) {
        println!("{method} {path}");
        if operation.get("security").is_none() {
            continue;
        }
        app.anonymous().send(&method, &path, body.as_deref()).fails(401, "UNAUTHORIZED");
    }
}

#[test]
fn everything_of_another_organization_is_not_there() {
    let app = App::shared();
    let acme = app.org("acme");
    let ids = belongings(&app, "globex");
    let theirs = app.org("globex");
    let before = state(&theirs, &ids);
    let never = ids.keys().map(|resource| (*resource, alm::id::generate())).collect();
    for (request, other) in requests(&ids).into_iter().zip(requests(&never)) {
        let (path, method, body, operation) = request;
        if !path.contains(ids["sessions"].as_str()) && ids.values().all(|id| !path.contains(id)) {
            continue;
        }
        println!("{method} {path}");
        let reply = acme.send(&method, &path, body.as_deref());
        match !takes_keys(&operation) {
            true => drop(reply.fails(403, "FORBIDDEN")),
            // A chat that runs no reply is no failure, or clients that ask on every page load would show one.
            false if path.ends_with("/stream") => assert_eq!((reply.status, &*reply.text), (204, "")),
            false if path.ends_with("/stop") => assert_eq!(reply.ok(200)["stopped"], json!(false)),
            false => drop(reply.fails(404, "NOT_FOUND")),
        }
        let unknown = acme.send(&method, &other.0, body.as_deref());
        assert_eq!(without_id(&reply.text), without_id(&unknown.text));
    }
    assert_eq!(state(&theirs, &ids), before);
}

#[test]
fn everything_of_another_organization_is_not_there_for_a_browser_either() {
    let app = App::shared();
    let acme = app.browser("acme");
    let ids = belongings(&app, "globex");
    let theirs = app.org("globex");
    let before = state(&theirs, &ids);
    for (path, method, body, _) in requests(&ids) {
        if ids.values().all(|id| !path.contains(id)) {
            continue;
        }
        println!("{method} {path}");
        let reply = acme.send(&method, &path, body.as_deref());
        match &*path {
            path if path.ends_with("/stream") => assert_eq!((reply.status, &*reply.text), (204, "")),
            path if path.starts_with("/api/v1/chat/") && path.ends_with("/stop") => {
                assert_eq!(reply.ok(200)["stopped"], json!(false));
            }
            _ => drop(reply.fails(404, "NOT_FOUND")),
        }
        let named = acme.header("x-alumia-org", &app.slug("globex")).send(&method, &path, body.as_deref());
        if !path.starts_with("/api/v1/auth/") {
            named.fails(403, "FORBIDDEN");
        }
    }
    assert_eq!(state(&theirs, &ids), before);
}

#[test]
fn no_body_reaches_what_belongs_to_another_organization() {
    let app = App::shared();
    let acme = app.org("acme");
    let ids = belongings(&app, "globex");
    let asked = json!([{ "role": "user", "content": "Hello" }]);
    for (field, resource) in [("agentId", "agents"), ("projectId", "projects"), ("sessionId", "sessions")] {
        let mut body = json!({ "messages": asked });
        body[field] = json!(ids[resource]);
        acme.post("/chat", body).fails(404, "NOT_FOUND");
        if field != "sessionId" {
            acme.post("/sessions", json!({ field: ids[resource] })).fails(404, "NOT_FOUND");
        }
    }
    assert_eq!(acme.post("/chat", json!({ "messages": asked, "model": "up/free" })).invalid(), ["model"]);
    // A chat id is looked up by organization and id together: the same id is another session.
    let same_id = acme.post("/chat", json!({ "messages": asked, "id": ids["sessions"] }));
    assert_eq!(same_id.status, 200);
    let history = app.org("globex").get(&format!("/sessions/{}/messages", ids["sessions"])).ok(200);
    assert_eq!(history["items"].as_array().unwrap().len(), 1);
}

fn without_id(text: &str) -> Value {
    let mut json: Value = serde_json::from_str(text).unwrap_or_default();
    if let Some(error) = json.get_mut("error") {
        error["requestId"] = Value::Null;
    }
    json
}
