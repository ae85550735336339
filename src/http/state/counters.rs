//! Counters for Prometheus.
//!
//! Rule: labels are of bounded variety: patterns and not paths, no organization, no model name that a caller wrote.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text::encode},
    metrics::{
        MetricType,
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::ConstGauge,
        info::Info,
    },
    registry::Registry,
};

use crate::{catalog::Catalog, model::local::State, store::Store, tools::Tools, turn::engine::Engine};

/// What is counted.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    path: Arc<str>,
    status: u16,
}

impl Metrics {
    /// Counters of requests, beside those that others keep.
    pub fn new(store: Store, catalog: Arc<Catalog>, tools: Arc<Tools>, engine: Arc<Engine>) -> Self {
        let mut registry = Registry::with_prefix("alm");
        let requests = Family::default();
        registry.register("build", "The running binary", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register("requests", "Requests by method, path pattern and status", requests.clone());
        registry.register_collector(Box::new(Turns(engine.clone())));
        registry.register_collector(Box::new(Calls { store, tools, engine }));
        registry.register_collector(Box::new(LocalModels(catalog)));
        Metrics { registry, requests }
    }

    /// Shows how many lines the program's log has lost.
    pub fn add_log_lines_lost(&mut self, count: Arc<AtomicU64>) {
        self.registry.register_collector(Box::new(LogLinesLost(count)));
    }

    /// Counts one request that was answered.
    pub fn count_request(&self, method: &'static str, path: Arc<str>, status: u16) {
        self.requests.get_or_create(&RequestLabels { method, path, status }).inc();
    }

    /// All of it, in the text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes every write");
        text
    }
}

/// The engine's own counters, read when somebody asks.
struct Turns(Arc<Engine>);

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turns")
    }
}

impl Collector for Turns {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Turns(engine) = self;
        let running = ConstGauge::new(engine.turns_running() as i64);
        let gauge = encoder.encode_descriptor("turns_running", "Turns that run now", None, running.metric_type())?;
        running.encode(gauge)?;
        let any = ConstCounter::new(0u64);
        let mut ended = encoder.encode_descriptor("turns_ended", "Turns by how they ended", None, any.metric_type())?;
        for (outcome, count) in engine.stats().ended() {
            ConstCounter::new(count).encode(ended.encode_family(&[("status", outcome.as_str())])?)?;
        }
        let (input, output) = engine.stats().tokens();
        for (name, help, count) in
            [("input_tokens", "Tokens of prompts", input), ("output_tokens", "Tokens of replies", output)]
        {
            let tokens = ConstCounter::new(count);
            let counter = encoder.encode_descriptor(name, help, None, tokens.metric_type())?;
            tokens.encode(counter)?;
        }
        Ok(())
    }
}

/// What tools did, and how they are. What the file does not tell, since it cannot be read now, is left out.
struct Calls {
    store: Store,
    tools: Arc<Tools>,
    engine: Arc<Engine>,
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Calls")
    }
}

impl Collector for Calls {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let stats = self.engine.stats();
        let help = "Calls of tools, by origin and how they came to their end";
        let mut calls = encoder.encode_descriptor("tool_calls", help, None, MetricType::Counter)?;
        for (origin, outcome, count) in stats.tool_calls() {
            let labels = [("origin", origin.as_str()), ("outcome", outcome.as_str())];
            ConstCounter::new(count).encode(calls.encode_family(&labels)?)?;
        }
        let help = "Seconds that calls of tools took, by origin";
        let mut seconds = encoder.encode_descriptor("tool_seconds", help, None, MetricType::Counter)?;
        for (origin, took) in stats.tool_seconds() {
            ConstCounter::new(took).encode(seconds.encode_family(&[("origin", origin.as_str())])?)?;
        }
        for (name, help, count) in [
            ("tool_outputs_cut", "Outputs of tools that were too long for a prompt", stats.outputs_cut()),
            ("mcp_restarts", "Starts of MCP servers after they had ended by themselves", self.tools.mcp().restarts()),
        ] {
            ConstCounter::new(count).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        if let Ok(waiting) = self.store.approvals_waiting() {
            let help = "Calls that wait for a person";
            let gauge = encoder.encode_descriptor("approvals_waiting", help, None, MetricType::Gauge)?;
            ConstGauge::new(waiting).encode(gauge)?;
        }
        let states = self.tools.mcp().states().unwrap_or_default();
        let help = "MCP servers by transport and state";
        let mut servers = encoder.encode_descriptor("mcp_servers", help, None, MetricType::Gauge)?;
        for ((transport, state), count) in states {
            let labels = [("transport", transport), ("state", state.word())];
            ConstGauge::new(count as i64).encode(servers.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// The models that the server runs itself. An operator named them, and they are few.
struct LocalModels(Arc<Catalog>);

impl fmt::Debug for LocalModels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalModels")
    }
}

impl Collector for LocalModels {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let models: Vec<_> = self.0.local().all().iter().map(|model| model.status()).collect();
        if models.is_empty() {
            return Ok(());
        }
        let help = "Whether a local model is in that state";
        let mut states = encoder.encode_descriptor("local_model_state", help, None, MetricType::Gauge)?;
        for model in &models {
            for state in State::ALL {
                let labels = [("name", &*model.name), ("state", state.as_str())];
                ConstGauge::new(i64::from(model.state == state)).encode(states.encode_family(&labels)?)?;
            }
        }
        let help = "Starts of a local model after it had ended by itself";
        let mut restarts = encoder.encode_descriptor("local_model_restarts", help, None, MetricType::Counter)?;
        for model in &models {
            ConstCounter::new(model.restarts).encode(restarts.encode_family(&[("name", &*model.name)])?)?;
        }
        let help = "Answers that wait for a local model";
        let mut queue = encoder.encode_descriptor("local_model_queue", help, None, MetricType::Gauge)?;
        for model in &models {
            ConstGauge::new(model.queue as i64).encode(queue.encode_family(&[("name", &*model.name)])?)?;
        }
        let help = "Memory of a local model's process";
        let mut resident = encoder.encode_descriptor("local_model_resident_bytes", help, None, MetricType::Gauge)?;
        for model in &models {
            let bytes = model.resident_bytes.unwrap_or(0) as i64;
            ConstGauge::new(bytes).encode(resident.encode_family(&[("name", &*model.name)])?)?;
        }
        Ok(())
    }
}

/// Counted where the log is written.
#[derive(Debug)]
struct LogLinesLost(Arc<AtomicU64>);

impl Collector for LogLinesLost {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let lost = ConstCounter::new(self.0.load(Ordering::Relaxed));
        let help = "Lines of the log that were dropped or could not be written";
        lost.encode(encoder.encode_descriptor("log_lines_lost", help, None, lost.metric_type())?)
    }
}
