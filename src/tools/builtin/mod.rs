//! The tools that are part of `alm`.
//!
//! Rule: they read, and change nothing; so they ask nobody unless their agent does. `ask_agent` is the exception: what an agent does is
//! what its own tools do, so only agents that name it have it.

mod ask_agent;
mod current_time;
mod search_history;

use serde_json::Value;

use super::call::{Call, Ended};

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builtin {
    CurrentTime,
    SearchHistory,
    AskAgent,
}

impl Builtin {
    /// All of them.
    pub const ALL: [Builtin; 3] = [Builtin::CurrentTime, Builtin::SearchHistory, Builtin::AskAgent];

    /// What models and agents call it.
    pub fn name(self) -> &'static str {
        match self {
            Builtin::CurrentTime => "current_time",
            Builtin::SearchHistory => "search_history",
            Builtin::AskAgent => "ask_agent",
        }
    }

    /// Whether that is the name of one.
    pub fn has(name: &str) -> bool {
        Self::ALL.iter().any(|tool| tool.name() == name)
    }

    /// What a model is told of it, and the JSON Schema of its input.
    pub fn spec(self) -> (&'static str, Value) {
        match self {
            Builtin::CurrentTime => current_time::spec(),
            Builtin::SearchHistory => search_history::spec(),
            Builtin::AskAgent => ask_agent::spec(),
        }
    }

    /// Runs it.
    pub(super) async fn run(self, input: &Value, call: Call) -> Ended {
        let wrong = |error: serde_json::Error| format!("The arguments of {} are wrong: {error}.", self.name());
        let input = input.clone();
        let ended = match self {
            Builtin::CurrentTime => {
                serde_json::from_value(input).map_err(wrong).and_then(|input| current_time::run(&input))
            }
            Builtin::SearchHistory => match serde_json::from_value(input) {
                // A search scans, so it leaves the request threads alone.
                Ok(arguments) => {
                    let search = move || search_history::run(&call, &arguments);
                    tokio::task::spawn_blocking(search).await.unwrap_or_else(|_| Err("The search failed.".into()))
                }
                Err(error) => Err(wrong(error)),
            },
            Builtin::AskAgent => match serde_json::from_value(input) {
                Ok(arguments) => return ask_agent::run(&call, arguments).await,
                Err(error) => Err(wrong(error)),
            },
        };
        ended.map_or_else(Ended::Failed, Ended::done)
    }
}
