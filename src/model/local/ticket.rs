//! A place in a local model's process.

use std::sync::Arc;

use tokio::time::{Instant, timeout};

use super::{core::Look, local_model::LocalModel};
use crate::{
    error::{Error, Result},
    model::waiting::OnWaiting,
};

/// How often whoever waits is told so.
const TELL_INTERVAL: std::time::Duration = std::time::Duration::from_millis(500);

/// Tokens of an answer that tells how fast the model writes; the first ones come together.
const SPEED_TOKENS: u64 = 16;

/// A place, first in the queue and then in the process. Dropping it gives it back; if its reply did not end by itself, whoever
/// comes next is watched until the process responds.
pub struct Ticket {
    model: Arc<LocalModel>,
    id: u64,
    person: String,
    /// The process that it was let in to.
    epoch: u64,
    spoke_at: Option<Instant>,
    is_whole: bool,
}

impl LocalModel {
    /// Waits until its process is ready and a slot is free. Dropping the wait gives the place back.
    pub async fn enter(self: &Arc<Self>, person: &str, waiting: OnWaiting<'_>) -> Result<Ticket> {
        let id = self.change(|core| core.join(person, Instant::now()))?;
        Ticket::new(self.clone(), id, person).let_in(waiting).await
    }
}

impl Ticket {
    /// One that waits.
    pub(super) fn new(model: Arc<LocalModel>, id: u64, person: &str) -> Self {
        Ticket { model, id, person: person.to_owned(), epoch: 0, spoke_at: None, is_whole: false }
    }

    /// Waits until it is let in.
    pub(super) async fn let_in(mut self, waiting: OnWaiting<'_>) -> Result<Self> {
        let mut changed = self.model.changes();
        loop {
            changed.borrow_and_update();
            match self.model.look(self.id)? {
                Look::In(epoch) => {
                    self.epoch = epoch;
                    return Ok(self);
                }
                Look::Waits(what) => waiting(what),
            }
            // Told or not, it looks again.
            drop(timeout(TELL_INTERVAL, changed.changed()).await);
        }
    }

    /// The process responds: its head has come.
    pub fn heard(&self) {
        self.model.change(|core| core.queue.heard(self.id));
    }

    /// The first delta has come.
    pub fn spoke(&mut self) {
        self.spoke_at.get_or_insert_with(Instant::now);
    }

    /// The reply has ended by itself, after so many tokens.
    pub fn done(&mut self, output_tokens: Option<u64>) {
        self.is_whole = true;
        if let (Some(tokens @ SPEED_TOKENS..), Some(spoke_at)) = (output_tokens, self.spoke_at) {
            let seconds = spoke_at.elapsed().as_secs_f64();
            // The first token is not part of that time.
            let speed = (tokens - 1) as f64 / seconds;
            if speed.is_finite() {
                self.model.change(|core| core.tokens_per_second = Some(speed));
            }
        }
    }

    /// Waits until its process is gone or told to go, which ends its reply; why.
    pub fn lost(&self) -> impl Future<Output = Error> + Send + use<> {
        let (model, epoch) = (self.model.clone(), self.epoch);
        async move {
            model.until(|core| core.life.answers() != Some(epoch)).await;
            model.look_at(|core| core.farewell())
        }
    }

    /// A place in the next process, before all who wait: this one's has ended without a word. Whom a person has stopped is not
    /// started again by that.
    pub async fn again(self, waiting: OnWaiting<'_>) -> Result<Self> {
        let id = self.model.change(|core| match core.life.rests() {
            true => Err(core.farewell()),
            false => Ok(core.queue.join_again(&self.person)),
        })?;
        let next = Ticket::new(self.model.clone(), id, &self.person);
        drop(self);
        next.let_in(waiting).await
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.model.change(|core| core.queue.leave(self.id, self.is_whole, Instant::now()));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::{fs, path::Path, time::Duration};

    use futures_util::FutureExt;

    use super::*;
    use crate::{
        child::Children,
        model::{
            gguf::sample::Sample,
            local::{
                ended::Ended,
                local_model::Around,
                queue::CANCEL_WAIT,
                settings::{Settings, tests::of},
            },
            upstream::{LOAD_WAIT_MAX, Upstreams},
            waiting::Waiting,
        },
        outbound::{Options, Sockets},
    };

    /// A model whose process nobody starts.
    pub fn model(folder: &Path) -> LocalModel {
        let file = folder.join("m.gguf");
        fs::write(&file, Sample::model().bytes()).unwrap();
        let settings = Settings { file, ..of("m") };
        let around = Around {
            folder: folder.to_owned(),
            children: Arc::new(Children::new(Ok("/no/alm".into()))),
            sockets: Sockets::default(),
            upstreams: Arc::new(Upstreams::new(&Options::default()).unwrap()),
        };
        LocalModel::new(settings, around).unwrap()
    }

    struct House {
        model: Arc<LocalModel>,
        _folder: tempfile::TempDir,
    }

    impl House {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            House { model: Arc::new(model(folder.path())), _folder: folder }
        }

        /// Its process runs and answers.
        fn get_ready(&self) {
            self.model.change(|core| {
                core.life.checked(Ok(()));
                core.life.started();
                core.life.loaded(Instant::now());
            });
        }

        fn dies(&self) {
            self.model.change(|core| {
                core.queue.clear(Instant::now());
                core.life.ended(Ended { reason: "it died".into(), is_for_good: false }, Instant::now());
            });
        }

        /// Somebody who is let in at once.
        fn inside(&self) -> Ticket {
            self.model.enter("ann", &mut |_| ()).now_or_never().unwrap().ok().unwrap()
        }

        /// Somebody who waits, and what it is told.
        fn waits(&self) -> (tokio::task::JoinHandle<Result<Ticket>>, tokio::sync::mpsc::UnboundedReceiver<Waiting>) {
            let (tell, told) = tokio::sync::mpsc::unbounded_channel();
            let model = self.model.clone();
            (tokio::spawn(async move { model.enter("bob", &mut |what| assert!(tell.send(what).is_ok())).await }), told)
        }
    }

