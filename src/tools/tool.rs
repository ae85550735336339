//! A tool, wherever it comes from.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    builtin::Builtin,
    declare,
    fingerprint::fingerprint,
    host::{Approval, Code, Given, ToolSpec as HostSpec},
    mcp::Target,
    schema::Schema,
};
use crate::{
    model::ToolSpec,
    store::{
        tool_calls::Origin,
        tools::{HttpTool, Policy},
    },
};

/// How long a built-in tool may take.
const BUILTIN_PATIENCE: Duration = Duration::from_secs(60);

/// How long another agent may take to answer.
const AGENT_PATIENCE: Duration = Duration::from_secs(600);

/// A tool that a turn may offer.
#[derive(Debug, Clone)]
pub struct Tool {
    /// What models call it by.
    pub name: String,
    /// What people call it by, if that is another.
    pub title: Option<String>,
    /// When to call it.
    pub description: String,
    /// JSON Schema of its input.
    pub input_schema: Value,
    pub origin: Origin,
    /// The slug of the MCP server that it is of.
    pub server: Option<String>,
    /// What it asks of people.
    pub policy: Policy,
    /// SHA-256 of its definition.
    pub fingerprint: [u8; 32],
    /// Whether the same call twice is once.
    pub is_idempotent: bool,
    /// Whether it is known to change nothing.
    pub is_read_only: bool,
    /// Microcents a call.
    pub price: i64,
    /// How long a call may take.
    pub time_max: Duration,
    pub way: Way,
}

/// How a tool runs.
#[derive(Debug, Clone)]
pub enum Way {
    Builtin(Builtin),
    /// A request.
    Http(Arc<HttpTool>),
    /// A tool of an MCP server.
    Mcp(Target),
    /// Code of the program that runs the server.
    Host(Code),
    /// Whoever asks runs it.
    Client,
}

impl From<Builtin> for Tool {
    fn from(builtin: Builtin) -> Self {
        let (description, input_schema) = builtin.spec();
        let name = builtin.name();
        let definition = json!({ "name": name, "description": description, "inputSchema": input_schema });
        Tool {
            name: name.into(),
            title: None,
            fingerprint: fingerprint(&definition),
            description: description.into(),
            input_schema,
            origin: Origin::Builtin,
            server: None,
            policy: Policy::Never,
            is_idempotent: builtin != Builtin::AskAgent,
            is_read_only: builtin != Builtin::AskAgent,
            price: 0,
            time_max: if builtin == Builtin::AskAgent { AGENT_PATIENCE } else { BUILTIN_PATIENCE },
            way: Way::Builtin(builtin),
        }
    }
}

impl From<HttpTool> for Tool {
    fn from(tool: HttpTool) -> Self {
        Tool {
            name: tool.name.clone(),
            title: None,
            description: tool.description.clone(),
            input_schema: serde_json::from_str(&tool.input_schema).unwrap_or_default(),
            origin: Origin::Http,
            server: None,
            policy: tool.approval,
            fingerprint: declare::fingerprint_of(&tool),
            is_idempotent: tool.is_idempotent,
            is_read_only: declare::only_reads(&tool.method),
            price: tool.price,
            time_max: Duration::from_millis(tool.timeout_ms.into()),
            way: Way::Http(Arc::new(tool)),
        }
    }
}

impl From<Given> for Tool {
    fn from(Given { spec, code }: Given) -> Self {
        let HostSpec { name, description, input_schema, approval, price, time_max } = spec;
        let definition = json!({ "name": name, "description": description, "inputSchema": input_schema });
        Tool {
            fingerprint: fingerprint(&definition),
            title: None,
            name,
            description,
            input_schema,
            origin: Origin::Host,
            server: None,
            policy: match approval {
                Approval::Never => Policy::Never,
                Approval::Ask => Policy::Ask,
                Approval::Owner => Policy::Owner,
            },
            is_idempotent: false,
            is_read_only: false,
            price,
            time_max,
            way: Way::Host(code),
        }
    }
}

impl Tool {
    /// Its description for a model.
    pub fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: self.name.clone(),
            description: self.description.clone(),
            parameters: self.input_schema.clone(),
        }
    }

    /// What is wrong with an input, as a sentence for the model.
    pub fn refuse(&self, input: &Value) -> Option<String> {
        let faults = match Schema::compile(&self.input_schema) {
            Ok(schema) => schema.faults(input),
            Err(fault) => vec![format!("its input schema {fault}")],
        };
        (!faults.is_empty()).then(|| format!("{}: {}.", self.name, faults.join("; ")))
    }

    /// How much of a request it takes.
    pub(super) fn spec_bytes(&self) -> usize {
        self.name.len() + self.description.len() + self.input_schema.to_string().len()
    }

    /// Whether an agent that names its tools may use it: absent names allow every one, `github__*` a whole server.
    pub(super) fn is_allowed(&self, names: Option<&[String]>) -> bool {
        is_allowed(names, &self.name, self.server.as_deref())
    }
}

/// Whether these names allow a tool of that name and server. Who names none has all that need not be named.
pub(super) fn is_allowed(names: Option<&[String]>, name: &str, server: Option<&str>) -> bool {
    let Some(names) = names else { return name != Builtin::AskAgent.name() };
    let of_server = server.map(|slug| format!("{slug}__*"));
    names.iter().any(|known| known == name || of_server.as_ref() == Some(known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::host::{HostTool, ToolCall};

    #[test]
    fn arguments_are_checked_before_a_tool_runs() {
        let search = Tool::from(Builtin::SearchHistory);
        assert_eq!(Tool::from(Builtin::CurrentTime).refuse(&json!({})), None);
        assert_eq!(search.refuse(&json!({"query": "tea"})), None);
        for bad in [json!({}), json!({"query": 1}), json!("tea"), json!({"query": "tea", "limit": "many"})] {
            assert!(search.refuse(&bad).unwrap().contains("search_history"));
        }
    }

    struct Weather(Approval);

    impl HostTool for Weather {
        fn spec(&self) -> HostSpec {
            let spec = HostSpec::new("weather", "Says so.", json!({ "type": "object" }));
            if self.0 == Approval::Ask { spec } else { spec.approval(self.0).price_microcents(7) }
        }

        async fn run(&self, _: ToolCall) -> Result<Value, String> {
            Ok(Value::Null)
        }
    }

    #[test]
    fn a_hosts_tool_asks_unless_its_spec_says_otherwise() {
        let of = |approval| Tool::from(Given::new(Weather(approval)));
        let (usual, own) = (of(Approval::Ask), of(Approval::Never));
        assert_eq!((usual.policy, usual.price, usual.origin), (Policy::Ask, 0, Origin::Host));
        assert_eq!((own.policy, own.price, of(Approval::Owner).policy), (Policy::Never, 7, Policy::Owner));
        assert_eq!(usual.fingerprint, own.fingerprint, "who allowed a call allowed what the tool is");
    }

    #[test]
    fn an_agent_gets_the_tools_it_names() {
        let of_server =
            Tool { name: "github__search".into(), server: Some("github".into()), ..Builtin::CurrentTime.into() };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (allowed, expected) in [
            (None, true),
            (Some(names(&["github__search"])), true),
            (Some(names(&["github__*"])), true),
            (Some(names(&["search", "gitlab__*", "fly"])), false),
            (Some(names(&[])), false),
        ] {
            assert_eq!(of_server.is_allowed(allowed.as_deref()), expected, "{allowed:?}");
        }
        let asks = Tool::from(Builtin::AskAgent);
        assert!(!asks.is_allowed(None) && asks.is_allowed(Some(&names(&["ask_agent"]))), "only by name");
    }
}
