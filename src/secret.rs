//! Text that is never shown.

use std::fmt;

/// Text that never shows by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How the variables begin that may hold a provider's key, where somebody at a browser names them.
pub const PROVIDER_VARIABLE_PREFIX: &str = "ALM_PROVIDER_";
/// The same of what tools and MCP servers are sent.
pub const TOOL_VARIABLE_PREFIX: &str = "ALM_TOOL_SECRET_";

/// The text of a secret without what a file, a variable or a paste puts around it: white space, line ends, a byte order mark and
/// other characters that nobody sees.
pub fn trimmed(text: &str) -> &str {
    let unseen = |c: char| matches!(c, '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\0');
    text.trim_matches(|c: char| c.is_whitespace() || unseen(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_surrounds_a_secret_is_no_part_of_it() {
        for text in ["sk-1", "sk-1\n", "\tsk-1\r\n", "\u{feff}sk-1 ", "\u{a0}sk-1\u{200b}\u{2028}", "\0sk-1\0"] {
            assert_eq!(trimmed(text), "sk-1", "{text:?}");
        }
        assert_eq!((trimmed(" \r\n"), trimmed("a b")), ("", "a b"));
    }

    #[test]
    fn a_secret_never_shows() {
        let secret = Secret::new("sk-1");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(secret.expose(), "sk-1");
    }
}