    fn sentence(refused: Result<Ticket>) -> String {
        refused.err().unwrap().to_string()
    }

    /// The next position that is another.
    async fn position(told: &mut tokio::sync::mpsc::UnboundedReceiver<Waiting>, before: usize) -> usize {
        loop {
            match told.recv().await.unwrap() {
                Waiting::Queued { position } if position != before => return position,
                _ => {}
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_while_it_loads_waits_and_then_in_the_order_of_coming() {
        let house = House::new();
        let (first, mut told) = house.waits();
        assert!(matches!(told.recv().await, Some(Waiting::Loading { .. })));
        house.get_ready();
        let first = first.await.unwrap().ok().unwrap();
        let (second, mut second_told) = house.waits();
        assert_eq!(position(&mut second_told, 0).await, 1);
        let (third, mut third_told) = house.waits();
        assert_eq!(position(&mut third_told, 0).await, 2);
        second.abort();
        assert_eq!(position(&mut third_told, 2).await, 1, "who goes makes room");
        drop(first);
        let third = third.await.unwrap().ok().unwrap();
        assert_eq!(house.model.status().answering, 1);
        drop(third);
        assert_eq!((house.model.status().answering, house.model.status().queue), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_lost_its_process_is_told_why_and_may_ask_again_before_all_others() {
        let house = House::new();
        house.get_ready();
        let ticket = house.inside();
        let lost = ticket.lost();
        let (other, mut told) = house.waits();
        assert_eq!(position(&mut told, 0).await, 1);
        house.dies();
        assert_eq!(lost.await.to_string(), "it died");
        let again = tokio::spawn(async move { ticket.again(&mut |_| ()).await });
        house.model.until(|core| core.queue.waiting() == 2).await;
        house.get_ready();
        let again = again.await.unwrap().ok().unwrap();
        assert_eq!(house.model.status().queue, 1);
        drop(again);
        assert!(other.await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_that_was_cut_leaves_a_slot_that_is_watched_and_a_whole_one_does_not() {
        let house = House::new();
        house.get_ready();
        drop(house.inside());
        let stuck_at = || house.model.look_at(|core| core.queue.stuck_at());
        let mut next = house.inside();
        assert_eq!(stuck_at(), Some(Instant::now() + CANCEL_WAIT));
        next.heard();
        next.spoke();
        assert_eq!(stuck_at(), None);
        tokio::time::advance(Duration::from_secs(3)).await;
        next.done(Some(31));
        drop(next);
        assert_eq!(house.model.status().tokens_per_second, Some(10.0));
        let mut short = house.inside();
        assert_eq!(stuck_at(), None);
        short.spoke();
        short.done(Some(SPEED_TOKENS - 1));
        assert_eq!(house.model.status().tokens_per_second, Some(10.0), "too short to tell");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_refuses_who_waits_and_the_next_one_starts_it() {
        let house = House::new();
        house.get_ready();
        let ticket = house.inside();
        let (waits, mut told) = house.waits();
        assert_eq!(position(&mut told, 0).await, 1);
        let inside = ticket.lost();
        house.model.stop();
        let stopped = "the local model was stopped: ask again to start it";
        assert_eq!((sentence(waits.await.unwrap()), inside.await.to_string()), (stopped.into(), stopped.into()));
        assert_eq!(sentence(ticket.again(&mut |_| ()).await), stopped);
        house.model.change(|core| core.life.stopped(Instant::now()));
        let (_waits, mut told) = house.waits();
        assert!(matches!(told.recv().await, Some(Waiting::Loading { .. })));
        assert_eq!(house.model.status().state.as_str(), "checking");
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_one_that_failed_or_leaves_is_refused_at_once() {
        let house = House::new();
        house.model.change(|core| core.life.checked(Err("no memory".into())));
        let refused = house.model.enter("ann", &mut |_| ()).await;
        assert_eq!(sentence(refused), "no memory");
        house.model.leave();
        let refused = house.model.enter("ann", &mut |_| ()).await.err().unwrap();
        assert!(matches!(refused, Error::Unavailable { .. }), "{refused}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_one_that_loads_for_ever_is_told_so() {
        let house = House::new();
        let from = Instant::now();
        let refused = sentence(house.model.enter("ann", &mut |_| ()).await);
        assert_eq!(
            (refused, from.elapsed()),
            ("the local model is still loading after 10 minutes".into(), LOAD_WAIT_MAX)
        );
        assert_eq!(house.model.status().queue, 0);
    }
}
