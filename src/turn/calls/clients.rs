//! Whose a call is, where whoever asks is shown the calls that it is to run itself, and none of ours.

use std::collections::HashSet;

use crate::{store::tool_calls::Origin, tools::Toolbox, turn::chunk::Chunk};

/// The calls of one turn by whose they are.
#[derive(Debug, Default)]
pub struct Clients {
    /// Whether whoever asks brought tools.
    any: bool,
    /// The names of our tools that are offered.
    ours: HashSet<String>,
    /// The ids of our tools' calls.
    hidden: HashSet<String>,
}

impl Clients {
    /// Of a step that offers these tools. `any`: whoever asks brought tools, offered or not.
    pub fn offered(&mut self, toolbox: &Toolbox, any: bool) {
        let ours = toolbox.tools.iter().filter(|tool| tool.origin != Origin::Client);
        (self.any, self.ours) = (any, ours.map(|tool| tool.name.clone()).collect());
    }

    /// Whether a call of that name is for whoever asks: of their tools, and of a name that nobody offered, since they mend such
    /// calls themselves.
    pub fn run(&self, name: &str) -> bool {
        self.any && !self.ours.contains(name)
    }

    /// Whether they are shown a chunk: everything but our tools' calls.
    pub fn see(&mut self, chunk: &Chunk) -> bool {
        match chunk {
            Chunk::ToolInputStart { tool_call_id, tool_name, .. } => {
                let is_theirs = self.run(tool_name);
                if !is_theirs {
                    self.hidden.insert(tool_call_id.clone());
                }
                is_theirs
            }
            Chunk::ToolInputDelta { tool_call_id, .. } => !self.hidden.contains(tool_call_id),
            Chunk::ToolInputAvailable { tool_name, .. } | Chunk::ToolInputError { tool_name, .. } => {
                self.run(tool_name)
            }
            Chunk::ToolApprovalRequest { .. }
            | Chunk::ToolOutputAvailable { .. }
            | Chunk::ToolOutputError { .. }
            | Chunk::ToolOutputDenied { .. } => false,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::tools::{Tool, builtin::Builtin, client};

    fn toolbox() -> Toolbox {
        let tools = vec![client::tool("weather", "", json!({})), Tool::from(Builtin::CurrentTime)];
        Toolbox { tools, ..Toolbox::default() }
    }

    fn chunks(id: &str, name: &str) -> [Chunk; 4] {
        let (id, name) = (id.to_owned(), name.to_owned());
        [
            Chunk::ToolInputStart { tool_call_id: id.clone(), tool_name: name.clone(), dynamic: false },
            Chunk::ToolInputDelta { tool_call_id: id.clone(), input_text_delta: "{}".into() },
            Chunk::ToolInputAvailable {
                tool_call_id: id.clone(),
                tool_name: name,
                input: json!({}),
                provider_metadata: None,
                dynamic: false,
            },
            Chunk::ToolOutputAvailable { tool_call_id: id, output: Value::Null, dynamic: false },
        ]
    }

    #[test]
    fn whoever_asks_sees_the_calls_that_they_run_and_nothing_of_ours() {
        let mut clients = Clients::default();
        clients.offered(&toolbox(), true);
        for (name, seen) in
            [("weather", [true, true, true, false]), ("current_time", [false; 4]), ("fly", [true, true, true, false])]
        {
            assert_eq!(clients.run(name), seen[0]);
            assert_eq!(chunks(name, name).map(|chunk| clients.see(&chunk)), seen, "{name}");
        }
        assert!(clients.see(&Chunk::TextDelta { id: "p".into(), delta: "x".into() }) && clients.see(&Chunk::Abort));
        // Where they brought no tools, a name that nobody offered is the model's mistake.
        clients.offered(&Toolbox::default(), false);
        assert_eq!(chunks("2", "fly").map(|chunk| clients.see(&chunk)), [false; 4]);
    }
}
