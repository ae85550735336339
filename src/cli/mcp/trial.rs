//! A server is tried where it was named: reached, greeted, asked for its tools; then a person accepts them, or does not.

use std::sync::Arc;

use serde_json::{Value, json};

use super::rows::opened;
use crate::{
    cli::{
        globals::Globals,
        reach::Reach,
        terminal::agrees,
        text::{count_text, shortened, table},
    },
    error::Result,
    outbound::ToolClients,
    store::{Store, Tenant, mcp::McpTool, tools::Policy},
    tools::{
        Tools, listing,
        mcp::{Report, Stage},
    },
};

/// How much of a description a list has room for, in characters.
const DESCRIPTION_CHARS: usize = 60;

/// Tries the servers of an organization, in this process.
pub(super) struct Trial {
    tools: Arc<Tools>,
    store: Store,
    tenant: Tenant,
}

/// How it went.
pub(super) struct Tried {
    slug: String,
    report: Report,
    tools: Vec<(McpTool, &'static str)>,
}

impl Trial {
    pub(super) fn new(globals: &Globals, reach: &Reach, org: &str) -> Result<Self> {
        let (store, tenant) = opened(globals, org)?;
        let clients = Arc::new(ToolClients::new(&reach.options()?)?);
        let tools = Tools::with_commands(store.clone(), globals.sealer()?, clients, globals.commands()?, Vec::new());
        Ok(Trial { tools, store, tenant })
    }

    pub(super) async fn run(&self, slug: &str) -> Result<Tried> {
        let report = self.tools.mcp().test(&self.tenant, slug).await?;
        // What was started for the trial ends with it.
        self.tools.mcp().stop_all().await;
        let org = self.store.org(&self.tenant);
        let server = org.mcp_server(slug)?;
        let policy = |tool: &McpTool| {
            let definition: Value = serde_json::from_str(&tool.definition).unwrap_or_default();
            listing::policy_of(&server, tool, &definition).as_str()
        };
        let tools = org.mcp_tools_of(&server)?.into_iter().filter(|tool| tool.is_there);
        Ok(Tried { slug: slug.to_owned(), report, tools: tools.map(|tool| (tool.clone(), policy(&tool))).collect() })
    }

    /// Keeps what a person says of a server's tools: accepted as they are and on, or off.
    pub(super) async fn answer(&self, tried: &Tried, is_accepted: bool) -> Result<()> {
        for (tool, _) in tried.tools.iter().filter(|(tool, _)| tool.fault.is_none()) {
            let (is_new, seen) = (tool.accepted.is_none(), tool.fingerprint);
            let answer = move |tool: &mut McpTool| {
                // Another definition than the one that was shown is another question.
                if is_accepted && tool.fingerprint == seen {
                    tool.is_on |= is_new;
                    (tool.accepted, tool.accepted_definition) = (Some(seen), None);
                } else if !is_accepted {
                    (tool.is_on, tool.accepted) = (false, None);
                }
                Ok(())
            };
            self.store.org(&self.tenant).update_mcp_tool(tool.name.clone(), answer).await?;
        }
        Ok(())
    }

    /// Lets tools run without asking, by the names that their server gives them.
    pub(super) async fn allow(&self, tried: &Tried, names: &[String]) -> Result<()> {
        for (tool, _) in tried.tools.iter().filter(|(tool, _)| names.contains(&tool.remote_name)) {
            let allow = |tool: &mut McpTool| {
                tool.approval = Some(Policy::Never);
                Ok(())
            };
            self.store.org(&self.tenant).update_mcp_tool(tool.name.clone(), allow).await?;
        }
        Ok(())
    }
}

impl Tried {
    /// Why it cannot be used, if it cannot.
    pub(super) fn fault(&self) -> Option<String> {
        let failed = self.report.stages.iter().find_map(|stage| stage.error.clone());
        failed.or_else(|| (!self.report.is_ok).then(|| "it cannot be used".to_owned()))
    }

    /// Tools that can be offered.
    pub(super) fn count(&self) -> usize {
        self.fine().count()
    }

    /// Whether there is something that nobody has accepted.
    pub(super) fn has_news(&self) -> bool {
        self.fine().any(|(tool, _)| !tool.is_accepted())
    }

    fn fine(&self) -> impl Iterator<Item = &(McpTool, &'static str)> {
        self.tools.iter().filter(|(tool, _)| tool.fault.is_none())
    }

    fn faulty(&self) -> impl Iterator<Item = (&str, &str)> {
        self.tools.iter().filter_map(|(tool, _)| Some((&*tool.remote_name, tool.fault.as_deref()?)))
    }

    /// Asks whether its tools are accepted as they are.
    pub(super) fn is_accepted(&self, yes: bool) -> bool {
        yes || agrees(&format!("Accept {} of {} as they are?", count_text(self.count() as u64, "tool"), self.slug))
    }

    /// For programs.
    pub(super) fn to_json(&self) -> Value {
        let stage = |stage: &Stage| {
            let ms = stage.duration.as_millis() as u64;
            json!({ "name": stage.name, "ok": stage.error.is_none(), "durationMs": ms, "error": stage.error })
        };
        let tool = |(tool, policy): &(McpTool, &str)| {
            json!({
                "name": tool.name, "remoteName": tool.remote_name, "description": description(tool), "approval": policy,
                "isOn": tool.is_on, "accepted": tool.is_accepted(),
            })
        };
        json!({
            "slug": self.slug, "ok": self.fault().is_none(), "stages": self.report.stages.iter().map(stage).collect::<Vec<_>>(),
            "tools": self.fine().map(tool).collect::<Vec<_>>(),
            "quarantined": self.faulty().map(|(name, fault)| json!({ "name": name, "fault": fault })).collect::<Vec<_>>(),
            "note": self.report.note, "log": self.report.log,
        })
    }

    /// For people: stages, tools with what they ask, what is set aside, and of a failure the end of the log.
    pub(super) fn to_text(&self) -> String {
        let stage = |stage: &Stage| match &stage.error {
            None => format!("ok    {}: {} ms", stage.name, stage.duration.as_millis()),
            Some(error) => format!("fail  {}: {error}", stage.name),
        };
        let mut lines: Vec<_> = self.report.stages.iter().map(stage).collect();
        let row = |(tool, policy): &(McpTool, &str)| {
            vec![
                tool.name.clone(),
                (*policy).into(),
                word(tool).into(),
                shortened(&description(tool), DESCRIPTION_CHARS),
            ]
        };
        if self.count() > 0 {
            lines.push(table(&["TOOL", "APPROVAL", "STATE", "DESCRIPTION"], &self.fine().map(row).collect::<Vec<_>>()));
        } else if self.fault().is_none() {
            lines.push("It has no tools.".into());
        }
        lines.extend(self.faulty().map(|(name, fault)| format!("set aside: {name}: {fault}")));
        lines.extend(self.report.note.iter().filter(|_| self.fault().is_none()).cloned());
        if self.fault().is_some() && !self.report.log.is_empty() {
            lines.push(format!("what it said last:\n{}", self.report.log.trim_end()));
        }
        lines.join("\n")
    }
}

fn description(tool: &McpTool) -> String {
    let definition: Value = serde_json::from_str(&tool.definition).unwrap_or_default();
    definition["description"].as_str().unwrap_or_default().to_owned()
}

/// Whether it is as somebody accepted it.
fn word(tool: &McpTool) -> &'static str {
    match tool.accepted {
        _ if tool.is_accepted() && tool.is_on => "on",
        _ if tool.is_accepted() => "off",
        None => "new",
        Some(_) => "changed",
    }
}
