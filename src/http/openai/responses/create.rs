//! `POST /v1/responses`.
//!
//! Rule: what is kept belongs to the server, and the connection is one reader of it. What is not kept is the connection's.

use poem::{IntoResponse, Response};
use serde_json::Value;

use super::{
    entries::{self, Messages, entries},
    id, references,
    request::{self, ResponseRequest},
    retrieve::{body_of, object, running},
};
use crate::{
    error::Error,
    http::{
        auth::{Caller, Chat},
        openai::{
            answer::json,
            begin,
            call::Call,
            error::Fault,
            given::apart,
            ignored::Ignored,
            models::{self, Asked},
            responses_wire::{ResponsesWire, WholeResponse},
        },
        wire::stream::SESSION_ID,
    },
    model::{Message, sampling::Sampling},
    store::{
        TurnRow,
        responses::{NewResponse, Previous, Response as Stored},
    },
    turn::{
        ask::{Ask, By, Given, SessionRef, Trigger},
        respond,
        wire::Wire,
    },
};

/// Answers.
pub async fn create(mut call: Call<Chat>) -> Result<Response, Fault> {
    let mut request = call.body().await?.into(request::decode).await?;
    if references::any(&request.input) {
        let input = std::mem::take(&mut request.input);
        let read = call.caller.scan(move |org| references::read(&org, &input).map(|read| (input, read)));
        let (input, read) = read.await?;
        request.input = references::resolved(input, &read)?;
    }
    match request.store {
        true => kept(&call.caller, request).await,
        false => given(&call.caller, request).await,
    }
}

/// One that is kept: a turn of a session.
async fn kept(caller: &Caller<Chat>, request: ResponseRequest) -> Result<Response, Fault> {
    let asked = models::find(caller, &request.model).await?;
    let (session, previous) = place(caller, &request, &asked)?;
    let Messages { posted, outputs } = entries::messages(entries(request.input));
    let (is_background, mut ignored) = (request.background, request.ignored);
    let sampling = with_verbosity(request.sampling, request.verbosity, &asked, &mut ignored);
    let ask = Ask {
        session,
        messages: posted,
        trigger: Trigger::Respond(outputs),
        tools: request.tools.finish(),
        system: request.instructions.unwrap_or_default(),
        sampling,
        is_whole: !request.truncates,
        response: Some(NewResponse { previous, is_background, asked: request.object.asked() }),
        ..begin::ask(caller, &asked, By::Responses)
    };
    let started = caller.app.engine.begin(ask).await.map_err(begin::fault_of)?;
    let stored = started.turn_id.as_deref().map_or(Ok(None), |turn| caller.org().response(turn))?;
    let stored = stored.ok_or(Error::NotFound("response"))?;
    let answer = match request.stream {
        true => {
            let stored = stored.clone();
            begin::joinable(caller, &started.turn, move |turn| body_of(&stored, turn, 0))
        }
        false if is_background => json(&object(caller, &stored).await?),
        false => {
            started.turn.ended().await;
            if let Some(error) = started.turn.take_failure() {
                return Err(error.into());
            }
            let ended = caller.org().response(&stored.id)?.ok_or(Error::NotFound("response"))?;
            json(&object(caller, &ended).await?)
        }
    };
    begin::note_left_out(&started.turn, &mut ignored);
    let answer = begin::with_headers(answer, started.model.as_deref(), started.test_mode, &ignored);
    Ok(answer.with_header(SESSION_ID, stored.session_id).into_response())
}

