//! Agents: who replies.
//!
//! Rule: Ala is every organization's. Her instructions and settings may change; her name, slug, model and being there
//! may not.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::{Example, MaybeUndefined},
};
use serde::Serialize;
use serde_json::Value;

use super::{
    agent_settings::{self, AgentSettings},
    tags::Tag,
};
use crate::{
    error::{Error, Result},
    http::{
        auth::{Caller, Read, ReadOrChat, Write},
        body::JsonBody,
        wire::{
            check::{Checks, collapse_space, page_limit},
            data::{Created, Data, Deleted, Items},
            envelope::ApiError,
            moment::{Moment, StoredJson},
        },
    },
    id,
    store::agents::{self as stored, ALA_NAME, ALA_SLUG},
    time::Timestamp,
    tools::client,
};

const NAME_CHARS_MAX: usize = 255;
const DESCRIPTION_CHARS_MAX: usize = 5_000;
const SYSTEM_PROMPT_CHARS_MAX: usize = 100_000;
const AVATAR_CHARS_MAX: usize = 2_048;
const MODEL_CHARS_MAX: usize = 255;
const TOOLS_MAX: usize = 128;
const TOOL_NAME_CHARS_MAX: usize = 64;

/// An agent.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    id: String,
    org_id: String,
    name: String,
    /// Its name in URLs. Unique in the organization.
    slug: String,
    description: String,
    /// An image's URL, or an emoji.
    #[oai(nullable)]
    avatar: Option<String>,
    /// `provider/model`; `null` for the organization's default.
    #[oai(nullable)]
    model: Option<String>,
    /// Absent for a key without the scope `read`.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    system_prompt: Option<String>,
    /// Names of tools, where `github__*` is every tool of the server `github`; `null` for every tool that is on.
    #[oai(nullable)]
    allowed_tools: Option<Vec<String>>,
    /// Tools that whoever asks runs; `null` for none.
    #[oai(nullable)]
    client_tools: Option<StoredJson>,
    is_active: bool,
    settings: AgentSettings,
    created_at: Moment,
    updated_at: Moment,
}

/// A tool that whoever asks runs.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
#[serde(rename_all = "camelCase")]
struct ClientTool {
    /// 1 to 64 of `A-Z`, `a-z`, `0-9`, `_` and `-`.
    name: String,
    /// At most 2,048 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// A JSON Schema of an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    input_schema: Option<Value>,
}

/// A new agent.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
pub(super) struct NewAgent {
    /// 1 to 255 characters.
    name: String,
    /// Default: derived from the name.
    slug: Option<String>,
    /// At most 5,000 characters.
    description: Option<String>,
    avatar: Option<String>,
    /// One of `GET /models`.
    model: Option<String>,
    /// At most 100,000 characters.
    system_prompt: Option<String>,
    allowed_tools: Option<Vec<String>>,
    /// Tools that whoever asks runs.
    client_tools: Option<Vec<ClientTool>>,
    is_active: Option<bool>,
    settings: Option<AgentSettings>,
}

impl Example for NewAgent {
    fn example() -> Self {
        NewAgent {
            name: "Release notes".into(),
            slug: None,
            description: Some("Turns a list of changes into release notes.".into()),
            avatar: Some("📝".into()),
            model: Some("demo/ala".into()),
            system_prompt: Some("Write release notes for people who use the product. Group them by topic.".into()),
            allowed_tools: None,
            client_tools: None,
            is_active: None,
            settings: Some(AgentSettings { temperature: Some(0.4), max_steps: Some(5), ..AgentSettings::default() }),
        }
    }
}

/// Changes to an agent. Absent fields stay as they are.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
pub(super) struct AgentPatch {
    name: Option<String>,
    slug: Option<String>,
    description: Option<String>,
    /// `null` removes it.
    #[oai(nullable)]
    avatar: MaybeUndefined<String>,
    /// `null` for the organization's default.
    #[oai(nullable)]
    model: MaybeUndefined<String>,
    system_prompt: Option<String>,
    /// `null` for every tool.
    #[oai(nullable)]
    allowed_tools: MaybeUndefined<Vec<String>>,
    /// `null` for none.
    #[oai(nullable)]
    client_tools: MaybeUndefined<Vec<ClientTool>>,
    is_active: Option<bool>,
    /// Replaced as a whole.
    settings: Option<AgentSettings>,
}

