//! Items of earlier responses that a request names instead of repeating them.

use std::collections::{HashMap, hash_map::Entry};

use serde_json::Value;

use super::{
    input::{self, Input},
    stored::tell,
    stored_input,
};
use crate::{
    error::{Error, Result},
    http::openai::{error::Fault, fields::Fields},
    store::Org,
    turn::replay,
};

/// What kinds of items can be named.
const KINDS: [&str; 4] = ["msg", "fc", "rs", "fco"];

/// Whether any item is named.
pub fn any(input: &[Input]) -> bool {
    input.iter().any(|item| matches!(item, Input::Reference { .. }))
}

/// The items of every response that is named, by the turn's id.
pub fn read(org: &Org<'_>, input: &[Input]) -> Result<HashMap<String, Vec<Value>>> {
    let mut read = HashMap::new();
    for item in input {
        let Input::Reference { id, .. } = item else { continue };
        let Some(turn) = turn_of(id) else { continue };
        if let Entry::Vacant(place) = read.entry(turn) {
            let items = items_of(org, place.key())?;
            place.insert(items);
        }
    }
    Ok(read)
}

/// The input with the items themselves in place of their names.
pub fn resolved(given: Vec<Input>, read: &HashMap<String, Vec<Value>>) -> Result<Vec<Input>, Fault> {
    let mut resolved = Vec::with_capacity(given.len());
    for item in given {
        let Input::Reference { id, at } = item else {
            resolved.push(item);
            continue;
        };
        let items = turn_of(&id).and_then(|turn| read.get(&turn));
        let found = items.and_then(|items| items.iter().find(|item| item["id"] == id.as_str()));
        let Some(found) = found else {
            return Err(Fault::not_found("item_not_found", format!("no item called {id}")).param(at));
        };
        resolved.extend(input::one(Fields::of(found.clone(), at)?)?);
    }
    Ok(resolved)
}

/// The turn that an item's id names.
fn turn_of(item_id: &str) -> Option<String> {
    let (kind, rest) = item_id.split_once('_')?;
    let (turn, _) = rest.split_once('-')?;
    if KINDS.contains(&kind) { super::id::turn_id(turn) } else { None }
}

fn items_of(org: &Org<'_>, turn_id: &str) -> Result<Vec<Value>> {
    let Some(response) = org.response(turn_id)? else { return Ok(Vec::new()) };
    let mut items = stored_input::items(&response, &org.input_of(&response)?)?;
    if let Some(outcome) = response.outcome {
        let stored = org.stored_turn(response.turn)?.ok_or(Error::NotFound("turn"))?;
        let (_, wire) = tell(&response, outcome, replay::said(&stored)?);
        if let Value::Array(output) = wire.into_object()["output"].take() {
            items.extend(output);
        }
    }
    Ok(items)
}
