//! Who is answered, and who waits for that: first come, first served.
//!
//! Rule: the process itself has no queue: no more are let in than it has slots. One exception: a slot whose last reply was cut
//! off counts as free, though the process may still be busy with it. Who takes it is watched until the process responds.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// Answers that wait for one local model. A person has at most half of these places.
pub const LOCAL_QUEUE_MAX: usize = 64;
/// How long a slot may take to be free after a reply was cut off, while somebody waits for it.
pub const CANCEL_WAIT: Duration = Duration::from_secs(10);
/// Answers whose length tells how long the next ones will take.
const TOOK_MAX: usize = 8;
/// How long an answer takes as long as none was written.
const TOOK_FIRST: Duration = Duration::from_secs(10);
/// The longest time after which somebody is told to ask again.
const RETRY_MAX: Duration = Duration::from_secs(60 * 60);

struct Waits {
    id: u64,
    person: String,
}

struct Answered {
    id: u64,
    since: Instant,
    /// It took a slot whose last reply was cut off, and has not been heard since.
    is_watched: bool,
}

/// The queue of a local model.
pub(super) struct Queue {
    slots: usize,
    next_id: u64,
    waiting: VecDeque<Waits>,
    answering: Vec<Answered>,
    /// Slots whose last reply was cut off.
    cut: usize,
    took: VecDeque<Duration>,
    /// Since when nobody is here.
    empty_since: Option<Instant>,
}

/// Why somebody may not wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Full {
    pub message: String,
    pub retry_after: Duration,
}

impl Queue {
    pub(super) fn new(slots: usize, now: Instant) -> Self {
        Queue {
            slots: slots.max(1),
            next_id: 0,
            waiting: VecDeque::new(),
            answering: Vec::new(),
            cut: 0,
            took: VecDeque::new(),
            empty_since: Some(now),
        }
    }

    /// Answers that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Answers that are being written.
    pub(super) fn answering(&self) -> usize {
        self.answering.len()
    }

    /// Since when nobody is here.
    pub(super) fn empty_since(&self) -> Option<Instant> {
        self.empty_since
    }

    /// Gives somebody the last place.
    pub(super) fn join(&mut self, person: &str) -> Result<u64, Full> {
        let own = self.waiting.iter().filter(|waits| waits.person == person).count();
        let count = self.waiting.len();
        if count >= LOCAL_QUEUE_MAX {
            return Err(self.full(&format!("{count} answers wait"), count));
        }
        if own >= LOCAL_QUEUE_MAX / 2 {
            return Err(self.full(&format!("{own} answers of yours wait"), count));
        }
        let waits = self.waits(person);
        let id = waits.id;
        self.waiting.push_back(waits);
        Ok(id)
    }

    /// Gives somebody the first place: it was let in before, and the process ended.
    pub(super) fn join_again(&mut self, person: &str) -> u64 {
        let waits = self.waits(person);
        let id = waits.id;
        self.waiting.push_front(waits);
        id
    }

    /// Which place somebody has, from 1.
    pub(super) fn position(&self, id: u64) -> Option<usize> {
        self.waiting.iter().position(|waits| waits.id == id).map(|before| before + 1)
    }

    /// Lets the first one in, if it is that one and a slot is free.
    pub(super) fn let_in(&mut self, id: u64, now: Instant) -> bool {
        if self.answering.len() >= self.slots || self.waiting.front().is_none_or(|waits| waits.id != id) {
            return false;
        }
        self.waiting.pop_front();
        let is_watched = self.answering.len() + self.cut >= self.slots;
        self.answering.push(Answered { id, since: now, is_watched });
        true
    }

    /// The process responds to that one: its slot is its own.
    pub(super) fn heard(&mut self, id: u64) {
        if let Some(answered) = self.answering.iter_mut().find(|answered| answered.id == id)
            && std::mem::take(&mut answered.is_watched)
        {
            self.cut = self.cut.saturating_sub(1);
        }
    }

