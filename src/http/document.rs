//! The OpenAPI document: what the operations declare, with examples beside them.
//!
//! Rule: it is the same text on every run and on every machine. Nothing here iterates a hash map.

use std::sync::LazyLock;

use poem_openapi::{OpenApi, OpenApiService, registry::Registry};
use serde_json::{Map, Value, json};

use super::{
    api::{API_PREFIX, Api, chat::EXAMPLE_QUESTION},
    openai,
};

const TITLE: &str = "Alumia v1 agent API";
const DESCRIPTION: &str = "Organizations, agents, sessions with stored history, and chat as an AI SDK v6 UI message \
    stream. Send an API key as `Authorization: Bearer …`; every example works as is.\n\n\
    The API is that of Alumia's agents, version 1, hence the name of the header `X-Alumia-Org`. The header is optional, since a \
    key belongs to one organization. Money is in microcents: 1 USD is 1,000,000.";

/// Examples of path parameters, by the path's first word and the parameter: what exists in a new organization, or what
/// the example of `POST /chat` makes.
const PATH_EXAMPLES: [(&str, &str); 14] = [
    ("agents", "ala"),
    ("projects", "handbook"),
    ("sessions", "example-chat"),
    ("chat", "example-chat"),
    ("providers", "ollama"),
    ("local-models", "qwen3-4b"),
    ("tools", "create_ticket"),
    ("approvals", "019aa7c2-6f7e-7c51-9f0a-1d2b3c4d5e6f"),
    ("mcp", "github"),
    ("api-keys", "019aa7c2-6f7e-7c51-9f0a-1d2b3c4d5e6f"),
    ("members", "019aa7c2-6f7e-7c51-9f0a-1d2b3c4d5e6f"),
    ("invitations", "019aa7c2-6f7e-7c51-9f0a-1d2b3c4d5e6f"),
    ("requests", "019aa7c2-6f7e-7c51-9f0a-1d2b3c4d5e6f"),
    ("auth", "019aa7c2-6f7e-7c51-9f0a-1d2b3c4d5e6f"),
];

/// The document as it is served, deterministic.
pub fn document() -> &'static str {
    static DOCUMENT: LazyLock<String> = LazyLock::new(build);
    &DOCUMENT
}

/// Every schema that a request body may have.
pub(crate) fn schemas() -> &'static Registry {
    static SCHEMAS: LazyLock<Registry> = LazyLock::new(|| {
        let mut registry = Registry::new();
        Api::register(&mut registry);
        registry
    });
    &SCHEMAS
}

fn build() -> String {
    let service = OpenApiService::new(Api::default(), TITLE, env!("CARGO_PKG_VERSION"))
        .description(DESCRIPTION)
        .url_prefix(API_PREFIX);
    let mut document: Value = serde_json::from_str(&service.spec()).expect("poem writes JSON");
    // Absent means "where this document is served"; an empty list means nothing at all.
    if let Some(root) = document.as_object_mut() {
        root.remove("servers");
    }
    for (path, operations) in entries(&mut document["paths"]) {
        let resource = path.trim_start_matches(API_PREFIX).split('/').nth(1).unwrap_or_default();
        let example = PATH_EXAMPLES.iter().find(|(name, _)| *name == resource).map(|(_, example)| *example);
        for (method, operation) in entries(operations) {
            give_examples(operation, example);
            add_headers(operation, method == "post");
        }
    }
    openai::describe(&mut document);
    let mut text = serde_json::to_string_pretty(&document).expect("a Value is JSON");
    text.push('\n');
    text
}

fn give_examples(operation: &mut Value, path_example: Option<&str>) {
    for parameter in operation["parameters"].as_array_mut().into_iter().flatten() {
        let path_example = if parameter["name"] == "message_id" { Some(EXAMPLE_QUESTION) } else { path_example };
        if let (true, Some(example)) = (parameter["in"] == "path", path_example) {
            parameter["example"] = json!(example);
        }
    }
}

/// What every operation takes beside its own parameters.
fn add_headers(operation: &mut Value, is_post: bool) {
    let header = |name: &str, description: &str| {
        let schema = json!({ "type": "string" });
        json!({ "name": name, "in": "header", "required": false, "description": description, "schema": schema })
    };
    let org =
        header("X-Alumia-Org", "The organization's slug: the key's own, or one the signed-in person is a member of.");
    let once = header(
        "Idempotency-Key",
        "1 to 255 visible characters. A request repeated with the same key within a day is carried out once.",
    );
    let headers = if is_post { vec![org, once] } else { vec![org] };
    match operation["parameters"].as_array_mut() {
        Some(parameters) => parameters.extend(headers),
        None => operation["parameters"] = headers.into(),
    }
}

fn entries(object: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    object.as_object_mut().into_iter().flat_map(Map::iter_mut)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::{
        api::OPERATIONS,
        wire::operation::{Repeats, needs_row},
    };

    /// Every operation of the API, with its method. The OpenAI-compatible face has a table of its own.
    fn operations(document: &Value) -> Vec<(&str, &Value)> {
        let paths = document["paths"].as_object().unwrap().iter().filter(|(path, _)| path.starts_with(API_PREFIX));
        let paths = paths.flat_map(|(_, path)| path.as_object().unwrap());
        paths.map(|(method, operation)| (&**method, operation)).collect()
    }

    #[test]
    fn every_operation_that_needs_a_row_has_one_and_every_row_an_operation() {
        let document: Value = serde_json::from_str(super::document()).unwrap();
        let needed: Vec<_> = operations(&document)
            .into_iter()
            .filter(|(method, operation)| needs_row(method, operation.get("requestBody").is_some()))
            .map(|(_, operation)| operation["operationId"].as_str().unwrap())
            .collect();
        let rows: Vec<_> = OPERATIONS.iter().map(|row| row.id).collect();
        assert_eq!(rows.len(), rows.iter().collect::<BTreeSet<_>>().len(), "two rows of one operation");
        assert_eq!(rows.into_iter().collect::<BTreeSet<_>>(), needed.into_iter().collect::<BTreeSet<_>>());
    }

    #[test]
    fn a_response_with_a_key_or_a_link_in_it_is_not_stored() {
        let document: Value = serde_json::from_str(super::document()).unwrap();
        let shows_key = |operation: &Value| {
            let data = &operation["responses"]["201"]["content"]["application/json"];
            let schema = data["schema"]["properties"]["data"]["$ref"].as_str().and_then(|name| name.rsplit('/').next());
            let has_key = |name: &str| !document["components"]["schemas"][name]["properties"]["key"].is_null();
            schema.is_some_and(|name| name == "NewInvitation" || has_key(name))
        };
        let secret: BTreeSet<_> = operations(&document)
            .into_iter()
            .filter(|(_, operation)| shows_key(operation))
            .map(|(_, operation)| operation["operationId"].as_str().unwrap())
            .collect();
        let refused = OPERATIONS.iter().filter(|row| row.repeats == Repeats::Refused).map(|row| row.id);
        assert_eq!(secret, refused.collect::<BTreeSet<_>>());
    }
}
