//! One call, run, or answered from the cassette that its turn plays; and written down where calls are.

use serde_json::Value;
use tokio::time::{Duration, Instant, timeout};

use crate::{
    model::{cassette::ToolExchange, source::Source},
    tools::{
        Tool, Way,
        call::{Call, Ended},
        mcp::TOOL_TIME_MAX,
    },
    turn::services::Services,
};

/// How long a call waits for a place among those of all turns.
const PLACE_WAIT: Duration = Duration::from_secs(5);

/// Runs a call; how it ended, and how long it took.
pub async fn run_one(
    services: &Services,
    source: &Source,
    tool: &Tool,
    input: &Value,
    call: Call,
) -> (Ended, Duration) {
    let began = Instant::now();
    if let Some(ended) = replayed(source, tool, input).await {
        return (ended, began.elapsed());
    }
    let Ok(Ok(_place)) = timeout(PLACE_WAIT, services.tool_places.acquire()).await else {
        let sentence = "The server runs as many tools as it can, so this call was not made.";
        return (Ended::Failed(sentence.into()), began.elapsed());
    };
    let ended = match timeout(TOOL_TIME_MAX, services.tools.run(tool, input, call)).await {
        Ok(ended) => ended,
        Err(_) => Ended::Unknown(format!("No answer came within {} s", TOOL_TIME_MAX.as_secs())),
    };
    let took = began.elapsed();
    record(services, tool, input, &ended, took);
    (ended, took)
}

/// What a cassette has for a call; none if the call is to be run. A built-in tool runs wherever it is asked for.
async fn replayed(source: &Source, tool: &Tool, input: &Value) -> Option<Ended> {
    if matches!(tool.way, Way::Builtin(_)) {
        return None;
    }
    match source.recorded(&tool.name, input).await? {
        Ok(exchange) => Some(match (exchange.output, exchange.error) {
            (_, Some(error)) => Ended::Failed(error),
            (output, None) => Ended::done(output.unwrap_or_default()),
        }),
        Err(error) => Some(Ended::Failed(error.to_string())),
    }
}

/// Has a call written down. A built-in tool runs again wherever it is asked for.
fn record(services: &Services, tool: &Tool, input: &Value, ended: &Ended, took: Duration) {
    let recorder = services.catalog.recorder().filter(|_| !matches!(tool.way, Way::Builtin(_)));
    let Some(recorder) = recorder else { return };
    let (output, error) = match ended {
        Ended::Done { output, .. } => (Some(output.clone()), None),
        Ended::Failed(sentence) | Ended::Unknown(sentence) => (None, Some(sentence.clone())),
    };
    let (name, input, ms) = (tool.name.clone(), input.clone(), took.as_millis() as u64);
    recorder.tool(ToolExchange { id: 0, name, input, output, error, ms });
}
