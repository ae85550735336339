//! Whether a provider works, and which of the usual ones answer on this machine.
//!
//! Rule: to look for servers is to ask the usual ports of 127.0.0.1 and nothing else, shortly.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::timeout;

use super::{
    Catalog, PRESETS, Preset,
    address::{endpoint, is_loopback},
};
use crate::{
    error::{Error, Result},
    model::{
        Content, Delta, Message, Request,
        facts::Known,
        upstream::{Endpoint, Upstreams},
    },
    store::providers::Provider,
};

/// Tokens that a test asks for.
const TEST_OUTPUT_TOKENS: u32 = 16;
/// How long a whole test may take; a local model is loaded meanwhile.
const TEST_TIMEOUT: Duration = Duration::from_secs(120);
/// How long each usual port is asked.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// How a provider responded to a test.
#[derive(Debug)]
pub struct TestReport {
    /// Until it began to respond.
    pub reach: Duration,
    /// Until it had listed its models.
    pub listed: Duration,
    pub models: Vec<String>,
    /// The model that was asked for a few words.
    pub model: String,
    /// Until its first token; absent if it ended without one.
    pub first_token: Option<Duration>,
    /// Until the end of its reply.
    pub reply: Duration,
}

/// A usual server that answers on this machine.
#[derive(Debug)]
pub struct LocalServer {
    pub preset: &'static Preset,
    pub models: Vec<String>,
}

impl Catalog {
    /// Asks a provider for its models, then the first that is kept of it (if none is, the first it lists) for a few words.
    pub async fn test(&self, provider: &Provider) -> Result<TestReport> {
        let model = provider.models.first().map(|model| model.name.clone());
        test(&self.upstreams, &self.endpoint(provider)?, model).await
    }

    /// The models that a provider lists.
    pub async fn list_models(&self, provider: &Provider) -> Result<Vec<String>> {
        self.upstreams.list_models(&self.endpoint(provider)?).await
    }

    /// The usual servers that answer on this machine, with their models.
    pub async fn local_servers(&self) -> Vec<LocalServer> {
        let usual: Vec<_> = PRESETS.iter().filter(|preset| is_loopback(preset.base_url)).collect();
        responding(&self.upstreams, &usual).await
    }
}

async fn test(upstreams: &Upstreams, endpoint: &Endpoint, model: Option<String>) -> Result<TestReport> {
    let late = || Error::ModelUnavailable("the provider did not finish its reply within 120 seconds".into());
    timeout(TEST_TIMEOUT, test_unbounded(upstreams, endpoint, model)).await.map_err(|_| late())?
}

async fn test_unbounded(upstreams: &Upstreams, endpoint: &Endpoint, model: Option<String>) -> Result<TestReport> {
    let started = Instant::now();
    let mut reach = Duration::ZERO;
    let models = upstreams.list_models_from(endpoint, || reach = started.elapsed()).await?;
    let listed = started.elapsed();
    let none = || Error::ModelUnavailable("the provider is up but has no models: load or pull one first".into());
    let model = model.or_else(|| models.first().cloned()).ok_or_else(none)?;
    let request = Request {
        model: model.clone(),
        messages: vec![Message::User(vec![Content::Text("Say hello.".into())])],
        output_tokens_max: Some(TEST_OUTPUT_TOKENS),
        ..Request::default()
    };
    let asked = Instant::now();
    let mut reply = upstreams.start(endpoint, &Known::default(), &request, &mut |_| ()).await?;
    let (mut deltas, mut first_token) = (Vec::new(), None);
    loop {
        let ended = reply.next(&mut deltas).await.is_some();
        // A short reply may come whole: its first token in the same read as its end.
        if first_token.is_none() && !deltas.is_empty() {
            first_token = Some(asked.elapsed());
        }
        if ended {
            break;
        }
    }
    if let Some(Delta::Fault(sentence)) = deltas.iter().find(|delta| matches!(delta, Delta::Fault(_))) {
        return Err(Error::ModelUnavailable(sentence.clone()));
    }
    Ok(TestReport { reach, listed, models, model, first_token, reply: asked.elapsed() })
}

async fn responding(upstreams: &Upstreams, presets: &[&'static Preset]) -> Vec<LocalServer> {
    let ask = |preset: &&'static Preset| {
        let (preset, endpoint) = (*preset, endpoint(preset.slug, preset.base_url, None, Vec::new()));
        async move {
            let models = timeout(LOOK_TIMEOUT, upstreams.list_models(&endpoint)).await.ok()?.ok()?;
            Some(LocalServer { preset, models })
        }
    };
    join_all(presets.iter().map(ask)).await.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::scripted::Server, outbound};

    fn usual(slug: &'static str, server: &Server) -> &'static Preset {
        let base_url = format!("http://{}/v1", server.address).leak();
        Box::leak(Box::new(Preset { slug, name: slug, base_url }))
    }

    fn saying(body: &'static str) -> Server {
        Server::responding(move |_, _| {
            let length = body.len();
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        })
    }

    #[tokio::test]
    async fn what_answers_with_a_list_of_models_is_found_and_what_is_something_else_is_not() {
        let upstreams = Upstreams::new(&outbound::Options::default()).unwrap();
        let (near, other) = (saying(r#"{"data":[{"id":"llama3.2:3b"}]}"#), saying("<html>"));
        // A server that takes the connection and says nothing.
        let silent = Server::start(|_, peer| peer.request().map(drop));
        let presets = [usual("near", &near), usual("other", &other), usual("silent", &silent)];
        let found = responding(&upstreams, &presets).await;
        let shown: Vec<_> = found.iter().map(|found| (found.preset.slug, &found.models[..])).collect();
        assert_eq!(shown, [("near", &["llama3.2:3b".to_owned()][..])]);
    }

    #[test]
    fn only_loopback_is_looked_at() {
        let usual: Vec<_> = PRESETS.iter().filter(|preset| is_loopback(preset.base_url)).collect();
        assert_eq!(
            usual.iter().map(|preset| preset.slug).collect::<Vec<_>>(),
            ["ollama", "llamacpp", "lmstudio", "vllm"]
        );
        assert!(usual.iter().all(|preset| preset.base_url.starts_with("http://127.0.0.1:")));
    }
}
