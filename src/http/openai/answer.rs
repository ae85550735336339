//! Answers: an object, or events.

use poem::{
    Body, Response,
    http::{HeaderName, HeaderValue, header},
};
use serde::Serialize;

use crate::http::wire::data::{AnswerBytes, JSON, json_of};

/// Tells proxies to pass events on as they come.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// One object.
pub fn json(value: &impl Serialize) -> Response {
    whole(json_of(value))
}

/// The same, as JSON that is written already.
pub fn whole(json: Vec<u8>) -> Response {
    let bytes = AnswerBytes(json.len());
    let mut response = Response::builder().content_type(JSON).body(json);
    response.set_data(bytes);
    response
}

/// Events, as they come.
pub fn events(body: Body) -> Response {
    Response::builder()
        .content_type("text/event-stream")
        .header(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))
        .header(BUFFERING, HeaderValue::from_static("no"))
        .body(body)
}
