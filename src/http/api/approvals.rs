//! Approvals: calls of tools that wait for a person, in every conversation.
//!
//! Rule: whoever may see a session may see its calls, and whoever may chat in it may answer them; a call of policy `owner` takes
//! a yes from the owner at a browser alone.

use poem_openapi::{
    Enum, Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use serde::Serialize;
use serde_json::Value;

use super::{tags::Tag, tool_calls::ToolCallStatus, tools::Approval};
use crate::{
    error::{Error, Result},
    http::{
        auth::{Caller, Chat, ReadOrChat},
        body::JsonBody,
        wire::{
            check::{Checks, page_limit},
            data::{Data, Items},
            envelope::{ApiError, Refusal},
            moment::{Moment, StoredJson},
        },
    },
    store::{
        decisions::{Decision, REASON_CHARS_MAX, expires_at},
        tool_calls::{CallFilter, CallStatus, ToolCall},
    },
    turn::answers::{Answers, Output},
};

/// Answers to the calls that a reply waits for.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
pub(super) struct ResumeRequest {
    /// An answer to every call that waits for a person.
    approvals: Option<Vec<ApprovalAnswer>>,
    /// An output of every tool of your own that was called.
    tool_outputs: Option<Vec<ToolOutput>>,
}

/// A person's answer to one call.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
struct ApprovalAnswer {
    approval_id: String,
    approved: bool,
    /// Why not: the model reads it. At most 1,000 characters.
    reason: Option<String>,
    /// `session`: later calls of this tool in this session need no answer.
    remember: Option<Remember>,
}

/// The same for the call that the path names.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
struct ApprovalDecision {
    approved: bool,
    /// Why not: the model reads it. At most 1,000 characters.
    reason: Option<String>,
    /// `session`: later calls of this tool in this session need no answer.
    remember: Option<Remember>,
}

/// How long a yes is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
enum Remember {
    Session,
}

/// What a tool of the client's own gave: an output, or why there is none.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
struct ToolOutput {
    tool_call_id: String,
    output: Option<Value>,
    error_text: Option<String>,
}

impl Example for ResumeRequest {
    fn example() -> Self {
        ResumeRequest { approvals: Some(Vec::new()), tool_outputs: None }
    }
}

impl Example for ApprovalDecision {
    fn example() -> Self {
        ApprovalDecision { approved: false, reason: Some("Not on a Friday.".into()), remember: None }
    }
}

impl ResumeRequest {
    /// As a turn takes them.
    pub fn into_answers(self) -> Result<Answers> {
        let mut checks = Checks::default();
        let approvals: Vec<_> = self
            .approvals
            .unwrap_or_default()
            .into_iter()
            .map(|answer| Decision {
                id: answer.approval_id,
                approved: answer.approved,
                reason: answer.reason.filter(|reason| !reason.is_empty()),
                remember: answer.remember.is_some(),
            })
            .collect();
        approvals.iter().for_each(|answer| check_reason(&mut checks, "approvals.reason", answer.reason.as_deref()));
        let outputs = self.tool_outputs.unwrap_or_default().into_iter().map(|answer| Output {
            call_id: answer.tool_call_id,
            output: answer.error_text.map_or(Ok(answer.output.unwrap_or_default()), Err),
        });
        let outputs = outputs.collect();
        checks.done()?;
        Ok(Answers { approvals, outputs })
    }
}

fn check_reason(checks: &mut Checks, field: &str, reason: Option<&str>) {
    let chars = reason.map_or(0, |reason| reason.chars().count());
    checks.that(chars <= REASON_CHARS_MAX, field, || format!("must have at most {REASON_CHARS_MAX} characters"));
}

/// A call that waits for a person, or did.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct WaitingApproval {
    approval_id: String,
    #[oai(nullable)]
    session_id: Option<String>,
    #[oai(nullable)]
    session_label: Option<String>,
    #[oai(nullable)]
    agent_name: Option<String>,
    tool_name: String,
    /// What the tool would get.
    #[oai(nullable)]
    input: Option<StoredJson>,
    /// Who may say yes.
    policy: Approval,
    asked_at: Moment,
    /// After that it cannot be answered.
    expires_at: Moment,
    status: ToolCallStatus,
    #[oai(nullable)]
    decided_by: Option<String>,
}

