//! Stored responses, stopped, deleted, and what they were asked.

use poem::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    retrieve::{find, object},
    stored_input,
};
use crate::http::{
    auth::{Chat, ReadOrChat},
    openai::{answer::json, call::Call, error::Fault},
};

/// Items on a page.
pub const ITEMS_MAX: usize = 100;
/// Items on a page unless the client says otherwise.
const ITEMS: usize = 20;

/// How the items of a request are listed.
#[derive(Debug, Default, Deserialize)]
struct Page {
    after: Option<String>,
    limit: Option<usize>,
    order: Option<String>,
}

/// `POST /v1/responses/{id}/cancel`: stops it if it runs; answers the object.
pub async fn cancel(call: Call<Chat>) -> Result<Response, Fault> {
    let stored = find(&call.caller, &call.params)?;
    let caller = &call.caller;
    caller.app.engine.stop_response(&caller.tenant, &stored.session_id, stored.turn).await;
    let stored = find(caller, &call.params)?;
    Ok(json(&object(caller, &stored).await?))
}

/// `DELETE /v1/responses/{id}`.
pub async fn delete(call: Call<Chat>) -> Result<Response, Fault> {
    let stored = find(&call.caller, &call.params)?;
    if stored.outcome.is_none() {
        return Err(Fault::conflict("response_in_progress", "this response is still being written: cancel it first"));
    }
    call.caller.org().delete_response(stored.id).await?;
    Ok(json(&json!({ "id": call.params[0], "object": "response", "deleted": true })))
}

/// `GET /v1/responses/{id}/input_items`: what it was asked, the newest first unless the client says otherwise.
pub async fn input_items(call: Call<ReadOrChat>) -> Result<Response, Fault> {
    let page: Page = call.query()?;
    let stored = find(&call.caller, &call.params)?;
    let items = call.caller.large(move |org| stored_input::items(&stored, &org.input_of(&stored)?)).await?;
    Ok(json(&page.of(items)?))
}

impl Page {
    fn of(&self, mut items: Vec<Value>) -> Result<Value, Fault> {
        let limit = self.limit.unwrap_or(ITEMS);
        if !(1..=ITEMS_MAX).contains(&limit) {
            return Err(Fault::invalid_value("limit", &format!("must be 1 to {ITEMS_MAX}")));
        }
        match self.order.as_deref() {
            None | Some("desc") => items.reverse(),
            Some("asc") => {}
            Some(_) => return Err(Fault::invalid_value("order", "must be asc or desc")),
        }
        if let Some(after) = &self.after {
            let Some(at) = items.iter().position(|item| item["id"] == after.as_str()) else {
                return Err(Fault::invalid_value("after", "must be the id of an item of this response"));
            };
            items.drain(..=at);
        }
        let has_more = items.len() > limit;
        items.truncate(limit);
        let id = |item: Option<&Value>| item.map(|item| item["id"].clone());
        let (first_id, last_id) = (id(items.first()), id(items.last()));
        Ok(json!({ "object": "list", "data": items, "first_id": first_id, "last_id": last_id, "has_more": has_more }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(limit: Option<usize>, after: Option<&str>, order: Option<&str>, items: usize) -> Result<Value, Fault> {
        let items = (0..items).map(|n| json!({"id": n.to_string()})).collect();
        Page { limit, after: after.map(str::to_owned), order: order.map(str::to_owned) }.of(items)
    }

    #[test]
    fn a_page_has_so_many_items() {
        for (limit, fits) in [(0, false), (1, true), (ITEMS_MAX - 1, true), (ITEMS_MAX, true), (ITEMS_MAX + 1, false)] {
            let page = page(Some(limit), None, None, 200);
            assert_eq!(page.is_ok(), fits, "{limit}");
            assert!(page.is_err() || page.is_ok_and(|page| page["data"].as_array().unwrap().len() == limit));
        }
    }

    #[test]
    fn pages_follow_one_another_in_either_order() {
        let newest = page(Some(2), None, None, 5).unwrap();
        assert_eq!(
            (&newest["first_id"], &newest["last_id"], &newest["has_more"]),
            (&json!("4"), &json!("3"), &json!(true))
        );
        let last = page(Some(2), Some("1"), None, 5).unwrap();
        assert_eq!((&last["first_id"], &last["has_more"]), (&json!("0"), &json!(false)));
        assert_eq!(page(None, Some("3"), Some("asc"), 5).unwrap()["first_id"], "4");
        assert_eq!(page(None, None, None, 0).unwrap()["first_id"], Value::Null);
        assert!(page(None, Some("x"), None, 5).is_err() && page(None, None, Some("up"), 5).is_err());
    }
}
