//! Agents.

use alm::key::{Env, Scope};
use serde_json::{Value, json};

use crate::support::{
    client::Stream,
    fake_model::{Answer, FakeModel},
    harness::{App, column, user},
};

#[test]
fn every_organization_has_ala_first_and_always() {
    let app = App::shared();
    let acme = app.org("acme");
    acme.post("/agents", json!({ "name": "Aaron" })).ok(201);
    let agents = acme.get("/agents").ok(200);
    assert_eq!(column(&agents, "slug"), ["ala", "aaron"]);
    assert_eq!((&agents["nextCursor"], &agents["hasMore"]), (&Value::Null, &json!(false)));
    acme.delete("/agents/ala").fails(403, "FORBIDDEN");
    for change in [json!({ "name": "Bea" }), json!({ "isActive": false }), json!({ "model": "demo/ala" })] {
        acme.patch("/agents/ala", change).fails(403, "FORBIDDEN");
    }
    acme.patch("/agents/ala", json!({ "systemPrompt": "Be brief." })).ok(200);
    assert_eq!(acme.post("/agents", json!({ "name": "ala" })).invalid(), ["name", "slug"]);
}

#[test]
fn an_agent_has_every_key_of_the_contract() {
    let app = App::shared();
    let agent = app.org("acme").get("/agents/ala").ok(200);
    let keys: Vec<_> = agent.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "id",
            "orgId",
            "name",
            "slug",
            "description",
            "avatar",
            "model",
            "systemPrompt",
            "allowedTools",
            "clientTools",
            "isActive",
            "settings",
            "createdAt",
            "updatedAt"
        ]
    );
    assert_eq!((&agent["model"], &agent["isActive"]), (&Value::Null, &json!(true)));
}

#[test]
fn an_agent_is_made_read_changed_and_gone() {
    let app = App::shared();
    let acme = app.org("acme");
    let made = acme.post(
        "/agents",
        json!({ "name": "  Release   notes ", "model": "demo/ala", "settings": { "temperature": 0.5, "maxSteps": 3 } }),
    );
    let made = made.ok(201);
    assert_eq!((&made["name"], &made["slug"]), (&json!("Release notes"), &json!("release-notes")));
    assert_eq!(made["settings"], json!({ "temperature": 0.5, "maxSteps": 3 }));
    let by_id = format!("/agents/{}", made["id"].as_str().unwrap());
    assert_eq!(acme.get(&by_id).ok(200), acme.get("/agents/release-notes").ok(200));
    let changed = acme.patch(&by_id, json!({ "model": null, "settings": { "topP": 1.0 }, "slug": "notes" })).ok(200);
    assert_eq!((&changed["model"], &changed["slug"]), (&Value::Null, &json!("notes")));
    assert_eq!(changed["settings"], json!({ "topP": 1.0 }));
    assert_eq!(acme.delete(&by_id).ok(200), json!({ "deleted": true }));
    acme.get(&by_id).fails(404, "NOT_FOUND");
    acme.delete(&by_id).fails(404, "NOT_FOUND");
    acme.post("/agents", json!({ "name": "Notes" })).ok(201);
}

#[test]
fn a_slug_is_taken_once() {
    let app = App::shared();
    let acme = app.org("acme");
    acme.post("/agents", json!({ "name": "One" })).ok(201);
    acme.post("/agents", json!({ "name": "one" })).fails(409, "CONFLICT");
    acme.post("/agents", json!({ "name": "Two" })).ok(201);
    acme.patch("/agents/two", json!({ "slug": "one" })).fails(409, "CONFLICT");
    app.org("globex").post("/agents", json!({ "name": "One" })).ok(201);
}

#[test]
fn every_field_out_of_range_is_named() {
    let app = App::shared();
    let reply = app.org("acme").post(
        "/agents",
        json!({
            "name": " ", "slug": "A b", "description": "x".repeat(5_001), "model": "ala", "allowedTools": [""],
            "settings": { "temperature": 2.1, "topP": -0.1, "maxOutputTokens": 0, "maxSteps": 51 },
        }),
    );
    let fields = reply.invalid();
    let mut expected = vec!["name", "description", "slug", "model", "allowedTools", "settings.temperature"];
    expected.extend(["settings.topP", "settings.maxOutputTokens", "settings.maxSteps"]);
    assert_eq!(fields, expected);
}

