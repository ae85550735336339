//! Which orders of messages the templates of models refuse, and that our scripted server refuses the same.

use serde_json::{Value, json};

use super::{
    program::{Llama, Model, template},
    support::local_server::{LocalServer, Template},
};

/// Templates that take all of it.
const LENIENT: [&str; 3] = ["Qwen-Qwen2.5-7B-Instruct", "meta-llama-Llama-3.2-3B-Instruct", "google-gemma-4-31B-it"];

/// Conversations that some template or other refuses, and one that all take.
fn talks() -> Vec<(&'static str, Value)> {
    let says = |role: &str| json!({ "role": role, "content": "x" });
    let [system, user, assistant] = ["system", "user", "assistant"].map(says);
    let call = |id: &str| {
        let function = json!({ "name": "clock", "arguments": "{}" });
        json!({ "role": "assistant", "content": "", "tool_calls": [{ "id": id, "type": "function", "function": function }] })
    };
    let output = |id: &str| json!({ "role": "tool", "tool_call_id": id, "content": "x" });
    let (called, told) = (call("a1b2c3d4e"), output("a1b2c3d4e"));
    vec![
        ("in turn", json!([system, user, assistant, user])),
        ("two users", json!([system, user, user])),
        ("an assistant first", json!([assistant, user])),
        ("two assistants", json!([user, assistant, assistant, user])),
        ("an output", json!([user, called, told])),
        ("a user after an output", json!([user, called, told, user])),
        ("an assistant after an output", json!([user, called, told, assistant, user])),
        ("a long id", json!([user, call("call_0123456789"), output("call_0123456789")])),
    ]
}

/// What a server takes of them.
fn taken(mut ask: impl FnMut(Value) -> u16) -> Vec<&'static str> {
    let asked =
        talks().into_iter().map(|(name, messages)| (name, ask(json!({ "messages": messages, "max_tokens": 1 }))));
    let answered: Vec<_> = asked.collect();
    let refusals = answered.iter().filter(|(_, status)| *status != 200);
    assert!(refusals.clone().all(|(_, status)| matches!(status, 400 | 500)), "{answered:?}");
    answered.into_iter().filter(|(_, status)| *status == 200).map(|(name, _)| name).collect()
}

#[test]
fn strict_templates_refuse_what_our_scripted_server_refuses() {
    for (name, script) in [
        ("google-gemma-2-2b-it", Template::Gemma2),
        ("mistralai-Ministral-3-14B-Reasoning-2512", Template::Ministral),
        ("mistralai-Mistral-Nemo-Instruct-2407", Template::Nemo),
    ] {
        let llama = Llama::start(Model::Smollm2, 2_048, &["--chat-template-file", &template(name)]);
        let scripted = LocalServer::new().template(script).start();
        let agent = ureq::Agent::new_with_config(ureq::Agent::config_builder().http_status_as_error(false).build());
        let url = format!("{}/chat/completions", scripted.base_url());
        let real = taken(|body| llama.chat(body).0);
        assert_eq!(taken(|body| agent.post(&url).send(body.to_string()).unwrap().status().as_u16()), real, "{name}");
        assert!(real.len() < talks().len(), "{name} takes all of it");
    }
}

#[test]
fn other_templates_take_all_of_it() {
    for name in LENIENT {
        let llama = Llama::start(Model::Smollm2, 2_048, &["--chat-template-file", &template(name)]);
        assert_eq!(taken(|body| llama.chat(body).0).len(), talks().len(), "{name}");
    }
}
