//! Agents made and changed, and as they were: the last versions of each, and one of them again.
//!
//! Rule: a change and the version that it makes are one commit. A version is how an agent answers, not where it is
//! found: its slug and whether it is active are none of it.

use rusqlite::{Connection, named_params};
use serde_json::{Value, json};

use super::{
    Org, Tenant,
    agents::{self, Agent, Settings},
    tools::Policy,
};
use crate::{
    error::{Error, Result},
    time::Timestamp,
};

/// Versions of one agent that are kept.
pub const AGENT_VERSIONS_MAX: i64 = 10;

/// An agent as it was, or is.
#[derive(Debug, Clone)]
pub struct AgentVersion {
    /// From 1; those that are kept no more have their numbers still.
    pub version: i64,
    /// The address of who made it so; absent: it is from before versions were kept.
    pub email: Option<String>,
    pub created_at: Timestamp,
    /// With the slug that it has now.
    pub agent: Agent,
}

impl Org<'_> {
    /// Keeps a new agent; its times are set here.
    pub async fn create_agent(&self, agent: Agent) -> Result<Agent> {
        self.write(move |c, tenant| create(c, tenant, agent)).await
    }

    /// Lets `edit` change an agent. Ala's fixed points are the edit's own business.
    pub async fn update_agent(
        &self,
        id_or_slug: String,
        edit: impl FnOnce(&mut Agent) -> Result<()> + Send + 'static,
    ) -> Result<Agent> {
        self.write(move |c, tenant| change(c, tenant, agents::find(c, &tenant.org_id, &id_or_slug)?, edit)).await
    }

    /// The versions of an agent that are kept, the newest first: that is the agent as it is.
    pub fn agent_versions(&self, id_or_slug: &str) -> Result<Vec<AgentVersion>> {
        self.read(|c| {
            let agent = agents::find(c, &self.tenant.org_id, id_or_slug)?;
            let mut statement = c.prepare_cached(
                "SELECT v.version, u.email, v.created_at, v.fields FROM agent_version v LEFT JOIN user u ON u.id = v.user_id
                 WHERE v.agent_id = ?1 ORDER BY v.version DESC",
            )?;
            let mut rows = statement.query([&agent.id])?;
            let mut versions = Vec::new();
            while let Some(row) = rows.next()? {
                let agent = with_fields(agent.clone(), row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?)?;
                let created_at = Timestamp::from_millis(row.get(2)?);
                versions.push(AgentVersion { version: row.get(0)?, email: row.get(1)?, created_at, agent });
            }
            if versions.is_empty() {
                versions.push(AgentVersion { version: 1, email: None, created_at: agent.updated_at, agent });
            }
            Ok(versions)
        })
    }

    /// Makes an agent what it was in that version, as a new version.
    pub async fn restore_agent(&self, id_or_slug: String, version: i64) -> Result<Agent> {
        self.write(move |c, tenant| {
            let agent = agents::find(c, &tenant.org_id, &id_or_slug)?;
            let fields: Option<String> = c
                .prepare_cached("SELECT fields FROM agent_version WHERE agent_id = ?1 AND version = ?2")?
                .query_map((&agent.id, version), |row| row.get(0))?
                .next()
                .transpose()?;
            let Some(fields) = fields else {
                // One that was never changed is its own first version.
                return match version == 1 && !has_versions(c, &agent.id)? {
                    true => Ok(agent),
                    false => Err(Error::invalid("version", "must be one of GET /agents/{id}/versions")),
                };
            };
            change(c, tenant, agent, |agent| {
                *agent = with_fields(agent.clone(), &fields)?;
                Ok(())
            })
        })
        .await
    }
}

/// Keeps a new agent.
pub(super) fn create(c: &Connection, tenant: &Tenant, agent: Agent) -> Result<Agent> {
    let now = Timestamp::now();
    let agent = Agent { created_at: now, updated_at: now, ..agent };
    agents::insert(c, &tenant.org_id, &agent)?;
    keep(c, &tenant.user_id, None, &agent)?;
    Ok(agent)
}

/// Makes the agent of that slug what it is here.
pub(super) fn set(c: &Connection, tenant: &Tenant, agent: Agent) -> Result<Agent> {
    change(c, tenant, agents::find(c, &tenant.org_id, &agent.slug)?, |kept| {
        *kept = Agent { id: std::mem::take(&mut kept.id), ..agent };
        Ok(())
    })
}

fn change(
    c: &Connection,
    tenant: &Tenant,
    before: Agent,
    edit: impl FnOnce(&mut Agent) -> Result<()>,
) -> Result<Agent> {
    let mut agent = before.clone();
    edit(&mut agent)?;
    agent.updated_at = Timestamp::now();
    agents::update(c, &agent)?;
    keep(c, &tenant.user_id, Some(&before), &agent)?;
    Ok(agent)
}

/// Keeps an agent as a version of itself, and lets go of what is too old, if it answers otherwise than before.
fn keep(c: &Connection, user_id: &str, before: Option<&Agent>, agent: &Agent) -> Result<()> {
    let fields = fields_of(agent);
    if let Some(before) = before {
        if fields_of(before) == fields {
            return Ok(());
        }
        if !has_versions(c, &agent.id)? {
            insert(c, &agent.id, None, before.updated_at, &fields_of(before))?;
        }
    }
    insert(c, &agent.id, Some(user_id), agent.updated_at, &fields)
}

