//! The groups of operations in the document.

use poem_openapi::Tags;

/// The groups of operations in the document.
#[derive(Tags)]
pub enum Tag {
    /// Who answers.
    Agents,
    /// Who may ask.
    #[oai(rename = "API keys")]
    ApiKeys,
    /// Questions and streamed answers.
    Chat,
    /// What answers, and where it comes from.
    Models,
    /// Sessions with a purpose.
    Projects,
    /// Conversations and their stored history.
    Sessions,
    /// Money, and what it was spent on.
    Billing,
    /// The organization itself.
    #[oai(rename = "Organization")]
    Org,
    /// People at a browser.
    #[oai(rename = "Sign-in")]
    SignIn,
}
