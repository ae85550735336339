//! What can stand in `model`: the organization's agents, and the models of its providers.
//!
//! Rule: prices and prompts stay where they are.

use poem::Response;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Call, answer, error::Fault};
use crate::{
    catalog,
    error::{Error, Result},
    http::auth::{Caller, ReadOrChat},
    store::agents::NamedAgent,
    time::Timestamp,
};

/// What may stand before an agent's slug.
const AGENT_PREFIX: &str = "agent/";

/// What a client means by a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// An active agent, by its id.
    Agent(String),
    /// A provider's model: `provider/model`.
    Raw(String),
}

/// The list.
#[derive(Debug, Serialize)]
struct List {
    object: &'static str,
    data: Vec<Model>,
}

/// An entry of it.
#[derive(Debug, Serialize)]
struct Model {
    id: String,
    object: &'static str,
    /// In whole seconds.
    created: i64,
    /// The organization's slug, or the provider's.
    owned_by: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_window: Option<u32>,
}

/// List the models: agents first, Ala before all, then what the providers have.
pub(super) async fn list(call: Call<ReadOrChat>) -> Result<Response, Fault> {
    let known = Known::of(&call.caller)?;
    let agents = known.agents.iter().map(|agent| known.of_agent(agent));
    let models = known.models.iter().map(|model| known.of_provider(model));
    let data: Vec<_> = agents.chain(models).collect();
    // Anthropic's clients say which version of its API they speak.
    Ok(match call.header("anthropic-version") {
        Some(_) => answer::json(&as_anthropic(&data)),
        None => answer::json(&List { object: "list", data }),
    })
}

/// The list as Anthropic's clients read it, in one page.
fn as_anthropic(models: &[Model]) -> Value {
    let entry = |model: &Model| {
        let created_at = Timestamp::from_millis(model.created * 1000).to_string();
        json!({ "type": "model", "id": model.id, "display_name": model.name, "created_at": created_at })
    };
    let [first, last] = [models.first(), models.last()].map(|model| model.map(|model| &model.id));
    let data: Vec<_> = models.iter().map(entry).collect();
    json!({ "data": data, "has_more": false, "first_id": first, "last_id": last })
}

/// One of them, under the name that it was asked for by.
pub(super) async fn retrieve(call: Call<ReadOrChat>) -> Result<Response, Fault> {
    let asked = call.params.first().map_or("", |id| id);
    let known = Known::of(&call.caller)?;
    let found = match find(&call.caller, asked)? {
        Asked::Agent(id) => known.agents.iter().find(|agent| agent.id == id).map(|agent| known.of_agent(agent)),
        Asked::Raw(id) => known.models.iter().find(|model| model.id == id).map(|model| known.of_provider(model)),
    };
    let found = found.ok_or_else(|| Fault::model_not_found(asked))?;
    Ok(answer::json(&Model { id: asked.to_owned(), ..found }))
}

/// What `model` means: an agent's slug or id, `agent/<slug>`, `provider/model`, or a bare name that one provider alone has.
pub fn find<A>(caller: &Caller<A>, asked: &str) -> Result<Asked, Fault> {
    let org = caller.org();
    let agent = match org.agent(asked.strip_prefix(AGENT_PREFIX).unwrap_or(asked)) {
        Ok(agent) => agent.is_active.then_some(Asked::Agent(agent.id)),
        Err(Error::NotFound(_)) => None,
        Err(error) => return Err(error.into()),
    };
    if let Some(agent) = agent {
        return Ok(agent);
    }
    let models = caller.app.catalog.models(&caller.tenant)?;
    if models.iter().any(|model| model.id == asked) {
        return Ok(Asked::Raw(asked.to_owned()));
    }
    let mut of_that_name = models.into_iter().filter(|model| model.name == asked);
    match (of_that_name.next(), of_that_name.next()) {
        (Some(model), None) => Ok(Asked::Raw(model.id)),
        // Its provider may have it and not have said so yet.
        _ if asked.contains('/') => Ok(Asked::Raw(asked.to_owned())),
        _ => Err(Fault::model_not_found(asked)),
    }
}

/// What there is for a caller.
struct Known {
    org_slug: String,
    /// When the organization was made; nobody notes when a model was.
    created: i64,
    default_model: String,
    agents: Vec<NamedAgent>,
    models: Vec<catalog::Model>,
}

impl Known {
    fn of<A>(caller: &Caller<A>) -> Result<Self> {
        let org = caller.org();
        let details = org.details()?;
        Ok(Known {
            org_slug: details.slug,
            created: details.created_at.as_millis() / 1000,
            default_model: details.default_model.unwrap_or_else(|| catalog::DEMO_MODEL.into()),
            agents: org.named_agents()?,
            models: caller.app.catalog.models(&caller.tenant)?,
        })
    }

    fn of_agent(&self, agent: &NamedAgent) -> Model {
        let model_id = agent.model.as_ref().unwrap_or(&self.default_model);
        let model = self.models.iter().find(|model| model.id == *model_id);
        Model {
            id: agent.slug.clone(),
            object: "model",
            created: agent.created_at.as_millis() / 1000,
            owned_by: self.org_slug.clone(),
            name: agent.name.clone(),
            context_window: model.and_then(window),
        }
    }

    fn of_provider(&self, model: &catalog::Model) -> Model {
        Model {
            id: model.id.clone(),
            object: "model",
            created: self.created,
            owned_by: model.provider.clone(),
            name: model.name.clone(),
            context_window: window(model),
        }
    }
}

fn window(model: &catalog::Model) -> Option<u32> {
    model.context_window.map(|(tokens, _)| tokens)
}
