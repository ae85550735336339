//! Stored responses, read.

use poem::{Body, Response};
use serde::Deserialize;
use serde_json::Value;

use super::{
    id,
    reader::ResponseReader,
    stored::{Told, tell, wire_of},
};
use crate::{
    error::Error,
    http::{
        auth::{Caller, ReadOrChat},
        openai::{
            answer::{events, json},
            call::Call,
            error::Fault,
        },
    },
    store::{responses::Response as Stored, turns::Outcome},
    turn::{replay, running::RunningTurn},
};

/// What a GET of a response may ask for.
#[derive(Debug, Default, Deserialize)]
struct Query {
    #[serde(default)]
    stream: bool,
    /// The number of the last event that was received.
    starting_after: Option<u64>,
}

/// `GET /v1/responses/{id}`: the object, or its events.
pub async fn retrieve(call: Call<ReadOrChat>) -> Result<Response, Fault> {
    let query: Query = call.query()?;
    let stored = find(&call.caller, &call.params)?;
    if !query.stream {
        return Ok(json(&object(&call.caller, &stored).await?));
    }
    if let Some(turn) = running(&call.caller, &stored) {
        return Ok(events(body_of(&stored, &turn, query.starting_after.map_or(0, |last| last.saturating_add(1)))));
    }
    let (frames, wire) = told(&call.caller, stored).await?;
    Ok(events(Body::from(match query.starting_after {
        None => frames,
        // Which pieces its words came in is not kept: whoever had some of them gets the whole.
        Some(last) => wire.last_event(last.saturating_add(1)),
    })))
}

/// The response that a path names.
pub fn find<A>(caller: &Caller<A>, params: &[String]) -> Result<Stored, Fault> {
    let named = params.first().map_or("", String::as_str);
    let there = id::turn_of(named).map_or(Ok(None), |turn| caller.org().response(&turn))?;
    there.ok_or_else(|| Fault::not_found("not_found", format!("no response called {named}")).param("response_id"))
}

/// The turn that writes it, if it is still being written.
pub fn running<A>(caller: &Caller<A>, stored: &Stored) -> Option<std::sync::Arc<RunningTurn>> {
    caller.app.engine.running_response(&caller.tenant, &stored.session_id, stored.turn)
}

/// Its events from that number on, while it is written.
pub fn body_of(stored: &Stored, turn: &RunningTurn, from: u64) -> Body {
    let (wire, theirs) = wire_of(stored);
    Body::from_bytes_stream(ResponseReader::new(turn.listener(), theirs, wire, from))
}

/// The object, as it is now.
pub async fn object<A>(caller: &Caller<A>, stored: &Stored) -> Result<Value, Fault> {
    if stored.outcome.is_none() && running(caller, stored).is_some() {
        return Ok(wire_of(stored).0.into_object());
    }
    Ok(told(caller, stored.clone()).await?.1.into_object())
}

/// A response that is over, told again. A long one is read where nobody waits for it.
async fn told<A>(caller: &Caller<A>, stored: Stored) -> Result<Told, Fault> {
    Ok(caller
        .large(move |org| {
            let stored = match stored.outcome {
                Some(_) => stored,
                // It has ended since it was looked up.
                None => org.response(&stored.id)?.ok_or(Error::NotFound("response"))?,
            };
            let turn = org.stored_turn(stored.turn)?.ok_or(Error::NotFound("turn"))?;
            Ok(tell(&stored, stored.outcome.unwrap_or(Outcome::Interrupted), replay::said(&turn)?))
        })
        .await?)
}
