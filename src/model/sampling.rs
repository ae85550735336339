//! How a model is to answer: what its caller tunes, and what shape the reply is to have.

use serde_json::{Map, Value};

/// What is asked of one reply beside its conversation. What is absent is left to the provider.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sampling {
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// Nucleus sampling.
    pub top_p: Option<f64>,
    /// How hard to think: `low`, `medium`, `high`, or another word of the provider.
    pub reasoning_effort: Option<String>,
    /// The reply's cap, in tokens.
    pub output_tokens_max: Option<u32>,
    /// Texts at which the reply ends.
    pub stop: Vec<String>,
    /// The same seed asks for the same reply.
    pub seed: Option<i64>,
    /// How much to avoid what was said.
    pub presence_penalty: Option<f64>,
    /// How much to avoid what was said often.
    pub frequency_penalty: Option<f64>,
    /// Whether one step may call several tools.
    pub parallel_tool_calls: Option<bool>,
    /// Which tools the first step may call.
    pub tool_choice: Option<ToolChoice>,
    /// The shape of the reply: OpenAI's `response_format`, as it is sent.
    pub response_format: Option<Value>,
    /// Fields that are sent on as they came.
    pub extra: Map<String, Value>,
}

/// Which tools a step may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// Any, or none of them.
    Auto,
    /// None.
    None,
    /// At least one.
    Required,
    /// This one.
    Named(String),
}

#[cfg(test)]
impl Sampling {
    /// One that tunes what an agent may.
    pub(crate) fn tuned() -> Self {
        Sampling {
            temperature: Some(0.5),
            top_p: Some(0.9),
            reasoning_effort: Some("low".into()),
            output_tokens_max: Some(9),
            ..Sampling::default()
        }
    }
}
