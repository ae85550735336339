//! The head of a stream: server-sent events, of a reply in the AI SDK's protocol.

use poem::{
    Body, Response,
    http::{HeaderName, HeaderValue, Version, header},
};

/// The content type of a stream.
pub const EVENT_STREAM: &str = "text/event-stream";
/// Names the session that a request made.
pub const SESSION_ID: HeaderName = HeaderName::from_static("x-alm-session-id");

/// Marks a stream as one of the AI SDK's.
pub const UI_MESSAGE_STREAM: HeaderName = HeaderName::from_static("x-vercel-ai-ui-message-stream");

/// The response of a reply's stream; `session_id` if the request created the session.
pub fn stream_response(body: Body, session_id: Option<&str>) -> Response {
    let mut response = event_stream(body);
    let headers = response.headers_mut();
    headers.insert(UI_MESSAGE_STREAM, HeaderValue::from_static("v1"));
    let session_id = session_id.and_then(|id| HeaderValue::from_str(id).ok());
    headers.extend(session_id.map(|id| (SESSION_ID, id)));
    response
}

/// The response of any stream of events.
pub fn event_stream(body: Body) -> Response {
    Response::builder()
        .version(Version::HTTP_11)
        .content_type(EVENT_STREAM)
        .header(header::CACHE_CONTROL, "no-cache")
        .header(header::CONNECTION, "keep-alive")
        .header("x-accel-buffering", "no")
        .body(body)
}
