//! Ranges: what a value of the right shape may be. All that is wrong is said at once, as one 422.

use std::{fmt::Display, ops::RangeInclusive};

use poem_openapi::types::MaybeUndefined;
use serde_json::Value;

use crate::{
    error::{Error, Invalid, Result},
    time::Timestamp,
};

/// Rows of a page that says nothing else.
const LIMIT_DEFAULT: i64 = 50;
/// Rows of the largest page.
const LIMIT_MAX: i64 = 100;
/// A client's own object beside a session or a message.
const METADATA_BYTES_MAX: usize = 16 * 1024;

/// What was found wrong so far.
#[derive(Debug, Default)]
pub struct Checks {
    invalid: Vec<Invalid>,
}

impl Checks {
    /// The text has so many characters.
    pub fn chars(&mut self, field: &str, text: &str, allowed: RangeInclusive<usize>) {
        let message = || format!("must be {} to {} characters", allowed.start(), allowed.end());
        self.that(allowed.contains(&text.chars().count()), field, message);
    }

    /// The value is within bounds.
    pub fn range<T: PartialOrd + Display>(&mut self, field: &str, value: T, allowed: RangeInclusive<T>) {
        let message = || format!("must be {} to {}", allowed.start(), allowed.end());
        self.that(allowed.contains(&value), field, message);
    }

    /// Something else holds; `message` says what.
    pub fn that<M: Into<String>>(&mut self, holds: bool, field: &str, message: impl FnOnce() -> M) {
        if !holds {
            self.invalid.push(Invalid { field: field.into(), message: message().into() });
        }
    }

    /// A check that lives elsewhere; failures that are no matter of range pass through.
    pub fn also(&mut self, checked: Result<()>) -> Result<()> {
        match checked {
            Err(Error::Invalid(invalid)) => self.invalid.extend(invalid),
            other => return other,
        }
        Ok(())
    }

    /// Whether all of it held.
    pub fn done(self) -> Result<()> {
        if self.invalid.is_empty() { Ok(()) } else { Err(Error::Invalid(self.invalid)) }
    }
}

/// The rows of a page.
pub fn page_limit(limit: Option<i64>) -> Result<usize> {
    let limit = limit.unwrap_or(LIMIT_DEFAULT);
    let mut checks = Checks::default();
    checks.range("limit", limit, 1..=LIMIT_MAX);
    checks.done().map(|()| limit as usize)
}

/// A field of a change that may be `null`: absent, nothing, or a value.
pub fn nullable<T>(field: MaybeUndefined<T>) -> Option<Option<T>> {
    match field {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(None),
        MaybeUndefined::Value(value) => Some(Some(value)),
    }
}

/// A moment of a query: RFC 3339.
pub fn moment(field: &str, text: Option<String>) -> Result<Option<Timestamp>> {
    let wrong = || Error::invalid(field, "must be a time such as 2026-11-23T14:00:00.000Z");
    text.map(|text| Timestamp::parse(&text).ok_or_else(wrong)).transpose()
}

/// A client's own object, as the text that is stored.
pub fn metadata_text(metadata: Value) -> Result<String> {
    if !metadata.is_object() {
        return Err(Error::BadRequest("metadata: expected an object".into()));
    }
    let text = metadata.to_string();
    let mut checks = Checks::default();
    checks.that(text.len() <= METADATA_BYTES_MAX, "metadata", || format!("must be at most {METADATA_BYTES_MAX} bytes"));
    checks.done().map(|()| text)
}

/// A name as it is kept: every run of white space is one space, none at the ends.
pub fn collapse_space(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let mut checks = Checks::default();
        checks.chars("name", "", 1..=3);
        checks.chars("fine", "äöü", 1..=3);
        checks.range("settings.maxSteps", 51, 1..=50);
        let Err(Error::Invalid(fields)) = checks.done() else { panic!("expected two fields") };
        assert_eq!(fields.iter().map(|i| &*i.field).collect::<Vec<_>>(), ["name", "settings.maxSteps"]);
        assert_eq!(fields[1].message, "must be 1 to 50");
    }

    #[test]
    fn space_inside_a_name_is_one_space() {
        assert_eq!(collapse_space("  a \n\t b  "), "a b");
    }
}
