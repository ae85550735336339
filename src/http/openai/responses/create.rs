//! `POST /v1/responses`.
//!
//! Rule: what is kept belongs to the server, and the connection is one reader of it. What is not kept is the connection's.

use std::sync::Arc;

use futures_util::StreamExt;
use poem::{Body, Response};
use serde_json::Value;

use super::{
    entries::{self, Messages, entries},
    id, references,
    request::{self, ResponseRequest},
    retrieve::{object, running, streamed},
};
use crate::{
    error::Error,
    http::{
        auth::{Caller, Chat},
        openai::{
            answer::{Facts, events, json},
            call::Call,
            error::Fault,
            ignored::Ignored,
            models::{self, Asked},
            responses_wire::{ResponsesWire, object_of},
        },
    },
    key::Env,
    model::sampling::Sampling,
    store::responses::{NewResponse, Previous},
    turn::{
        ask::{Ask, Asker, By, Given, SessionRef, Trigger},
        engine::Started,
        running::{RunningTurn, Stop},
    },
};

/// Answers.
pub async fn create(mut call: Call<Chat>) -> Result<Response, Fault> {
    call.caller.app.refuse_while_draining()?;
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
    let asked = models::find(caller, &request.model)?;
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
        ..of(asked, caller)
    };
    let started = caller.app.engine.begin(ask).await.map_err(busy)?;
    let stored = started.turn_id.as_deref().map_or(Ok(None), |turn| caller.org().response(turn))?;
    let stored = stored.ok_or(Error::NotFound("response"))?;
    let answer = match request.stream {
        true => streamed(&stored, &started.turn, 0),
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
    Ok(told(answer, &started, ignored))
}

/// One that is not kept: its client gave the conversation whole, and its end is the connection's.
async fn given(caller: &Caller<Chat>, request: ResponseRequest) -> Result<Response, Fault> {
    let asked = models::find(caller, &request.model)?;
    if let Some(named) = request.previous.or(request.conversation) {
        let message = format!("{named} is kept, and this response is not: send the input whole");
        return Err(Fault::unsupported_value("store", &message));
    }
    let conversation = entries::conversation(entries(request.input), request.instructions.as_deref())?;
    let (system, messages) = conversation.finish();
    let mut ignored = request.ignored;
    let sampling = with_verbosity(request.sampling, request.verbosity, &asked, &mut ignored);
    let wire = Box::new(ResponsesWire::unnamed(request.object.into_map()));
    let ask = Ask {
        tools: request.tools.finish(),
        system,
        sampling,
        is_whole: !request.truncates,
        given: Some(Given { messages, wire }),
        ..of(asked, caller)
    };
    let started = caller.app.engine.begin(ask).await?;
    let stops = StopOnDrop(started.turn.clone());
    let mut reader = started.turn.reader();
    if request.stream {
        let stream = reader.map(move |piece| {
            let _held = &stops;
            piece
        });
        return Ok(told(events(Body::from_bytes_stream(stream)), &started, ignored));
    }
    let mut frames = Vec::new();
    while let Some(piece) = reader.next().await {
        frames.extend_from_slice(&piece.map_err(Error::internal)?);
    }
    if let Some(error) = started.turn.take_failure() {
        return Err(error.into());
    }
    let object = object_of(&frames).ok_or_else(|| Error::internal("a response ended without an end"))?;
    Ok(told(json(&object), &started, ignored))
}

/// Stops a turn that nobody waits for any more. One that is over stays as it is.
struct StopOnDrop(Arc<RunningTurn>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop(Stop::Requested);
    }
}

/// The answer with what is told of the turn beside it.
fn told(answer: Response, started: &Started, mut ignored: Ignored) -> Response {
    started.turn.ignored().into_iter().for_each(|what| ignored.add(what));
    let session_id = (!started.session_id.is_empty()).then_some(&*started.session_id);
    let facts = Facts { model: started.model.as_deref(), test_mode: started.test_mode, session_id };
    facts.told_in(answer, &ignored)
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

/// A request to that model.
fn of(asked: Asked, caller: &Caller<Chat>) -> Ask {
    let asker = Asker {
        tenant: caller.tenant.clone(),
        test: caller.env == Env::Test,
        key_id: caller.key_id.clone(),
        request_id: caller.request_id.as_str().to_owned(),
        claim: caller.claim.clone(),
        by: By::Responses,
        decider: caller.decider(),
    };
    match asked {
        Asked::Agent(id) => Ask { agent: Some(id), ..Ask::new(asker) },
        Asked::Raw(id) => Ask { model: Some(id), raw: true, ..Ask::new(asker) },
    }
}

/// A session in which another turn runs is free in a moment.
fn busy(error: Error) -> Fault {
    match error {
        Error::Conflict(text) => Fault::conflict("session_busy", text),
        error => error.into(),
    }
}

/// Where it goes on, and from which response.
fn place(
    caller: &Caller<Chat>,
    request: &ResponseRequest,
    asked: &Asked,
) -> Result<(SessionRef, Option<Previous>), Fault> {
    if let Some(named) = &request.conversation {
        let missing = || Fault::not_found("not_found", format!("no conversation called {named}")).param("conversation");
        let session_id = named.strip_prefix(id::CONVERSATION).ok_or_else(missing)?;
        caller.org().session_if_any(session_id)?.ok_or_else(missing)?;
        return Ok((SessionRef::Existing(session_id.to_owned()), None));
    }
    let Some(named) = &request.previous else { return Ok((SessionRef::New, None)) };
    let there = id::turn_of(named).map_or(Ok(None), |turn| caller.org().response(&turn))?;
    let stored = there.ok_or_else(|| {
        let message = format!("no response called {named}");
        Fault::not_found("previous_response_not_found", message).param("previous_response_id")
    })?;
    if stored.outcome.is_none() && running(caller, &stored).is_some() {
        let message = "the previous response is still being written: wait until it ends";
        return Err(Fault::conflict("response_in_progress", message).param("previous_response_id"));
    }
    // A session keeps its agent: another one goes on in a branch.
    let is_apart = match asked {
        Asked::Agent(id) => stored.agent_id.as_ref() != Some(id),
        Asked::Raw(_) => stored.agent_id.is_some(),
    };
    let session = if is_apart { SessionRef::New } else { SessionRef::After(stored.session_id) };
    Ok((session, Some(Previous { turn: stored.turn, is_apart })))
}
