//! How an agent replies, as the wire has it.

use poem_openapi::{Enum, Object};
use serde::Serialize;

use super::tools::Approval;
use crate::{http::wire::check::Checks, store::agents as stored};

const OUTPUT_TOKENS_MAX: u32 = 1_000_000;
const STEPS_MAX: u32 = 50;

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
            ..stored::Settings::default()
        }
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
}
