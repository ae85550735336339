//! What a stored response was asked, as items.

use serde_json::{Value, json};

use crate::{
    error::{Error, Result},
    store::{
        messages::{Message, Role},
        responses::Response,
    },
    turn::{calls::AS_WRITTEN, history::OURS},
};

/// The items of its request, oldest first. `brought` are the messages that the request added, each with the parts that it had before.
pub fn items(response: &Response, brought: &[(Message, Option<String>)]) -> Result<Vec<Value>> {
    let mut items = Items { turn: response.id.replace('-', ""), list: Vec::new() };
    for (message, before) in brought {
        let parts = parts(&message.parts)?;
        match (message.role, before) {
            (Role::Assistant, Some(before)) => items.outputs(&parts, &self::parts(before)?),
            (Role::Assistant, None) => parts.iter().for_each(|part| items.said(part)),
            (Role::User | Role::System, _) => {
                let content: Vec<_> = parts.iter().filter_map(content).collect();
                items.message(message.role.as_str(), content);
            }
        }
    }
    Ok(items.list)
}

struct Items {
    turn: String,
    list: Vec<Value>,
}

impl Items {
    /// The next item's id.
    fn id(&self, kind: &str) -> String {
        format!("{kind}_{}-i{}", self.turn, self.list.len())
    }

    fn message(&mut self, role: &str, content: Vec<Value>) {
        let id = self.id("msg");
        self.list.push(json!({ "id": id, "type": "message", "status": "completed", "role": role, "content": content }));
    }

    /// The outputs that the calls of a message got.
    fn outputs(&mut self, parts: &[Value], before: &[Value]) {
        for (part, before) in parts.iter().zip(before) {
            if part["state"] != before["state"] {
                self.output(part);
            }
        }
    }

    fn output(&mut self, part: &Value) {
        if part["state"] == "output-available" {
            let id = self.id("fco");
            let output = part["output"].as_str().map_or_else(|| part["output"].to_string(), str::to_owned);
            self.list.push(json!({
                "id": id, "type": "function_call_output", "status": "completed", "call_id": part["toolCallId"],
                "output": output,
            }));
        }
    }

    /// What a client says that a model said.
    fn said(&mut self, part: &Value) {
        match part["type"].as_str().unwrap_or_default() {
            "text" => {
                let text = json!({ "type": "output_text", "text": part["text"], "annotations": [], "logprobs": [] });
                self.message("assistant", vec![text]);
            }
            "reasoning" => {
                let id = self.id("rs");
                let summary = json!([{ "type": "summary_text", "text": part["text"] }]);
                self.list.push(json!({ "id": id, "type": "reasoning", "summary": summary, "content": [] }));
            }
            kind => {
                let Some(name) = kind.strip_prefix("tool-") else { return };
                let id = self.id("fc");
                let written = &part["callProviderMetadata"][AS_WRITTEN]["arguments"];
                let arguments = written.as_str().map_or_else(|| part["input"].to_string(), str::to_owned);
                self.list.push(json!({
                    "id": id, "type": "function_call", "status": "completed", "call_id": part["toolCallId"],
                    "name": name, "arguments": arguments,
                }));
                self.output(part);
            }
        }
    }
}

fn content(part: &Value) -> Option<Value> {
    match part["type"].as_str()? {
        "text" => Some(json!({ "type": "input_text", "text": part["text"] })),
        "file" if part["mediaType"].as_str()?.starts_with("image/") => {
            let detail = part["providerMetadata"][OURS]["detail"].as_str().unwrap_or("auto");
            Some(json!({ "type": "input_image", "image_url": part["url"], "detail": detail }))
        }
        "file" => Some(json!({ "type": "input_file", "file_data": part["url"], "filename": part["filename"] })),
        _ => None,
    }
}

fn parts(text: &str) -> Result<Vec<Value>> {
    serde_json::from_str(text).map_err(Error::internal)
}
