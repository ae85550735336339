//! Tools: what a model may do besides talk.
//!
//! Rule: a tool that fails returns a sentence for the model; it never ends the turn. Its arguments are foreign
//! text and are checked here, before it runs.

use serde_json::Value;

use crate::model::ToolSpec;

mod context;
mod current_time;
mod search_history;

pub use context::Context;

/// A tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    CurrentTime,
    SearchHistory,
}

/// A call whose arguments are in order.
#[derive(Debug, PartialEq)]
pub enum Call {
    CurrentTime(current_time::Arguments),
    SearchHistory(search_history::Arguments),
}

impl Tool {
    /// All of them.
    pub const ALL: [Tool; 2] = [Tool::CurrentTime, Tool::SearchHistory];

    /// What models and agents call it.
    pub fn name(self) -> &'static str {
        match self {
            Tool::CurrentTime => "current_time",
            Tool::SearchHistory => "search_history",
        }
    }

    /// The tools an agent may use: those it names, or all.
    pub fn allowed(names: Option<&[String]>) -> Vec<Tool> {
        let named = |tool: &Tool| names.is_none_or(|names| names.iter().any(|name| name == tool.name()));
        Self::ALL.into_iter().filter(named).collect()
    }

    /// Its description for a model.
    pub fn spec(self) -> ToolSpec {
        let (description, parameters) = match self {
            Tool::CurrentTime => current_time::spec(),
            Tool::SearchHistory => search_history::spec(),
        };
        ToolSpec { name: self.name().into(), description: description.into(), parameters }
    }

    /// Checks the arguments of a call; a refusal is a sentence for the model.
    pub fn call(self, input: &Value) -> Result<Call, String> {
        let wrong = |error: serde_json::Error| format!("The arguments of {} are wrong: {error}.", self.name());
        match self {
            Tool::CurrentTime => serde_json::from_value(input.clone()).map(Call::CurrentTime).map_err(wrong),
            Tool::SearchHistory => serde_json::from_value(input.clone()).map(Call::SearchHistory).map_err(wrong),
        }
    }
}

impl Call {
    /// Runs it; a failure is a sentence for the model.
    pub async fn run(self, context: Context) -> Result<Value, String> {
        match self {
            Call::CurrentTime(arguments) => current_time::run(&arguments),
            // A search scans, so it leaves the request threads alone.
            Call::SearchHistory(arguments) => {
                let search = move || search_history::run(&context, &arguments);
                tokio::task::spawn_blocking(search).await.unwrap_or_else(|_| Err("The search failed.".into()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_are_checked_before_a_tool_runs() {
        assert!(Tool::CurrentTime.call(&json!({})).is_ok());
        assert!(Tool::SearchHistory.call(&json!({"query": "tea"})).is_ok());
        for bad in [json!({}), json!({"query": 1}), json!("tea"), json!({"query": "tea", "limit": -1})] {
            assert!(Tool::SearchHistory.call(&bad).unwrap_err().contains("search_history"));
        }
    }

    #[test]
    fn an_agent_gets_the_tools_it_names() {
        assert_eq!(Tool::allowed(None), Tool::ALL);
        assert_eq!(Tool::allowed(Some(&["search_history".into(), "fly".into()])), [Tool::SearchHistory]);
        assert_eq!(Tool::allowed(Some(&[])), []);
    }
}
