//! Tools that a request brings, and its client runs.

use serde_json::{Value, json};

use super::error::Fault;
use crate::tools::{Tool, client};

/// Tools of one request.
pub const V1_TOOLS_MAX: usize = 128;
/// Bytes of their names, descriptions and schemas.
pub const V1_TOOLS_BYTES_MAX: usize = 1024 * 1024;
/// Characters of a name.
const NAME_CHARS_MAX: usize = 128;

/// The tools of a request as they are read.
#[derive(Debug, Default)]
pub struct ClientTools {
    tools: Vec<Tool>,
    bytes: usize,
}

impl ClientTools {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more; `at` is where it is in the request.
    pub fn add(&mut self, at: &str, name: &str, description: &str, schema: Option<Value>) -> Result<(), Fault> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
        if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.bytes().all(is_plain) {
            let what = format!("must be 1 to {NAME_CHARS_MAX} letters, digits, - or _");
            return Err(Fault::invalid_value(format!("{at}.name"), &what));
        }
        if self.has(name) {
            return Err(Fault::invalid_value(format!("{at}.name"), &format!("{name} is there twice")));
        }
        let schema = match schema {
            None => json!({ "type": "object", "properties": {} }),
            Some(schema @ Value::Object(_)) => schema,
            Some(_) => return Err(Fault::invalid_type(format!("{at}.parameters"), "expected an object")),
        };
        self.bytes += name.len() + description.len() + schema.to_string().len();
        if self.bytes > V1_TOOLS_BYTES_MAX {
            let most = V1_TOOLS_BYTES_MAX / 1024;
            return Err(Fault::invalid_value("tools", &format!("must have at most {most} KiB")));
        }
        if self.tools.len() == V1_TOOLS_MAX {
            return Err(Fault::invalid_value("tools", &format!("must hold at most {V1_TOOLS_MAX} tools")));
        }
        self.tools.push(client::tool(name, description, schema));
        Ok(())
    }

    /// Whether one is called so.
    pub fn has(&self, name: &str) -> bool {
        self.tools.iter().any(|tool| tool.name == name)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// Leaves those that `keep` names.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.tools.retain(|tool| keep(&tool.name));
    }

    /// Those so far.
    pub fn all(&self) -> &[Tool] {
        &self.tools
    }

    /// All of them.
    pub fn finish(self) -> Vec<Tool> {
        self.tools
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_tools_and_so_many_bytes_of_them_are_taken() {
        for (count, fits) in [(V1_TOOLS_MAX - 1, true), (V1_TOOLS_MAX, true), (V1_TOOLS_MAX + 1, false)] {
            let mut tools = ClientTools::new();
            let added = (0..count).try_for_each(|n| tools.add("tools", &format!("t{n}"), "", None));
            assert_eq!(added.is_ok(), fits, "{count}");
        }
        let around = "t".len() + json!({}).to_string().len();
        for (bytes, fits) in
            [(V1_TOOLS_BYTES_MAX - 1, true), (V1_TOOLS_BYTES_MAX, true), (V1_TOOLS_BYTES_MAX + 1, false)]
        {
            let added = ClientTools::new().add("tools[0]", "t", &"x".repeat(bytes - around), Some(json!({})));
            assert_eq!(added.is_ok(), fits, "{bytes}");
        }
    }

    #[test]
    fn a_tool_has_a_plain_name_of_its_own() {
        for chars in [NAME_CHARS_MAX - 1, NAME_CHARS_MAX, NAME_CHARS_MAX + 1] {
            let added = ClientTools::new().add("tools[0]", &"x".repeat(chars), "", None);
            assert_eq!(added.is_ok(), chars <= NAME_CHARS_MAX, "{chars}");
        }
        let mut tools = ClientTools::new();
        assert!(tools.add("tools[0]", "a b", "", None).is_err() && tools.add("tools[0]", "", "", None).is_err());
        assert!(tools.add("tools[0]", "a", "", None).is_ok() && tools.add("tools[1]", "a", "", None).is_err());
        assert!(tools.add("tools[1]", "b", "", Some(json!([]))).is_err());
    }
}
