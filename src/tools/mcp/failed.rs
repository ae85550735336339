//! Why a request over HTTP has no answer, and whether the server may have got it.

use futures_util::stream::BoxStream;
use rmcp::transport::streamable_http_client::{SseError, StreamableHttpError};
use sse_stream::Sse;

use crate::outbound::{Cause, Failure as Unanswered, Untrusted};

/// Towards the library.
pub(super) type Failure = StreamableHttpError<Failed>;
/// The events of a body.
pub(super) type Events = BoxStream<'static, Result<Sse, SseError>>;

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failed {
    /// The server did not get it.
    #[error("{0}")]
    NotSent(String),
    /// It is where nobody is asked; what a person reads of it.
    #[error("{0}")]
    Forbidden(String),
    /// It refused the credentials.
    #[error("HTTP {0}")]
    Refused(u16),
    /// It answered with something else.
    #[error("HTTP {status}: {text}")]
    Status { status: u16, text: String },
    /// The answer is no message of the protocol.
    #[error("an answer that is not JSON")]
    NotJson,
    /// It may have got it: the connection broke.
    #[error("the connection broke")]
    Cut,
    /// It may have got it: no answer came in time.
    #[error("no answer came")]
    Silent,
}

impl From<Unanswered> for Failed {
    fn from(why: Unanswered) -> Self {
        match why {
            Unanswered::NotSent(Cause::Forbidden(forbidden)) => {
                let host = forbidden.host.clone();
                Failed::Forbidden(format!(
                    "{forbidden}. On the machine, add it with \"alm mcp add\" or start with --tool-allow {host}."
                ))
            }
            Unanswered::NotSent(cause) => Failed::NotSent(of_cause(&cause)),
            Unanswered::Cut(_) => Failed::Cut,
            Unanswered::Timeout => Failed::Silent,
        }
    }
}

/// Why nothing was sent.
fn of_cause(cause: &Cause) -> String {
    let why = match cause {
        Cause::NameUnknown => "its name cannot be looked up",
        Cause::ConnectTimeout => "nobody answers at its address",
        Cause::Tls(Untrusted::Issuer) => "nobody who is trusted signed its certificate",
        Cause::Tls(Untrusted::Name) => "its certificate is for another name",
        Cause::Tls(Untrusted::Expired | Untrusted::NotYetValid) => "its certificate is not valid today",
        Cause::Tls(Untrusted::Other) => "it does not speak TLS",
        Cause::Proxy => "the proxy refused",
        Cause::TooMany => "too many requests wait",
        Cause::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => "the connection was refused",
        _ => "the connection failed",
    };
    why.into()
}
