//! Conversations: sessions under another name, for clients of the Responses API.
//!
//! Deliberately absent: their items. What was said is at `/api/v1/sessions/{id}/messages`.

use poem::Response;
use serde_json::{Value, json};

use super::{
    answer::json,
    call::Call,
    error::Fault,
    fields::Fields,
    metadata,
    responses::{CONVERSATION, messages_of},
};
use crate::{
    http::auth::{Caller, Chat, ReadOrChat},
    store::sessions::{NewSession, Session},
};

/// Items that a conversation may begin with.
pub const ITEMS_MAX: usize = 20;

/// `POST /v1/conversations`.
pub async fn create(mut call: Call<Chat>) -> Result<Response, Fault> {
    let (metadata, messages) = call
        .body()
        .await?
        .into(|body| {
            let mut fields = Fields::new(body);
            let noted = fields.take("metadata");
            noted.iter().try_for_each(metadata::check)?;
            let items = fields.array("items")?.unwrap_or_default();
            if items.len() > ITEMS_MAX {
                return Err(Fault::invalid_value("items", &format!("must hold at most {ITEMS_MAX} items")));
            }
            Ok::<_, Fault>((noted, messages_of(items)?))
        })
        .await?;
    let org = call.caller.org();
    let metadata = metadata.map(|metadata| metadata.to_string());
    let session = org.create_session(NewSession { metadata, ..NewSession::default() }).await?;
    for message in messages {
        org.append_message(session.id.clone(), message).await?;
    }
    Ok(json(&object(&session)))
}

/// `GET /v1/conversations/{id}`.
pub async fn retrieve(call: Call<ReadOrChat>) -> Result<Response, Fault> {
    Ok(json(&object(&find(&call.caller, &call.params)?)))
}

/// `DELETE /v1/conversations/{id}`.
pub async fn delete(call: Call<Chat>) -> Result<Response, Fault> {
    let session = find(&call.caller, &call.params)?;
    call.caller.org().delete_session(session.id).await?;
    Ok(json(&json!({ "id": call.params[0], "object": "conversation.deleted", "deleted": true })))
}

fn find<A>(caller: &Caller<A>, params: &[String]) -> Result<Session, Fault> {
    let named = params.first().map_or("", String::as_str);
    let there = named.strip_prefix(CONVERSATION).map_or(Ok(None), |id| caller.org().session_if_any(id))?;
    there.ok_or_else(|| {
        Fault::not_found("not_found", format!("no conversation called {named}")).param("conversation_id")
    })
}

fn object(session: &Session) -> Value {
    let metadata: Value = serde_json::from_str(&session.metadata).unwrap_or_else(|_| json!({}));
    json!({
        "id": format!("{CONVERSATION}{}", session.id), "object": "conversation",
        "created_at": session.created_at.as_millis() / 1000, "metadata": metadata,
    })
}