impl Example for AgentPatch {
    fn example() -> Self {
        AgentPatch {
            name: None,
            slug: None,
            description: Some("Answers plainly.".into()),
            avatar: MaybeUndefined::Undefined,
            model: MaybeUndefined::Undefined,
            system_prompt: None,
            allowed_tools: MaybeUndefined::Undefined,
            client_tools: MaybeUndefined::Undefined,
            is_active: None,
            settings: Some(AgentSettings { temperature: Some(0.2), ..AgentSettings::default() }),
        }
    }
}

/// The operations.
#[derive(Default)]
pub struct Agents;

#[OpenApi(tag = "Tag::Agents")]
impl Agents {
    /// List agents, Ala first
    #[oai(path = "/agents", method = "get", operation_id = "list_agents")]
    async fn list_agents(
        &self,
        caller: Caller<ReadOrChat>,
        /// 1 to 100. Default 50.
        limit: Query<Option<i64>>,
        /// The `nextCursor` of the previous page.
        cursor: Query<Option<String>>,
    ) -> Result<Data<Items<Agent>>, ApiError> {
        let page = caller.org().agents(page_limit(limit.0)?, cursor.0.as_deref())?;
        Ok(Data::of(&Items::page(page, |agent| Agent::of(agent, &caller))))
    }

    /// Create an agent
    #[oai(path = "/agents", method = "post", operation_id = "create_agent")]
    async fn create_agent(&self, caller: Caller<Write>, body: JsonBody<NewAgent>) -> Result<Created<Agent>, ApiError> {
        let agent = caller.org().create_agent(body.0.into_agent()?).await?;
        Ok(Data::of(&Agent::of(agent, &caller)))
    }

    /// Get an agent
    #[oai(path = "/agents/:id", method = "get", operation_id = "get_agent")]
    async fn get_agent(
        &self,
        caller: Caller<Read>,
        /// The agent's id or slug.
        id: Path<String>,
    ) -> Result<Data<Agent>, ApiError> {
        let agent = caller.org().agent(&id)?;
        Ok(Data::of(&Agent::of(agent, &caller)))
    }

    /// Update an agent
    #[oai(path = "/agents/:id", method = "patch", operation_id = "update_agent")]
    async fn update_agent(
        &self,
        caller: Caller<Write>,
        /// The agent's id or slug.
        id: Path<String>,
        body: JsonBody<AgentPatch>,
    ) -> Result<Data<Agent>, ApiError> {
        let agent = caller.org().update_agent(id.0, move |agent| body.0.apply(agent)).await?;
        Ok(Data::of(&Agent::of(agent, &caller)))
    }

    /// Delete an agent
    ///
    /// Its sessions keep their history.
    #[oai(path = "/agents/:id", method = "delete", operation_id = "delete_agent")]
    async fn delete_agent(
        &self,
        caller: Caller<Write>,
        /// The agent's id or slug.
        id: Path<String>,
    ) -> Result<Data<Deleted>, ApiError> {
        caller.org().delete_agent(id.0).await?;
        Ok(Data::deleted())
    }
}

impl Agent {
    pub(super) fn of<A>(agent: stored::Agent, caller: &Caller<A>) -> Self {
        Agent {
            id: agent.id,
            org_id: caller.tenant.org_id.clone(),
            name: agent.name,
            slug: agent.slug,
            description: agent.description,
            avatar: agent.avatar,
            model: agent.model,
            system_prompt: caller.reads.then_some(agent.system_prompt),
            allowed_tools: agent.allowed_tools,
            client_tools: agent.client_tools.map(StoredJson::new),
            is_active: agent.is_active,
            settings: agent.settings.into(),
            created_at: agent.created_at.into(),
            updated_at: agent.updated_at.into(),
        }
    }
}

