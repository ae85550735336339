//! Models that the server runs itself: every organization has them, and the owner of each may start and end them.
//!
//! Rule: what a process says, and why it failed, may name files: only owners read it.

use std::sync::Arc;

use poem_openapi::{Enum, Object, OpenApi, param::Path};
use serde::Serialize;

use super::{tags::Tag, words::same_words};
use crate::{
    catalog::LOCAL_PROVIDER,
    error::{Error, Result},
    http::{
        auth::{Caller, Owner, Read},
        wire::{
            data::{Data, Items},
            envelope::ApiError,
            moment::Moment,
        },
    },
    model::local::{self as stored, State, Status},
};

/// A model that the server runs itself.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct LocalModel {
    /// What a chat calls it: `local/` and its name.
    id: String,
    name: String,
    state: LocalModelState,
    /// Since when it is in that state.
    since: Moment,
    /// Tokens of one conversation; `null` until it was loaded.
    #[oai(nullable)]
    context_window: Option<u32>,
    /// Tokens that it was made for.
    trained_context_window: u32,
    /// Conversations at a time.
    slots: u32,
    /// The size of its file.
    bytes: u64,
    /// Such as `llama`.
    architecture: String,
    /// How its numbers are kept, such as `Q4_K_M`; `null`: its file does not say.
    #[oai(nullable)]
    quantisation: Option<String>,
    /// How many numbers it is.
    parameters: u64,
    /// Who may use it, as its file says.
    #[oai(nullable)]
    licence: Option<String>,
    /// Whether it calls tools: likely by its file, and certain once it was loaded.
    tools: bool,
    /// The build of llama.cpp; `null`: unknown.
    #[oai(nullable)]
    build: Option<u32>,
    /// Whether it computes on a GPU.
    gpu: bool,
    /// Answers that wait.
    queue: u64,
    /// Answers that are being written.
    answering: u64,
    /// How often it was started again after it had ended by itself.
    restarts: u64,
    /// The memory of its process; `null` without one.
    #[oai(nullable)]
    resident_bytes: Option<u64>,
    /// How fast its last answer was written; `null` before the first.
    #[oai(nullable)]
    tokens_per_second: Option<f64>,
}

/// A local model as owners see it.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct LocalModelDetails {
    #[oai(flatten)]
    #[serde(flatten)]
    model: LocalModel,
    /// Why it failed, or what is less than it could be; `null`: all is well.
    #[oai(nullable)]
    reason: Option<String>,
    /// What its process said at last, oldest first.
    last_lines: Vec<String>,
}

/// What a local model's process does.
#[derive(Debug, Clone, Copy, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
enum LocalModelState {
    /// Program, file and memory are looked at.
    Checking,
    /// It is being started.
    Starting,
    /// It reads the file.
    Loading,
    /// It answers.
    Ready,
    /// There is none until somebody asks.
    Idle,
    /// It does not start: somebody has to do something.
    Failed,
    /// It is being ended.
    Stopping,
}

same_words!(LocalModelState = State { Checking, Starting, Loading, Ready, Idle, Failed, Stopping });

/// The operations.
#[derive(Default)]
pub struct LocalModels;

#[OpenApi(tag = "Tag::Models")]
impl LocalModels {
    /// List the models that the server runs itself
    #[oai(path = "/local-models", method = "get", operation_id = "list_local_models")]
    async fn list_local_models(&self, caller: Caller<Read>) -> Result<Data<Items<LocalModel>>, ApiError> {
        let models = caller.app.catalog.local().all().iter().map(|model| model.status().into());
        Ok(Data::of(&Items::all(models.collect::<Vec<LocalModel>>())))
    }

    /// Get a model that the server runs itself
    ///
    /// With the last lines that its process said. Requires the owner, signed in with a browser.
    #[oai(path = "/local-models/:name", method = "get", operation_id = "get_local_model")]
    async fn get_local_model(
        &self,
        caller: Caller<Owner>,
        name: Path<String>,
    ) -> Result<Data<LocalModelDetails>, ApiError> {
        Ok(Data::of(&details(&*model(&caller, &name)?)))
    }

    /// Start a local model
    ///
    /// One that rests or has failed; others stay as they are. The answer does not wait until it is loaded. Requires the owner, signed in
    /// with a browser.
    #[oai(path = "/local-models/:name/start", method = "post", operation_id = "start_local_model")]
    async fn start_local_model(
        &self,
        caller: Caller<Owner>,
        name: Path<String>,
    ) -> Result<Data<LocalModelDetails>, ApiError> {
        let model = model(&caller, &name)?;
        model.start();
        Ok(Data::of(&details(&model)))
    }

    /// Stop a local model
    ///
    /// Its process ends, and with it the answers that it is writing, for every organization. The next chat starts it again. Requires the
    /// owner, signed in with a browser.
    #[oai(path = "/local-models/:name/stop", method = "post", operation_id = "stop_local_model")]
    async fn stop_local_model(
        &self,
        caller: Caller<Owner>,
        name: Path<String>,
    ) -> Result<Data<LocalModelDetails>, ApiError> {
        let model = model(&caller, &name)?;
        model.stop();
        Ok(Data::of(&details(&model)))
    }

    /// Restart a local model
    ///
    /// Its process ends, and with it the answers that it is writing, for every organization; those that wait for it go on waiting.
    /// Requires the owner, signed in with a browser.
    #[oai(path = "/local-models/:name/restart", method = "post", operation_id = "restart_local_model")]
    async fn restart_local_model(
        &self,
        caller: Caller<Owner>,
        name: Path<String>,
    ) -> Result<Data<LocalModelDetails>, ApiError> {
        let model = model(&caller, &name)?;
        model.restart();
        Ok(Data::of(&details(&model)))
    }
}

fn model<A>(caller: &Caller<A>, name: &str) -> Result<Arc<stored::LocalModel>> {
    caller.app.catalog.local().get(name).ok_or(Error::NotFound("local model"))
}

fn details(model: &stored::LocalModel) -> LocalModelDetails {
    let status = model.status();
    LocalModelDetails { reason: status.reason.clone(), last_lines: model.last_lines(), model: status.into() }
}

impl From<Status> for LocalModel {
    fn from(status: Status) -> Self {
        LocalModel {
            id: format!("{LOCAL_PROVIDER}/{}", status.name),
            name: status.name,
            state: status.state.into(),
            since: status.since.into(),
            context_window: status.window,
            trained_context_window: status.trained_window,
            slots: status.slots,
            bytes: status.bytes,
            architecture: status.architecture,
            quantisation: status.quantisation,
            parameters: status.parameters,
            licence: status.licence,
            tools: status.tools,
            build: status.build,
            gpu: status.gpu,
            queue: status.queue as u64,
            answering: status.answering as u64,
            restarts: status.restarts,
            resident_bytes: status.resident_bytes,
            tokens_per_second: status.tokens_per_second,
        }
    }
}
