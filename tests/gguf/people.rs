//! A server with such a child, and who asks it.

use serde_json::{Value, json};

use crate::{
    llama_server::LlamaServer,
    support::{
        client::Stream,
        harness::{App, until, user},
    },
};

/// So many chats as these people begin are no abuse.
const CHAT_RATE: [&str; 2] = ["--chat-rate", "1000000"];

/// A server with this child and these flags; it may not be ready yet.
pub fn begin(llama: &LlamaServer, flags: &[&str]) -> App {
    let variables = llama.variables();
    App::start_with(&[&CHAT_RATE, flags].concat(), &texts(&variables))
}

/// The same once its model is ready.
pub fn serve(llama: &LlamaServer, flags: &[&str]) -> App {
    let app = begin(llama, flags);
    reaches(&app, "ready");
    app
}

/// What comes after `kill -9`: another server on the same folder, with the same child.
pub fn crash(app: &App, llama: &LlamaServer) -> App {
    app.crash_into(&texts(&llama.variables()))
}

fn texts<'a>(variables: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    variables.iter().map(|(name, value)| (*name, &**value)).collect()
}

/// The states of its models, by name.
pub fn states(app: &App) -> Vec<(String, String)> {
    let models = app.anonymous().get("/readyz").ok(200)["localModels"].clone();
    let text = |model: &Value, key: &str| model[key].as_str().unwrap().to_owned();
    models.as_array().unwrap().iter().map(|model| (text(model, "name"), text(model, "state"))).collect()
}

/// Waits until its only model is in that state.
#[track_caller]
pub fn reaches(app: &App, state: &str) {
    until(&format!("the model to be {state}"), || (states(app)[0].1 == state).then_some(()));
}

/// What an owner is told of it.
pub fn told(app: &App) -> Value {
    app.browser("acme").get("/local-models/tiny").ok(200)
}

/// An owner has it started, stopped or started anew.
pub fn order(app: &App, what: &str) {
    app.browser("acme").post(&format!("/local-models/tiny/{what}"), json!({})).ok(200);
}

/// A message in the session `c`, whose agent is asked what no tool needs to be called for.
pub fn says(text: &str) -> Value {
    says_in("c", text)
}

/// The same in any session.
pub fn says_in(session: &str, text: &str) -> Value {
    json!({ "id": session, "messages": [user(text)] })
}

/// A reply that the model ended.
#[track_caller]
pub fn whole(stream: &Stream) -> String {
    assert!(stream.all("error").is_empty() && !stream.text().is_empty(), "{}", stream.raw);
    assert_eq!(stream.finish_reason(), "stop", "{}", stream.raw);
    stream.text()
}

/// The words of a reply that failed after it had begun.
#[track_caller]
pub fn failed(stream: &Stream) -> String {
    stream.one("error")["errorText"].as_str().unwrap().to_owned()
}
