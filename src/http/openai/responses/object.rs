//! A response as an object.
//!
//! Rule: every key is always there. The agent's own prompt and tools are in none of them.

use serde_json::{Map, Value, json};

/// What a response repeats of its request, with a place for what comes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Object(Map<String, Value>);

impl Default for Object {
    /// Of a request that says nothing.
    fn default() -> Self {
        let object = json!({
            "id": null, "object": "response", "created_at": null, "completed_at": null, "status": "queued",
            "background": false, "error": null, "incomplete_details": null, "instructions": null,
            "max_output_tokens": null, "max_tool_calls": null, "model": "", "conversation": null, "output": [],
            "parallel_tool_calls": true, "previous_response_id": null, "prompt_cache_key": null,
            "reasoning": { "effort": null, "summary": null }, "safety_identifier": null, "service_tier": "default",
            "store": true, "temperature": 1.0, "top_p": 1.0, "top_logprobs": 0, "presence_penalty": 0.0,
            "frequency_penalty": 0.0, "text": { "format": { "type": "text" } }, "tool_choice": "auto", "tools": [],
            "truncation": "disabled", "user": null, "metadata": {}, "usage": null,
        });
        match object {
            Value::Object(map) => Object(map),
            _ => Object(Map::new()),
        }
    }
}

impl Object {
    /// As it was stored: what was set, as text.
    pub fn of_asked(asked: &str) -> Self {
        let mut object = Object::default();
        let set: Map<String, Value> = serde_json::from_str(asked).unwrap_or_default();
        object.0.extend(set);
        object
    }

    /// What differs from the object of a request that says nothing: a JSON object, as text.
    pub fn asked(&self) -> String {
        let plain = Object::default();
        let set: Map<String, Value> = self
            .0
            .iter()
            .filter(|(key, value)| plain.0.get(*key) != Some(value))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        Value::Object(set).to_string()
    }

    /// Says something of the request.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.into(), value.into());
    }

    /// The names of its tools.
    pub fn tools(&self) -> Vec<String> {
        let tools = self.0.get("tools").and_then(Value::as_array);
        let names = tools.into_iter().flatten().filter_map(|tool| tool["name"].as_str().map(str::to_owned));
        names.collect()
    }

    /// Its keys.
    pub fn into_map(self) -> Map<String, Value> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_is_kept_without_what_goes_without_saying() {
        let mut object = Object::default();
        object.set("model", "ala");
        object.set("temperature", 0.5);
        object.set("instructions", None::<&str>);
        assert_eq!(object.asked(), r#"{"model":"ala","temperature":0.5}"#);
        assert_eq!(Object::of_asked(&object.asked()), object);
        assert_eq!(object.into_map().len(), 33);
    }
}
