//! The stream of a turn as a response, and as the document shows it.

use std::sync::Arc;

use futures_util::StreamExt;
use poem::{
    Body, IntoResponse, Response,
    http::{HeaderValue, StatusCode, header},
};
use poem_openapi::{
    ApiResponse,
    payload::Payload,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
    types::Type,
};

use super::chunks::StreamChunk;
use crate::{
    http::{
        state::in_flight::Live,
        wire::stream::{EVENT_STREAM, SESSION_ID, stream_response},
    },
    turn::{
        engine::Started,
        reader::Reader,
        running::{Life, RunningTurn},
    },
};

/// Says that the built-in model stood in for a paid one.
const TEST_MODE: header::HeaderName = header::HeaderName::from_static("x-alm-test-mode");

/// A turn's stream as a response: server-sent events, one chunk each, then `[DONE]`.
///
/// Its own payload type, so that bytes serialised once go out as they are and the document still lists every chunk.
pub struct UiStream {
    turn: Arc<RunningTurn>,
    reader: Reader,
    /// Of a turn that is not stored: it ends with this stream.
    life: Option<Life>,
    /// The session's id, if it was made for this stream.
    new_session: Option<String>,
    /// Whether the built-in model stands in for a paid one.
    test_mode: bool,
}

impl UiStream {
    /// Of a turn that has just begun.
    pub fn of(started: Started) -> Self {
        UiStream {
            reader: started.turn.reader(),
            life: started.life,
            turn: started.turn,
            new_session: started.session_is_new.then_some(started.session_id),
            test_mode: started.test_mode,
        }
    }

    /// Of a turn that runs, with numbered events, from after the event `last`.
    pub fn after(turn: Arc<RunningTurn>, last: usize) -> Self {
        UiStream { reader: turn.numbered_reader(last), life: None, turn, new_session: None, test_mode: false }
    }
}

impl Payload for UiStream {
    const CONTENT_TYPE: &'static str = EVENT_STREAM;

    fn schema_ref() -> MetaSchemaRef {
        let items = Some(Box::new(StreamChunk::schema_ref()));
        MetaSchemaRef::Inline(Box::new(MetaSchema { items, ..MetaSchema::new_with_format("array", "event-stream") }))
    }

    fn register(registry: &mut Registry) {
        StreamChunk::register(registry);
    }
}

impl IntoResponse for UiStream {
    fn into_response(self) -> Response {
        let is_kept = self.life.is_none();
        let life = self.life;
        let body = self.reader.map(move |piece| {
            let _lives = &life;
            piece
        });
        let mut response = stream_response(Body::from_bytes_stream(body), self.new_session.as_deref());
        let headers = response.headers_mut();
        if self.test_mode {
            headers.insert(TEST_MODE, HeaderValue::from_static("true"));
        }
        // For `IdempotencyLayer`: a repeated request joins this turn.
        if is_kept {
            response.set_data(Live::of(self.turn));
        }
        response
    }
}

impl ApiResponse for UiStream {
    fn meta() -> MetaResponses {
        let text = |name: &str, description: &str| MetaHeader {
            name: name.into(),
            description: Some(description.into()),
            required: false,
            deprecated: false,
            schema: String::schema_ref(),
        };
        let response = MetaResponse {
            description: "An AI SDK v6 UI message stream: one chunk per event, then `data: [DONE]`.",
            status: Some(200),
            status_range: None,
            content: vec![MetaMediaType { content_type: Self::CONTENT_TYPE, schema: Self::schema_ref() }],
            headers: vec![
                text("x-vercel-ai-ui-message-stream", "Always `v1`."),
                text(SESSION_ID.as_str(), "The session, if this request created it."),
                text(TEST_MODE.as_str(), "`true` if the built-in model stood in for a paid one."),
            ],
        };
        MetaResponses { responses: vec![response] }
    }

    fn register(registry: &mut Registry) {
        <Self as Payload>::register(registry);
    }
}

/// The running reply, or nothing.
pub enum RunningStream {
    Live(UiStream),
    Idle,
}

impl IntoResponse for RunningStream {
    fn into_response(self) -> Response {
        match self {
            RunningStream::Live(stream) => stream.into_response(),
            RunningStream::Idle => StatusCode::NO_CONTENT.into(),
        }
    }
}

impl ApiResponse for RunningStream {
    fn meta() -> MetaResponses {
        let idle = MetaResponse {
            description: "No reply is running in this session.",
            status: Some(204),
            status_range: None,
            content: Vec::new(),
            headers: Vec::new(),
        };
        let mut responses = UiStream::meta().responses;
        responses.push(idle);
        MetaResponses { responses }
    }

    fn register(registry: &mut Registry) {
        <UiStream as ApiResponse>::register(registry);
    }
}
