//! What came back from an HTTP server: what it was asked, and what its answer means.

use std::time::Duration;

use futures_util::StreamExt;
use rmcp::{
    model::{ClientJsonRpcMessage, ClientRequest, ServerJsonRpcMessage},
    transport::streamable_http_client::StreamableHttpPostResponse,
};
use serde_json::{Value, json};
use sse_stream::Sse;

use super::{
    envelope,
    failed::{Events, Failed, Failure},
    questions::Questions,
    result::ERROR_CHARS_MAX,
};
use crate::outbound::{
    Body,
    http::{Response, StatusCode, header},
};

/// Of a failed response, this much is read: enough to find an error of the protocol in it.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;
/// Who says when to come back for the rest of an answer is asked for it no sooner than after this.
pub const RESUME_PAUSE_MIN: Duration = Duration::from_secs(1);
/// And after this at the latest.
pub const RESUME_PAUSE_MAX: Duration = Duration::from_secs(60);
/// The code of a lost session, from servers that answer it with 400.
const SESSION_LOST: i64 = -32_000;

/// What a message asks for.
#[derive(Default)]
pub(super) struct Asked {
    /// None of a notice, and of an answer of ours.
    pub id: Option<Value>,
    pub is_handshake: bool,
    pub is_probe: bool,
    pub is_call: bool,
}

impl Asked {
    pub(super) fn of(message: &ClientJsonRpcMessage) -> Self {
        let ClientJsonRpcMessage::Request(request) = message else {
            return Asked::default();
        };
        let is_probe = matches!(request.request, ClientRequest::DiscoverRequest(_));
        let is_handshake = is_probe || matches!(request.request, ClientRequest::InitializeRequest(_));
        let is_call = matches!(request.request, ClientRequest::CallToolRequest(_));
        Asked { id: serde_json::to_value(&request.id).ok(), is_handshake, is_probe, is_call }
    }

    /// Whether a message is no answer to another question.
    fn fits(&self, message: &Value) -> bool {
        let (Some(asked), false) = (&self.id, message.get("method").is_some()) else { return true };
        match message.get("id") {
            None | Some(Value::Null) => true,
            Some(Value::String(id)) => id.parse().is_ok_and(|id: u64| *asked == id),
            Some(id) => id == asked,
        }
    }

    pub(super) fn close(&self, message: Value) -> Value {
        if self.is_handshake { message } else { envelope::close(message, self.id.as_ref()) }
    }
}

/// The events of an answer, each message in its envelope. An event's id is passed on only where the server says when to come back for
/// the rest: else a connection that broke is an answer that will not come.
pub(super) fn opened(events: Events, asked: Asked, questions: Questions) -> Events {
    let mut resumes = false;
    let closed = events.map(move |event| {
        let event = event?;
        resumes |= event.retry.is_some();
        let message = event.data.and_then(|data| serde_json::from_str(&data).ok());
        // The library takes any answer for the last event.
        let message = message.filter(|message| asked.fits(message)).map(|message| asked.close(message));
        let message = message.filter(|message| match message.get("method") {
            Some(_) => serde_json::from_value(message.clone()).is_ok_and(|message| questions.admits(&message)),
            None => true,
        });
        let retry = event.retry.map(|ms| resume_pause(Duration::from_millis(ms)).as_millis() as u64);
        Ok(Sse { data: message.map(|message| message.to_string()), id: event.id.filter(|_| resumes), retry, ..event })
    });
    closed.boxed()
}

fn resume_pause(asked: Duration) -> Duration {
    asked.clamp(RESUME_PAUSE_MIN, RESUME_PAUSE_MAX)
}

/// What a failed response means.
pub(super) async fn refusal(
    response: &mut Response<Body>,
    asked: &Asked,
    has_session: bool,
) -> Result<StreamableHttpPostResponse, Failure> {
    let status = response.status();
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            return Err(Failure::Client(Failed::Refused(status.as_u16())));
        }
        StatusCode::NOT_FOUND if has_session => return Err(Failure::SessionExpired),
        _ => {}
    }
    let target = header_text(response, header::LOCATION.as_str());
    let body = response.body_mut().read_up_to(REFUSAL_BYTES_MAX).await.unwrap_or_default();
    let message: Option<Value> = serde_json::from_slice(&body).ok().map(single);
    let code = message.as_ref().and_then(|message| message.pointer("/error/code")?.as_i64());
    if has_session && status == StatusCode::BAD_REQUEST && code == Some(SESSION_LOST) {
        return Err(Failure::SessionExpired);
    }
    let text: String = match &*media_type(response) {
        "text/html" => "this is a web page, and no MCP server".into(),
        _ => String::from_utf8_lossy(&body).trim().chars().take(ERROR_CHARS_MAX).collect(),
    };
    let answer = match (message.filter(|_| code.is_some()), &asked.id) {
        (Some(mut message), Some(id)) => {
            // Whoever cannot read a request does not know its id.
            message["id"] = id.clone();
            asked.close(message)
        }
        // To the probe this is how a server of before says that it does not know it.
        (None, Some(id)) if asked.is_probe && status.is_client_error() => {
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32_600, "message": format!("HTTP {status}")}})
        }
        _ => {
            let text = target.map_or(text, |target| format!("it points to {target}"));
            return Err(Failure::Client(Failed::Status { status: status.as_u16(), text }));
        }
    };
    let answer: ServerJsonRpcMessage = serde_json::from_value(answer)?;
    Ok(StreamableHttpPostResponse::Json(answer, None))
}

/// The answer of a batch, which servers of one version may send.
pub(super) fn single(message: Value) -> Value {
    match message {
        Value::Array(messages) => {
            let is_answer = |message: &Value| message.get("method").is_none() && message.get("id").is_some();
            messages.into_iter().find(is_answer).unwrap_or_default()
        }
        single => single,
    }
}

pub(super) fn header_text(response: &Response<Body>, name: &str) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// Without case and parameters.
pub(super) fn media_type(response: &Response<Body>) -> String {
    let text = header_text(response, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_an_answer_is_asked_for_when_its_server_says_within_bounds() {
        let ms = Duration::from_millis(1);
        for (asked, pause) in [
            (Duration::ZERO, RESUME_PAUSE_MIN),
            (RESUME_PAUSE_MIN - ms, RESUME_PAUSE_MIN),
            (RESUME_PAUSE_MIN + ms, RESUME_PAUSE_MIN + ms),
            (RESUME_PAUSE_MAX, RESUME_PAUSE_MAX),
            (RESUME_PAUSE_MAX + ms, RESUME_PAUSE_MAX),
        ] {
            assert_eq!(resume_pause(asked), pause);
        }
    }
}
