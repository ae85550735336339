//! Counters for Prometheus.
//!
//! Rule: labels are of bounded variety: patterns and not paths, no organization, no model name that a caller wrote.

use std::{borrow::Cow, sync::Arc};

use poem::{Endpoint, EndpointExt, IntoResponse, Response, Route, get, handler, http::StatusCode, web::Data};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::Registry,
};

const TEXT_FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is counted.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    /// Turns that run now.
    pub turns_running: Gauge,
    /// Turns by how they ended.
    pub turns_ended: Family<TurnLabels, Counter>,
    /// Tokens of prompts.
    pub input_tokens: Counter,
    /// Tokens of replies.
    pub output_tokens: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: Cow<'static, str>,
    path: Arc<str>,
    status: u16,
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TurnLabels {
    /// A word of the schema: `complete`, `stopped`, `interrupted`, `error`, `withdrawn`.
    pub status: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("alm");
        let requests = Family::default();
        let turns_running = Gauge::default();
        let turns_ended = Family::default();
        let (input_tokens, output_tokens) = (Counter::default(), Counter::default());
        registry.register("build", "The running binary", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register("requests", "Requests by method, path pattern and status", requests.clone());
        registry.register("turns_running", "Turns that run now", turns_running.clone());
        registry.register("turns_ended", "Turns by how they ended", turns_ended.clone());
        registry.register("input_tokens", "Tokens of prompts", input_tokens.clone());
        registry.register("output_tokens", "Tokens of replies", output_tokens.clone());
        Metrics { registry, requests, turns_running, turns_ended, input_tokens, output_tokens }
    }
}

impl Metrics {
    pub(super) fn count_request(&self, method: Cow<'static, str>, path: Arc<str>, status: u16) {
        self.requests.get_or_create(&RequestLabels { method, path, status }).inc();
    }

    /// All of it, in the text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes every write");
        text
    }
}

/// `GET /metrics`, for a listener of its own: what it shows is the operator's business.
pub fn endpoint(app: Arc<super::App>) -> impl Endpoint<Output = Response> {
    Route::new().at("/metrics", get(metrics_text)).data(app).map_to_response()
}

#[handler]
fn metrics_text(Data(app): Data<&Arc<super::App>>) -> Response {
    app.metrics.text().with_content_type(TEXT_FORMAT).with_status(StatusCode::OK).into_response()
}
