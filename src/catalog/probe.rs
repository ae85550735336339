//! Whether a provider works, and which of the usual ones answer on this machine.
//!
//! Rule: to look for servers is to ask the usual ports of 127.0.0.1 and nothing else, shortly.

use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use serde_json::json;
use tokio::time::timeout;

use super::{
    Catalog, PRESETS, Preset,
    address::{endpoint, is_loopback},
    model::taking,
};
use crate::{
    error::{Error, Result},
    model::{
        Content, Delta, Message, Request, ToolSpec,
        facts::Facts,
        known::Known,
        sampling::Sampling,
        upstream::{Endpoint, Listed, Upstreams},
    },
    outbound::Whose,
    store::{Tenant, providers::Provider},
};

/// Tokens that a test asks for.
const TEST_OUTPUT_TOKENS: u32 = 16;
/// How long a whole test may take; a local model is loaded meanwhile.
const TEST_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a provider that is being connected is asked about its models.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// llama.cpp, as its slug and as the owner of its models.
const LLAMA_CPP: &str = "llamacpp";
/// Where later versions of llama.cpp answer.
const LLAMA_CPP_NEW_URL: &str = "http://127.0.0.1:9931/v1";
/// How long each usual port is asked.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// How a provider responded to a test.
#[derive(Debug)]
pub struct TestReport {
    /// Until it began to respond.
    pub reach: Duration,
    /// Until it had listed its models; absent: it lists none, which is no fault of one that talks.
    pub listed: Option<Duration>,
    pub models: Vec<String>,
    /// The model that was asked for a few words.
    pub model: String,
    /// Until its first token; absent if it ended without one.
    pub first_token: Option<Duration>,
    /// Until the end of its reply.
    pub reply: Duration,
    /// What it was not sent, since it refuses that: a chat goes without as well.
    pub omitted: Vec<String>,
}

/// A usual server that answers on this machine.
#[derive(Debug)]
pub struct LocalServer {
    pub preset: &'static Preset,
    /// Where it was found.
    pub base_url: &'static str,
    pub models: Vec<String>,
    /// It is loading its model, and lists it once that is done.
    pub is_loading: bool,
}

impl Catalog {
    /// Asks a provider for its models, then `model` (absent: the first that it offers; if it offers none, the first it lists) for a few
    /// words, as a chat would. What was learned of its models before is forgotten, and what is found now is kept.
    pub async fn test(&self, tenant: &Tenant, provider: &Provider, model: Option<String>) -> Result<TestReport> {
        if let Some(cassette) = &provider.cassette {
            return self.test_cassette(provider, cassette, model).await;
        }
        let model = model.or_else(|| provider.offered().next().map(|model| model.name.clone()));
        let (endpoint, known) = (self.endpoint(provider)?, Known::default());
        let tested = test(&self.upstreams, &endpoint, &known, model.clone()).await;
        let (report, listed) = tested.map_err(|failed| {
            let said = endpoint.heard.take_sentence();
            Error::TestFailed { failed: Box::new(failed), model, said }
        })?;
        self.keep_read(tenant, provider, listed, true).await?;
        let (name, learned) = (report.model.clone(), Facts::clone(&known.facts()));
        let keep = move |text: Option<String>| {
            let read = text.as_deref().and_then(|text| Facts::from_text(text).read);
            Some(learned.with_read(read).to_text())
        };
        self.store.org(tenant).change_facts(provider.id.clone(), name, keep).await?;
        Ok(report)
    }

    /// The models that a provider lists, and what it tells of them.
    pub async fn read_models(&self, provider: &Provider) -> Result<Vec<Listed>> {
        match &provider.cassette {
            Some(cassette) => self.recorded_models(cassette).await,
            None => self.upstreams.read_models(&self.endpoint(provider)?, || ()).await,
        }
    }

