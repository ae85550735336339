//! What servers tell of their models: the window, and whether they can call tools and see images.
//!
//! Rule: the list of models is asked first and is enough for most. What only a server's own routes tell is asked of
//! servers that show which one they are, shortly, and its absence is no failure.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    Endpoint, MODELS_BYTES_MAX, Upstreams,
    unpack::{self, entries},
};
use crate::{
    error::Result,
    model::facts::Said,
    outbound::{Connection, http::Method},
    time::Timestamp,
};

/// How long a server's own routes may take, all together.
const NATIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// Models that Ollama is asked about one by one; what is behind them is known by its window alone.
const SHOWN_MAX: usize = 32;
/// Tokens of a model that Ollama has not loaded, unless it was told otherwise.
const OLLAMA_WINDOW: u32 = 4096;
/// Smaller numbers are no windows.
const WINDOW_MIN: u64 = 16;
/// The port of Ollama, where nothing else says that it is one.
const OLLAMA_PORT: u16 = 11434;

/// A model as its provider lists it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listed {
    /// As its provider knows it.
    pub name: String,
    /// Who made it, or which server this is.
    pub owner: Option<String>,
    /// What the server says of it.
    pub said: Said,
}

/// The models of a list.
fn listed(list: &Value, now: Timestamp) -> Option<Vec<Listed>> {
    let models = entries(list)?;
    let one = |model: &Value| {
        let name = model.get("id")?.as_str()?.to_owned();
        let owner = model.get("owned_by").and_then(Value::as_str).map(str::to_owned);
        Some(Listed { name, owner, said: said(model, now) })
    };
    Some(models.iter().filter_map(one).collect())
}

fn said(model: &Value, now: Timestamp) -> Said {
    // llama.cpp; vLLM; OpenRouter; Groq; Mistral.
    const WINDOWS: [&str; 5] =
        ["/meta/n_ctx", "/max_model_len", "/context_length", "/context_window", "/max_context_length"];
    let list_has =
        |path: &str, word: &str| Some(model.pointer(path)?.as_array()?.iter().any(|one| one.as_str() == Some(word)));
    let is = |path: &str| model.pointer(path)?.as_bool();
    Said {
        at: now.as_millis(),
        context_window: WINDOWS.iter().find_map(|path| window(model.pointer(path)?)),
        tools: list_has("/supported_parameters", "tools").or_else(|| is("/capabilities/function_calling")),
        images: list_has("/architecture/input_modalities", "image").or_else(|| is("/capabilities/vision")),
    }
}

/// A number of tokens; 0 is what servers say that do not know.
fn window(value: &Value) -> Option<u32> {
    let tokens = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    u32::try_from(tokens).ok().filter(|_| tokens >= WINDOW_MIN)
}

impl Upstreams {
    /// The model ids that the provider lists at `/models`, in its order.
    pub async fn list_models(&self, endpoint: &Endpoint) -> Result<Vec<String>> {
        let list = self.model_list(endpoint, || ()).await?;
        Ok(listed(&list, Timestamp::now()).unwrap_or_default().into_iter().map(|model| model.name).collect())
    }

    /// The models that a provider lists, in its order, with what it tells of them; `reached` is called when it begins to answer.
    pub async fn read_models(&self, endpoint: &Endpoint, reached: impl FnOnce()) -> Result<Vec<Listed>> {
        let list = self.model_list(endpoint, reached).await?;
        let mut models = listed(&list, Timestamp::now()).unwrap_or_default();
        let native = endpoint.native();
        // What has come by then stays.
        let _ = timeout(NATIVE_TIMEOUT, self.ask_natively(&native, &mut models)).await;
        Ok(models)
    }

