//! What a crash left behind: turns that are running in the file and in no process.
//!
//! Rule: what was streamed and journaled is kept as an `interrupted` message; what was held is
//! charged for what was said, or released.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::{
    answers::server_stopped,
    bill::Bill,
    calls::shown::is_foreign,
    chunk::Chunk,
    fold::{self, Fold},
    history,
    metadata::DROPPED_MESSAGES,
    services::Services,
    stats::OverCall,
    stored::now_or_later,
    window::OUTPUT_TOKENS_DEFAULT,
};
use crate::{
    error::{Error, Result},
    model::Usage,
    store::{
        TurnRow,
        journal::Orphan,
        messages::{NewMessage, Role, Status},
        tool_calls::{CallStatus, EndedCall, OpenCall, Origin},
        turns::{EndedTurn, Outcome},
        unstored::Counts,
    },
};

/// Turns that are ended at the same time: they share commits, and their journals the memory.
const ENDED_AT_ONCE: usize = 16;

/// Ends the running turns of the file that `is_orphan` knows.
pub(super) async fn recover(services: &Arc<Services>, is_orphan: impl Fn(TurnRow) -> bool) -> Result<()> {
    let orphans = services.store.orphans()?.into_iter().filter(|orphan| is_orphan(orphan.turn));
    let end = async |orphan: Orphan| {
        let turn = orphan.turn_id.clone();
        let (services, orphan) = (services.clone(), Arc::new(orphan));
        let end = move || {
            let (services, orphan) = (services.clone(), orphan.clone());
            async move { end(&services, &orphan).await }
        };
        match now_or_later("an interrupted turn was ended", end).await {
            Ok(()) => tracing::info!(turn, "an interrupted turn was ended"),
            Err(error) => tracing::error!(%error, turn, "an interrupted turn could not be ended"),
        }
    };
    stream::iter(orphans).for_each_concurrent(ENDED_AT_ONCE, end).await;
    Ok(())
}

async fn end(services: &Services, orphan: &Orphan) -> Result<()> {
    let org = services.store.org(&orphan.tenant);
    let open = org.open_calls_of(orphan.session, &orphan.message_id)?;
    let ended = match recovered(services, orphan, &open) {
        Err(error) if !matches!(error, Error::Unavailable { .. }) => {
            // What cannot be read any more must not keep its session and its money for ever.
            tracing::error!(%error, turn = orphan.turn_id, "what an interrupted turn said is lost");
            EndedTurn { calls: lost_calls(&open), ..empty_end(orphan) }
        }
        ended => ended?,
    };
    let calls = ended.calls.clone();
    org.end_turn(ended).await?;
    for call in &calls {
        let Some(row) = open.iter().find(|row| row.id == call.id) else { continue };
        let over = OverCall::of(&orphan.turn_id, &row.tool, row.origin, call, Duration::ZERO);
        over.iter().for_each(|call| services.stats.note_call(call));
    }
    Ok(())
}

/// The calls of a turn of which nothing can be read.
fn lost_calls(open: &[OpenCall]) -> Vec<EndedCall> {
    let lost = open.iter().filter(|call| call.status == CallStatus::Called);
    lost.map(|call| EndedCall::made(call.id.clone(), CallStatus::Unknown, server_stopped())).collect()
}

/// An end without a message, which costs nothing.
fn empty_end(orphan: &Orphan) -> EndedTurn {
    EndedTurn {
        turn: orphan.turn,
        turn_id: orphan.turn_id.clone(),
        session: orphan.session,
        outcome: Outcome::Interrupted,
        message: None,
        input_tokens: 0,
        cache_read_tokens: 0,
        output_tokens: 0,
        cost: 0,
        cut: None,
        calls: Vec::new(),
        ending: None,
        noted: Default::default(),
    }
}

