//! What a question names, looked up: session, agent, project and model.

use super::{
    ask::{Ask, SessionRef, Trigger},
    services::Services,
};
use crate::{
    catalog::{self, Model, ResolvedModel},
    error::{Error, Result},
    model::source::Source,
    store::{
        Org,
        agents::{ALA_SLUG, Agent, Settings},
        sessions::{Session, refuse_private},
    },
};

/// What was looked up before a turn may begin.
pub(super) struct Resolved {
    /// Absent: the turn creates it.
    pub session: Option<Session>,
    /// Absent: the model itself is asked.
    pub agent: Option<Agent>,
    /// Whether that one is not stored.
    pub is_draft: bool,
    /// The agent's.
    pub settings: Settings,
    pub project_id: Option<String>,
    /// The project's prompt, the agent's, and that of whoever asks.
    pub system: String,
    pub model: Model,
    /// Where the model is asked.
    pub source: Source,
    /// Whether a test key's paid model was replaced by the built-in one.
    pub test_mode: bool,
}

impl Resolved {
    /// The agent's id, if one is asked that is stored.
    pub fn agent_id(&self) -> Option<&str> {
        self.agent.as_ref().filter(|_| !self.is_draft).map(|agent| &*agent.id)
    }
}

/// Looks up what `ask` names, or what its session, its agent or its organization say instead.
pub(super) fn resolve(services: &Services, ask: &Ask) -> Result<Resolved> {
    let tenant = &ask.asker.tenant;
    let org = services.store.org(tenant);
    let session = match &ask.session {
        SessionRef::Existing(id) | SessionRef::After(id) => Some(org.session(id)?),
        SessionRef::Client(id) => org.session_if_any(id)?,
        SessionRef::New => None,
    };
    let bound = session.as_ref();
    let own_agent = bound.and_then(|session| session.agent_id.as_deref());
    let agent = agent_of(&org, ask, own_agent)?;
    let own_project = bound.and_then(|session| session.project_id.as_deref());
    let project = match (ask.project.as_deref(), own_project) {
        (Some(asked), _) => Some(org.project(asked)?),
        // A project that was deleted since has no prompt any more; its sessions can still be used.
        (None, Some(own)) => org.project_if_any(own)?,
        (None, None) => None,
    };
    if let Some(project) = &project {
        refuse_other("project", own_project, &project.id)?;
        let is_moved = own_project.is_none() && bound.is_some_and(|session| session.user_id != tenant.user_id);
        refuse_private(is_moved && project.is_private)?;
    }
    let asking = match (&ask.trigger, &session) {
        (Trigger::Resume(answers), Some(session)) if !answers.is_empty() => org.asking_model(session.seq)?,
        _ => None,
    };
    let found = ask.found.as_deref().cloned();
    let mut model = found.map_or_else(|| of_name(services, ask, agent.as_ref(), asking), Ok)?;
    let test_mode = ask.asker.test && !model.model.is_free();
    if test_mode {
        model = services.catalog.resolve(tenant, catalog::DEMO_MODEL)?;
    }
    let system = prompt(&[
        project.as_ref().map_or("", |project| &project.prompt),
        agent.as_ref().map_or("", |agent| &agent.system_prompt),
        &ask.system,
    ]);
    let project_id = project.map(|project| project.id);
    let settings = agent.as_ref().map(|agent| agent.settings.clone()).unwrap_or_default();
    let is_draft = ask.draft.is_some();
    Ok(Resolved {
        session,
        agent,
        is_draft,
        settings,
        project_id,
        system,
        model: model.model,
        source: model.source,
        test_mode,
    })
}

/// The agent that replies: a draft, the one that is named, the conversation's own, or the built-in one.
fn agent_of(org: &Org<'_>, ask: &Ask, own: Option<&str>) -> Result<Option<Agent>> {
    let agent = match (&ask.draft, ask.raw) {
        (Some(draft), _) => Agent::clone(draft),
        (None, true) => return Ok(None),
        (None, false) => org.agent(ask.agent.as_deref().or(own).unwrap_or(ALA_SLUG))?,
    };
    refuse_other("agent", own, &agent.id)?;
    if !agent.is_active {
        return Err(Error::Conflict("this agent is not active: activate it, or choose another".into()));
    }
    Ok(Some(agent))
}

/// The model that is asked by its name, or that the conversation, its agent or its organization say instead.
fn of_name(services: &Services, ask: &Ask, agent: Option<&Agent>, asking: Option<String>) -> Result<ResolvedModel> {
    let tenant = &ask.asker.tenant;
    let model_id = match ask.model.clone().or(asking).or_else(|| agent?.model.clone()) {
        Some(id) => id,
        None => match services.store.org(tenant).details()?.default_model {
            Some(id) => id,
            None => services.catalog.default_model(tenant)?,
        },
    };
    services.catalog.resolve(tenant, &model_id)
}

/// A session keeps the agent and the project of its first turn.
fn refuse_other(what: &str, own: Option<&str>, asked: &str) -> Result<()> {
    match own {
        Some(own) if own != asked => Err(Error::Conflict(format!(
            "this session belongs to another {what}: omit {what}Id, or start another session"
        ))),
        _ => Ok(()),
    }
}

/// The prompts of a turn as one text.
pub(super) fn prompt(parts: &[&str]) -> String {
    parts.iter().copied().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}
