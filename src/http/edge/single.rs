//! The headers that say who is calling, for whom and from where: each of them says one thing.
//!
//! Rule: two that differ are refused. What stands before the server, or after it in a log, may have read the other one.
//! Rule: one that cannot be read is refused and never passed over, as if there were none.

use poem::{
    Request,
    http::{HeaderName, header},
};

use super::idempotency::IDEMPOTENCY_KEY;
use crate::{
    error::{Error, Result},
    http::{
        auth::identity::{API_KEY_HEADER, ORG_HEADER, key_of_alias, key_of_bearer},
        state::hosts,
    },
};

/// What is said once.
const SINGLE: [HeaderName; 7] = [
    header::AUTHORIZATION,
    HeaderName::from_static(API_KEY_HEADER),
    HeaderName::from_static(ORG_HEADER),
    header::HOST,
    header::ORIGIN,
    header::CONTENT_TYPE,
    IDEMPOTENCY_KEY,
];

/// Refuses a request that says two things at once.
pub fn check(request: &Request) -> Result<()> {
    for name in &SINGLE {
        let mut values = request.headers().get_all(name).into_iter();
        let Some(first) = values.next() else { continue };
        if first.to_str().is_err() {
            return Err(Error::BadRequest(format!("the header `{name}` must be visible ASCII")));
        }
        if values.any(|other| other != first) {
            return Err(Error::BadRequest(format!("send the header `{name}` once: this request has two that differ")));
        }
    }
    if hosts::are_two(request) {
        return Err(Error::BadRequest("`Host` must be the host that is asked for".into()));
    }
    match (key_of_bearer(request), key_of_alias(request)) {
        (Some(one), Some(other)) if one != other => {
            Err(Error::BadRequest("send one API key: `Authorization` and `x-api-key` have two that differ".into()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    fn checked(headers: &[(&str, &[u8])]) -> Result<()> {
        let mut request = Request::builder().uri_str("/api/v1/agents").finish();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
        }
        check(&request)
    }

    #[test]
    fn two_headers_that_differ_are_refused_and_two_that_do_not_are_one() {
        for name in SINGLE {
            let name = name.as_str();
            checked(&[(name, b"Bearer a"), (name, b"Bearer a")]).unwrap();
            for others in [[&b"Bearer a"[..], b"Bearer b"], [b"Bearer a", b""], [b"", b"Bearer a"]] {
                let refused = checked(&[(name, others[0]), (name, others[1])]);
                assert!(matches!(refused, Err(Error::BadRequest(_))), "{name}");
            }
        }
        checked(&[("cookie", b"a=1"), ("cookie", b"b=2"), ("accept", b"a/b"), ("accept", b"c/d")]).unwrap();
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for name in SINGLE {
            let text = "Bearer ä".as_bytes();
            assert!(matches!(checked(&[(name.as_str(), text)]), Err(Error::BadRequest(_))), "{name}");
        }
    }

    #[test]
    fn a_key_and_its_alias_are_one_key() {
        checked(&[("authorization", b"Bearer a"), ("x-api-key", b"a")]).unwrap();
        checked(&[("authorization", b"Bearer "), ("x-api-key", b"a")]).unwrap();
        checked(&[("authorization", b"Basic eDp5"), ("x-api-key", b"a")]).unwrap();
        checked(&[("authorization", b"Bearer a"), ("x-api-key", b"b")]).unwrap_err();
    }
}