/// How the calls ended that the turn made: as the journal says, and where it does not, nobody knows. Those that may be made again
/// stay open, and those that wait for an answer wait on.
fn end_calls(fold: &mut Fold, calls: &[OpenCall]) -> Vec<EndedCall> {
    let mut ended = Vec::new();
    for call in calls {
        show_again(fold, call);
        let part = fold.parts().iter().rfind(|part| part["toolCallId"] == call.call_id.as_str());
        let text = |key: &str| part.and_then(|part| part[key].as_str()).unwrap_or_default().to_owned();
        let (id, tool_call_id) = (call.id.clone(), call.call_id.clone());
        match (call.status, &*text("state")) {
            (CallStatus::Called, "output-available") => {
                let output_bytes = part.map_or(0, |part| part["output"].to_string().len());
                ended.push(EndedCall { id, status: CallStatus::Done, was_made: true, output_bytes, reason: None });
            }
            (CallStatus::Called, "output-error") => {
                ended.push(EndedCall::made(id, CallStatus::Failed, text("errorText")));
            }
            // It only read: there is nothing to make again, and the fold says that it has no result.
            (CallStatus::Called, _) if call.is_idempotent && call.origin == Origin::Builtin => {
                let reason = "The server was stopped before this call had a result.".to_owned();
                ended.push(EndedCall::made(id, CallStatus::Failed, reason));
            }
            (CallStatus::Called, _) if call.is_idempotent => fold.keep_open([tool_call_id]),
            (CallStatus::Called, _) => {
                let (error_text, dynamic) = (server_stopped(), is_foreign(call.origin));
                ended.push(EndedCall::made(id, CallStatus::Unknown, error_text.clone()));
                fold.apply(&Chunk::ToolOutputError { tool_call_id, error_text, dynamic });
            }
            // It was asked for right before the crash, and maybe answered already.
            (_, "input-available") => fold.apply(&Chunk::ToolApprovalRequest { approval_id: id, tool_call_id }),
            _ => {}
        }
    }
    ended
}

/// Shows a call that is in the file and, since the crash came in between, not in the journal.
fn show_again(fold: &mut Fold, call: &OpenCall) {
    let part = fold.parts().iter().rfind(|part| part["toolCallId"] == call.call_id.as_str());
    if part.is_some_and(|part| part["state"] != "input-streaming") {
        return;
    }
    let input = call.input.as_deref().and_then(|input| serde_json::from_str(input).ok()).unwrap_or_default();
    fold.apply(&Chunk::ToolInputAvailable {
        tool_call_id: call.call_id.clone(),
        tool_name: call.tool.clone(),
        input,
        provider_metadata: None,
        dynamic: is_foreign(call.origin),
    });
}

/// The bill of a turn of which only counts are left. Its calls' outputs nobody has.
fn counted(services: &Services, orphan: &Orphan, open: &[OpenCall]) -> Result<EndedTurn> {
    let org = services.store.org(&orphan.tenant);
    let mut bill = bill_of(services, orphan);
    let Counts { input_tokens, cache_read_tokens, output_tokens } = orphan.counts;
    bill.add(Some(Usage { input_tokens, cache_read_tokens, output_tokens, reasoning_tokens: 0 }), 0, "");
    bill.add_tools(org.cost_of_calls(orphan.turn)?);
    let (cost, calls) = (bill.charge(), lost_calls(open));
    Ok(EndedTurn { input_tokens, cache_read_tokens, output_tokens, cost, calls, ..empty_end(orphan) })
}

/// What it held, and nothing spent. A model that is gone since then costs nothing: its price is unknown.
fn bill_of(services: &Services, orphan: &Orphan) -> Bill {
    let pricing =
        services.catalog.resolve(&orphan.tenant, &orphan.model).ok().and_then(|resolved| resolved.model.pricing);
    let mut bill = Bill::new(pricing, OUTPUT_TOKENS_DEFAULT);
    bill.add_hold(orphan.held);
    bill
}

