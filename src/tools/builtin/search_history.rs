//! `search_history`: what was said in the organization's other conversations.
//!
//! Rule: it finds what the asking person could read, and nothing else.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::tools::call::Call;

/// Hits a model gets at most, and when it names no number.
const HITS_MAX: usize = 20;
const HITS_DEFAULT: usize = 5;

#[derive(Debug, PartialEq, Deserialize)]
pub struct Arguments {
    query: String,
    limit: Option<usize>,
}

pub(super) fn spec() -> (&'static str, Value) {
    let description = "Searches the messages of earlier conversations for words. Call it when the person refers to \
                       something that was said before and is not in this conversation.";
    let parameters = json!({
        "type": "object",
        "properties": {
            "query": { "type": "string", "description": "Words that must all be in the message." },
            "limit": { "type": "integer", "description": "How many messages to find, 1 to 20; 5 if absent." }
        },
        "required": ["query"],
        "additionalProperties": false
    });
    (description, parameters)
}

pub(super) fn run(call: &Call, arguments: &Arguments) -> Result<Value, String> {
    let limit = arguments.limit.unwrap_or(HITS_DEFAULT).clamp(1, HITS_MAX);
    let found = call.store.org(&call.tenant).search_messages(&arguments.query, &call.session_id, limit);
    let found = found.map_err(|error| {
        tracing::error!(%error, "search_history");
        "The search failed.".to_owned()
    })?;
    let hits: Vec<Value> = found
        .into_iter()
        .map(|hit| {
            json!({
                "session": hit.session_label, "sessionId": hit.session_id, "role": hit.role.as_str(), "text": hit.snippet,
                "createdAt": hit.created_at.to_string(),
            })
        })
        .collect();
    Ok(json!({ "hits": hits }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        Store,
        messages::{NewMessage, Role},
        sessions::NewSession,
    };

    #[tokio::test]
    async fn a_model_gets_as_many_hits_as_it_asks_for_up_to_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1).unwrap();
        let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
        let org = store.org(&tenant);
        let session = org.create_session(NewSession::default()).await.unwrap().id;
        for _ in 0..HITS_MAX + 2 {
            org.append_message(session.clone(), NewMessage::new(Role::User, "tea".into(), "[]".into())).await.unwrap();
        }
        let context = |session_id: &str| Call {
            store: store.clone(),
            tenant: tenant.clone(),
            session_id: session_id.into(),
            id: "c".into(),
            agents: None,
        };
        let hits = |session_id: &str, limit: Option<usize>| {
            let found = run(&context(session_id), &Arguments { query: "tea".into(), limit }).unwrap();
            found["hits"].as_array().unwrap().len()
        };
        for (limit, found) in [
            (None, HITS_DEFAULT),
            (Some(0), 1),
            (Some(1), 1),
            (Some(HITS_MAX - 1), HITS_MAX - 1),
            (Some(HITS_MAX), HITS_MAX),
            (Some(HITS_MAX + 1), HITS_MAX),
            (Some(usize::MAX), HITS_MAX),
        ] {
            assert_eq!(hits("another", limit), found, "{limit:?}");
        }
        assert_eq!(hits(&session, None), 0, "the session that asks is left out");
    }
}
