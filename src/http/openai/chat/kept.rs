//! A chat completion that is kept: a turn of a session, whose history becomes what was posted.
//!
//! Rule: it belongs to the server, and the connection is one reader of it.

use futures_util::StreamExt;
use poem::{Body, IntoResponse, Response};
use serde_json::Value;

use super::{reader::ChatReader, request::ChatRequest};
use crate::{
    http::{
        auth::{Caller, Chat},
        openai::{
            answer, begin,
            chat_wire::{ChatWire, Head},
            error::Fault,
            given::ToStore,
            models::Asked,
            theirs::Theirs,
        },
        wire::stream::SESSION_ID,
    },
    id,
    turn::{
        ask::{Ask, By, SessionRef, Trigger},
        running::RunningTurn,
    },
};

/// Where a request names the session.
pub const HEADER: &str = "x-alm-session-id";
/// Where clients that cannot send headers of their own name it.
const NOTED: &str = "metadata.alm_session";

/// The session in which a reply is to be kept, by the request's header and its body; none if it is not to be kept.
pub fn session(named: Option<&str>, request: &ChatRequest) -> Result<Option<SessionRef>, Fault> {
    let named = named.map(str::trim).filter(|id| !id.is_empty());
    let id = match (named, request.session.as_deref()) {
        (Some(header), Some(noted)) if header != noted => {
            return Err(Fault::invalid_value(NOTED, "must be what the header x-alm-session-id says"));
        }
        (header, noted) => header.or(noted),
    };
    match id {
        Some(id) => {
            id::check_client_id(if named.is_some() { HEADER } else { NOTED }, id)?;
            Ok(Some(SessionRef::Client(id.to_owned())))
        }
        None => Ok(request.store.then_some(SessionRef::New)),
    }
}

/// Answers, and keeps what was said.
pub async fn create(
    caller: &Caller<Chat>,
    request: ChatRequest,
    asked: &Asked,
    session: SessionRef,
) -> Result<Response, Fault> {
    let ChatRequest { model, stream, include_usage, conversation, sampling, tools, metadata, mut ignored, .. } =
        request;
    let ToStore { system, asides, posted } = conversation.to_store();
    let tools = tools.finish();
    let names: Vec<_> = tools.iter().map(|tool| tool.name.clone()).collect();
    let ask = Ask {
        session,
        messages: posted,
        trigger: Trigger::Replace,
        system,
        asides,
        sampling,
        tools,
        is_whole: true,
        metadata: metadata.as_ref().map(Value::to_string),
        ..begin::ask(caller, asked, By::Completions)
    };
    let started = caller.app.engine.begin(ask).await.map_err(begin::fault_of)?;
    let id = format!("chatcmpl-{}", started.turn_id.as_deref().unwrap_or_default());
    let head = Head { model, ..Head::now(id) };
    let answer = match stream {
        true => {
            let read = move |turn: &RunningTurn| {
                let (theirs, wire) = (Theirs::new(names.clone()), ChatWire::stream(head.clone(), include_usage));
                Body::from_bytes_stream(ChatReader::new(turn.listener(), theirs, wire))
            };
            begin::joinable(caller, &started.turn, read)
        }
        false => {
            started.turn.ended().await;
            if let Some(error) = started.turn.take_failure() {
                return Err(error.into());
            }
            let mut reader = ChatReader::new(started.turn.listener(), Theirs::new(names), ChatWire::whole(head));
            let mut whole = Vec::new();
            while let Some(Ok(piece)) = reader.next().await {
                whole.extend_from_slice(&piece);
            }
            answer::whole(whole)
        }
    };
    begin::note_left_out(&started.turn, &mut ignored);
    let answer = begin::with_headers(answer, started.model.as_deref(), started.test_mode, &ignored);
    Ok(answer.with_header(SESSION_ID, started.session_id).into_response())
}