    /// Somebody goes, whether it waited or was answered; `whole`: its reply ended by itself.
    pub(super) fn leave(&mut self, id: u64, whole: bool, now: Instant) {
        self.waiting.retain(|waits| waits.id != id);
        if let Some(at) = self.answering.iter().position(|answered| answered.id == id) {
            let answered = self.answering.swap_remove(at);
            if whole {
                if self.took.len() >= TOOK_MAX {
                    self.took.pop_front();
                }
                self.took.push_back(now.saturating_duration_since(answered.since));
            } else if !answered.is_watched {
                self.cut = (self.cut + 1).min(self.slots);
            }
        }
        if self.waiting.is_empty() && self.answering.is_empty() {
            self.empty_since.get_or_insert(now);
        }
    }

    /// When a slot that somebody waits for has been busy for too long with a reply that was cut off.
    pub(super) fn stuck_at(&self) -> Option<Instant> {
        self.answering.iter().filter(|answered| answered.is_watched).map(|answered| answered.since + CANCEL_WAIT).min()
    }

    /// A process has so many slots.
    pub(super) fn set_slots(&mut self, slots: usize) {
        self.slots = slots.max(1);
    }

    /// Nobody waits any more.
    pub(super) fn refuse_all(&mut self, now: Instant) {
        self.waiting.clear();
        if self.answering.is_empty() {
            self.empty_since.get_or_insert(now);
        }
    }

    /// The process is gone, and with it whatever it was busy with.
    pub(super) fn clear(&mut self, now: Instant) {
        self.answering.clear();
        self.cut = 0;
        if self.waiting.is_empty() {
            self.empty_since.get_or_insert(now);
        }
    }

    fn waits(&mut self, person: &str) -> Waits {
        self.next_id += 1;
        self.empty_since = None;
        Waits { id: self.next_id, person: person.to_owned() }
    }

    fn full(&self, who: &str, count: usize) -> Full {
        let retry_after = self.retry_after(count);
        let seconds = retry_after.as_secs();
        Full { message: format!("{who} for the local model: try again in {seconds} seconds"), retry_after }
    }

