//! Why a server gave no result, and whether it may have done something all the same.

use std::time::Duration;

use rmcp::{
    service::{ClientInitializeError, ServiceError},
    transport::streamable_http_client::StreamableHttpError,
};
use serde_json::Value;

use super::{
    envelope::{self, Reply},
    failed::Failed,
};

/// Refused by rule, because of the version or its headers: it was not run.
const REFUSED_BY_RULE: [i64; 2] = [-32_020, -32_022];

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The server did not get it.
    NotSent(String),
    /// It is where nobody is asked; what a person reads of it.
    Forbidden(String),
    /// It refused the credentials; the status.
    Credentials(u16),
    /// It refused the version that the connection speaks: it was not run.
    Version,
    /// It speaks HTTP+SSE, the transport of 2024.
    OldTransport,
    /// An error of the server.
    Said(String),
    /// The answer had more bytes than that.
    TooLong(u64),
    /// It may have been run: the connection broke.
    Cut,
    /// It may have been run: no answer came in that time.
    Silent(Duration),
}

pub(super) fn opened(closed: Value) -> Result<Value, Refusal> {
    match envelope::open(closed) {
        Some(Reply::Result(result)) => Ok(result),
        Some(Reply::TooLong(bytes_max)) => Err(Refusal::TooLong(bytes_max)),
        Some(Reply::Error { code, .. }) if REFUSED_BY_RULE.contains(&code) => Err(Refusal::Version),
        Some(Reply::Error { message, .. }) => Err(Refusal::Said(message)),
        None => Err(Refusal::Said("The answer is none to this question.".into())),
    }
}

pub(super) fn of_service(error: ServiceError) -> Refusal {
    match error {
        ServiceError::TransportSend(error) => match error.error.downcast_ref() {
            Some(failure) => of_http(failure),
            // A line that could not be written whole is no line.
            None => Refusal::NotSent("it does not read what it is sent".into()),
        },
        ServiceError::McpError(error) => Refusal::Said(error.message.into_owned()),
        _ => Refusal::Cut,
    }
}

fn of_http(failure: &StreamableHttpError<Failed>) -> Refusal {
    match failure {
        StreamableHttpError::Client(failed) => of_failed(failed),
        // Refused once more after the session was renewed: it was not run.
        StreamableHttpError::SessionExpired => Refusal::NotSent("it loses its sessions".into()),
        StreamableHttpError::ReinitializationFailed(error) => Refusal::NotSent(error.message.to_string()),
        _ => Refusal::Cut,
    }
}

pub(super) fn of_failed(failed: &Failed) -> Refusal {
    match failed {
        Failed::NotSent(why) => Refusal::NotSent(why.clone()),
        Failed::Forbidden(sentence) => Refusal::Forbidden(sentence.clone()),
        Failed::Refused(status) => Refusal::Credentials(*status),
        Failed::Status { status, text } => Refusal::Said(format!("HTTP {status}: {text}")),
        Failed::NotJson => Refusal::Said("Its answer is not JSON.".into()),
        Failed::Cut | Failed::Silent => Refusal::Cut,
    }
}

pub(super) fn of_start(error: ClientInitializeError) -> Refusal {
    match error {
        ClientInitializeError::TransportError { error, .. } => match error.error.downcast_ref() {
            Some(failure) => of_http(failure),
            None => Refusal::NotSent("it does not read what it is sent".into()),
        },
        ClientInitializeError::JsonRpcError(error) => Refusal::Said(error.message.into_owned()),
        ClientInitializeError::LegacyFallbackFailed { fallback, .. } => of_start(*fallback),
        ClientInitializeError::NoCompatibleProtocolVersion { server_supported, .. } => {
            let versions: Vec<_> = server_supported.iter().map(ToString::to_string).collect();
            Refusal::Said(format!("It speaks other versions of the protocol: {}.", versions.join(", ")))
        }
        ClientInitializeError::ConnectionClosed(_) => Refusal::Cut,
        _ => Refusal::Said("It does not answer as a server of this protocol does.".into()),
    }
}
