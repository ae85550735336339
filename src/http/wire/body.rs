//! JSON bodies: capped before they are read, and refused in the words of the caller's own JSON.
//!
//! Rule: a shape that does not fit is a 400 that names the field (`messages[0].role: expected a string`); a value out of
//! range is the resource's business and a 422. The declared schema is what both the document and the check go by.

use std::time::Duration;

use bytes::Bytes;
use poem::{Body, Request, RequestBody, error::ReadBodyError};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry},
    types::ParseFromJSON,
};
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::{data, envelope::ApiError, operation::BodyRules};
use crate::error::{Error, Result};

/// How long a whole body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// A body that holds a `T`, of at most the bytes that its operation's row allows.
pub struct JsonBody<T>(pub T);

impl<'a, T: ParseFromJSON> ApiExtractor<'a> for JsonBody<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content = vec![MetaMediaType { content_type: data::JSON, schema: T::schema_ref() }];
        Some(MetaRequest { description: None, content, required: T::IS_REQUIRED })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let rules = request.data::<BodyRules>().copied();
        let rules = rules.ok_or_else(|| ApiError(Error::internal("a body is read of an operation without a row")))?;
        let bytes = read(request, body, rules.bytes_max).await.map_err(ApiError)?;
        Ok(JsonBody(decode(&bytes, rules.schemas).map_err(ApiError)?))
    }
}

async fn read(request: &Request, body: &mut RequestBody, max_bytes: usize) -> Result<Bytes> {
    if !request.content_type().is_some_and(is_json) {
        return Err(Error::BadRequest("send the header `Content-Type: application/json`".into()));
    }
    read_capped(request, body.take().map_err(Error::internal)?, max_bytes).await
}

/// A request's body, if it has at most `max_bytes`.
pub async fn read_capped(request: &Request, body: Body, max_bytes: usize) -> Result<Bytes> {
    // Looked at first, so that a body that cannot fit is refused before a byte of it is read.
    let declared = request.header("content-length").and_then(|value| value.parse::<usize>().ok());
    if declared.is_some_and(|bytes| bytes > max_bytes) {
        return Err(Error::PayloadTooLarge { max_bytes });
    }
    match timeout(BODY_TIMEOUT, body.into_bytes_limit(max_bytes)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(ReadBodyError::PayloadTooLarge)) => Err(Error::PayloadTooLarge { max_bytes }),
        Ok(Err(_)) => Err(Error::BadRequest("the body ended early".into())),
        Err(_) => Err(Error::BadRequest("the body took longer than 60 seconds to arrive".into())),
    }
}

fn is_json(content_type: &str) -> bool {
    content_type.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(data::JSON))
}

/// The `T` that a body's bytes hold.
pub(crate) fn decode<T: ParseFromJSON>(bytes: &[u8], schemas: &Registry) -> Result<T> {
    if bytes.is_empty() {
        return Err(Error::BadRequest("the body is empty: send a JSON object".into()));
    }
    let value: Value =
        serde_json::from_slice(bytes).map_err(|error| Error::BadRequest(format!("the body is not JSON: {error}")))?;
    if let Some(sentence) = mismatch(&value, &T::schema_ref(), schemas, "") {
        return Err(Error::BadRequest(sentence));
    }
    T::parse_from_json(Some(value))
        .map_err(|_| Error::BadRequest(format!("the body does not fit the schema of {}", T::name())))
}

/// The first place where `value` has another shape than `schema`, in the words of the JSON.
///
/// The parsers themselves know only the names of Rust types, and take a number for a string.
fn mismatch(value: &Value, schema: &MetaSchemaRef, schemas: &Registry, path: &str) -> Option<String> {
    let schema = match schema {
        MetaSchemaRef::Inline(schema) => schema,
        MetaSchemaRef::Reference(name) => schemas.schemas.get(name)?,
    };
    let at = if path.is_empty() { "the body" } else { path };
    let inherited = schema.all_of.iter().find_map(|part| mismatch(value, part, schemas, path));
    if inherited.is_some() {
        return inherited;
    }
    if !fits(value, schema.ty) {
        return Some(format!("{at}: expected {}", with_article(schema.ty)));
    }
    if !schema.enum_items.is_empty() && !schema.enum_items.contains(value) {
        let words: Vec<_> = schema.enum_items.iter().map(Value::to_string).collect();
        return Some(format!("{at}: expected one of {}", words.join(", ")));
    }
    if let Some(object) = value.as_object() {
        return mismatch_inside(object, schema, schemas, path);
    }
    let (Some(items), Some(array)) = (&schema.items, value.as_array()) else { return None };
    array.iter().enumerate().find_map(|(n, item)| mismatch(item, items, schemas, &format!("{path}[{n}]")))
}

fn mismatch_inside(object: &Map<String, Value>, schema: &MetaSchema, schemas: &Registry, path: &str) -> Option<String> {
    let inner = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let named = schema.properties.iter().find_map(|(name, field)| match object.get(*name) {
        None | Some(Value::Null) => schema.required.contains(name).then(|| format!("{}: required", inner(name))),
        Some(value) => mismatch(value, field, schemas, &inner(name)),
    });
    let others = schema.additional_properties.as_deref();
    named.or_else(|| {
        object.iter().find_map(|(name, value)| others.and_then(|field| mismatch(value, field, schemas, &inner(name))))
    })
}

fn fits(value: &Value, ty: &str) -> bool {
    match ty {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => true,
    }
}

fn with_article(ty: &str) -> String {
    let article = if ty.starts_with(['a', 'i', 'o']) { "an" } else { "a" };
    format!("{article} {ty}")
}

#[cfg(test)]
mod tests {
    use poem_openapi::{Enum, Object, types::Type};

    use super::*;

    #[derive(Debug, Enum)]
    #[oai(rename_all = "lowercase")]
    enum Role {
        User,
        Assistant,
    }

    #[derive(Debug, Object)]
    struct Message {
        role: Role,
        content: Option<String>,
    }

    #[derive(Debug, Object)]
    #[oai(rename_all = "camelCase")]
    struct Chat {
        messages: Vec<Message>,
        max_steps: Option<u8>,
    }

    fn refusal(body: &str) -> String {
        let mut registry = Registry::new();
        Chat::register(&mut registry);
        decode::<Chat>(body.as_bytes(), &registry).expect_err(body).to_string()
    }

    #[test]
    fn a_refusal_names_the_field_of_the_json() {
        for (body, sentence) in [
            ("", "the body is empty: send a JSON object"),
            ("[1]", "the body: expected an object"),
            ("{}", "messages: required"),
            (r#"{"messages":"x"}"#, "messages: expected an array"),
            (r#"{"messages":[{"role":"x"}]}"#, r#"messages[0].role: expected one of "user", "assistant""#),
            (r#"{"messages":[{"role":"user","content":5}]}"#, "messages[0].content: expected a string"),
            (r#"{"messages":[],"maxSteps":1.5}"#, "maxSteps: expected an integer"),
            (r#"{"messages":[],"maxSteps":999}"#, "the body does not fit the schema of Chat"),
        ] {
            assert_eq!(refusal(body), sentence, "{body}");
        }
        assert!(refusal("{").starts_with("the body is not JSON: "));
    }

    #[test]
    fn unknown_fields_and_nulls_of_optional_ones_are_fine() {
        let mut registry = Registry::new();
        Chat::register(&mut registry);
        let body = br#"{"messages":[{"role":"assistant","content":null,"x":1}],"y":{}}"#;
        let chat: Chat = decode(body, &registry).unwrap();
        assert!(matches!(chat.messages[..], [Message { role: Role::Assistant, content: None }]));
    }
}
