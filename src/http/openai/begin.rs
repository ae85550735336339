//! A reply that is not stored, from the question to the response: streamed, or as one object.
//!
//! Rule: the connection is its life. When the response is dropped, or the wait for it, the turn is stopped.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::Stream;
use poem::{
    Body, Response,
    http::{HeaderMap, HeaderName, HeaderValue},
};

use super::{answer, error::Fault, ignored::Ignored, models::Asked};
use crate::{
    error::Error,
    http::{
        auth::{Caller, Chat},
        state::in_flight::Live,
    },
    key::Env,
    store::sessions::BUSY,
    turn::{
        ask::{Ask, Asker, By},
        engine::Started,
        reader::Reader,
        running::{Life, RunningTurn},
    },
};

/// Which model answers: `provider/model`.
const MODEL: HeaderName = HeaderName::from_static("x-alm-model");
/// Says that the built-in model stands in for a paid one.
const TEST_MODE: HeaderName = HeaderName::from_static("x-alm-test-mode");
/// What of the request was left out.
const IGNORED: HeaderName = HeaderName::from_static("x-alm-ignored");
/// The instructions' role is another name for the same words.
const NOT_LEFT_OUT: &str = "system";
/// Of what a model's server refused these are the agent's: the client's own would have refused the request.
const AGENTS: &str = "tools";

/// Asks what `asked` means, as the program of that caller.
pub fn ask(caller: &Caller<Chat>, asked: &Asked, by: By) -> Ask {
    let asker = Asker {
        tenant: caller.tenant.clone(),
        test: caller.env == Env::Test,
        key_id: caller.key_id.clone(),
        request_id: caller.request_id.as_str().to_owned(),
        route: caller.route,
        claim: caller.claim.clone(),
        by,
        decider: caller.decider(),
    };
    match asked.clone() {
        Asked::Agent(id) => Ask { agent: Some(id), ..Ask::new(asker) },
        Asked::Raw(found) => {
            Ask { raw: true, model: Some(found.model.id.clone()), found: Some(found), ..Ask::new(asker) }
        }
    }
}

/// Begins a turn that is not stored, and answers with its reply in its own wire.
pub async fn begin(caller: &Caller<Chat>, ask: Ask, mut ignored: Ignored, stream: bool) -> Result<Response, Fault> {
    let Started { turn, life, model, test_mode, .. } = caller.app.engine.begin(ask).await?;
    let is_once = life.is_none();
    let mut response = match stream {
        true => answer::events(Body::from_bytes_stream(Living { reader: turn.reader(), _life: life })),
        false => {
            turn.ended().await;
            if let Some(error) = turn.take_failure() {
                return Err(error.into());
            }
            answer::whole(turn.journal().since(0))
        }
    };
    if stream && is_once {
        response.set_data(Live::of(turn.clone()));
    }
    note_left_out(&turn, &mut ignored);
    Ok(with_headers(response, model.as_deref(), test_mode, &ignored))
}

/// The stream of a kept reply, which `read` writes for each of its readers: whoever asks again with the same key joins it.
pub fn joinable(
    caller: &Caller<Chat>,
    turn: &Arc<RunningTurn>,
    read: impl Fn(&RunningTurn) -> Body + Send + Sync + 'static,
) -> Response {
    let mut response = answer::events(read(turn));
    if caller.claim.is_some() {
        response.set_data(Live::read_by(turn.clone(), read));
    }
    response
}

/// Notes what of the request, and of its agent, the model was not sent.
pub fn note_left_out(turn: &RunningTurn, ignored: &mut Ignored) {
    let left_out = turn.ignored().into_iter().filter(|what| what != NOT_LEFT_OUT);
    left_out.for_each(|what| ignored.add(if what == AGENTS { "agent.tools".to_owned() } else { what }));
}

/// Why no turn began. A session in which another one runs is free in a moment.
pub fn fault_of(error: Error) -> Fault {
    match error {
        Error::Conflict(text) if text == BUSY => Fault::conflict("session_busy", text),
        error => error.into(),
    }
}

/// The same response, which says what answered and what was left out.
pub fn with_headers(mut response: Response, model: Option<&str>, test_mode: bool, ignored: &Ignored) -> Response {
    let headers: &mut HeaderMap = response.headers_mut();
    headers.extend(model.and_then(|model| HeaderValue::from_str(model).ok()).map(|model| (MODEL, model)));
    headers.extend(test_mode.then(|| (TEST_MODE, HeaderValue::from_static("true"))));
    let ignored = ignored.header().and_then(|ignored| HeaderValue::from_bytes(ignored.as_bytes()).ok());
    headers.extend(ignored.map(|ignored| (IGNORED, ignored)));
    response
}

/// The stream of a turn that ends with it.
struct Living {
    reader: Reader,
    _life: Option<Life>,
}

impl Stream for Living {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.reader).poll_next(context)
    }
}
