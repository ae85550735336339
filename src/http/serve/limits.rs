//! The bounds of one server's connections.

use std::time::Duration;

/// Open connections where descriptors do not bound them.
pub const CONNECTIONS_MAX: usize = 8192;
/// How long a request head may take, and how long a client may take to ask for the first time.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// As long as the proxies that keep the longest: one that closes first loses the request that a proxy has just sent on it.
pub(super) const IDLE_CONNECTION_MAX: Duration = Duration::from_secs(90);
/// How long a connection may be idle once places run short.
pub(super) const IDLE_PRESSED_MAX: Duration = Duration::from_secs(10);
/// How long a peer may take nothing of what it is sent.
pub(super) const WRITE_STALL_MAX: Duration = Duration::from_secs(60);
/// The age at which a connection is asked to end.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(3600);
/// How long running responses may go on after the shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// The bounds of one server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open connections. The next one waits in the kernel's backlog: it is served when a place comes free, where a
    /// refusal would make every client of a short rush try again at once.
    pub connections_max: usize,
    /// How long a request head may take from its first byte, and how long the first request may take to come.
    pub header_timeout: Duration,
    /// How long a connection may be idle between two requests.
    pub idle_connection_max: Duration,
    /// How long it may be once three quarters of the places are taken.
    pub idle_pressed_max: Duration,
    /// How long written bytes may stay unacknowledged, or a peer's window shut, before the kernel ends the connection; and how
    /// long a peer may take next to nothing of a response that is ready. A peer that is gone without a word, or never reads,
    /// would hold its place for ever.
    pub write_stall_max: Duration,
    /// The age at which a connection is asked to end after what it is doing, so that none holds its place for ever.
    pub connection_age_max: Duration,
    /// How long running responses may go on after the shutdown.
    pub drain_timeout: Duration,
}

impl Limits {
    /// Leaves half of the descriptors to providers' sockets and to the file: clients that take all there are would
    /// otherwise get no answer.
    pub fn within(self, descriptors_max: u64) -> Self {
        let half = usize::try_from(descriptors_max / 2).unwrap_or(usize::MAX);
        Self { connections_max: self.connections_max.min(half.max(1)), ..self }
    }

    /// The places that one address may take.
    pub fn share(&self) -> usize {
        (self.connections_max / 4).max(1)
    }

    /// The number of taken places from which on they run short.
    pub fn pressed_from(&self) -> usize {
        (self.connections_max * 3).div_ceil(4)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_MAX,
            header_timeout: HEADER_TIMEOUT,
            idle_connection_max: IDLE_CONNECTION_MAX,
            idle_pressed_max: IDLE_PRESSED_MAX,
            write_stall_max: WRITE_STALL_MAX,
            connection_age_max: CONNECTION_AGE_MAX,
            drain_timeout: DRAIN_TIMEOUT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_half_of_the_descriptors_at_most() {
        let connections = |descriptors| Limits::default().within(descriptors).connections_max;
        assert_eq!([connections(1), connections(1024), connections(u64::MAX)], [1, 512, CONNECTIONS_MAX]);
    }

    #[test]
    fn one_address_gets_a_quarter_and_three_quarters_are_many() {
        let of = |connections_max| {
            let limits = Limits { connections_max, ..Limits::default() };
            (limits.share(), limits.pressed_from())
        };
        assert_eq!([of(1), of(5), of(128), of(8192)], [(1, 1), (1, 4), (32, 96), (2048, 6144)]);
    }

    #[test]
    fn an_idle_connection_outlives_those_that_proxies_keep() {
        assert!(Limits::default().idle_connection_max >= Duration::from_secs(75));
    }
}
