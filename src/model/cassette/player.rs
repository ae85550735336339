//! An answer as it is played.
//!
//! Rule: the recorded bytes go through the decoder that a provider's go through. Rule: nothing here can ask anybody.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{
    album::Album,
    choose::Match,
    line::{End, Exchange},
    tape::Speed,
};
use crate::model::{Delta, Ending, openai::Decoder};

/// The longest pause within an answer.
pub const REPLAY_GAP_MAX: Duration = Duration::from_secs(5);

/// An answer that is being played. Dropping it ends it.
pub struct Reply {
    album: Arc<Album>,
    /// Which exchange of it.
    at: usize,
    how: Match,
    who: String,
    speed: Speed,
    decoder: Decoder,
    /// The piece that comes next, and when.
    next: usize,
    due: Instant,
}

impl Reply {
    /// An answer whose head has come.
    pub(super) fn new(album: Arc<Album>, at: usize, how: Match, who: String, speed: Speed) -> Reply {
        let decoder = Decoder::in_thoughts(album.exchange(at).in_thoughts);
        let mut reply = Reply { album, at, how, who, speed, decoder, next: 0, due: Instant::now() };
        reply.due += reply.pause();
        reply
    }

    /// How it was found.
    pub fn found(&self) -> Match {
        self.how
    }

    /// Fields of the request that the model was not sent.
    pub fn omitted(&self) -> &[String] {
        &self.exchange().omitted
    }

    /// Waits until something is due and appends it to `deltas`; the ending when the answer is over. A caller may drop the wait and
    /// ask again.
    pub async fn next(&mut self, deltas: &mut Vec<Delta>) -> Option<Ending> {
        let known = deltas.len();
        loop {
            // An answer that is played at once never waits; the other tasks of this worker should not.
            tokio::task::coop::consume_budget().await;
            if self.next == self.exchange().body.len() {
                return Some(self.end(deltas));
            }
            if self.speed != Speed::Instant {
                sleep_until(self.due).await;
            }
            let bytes = self.album.exchange(self.at).body[self.next].1.bytes().unwrap_or_default();
            self.decoder.feed(&bytes, deltas);
            self.next += 1;
            self.due += self.pause();
            if self.decoder.is_done() {
                return Some(self.decoder.finish(deltas));
            }
            if deltas.len() > known {
                return None;
            }
        }
    }

    fn exchange(&self) -> &Exchange {
        self.album.exchange(self.at)
    }

    /// How long the next piece lets wait for itself.
    fn pause(&self) -> Duration {
        let body = &self.exchange().body;
        let at = |n: usize| body.get(n).map(|(at, _)| *at);
        let before = self.next.checked_sub(1).and_then(at).unwrap_or(0);
        let pause = at(self.next).unwrap_or(before).saturating_sub(before);
        self.speed.of(Duration::from_millis(pause).min(REPLAY_GAP_MAX))
    }

    /// Ends an answer as it ended. If all of it had come but the goodbye, nothing is wrong with it.
    fn end(&mut self, deltas: &mut Vec<Delta>) -> Ending {
        let known = deltas.len();
        let ending = self.decoder.finish(deltas);
        let who = &self.who;
        let sentence = match self.exchange().end {
            End::Whole => return ending,
            End::Cut => format!("the connection to {who} broke in the middle of the reply"),
            End::Stopped => "the reply was stopped while it was recorded: the rest of it is not in the cassette".into(),
            End::Failed => format!("{who} sent nothing more: the reply was abandoned"),
        };
        // Ours says more than the decoder's, which only sees that there is no end.
        if let Some(Delta::Fault(fault)) = deltas[known..].iter_mut().find(|delta| matches!(delta, Delta::Fault(_))) {
            *fault = sentence;
        }
        ending
    }
}
