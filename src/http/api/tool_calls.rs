//! Calls of tools: who allowed what by which way, when it ran, and how it ended.
//!
//! Rule: a call is as visible as its session is.

use poem_openapi::{Enum, Object, OpenApi, param::Query};
use serde::Serialize;

use super::{
    tags::Tag,
    tools::{Approval, ToolOrigin},
    words::same_words,
};
use crate::{
    error::{Error, Result},
    http::{
        auth::{Caller, Read},
        wire::{
            check::{moment, page_limit},
            data::{Data, Items},
            envelope::ApiError,
            moment::{Moment, StoredJson},
        },
    },
    store::tool_calls::{self as stored, CallFilter},
};

/// A call of a tool.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct ToolCall {
    /// Its approval's id, and the idempotency key that an API was sent.
    approval_id: String,
    /// As the model named it.
    call_id: String,
    /// `null` of a reply that is not stored.
    #[oai(nullable)]
    session_id: Option<String>,
    message_id: String,
    tool: String,
    origin: ToolOrigin,
    policy: Approval,
    status: ToolCallStatus,
    /// `null` of a reply that is not stored.
    #[oai(nullable)]
    input: Option<StoredJson>,
    asked_at: Moment,
    #[oai(nullable)]
    decided_at: Option<Moment>,
    /// Who allowed or denied it.
    #[oai(nullable)]
    decided_by: Option<Decider>,
    /// `sign-in`, `command line`, or the id of a key.
    #[oai(nullable)]
    decided_via: Option<String>,
    /// Of a denial, or why it failed.
    #[oai(nullable)]
    reason: Option<String>,
    #[oai(nullable)]
    called_at: Option<Moment>,
    #[oai(nullable)]
    ended_at: Option<Moment>,
    output_bytes: i64,
    cost_microcents: i64,
}

/// A person who decided.
#[derive(Debug, Object, Serialize)]
struct Decider {
    email: String,
}

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub(super) enum ToolCallStatus {
    /// For an answer.
    Waiting,
    /// Allowed, and not called yet.
    Approved,
    Denied,
    /// Nobody answered in time.
    Withdrawn,
    /// It runs.
    Called,
    Done,
    Failed,
    /// It may have taken effect: the server or the connection ended while it ran.
    Unknown,
}

/// The operations.
#[derive(Default)]
pub struct ToolCalls;

#[OpenApi(tag = "Tag::Tools")]
impl ToolCalls {
    /// List calls of tools, the last asked first
    #[oai(path = "/tool-calls", method = "get", operation_id = "list_tool_calls")]
    #[allow(clippy::too_many_arguments)] // each is a parameter of the query
    async fn list_tool_calls(
        &self,
        caller: Caller<Read>,
        #[oai(name = "sessionId")] session_id: Query<Option<String>>,
        /// The name of a tool.
        tool: Query<Option<String>>,
        status: Query<Option<ToolCallStatus>>,
        /// Asked at this time or later: RFC 3339.
        from: Query<Option<String>>,
        /// Asked before this time.
        to: Query<Option<String>>,
        /// 1 to 100. Default 50.
        limit: Query<Option<i64>>,
        /// The `nextCursor` of the previous page.
        cursor: Query<Option<String>>,
    ) -> Result<Data<Items<ToolCall>>, ApiError> {
        let filter = CallFilter {
            session_id: session_id.0,
            tool: tool.0,
            status: status.0.map(Into::into),
            from: moment("from", from.0)?,
            to: moment("to", to.0)?,
        };
        let limit = page_limit(limit.0)?;
        let wrong = |_| Error::invalid("cursor", "must be the nextCursor of a page");
        let cursor = cursor.0.map(|cursor| cursor.parse().map_err(wrong)).transpose()?;
        let page = caller.large(move |org| org.tool_calls(&filter, limit, cursor)).await?;
        Ok(Data::of(&Items::page(page, ToolCall::from)))
    }
}

same_words!(
    ToolCallStatus = stored::CallStatus { Waiting, Approved, Denied, Withdrawn, Called, Done, Failed, Unknown }
);

impl From<stored::ToolCall> for ToolCall {
    fn from(call: stored::ToolCall) -> Self {
        ToolCall {
            approval_id: call.id,
            call_id: call.call_id,
            session_id: call.session_id,
            message_id: call.message_id,
            tool: call.tool,
            origin: call.origin.into(),
            policy: call.policy.into(),
            status: call.status.into(),
            input: call.input.map(StoredJson::new),
            asked_at: call.asked_at.into(),
            decided_at: call.decided_at.map(Into::into),
            decided_by: call.decided_by.map(|email| Decider { email }),
            decided_via: call.decided_via,
            reason: call.reason,
            called_at: call.called_at.map(Into::into),
            ended_at: call.ended_at.map(Into::into),
            output_bytes: call.output_bytes,
            cost_microcents: call.cost,
        }
    }
}
