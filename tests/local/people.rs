//! Who talks to llama.cpp through the real server: an organization whose provider `up` it is.

use serde_json::{Value, json};

use super::{
    program::Llama,
    support::{
        client::Client,
        harness::{App, ModelSpec, user, wait},
    },
};

/// Any name does: llama.cpp answers with the model it has.
const SPEC: ModelSpec = ModelSpec { name: "smollm2", price: None, context_window: None };
/// Tokens of an answer where any would do.
pub const FEW_TOKENS: u32 = 16;

/// A server of the test's own, and the owner of an organization whose provider is this one.
pub fn owner(llama: &Llama) -> (App, Client) {
    let app = App::start(&[]);
    let owner = connect(&app, llama);
    (app, owner)
}

/// The same on a server that is there already. Agents that name no model answer with this one.
pub fn connect(app: &App, llama: &Llama) -> Client {
    app.provider("acme", &llama.base_url(), &[SPEC]);
    wait(app.store().org(&app.tenant("acme")).set_default_model(Some("up/smollm2".into()))).unwrap();
    app.org("acme")
}

/// An agent without tools whose answers have at most so many tokens; its id.
pub fn agent(owner: &Client, output_tokens: u32) -> String {
    agent_with(owner, output_tokens, json!([]))
}

/// The same with these tools.
pub fn agent_with(owner: &Client, output_tokens: u32, tools: Value) -> String {
    let settings = json!({ "temperature": 0, "maxOutputTokens": output_tokens });
    let body = json!({
        "name": "Bea", "model": "up/smollm2", "systemPrompt": "Answer shortly.", "allowedTools": tools,
        "settings": settings,
    });
    owner.post("/agents", body).ok(201)["id"].as_str().unwrap().to_owned()
}

/// From now on its answers have at most so many tokens.
pub fn limit(owner: &Client, agent: &str, output_tokens: u32) {
    let settings = json!({ "temperature": 0, "maxOutputTokens": output_tokens });
    owner.patch(&format!("/agents/{agent}"), json!({ "settings": settings })).ok(200);
}

/// A question in a session.
pub fn question(session: &str, agent: &str, text: &str) -> Value {
    json!({ "id": session, "agentId": agent, "messages": [user(text)] })
}

/// Text of about so many tokens: every word is one or two.
pub fn words(tokens: usize) -> String {
    let words = ["house", "river", "green", "seven", "walks", "under", "bread", "stone"];
    (0..tokens).map(|n| words[(n * n / 7 + n) % words.len()]).collect::<Vec<_>>().join(" ")
}
