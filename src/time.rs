//! Moments, as the file keeps them (milliseconds since 1970, UTC) and as the wire shows them (RFC 3339).

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A moment, to the millisecond. It shows itself as `2026-11-23T14:00:00.000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The last moment with four digits in its year; what lies beyond cannot be written as RFC 3339.
    const LAST_MS: i64 = 253_402_300_799_999;

    /// Now, by the machine's clock.
    pub fn now() -> Self {
        let ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        Self::from_millis(ms)
    }

    /// From milliseconds since 1970; what RFC 3339 cannot write is moved to its nearest end.
    pub fn from_millis(ms: i64) -> Self {
        Timestamp(ms.clamp(0, Self::LAST_MS))
    }

    /// From RFC 3339 text in UTC.
    pub fn parse(text: &str) -> Option<Self> {
        let since = humantime::parse_rfc3339(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(Self::from_millis(since.as_millis() as i64))
    }

    /// Milliseconds since 1970.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// This moment and a while.
    pub fn plus(self, while_: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(while_.as_millis().min(i64::MAX as u128) as i64))
    }

    /// A while before this moment.
    pub fn minus(self, while_: Duration) -> Self {
        Self::from_millis(self.0.saturating_sub(while_.as_millis().min(i64::MAX as u128) as i64))
    }

    /// Its month of UTC, such as `2026-11`.
    pub fn month(self) -> String {
        let mut text = self.to_string();
        text.truncate("2026-11".len());
        text
    }

    /// The first moment of the next month of UTC.
    pub fn next_month(self) -> Self {
        const LONGEST: Duration = Duration::from_secs(31 * 24 * 60 * 60);
        let first = |at: Timestamp| Self::parse(&format!("{}-01T00:00:00.000Z", at.month())).unwrap_or(at);
        first(first(self).plus(LONGEST))
    }

    /// How long ago `earlier` was; zero if the clock was set back meanwhile.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0) as u64)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(self.0 as u64)).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_moment_are_one() {
        for text in ["1970-01-01T00:00:00.000Z", "2026-11-23T14:00:00.123Z", "9999-12-31T23:59:59.999Z"] {
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Timestamp::parse("2026-11-23"), None);
        assert_eq!(Timestamp::from_millis(i64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_month_ends_where_the_next_begins() {
        for (at, month, next) in [
            ("2026-11-30T23:59:59.999Z", "2026-11", "2026-12-01T00:00:00.000Z"),
            ("2026-12-01T00:00:00.000Z", "2026-12", "2027-01-01T00:00:00.000Z"),
            ("2028-02-29T12:00:00.000Z", "2028-02", "2028-03-01T00:00:00.000Z"),
            ("2026-01-31T12:00:00.000Z", "2026-01", "2026-02-01T00:00:00.000Z"),
        ] {
            let at = Timestamp::parse(at).unwrap();
            assert_eq!((&*at.month(), &*at.next_month().to_string()), (month, next));
        }
    }
}
