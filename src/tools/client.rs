//! Tools that whoever asks runs.
//!
//! Rule: they belong to the request that brings them, or to an agent. No policy applies: it is the client's own hand.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    declare::TOOL_DESCRIPTION_CHARS_MAX,
    fingerprint::fingerprint,
    tool::{Tool, Way},
};
use crate::store::{tool_calls::Origin, tools::Policy};

/// Tools of one request, or of one agent.
pub const CLIENT_TOOLS_MAX: usize = 64;
/// Bytes of their JSON.
pub const CLIENT_TOOLS_BYTES_MAX: usize = 128 * 1024;
/// Characters of a name, as models take it.
pub const NAME_CHARS_MAX: usize = 64;

/// Those of a body: an object of `{description, parameters}` by name, or an array of `{name, description, inputSchema}`. A
/// refusal says what is wrong.
pub fn tools(given: &Value) -> Result<Vec<Tool>, String> {
    if given.to_string().len() > CLIENT_TOOLS_BYTES_MAX {
        return Err(format!("must have at most {} KiB", CLIENT_TOOLS_BYTES_MAX / 1024));
    }
    let tools: Vec<Tool> = match given {
        Value::Object(by_name) => by_name.iter().map(|(name, tool)| one(name, tool)).collect::<Result<_, _>>()?,
        Value::Array(tools) => {
            let named = tools.iter().map(|tool| {
                let name = tool.get("name").and_then(Value::as_str);
                name.ok_or_else(|| "each tool of the array needs a name".to_owned()).and_then(|name| one(name, tool))
            });
            named.collect::<Result<_, _>>()?
        }
        _ => return Err("must be an object of tools by name, or an array of tools".into()),
    };
    if tools.len() > CLIENT_TOOLS_MAX {
        return Err(format!("must hold at most {CLIENT_TOOLS_MAX} tools"));
    }
    for (at, tool) in tools.iter().enumerate() {
        if tools[..at].iter().any(|other| other.name == tool.name) {
            return Err(format!("{}: is there twice", tool.name));
        }
    }
    Ok(tools)
}

/// Those that a request brings, then those that are kept with its agent; the request's win by name.
pub fn with_kept(mut brought: Vec<Tool>, kept: Option<&str>) -> Result<Vec<Tool>, String> {
    let Some(kept) = kept else { return Ok(brought) };
    let given = serde_json::from_str(kept).map_err(|error| error.to_string())?;
    let mut kept = tools(&given)?;
    kept.retain(|tool| brought.iter().all(|other| other.name != tool.name));
    brought.append(&mut kept);
    Ok(brought)
}

fn one(name: &str, given: &Value) -> Result<Tool, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.bytes().all(is_plain) {
        let shown: String = name.chars().take(NAME_CHARS_MAX).collect();
        return Err(format!("{shown}: a name must have 1 to {NAME_CHARS_MAX} letters, digits, - or _"));
    }
    let Value::Object(fields) = given else { return Err(format!("{name}: must be an object")) };
    let description = match fields.get("description") {
        None | Some(Value::Null) => "",
        Some(Value::String(text)) if text.chars().count() <= TOOL_DESCRIPTION_CHARS_MAX => text,
        Some(Value::String(_)) => {
            return Err(format!("{name}: a description must have at most {TOOL_DESCRIPTION_CHARS_MAX} characters"));
        }
        Some(_) => return Err(format!("{name}: a description must be a string")),
    };
    let schema = ["inputSchema", "parameters"].iter().find_map(|key| fields.get(*key));
    let input_schema = match schema {
        None | Some(Value::Null) => json!({ "type": "object", "properties": {} }),
        Some(schema @ Value::Object(_)) => schema.clone(),
        Some(_) => return Err(format!("{name}: inputSchema must be an object")),
    };
    Ok(tool(name, description, input_schema))
}

/// One whose name, description and schema were looked at.
pub fn tool(name: &str, description: &str, input_schema: Value) -> Tool {
    let definition = json!({ "name": name, "description": description, "inputSchema": input_schema });
    Tool {
        name: name.into(),
        title: None,
        description: description.into(),
        input_schema,
        origin: Origin::Client,
        server: None,
        policy: Policy::Never,
        fingerprint: fingerprint(&definition),
        is_idempotent: false,
        is_read_only: false,
        price: 0,
        time_max: Duration::ZERO,
        way: Way::Client,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_body_are_taken() {
        let by_name = json!({"getLocation": {"description": "Where.", "parameters": {"type": "object"}}});
        let array = json!([{"name": "getLocation", "description": "Where.", "inputSchema": {"type": "object"}}]);
        let [one, other] = [by_name, array].map(|given| tools(&given).unwrap().remove(0));
        assert_eq!((one.name, one.fingerprint), (other.name, other.fingerprint));
    }

    #[test]
    fn what_a_request_brings_wins_over_what_its_agent_keeps() {
        let brought = || tools(&json!([{"name": "b", "description": "Brought."}])).unwrap();
        let kept = r#"[{"name": "a"}, {"name": "b"}]"#;
        let both = with_kept(brought(), Some(kept)).unwrap();
        let shown: Vec<_> = both.iter().map(|tool| (&*tool.name, &*tool.description)).collect();
        assert_eq!(shown, [("b", "Brought."), ("a", "")]);
        assert_eq!(
            (with_kept(brought(), None).unwrap().len(), with_kept(Vec::new(), Some(kept)).unwrap().len()),
            (1, 2)
        );
    }

    #[test]
    fn what_is_no_tool_is_refused_by_name() {
        let long = |chars: usize| json!([{"name": "a", "description": "x".repeat(chars)}]);
        for (given, said) in [
            (json!("a"), "must be an object"),
            (json!([{}]), "needs a name"),
            (json!({"a b": {}}), "a b: a name"),
            (json!({"a": 1}), "a: must be an object"),
            (json!({"a": {"parameters": []}}), "a: inputSchema"),
            (json!([{"name": "a"}, {"name": "a"}]), "a: is there twice"),
            (long(TOOL_DESCRIPTION_CHARS_MAX + 1), "at most 2048 characters"),
        ] {
            assert!(tools(&given).unwrap_err().contains(said), "{given}");
        }
        assert!(
            tools(&long(TOOL_DESCRIPTION_CHARS_MAX)).is_ok() && tools(&long(TOOL_DESCRIPTION_CHARS_MAX - 1)).is_ok()
        );
    }

    #[test]
    fn so_many_tools_with_so_long_names_and_so_many_bytes_are_taken() {
        let many = |count: usize| Value::Object((0..count).map(|n| (format!("t{n}"), json!({}))).collect());
        let named = |chars: usize| json!([{"name": "x".repeat(chars)}]);
        for (max, given) in [(CLIENT_TOOLS_MAX, &many as &dyn Fn(usize) -> Value), (NAME_CHARS_MAX, &named)] {
            for (count, taken) in [(max - 1, true), (max, true), (max + 1, false)] {
                assert_eq!(tools(&given(count)).is_ok(), taken, "{count}");
            }
        }
        let of_bytes = |bytes: usize| {
            let tool = |text: &str| json!({"a": {"parameters": {"type": "object", "description": text}}});
            tool(&"x".repeat(bytes - tool("").to_string().len()))
        };
        for (bytes, taken) in [(CLIENT_TOOLS_BYTES_MAX, true), (CLIENT_TOOLS_BYTES_MAX + 1, false)] {
            assert_eq!(tools(&of_bytes(bytes)).is_ok(), taken, "{bytes}");
        }
    }
}
