//! What a test of a provider found.
//!
//! Rule: what is shown is what a chat would meet.

use std::time::Duration;

use poem_openapi::Object;
use serde::Serialize;

use crate::catalog;

/// The result of a provider's test.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub(super) struct ProviderTest {
    /// Until the first response began.
    reach_ms: u64,
    /// Until its list of models was complete; `null` if it lists none.
    #[oai(nullable)]
    models_ms: Option<u64>,
    models: Vec<String>,
    /// The model that was asked for a short reply.
    model: String,
    /// Until the first token of its reply; `null` if there was none.
    #[oai(nullable)]
    first_token_ms: Option<u64>,
    /// Until the end of its reply.
    reply_ms: u64,
    /// Fields of a chat that it refuses, such as `tools`: chats go without them.
    fields_omitted: Vec<String>,
}

impl From<catalog::TestReport> for ProviderTest {
    fn from(tested: catalog::TestReport) -> Self {
        let ms = |time: Duration| time.as_millis() as u64;
        ProviderTest {
            reach_ms: ms(tested.reach),
            models_ms: tested.listed.map(ms),
            models: tested.models,
            model: tested.model,
            first_token_ms: tested.first_token.map(ms),
            reply_ms: ms(tested.reply),
            fields_omitted: tested.omitted,
        }
    }
}