/// The message that the journal holds, and an estimate of what it cost.
fn recovered(services: &Services, orphan: &Orphan, open: &[OpenCall]) -> Result<EndedTurn> {
    let Some(session) = orphan.session else { return counted(services, orphan, open) };
    let before = fold::stored_parts(orphan.continued_parts.as_deref())?;
    let (parts_before, text_before) = (before.len(), fold::content(&before).len());
    let mut fold = Fold::with_parts(before);
    let mut dropped = None;
    for chunk in fold::parse(&services.store.journal_of(orphan)?) {
        if let Chunk::Start { message_metadata, .. } = &chunk {
            dropped = message_metadata.get(DROPPED_MESSAGES).cloned();
        }
        fold.apply(&chunk);
    }
    let org = services.store.org(&orphan.tenant);
    let ended = end_calls(&mut fold, open);
    fold.close(Outcome::Interrupted);
    let parts = fold.into_parts();
    let content = fold::content(&parts);
    let mut bill = bill_of(services, orphan);
    // What a continued message had before is paid for already, and a turn that added nothing costs nothing.
    if parts.len() > parts_before {
        let said = content.get(text_before..).unwrap_or_default();
        bill.add(None, history::tokens_of_bytes(org.content_bytes(session)?), said);
    }
    bill.add_tools(org.cost_of_calls(orphan.turn)?);
    let mut metadata = json!({
        "model": orphan.model, "agentId": orphan.agent_id, "finishReason": "other",
        "costMicrocents": bill.charge(), "estimated": true,
    });
    if let Some(dropped) = dropped {
        metadata[DROPPED_MESSAGES] = dropped;
    }
    let message = (!parts.is_empty()).then(|| NewMessage {
        id: orphan.message_id.clone(),
        role: Role::Assistant,
        status: Status::Interrupted,
        metadata: metadata.to_string(),
        content,
        parts: Value::Array(parts).to_string(),
    });
    let usage = bill.usage();
    Ok(EndedTurn {
        message,
        input_tokens: usage.input_tokens,
        cache_read_tokens: usage.cache_read_tokens,
        output_tokens: usage.output_tokens,
        cost: bill.charge(),
        calls: ended,
        ..empty_end(orphan)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(status: CallStatus, is_idempotent: bool) -> OpenCall {
        OpenCall {
            id: "row".into(),
            call_id: "c1".into(),
            tool: "buy".into(),
            origin: Origin::Http,
            fingerprint: [0; 32],
            status,
            is_idempotent,
            input: Some(r#"{"what":"tea"}"#.into()),
        }
    }

    /// How a call of that row ends, and how it is shown, when a crash left so much of it in the journal.
    fn recovered(row: OpenCall, journal: &[Chunk]) -> (Option<CallStatus>, Value) {
        let mut fold = Fold::new();
        journal.iter().for_each(|chunk| fold.apply(chunk));
        let ended = end_calls(&mut fold, &[row]);
        fold.close(Outcome::Interrupted);
        (ended.first().map(|call| call.status), fold.into_parts().pop().unwrap_or_default())
    }

    fn input() -> Vec<Chunk> {
        let (tool_call_id, tool_name) = ("c1".to_owned(), "buy".to_owned());
        let begun =
            Chunk::ToolInputStart { tool_call_id: tool_call_id.clone(), tool_name: tool_name.clone(), dynamic: true };
        let input = json!({ "what": "tea" });
        let whole =
            Chunk::ToolInputAvailable { tool_call_id, tool_name, input, provider_metadata: None, dynamic: true };
        vec![begun, whole]
    }

    #[test]
    fn what_is_in_the_file_is_shown_however_little_of_it_the_journal_has() {
        for journal in [&[][..], &input()[..1], &input()] {
            let (ended, part) = recovered(row(CallStatus::Called, false), journal);
            assert_eq!((ended, &part["errorText"]), (Some(CallStatus::Unknown), &json!(server_stopped())), "{part}");
            let (ended, part) = recovered(row(CallStatus::Called, true), journal);
            assert_eq!((ended, &part["state"]), (None, &json!("input-available")), "it is made again");
            for status in [CallStatus::Waiting, CallStatus::Approved, CallStatus::Denied] {
                let (ended, part) = recovered(row(status, false), journal);
                let asked = (&part["state"], &part["approval"]["id"], &part["input"]["what"]);
                assert_eq!((ended, asked), (None, (&json!("approval-requested"), &json!("row"), &json!("tea"))));
            }
        }
    }

    #[test]
    fn a_call_whose_end_is_in_the_journal_ended_so() {
        let with = |chunk| [input(), vec![chunk]].concat();
        let (tool_call_id, output, dynamic) = ("c1".to_owned(), json!("paid"), true);
        let done = with(Chunk::ToolOutputAvailable { tool_call_id: tool_call_id.clone(), output, dynamic });
        assert_eq!(recovered(row(CallStatus::Called, false), &done).0, Some(CallStatus::Done));
        let failed = with(Chunk::ToolOutputError { tool_call_id, error_text: "no".into(), dynamic });
        assert_eq!(recovered(row(CallStatus::Called, false), &failed).0, Some(CallStatus::Failed));
    }
}