fn has_versions(c: &Connection, agent_id: &str) -> Result<bool> {
    Ok(c.prepare_cached("SELECT 1 FROM agent_version WHERE agent_id = ?1")?.exists([agent_id])?)
}

fn insert(c: &Connection, agent_id: &str, user_id: Option<&str>, at: Timestamp, fields: &Value) -> Result<()> {
    c.prepare_cached(
        "INSERT INTO agent_version (agent_id, version, user_id, created_at, fields)
         SELECT :agent, coalesce(max(version), 0) + 1, :user, :at, :fields FROM agent_version WHERE agent_id = :agent",
    )?
    .execute(named_params! {
        ":agent": agent_id, ":user": user_id, ":at": at.as_millis(), ":fields": fields.to_string(),
    })?;
    c.prepare_cached(
        "DELETE FROM agent_version WHERE agent_id = :agent
             AND version <= (SELECT max(version) FROM agent_version WHERE agent_id = :agent) - :kept",
    )?
    .execute(named_params! { ":agent": agent_id, ":kept": AGENT_VERSIONS_MAX })?;
    Ok(())
}

fn fields_of(agent: &Agent) -> Value {
    let Settings { temperature, top_p, output_tokens_max, reasoning_effort, steps_max, tool_approval, response_format } =
        &agent.settings;
    json!({
        "name": agent.name, "description": agent.description, "avatar": agent.avatar, "model": agent.model,
        "systemPrompt": agent.system_prompt, "allowedTools": agent.allowed_tools, "clientTools": agent.client_tools,
        "temperature": temperature, "topP": top_p, "outputTokensMax": output_tokens_max,
        "reasoningEffort": reasoning_effort, "stepsMax": steps_max,
        "toolApproval": tool_approval.map(|policy| policy.as_str()), "responseFormat": response_format,
    })
}

/// The agent with the fields of a version. What is missing in them is absent in it.
fn with_fields(agent: Agent, fields: &str) -> Result<Agent> {
    let fields: Value = serde_json::from_str(fields).map_err(Error::internal)?;
    let text = |key: &str| fields[key].as_str().map(str::to_owned);
    let whole = |key: &str| fields[key].as_u64().and_then(|number| u32::try_from(number).ok());
    let settings = Settings {
        temperature: fields["temperature"].as_f64(),
        top_p: fields["topP"].as_f64(),
        output_tokens_max: whole("outputTokensMax"),
        reasoning_effort: text("reasoningEffort"),
        steps_max: whole("stepsMax"),
        tool_approval: fields["toolApproval"].as_str().and_then(Policy::parse),
        response_format: text("responseFormat"),
    };
    let tools = |tools: &Vec<Value>| tools.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    Ok(Agent {
        name: text("name").unwrap_or_else(|| agent.name.clone()),
        description: text("description").unwrap_or_default(),
        avatar: text("avatar"),
        model: text("model"),
        system_prompt: text("systemPrompt").unwrap_or_default(),
        allowed_tools: fields["allowedTools"].as_array().map(tools),
        client_tools: text("clientTools"),
        settings,
        ..agent
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, agents::ALA_SLUG};

    #[tokio::test]
    async fn the_last_versions_are_kept_and_one_of_them_can_be_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 2).unwrap();
        let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
        let org = store.org(&tenant);
        let numbers = || org.agent_versions(ALA_SLUG).unwrap().iter().map(|it| it.version).collect::<Vec<_>>();
        assert_eq!(numbers(), [1]);
        // The first edit keeps what was there before as well.
        for edits in 1..=AGENT_VERSIONS_MAX + 1 {
            let prompt = edits.to_string();
            let edit = |agent: &mut Agent| {
                agent.system_prompt = prompt;
                Ok(())
            };
            org.update_agent(ALA_SLUG.into(), edit).await.unwrap();
            let newest = edits + 1;
            let oldest = (newest - AGENT_VERSIONS_MAX + 1).max(1);
            assert_eq!(numbers(), (oldest..=newest).rev().collect::<Vec<_>>(), "{edits}");
        }
        org.update_agent(ALA_SLUG.into(), |_| Ok(())).await.unwrap();
        assert_eq!(numbers()[0], AGENT_VERSIONS_MAX + 2, "what changes nothing is no version");
        assert!(org.restore_agent(ALA_SLUG.into(), 1).await.is_err(), "it is kept no more");
        let restored = org.restore_agent(ALA_SLUG.into(), 5).await.unwrap();
        assert_eq!((&*restored.system_prompt, numbers()[0]), ("4", AGENT_VERSIONS_MAX + 3));
    }

    #[test]
    fn every_field_of_a_version_comes_back() {
        let agent = Agent {
            id: "a".into(),
            slug: "a".into(),
            name: "A".into(),
            is_builtin: false,
            is_active: true,
            avatar: Some("x".into()),
            model: Some("p/m".into()),
            settings: Settings {
                temperature: Some(0.5),
                top_p: Some(0.25),
                output_tokens_max: Some(7),
                reasoning_effort: Some("low".into()),
                steps_max: Some(3),
                tool_approval: Some(Policy::Ask),
                response_format: Some("{}".into()),
            },
            allowed_tools: Some(vec!["t".into()]),
            client_tools: Some("[]".into()),
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(0),
            description: "d".into(),
            system_prompt: "s".into(),
        };
        let other = Agent { settings: Settings::default(), allowed_tools: None, name: "B".into(), ..agent.clone() };
        assert_eq!(with_fields(other, &fields_of(&agent).to_string()).unwrap(), agent);
    }
}
