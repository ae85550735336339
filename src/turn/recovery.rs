//! What a crash left behind: turns that are running in the file and in no process.
//!
//! Rule: what was streamed and journaled is kept as an `interrupted` message; what was held is
//! charged for what was said, or released.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::{
    answers::server_stopped,
    bill::Bill,
    chunk::Chunk,
    fold::{self, Fold},
    history,
    metadata::DROPPED_MESSAGES,
    services::Services,
    stored::now_or_later,
    window::OUTPUT_TOKENS_DEFAULT,
};
use crate::{
    error::{Error, Result},
    store::{
        TurnRow,
        journal::Orphan,
        messages::{NewMessage, Role, Status},
        tool_calls::{CallStatus, EndedCall, OpenCall, Origin},
        turns::{EndedTurn, Outcome},
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
    let ended = match recovered(services, orphan) {
        Err(error) if !matches!(error, Error::Unavailable { .. }) => {
            // What cannot be read any more must not keep its session and its money for ever.
            tracing::error!(%error, turn = orphan.turn_id, "what an interrupted turn said is lost");
            empty_end(orphan)
        }
        ended => ended?,
    };
    services.store.org(&orphan.tenant).end_turn(ended).await
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
    }
}

/// How the calls ended that the turn made: as the journal says, and where it does not, nobody knows. Those that may be made again
/// stay open.
fn end_calls(fold: &mut Fold, calls: &[OpenCall]) -> Vec<EndedCall> {
    let mut ended = Vec::new();
    for call in calls.iter().filter(|call| call.status == CallStatus::Called) {
        let part = fold.parts().iter().rfind(|part| part["toolCallId"] == call.call_id.as_str());
        let text = |key: &str| part.and_then(|part| part[key].as_str()).map(str::to_owned);
        let end = |status, reason, output_bytes| EndedCall { id: call.id.clone(), status, output_bytes, reason };
        match text("state").as_deref() {
            Some("output-available") => {
                let bytes = part.map_or(0, |part| part["output"].to_string().len());
                ended.push(end(CallStatus::Done, None, bytes));
            }
            Some("output-error") => ended.push(end(CallStatus::Failed, text("errorText"), 0)),
            // It only read: there is nothing to make again, and the fold says that it has no result.
            _ if call.is_idempotent && call.origin == Origin::Builtin => {
                let reason = "The server was stopped before this call had a result.".to_owned();
                ended.push(end(CallStatus::Failed, Some(reason), 0));
            }
            _ if call.is_idempotent => fold.keep_open([call.call_id.clone()]),
            _ => {
                let (tool_call_id, error_text) = (call.call_id.clone(), server_stopped());
                let dynamic = part.is_some_and(|part| part["type"] == "dynamic-tool");
                ended.push(end(CallStatus::Unknown, Some(error_text.clone()), 0));
                fold.apply(&Chunk::ToolOutputError { tool_call_id, error_text, dynamic });
            }
        }
    }
    ended
}

/// The message that the journal holds, and an estimate of what it cost.
fn recovered(services: &Services, orphan: &Orphan) -> Result<EndedTurn> {
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
    let calls = org.calls_of_turn(orphan.turn)?;
    let ended = end_calls(&mut fold, &calls);
    fold.close(Outcome::Interrupted);
    let parts = fold.into_parts();
    let content = fold::content(&parts);
    // A model that is gone since then costs nothing: its price is unknown.
    let pricing =
        services.catalog.resolve(&orphan.tenant, &orphan.model).ok().and_then(|resolved| resolved.model.pricing);
    let mut bill = Bill::new(pricing, OUTPUT_TOKENS_DEFAULT);
    bill.add_hold(orphan.held);
    // What a continued message had before is paid for already, and a turn that added nothing costs nothing.
    if parts.len() > parts_before {
        let said = content.get(text_before..).unwrap_or_default();
        bill.add(None, history::tokens_of_bytes(org.content_bytes(orphan.session)?), said);
    }
    // What a call cost is charged whatever came of it.
    calls.iter().for_each(|call| bill.add_tool(call.cost));
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
