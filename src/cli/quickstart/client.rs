//! The quickstart's own HTTP client: it does what `curl` would, and can print the command.
//!
//! Rule: it knows the API from outside only: statuses, envelopes, server-sent events.

use std::{
    io::{BufRead, BufReader, Read},
    time::Duration,
};

use serde_json::Value;

/// For a whole call, the streamed answer included. A real model is loaded meanwhile, and writes as fast as its processor.
const CALL_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// The longest answer, and the longest stream.
pub const BODY_BYTES_MAX: u64 = 4 << 20;

/// One call of the API.
pub struct Call<'a> {
    pub path: &'a str,
    /// A call with a body is a POST.
    pub body: Option<Value>,
    pub is_stream: bool,
}

/// What came back, if it was not a stream.
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<String>,
    pub body: Value,
}

/// What a stream said.
#[derive(Default)]
pub struct Streamed {
    pub message_id: String,
    pub text: String,
    pub finish_reason: String,
    pub chunks: usize,
    pub is_done: bool,
    /// The chunks that tell of a tool: its input, who is asked, its output.
    pub of_tools: Vec<Value>,
}

impl Streamed {
    /// The first chunk of a tool of that type.
    pub fn of_tool(&self, kind: &str) -> Option<&Value> {
        self.of_tools.iter().find(|chunk| chunk["type"] == kind)
    }
}

pub struct Client<'a> {
    agent: ureq::Agent,
    base_url: &'a str,
    key: &'a str,
    org: &'a str,
}

impl<'a> Client<'a> {
    pub fn new(base_url: &'a str, key: &'a str, org: &'a str) -> Self {
        Self::with_patience(base_url, key, org, CALL_TIMEOUT)
    }

    /// The same with so much time for a call.
    pub fn with_patience(base_url: &'a str, key: &'a str, org: &'a str, patience: Duration) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(patience));
        // Never by way of a proxy that the environment names: the server is this very process.
        Self { agent: config.proxy(None).build().into(), base_url, key, org }
    }

    /// The same client with another key.
    pub fn with_key(&self, key: &'a str) -> Self {
        Self { agent: self.agent.clone(), key, ..*self }
    }

    /// The call as one would type it.
    pub fn curl(&self, call: &Call) -> String {
        let start = match call {
            Call { body: None, .. } => "curl",
            Call { is_stream: false, .. } => "curl -X POST",
            Call { is_stream: true, .. } => "curl -N -X POST",
        };
        // The shell reads `&` and `?` itself.
        let quote = if call.path.contains(['?', '&']) { "\"" } else { "" };
        let mut lines = vec![format!("{start} {quote}{}{}{quote}", self.base_url, call.path)];
        lines.extend(self.headers(call).into_iter().map(|(name, value)| format!("  -H \"{name}: {value}\"")));
        if let Some(body) = &call.body {
            lines.push(format!("  -d '{}'", body.to_string().replace('\'', r"'\''")));
        }
        lines.join(" \\\n")
    }

    /// Makes the call and reads its whole JSON answer.
    pub fn send(&self, call: &Call) -> Result<Answer, String> {
        let response = self.response(call)?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").and_then(|v| v.to_str().ok()).map(str::to_owned);
        let text = response.into_body().into_with_config().limit(BODY_BYTES_MAX).read_to_string();
        let text = text.map_err(|e| format!("cannot read the response: {e}"))?;
        let body =
            serde_json::from_str(&text).map_err(|_| format!("status {status}, and the body is not JSON: {text}"))?;
        Ok(Answer { status, retry_after, body })
    }

    /// Makes the call and hands over each piece of text as it arrives.
    pub fn stream(
        &self,
        call: &Call,
        mut on_text: impl FnMut(&str) -> std::io::Result<()>,
    ) -> Result<Streamed, String> {
        let response = self.response(call)?;
        let status = response.status().as_u16();
        let kind = response.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or("none").to_owned();
        let body = response.into_body().into_reader().take(BODY_BYTES_MAX);
        let mut lines = BufReader::new(body);
        if status != 200 || !kind.starts_with("text/event-stream") {
            let mut text = String::new();
            lines.read_to_string(&mut text).ok();
            return Err(format!("expected 200 and text/event-stream, got {status} and {kind}: {text}"));
        }
        let mut streamed = Streamed::default();
        let mut line = String::new();
        while lines.read_line(&mut line).map_err(|e| format!("the stream broke off: {e}"))? > 0 {
            if let Some(data) = line.strip_prefix("data: ") {
                take_event(&mut streamed, data.trim_end(), &mut on_text)?;
            }
            line.clear();
        }
        Ok(streamed)
    }

    fn response(&self, call: &Call) -> Result<ureq::http::Response<ureq::Body>, String> {
        let url = format!("{}{}", self.base_url, call.path);
        let headers = self.headers(call);
        let sent = match &call.body {
            None => headers.into_iter().fold(self.agent.get(&url), |r, (name, value)| r.header(name, value)).call(),
            Some(body) => {
                let request = headers.into_iter().fold(self.agent.post(&url), |r, (name, value)| r.header(name, value));
                request.send(body.to_string())
            }
        };
        sent.map_err(|e| format!("{url} cannot be reached: {e}"))
    }

    fn headers(&self, call: &Call) -> Vec<(&'static str, String)> {
        let mut headers = vec![("Authorization", format!("Bearer {}", self.key)), ("X-Alumia-Org", self.org.into())];
        if call.body.is_some() {
            headers.push(("Content-Type", "application/json".into()));
        }
        if call.is_stream {
            headers.push(("Accept", "text/event-stream".into()));
        }
        headers
    }
}

fn take_event(
    streamed: &mut Streamed,
    data: &str,
    on_text: &mut impl FnMut(&str) -> std::io::Result<()>,
) -> Result<(), String> {
    if data == "[DONE]" {
        streamed.is_done = true;
        return Ok(());
    }
    let chunk: Value = serde_json::from_str(data).map_err(|_| format!("an event is not JSON: {data}"))?;
    let field = |name: &str| chunk[name].as_str().unwrap_or_default();
    streamed.chunks += 1;
    match field("type") {
        "start" => streamed.message_id = field("messageId").into(),
        "text-delta" => {
            streamed.text.push_str(field("delta"));
            on_text(field("delta")).map_err(|e| format!("cannot print: {e}"))?;
        }
        "finish" => streamed.finish_reason = field("finishReason").into(),
        "error" => return Err(format!("the stream reports an error: {}", field("errorText"))),
        "tool-input-available" | "tool-approval-request" | "tool-output-available" => streamed.of_tools.push(chunk),
        _ => {}
    }
    Ok(())
}