/// What became of an answer.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct Decided {
    approval: WaitingApproval,
    /// Calls of the same session that still wait.
    remaining: i64,
    /// Whether the conversation goes on: `GET /chat/{sessionId}/stream` reads it.
    resumed: bool,
    /// Why it does not, though all its calls are answered. It is tried again now and then.
    #[oai(nullable)]
    refusal: Option<String>,
}

impl From<ToolCall> for WaitingApproval {
    fn from(call: ToolCall) -> Self {
        WaitingApproval {
            approval_id: call.id,
            session_id: call.session_id,
            session_label: call.session_label,
            agent_name: call.agent_name,
            tool_name: call.tool,
            input: call.input.map(StoredJson::new),
            policy: call.policy.into(),
            asked_at: call.asked_at.into(),
            expires_at: expires_at(call.asked_at).into(),
            status: call.status.into(),
            decided_by: call.decided_by,
        }
    }
}

/// The operations.
#[derive(Default)]
pub struct Approvals;

#[OpenApi(tag = "Tag::Approvals")]
impl Approvals {
    /// List approvals
    ///
    /// Calls that wait for a person, in every session that you may see; the newest first.
    #[oai(path = "/approvals", method = "get", operation_id = "list_approvals")]
    async fn list_approvals(
        &self,
        caller: Caller<ReadOrChat>,
        /// Default `waiting`.
        status: Query<Option<ToolCallStatus>>,
        /// Those of one session.
        #[oai(name = "sessionId")]
        session_id: Query<Option<String>>,
        /// 1 to 100. Default 50.
        limit: Query<Option<i64>>,
        /// The `nextCursor` of an earlier page.
        cursor: Query<Option<String>>,
    ) -> Result<Data<Items<WaitingApproval>>, ApiError> {
        let limit = page_limit(limit.0)?;
        let cursor = cursor.0.map(|cursor| cursor.parse::<i64>()).transpose();
        let cursor = cursor.map_err(|_| Error::invalid("cursor", "must be the nextCursor of an earlier page"))?;
        let status = CallStatus::from(status.0.unwrap_or(ToolCallStatus::Waiting));
        let filter = CallFilter { session_id: session_id.0, status: Some(status), ..CallFilter::default() };
        let page = caller.large(move |org| org.tool_calls(&filter, limit, cursor)).await?;
        Ok(Data::of(&Items::page(page, WaitingApproval::from)))
    }

    /// Answer one approval
    ///
    /// With the last answer of its session the conversation goes on by itself. The same answer again changes nothing.
    #[oai(path = "/approvals/:approval_id", method = "post", operation_id = "decide_approval")]
    async fn decide_approval(
        &self,
        caller: Caller<Chat>,
        /// The approval's id.
        approval_id: Path<String>,
        body: JsonBody<ApprovalDecision>,
    ) -> Result<Data<Decided>, ApiError> {
        caller.app.refuse_while_draining()?;
        let mut checks = Checks::default();
        check_reason(&mut checks, "reason", body.0.reason.as_deref());
        checks.done()?;
        let decision = Decision {
            id: approval_id.0,
            approved: body.0.approved,
            reason: body.0.reason.filter(|reason| !reason.is_empty()),
            remember: body.0.remember.is_some(),
        };
        let decided = caller.org().decide(decision, caller.decider()).await?;
        let session_id = decided.call.session_id.clone().unwrap_or_default();
        let answered = caller.app.store.answered()?;
        let answered = answered
            .into_iter()
            .find(|answered| answered.tenant.org_id == caller.tenant.org_id && answered.session_id == session_id);
        let (resumed, refusal) = match answered {
            Some(answered) => match caller.app.engine.go_on(answered).await {
                Ok(_) => (true, None),
                Err(error) => (false, Some(Refusal::from(&error).message)),
            },
            None => (false, None),
        };
        let approval = caller.org().tool_call(&decided.call.id)?.into();
        Ok(Data::of(&Decided { approval, remaining: decided.remaining, resumed, refusal }))
    }
}