    /// Reads what a provider that was just connected tells of its models. One that does not respond is connected all the same.
    pub async fn read_new(&self, tenant: &Tenant, provider: &Provider) -> Result<()> {
        if provider.models.is_empty() {
            return Ok(());
        }
        let read = async { self.read_models(provider).await.unwrap_or_default() };
        let listed = timeout(CONNECT_TIMEOUT, read).await.unwrap_or_default();
        self.keep_read(tenant, provider, listed, false).await
    }

    /// Keeps what was read of a provider's models.
    async fn keep_read(&self, tenant: &Tenant, provider: &Provider, listed: Vec<Listed>, anew: bool) -> Result<()> {
        self.store.org(tenant).change_all_facts(provider.id.clone(), taking(listed, anew)).await
    }

    /// The usual servers that answer on this machine, with their models.
    pub async fn local_servers(&self) -> Vec<LocalServer> {
        responding(&self.upstreams, &usual()).await
    }
}

/// Where a server is looked for: the usual ports, and the one that llama.cpp moves to.
fn usual() -> Vec<(&'static Preset, &'static str)> {
    let of_preset =
        PRESETS.iter().filter(|preset| is_loopback(preset.base_url)).map(|preset| (preset, preset.base_url));
    let moved = PRESETS.iter().filter(|preset| preset.slug == LLAMA_CPP).map(|preset| (preset, LLAMA_CPP_NEW_URL));
    of_preset.chain(moved).collect()
}

type Tested = (TestReport, Vec<Listed>);

async fn test(upstreams: &Upstreams, endpoint: &Endpoint, known: &Known, model: Option<String>) -> Result<Tested> {
    let late = || Error::ModelUnavailable("the provider did not finish its reply within 120 seconds".into());
    timeout(TEST_TIMEOUT, test_unbounded(upstreams, endpoint, known, model)).await.map_err(|_| late())?
}

async fn test_unbounded(
    upstreams: &Upstreams,
    endpoint: &Endpoint,
    known: &Known,
    model: Option<String>,
) -> Result<Tested> {
    let started = Instant::now();
    let mut reach = Duration::ZERO;
    let list = upstreams.read_models(endpoint, || reach = started.elapsed()).await;
    let listed = list.is_ok().then(|| started.elapsed());
    let list = match (list, &model) {
        (Ok(list), _) => list,
        // Many gateways list nothing: whether it talks is what matters, and what is wrong shows there as well.
        (Err(_), Some(_)) => Vec::new(),
        (Err(error), None) => return Err(error),
    };
    let none = || Error::ModelUnavailable("the provider is up but has no models: load or pull one first".into());
    let model = model.or_else(|| list.first().map(|model| model.name.clone())).ok_or_else(none)?;
    let asked = Instant::now();
    let mut reply = upstreams.start(endpoint, known, &like_a_chat(&model), &mut |_| ()).await?;
    let (mut deltas, mut first_token) = (Vec::new(), None);
    loop {
        let ended = reply.next(&mut deltas).await.is_some();
        // A short reply may come whole: its first token in the same read as its end.
        if first_token.is_none() && !deltas.is_empty() {
            first_token = Some(asked.elapsed());
            reach = if listed.is_some() { reach } else { started.elapsed() };
        }
        if ended {
            break;
        }
    }
    if let Some(Delta::Fault(sentence)) = deltas.iter().find(|delta| matches!(delta, Delta::Fault(_))) {
        return Err(Error::ModelUnavailable(sentence.clone()));
    }
    let (models, omitted) = (list.iter().map(|model| model.name.clone()).collect(), reply.omitted().to_vec());
    let report = TestReport { reach, listed, models, model, first_token, reply: asked.elapsed(), omitted };
    Ok((report, list))
}

/// What a first chat sends: instructions, a question, and a tool. Where tools are refused it is asked again without, as a chat is.
fn like_a_chat(model: &str) -> Request {
    Request {
        model: model.to_owned(),
        messages: vec![
            Message::System("You are a helpful assistant.".into()),
            Message::User(vec![Content::Text("Say hello.".into())]),
        ],
        tools: vec![ToolSpec {
            name: "current_time".into(),
            description: "Tells the time. Call it only if you are asked for the time.".into(),
            parameters: json!({ "type": "object", "properties": {}, "additionalProperties": false }),
        }],
        sampling: Sampling { output_tokens_max: Some(TEST_OUTPUT_TOKENS), ..Sampling::default() },
        ..Request::default()
    }
}

