//! A tool that the model itself calls: it copies the calls of earlier turns.
//!
//! Why two models: 135 million parameters call no tool by themselves. A scripted model has called one twice in the session
//! before, and llama.cpp may not say the word that the model would rather begin with.

use serde_json::{Value, json};

use super::{
    people::{agent_with, connect, question},
    program::{Llama, Model, template},
    support::{
        client::Client,
        fake_model::{Answer, FakeModel},
        harness::{App, user},
    },
};

/// How the model would begin instead of a call.
const INSTEAD: &str = "response";
/// How an output of the tool begins, and how the replies do: it may copy them as well.
const YEAR: &str = "2";
const WORDS: &str = "It";
/// Tokens of an answer that holds a call.
const CALL_TOKENS: u32 = 96;

/// A request that the model answers with a call of `current_time`.
pub fn copied_call() -> Value {
    let parameters = json!({ "type": "object", "properties": { "utcOffsetMinutes": { "type": "integer" } } });
    let function = json!({ "name": "current_time", "description": "The time.", "parameters": parameters });
    let mut messages = Vec::new();
    for (id, offset) in [("a00000001", 60), ("a00000002", 120)] {
        let arguments = json!({ "utcOffsetMinutes": offset }).to_string();
        let call =
            json!({ "id": id, "type": "function", "function": { "name": "current_time", "arguments": arguments } });
        messages.push(user("What time is it?"));
        messages.push(json!({ "role": "assistant", "content": "", "tool_calls": [call] }));
        messages.push(json!({ "role": "tool", "tool_call_id": id, "content": "{\"utc\":\"12:00\"}" }));
        messages.push(json!({ "role": "assistant", "content": "It is noon." }));
    }
    messages.push(user("What time is it?"));
    json!({
        "messages": messages, "tools": [{ "type": "function", "function": function }], "max_tokens": CALL_TOKENS,
        "logit_bias": [[INSTEAD, false]],
    })
}

/// Flags of llama.cpp that leave the model nothing but the call: as many pairs as it has words for the rest.
pub fn banned() -> Vec<String> {
    let plain = Llama::start(Model::Smollm2, 512, &[]);
    let tokens = |word: &str| plain.post("/tokenize", &json!({ "content": word })).1["tokens"].clone();
    let ids = [INSTEAD, YEAR, WORDS].map(tokens);
    let ids = ids.iter().flat_map(|ids| ids.as_array().unwrap());
    ids.map(|id| format!("--logit-bias {id}-inf")).collect()
}

/// Has a scripted model call the tool twice, and then the real one, whose agent is made with so many tokens an answer.
pub fn calls(app: &App, owner: &Client, agent: impl Fn(u32) -> String) {
    let script = ["a", "b"].map(|id| {
        let call = Answer::call(id, "current_time", r#"{"utcOffsetMinutes":60}"#);
        [call, Answer::text("It is noon.")]
    });
    let scripted = FakeModel::start(script.into_iter().flatten());
    let (org, url) = (app.slug("acme"), scripted.base_url());
    app.alm(&["providers", "add", "--org", &org, "--slug", "script", "--base-url", &url, "--model", "free"]).ok();
    let agent = agent(CALL_TOKENS);
    for _ in 0..2 {
        let mut body = question("c", &agent, "What time is it?");
        body["model"] = json!("script/free");
        owner.chat(body);
    }
    let stream = owner.chat(question("c", &agent, "What time is it?"));
    let input = stream.all("tool-input-available");
    assert!(!input.is_empty() && input.iter().all(|call| call["toolName"] == json!("current_time")), "{}", stream.raw);
    assert!(!stream.all("tool-output-available").is_empty(), "{}", stream.raw);
    let parts = owner.messages("c").pop().unwrap()["parts"].clone();
    let tool = parts.as_array().unwrap().iter().find(|part| part["type"] == json!("tool-current_time")).unwrap();
    assert_eq!(tool["state"], json!("output-available"));
}

#[test]
fn a_call_that_the_model_makes_is_run() {
    let (qwen, banned) = (template("Qwen-Qwen2.5-7B-Instruct"), banned());
    let mut flags = vec!["--chat-template-file", &qwen, "--temp", "0"];
    flags.extend(banned.iter().flat_map(|flag| flag.split(' ')));
    let llama = Llama::start(Model::Smollm2, 4_096, &flags);
    let app = App::start(&[]);
    let owner = connect(&app, &llama);
    calls(&app, &owner, |tokens| agent_with(&owner, tokens, json!(["current_time"])));
}
