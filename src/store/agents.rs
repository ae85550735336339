//! Agents: who replies.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{Org, Page, fault::unless_taken, tools::Policy};
use crate::{
    error::{Error, Result},
    id,
    time::Timestamp,
};

/// The slug and name of the agent that every organization has.
pub const ALA_SLUG: &str = "ala";
/// Ala's name, which no other agent may take.
pub const ALA_NAME: &str = "Ala";

/// Agents of a list of names; more of them are found by their names all the same.
const NAMED_AGENTS_MAX: usize = 1_000;

/// An agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    pub id: String,
    pub slug: String,
    pub name: String,
    /// Whether it is Ala.
    pub is_builtin: bool,
    pub is_active: bool,
    pub avatar: Option<String>,
    /// `provider/model`; absent: the organization's default.
    pub model: Option<String>,
    pub settings: Settings,
    /// Names; absent: every tool.
    pub allowed_tools: Option<Vec<String>>,
    /// Tools that whoever asks runs: a JSON array, as text.
    pub client_tools: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub description: String,
    pub system_prompt: String,
}

/// How an agent replies; what is absent is the model's or the server's own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub output_tokens_max: Option<u32>,
    pub reasoning_effort: Option<String>,
    pub steps_max: Option<u32>,
    /// The least that its tools ask of people.
    pub tool_approval: Option<Policy>,
    /// The shape of its replies: a JSON object, as text.
    pub response_format: Option<String>,
}

impl Agent {
    const COLUMNS: &str = "id, slug, name, is_builtin, is_active, avatar, model, temperature, top_p, output_tokens_max,
        reasoning_effort, steps_max, allowed_tools, created_at, updated_at, description, system_prompt, client_tools, tool_approval,
        response_format";

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let tools: Option<String> = row.get(12)?;
        Ok(Agent {
            id: row.get(0)?,
            slug: row.get(1)?,
            name: row.get(2)?,
            is_builtin: row.get(3)?,
            is_active: row.get(4)?,
            avatar: row.get(5)?,
            model: row.get(6)?,
            settings: Settings {
                temperature: row.get(7)?,
                top_p: row.get(8)?,
                output_tokens_max: row.get(9)?,
                reasoning_effort: row.get(10)?,
                steps_max: row.get(11)?,
                tool_approval: row.get(18)?,
                response_format: row.get(19)?,
            },
            allowed_tools: tools.and_then(|json| serde_json::from_str(&json).ok()),
            client_tools: row.get(17)?,
            created_at: Timestamp::from_millis(row.get(13)?),
            updated_at: Timestamp::from_millis(row.get(14)?),
            description: row.get(15)?,
            system_prompt: row.get(16)?,
        })
    }
}

/// What is said of an agent in a list of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedAgent {
    pub id: String,
    pub slug: String,
    pub name: String,
    /// `provider/model`; absent: the organization's default.
    pub model: Option<String>,
    pub created_at: Timestamp,
}

impl Org<'_> {
    /// The active agents by name, Ala first and then by age: at most [`NAMED_AGENTS_MAX`].
    pub fn named_agents(&self) -> Result<Vec<NamedAgent>> {
        self.read(|c| {
            let mut statement = c.prepare_cached(
                "SELECT id, slug, name, model, created_at FROM agent
                 WHERE org_id = :org AND deleted_at IS NULL AND is_active ORDER BY is_builtin DESC, id LIMIT :rows",
            )?;
            let named = |row: &Row<'_>| {
                Ok(NamedAgent {
                    id: row.get(0)?,
                    slug: row.get(1)?,
                    name: row.get(2)?,
                    model: row.get(3)?,
                    created_at: Timestamp::from_millis(row.get(4)?),
                })
            };
            let parameters = named_params! { ":org": self.tenant.org_id, ":rows": NAMED_AGENTS_MAX as i64 };
            Ok(statement.query_map(parameters, named)?.collect::<Result<_, _>>()?)
        })
    }

    /// Agents, Ala first and then by age; the cursor is an agent's id.
    pub fn agents(&self, limit: usize, cursor: Option<&str>) -> Result<Page<Agent>> {
        self.read(|c| {
            let mut statement = c.prepare_cached(&format!(
                "SELECT {} FROM agent
                 WHERE org_id = :org AND deleted_at IS NULL AND (:cursor IS NULL OR (is_builtin = 0 AND id > :cursor))
                 ORDER BY is_builtin DESC, id LIMIT :rows",
                Agent::COLUMNS
            ))?;
            let parameters = named_params! { ":org": self.tenant.org_id, ":cursor": cursor, ":rows": limit as i64 + 1 };
            let rows = statement.query_map(parameters, Agent::from_row)?.collect::<Result<_, _>>()?;
            Ok(Page::from_rows(rows, limit, |agent| agent.id.clone()))
        })
    }

    /// The agent of that id or slug.
    pub fn agent(&self, id_or_slug: &str) -> Result<Agent> {
        self.read(|c| find(c, &self.tenant.org_id, id_or_slug))
    }

    /// Deletes an agent; its sessions keep their history and say which agent they had.
    pub async fn delete_agent(&self, id_or_slug: String) -> Result<()> {
        self.write(move |c, tenant| {
            let agent = find(c, &tenant.org_id, &id_or_slug)?;
            if agent.is_builtin {
                return Err(Error::forbidden("Ala cannot be deleted: every organization has this agent"));
            }
            c.execute("UPDATE agent SET deleted_at = ?1 WHERE id = ?2", (Timestamp::now().as_millis(), &agent.id))?;
            Ok(())
        })
        .await
    }
}