/// One that is not kept: its end is the connection's. What it goes on from is read, and stays as it is.
async fn given(caller: &Caller<Chat>, request: ResponseRequest) -> Result<Response, Fault> {
    let asked = models::find(caller, &request.model).await?;
    let (system, messages) = match past(caller, &request)? {
        Some((session_id, turn)) => {
            let Messages { posted, outputs } = entries::messages(entries(request.input));
            let read = caller.large(move |org| {
                let (history, calls) = org.past(&session_id, turn)?;
                respond::read(history, &calls, posted, outputs)
            });
            let instructions = request.instructions.filter(|text| !text.is_empty()).map(Message::System);
            apart(instructions.into_iter().chain(read.await.map_err(begin::fault_of)?).collect())
        }
        None => entries::conversation(entries(request.input), request.instructions.as_deref())?.finish(),
    };
    let mut ignored = request.ignored;
    let sampling = with_verbosity(request.sampling, request.verbosity, &asked, &mut ignored);
    let wire = ResponsesWire::unnamed(request.object.into_map());
    let wire: Box<dyn Wire> = if request.stream { Box::new(wire) } else { Box::new(WholeResponse(wire)) };
    let ask = Ask {
        tools: request.tools.finish(),
        system,
        sampling,
        is_whole: !request.truncates,
        given: Some(Given { messages, wire }),
        ..begin::ask(caller, &asked, By::Responses)
    };
    begin::begin(caller, ask, ignored, request.stream).await
}

/// How wordy a reply is to be is for a provider's own model.
fn with_verbosity(mut sampling: Sampling, verbosity: Option<Value>, asked: &Asked, ignored: &mut Ignored) -> Sampling {
    match (verbosity, asked) {
        (Some(verbosity), Asked::Raw(_)) => drop(sampling.extra.insert("verbosity".into(), verbosity)),
        (Some(_), Asked::Agent(_)) => ignored.add("text.verbosity"),
        (None, _) => {}
    }
    sampling
}

/// Where it goes on, and from which response.
fn place(
    caller: &Caller<Chat>,
    request: &ResponseRequest,
    asked: &Asked,
) -> Result<(SessionRef, Option<Previous>), Fault> {
    if let Some(named) = &request.conversation {
        return Ok((SessionRef::Existing(conversation(caller, named)?), None));
    }
    let Some(named) = &request.previous else { return Ok((SessionRef::New, None)) };
    let stored = previous(caller, named)?;
    // A session keeps its agent: another one goes on in a branch.
    let is_apart = match asked {
        Asked::Agent(id) => stored.agent_id.as_ref() != Some(id),
        Asked::Raw(_) => stored.agent_id.is_some(),
    };
    let session = if is_apart { SessionRef::New } else { SessionRef::After(stored.session_id) };
    Ok((session, Some(Previous { turn: stored.turn, is_apart })))
}

/// The session that it goes on from, and the turn at whose end; none if its client gives all of the conversation.
fn past(caller: &Caller<Chat>, request: &ResponseRequest) -> Result<Option<(String, Option<TurnRow>)>, Fault> {
    Ok(match (&request.conversation, &request.previous) {
        (Some(named), _) => Some((conversation(caller, named)?, None)),
        (None, Some(named)) => {
            let stored = previous(caller, named)?;
            Some((stored.session_id, Some(stored.turn)))
        }
        (None, None) => None,
    })
}

/// The session that is called so here.
fn conversation(caller: &Caller<Chat>, named: &str) -> Result<String, Fault> {
    let missing = || Fault::not_found("not_found", format!("no conversation called {named}")).param("conversation");
    let session_id = named.strip_prefix(id::CONVERSATION).ok_or_else(missing)?;
    caller.org().session_if_any(session_id)?.ok_or_else(missing)?;
    Ok(session_id.to_owned())
}

/// The response of that id, which must be over.
fn previous(caller: &Caller<Chat>, named: &str) -> Result<Stored, Fault> {
    let there = id::turn_of(named).map_or(Ok(None), |turn| caller.org().response(&turn))?;
    let stored = there.ok_or_else(|| {
        let message = format!("no response called {named}");
        Fault::not_found("previous_response_not_found", message).param("previous_response_id")
    })?;
    if stored.outcome.is_none() && running(caller, &stored).is_some() {
        let message = "the previous response is still being written: wait until it ends";
        return Err(Fault::conflict("response_in_progress", message).param("previous_response_id"));
    }
    Ok(stored)
}
