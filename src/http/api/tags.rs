//! The groups of operations in the document.

use poem_openapi::Tags;

/// The groups of operations in the document.
#[derive(Tags)]
pub enum Tag {
    /// The personas that reply.
    Agents,
    /// Calls of tools that wait for a person.
    Approvals,
    /// Keys for programs.
    #[oai(rename = "API keys")]
    ApiKeys,
    /// Messages in, streamed replies out.
    Chat,
    /// Models, and the providers they come from.
    Models,
    /// Tools, the MCP servers they come from, and what was called.
    Tools,
    /// Sessions that share a purpose and a prompt.
    Projects,
    /// Conversations and their stored history.
    Sessions,
    /// What was asked of models, and what became of it.
    Requests,
    /// What happens, as it happens.
    Events,
    /// Balance, deposits and usage.
    Billing,
    /// The organization itself.
    #[oai(rename = "Organization")]
    Org,
    /// Who is in the organization, who is invited, and what they changed.
    People,
    /// Signing in with a browser.
    #[oai(rename = "Sign-in")]
    SignIn,
}
