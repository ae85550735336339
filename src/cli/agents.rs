//! `alm agents`: who answers in an organization.

use serde_json::{Value, json};

use super::{
    globals::Globals,
    text::{clean, shortened, table},
};
use crate::{error::Result, store::agents::Agent};

/// Agents that are read at once for a list.
const PAGE: usize = 200;
/// How much of a description a list has room for, in characters.
const DESCRIPTION_CHARS: usize = 60;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Agents {
    /// List an organization's agents
    List {
        /// The organization's slug
        #[arg(long)]
        org: String,
    },
    /// Show an agent with its prompt
    Show {
        /// The organization's slug
        #[arg(long)]
        org: String,
        /// Its slug or its id
        agent: String,
    },
}

impl Agents {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        let store = globals.store()?;
        match self {
            Agents::List { org } => {
                let tenant = globals.tenant(&store, &org)?;
                let (mut agents, mut cursor) = (Vec::new(), None::<String>);
                loop {
                    let page = store.org(&tenant).agents(PAGE, cursor.as_deref())?;
                    agents.extend(page.items);
                    cursor = page.next_cursor;
                    if cursor.is_none() {
                        break;
                    }
                }
                globals.print(|| agents.iter().map(to_json).collect(), || to_table(&agents))
            }
            Agents::Show { org, agent } => {
                let tenant = globals.tenant(&store, &org)?;
                let agent = store.org(&tenant).agent(&agent)?;
                globals.print(|| to_json(&agent), || to_text(&agent))
            }
        }
    }
}

fn to_json(agent: &Agent) -> Value {
    let settings = &agent.settings;
    json!({
        "id": agent.id, "slug": agent.slug, "name": agent.name, "description": agent.description, "model": agent.model,
        "isActive": agent.is_active, "isBuiltin": agent.is_builtin, "systemPrompt": agent.system_prompt,
        "allowedTools": agent.allowed_tools, "temperature": settings.temperature, "topP": settings.top_p,
        "maxOutputTokens": settings.output_tokens_max, "reasoningEffort": settings.reasoning_effort,
        "maxSteps": settings.steps_max, "createdAt": agent.created_at.to_string(), "updatedAt": agent.updated_at.to_string(),
    })
}

fn to_table(agents: &[Agent]) -> String {
    let row = |agent: &Agent| {
        let model = agent.model.clone().unwrap_or_else(|| "-".into());
        let state = if agent.is_active { "on" } else { "off" };
        let words = shortened(&agent.description, DESCRIPTION_CHARS);
        vec![agent.slug.clone(), clean(&agent.name), model, state.to_owned(), clean(&words)]
    };
    table(&["SLUG", "NAME", "MODEL", "STATE", "DESCRIPTION"], &agents.iter().map(row).collect::<Vec<_>>())
}

fn to_text(agent: &Agent) -> String {
    let tools = agent.allowed_tools.as_ref().map_or_else(|| "all".to_owned(), |names| names.join(", "));
    let rows = [
        ("slug", agent.slug.clone()),
        ("name", agent.name.clone()),
        ("id", agent.id.clone()),
        ("model", agent.model.clone().unwrap_or_else(|| "the organization's default".into())),
        ("state", if agent.is_active { "on" } else { "off" }.to_owned()),
        ("tools", tools),
        ("updated", agent.updated_at.to_string()),
        ("description", agent.description.clone()),
    ];
    let lines = rows.map(|(what, text)| format!("{what:<12} {text}").trim_end().to_owned());
    clean(format!("{}\n\n{}", lines.join("\n"), agent.system_prompt).trim_end())
}
