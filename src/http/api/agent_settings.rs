//! How an agent replies, as the wire has it.

use poem_openapi::{Enum, Object, types::ParseFromJSON};
use serde::Serialize;
use serde_json::{Value, json};

use super::tools::Approval;
use crate::{
    http::wire::{check::Checks, moment::StoredJson},
    store::agents as stored,
    tools::schema::Schema,
};

const OUTPUT_TOKENS_MAX: u32 = 1_000_000;
const STEPS_MAX: u32 = 50;
const FORMAT_NAME_CHARS_MAX: usize = 64;

/// How an agent replies. An absent field takes the model's or the server's default.
#[derive(Debug, Default, Object, Serialize)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
#[serde(rename_all = "camelCase")]
pub(super) struct AgentSettings {
    /// 0 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) temperature: Option<f64>,
    /// 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_p: Option<f64>,
    /// 1 to 1,000,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_effort: Option<ReasoningEffort>,
    /// Model calls in one turn: 1 to 50. Default 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_steps: Option<u32>,
    /// The least that its tools ask of people: the stricter of this and a tool's own counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_approval: Option<Approval>,
    /// Replies are JSON of this shape, as text: the message's metadata say whether they are (`structured`). Asked of the model
    /// where it has no tools to call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_format: Option<ResponseFormat>,
}

/// A shape of replies.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResponseFormat {
    /// 1 to 64 of `A-Z`, `a-z`, `0-9`, `_` and `-`.
    name: String,
    /// A JSON Schema of an object.
    schema: StoredJson,
    /// Whether the model's server is to hold the model to it: some take only a part of JSON Schema then.
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

/// How much a model reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub(super) enum ReasoningEffort {
    Low,
    Medium,
    High,
}

impl From<stored::Settings> for AgentSettings {
    fn from(stored: stored::Settings) -> Self {
        let effort = |word: String| ReasoningEffort::ALL.into_iter().find(|effort| effort.as_str() == word);
        AgentSettings {
            temperature: stored.temperature,
            top_p: stored.top_p,
            max_output_tokens: stored.output_tokens_max,
            reasoning_effort: stored.reasoning_effort.and_then(effort),
            max_steps: stored.steps_max,
            tool_approval: stored.tool_approval.map(Into::into),
            response_format: stored.response_format.and_then(ResponseFormat::of_text),
        }
    }
}

impl From<AgentSettings> for stored::Settings {
    fn from(settings: AgentSettings) -> Self {
        stored::Settings {
            temperature: settings.temperature,
            top_p: settings.top_p,
            output_tokens_max: settings.max_output_tokens,
            reasoning_effort: settings.reasoning_effort.map(|effort| effort.as_str().into()),
            steps_max: settings.max_steps,
            tool_approval: settings.tool_approval.map(Into::into),
            response_format: settings.response_format.map(|format| json!(format).to_string()),
        }
    }
}

impl ResponseFormat {
    fn of_text(stored: String) -> Option<Self> {
        Self::parse_from_json(serde_json::from_str(&stored).ok()).ok()
    }
}

impl ReasoningEffort {
    const ALL: [Self; 3] = [Self::Low, Self::Medium, Self::High];

    fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// The ranges of its fields.
pub(super) fn check(checks: &mut Checks, settings: &stored::Settings) {
    settings.temperature.into_iter().for_each(|value| checks.range("settings.temperature", value, 0.0..=2.0));
    settings.top_p.into_iter().for_each(|value| checks.range("settings.topP", value, 0.0..=1.0));
    let tokens = settings.output_tokens_max.into_iter();
    tokens.for_each(|value| checks.range("settings.maxOutputTokens", value, 1..=OUTPUT_TOKENS_MAX));
    settings.steps_max.into_iter().for_each(|value| checks.range("settings.maxSteps", value, 1..=STEPS_MAX));
    if let Some(format) = &settings.response_format {
        check_format(checks, &serde_json::from_str(format).unwrap_or_default());
    }
}

fn check_format(checks: &mut Checks, format: &Value) {
    let name = format["name"].as_str().unwrap_or_default();
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let is_name = (1..=FORMAT_NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(known);
    checks.that(is_name, "settings.responseFormat.name", || {
        format!("must be 1 to {FORMAT_NAME_CHARS_MAX} letters, digits, _ or -")
    });
    if let Err(fault) = Schema::compile(&format["schema"]) {
        checks.that(false, "settings.responseFormat.schema", || fault);
    }
}
