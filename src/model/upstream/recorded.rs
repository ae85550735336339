//! What a recorder is told of an exchange.
//!
//! Rule: of an answer's headers, its type and when to ask again; the others say nothing of a model, and may hold what is secret.

use crate::{
    model::cassette::{End, Head, Recording},
    outbound::http::{HeaderMap, HeaderName, StatusCode, header},
};

/// What is kept of a head.
pub(super) fn head_of(status: StatusCode, headers: &HeaderMap) -> Head {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    Head {
        status: status.as_u16(),
        media_type: text(header::CONTENT_TYPE).map(str::to_owned),
        retry_after: text(header::RETRY_AFTER).and_then(|seconds| seconds.parse().ok()),
    }
}

/// Ends an exchange that got no reply.
pub(super) fn refused(recording: Option<Recording>, head: Option<Head>, said: &str) {
    let Some(mut recording) = recording else { return };
    let Some(head) = head else { return recording.ends(End::Failed) };
    recording.head(head, &[], false);
    recording.hears(said.as_bytes());
    recording.ends(End::Whole);
}