async fn responding(upstreams: &Upstreams, usual: &[(&'static Preset, &'static str)]) -> Vec<LocalServer> {
    let ask = |usual: &(&'static Preset, &'static str)| {
        let (preset, base_url) = *usual;
        // An owner looks: nothing is found that could not be added.
        let endpoint = Endpoint { whose: Whose::Owners, ..endpoint(preset.slug, base_url, None, Vec::new()) };
        async move {
            let (models, is_loading) = join(
                timeout(LOOK_TIMEOUT, upstreams.read_models(&endpoint, || ())),
                timeout(LOOK_TIMEOUT, upstreams.is_loading(&endpoint)),
            )
            .await;
            if matches!(is_loading, Ok(Ok(true))) {
                return Some(LocalServer { preset, base_url, models: Vec::new(), is_loading: true });
            }
            let models = models.ok()?.ok()?;
            // 8080 is many servers' port.
            let is_llama = || models.iter().any(|model| model.owner.as_deref() == Some(LLAMA_CPP));
            (preset.slug != LLAMA_CPP || is_llama()).then(|| LocalServer {
                preset,
                base_url,
                models: models.into_iter().map(|model| model.name).collect(),
                is_loading: false,
            })
        }
    };
    join_all(usual.iter().map(ask)).await.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::scripted::Server, outbound};

    fn at(slug: &'static str, server: &Server) -> (&'static Preset, &'static str) {
        let base_url: &str = format!("http://{}/v1", server.address).leak();
        (Box::leak(Box::new(Preset { slug, name: slug, base_url })), base_url)
    }

    fn saying(body: &'static str) -> Server {
        saying_with("200 OK", body)
    }

    fn saying_with(status: &'static str, body: &'static str) -> Server {
        Server::responding(move |_, _| {
            let length = body.len();
            format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        })
    }

    #[tokio::test]
    async fn what_answers_with_a_list_of_models_is_found_and_what_is_something_else_is_not() {
        let upstreams = Upstreams::new(&outbound::Options::default()).unwrap();
        let (near, other) = (saying(r#"{"data":[{"id":"llama3.2:3b"}]}"#), saying("<html>"));
        // A server that takes the connection and says nothing.
        let silent = Server::start(|_, peer| peer.request().map(drop));
        let llama = saying(r#"{"data":[{"id":"m","owned_by":"llamacpp"}]}"#);
        let refused = r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#;
        let loading = saying_with("503 Service Unavailable", refused);
        let busy = saying_with("503 Service Unavailable", r#"{"error":{"message":"too busy"}}"#);
        let presets = [
            at("busy", &busy),
            at(LLAMA_CPP, &loading),
            at("near", &near),
            at("other", &other),
            at("silent", &silent),
            at(LLAMA_CPP, &near),
            at(LLAMA_CPP, &llama),
        ];
        let found = responding(&upstreams, &presets).await;
        let shown: Vec<_> =
            found.iter().map(|found| (found.preset.slug, &found.models[..], found.is_loading)).collect();
        let (near, llama) = (["llama3.2:3b".to_owned()], ["m".to_owned()]);
        assert_eq!(shown, [(LLAMA_CPP, &[][..], true), ("near", &near, false), (LLAMA_CPP, &llama, false)]);
    }

    #[test]
    fn only_loopback_is_looked_at() {
        let ports: Vec<_> = usual().into_iter().map(|(preset, url)| (preset.slug, url)).collect();
        let at = |port: u16| format!("http://127.0.0.1:{port}/v1");
        let expected = [("ollama", 11434), (LLAMA_CPP, 8080), ("lmstudio", 1234), ("vllm", 8000), (LLAMA_CPP, 9931)];
        assert_eq!(ports, expected.map(|(slug, port)| (slug, &*at(port).leak())));
    }
}
