//! A server's list of tools, read tool by tool.
//!
//! Rule: a tool that cannot be offered is set aside with the reason; its siblings work, and so does its server.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Map, Value, json};

use super::param_headers;
use crate::tools::{fingerprint::fingerprint, schema::Schema};

/// Tools that are taken of one server; the rest of its list is set aside.
pub const MCP_TOOLS_MAX: usize = 256;
/// Longest description that a model reads, in characters; the rest of it is cut off.
pub const DESCRIPTION_CHARS_MAX: usize = 2_048;
/// Longest name, in characters: the protocol's own bound.
pub const REMOTE_NAME_CHARS_MAX: usize = 128;
/// Bytes of a whole list that are taken, as JSON; the rest of it is left out.
pub const LIST_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What a tool counts for at least, however small it is as JSON.
const TOOL_BYTES: usize = 64;
/// How long a list is taken for true that says nothing of itself.
pub(super) const TTL_DEFAULT: Duration = Duration::from_secs(10 * 60);
/// A list that is older in less than this is asked for no sooner.
pub const TTL_MIN: Duration = Duration::from_secs(30);
/// A list that holds for longer is asked for again after this.
pub const TTL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A tool as its server lists it.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// What the server calls it; for one without a name its place in the list, as `#3`.
    pub remote_name: String,
    /// What a person and a model read of it, as JSON: `title`, `description`, `inputSchema`, `annotations`.
    pub definition: Value,
    /// What the definition is recognised by.
    pub fingerprint: [u8; 32],
    /// Why it is not offered.
    pub fault: Option<String>,
}

/// One page of a list.
#[derive(Debug, PartialEq)]
pub(super) struct Page {
    pub tools: Vec<Value>,
    pub next_cursor: Option<String>,
    pub ttl: Duration,
}

/// What is taken of the pages of a list.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub tools: Vec<Value>,
    bytes: usize,
}

impl Taken {
    /// Takes the tools of a page; whether there was room for all of them.
    pub(super) fn take(&mut self, tools: Vec<Value>) -> bool {
        for tool in tools {
            self.bytes += tool.to_string().len().max(TOOL_BYTES);
            if self.bytes > LIST_BYTES_MAX {
                return false;
            }
            self.tools.push(tool);
        }
        true
    }
}

/// Reads the result of `tools/list`.
pub(super) fn page(mut result: Value) -> Result<Page, String> {
    let Some(Value::Array(tools)) = result.get_mut("tools").map(Value::take) else {
        return Err("The server's list holds no tools.".into());
    };
    let next_cursor = result.get("nextCursor").and_then(Value::as_str).map(str::to_owned);
    let ttl = match result.get("ttlMs").and_then(Value::as_u64) {
        None | Some(0) => TTL_DEFAULT,
        Some(ms) => Duration::from_millis(ms).clamp(TTL_MIN, TTL_MAX),
    };
    Ok(Page { tools, next_cursor, ttl })
}

/// Reads the tools of a whole list.
pub(super) fn tools(raw: Vec<Value>) -> Vec<Listed> {
    let mut seen = BTreeSet::new();
    let tools = raw.into_iter().enumerate().map(|(at, raw)| {
        let mut tool = read(at, &raw);
        if !seen.insert(tool.remote_name.clone()) {
            tool.fault = Some(format!("another tool of the list is called {} too", tool.remote_name));
            tool.remote_name = place(at);
        } else if at >= MCP_TOOLS_MAX {
            tool.fault = Some(format!("the server lists more than {MCP_TOOLS_MAX} tools"));
        }
        tool
    });
    tools.take(2 * MCP_TOOLS_MAX).collect()
}

fn read(at: usize, raw: &Value) -> Listed {
    let name = raw.get("name").and_then(Value::as_str).unwrap_or_default();
    let description = raw.get("description").cloned().unwrap_or(Value::Null);
    let schema = raw.get("inputSchema").cloned().unwrap_or(Value::Null);
    let annotations = raw.get("annotations").cloned().unwrap_or(Value::Null);
    let fingerprint = fingerprint(&json!({
        "name": name, "description": description, "inputSchema": schema, "annotations": annotations,
    }));
    let fault = fault_of(name, raw).or_else(|| fault_of_schema(&schema));
    let title = raw.get("title").or_else(|| annotations.get("title")).and_then(Value::as_str);
    let text: String = description.as_str().unwrap_or_default().chars().take(DESCRIPTION_CHARS_MAX).collect();
    let mut definition = Map::new();
    if let Some(title) = title {
        definition.insert("title".into(), title.chars().take(REMOTE_NAME_CHARS_MAX).collect::<String>().into());
    }
    definition.insert("description".into(), text.into());
    // What is set aside for its schema may be as large as a line.
    definition.insert("inputSchema".into(), if fault.is_none() { offered(schema) } else { json!({"type": "object"}) });
    if annotations.is_object() {
        definition.insert("annotations".into(), hints(&annotations));
    }
    let remote_name = match name {
        "" => place(at),
        name => name.chars().take(REMOTE_NAME_CHARS_MAX).collect(),
    };
    Listed { remote_name, definition: definition.into(), fingerprint, fault }
}