#[test]
fn a_shape_of_replies_is_kept_as_it_was_given() {
    let app = App::shared();
    let acme = app.org("acme");
    let schema =
        json!({ "type": "object", "required": ["z", "a"], "properties": { "z": {}, "a": { "type": "string" } } });
    let format = json!({ "name": "two", "schema": schema, "strict": true });
    let made = acme.post("/agents", json!({ "name": "Shaped", "settings": { "responseFormat": format } })).ok(201);
    assert_eq!(made["settings"].to_string(), json!({ "responseFormat": format }).to_string());
    let changed = acme.patch("/agents/shaped", json!({ "settings": { "maxSteps": 2 } })).ok(200);
    assert_eq!(changed["settings"], json!({ "maxSteps": 2 }));
    for (format, field) in [
        (json!({ "name": "a b", "schema": { "type": "object" } }), "name"),
        (json!({ "name": "x", "schema": { "type": "array" } }), "schema"),
        (json!({ "name": "x", "schema": { "type": "object", "properties": { "a": { "type": "strin" } } } }), "schema"),
        (json!({ "name": "x", "schema": { "type": "object", "$ref": "https://example.com/a.json" } }), "schema"),
    ] {
        let reply = acme.patch("/agents/shaped", json!({ "settings": { "responseFormat": format } }));
        assert_eq!(reply.invalid(), [format!("settings.responseFormat.{field}")], "{format}");
    }
}

