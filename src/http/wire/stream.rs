//! The head of a streamed reply: server-sent events in the AI SDK's protocol.

use poem::{
    Body, Response,
    http::{HeaderName, HeaderValue, Version, header},
};

/// The content type of a stream.
pub const EVENT_STREAM: &str = "text/event-stream";
/// Names the session that a request made.
pub const SESSION_ID: HeaderName = HeaderName::from_static("x-alm-session-id");

/// A stream's response; `session_id` if the request created the session.
pub fn stream_response(body: Body, session_id: Option<&str>) -> Response {
    let mut response = Response::builder()
        .version(Version::HTTP_11)
        .content_type(EVENT_STREAM)
        .header(header::CACHE_CONTROL, "no-cache")
        .header(header::CONNECTION, "keep-alive")
        .header("x-vercel-ai-ui-message-stream", "v1")
        .header("x-accel-buffering", "no")
        .body(body);
    let session_id = session_id.and_then(|id| HeaderValue::from_str(id).ok());
    response.headers_mut().extend(session_id.map(|id| (SESSION_ID, id)));
    response
}
