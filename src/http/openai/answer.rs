//! Answers: an object, or events.

use poem::{
    Body, Response,
    http::{HeaderName, HeaderValue, header},
};
use serde::Serialize;

use super::ignored::Ignored;
use crate::http::wire::data::{AnswerBytes, JSON, json_of};

/// Tells proxies to pass events on as they come.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

const MODEL: HeaderName = HeaderName::from_static("x-alm-model");
const TEST_MODE: HeaderName = HeaderName::from_static("x-alm-test-mode");
const SESSION_ID: HeaderName = HeaderName::from_static("x-alm-session-id");
const IGNORED: HeaderName = HeaderName::from_static("x-alm-ignored");

/// What the headers of a model's answer say.
pub struct Facts<'a> {
    /// `provider/model`, which answers.
    pub model: Option<&'a str>,
    /// Whether the built-in model answers in place of a paid one.
    pub test_mode: bool,
    /// Where it is kept.
    pub session_id: Option<&'a str>,
}

impl Facts<'_> {
    /// The answer with these headers, and one for what was left out of its request.
    pub fn told_in(&self, mut answer: Response, ignored: &Ignored) -> Response {
        let test_mode = self.test_mode.then(|| "true".to_owned());
        let session_id = self.session_id.map(str::to_owned);
        let model = self.model.map(str::to_owned);
        for (name, text) in
            [(MODEL, model), (TEST_MODE, test_mode), (SESSION_ID, session_id), (IGNORED, ignored.header())]
        {
            // Others make up ids and models: what no header can say is not said.
            if let Some(value) = text.and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok()) {
                answer.headers_mut().insert(name, value);
            }
        }
        answer
    }
}

/// One object.
pub fn json(value: &impl Serialize) -> Response {
    let json = json_of(value);
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