#[test]
fn pages_of_agents_are_whole_and_without_repetition() {
    let app = App::shared();
    let acme = app.org("acme");
    for n in 0..5 {
        acme.post("/agents", json!({ "name": format!("Agent {n}") })).ok(201);
    }
    let (mut slugs, mut cursor) = (Vec::new(), String::new());
    for _page in 0..4 {
        let page = acme.get(&format!("/agents?limit=2{cursor}")).ok(200);
        slugs.extend(column(&page, "slug"));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(slugs, ["ala", "agent-0", "agent-1", "agent-2", "agent-3", "agent-4"]);
    for limit in ["0", "101", "-1"] {
        assert_eq!(acme.get(&format!("/agents?limit={limit}")).invalid(), ["limit"]);
    }
    acme.get("/agents?limit=x").fails(400, "BAD_REQUEST");
}

#[test]
fn a_scope_admits_what_it_says_and_nothing_else() {
    let app = App::shared();
    app.org("acme");
    let with = |scope| app.key("acme", Env::Live, &[scope]);
    with(Scope::Chat).get("/agents").ok(200);
    with(Scope::Chat).get("/agents/ala").fails(403, "FORBIDDEN");
    with(Scope::Chat).post("/agents", json!({ "name": "x" })).fails(403, "FORBIDDEN");
    with(Scope::Read).get("/agents/ala").ok(200);
    with(Scope::Read).post("/agents", json!({ "name": "x" })).fails(403, "FORBIDDEN");
    with(Scope::Read).post("/sessions", json!({})).fails(403, "FORBIDDEN");
    with(Scope::Write).post("/agents", json!({ "name": "x" })).ok(201);
    with(Scope::Write).get("/agents").fails(403, "FORBIDDEN");
}

#[test]
fn a_key_that_may_not_read_sees_no_system_prompt() {
    let app = App::shared();
    let read = app.org("acme").get("/agents").ok(200);
    assert!(read["items"][0]["systemPrompt"].is_string());
    assert!(app.browser("acme").get("/agents").ok(200)["items"][0]["systemPrompt"].is_string());
    let chat = app.key("acme", Env::Live, &[Scope::Chat]).get("/agents").ok(200);
    assert_eq!(chat["items"][0].get("systemPrompt"), None, "{chat}");
    assert_eq!(chat["items"][0]["slug"], json!("ala"));
    let write = app.key("acme", Env::Live, &[Scope::Write]);
    let changed = write.patch("/agents/ala", json!({ "settings": {} })).ok(200);
    assert_eq!(changed.get("systemPrompt"), None, "{changed}");
}

#[test]
fn an_agents_tools_ask_at_least_what_it_says_and_those_of_clients_are_kept() {
    let app = App::shared();
    let key = app.org("acme");
    let tools =
        json!([{ "name": "getLocation", "description": "Where the person is.", "inputSchema": { "type": "object" } }]);
    let made = key
        .post("/agents", json!({ "name": "A", "settings": { "toolApproval": "owner" }, "clientTools": tools }))
        .ok(201);
    assert_eq!((&made["settings"]["toolApproval"], &made["clientTools"]), (&json!("owner"), &tools));
    let path = format!("/agents/{}", made["id"].as_str().unwrap());
    let listed = key.get(&format!("/tools?agentId={}", made["slug"].as_str().unwrap())).ok(200);
    assert_eq!(listed["items"][0]["approval"], "owner", "the stricter counts");
    let changed = key.patch(&path, json!({ "name": "B" })).ok(200);
    assert_eq!((&changed["clientTools"], &changed["settings"]), (&tools, &made["settings"]));
    assert_eq!(key.patch(&path, json!({ "clientTools": null, "settings": {} })).ok(200)["clientTools"], json!(null));
    for (tools, is_fine) in [
        (json!([]), true),
        (json!([{ "name": "a" }]), true),
        (json!([{ "name": "a b" }]), false),
        (json!([{ "name": "a" }, { "name": "a" }]), false),
        (json!([{ "name": "a", "inputSchema": [] }]), false),
    ] {
        let reply = key.patch(&path, json!({ "clientTools": tools }));
        match is_fine {
            true => assert_eq!(reply.ok(200)["clientTools"], tools),
            false => assert_eq!(reply.invalid(), ["clientTools"], "{tools}"),
        }
    }
    assert_eq!(key.patch(&path, json!({ "settings": { "toolApproval": "sometimes" } })).status, 400);
}

#[test]
fn an_agents_client_tools_are_offered_and_those_of_a_request_win_by_name() {
    let (app, model) = (App::shared(), FakeModel::start([Answer::text("a"), Answer::text("b")]));
    let acme = app.org_asking("acme", &model);
    let tool = |name: &str, description: &str| json!({ "name": name, "description": description });
    let kept = json!([tool("getLocation", "Where."), tool("openDoor", "Opens.")]);
    let porter = acme.post("/agents", json!({ "name": "Porter", "clientTools": kept })).ok(201);
    let offered = |brought: Value| {
        acme.chat(json!({ "agentId": porter["id"], "messages": [user("Go")], "tools": brought }));
        let chats = model.chats();
        let tools = chats.last().unwrap()["tools"].as_array().unwrap().iter().map(|tool| &tool["function"]);
        let shown = tools.map(|tool| format!("{} {}", tool["name"], tool["description"]).replace('"', ""));
        shown.take(2).collect::<Vec<_>>()
    };
    assert_eq!(offered(json!([])), ["getLocation Where.", "openDoor Opens."]);
    assert_eq!(offered(json!([tool("openDoor", "Mine.")])), ["openDoor Mine.", "getLocation Where."]);
}

#[test]
fn a_reply_of_a_shape_is_asked_for_and_told_whether_it_fits() {
    let replies = [r#"{"city":"Bern"}"#, "Bern", r#"{"city":7}"#, "Noon."];
    let (app, model) = (App::shared(), FakeModel::start(replies.map(Answer::text)));
    let acme = app.org_asking("acme", &model);
    let schema = json!({ "type": "object", "required": ["city"], "properties": { "city": { "type": "string" } } });
    let settings = json!({ "responseFormat": { "name": "place", "schema": schema, "strict": true } });
    acme.post("/agents", json!({ "name": "Shaped", "allowedTools": [], "settings": settings })).ok(201);
    let ask = || acme.chat(json!({ "agentId": "shaped", "messages": [user("Where?")] }));
    let told = |stream: &Stream| stream.one("finish")["messageMetadata"]["structured"].clone();
    assert_eq!(told(&ask()), json!({ "valid": true }));
    assert_eq!(told(&ask()), json!({ "valid": false, "error": "The reply is not JSON." }));
    let wrong = told(&ask());
    assert!(wrong["error"].as_str().unwrap().starts_with("city: "), "{wrong}");
    let format = json!({ "name": "place", "schema": schema, "strict": true });
    let asked = model.chats().pop().unwrap();
    assert_eq!(asked["response_format"], json!({ "type": "json_schema", "json_schema": format }));
    // Several servers refuse both.
    acme.patch("/agents/shaped", json!({ "allowedTools": null })).ok(200);
    assert_eq!(told(&ask()), Value::Null);
    let asked = model.chats().pop().unwrap();
    assert!(asked.get("response_format").is_none() && asked["tools"].is_array(), "{asked}");
}
