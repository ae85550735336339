//! What one connection is doing, and how long it may go on like that.
//!
//! Rule: what decides is [`State::due`], a plain function. What tells it is the socket, which sees the bytes, and the bodies of
//! responses, which see what the peer takes.
//! Rule: bytes alone are no life. A peer that answers pings, or takes a byte now and then, is idle or stalled all the same.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use super::limits::Limits;

/// What a peer has to take of a waiting response in [`Limits::write_stall_max`].
pub(super) const PROGRESS_BYTES: usize = 1024;

/// One connection's life.
pub(super) struct Life {
    state: Mutex<State>,
    told: Notify,
    /// Work that ends with the client.
    bound: AtomicUsize,
    gone: Notify,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// At once.
    Drop,
    /// After it was told.
    Close,
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    /// Requests that are being answered, until the last byte of the response was taken over.
    running: usize,
    /// How many of them wait for us and not for the peer.
    ours: usize,
    /// Whether there was ever a request.
    asked: bool,
    /// Several requests at once, whose heads begin unseen.
    http2: bool,
    /// Since when nothing runs.
    quiet_since: Instant,
    /// The first byte of a head that is not whole yet.
    head_since: Option<Instant>,
    /// Whether the kernel takes no more bytes.
    blocked: bool,
    /// When the peer had taken enough, or when it became its turn to.
    moved_at: Instant,
    moved_bytes: usize,
    /// Whether it was told to end.
    told: bool,
}

impl State {
    fn new(now: Instant) -> Self {
        State {
            running: 0,
            ours: 0,
            asked: false,
            http2: false,
            quiet_since: now,
            head_since: None,
            blocked: false,
            moved_at: now,
            moved_bytes: 0,
            told: false,
        }
    }

    fn is_busy(&self) -> bool {
        self.running > 0 || self.blocked
    }

    /// When it ends, and how, if nothing else happens.
    pub(super) fn due(&self, limits: &Limits) -> Option<(Instant, End)> {
        if self.is_busy() {
            return (self.ours == 0).then(|| (self.moved_at + limits.write_stall_max, End::Drop));
        }
        if !self.asked {
            return Some((self.quiet_since + limits.header_timeout, End::Drop));
        }
        Some(match self.head_since {
            Some(since) => (since + limits.header_timeout, End::Drop),
            None => (self.quiet_since + limits.idle_connection_max, End::Close),
        })
    }

    fn begin(&mut self, http2: bool) {
        (self.asked, self.http2, self.head_since) = (true, http2, None);
        self.running += 1;
        self.ours += 1;
    }

    /// A request waits for us from now on, or for the peer.
    fn turn_over(&mut self, ours: bool, now: Instant) {
        if ours {
            self.ours += 1;
        } else {
            self.ours -= 1;
            (self.moved_at, self.moved_bytes) = (now, 0);
        }
    }

    fn end(&mut self, ours: bool, now: Instant) {
        self.running -= 1;
        self.ours -= usize::from(ours);
        if self.running == 0 {
            (self.quiet_since, self.head_since) = (now, None);
        }
    }

    /// Bytes came in. Between two requests of HTTP/1 they are the next one's head.
    fn read(&mut self, now: Instant) {
        if self.running == 0 && !self.http2 {
            self.head_since.get_or_insert(now);
        }
    }

    /// The kernel took so many bytes, or none for now.
    fn wrote(&mut self, bytes: Option<usize>, now: Instant) {
        let Some(bytes) = bytes else {
            if !self.blocked && self.running == 0 {
                (self.moved_at, self.moved_bytes) = (now, 0);
            }
            self.blocked = true;
            return;
        };
        if self.blocked && self.running == 0 {
            self.quiet_since = now;
        }
        self.blocked = false;
        self.moved_bytes += bytes;
        if self.moved_bytes >= PROGRESS_BYTES {
            (self.moved_at, self.moved_bytes) = (now, 0);
        }
    }
}

impl Life {
    pub(super) fn new() -> Self {
        let state = Mutex::new(State::new(Instant::now()));
        Life { state, told: Notify::new(), bound: AtomicUsize::new(0), gone: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, http2: bool) {
        self.state().begin(http2);
    }

    pub(super) fn turn_over(&self, ours: bool) {
        self.state().turn_over(ours, Instant::now());
    }

    pub(super) fn end(&self, ours: bool) {
        self.state().end(ours, Instant::now());
    }

    pub(super) fn read(&self) {
        self.state().read(Instant::now());
    }

    pub(super) fn wrote(&self, bytes: Option<usize>) {
        self.state().wrote(bytes, Instant::now());
    }

    /// Since when it is idle, if it is and was not told to end yet.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = *self.state();
        (state.asked && !state.is_busy() && state.head_since.is_none() && !state.told).then_some(state.quiet_since)
    }

    /// Whether it was told to end.
    pub(super) fn is_told(&self) -> bool {
        self.state().told
    }

    /// Tells it to end: its place is needed.
    pub(super) fn tell(&self) {
        self.state().told = true;
        self.told.notify_one();
    }

    /// Waits until it is told.
    pub(super) async fn told(&self) {
        self.told.notified().await;
    }

