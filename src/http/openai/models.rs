//! What can stand in `model`: the organization's agents, and the models of its providers.
//!
//! Rule: prices and prompts stay where they are.

use poem::Response;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Call, answer, error::Fault};
use crate::{
    catalog::{self, DEMO_MODEL, ResolvedModel},
    error::{Error, Result},
    http::auth::{Caller, ReadOrChat},
    store::agents::NamedAgent,
    time::Timestamp,
};

/// What may stand before an agent's slug.
const AGENT_PREFIX: &str = "agent/";

/// What a client means by a model.
#[derive(Debug, Clone)]
pub enum Asked {
    /// An active agent, by its id.
    Agent(String),
    /// A provider's model itself.
    Raw(Box<ResolvedModel>),
}

impl Asked {
    /// Whether it is a provider's model itself.
    pub fn is_raw(&self) -> bool {
        matches!(self, Asked::Raw(_))
    }

    /// Whether it is one that costs nothing.
    pub fn is_free(&self) -> bool {
        matches!(self, Asked::Raw(found) if found.model.is_free())
    }

    /// A provider's model itself, which is not the built-in one: that only chats.
    pub fn of_provider(self) -> Option<Box<ResolvedModel>> {
        match self {
            Asked::Raw(found) if found.model.id != DEMO_MODEL => Some(found),
            Asked::Raw(_) | Asked::Agent(_) => None,
        }
    }
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
    let found = match find(&call.caller, asked).await? {
        Asked::Agent(id) => known.agents.iter().find(|agent| agent.id == id).map(|agent| known.of_agent(agent)),
        Asked::Raw(found) => {
            known.models.iter().find(|model| model.id == found.model.id).map(|model| known.of_provider(model))
        }
    };
    let found = found.ok_or_else(|| Fault::model_not_found(asked))?;
    Ok(answer::json(&Model { id: asked.to_owned(), ..found }))
}

/// What `model` means: an agent's slug or id, `agent/<slug>`, `provider/model`, or a bare name that one provider alone has.
pub async fn find<A>(caller: &Caller<A>, asked: &str) -> Result<Asked, Fault> {
    let unknown = || Fault::model_not_found(asked);
    match look_up(caller, asked)? {
        Some(found) => Ok(found),
        // Its provider may have got it meanwhile.
        None if caller.app.catalog.ask_again_for(&caller.tenant, Some(asked)).await => {
            look_up(caller, asked)?.ok_or_else(unknown)
        }
        None => Err(unknown()),
    }
}

fn look_up<A>(caller: &Caller<A>, asked: &str) -> Result<Option<Asked>> {
    match caller.org().agent(asked.strip_prefix(AGENT_PREFIX).unwrap_or(asked)) {
        Ok(agent) if agent.is_active => return Ok(Some(Asked::Agent(agent.id))),
        Ok(_) | Err(Error::NotFound(_)) => {}
        Err(error) => return Err(error),
    }
    let catalog = &caller.app.catalog;
    let of_id = |id: &str| match catalog.resolve(&caller.tenant, id) {
        Ok(found) => Ok(Some(Asked::Raw(Box::new(found)))),
        Err(Error::UnknownModel(_)) => Ok(None),
        Err(error) => Err(error),
    };
    if let Some(found) = of_id(asked)? {
        return Ok(Some(found));
    }
    let mut of_that_name = catalog.models(&caller.tenant)?.into_iter().filter(|model| model.name == asked);
    match (of_that_name.next(), of_that_name.next()) {
        (Some(model), None) => of_id(&model.id),
        _ => Ok(None),
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
            default_model: match details.default_model {
                Some(id) => id,
                None => caller.app.catalog.default_model(&caller.tenant)?,
            },
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
