//! `POST /mcp`: this server as one of the Model Context Protocol, so that other programs' models can ask its agents.
//!
//! Rule: a request is complete in itself, in both eras of the protocol: no session id, no stream but an answer's own.
//! Rule: who may not come in (no key, a foreign page, a body too large) is refused as everywhere, in the envelope. What is wrong in a
//! message is told in JSON-RPC. What is wrong in a call is the tool's failure, for the model that made it.
//! Deliberately absent: OAuth, a GET stream, resources, prompts, sampling, tasks.

use poem::{
    Body, Endpoint, EndpointExt, IntoEndpoint, Request, RequestBody, Response,
    endpoint::BoxEndpoint,
    http::{HeaderMap, StatusCode, header},
    post,
};
use serde_json::{Value, json};

use self::{
    call::Call,
    era::{Era, LEGACY_VERSIONS, MODERN_VERSION, check_version},
    message::{Fault, INVALID_PARAMS, METHOD_NOT_FOUND, Message, PARSE_ERROR, answer},
    stream::Notes,
    tools::Tool,
};
use super::{
    auth::{self, Caller, Program, cookie},
    body,
    state::readers::Who,
    wire::{
        data::{AnswerBytes, JSON, json_of},
        envelope::ApiError,
        operation::{BODY_BYTES_MAX, Operation, Repeats},
        stream::EVENT_STREAM,
    },
};
use crate::error::{Error, Result};

mod ask;
mod call;
mod era;
mod message;
mod read;
mod stream;
mod tools;

/// Where it is.
pub const PATH: &str = "/mcp";
/// The methods that are answered there.
pub const ALLOW: &str = "POST";
/// What it declares of itself, as every operation that takes a body.
pub const OPERATION: Operation = Operation {
    id: "mcp",
    body_bytes_max: BODY_BYTES_MAX,
    repeats: Repeats::Executed,
    admits: Some(auth::admits::<Program>),
    counted: None,
};

/// How long a client may keep the list of tools, in milliseconds: it changes with the program and with the key alone.
const LIST_LIFE_MS: u64 = 300_000;
/// Where a modern answer says who gave it.
const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// The endpoint; `layer` puts around it what it declares.
pub fn endpoint(layer: impl FnOnce(BoxEndpoint<'static>) -> BoxEndpoint<'static>) -> impl IntoEndpoint {
    post(layer(Mcp.boxed()))
}

struct Mcp;

impl Endpoint for Mcp {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let (request, mut body) = request.split();
        Ok(respond(&request, &mut body).await.map_err(ApiError)?)
    }
}

async fn respond(request: &Request, body: &mut RequestBody) -> Result<Response> {
    let caller = auth::identify::<Program>(request)?;
    refuse_foreign_page(request, &caller)?;
    let headers = request.headers();
    let message = match body::json(request, body).await {
        Err(Error::BadRequest(what)) => Err(Fault::new(PARSE_ERROR, what)),
        read => Message::of(read?),
    };
    let request = match message {
        Ok(Message::Request(request)) => request,
        Ok(Message::Notification | Message::Response) => {
            return Ok(match check_version(headers) {
                Ok(()) => StatusCode::ACCEPTED.into(),
                Err(fault) => refused(StatusCode::BAD_REQUEST, Value::Null, fault),
            });
        }
        Err(fault) => return Ok(refused(StatusCode::BAD_REQUEST, Value::Null, fault)),
    };
    let id = request.id.clone();
    let era = match Era::of(headers, &request) {
        Ok(era) => era,
        Err(fault) => return Ok(refused(StatusCode::BAD_REQUEST, id, fault)),
    };
    let result = match (era, request.method.as_str()) {
        (Era::Legacy, "initialize") => Ok(initialized(&request)),
        (Era::Legacy, "ping") => Ok(json!({})),
        (Era::Modern, "server/discover") => Ok(discovered()),
        (_, "tools/list") => listed(era, &request, caller.access),
        (_, "tools/call") => match Call::of(request.params, caller.access) {
            Ok(call) => return Ok(called(era, id, call, caller, headers).await),
            Err(fault) => Err(fault),
        },
        (_, method) => Err(Fault::new(METHOD_NOT_FOUND, format!("unknown method: {method}"))),
    };
    Ok(match result {
        Ok(result) => whole(StatusCode::OK, &answer(id, Ok(era.complete(result))), headers),
        Err(fault) => refused(era.status_of(&fault), id, fault),
    })
}

