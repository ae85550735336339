//! Agents as they were, and agents that are tried out before they are stored.

use alm::key::{Env, Scope};
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    fake_model::{Answer, FakeModel},
    harness::{App, user},
};

fn prompts(acme: &Client, id: &str) -> Vec<String> {
    let versions = acme.get(&format!("/agents/{id}/versions")).ok(200);
    let prompt = |version: &Value| version["agent"]["systemPrompt"].as_str().unwrap().to_owned();
    versions["items"].as_array().unwrap().iter().map(prompt).collect()
}

#[test]
fn an_agent_becomes_what_it_was() {
    let app = App::shared();
    let acme = app.org("acme");
    let made = acme.post("/agents", json!({ "name": "Cook", "systemPrompt": "Cook.", "avatar": "C" })).ok(201);
    let id = made["id"].as_str().unwrap();
    acme.patch("/agents/cook", json!({ "systemPrompt": "Bake.", "settings": { "temperature": 0.5 } })).ok(200);
    acme.patch("/agents/cook", json!({ "slug": "baker", "isActive": false })).ok(200);
    assert_eq!(prompts(&acme, id), ["Bake.", "Cook."], "where it is found is no version");
    let restored = acme.post("/agents/baker/restore", json!({ "version": 1 })).ok(200);
    let fields = ["systemPrompt", "settings", "avatar", "slug", "isActive"].map(|key| restored[key].clone());
    assert_eq!(fields, [json!("Cook."), json!({}), json!("C"), json!("baker"), json!(false)]);
    assert_eq!(prompts(&acme, id), ["Cook.", "Bake.", "Cook."]);
    let newest = &acme.get("/agents/baker/versions").ok(200)["items"][0];
    assert_eq!((&newest["version"], newest["email"].is_string()), (&json!(3), true));
    for version in [0, 4] {
        assert_eq!(acme.post("/agents/baker/restore", json!({ "version": version })).invalid(), ["version"]);
    }
    let globex = app.org("globex");
    globex.get(&format!("/agents/{id}/versions")).fails(404, "NOT_FOUND");
    globex.post(&format!("/agents/{id}/restore"), json!({ "version": 1 })).fails(404, "NOT_FOUND");
    let reader = app.key("acme", Env::Live, &[Scope::Read]);
    reader.post("/agents/baker/restore", json!({ "version": 1 })).fails(403, "FORBIDDEN");
    let chatter = app.key("acme", Env::Live, &[Scope::Chat]);
    chatter.get("/agents/baker/versions").fails(403, "FORBIDDEN");
}

#[test]
fn ala_has_versions_from_her_first_change_on() {
    let app = App::shared();
    let acme = app.org("acme");
    let first = prompts(&acme, "ala");
    assert_eq!(first.len(), 1);
    acme.post("/agents/ala/restore", json!({ "version": 1 })).ok(200);
    acme.patch("/agents/ala", json!({ "systemPrompt": "Sing." })).ok(200);
    assert_eq!(prompts(&acme, "ala"), ["Sing.", &*first[0]]);
    acme.post("/agents/ala/restore", json!({ "version": 1 })).ok(200);
    assert_eq!(prompts(&acme, "ala")[0], first[0]);
}

fn draft() -> Value {
    json!({ "name": "Zyxprompt", "systemPrompt": "Answer as a wqvdraft.", "settings": { "temperature": 0.5 } })
}

#[test]
fn a_draft_answers_the_whole_conversation_and_no_word_of_it_is_kept() {
    let app = App::start(&[]);
    let model = FakeModel::start([Answer::text("xkjreply one"), Answer::text("xkjreply two")]);
    let acme = app.org_asking("acme", &model);
    let first = acme.chat(json!({ "id": "page", "messages": [user("qzhword?")], "agentDraft": draft() }));
    assert_eq!((first.text(), first.finish_reason()), ("xkjreply one".to_owned(), "stop"));
    assert_eq!(first.one("start")["messageMetadata"].get("sessionId"), None);
    let history = json!([user("qzhword?"), { "role": "assistant", "content": "xkjreply one" }, user("and?")]);
    acme.chat(json!({ "id": "page", "messages": history, "agentDraft": draft() }));
    let asked = model.last_messages();
    let texts: Vec<_> = asked.iter().map(|(role, text)| (&**role, &**text)).collect();
    assert_eq!(
        texts,
        [("system", "Answer as a wqvdraft."), ("user", "qzhword?"), ("assistant", "xkjreply one"), ("user", "and?")]
    );
    assert_eq!(acme.get("/sessions").ok(200)["items"], json!([]));
    assert_eq!(acme.get("/agents").ok(200)["items"].as_array().unwrap().len(), 1, "it is no agent");
    assert_eq!(acme.get("/billing/usage?groupBy=model").ok(200)["items"][0]["turns"], json!(2), "it is billed");
    for file in
        std::fs::read_dir(app.folder()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file())
    {
        let bytes = std::fs::read(&file).unwrap();
        for word in ["Zyxprompt", "wqvdraft", "xkjreply", "qzhword"] {
            let held = bytes.windows(word.len()).any(|window| window == word.as_bytes());
            assert!(!held, "{word} is in {}", file.display());
        }
    }
}

#[test]
fn a_draft_is_for_those_who_may_write_agents_and_is_checked_like_one() {
    let app = App::shared();
    let acme = app.org("acme");
    let body = |more: Value| {
        let mut body = json!({ "messages": [user("Hi")], "agentDraft": draft() });
        more.as_object().unwrap().iter().for_each(|(key, value)| body[key] = value.clone());
        body
    };
    let chatter = app.key("acme", Env::Live, &[Scope::Chat]);
    chatter.post("/chat", body(json!({}))).fails(403, "FORBIDDEN");
    assert_eq!(acme.post("/chat", body(json!({ "sessionId": "s" }))).invalid(), ["agentDraft"]);
    assert_eq!(acme.post("/chat", body(json!({ "agentId": "ala" }))).invalid(), ["agentDraft"]);
    assert_eq!(acme.post("/chat", body(json!({ "messages": [] }))).invalid(), ["messages"]);
    let broken = json!({ "agentDraft": { "name": "X", "settings": { "temperature": 3 } } });
    assert_eq!(acme.post("/chat", body(broken)).invalid(), ["settings.temperature"]);
    let once = acme.header("idempotency-key", "k");
    assert_eq!(once.post("/chat", body(json!({}))).invalid(), ["agentDraft"]);
    let chat = acme.chat(body(json!({ "model": "demo/ala" })));
    assert!(!chat.text().is_empty());
}