    /// When so many will have been answered, in whole seconds.
    fn retry_after(&self, count: usize) -> Duration {
        let mean = match u32::try_from(self.took.len()) {
            Ok(0) | Err(_) => TOOK_FIRST,
            Ok(some) => self.took.iter().sum::<Duration>() / some,
        };
        let rounds = u32::try_from(count.div_ceil(self.slots)).unwrap_or(u32::MAX);
        let wait = mean.saturating_mul(rounds).min(RETRY_MAX);
        Duration::from_secs(wait.as_secs().max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(slots: usize) -> Queue {
        Queue::new(slots, Instant::now())
    }

    fn now() -> Instant {
        Instant::now()
    }

    /// Somebody who is let in at once.
    fn inside(queue: &mut Queue) -> u64 {
        let id = queue.join("ann").unwrap();
        assert!(queue.let_in(id, now()));
        id
    }

    #[test]
    fn first_come_is_first_served_and_positions_fall() {
        let mut queue = queue(1);
        let first = inside(&mut queue);
        let others = ["ann", "bob", "eve"].map(|person| queue.join(person).unwrap());
        let positions = |queue: &Queue| others.map(|id| queue.position(id));
        assert_eq!(positions(&queue), [Some(1), Some(2), Some(3)]);
        assert!(!queue.let_in(others[0], now()), "the slot is taken");
        queue.leave(first, true, now());
        assert!(!queue.let_in(others[1], now()) && queue.let_in(others[0], now()));
        queue.leave(others[1], false, now());
        assert_eq!(positions(&queue), [None, None, Some(1)], "to leave while one waits is free");
        assert_eq!((queue.waiting(), queue.answering(), queue.stuck_at()), (1, 1, None));
        let again = queue.join_again("ann");
        assert_eq!((queue.position(again), queue.position(others[2])), (Some(1), Some(2)));
    }

    #[test]
    fn as_many_are_let_in_as_there_are_slots() {
        let mut queue = queue(2);
        let ids = [1, 2, 3].map(|_| queue.join("ann").unwrap());
        assert_eq!(ids.map(|id| queue.let_in(id, now())), [true, true, false]);
        queue.clear(now());
        assert!(queue.let_in(ids[2], now()), "a new process has no answers");
        queue.leave(ids[0], false, now());
        assert_eq!(queue.answering(), 1, "whose process is gone holds nothing");
    }

    #[test]
    fn local_queue_max_wait_and_a_person_has_half_of_the_places() {
        let mut queue = queue(1);
        inside(&mut queue);
        let half = LOCAL_QUEUE_MAX / 2;
        let mut join = |person: &str, times: usize| (0..times).filter(|_| queue.join(person).is_ok()).count();
        assert_eq!([join("ann", half - 1), join("ann", 1), join("ann", 1)], [half - 1, 1, 0]);
        assert_eq!([join("bob", half - 1), join("bob", 1), join("eve", 1)], [half - 1, 1, 0]);
        let refused = |queue: &mut Queue, person: &str| queue.join(person).unwrap_err().message;
        assert_eq!(refused(&mut queue, "eve"), "64 answers wait for the local model: try again in 640 seconds");
        let mut queue = self::queue(1);
        assert!((0..half).all(|_| queue.join("ann").is_ok()));
        assert_eq!(
            refused(&mut queue, "ann"),
            "32 answers of yours wait for the local model: try again in 320 seconds"
        );
        assert!(queue.join("bob").is_ok());
    }

    #[test]
    fn how_long_to_wait_is_known_from_the_last_took_max_answers() {
        let mut queue = queue(2);
        let answer = |queue: &mut Queue, seconds: u64| {
            let (id, at) = (queue.join("ann").unwrap(), now());
            assert!(queue.let_in(id, at));
            queue.leave(id, true, at + Duration::from_secs(seconds));
        };
        answer(&mut queue, 1_000);
        (0..TOOK_MAX - 1).for_each(|_| answer(&mut queue, 4));
        assert_eq!(queue.retry_after(2).as_secs(), 128, "so many count");
        answer(&mut queue, 4);
        assert_eq!([1, 2, 3, 64].map(|count| queue.retry_after(count).as_secs()), [4, 4, 8, 128], "and no more");
        (0..TOOK_MAX).for_each(|_| answer(&mut queue, 0));
        assert_eq!(queue.retry_after(9).as_secs(), 1);
        let long = |seconds: u64| {
            let mut queue = self::queue(1);
            answer(&mut queue, seconds);
            queue.retry_after(1)
        };
        let max = RETRY_MAX.as_secs();
        assert_eq!([max - 1, max, max + 1].map(long).map(|wait| wait.as_secs()), [max - 1, max, max]);
    }

    #[test]
    fn who_takes_a_slot_of_a_cut_reply_is_watched_until_it_is_heard() {
        let mut queue = queue(1);
        let cut = inside(&mut queue);
        queue.leave(cut, false, now());
        assert_eq!(queue.stuck_at(), None, "nobody waits for it");
        let (next, at) = (queue.join("bob").unwrap(), now());
        assert!(queue.let_in(next, at));
        assert_eq!(queue.stuck_at(), Some(at + CANCEL_WAIT));
        queue.heard(next);
        assert_eq!(queue.stuck_at(), None);
        queue.leave(next, true, now());
        inside(&mut queue);
        assert_eq!(queue.stuck_at(), None, "a whole reply leaves a free slot");
    }

    #[test]
    fn a_slot_stays_doubtful_until_somebody_is_heard_in_it() {
        let mut queue = queue(2);
        let (cut, stays) = (inside(&mut queue), inside(&mut queue));
        queue.leave(cut, false, now());
        let next = inside(&mut queue);
        assert!(queue.stuck_at().is_some());
        queue.leave(next, false, now());
        queue.leave(stays, true, now());
        inside(&mut queue);
        assert_eq!(queue.stuck_at(), None, "the other slot is free");
        let last = inside(&mut queue);
        assert!(queue.stuck_at().is_some());
        queue.heard(last);
        queue.clear(now());
        assert_eq!(queue.stuck_at(), None);
    }

    #[test]
    fn it_is_known_since_when_nobody_is_here() {
        let start = now();
        let mut queue = Queue::new(1, start);
        assert_eq!(queue.empty_since(), Some(start));
        let id = queue.join("ann").unwrap();
        assert_eq!(queue.empty_since(), None);
        let left = start + CANCEL_WAIT;
        queue.leave(id, false, left);
        queue.leave(id, false, left + CANCEL_WAIT);
        assert_eq!(queue.empty_since(), Some(left));
        inside(&mut queue);
        queue.clear(left);
        assert_eq!(queue.empty_since(), Some(left));
        let waits = queue.join("bob").unwrap();
        queue.refuse_all(left);
        assert_eq!((queue.position(waits), queue.empty_since()), (None, Some(left)));
    }
}