fn place(at: usize) -> String {
    format!("#{}", at + 1)
}

fn fault_of(name: &str, raw: &Value) -> Option<String> {
    let task_only = raw.pointer("/execution/taskSupport").and_then(Value::as_str) == Some("required");
    if name.is_empty() {
        Some("it has no name".into())
    } else if name.chars().count() > REMOTE_NAME_CHARS_MAX || name.chars().any(char::is_control) {
        Some(format!("its name is longer than {REMOTE_NAME_CHARS_MAX} characters, or no text"))
    } else if task_only {
        Some("it runs as a task only, which alm does not have".into())
    } else {
        None
    }
}

fn fault_of_schema(schema: &Value) -> Option<String> {
    let Value::Object(fields) = schema else { return Some("it has no schema of its input".into()) };
    let fault = Schema::compile(&offered(schema.clone())).err();
    fault.map(|fault| format!("its input schema {fault}")).or_else(|| param_headers::fault(fields))
}

/// A schema as a model gets it.
fn offered(mut schema: Value) -> Value {
    if let Value::Object(fields) = &mut schema {
        fields.shift_remove("$schema");
        fields.entry("type").or_insert("object".into());
    }
    schema
}

/// The hints of a server that something is done with.
fn hints(annotations: &Value) -> Value {
    let known = ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"];
    let hint = |name: &str| Some((name.to_owned(), annotations.get(name)?.as_bool()?.into()));
    Value::Object(known.into_iter().filter_map(hint).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(list: Value) -> Vec<Listed> {
        tools(list.as_array().unwrap().clone())
    }

    fn faults(list: Value) -> Vec<(String, Option<String>)> {
        read_all(list).into_iter().map(|tool| (tool.remote_name, tool.fault)).collect()
    }

    fn good(name: &str) -> Value {
        json!({"name": name, "inputSchema": {"type": "object"}})
    }

    #[test]
    fn one_bad_tool_is_set_aside_and_named_and_its_siblings_work() {
        let found = faults(json!([
            good("a"),
            {"name": "no-schema"},
            {"name": "list", "inputSchema": []},
            {"name": "string", "inputSchema": {"type": "string"}},
            {"inputSchema": {"type": "object"}},
            {"name": "kind", "inputSchema": {"properties": {"bad": {"type": "strin"}}}},
            {"name": "remote", "inputSchema": {"properties": {"x": {"$ref": "https://a.example/s.json"}}}},
            {"name": "header", "inputSchema": {"properties": {"x": {"type": "object", "x-mcp-header": "X"}}}},
            {"name": "task", "inputSchema": {}, "execution": {"taskSupport": "required"}},
            {"name": "large", "inputSchema": {"type": "object", "description": "x".repeat(40_000)}},
            {"name": "deep", "inputSchema": (0..40).fold(json!({}), |inner, _| json!({"not": inner}))},
            "text", good("a"), good("z"),
        ]));
        let of = |name: &str| found.iter().find(|(found, _)| found == name).unwrap().1.as_deref();
        assert_eq!((of("a"), of("z")), (None, None));
        for (name, said) in [
            ("no-schema", "it has no schema of its input"),
            ("list", "it has no schema of its input"),
            ("string", "not of type object"),
            ("#5", "it has no name"),
            ("kind", "no JSON Schema"),
            ("remote", "https://a.example/s.json"),
            ("header", "x-mcp-header of x is wrong"),
            ("task", "it runs as a task only"),
            ("large", "larger than 32 KiB"),
            ("deep", "deeper than 32"),
            ("#12", "it has no name"),
            ("#13", "another tool of the list is called a too"),
        ] {
            assert!(of(name).unwrap().contains(said), "{name}: {:?}", of(name));
        }
        assert_eq!(found.len(), 14);
        let large = read_all(json!([{"name": "large", "inputSchema": {"description": "x".repeat(40_000)}}])).remove(0);
        assert_eq!(large.definition["inputSchema"], json!({"type": "object"}), "it is not kept");
    }

    #[test]
    fn a_list_may_have_so_many_bytes_and_the_rest_is_left_out() {
        for (bytes, fits) in [(LIST_BYTES_MAX - 1, true), (LIST_BYTES_MAX, true), (LIST_BYTES_MAX + 1, false)] {
            let mut taken = Taken::default();
            // Two of them are the quotes.
            let rest = Value::String("x".repeat(bytes - 100 - 2));
            assert!(taken.take(vec![Value::String("x".repeat(98))]));
            assert_eq!((taken.take(vec![rest]), taken.tools.len()), (fits, 1 + usize::from(fits)));
        }
        let mut taken = Taken::default();
        assert!(!taken.take(vec![json!(0); LIST_BYTES_MAX / TOOL_BYTES + 1]));
        assert_eq!(taken.tools.len(), LIST_BYTES_MAX / TOOL_BYTES);
    }

    #[test]
    fn a_name_may_be_so_long_and_no_longer() {
        let name = |chars: usize| faults(json!([good(&"\u{e9}".repeat(chars))])).remove(0).1;
        assert_eq!((name(REMOTE_NAME_CHARS_MAX - 1), name(REMOTE_NAME_CHARS_MAX)), (None, None));
        assert!(name(REMOTE_NAME_CHARS_MAX + 1).is_some());
    }

    #[test]
    fn a_server_may_list_so_many_tools_and_the_rest_is_set_aside() {
        let list = |tools: usize| faults((0..tools).map(|at| good(&format!("t{at}"))).collect());
        let aside = |tools: usize| list(tools).iter().filter(|(_, fault)| fault.is_some()).count();
        assert_eq!(aside(MCP_TOOLS_MAX - 1), 0);
        assert_eq!(aside(MCP_TOOLS_MAX), 0);
        assert_eq!(aside(MCP_TOOLS_MAX + 1), 1);
        assert_eq!(list(MCP_TOOLS_MAX + 1)[MCP_TOOLS_MAX].1.as_deref(), Some("the server lists more than 256 tools"));
        assert_eq!(list(10 * MCP_TOOLS_MAX).len(), 2 * MCP_TOOLS_MAX, "what nobody can use is not kept either");
    }

    #[test]
    fn a_definition_is_what_a_model_and_a_person_read() {
        let description = |chars: usize| {
            let tool = json!([{"name": "a", "description": "\u{e9}".repeat(chars), "inputSchema": {}}]);
            read_all(tool)[0].definition["description"].as_str().unwrap().chars().count()
        };
        assert_eq!(description(DESCRIPTION_CHARS_MAX - 1), DESCRIPTION_CHARS_MAX - 1);
        assert_eq!(description(DESCRIPTION_CHARS_MAX), DESCRIPTION_CHARS_MAX);
        assert_eq!(description(DESCRIPTION_CHARS_MAX + 1), DESCRIPTION_CHARS_MAX);
        let tool = read_all(json!([{
            "name": "a", "title": "A", "description": "Does it.", "outputSchema": {"type": "object"}, "_meta": {"x": 1},
            "inputSchema": {"$schema": "https://json-schema.org/draft/2020-12/schema", "properties": {"$schema": {}}},
            "annotations": {"readOnlyHint": true, "title": "B", "openWorldHint": "yes", "more": 1},
        }]));
        let expected = json!({"title": "A", "description": "Does it.",
            "inputSchema": {"properties": {"$schema": {}}, "type": "object"}, "annotations": {"readOnlyHint": true}});
        assert_eq!(tool[0].definition, expected);
        assert_eq!(tool[0].fault, None);
    }

    #[test]
    fn a_fingerprint_is_of_name_description_schema_and_annotations() {
        let of = |tool: Value| read_all(json!([tool])).remove(0).fingerprint;
        let base = of(json!({"name": "a", "description": "b", "inputSchema": {"type": "object"}, "annotations": {}}));
        let same = json!({"annotations": {}, "inputSchema": {"type": "object"}, "description": "b", "name": "a", "title": "t"});
        assert_eq!(of(same), base, "neither order nor title");
        for other in [
            json!({"name": "A", "description": "b", "inputSchema": {"type": "object"}, "annotations": {}}),
            json!({"name": "a", "description": "c", "inputSchema": {"type": "object"}, "annotations": {}}),
            json!({"name": "a", "description": "b", "inputSchema": {}, "annotations": {}}),
            json!({"name": "a", "description": "b", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}}),
        ] {
            assert_ne!(of(other.clone()), base, "{other}");
        }
        let long = |end: &str| of(json!({"name": "a", "description": "x".repeat(DESCRIPTION_CHARS_MAX) + end}));
        assert_ne!(long("a"), long("b"), "what is cut off counts too");
    }

    #[test]
    fn a_page_says_how_long_it_holds_and_what_comes_next() {
        let ttl = |value: Value| page(json!({"tools": [], "ttlMs": value})).unwrap().ttl;
        let ms = |duration: Duration| Value::from(duration.as_millis() as u64);
        assert_eq!((ttl(json!(0)), ttl(Value::Null), ttl(json!("1"))), (TTL_DEFAULT, TTL_DEFAULT, TTL_DEFAULT));
        assert_eq!((ttl(json!(1)), ttl(ms(TTL_MIN))), (TTL_MIN, TTL_MIN));
        assert_eq!(ttl(json!(30_001)), Duration::from_millis(30_001));
        assert_eq!((ttl(ms(TTL_MAX)), ttl(json!(u64::MAX))), (TTL_MAX, TTL_MAX));
        let next = page(json!({"tools": [1], "nextCursor": "b"})).unwrap();
        assert_eq!((next.tools, next.next_cursor.as_deref()), (vec![json!(1)], Some("b")));
        for none in [json!({}), json!({"tools": {}}), json!(null)] {
            assert_eq!(page(none).unwrap_err(), "The server's list holds no tools.");
        }
    }
}