/// A page of another site may have found a key, and is not to use it here unless it was named.
fn refuse_foreign_page(request: &Request, caller: &Caller<Program>) -> Result<()> {
    if caller.app.cors.origin(request).is_some() || cookie::check_no_foreign_origin(request).is_ok() {
        return Ok(());
    }
    Err(Error::forbidden(
        "pages of this `Origin` may not call this server: start it with --cors-origin, or call it from a program",
    ))
}

fn initialized(request: &message::Request) -> Value {
    let asked = request.params.get("protocolVersion").and_then(Value::as_str);
    let version = LEGACY_VERSIONS.into_iter().find(|version| Some(*version) == asked).unwrap_or(LEGACY_VERSIONS[0]);
    json!({
        "protocolVersion": version, "capabilities": capabilities(), "serverInfo": server_info(), "instructions": INSTRUCTIONS,
    })
}

fn discovered() -> Value {
    json!({
        "supportedVersions": [MODERN_VERSION], "capabilities": capabilities(), "instructions": INSTRUCTIONS,
        "ttlMs": LIST_LIFE_MS, "cacheScope": "private",
    })
}

/// What a client may put before its model.
const INSTRUCTIONS: &str = "Agents of an alm server. Ask one with ask_agent; what was said with them is in search_history and \
                            read_session.";

fn capabilities() -> Value {
    json!({ "tools": { "listChanged": false } })
}

fn server_info() -> Value {
    json!({ "name": "alm", "title": "alm", "version": env!("CARGO_PKG_VERSION") })
}

fn listed(era: Era, request: &message::Request, program: Program) -> Result<Value, Fault> {
    if request.params.get("cursor").is_some_and(|cursor| !cursor.is_null()) {
        return Err(Fault::new(INVALID_PARAMS, "params.cursor: the list has one page"));
    }
    let tools: Vec<_> = Tool::of(program).map(Tool::spec).collect();
    Ok(match era {
        Era::Legacy => json!({ "tools": tools }),
        Era::Modern => json!({ "tools": tools, "ttlMs": LIST_LIFE_MS, "cacheScope": "private" }),
    })
}

impl Era {
    /// A result with what its era says around it.
    fn complete(self, mut result: Value) -> Value {
        if self == Era::Modern {
            result["resultType"] = "complete".into();
            result["_meta"] = json!({ SERVER_INFO: server_info() });
        }
        result
    }

    /// The status of a fault that a request was read for. Clients of the legacy era read a body of 200 alone.
    fn status_of(self, fault: &Fault) -> StatusCode {
        match (self, fault.code) {
            (Era::Legacy, _) => StatusCode::OK,
            (Era::Modern, METHOD_NOT_FOUND) => StatusCode::NOT_FOUND,
            (Era::Modern, _) => StatusCode::BAD_REQUEST,
        }
    }
}

/// The answer to a call. One that takes long comes as events if the client reads them.
async fn called(era: Era, id: Value, call: Call, caller: Caller<Program>, headers: &HeaderMap) -> Response {
    if call.tool != Tool::AskAgent || !accepts(headers, EVENT_STREAM) {
        let result = call.run(&caller, None).await;
        return whole(StatusCode::OK, &answer(id, Ok(era.complete(result))), headers);
    }
    let reader = caller.key_id.clone().map(|key_id| caller.app.readers.open(Who::Key(key_id)));
    let (notes, news) = Notes::new();
    let work = async move { answer(id, Ok(era.complete(call.run(&caller, Some(notes)).await))) };
    streamed(stream::events(work, news, reader))
}

/// An answer that is there, as JSON; as one event for a client that reads nothing else.
fn whole(status: StatusCode, message: &Value, headers: &HeaderMap) -> Response {
    if !accepts(headers, JSON) && accepts(headers, EVENT_STREAM) {
        return streamed(Body::from_bytes(stream::event(message)));
    }
    let json = json_of(message);
    let bytes = AnswerBytes(json.len());
    let mut response = Response::builder().status(status).content_type(JSON).body(json);
    response.set_data(bytes);
    response
}

fn streamed(body: Body) -> Response {
    let stream = Response::builder().content_type(EVENT_STREAM).header(header::CACHE_CONTROL, "no-cache");
    stream.header("x-accel-buffering", "no").body(body)
}

fn refused(status: StatusCode, id: Value, fault: Fault) -> Response {
    Response::builder().status(status).content_type(JSON).body(json_of(&answer(id, Err(fault))))
}

/// Whether a client has named a content type among those it reads.
fn accepts(headers: &HeaderMap, content_type: &str) -> bool {
    let lines = headers.get_all(header::ACCEPT).into_iter().filter_map(|line| line.to_str().ok());
    let mut types = lines.flat_map(|line| line.split(',')).filter_map(|range| range.split(';').next());
    types.any(|named| named.trim().eq_ignore_ascii_case(content_type))
}
