//! An agent as a program wants it, in the fields of the API.

use poem_openapi::registry::Registry;
use serde_json::Value;

use super::agents::{AgentPatch, NewAgent};
use crate::{error::Result, http::body::decode, store::agents as stored};

/// Its fields.
pub const FIELDS: &[&str] = &[
    "slug",
    "name",
    "description",
    "avatar",
    "model",
    "systemPrompt",
    "allowedTools",
    "clientTools",
    "isActive",
    "settings",
];

/// A new agent, whose name is its slug where it has none, or the one that is there with these fields.
pub fn of(fields: &Value, there: Option<stored::Agent>, schemas: &Registry) -> Result<stored::Agent> {
    let Some(mut agent) = there else {
        let mut fields = fields.clone();
        if fields.get("name").is_none() {
            fields["name"] = fields["slug"].clone();
        }
        return decode::<NewAgent>(fields.to_string().as_bytes(), schemas)?.into_agent();
    };
    decode::<AgentPatch>(fields.to_string().as_bytes(), schemas)?.apply(&mut agent)?;
    Ok(agent)
}
