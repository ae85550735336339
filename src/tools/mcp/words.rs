//! What a person and a model read of a server that did not answer.

use super::refusal::Refusal;
use crate::tools::call::duration;

/// A sentence about a refusal of the server `slug`.
pub(super) fn refusal(slug: &str, refusal: &Refusal) -> String {
    match refusal {
        Refusal::NotSent(why) => format!("{slug} cannot be reached: {why}."),
        Refusal::Forbidden(sentence) => sentence.clone(),
        Refusal::Credentials(status) => format!("{slug} refused its credentials (HTTP {status}): give them again."),
        Refusal::Version => format!("{slug} refuses the version of the protocol that it said it speaks."),
        Refusal::OldTransport => format!(
            "{slug} speaks HTTP+SSE, the transport of 2024, which alm does not: give the URL of its Streamable HTTP, which often \
             ends in /mcp, or add a bridge on the machine: alm mcp add {slug} -- npx -y mcp-remote URL --transport sse-only"
        ),
        Refusal::Said(text) => format!("{slug}: {}", text.trim()),
        Refusal::TooLong(bytes_max) => {
            format!("The answer has more than {bytes_max} bytes: it was read no further.")
        }
        Refusal::Cut => format!("The connection to {slug} broke."),
        Refusal::Silent(patience) => format!("{slug} did not answer within {}.", duration(*patience)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_refusal_is_a_sentence_that_names_the_server() {
        let said = |what: &Refusal| refusal("github", what);
        assert_eq!(said(&Refusal::Credentials(401)), "github refused its credentials (HTTP 401): give them again.");
        assert_eq!(said(&Refusal::Silent(Duration::from_secs(15))), "github did not answer within 15 s.");
        assert_eq!(said(&Refusal::Silent(Duration::from_millis(1_500))), "github did not answer within 1500 ms.");
        assert_eq!(said(&Refusal::NotSent("no such host".into())), "github cannot be reached: no such host.");
        assert_eq!(said(&Refusal::Said(" Not for you ".into())), "github: Not for you");
        assert_eq!(said(&Refusal::TooLong(4)), "The answer has more than 4 bytes: it was read no further.");
    }
}
