//! `alm approvals`: calls that wait for a person, and the answer of who runs the machine.
//!
//! Rule: it writes the same rows as the API, beside a running server or without one. A server that runs looks for messages
//! that are wholly decided, and begins their turns.

use serde_json::{Value, json};

use super::{
    globals::{Globals, block_on},
    text::{count_text, shortened, table},
};
use crate::{
    error::{Error, Result},
    store::{
        decisions::{Decider, Decision, REASON_CHARS_MAX},
        tool_calls::{CallFilter, CallStatus, ToolCall},
    },
};

/// Calls that are read at once for a list.
const PAGE: usize = 200;
/// How much of an input a list has room for, in characters.
const INPUT_CHARS: usize = 60;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Approvals {
    /// List the calls that wait for an answer
    List {
        /// The organization's slug
        #[arg(long)]
        org: String,
    },
    /// Let a call run
    Allow {
        /// The organization's slug
        #[arg(long)]
        org: String,
        /// The approval's id
        id: String,
    },
    /// Do not let a call run
    Deny {
        /// The organization's slug
        #[arg(long)]
        org: String,
        /// The approval's id
        id: String,
        /// Why, which the model reads
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

impl Approvals {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        match self {
            Approvals::List { org } => list(globals, &org),
            Approvals::Allow { org, id } => decide(globals, &org, &id, true, None),
            Approvals::Deny { org, id, reason } => decide(globals, &org, &id, false, reason),
        }
    }
}

fn list(globals: &Globals, org: &str) -> Result<()> {
    let store = globals.store()?;
    let tenant = globals.tenant(&store, org)?;
    let filter = CallFilter { status: Some(CallStatus::Waiting), ..CallFilter::default() };
    let (mut calls, mut cursor): (Vec<ToolCall>, Option<i64>) = (Vec::new(), None);
    loop {
        let page = store.org(&tenant).tool_calls(&filter, PAGE, cursor)?;
        calls.extend(page.items);
        cursor = page.next_cursor.and_then(|cursor| cursor.parse().ok());
        if cursor.is_none() {
            break;
        }
    }
    let text = || {
        let row = |call: &ToolCall| {
            let who = call.agent_name.clone().unwrap_or_else(|| "-".into());
            let session = call.session_label.clone().or(call.session_id.clone()).unwrap_or_else(|| "-".into());
            let input = shortened(call.input.as_deref().unwrap_or("-"), INPUT_CHARS);
            vec![
                call.id.clone(),
                call.asked_at.to_string(),
                who,
                session,
                call.tool.clone(),
                call.policy.as_str().into(),
                input,
            ]
        };
        table(
            &["ID", "ASKED", "AGENT", "SESSION", "TOOL", "POLICY", "INPUT"],
            &calls.iter().map(row).collect::<Vec<_>>(),
        )
    };
    globals.print(|| calls.iter().map(to_json).collect(), text)
}

fn to_json(call: &ToolCall) -> Value {
    json!({
        "approvalId": call.id, "sessionId": call.session_id, "sessionLabel": call.session_label, "agentName": call.agent_name,
        "toolName": call.tool, "policy": call.policy.as_str(), "askedAt": call.asked_at.to_string(), "status": call.status.as_str(),
        "input": call.input.as_deref().map(|input| serde_json::from_str::<Value>(input).unwrap_or_default()),
    })
}

/// Who runs the machine may answer every call, those for an owner too.
fn decide(globals: &Globals, org: &str, id: &str, approved: bool, reason: Option<String>) -> Result<()> {
    let reason = reason.filter(|reason| !reason.is_empty());
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON_CHARS_MAX) {
        return Err(Error::invalid("--reason", format!("must have at most {REASON_CHARS_MAX} characters")));
    }
    let store = globals.store()?;
    let tenant = globals.tenant(&store, org)?;
    let decision = Decision { id: id.to_owned(), approved, reason, remember: false };
    let decider = Decider { via: "command line".into(), is_owner: true, is_test: false };
    let decided = block_on(store.org(&tenant).decide(decision, decider))?;
    let (call, remaining) = (decided.call, decided.remaining);
    let text = || {
        let done = if approved { "allowed" } else { "denied" };
        let next = match remaining {
            0 => "a running server goes on with its conversation".to_owned(),
            more => format!("{} of its message still to be answered", count_text(more as u64, "call")),
        };
        format!("{done} {}; {next}", call.tool)
    };
    globals.report(|| json!({ "approval": to_json(&call), "remaining": remaining }), text);
    Ok(())
}