impl NewAgent {
    pub(super) fn into_agent(self) -> Result<stored::Agent> {
        let name = collapse_space(&self.name);
        let agent = stored::Agent {
            id: id::generate(),
            slug: self.slug.unwrap_or_else(|| id::slug_from_name(&name, "agent")),
            name,
            is_builtin: false,
            is_active: self.is_active.unwrap_or(true),
            avatar: self.avatar,
            model: self.model,
            settings: self.settings.unwrap_or_default().into(),
            allowed_tools: self.allowed_tools,
            client_tools: self.client_tools.map(client_tools_text).transpose()?,
            created_at: Timestamp::now(),
            updated_at: Timestamp::now(),
            description: self.description.unwrap_or_default(),
            system_prompt: self.system_prompt.unwrap_or_default(),
        };
        check(&agent).map(|()| agent)
    }
}

impl AgentPatch {
    pub(super) fn apply(self, agent: &mut stored::Agent) -> Result<()> {
        let before = agent.clone();
        agent.name = self.name.map_or(before.name.clone(), |name| collapse_space(&name));
        agent.slug = self.slug.unwrap_or(before.slug.clone());
        agent.description = self.description.unwrap_or(before.description.clone());
        agent.system_prompt = self.system_prompt.unwrap_or(before.system_prompt.clone());
        agent.is_active = self.is_active.unwrap_or(before.is_active);
        agent.settings = self.settings.map_or(before.settings.clone(), Into::into);
        self.avatar.update_to(&mut agent.avatar);
        self.model.update_to(&mut agent.model);
        self.allowed_tools.update_to(&mut agent.allowed_tools);
        match self.client_tools {
            MaybeUndefined::Undefined => {}
            MaybeUndefined::Null => agent.client_tools = None,
            MaybeUndefined::Value(tools) => agent.client_tools = Some(client_tools_text(tools)?),
        }
        let fixed = |a: &stored::Agent| (a.name.clone(), a.slug.clone(), a.model.clone(), a.is_active);
        if agent.is_builtin && fixed(agent) != fixed(&before) {
            return Err(Error::forbidden("Ala's name, slug and model are fixed, and she is always active"));
        }
        check(agent)
    }
}

/// The ranges of every field.
fn check(agent: &stored::Agent) -> Result<()> {
    let mut checks = Checks::default();
    checks.chars("name", &agent.name, 1..=NAME_CHARS_MAX);
    checks.chars("description", &agent.description, 0..=DESCRIPTION_CHARS_MAX);
    checks.chars("systemPrompt", &agent.system_prompt, 0..=SYSTEM_PROMPT_CHARS_MAX);
    checks.chars("avatar", agent.avatar.as_deref().unwrap_or_default(), 0..=AVATAR_CHARS_MAX);
    checks.also(id::check_slug("slug", &agent.slug))?;
    if !agent.is_builtin {
        let reserved = || format!("{ALA_NAME} is reserved: choose another");
        checks.that(!agent.name.eq_ignore_ascii_case(ALA_NAME), "name", reserved);
        checks.that(agent.slug != ALA_SLUG, "slug", reserved);
    }
    if let Some(model) = &agent.model {
        let named = model.split_once('/').is_some_and(|(provider, name)| !provider.is_empty() && !name.is_empty());
        checks.that(
            named && model.len() <= MODEL_CHARS_MAX,
            "model",
            || "must be provider/model, as listed by GET /models",
        );
    }
    check_tools(&mut checks, agent.allowed_tools.as_deref().unwrap_or_default());
    agent_settings::check(&mut checks, &agent.settings);
    checks.done()
}

/// Tools that whoever asks runs, as they are kept.
fn client_tools_text(tools: Vec<ClientTool>) -> Result<String> {
    let given = serde_json::to_value(&tools).map_err(Error::internal)?;
    client::tools(&given).map_err(|fault| Error::invalid("clientTools", fault))?;
    Ok(given.to_string())
}

fn check_tools(checks: &mut Checks, tools: &[String]) {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let named = |name: &String| {
        let plain = name.strip_suffix("__*").unwrap_or(name);
        (1..=TOOL_NAME_CHARS_MAX).contains(&plain.len()) && plain.chars().all(known)
    };
    checks.that(tools.len() <= TOOLS_MAX && tools.iter().all(named), "allowedTools", || {
        format!(
            "must be at most {TOOLS_MAX} names of 1 to {TOOL_NAME_CHARS_MAX} letters, digits, _ - or ., or server__*"
        )
    });
}
