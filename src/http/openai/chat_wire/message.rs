//! The message of a reply that comes as one object: the fold of its deltas.

use serde_json::{Value, json};

use super::event::{Delta, EXTRA, Head};

/// A message as it grows.
#[derive(Debug, Default)]
pub struct Message {
    content: String,
    reasoning: String,
    calls: Vec<WholeCall>,
    annotations: Vec<Value>,
}

#[derive(Debug)]
struct WholeCall {
    id: String,
    name: String,
    arguments: String,
    /// What its provider put beside it, and beside its function.
    extra: [Option<Value>; 2],
}

impl Message {
    /// Takes what comes next.
    pub fn add(&mut self, delta: &Delta<'_>) {
        self.content.push_str(delta.content.as_deref().unwrap_or_default());
        self.reasoning.push_str(delta.reasoning_content.as_deref().unwrap_or_default());
        self.annotations.extend(delta.annotations.iter().flatten().cloned());
        let Some([call]) = &delta.tool_calls else { return };
        if let (Some(id), Some(name)) = (call.id, call.function.name) {
            let (id, name) = (id.to_owned(), name.to_owned());
            self.calls.push(WholeCall { id, name, arguments: String::new(), extra: [None, None] });
        }
        let Some(whole) = self.calls.get_mut(call.index) else { return };
        whole.arguments.push_str(call.function.arguments);
        for (extra, more) in whole.extra.iter_mut().zip([call.extra_content, call.function.extra_content]) {
            *extra = more.cloned().or(extra.take());
        }
    }

    /// The object of the whole reply.
    pub fn whole(&self, head: &Head, finish: &str, usage: &Value) -> Value {
        let content = (!self.content.is_empty() || self.calls.is_empty()).then_some(&self.content);
        let mut message =
            json!({ "role": "assistant", "content": content, "refusal": null, "annotations": self.annotations });
        if !self.reasoning.is_empty() {
            message["reasoning_content"] = self.reasoning.as_str().into();
        }
        if !self.calls.is_empty() {
            message["tool_calls"] = self.calls.iter().map(WholeCall::whole).collect();
        }
        json!({
            "id": head.id, "object": "chat.completion", "created": head.created, "model": head.model,
            "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": finish }],
            "usage": usage,
        })
    }
}

impl WholeCall {
    fn whole(&self) -> Value {
        let mut function = json!({ "name": self.name, "arguments": self.arguments });
        let mut call = json!({ "id": self.id, "type": "function" });
        for (extra, place) in self.extra.iter().zip([&mut call, &mut function]) {
            if let Some(extra) = extra {
                place[EXTRA] = extra.clone();
            }
        }
        call["function"] = function;
        call
    }
}