/// Ala, as a new organization has her.
pub fn new_ala() -> Agent {
    let now = Timestamp::now();
    Agent {
        id: id::generate(),
        slug: ALA_SLUG.into(),
        name: ALA_NAME.into(),
        is_builtin: true,
        is_active: true,
        avatar: None,
        model: None,
        settings: Settings::default(),
        allowed_tools: None,
        client_tools: None,
        created_at: now,
        updated_at: now,
        description: "The agent every organization has.".into(),
        system_prompt: "You are Ala, a helpful assistant. Answer plainly and briefly.".into(),
    }
}

/// The agent of that id or slug.
pub(super) fn find(c: &Connection, org_id: &str, id_or_slug: &str) -> Result<Agent> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT {} FROM agent WHERE org_id = :org AND deleted_at IS NULL
             AND id IN (:key, (SELECT id FROM agent WHERE org_id = :org AND slug = :key AND deleted_at IS NULL)) ORDER BY id = :key DESC LIMIT 1",
        Agent::COLUMNS
    ))?;
    let found = statement.query_row(named_params! { ":org": org_id, ":key": id_or_slug }, Agent::from_row);
    found.optional()?.ok_or(Error::NotFound("agent"))
}

/// Keeps a new one.
pub(super) fn insert(c: &Connection, org_id: &str, agent: &Agent) -> Result<()> {
    let inserted = c.execute(
        "INSERT INTO agent (id, org_id, slug, name, is_builtin, created_at, updated_at) VALUES
             (:id, :org, :slug, :name, :builtin, :now, :now)",
        named_params! {
            ":id": agent.id, ":org": org_id, ":slug": agent.slug, ":name": agent.name, ":builtin": agent.is_builtin,
            ":now": agent.created_at.as_millis(),
        },
    );
    unless_taken(inserted, || slug_taken(&agent.slug))?;
    update(c, agent)
}

/// Writes every column that can change, so that an insert and an edit say them in one place.
pub(super) fn update(c: &Connection, agent: &Agent) -> Result<()> {
    let tools = agent.allowed_tools.as_ref().map(serde_json::to_string).transpose().map_err(Error::internal)?;
    let updated = c.execute(
        "UPDATE agent SET slug = :slug, name = :name, is_active = :active, avatar = :avatar, model = :model,
             temperature = :temperature, top_p = :top_p, output_tokens_max = :output_tokens_max,
             reasoning_effort = :reasoning_effort, steps_max = :steps_max, allowed_tools = :tools,
             client_tools = :client_tools, tool_approval = :tool_approval, response_format = :response_format,
             updated_at = :updated, description = :description, system_prompt = :prompt
         WHERE id = :id",
        named_params! {
            ":id": agent.id, ":slug": agent.slug, ":name": agent.name, ":active": agent.is_active,
            ":avatar": agent.avatar, ":model": agent.model, ":temperature": agent.settings.temperature,
            ":top_p": agent.settings.top_p, ":output_tokens_max": agent.settings.output_tokens_max,
            ":reasoning_effort": agent.settings.reasoning_effort, ":steps_max": agent.settings.steps_max,
            ":tools": tools, ":client_tools": agent.client_tools, ":tool_approval": agent.settings.tool_approval,
            ":response_format": agent.settings.response_format, ":updated": agent.updated_at.as_millis(), ":description": agent.description,
            ":prompt": agent.system_prompt,
        },
    );
    unless_taken(updated, || slug_taken(&agent.slug))?;
    Ok(())
}

fn slug_taken(slug: &str) -> Error {
    Error::Conflict(format!("an agent with the slug {slug} exists: choose another"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, Tenant};

    #[tokio::test]
    async fn a_list_of_names_is_bounded_and_begins_with_ala() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 2).unwrap();
        let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
        // Ala is one of them.
        let mut known = 1;
        for (agents, listed) in [
            (NAMED_AGENTS_MAX - 1, NAMED_AGENTS_MAX - 1),
            (NAMED_AGENTS_MAX, NAMED_AGENTS_MAX),
            (NAMED_AGENTS_MAX + 1, NAMED_AGENTS_MAX),
        ] {
            let more = agents - known;
            let insert = move |c: &Connection, tenant: &Tenant| {
                for _ in 0..more {
                    let id = id::generate();
                    let sql = "INSERT INTO agent (id, org_id, slug, name, is_builtin, created_at, updated_at) VALUES (?1, ?2, ?1, 'x', 0, 1, 1)";
                    c.execute(sql, [&id, &tenant.org_id])?;
                }
                Ok(())
            };
            store.org(&tenant).write(insert).await.unwrap();
            known = agents;
            let names = store.org(&tenant).named_agents().unwrap();
            assert_eq!((names.len(), &*names[0].slug), (listed, ALA_SLUG), "{agents}");
        }
    }
}