    /// Some work ends with the client from now on.
    pub(super) fn bind(&self) {
        self.bound.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn unbind(&self) {
        self.bound.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether some work ends with the client.
    pub(super) fn is_bound(&self) -> bool {
        self.bound.load(Ordering::Relaxed) > 0
    }

    /// The client sends no more, and some work was bound to it.
    pub(super) fn leave(&self) {
        self.gone.notify_one();
    }

    /// Waits until the client of bound work is gone.
    pub(super) async fn gone(&self) {
        self.gone.notified().await;
    }

    /// Waits until it has gone on for too long. It is to be polled by the task that polls the connection: what that task sees
    /// moves the moment. What other tasks see (the end of a response) is looked at now and then.
    pub(super) async fn overdue(&self, limits: &Limits) -> End {
        let mut alarm = pin!(sleep(Duration::ZERO));
        poll_fn(|context| {
            loop {
                let (now, due) = (Instant::now(), self.state().due(limits));
                if let Some((_, end)) = due.filter(|(at, _)| *at <= now) {
                    return Poll::Ready(end);
                }
                let latest = now + limits.header_timeout;
                let at = due.map_or(latest, |(at, _)| at.min(latest));
                if alarm.is_elapsed() || alarm.deadline() > at {
                    alarm.as_mut().reset(at);
                }
                if alarm.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Waits until a connection that was told to end has nothing more to say, and has had time to leave by itself.
    pub(super) async fn left(&self, limits: &Limits) {
        let patience = Limits { idle_connection_max: Duration::ZERO, ..*limits };
        sleep_until(Instant::now() + limits.header_timeout).await;
        self.overdue(&patience).await;
    }
}

#[cfg(test)]
mod tests {
    use super::{super::limits, *};

    const LIMITS: Limits = Limits {
        connections_max: 1,
        header_timeout: Duration::from_secs(10),
        idle_connection_max: limits::IDLE_CONNECTION_MAX,
        idle_pressed_max: Duration::from_secs(10),
        write_stall_max: limits::WRITE_STALL_MAX,
        connection_age_max: Duration::from_secs(3600),
        drain_timeout: Duration::from_secs(30),
    };

    /// A connection, and what a test makes happen on it second by second.
    struct Played {
        start: Instant,
        state: State,
    }

    impl Played {
        fn new() -> Self {
            let start = Instant::now();
            Played { start, state: State::new(start) }
        }

        fn at(&self, second: u64) -> Instant {
            self.start + Duration::from_secs(second)
        }

        /// The second at which it ends, and how.
        fn due(&self) -> Option<(u64, End)> {
            let (at, end) = self.state.due(&LIMITS)?;
            Some((at.duration_since(self.start).as_secs(), end))
        }

        /// A request that came and was answered at that second.
        fn asked(http2: bool, second: u64) -> Self {
            let mut played = Self::new();
            played.state.read(played.start);
            played.state.begin(http2);
            let now = played.at(second);
            played.state.turn_over(false, now);
            played.state.end(false, now);
            played
        }
    }

    #[test]
    fn who_never_asks_and_whose_head_does_not_end_has_ten_seconds() {
        let mut played = Played::new();
        assert_eq!(played.due(), Some((10, End::Drop)));
        played.state.read(played.at(9));
        assert_eq!(played.due(), Some((10, End::Drop)), "a first head has no more than that");
        let mut played = Played::asked(false, 5);
        played.state.read(played.at(50));
        played.state.read(played.at(58));
        assert_eq!(played.due(), Some((60, End::Drop)), "from its first byte");
        played.state.begin(false);
        assert_eq!(played.due(), None);
    }

    #[test]
    fn an_idle_connection_of_either_protocol_lives_ninety_seconds() {
        for http2 in [false, true] {
            assert_eq!(Played::asked(http2, 5).due(), Some((95, End::Close)));
        }
        // The answer to a ping is no request.
        let mut played = Played::asked(true, 5);
        played.state.read(played.at(50));
        played.state.wrote(Some(17), played.at(50));
        assert_eq!(played.due(), Some((95, End::Close)));
    }

    #[test]
    fn a_response_that_waits_for_us_may_wait_and_one_that_waits_for_the_peer_may_not() {
        let mut played = Played::new();
        played.state.begin(true);
        assert_eq!(played.due(), None, "the handler is at work");
        played.state.turn_over(false, played.at(20));
        assert_eq!(played.due(), Some((80, End::Drop)));
        played.state.wrote(Some(PROGRESS_BYTES - 1), played.at(30));
        assert_eq!(played.due(), Some((80, End::Drop)), "a byte now and then");
        played.state.wrote(Some(1), played.at(40));
        assert_eq!(played.due(), Some((100, End::Drop)));
        played.state.turn_over(true, played.at(50));
        assert_eq!(played.due(), None, "a stream that has nothing to say");
        played.state.begin(true);
        played.state.turn_over(false, played.at(55));
        assert_eq!(played.due(), None, "another of its requests waits for us");
    }

    #[test]
    fn what_the_kernel_holds_back_is_not_cut_off_as_idle() {
        let mut played = Played::asked(false, 5);
        played.state.wrote(None, played.at(6));
        assert_eq!(played.due(), Some((66, End::Drop)));
        played.state.wrote(Some(100), played.at(20));
        assert_eq!(played.due(), Some((110, End::Close)), "idle from then on");
    }

    #[tokio::test]
    async fn who_was_told_is_not_asked_to_be_idle_again() {
        let life = Life::new();
        assert_eq!(life.idle_since(), None, "it has not asked yet");
        life.begin(false);
        assert_eq!(life.idle_since(), None);
        life.end(true);
        assert!(life.idle_since().is_some() && !life.is_told());
        life.tell();
        life.told().await;
        assert!(life.idle_since().is_none() && life.is_told());
    }
}
