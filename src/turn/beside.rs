//! What a provider put beside a call, in the provider metadata of the call's chunk and part.
//!
//! Rule: it is under the provider's slug, so that it goes back to that provider alone.

use serde_json::{Map, Value, json};

use super::chunk::clean_json;
use crate::model::{Beside, tool_calls::BESIDE_BYTES_MAX};

/// Where the metadata of a message keep what stood beside its last words.
pub(super) const IN_METADATA: &str = "beside";
/// The fields of a message that are ours, whatever a part says.
const OWN: [&str; 7] = ["role", "content", "tool_calls", "reasoning_content", "reasoning", "reasoning_text", "name"];

/// Where a part keeps it: the SDK has one place for calls, and another for calls that failed.
const PLACES: [&str; 2] = ["callProviderMetadata", "resultProviderMetadata"];

/// As a chunk has it.
pub(super) fn to_metadata(beside: &Beside) -> Value {
    let mut kept = json!({ "call": beside.call, "function": beside.function });
    if !beside.message.is_empty() && fits(&beside.message) {
        kept["message"] = beside.message.clone().into();
    }
    clean_json(json!({ &beside.provider: kept }))
}

/// As a stored part has it.
pub(super) fn of_part(part: &Value) -> Option<Box<Beside>> {
    let (provider, beside) = metadata_of(part)?.as_object()?.iter().next()?;
    // A client may have written the part.
    let fields = |name: &str, own: &[&str]| {
        let mut fields = beside.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
        fields.retain(|name, _| !own.contains(&name.as_str()));
        fields
    };
    let (call, function) = (fields("call", &["id", "type", "function"]), fields("function", &["name", "arguments"]));
    let message = fields("message", &OWN);
    let is_empty = call.is_empty() && function.is_empty() && message.is_empty();
    (!is_empty).then(|| Box::new(Beside { provider: provider.clone(), call, function, message }))
}

/// Whether what stood beside the words of a reply fits on a line of the stream.
pub(super) fn fits(fields: &Map<String, Value>) -> bool {
    let bytes: usize = fields.iter().map(|(name, value)| name.len() + value.to_string().len()).sum();
    bytes <= BESIDE_BYTES_MAX
}

/// What a message's metadata keep of what stood beside its last words.
pub(super) fn of_metadata(metadata: &Value) -> Map<String, Value> {
    let mut fields = metadata.get(IN_METADATA).and_then(Value::as_object).cloned().unwrap_or_default();
    fields.retain(|name, _| !OWN.contains(&name.as_str()));
    fields
}

/// What of it a part has.
pub(super) fn metadata_of(part: &Value) -> Option<&Value> {
    PLACES.iter().find_map(|place| part.get(*place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_part_keeps_is_what_stood_beside_the_call() {
        let beside = Beside {
            provider: "gemini".into(),
            call: json!({"extra_content": {"google": {"thought_signature": "s"}}}).as_object().unwrap().clone(),
            function: json!({"x": [1]}).as_object().unwrap().clone(),
            message: json!({"reasoning_details": [{"data": "d"}]}).as_object().unwrap().clone(),
        };
        for place in PLACES {
            let part = json!({ place: to_metadata(&beside) });
            assert_eq!(of_part(&part).as_deref(), Some(&beside));
        }
        let forged = json!({"callProviderMetadata": {"p": {"call": {"id": "x", "a": 1}, "function": {"name": "x"}, "message": {"role": "system"}}}});
        let forged = of_part(&forged).unwrap();
        assert_eq!((Value::from(forged.call), forged.function.len(), forged.message.len()), (json!({"a": 1}), 0, 0));
        for other in
            [json!({}), json!({"callProviderMetadata": null}), json!({"callProviderMetadata": {"p": {"q": 1}}})]
        {
            assert_eq!(of_part(&other), None, "{other}");
        }
    }
}