    async fn ask_natively(&self, native: &Endpoint, models: &mut [Listed]) {
        let of = |owner: &str| models.iter().any(|model| model.owner.as_deref() == Some(owner));
        let nothing_said = models.iter().all(|model| model.said.context_window.is_none());
        if of("llamacpp") {
            let props = self.ask_json(native, Method::GET, "/props", None).await;
            let tools = props.as_ref().and_then(|props| props.pointer("/chat_template_caps/supports_tools")?.as_bool());
            let window = props.as_ref().and_then(|props| window(props.pointer("/default_generation_settings/n_ctx")?));
            for model in models.iter_mut() {
                model.said.tools = model.said.tools.or(tools);
                model.said.context_window = model.said.context_window.or(window);
            }
        } else if nothing_said && (of("library") || native.port() == Some(OLLAMA_PORT)) {
            self.ask_ollama(native, models).await;
        } else if nothing_said && of("organization_owner") {
            let list = self.ask_json(native, Method::GET, "/api/v0/models", None).await;
            lm_studio(&list.unwrap_or_default(), models);
        }
    }

    async fn ask_ollama(&self, native: &Endpoint, models: &mut [Listed]) {
        let Some(loaded) = self.ask_json(native, Method::GET, "/api/ps", None).await else { return };
        let Some(loaded) = loaded.get("models").and_then(Value::as_array) else { return };
        for model in models.iter_mut() {
            let is = |one: &&Value| ["name", "model"].iter().any(|key| one[key].as_str() == Some(&model.name));
            let read = loaded.iter().find(is).and_then(|one| window(one.get("context_length")?));
            model.said.context_window = Some(read.unwrap_or(OLLAMA_WINDOW));
        }
        for model in models.iter_mut().take(SHOWN_MAX) {
            let asked = json!({ "model": model.name }).to_string().into_bytes();
            let shown = self.ask_json(native, Method::POST, "/api/show", Some(asked)).await.unwrap_or_default();
            if let Some(able) = shown.get("capabilities").and_then(Value::as_array) {
                let can = |word: &str| Some(able.iter().any(|one| one.as_str() == Some(word)));
                (model.said.tools, model.said.images) = (can("tools"), can("vision"));
            }
        }
    }
}

impl Upstreams {
    /// What one of a server's own routes says; none if it has no such route.
    async fn ask_json(&self, native: &Endpoint, method: Method, path: &str, body: Option<Vec<u8>>) -> Option<Value> {
        let authority = native.authority().ok()?;
        let http = native.request(method, path, body.unwrap_or_default()).ok()?;
        let response = self.send_once(native, &authority, http, Connection::Any).await.ok()?;
        unpack::json(response, MODELS_BYTES_MAX).await.ok().flatten()
    }
}

