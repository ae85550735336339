//! One request's name in responses and logs: `X-Request-Id`.

use std::{fmt, sync::Arc};

use poem::{Request, http::HeaderName};

use crate::id;

/// The longest request id that is taken over from a client.
const REQUEST_ID_CHARS_MAX: usize = 128;
/// The header.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// One request's name in responses and logs.
#[derive(Debug, Clone)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The client's own if it is short and visible, else a new one.
    pub fn of(request: &Request) -> Self {
        let visible = |id: &&str| {
            (1..=REQUEST_ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let own = request.header(REQUEST_ID).filter(visible);
        RequestId(own.map_or_else(|| id::generate().into(), Arc::from))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_a_client_is_kept_if_it_is_short_and_visible() {
        let id = |value: &str| RequestId::of(&Request::builder().header("x-request-id", value).finish()).to_string();
        assert_eq!(id("abc-1"), "abc-1");
        for bad in ["", "a b", "ä"] {
            assert_ne!(id(bad), bad);
        }
        let around = [REQUEST_ID_CHARS_MAX - 1, REQUEST_ID_CHARS_MAX, REQUEST_ID_CHARS_MAX + 1];
        assert_eq!(around.map(|chars| id(&"x".repeat(chars)) == "x".repeat(chars)), [true, true, false]);
    }
}
