//! What a provider puts beside the words of a reply: its thoughts in a form that only it reads, or a signature of them.
//!
//! Rule: only fields that are known to be wanted back are kept, as they came: pieces of one text are joined, and nothing is read.

use std::borrow::Cow;

use serde_json::{Map, Value, value::RawValue};

/// The fields: OpenRouter's, Gemini's, LiteLLM's, GitHub's.
const KEPT: [&str; 4] = ["reasoning_details", "extra_content", "thinking_blocks", "reasoning_opaque"];
/// The fields of a piece that go on where the piece before ended.
const TEXTS: [&str; 4] = ["text", "summary", "data", "thinking"];
/// The most bytes that are kept of one reply, as JSON. Past it none are: a part of a signature is of no use.
const ASIDE_BYTES_MAX: usize = 256 * 1024;

/// What came so far.
#[derive(Debug, Default)]
pub(super) struct Aside {
    fields: Map<String, Value>,
    bytes: usize,
}

impl Aside {
    /// Takes what of a chunk nobody else has read.
    pub fn take(&mut self, rest: &[(Cow<'_, str>, &RawValue)]) {
        for (name, json) in rest.iter().filter(|(name, _)| KEPT.contains(&&**name)) {
            self.bytes = self.bytes.saturating_add(name.len() + json.get().len());
            if self.bytes > ASIDE_BYTES_MAX {
                self.fields.clear();
                return;
            }
            let Ok(value) = serde_json::from_str::<Value>(json.get()) else { continue };
            join(self.fields.entry(name.clone().into_owned()).or_insert(Value::Null), value);
        }
    }

    /// All of it.
    pub fn end(&mut self) -> Map<String, Value> {
        let mut fields = std::mem::take(&mut self.fields);
        fields.retain(|_, value| !(value.is_null() || value.as_array().is_some_and(Vec::is_empty)));
        fields
    }
}

/// Adds what came later: to a list its pieces, to an object its fields; of anything else it takes the place.
fn join(before: &mut Value, later: Value) {
    match (before, later) {
        (_, Value::Null) => {}
        (Value::Array(before), Value::Array(later)) => later.into_iter().for_each(|piece| add(before, piece)),
        (Value::Object(before), Value::Object(later)) => {
            later.into_iter().for_each(|(name, value)| join(before.entry(name).or_insert(Value::Null), value));
        }
        (before @ Value::Null, Value::Array(later)) => {
            *before = Value::Array(Vec::new());
            join(before, Value::Array(later));
        }
        (before, later) => *before = later,
    }
}

/// Adds a piece to those before, or to the last of them if it is more of that one.
fn add(before: &mut Vec<Value>, piece: Value) {
    let is_more = |last: &Value| {
        let same = |name: &str| last.get(name) == piece.get(name);
        piece.get("index").is_some() && last.is_object() && same("index") && same("type")
    };
    let Some(last) = before.last_mut().filter(|last| is_more(last)) else { return before.push(piece) };
    let (Value::Object(last), Value::Object(piece)) = (last, piece) else { return };
    for (name, value) in piece {
        match (last.get_mut(&name), value) {
            (Some(Value::String(text)), Value::String(more)) if TEXTS.contains(&&*name) => text.push_str(&more),
            (_, Value::Null) => drop(last.entry(name).or_insert(Value::Null)),
            (_, value) => drop(last.insert(name, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kept(chunks: &[Value]) -> Value {
        let mut aside = Aside::default();
        for chunk in chunks {
            let fields: Vec<_> =
                chunk.as_object().unwrap().iter().map(|(name, value)| (name, value.to_string())).collect();
            let raw: Vec<Box<RawValue>> =
                fields.iter().map(|(_, json)| RawValue::from_string(json.clone()).unwrap()).collect();
            let rest: Vec<_> =
                fields.iter().zip(&raw).map(|((name, _), json)| (Cow::from(name.as_str()), &**json)).collect();
            aside.take(&rest);
        }
        aside.end().into()
    }

    #[test]
    fn pieces_of_one_text_are_joined_and_all_else_stays_as_it_came() {
        let text = |text: &str| json!({ "type": "reasoning.text", "text": text, "index": 0, "format": "f" });
        let signed = json!({ "type": "reasoning.text", "signature": "sig", "text": null, "index": 0 });
        let sealed = |data: &str| json!({ "type": "reasoning.encrypted", "data": data, "id": "r", "index": 1 });
        let chunks = [
            json!({ "reasoning_details": [text("I ")], "refusal": null, "logprobs": {} }),
            json!({ "reasoning_details": [text("see"), sealed("AB")] }),
            json!({ "reasoning_details": [sealed("CD")] }),
            json!({ "reasoning_details": null, "extra_content": { "google": { "thought_signature": "s" } } }),
            json!({ "reasoning_details": [] }),
        ];
        let all = kept(&chunks);
        assert_eq!(
            all,
            json!({
                "reasoning_details": [text("I see"), sealed("ABCD")],
                "extra_content": { "google": { "thought_signature": "s" } },
            })
        );
        let late = kept(&[json!({ "reasoning_details": [text("I")] }), json!({ "reasoning_details": [signed] })]);
        assert_eq!(
            (&late["reasoning_details"][0]["text"], &late["reasoning_details"][0]["signature"]),
            (&json!("I"), &json!("sig"))
        );
    }

    #[test]
    fn pieces_without_a_number_stay_apart_and_what_is_unknown_is_not_kept() {
        let piece = |data: &str| json!({ "type": "reasoning.encrypted", "data": data });
        let chunks = [piece("A"), piece("B")].map(|piece| json!({ "reasoning_details": [piece], "token_ids": [1] }));
        assert_eq!(kept(&chunks), json!({ "reasoning_details": [piece("A"), piece("B")] }));
        assert_eq!(
            kept(&[json!({ "reasoning_opaque": "o" }), json!({ "reasoning_opaque": "p" })]),
            json!({ "reasoning_opaque": "p" })
        );
    }

    #[test]
    fn so_many_bytes_are_kept_or_none() {
        let around = "reasoning_opaque".len() + 2;
        for (bytes, is_kept) in [(ASIDE_BYTES_MAX - 1, true), (ASIDE_BYTES_MAX, true), (ASIDE_BYTES_MAX + 1, false)] {
            let kept = kept(&[json!({ "reasoning_opaque": "x".repeat(bytes - around) })]);
            assert_eq!(!kept.as_object().unwrap().is_empty(), is_kept, "{bytes}");
        }
    }
}