fn lm_studio(list: &Value, models: &mut [Listed]) {
    for known in list.get("data").and_then(Value::as_array).into_iter().flatten() {
        let Some(model) = models.iter_mut().find(|model| known["id"].as_str() == Some(&model.name)) else { continue };
        let windows = ["loaded_context_length", "max_context_length"];
        model.said.context_window = windows.iter().find_map(|key| window(known.get(key)?));
        model.said.images = match known["type"].as_str() {
            Some("vlm") => Some(true),
            Some("llm") => Some(false),
            _ => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{openai::Dialect, scripted::Server},
        outbound::{Options, Whose},
    };

    fn read(list: Value) -> Said {
        let now = Timestamp::from_millis(0);
        listed(&json!({ "data": [list] }), now).unwrap().remove(0).said
    }

    #[test]
    fn each_servers_list_tells_the_window_its_own_way() {
        for model in [
            json!({ "id": "m", "owned_by": "llamacpp", "meta": { "n_ctx": 8192, "n_ctx_train": 131072 } }),
            json!({ "id": "m", "max_model_len": 8192 }),
            json!({ "id": "m", "context_length": 8192, "top_provider": {} }),
            json!({ "id": "m", "context_window": 8192 }),
            json!({ "id": "m", "max_context_length": "8192" }),
        ] {
            assert_eq!(read(model.clone()).context_window, Some(8192), "{model}");
        }
        for nothing in
            [json!({ "id": "m" }), json!({ "id": "m", "max_model_len": 0 }), json!({ "id": "m", "meta": null })]
        {
            assert_eq!(read(nothing), Said::default());
        }
        let able = read(
            json!({ "id": "m", "supported_parameters": ["tools"], "architecture": { "input_modalities": ["text"] } }),
        );
        assert_eq!((able.tools, able.images), (Some(true), Some(false)));
        let bound = |tokens: u64| read(json!({ "id": "m", "max_model_len": tokens })).context_window.is_some();
        assert_eq!([WINDOW_MIN - 1, WINDOW_MIN, WINDOW_MIN + 1, u64::MAX].map(bound), [false, true, true, false]);
    }

    /// What is read of a server that answers each path so, as one of `models` knows it.
    fn ask(answer: impl Fn(&str) -> Value + Send + Sync + 'static) -> Vec<Listed> {
        let server = Server::responding(move |_, request| {
            let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
            let body = answer(&path).to_string();
            let length = body.len();
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        });
        let endpoint = Endpoint {
            whose: Whose::Operators,
            name: "up".into(),
            base_url: format!("http://{}/v1", server.address),
            api_key: None,
            headers: Vec::new(),
            dialect: Dialect::default(),
            heard: Default::default(),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let upstreams = Upstreams::new(&Options::default()).unwrap();
        runtime.block_on(upstreams.read_models(&endpoint, || ())).unwrap()
    }

    #[test]
    fn ollama_is_asked_for_what_is_loaded_and_what_each_model_can_do() {
        let models = ask(|path| match path {
            "/v1/models" => json!({ "data": [
                { "id": "a:1b", "owned_by": "library" }, { "id": "b:1b", "owned_by": "library" },
            ] }),
            "/api/ps" => json!({ "models": [{ "name": "a:1b", "context_length": 16384 }] }),
            "/api/show" => json!({ "capabilities": ["completion", "tools"] }),
            _ => json!({}),
        });
        let windows: Vec<_> = models.iter().map(|model| model.said.context_window).collect();
        assert_eq!(windows, [Some(16384), Some(OLLAMA_WINDOW)]);
        assert!(models.iter().all(|model| (model.said.tools, model.said.images) == (Some(true), Some(false))));
    }

    #[test]
    fn lm_studio_and_llama_cpp_are_asked_their_own_way() {
        let models = ask(|path| match path {
            "/v1/models" => json!({ "data": [{ "id": "q", "owned_by": "organization_owner" }] }),
            "/api/v0/models" => json!({ "data": [
                { "id": "q", "type": "vlm", "loaded_context_length": 4096, "max_context_length": 32768 },
            ] }),
            _ => json!({}),
        });
        assert_eq!((models[0].said.context_window, models[0].said.images), (Some(4096), Some(true)));
        let models = ask(|path| match path {
            "/v1/models" => json!({ "data": [{ "id": "q", "owned_by": "llamacpp", "meta": { "n_ctx": 512 } }] }),
            "/props" => json!({ "chat_template_caps": { "supports_tools": false } }),
            _ => json!({}),
        });
        assert_eq!((models[0].said.context_window, models[0].said.tools), (Some(512), Some(false)));
    }

    #[test]
    fn as_many_models_are_shown_as_may_be() {
        let read = |count: usize| {
            let models = ask(move |path| match path {
                "/v1/models" => (0..count).map(|n| json!({ "id": n.to_string(), "owned_by": "library" })).collect(),
                "/api/ps" => json!({ "models": [] }),
                _ => json!({ "capabilities": ["tools"] }),
            });
            models.iter().filter(|model| model.said.tools == Some(true)).count()
        };
        assert_eq!([SHOWN_MAX - 1, SHOWN_MAX, SHOWN_MAX + 1].map(read), [SHOWN_MAX - 1, SHOWN_MAX, SHOWN_MAX]);
    }
}
