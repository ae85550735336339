//! The log of requests: what was asked of models, and what became of it.
//!
//! Rule: whoever asks sees their own; an owner at a browser sees everybody's, and alone a provider's own words.

use poem_openapi::{
    Enum, Object, OpenApi,
    param::{Path, Query},
};
use serde::Serialize;

use super::{tags::Tag, words::same_words};
use crate::{
    error::{Error, ErrorCode, Result},
    http::{
        auth::{Caller, Read},
        wire::{
            check::{moment, page_limit},
            data::{Data, Items},
            envelope::ApiError,
            moment::Moment,
        },
    },
    store::requests::{self as stored, RequestFilter},
};

/// A request that asked a model.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub(super) struct LoggedRequest {
    /// Its turn's id; of one that was refused, its own.
    id: String,
    /// Its `x-request-id`, which a client may have chosen. What an agent asks has that of the request that made it ask.
    request_id: String,
    at: Moment,
    /// The pattern of its path; `ask_agent` of what an agent asked.
    route: String,
    status: RequestStatus,
    http_status: u16,
    /// Of what went wrong.
    #[oai(nullable)]
    code: Option<String>,
    user_id: String,
    email: String,
    /// `null` of a browser's.
    #[oai(nullable)]
    key_id: Option<String>,
    #[oai(nullable)]
    key_name: Option<String>,
    #[oai(nullable)]
    agent_id: Option<String>,
    #[oai(nullable)]
    agent_name: Option<String>,
    #[oai(nullable)]
    model: Option<String>,
    /// `null`: it has none, or none that you may see.
    #[oai(nullable)]
    session_id: Option<String>,
    #[oai(nullable)]
    turn_id: Option<String>,
    /// Milliseconds until the first word.
    #[oai(nullable)]
    first_ms: Option<i64>,
    #[oai(nullable)]
    duration_ms: Option<i64>,
    usage: RequestUsage,
    cost_microcents: i64,
    /// Refusals before this one that were too many for rows of their own.
    unlisted: i64,
    /// The provider's own words, where it refused or failed. For owners, and of one request alone.
    #[oai(nullable)]
    upstream_said: Option<String>,
}

/// What a request took. Tokens.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct RequestUsage {
    input_tokens: i64,
    cached_input_tokens: i64,
    output_tokens: i64,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
enum RequestStatus {
    /// Its reply is being written.
    Running,
    Complete,
    /// Someone stopped its reply.
    Stopped,
    /// The server went away under its reply.
    Interrupted,
    /// Its reply broke off.
    #[oai(rename = "error")]
    #[serde(rename = "error")]
    Failed,
    /// It got no reply.
    Refused,
}

same_words!(RequestStatus = stored::RequestStatus { Running, Complete, Stopped, Interrupted, Failed, Refused });

/// The operations.
#[derive(Default)]
pub struct Requests;

#[OpenApi(tag = "Tag::Requests")]
impl Requests {
    /// List what was asked of models, newest first
    ///
    /// Your own requests; an owner at a browser sees everybody's. Kept for 30 days, and the last 100,000.
    #[oai(path = "/requests", method = "get", operation_id = "list_requests")]
    #[allow(clippy::too_many_arguments)] // each is a parameter of the query
    async fn list_requests(
        &self,
        caller: Caller<Read>,
        #[oai(name = "keyId")] key_id: Query<Option<String>>,
        #[oai(name = "agentId")] agent_id: Query<Option<String>>,
        /// `provider/model`.
        model: Query<Option<String>>,
        #[oai(name = "sessionId")] session_id: Query<Option<String>>,
        status: Query<Option<RequestStatus>>,
        /// `true`: those that broke off or got no reply; `false`: the others.
        failed: Query<Option<bool>>,
        /// Came at this time or later: RFC 3339.
        from: Query<Option<String>>,
        /// Came before this time.
        to: Query<Option<String>>,
        /// 1 to 100. Default 50.
        limit: Query<Option<i64>>,
        /// The `nextCursor` of the previous page.
        cursor: Query<Option<String>>,
    ) -> Result<Data<Items<LoggedRequest>>, ApiError> {
        let filter = RequestFilter {
            user_id: whose(&caller),
            key_id: key_id.0,
            key_name: None,
            agent_id: agent_id.0,
            model: model.0,
            session_id: session_id.0,
            status: status.0.map(Into::into),
            failed: failed.0,
            from: moment("from", from.0)?,
            to: moment("to", to.0)?,
        };
        let limit = page_limit(limit.0)?;
        let wrong = |_| Error::invalid("cursor", "must be the nextCursor of a page");
        let cursor = cursor.0.map(|cursor| cursor.parse().map_err(wrong)).transpose()?;
        let page = caller.scan(move |org| org.requests(&filter, limit, cursor)).await?;
        Ok(Data::of(&Items::page(page, LoggedRequest::listed)))
    }

    /// Get a request
    ///
    /// By its id, or by what `x-request-id` said: of several, the last.
    #[oai(path = "/requests/:request_id", method = "get", operation_id = "get_request")]
    async fn get_request(
        &self,
        caller: Caller<Read>,
        /// The request's id, or its `requestId`.
        request_id: Path<String>,
    ) -> Result<Data<LoggedRequest>, ApiError> {
        let request = LoggedRequest::from(caller.org().request(&request_id, whose(&caller).as_deref())?);
        let upstream_said = request.upstream_said.filter(|_| caller.is_owner);
        Ok(Data::of(&LoggedRequest { upstream_said, ..request }))
    }
}

/// The one person whose requests the caller may see; absent: everybody's.
fn whose(caller: &Caller<Read>) -> Option<String> {
    (!caller.is_owner).then(|| caller.tenant.user_id.clone())
}

/// What a request was answered with of which the log has no number: a reply, or what its code says.
fn status_of(request: &stored::Request) -> u16 {
    let code = ErrorCode::ALL.into_iter().find(|code| request.code.as_deref() == Some(code.as_str()));
    match request.status {
        stored::RequestStatus::Refused => code.unwrap_or(ErrorCode::Internal).status().as_u16(),
        _ => 200,
    }
}

impl LoggedRequest {
    /// As a list shows it.
    pub(super) fn listed(request: stored::Request) -> Self {
        LoggedRequest { upstream_said: None, ..request.into() }
    }
}

impl From<stored::Request> for LoggedRequest {
    fn from(request: stored::Request) -> Self {
        let was_refused = request.status == stored::RequestStatus::Refused;
        LoggedRequest {
            http_status: request.http_status.unwrap_or_else(|| status_of(&request)),
            turn_id: (!was_refused).then(|| request.id.clone()),
            id: request.id,
            request_id: request.request_id,
            at: request.at.into(),
            route: request.route,
            status: request.status.into(),
            code: request.code,
            user_id: request.user_id,
            email: request.user_email,
            key_id: request.key_id,
            key_name: request.key_name,
            agent_id: request.agent_id,
            agent_name: request.agent_name,
            model: request.model,
            session_id: request.session_id,
            first_ms: request.first_ms,
            duration_ms: request.duration_ms,
            usage: RequestUsage {
                input_tokens: request.input_tokens,
                cached_input_tokens: request.cache_read_tokens,
                output_tokens: request.output_tokens,
            },
            cost_microcents: request.cost,
            unlisted: request.unlisted,
            upstream_said: request.said,
        }
    }
}
