//! From the runtime to work that may take its time: searches, exports, aggregates, long pages; passwords; and large bodies.
//!
//! Rule: a read that touches a bounded number of rows by an index runs where it is called, because the way to another
//! thread and back costs more than the read. What may scan comes through here, and only so many at once.

use std::time::Duration;

use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use crate::error::{Error, Result};

/// Scans at once. They are bound by the processor and by the disk, so more would only make all of them late.
const SCANS_MAX: usize = 8;
/// How long work waits for its turn.
const WORK_WAIT: Duration = Duration::from_secs(5);
/// How long a caller waits after that.
const WORK_RETRY: Duration = Duration::from_secs(2);

/// Passwords hashed at once, of 19 MiB each.
const HASHES_MAX: usize = 4;

/// Large bodies decoded, and large answers written, at once.
const LARGE_BODIES_MAX: usize = 4;

/// The places for one kind of work.
pub struct Bridge {
    places: Semaphore,
    /// The refusal of a caller whose turn did not come.
    busy: &'static str,
}

impl Bridge {
    /// For what reads much.
    pub fn for_scans() -> Self {
        Bridge { places: Semaphore::new(SCANS_MAX), busy: "too many searches at once: try again shortly" }
    }

    /// For what hashes passwords.
    pub fn for_passwords() -> Self {
        Bridge { places: Semaphore::new(HASHES_MAX), busy: "too many sign-ins at once: try again shortly" }
    }

    /// For what decodes large bodies, and writes large answers.
    pub fn for_what_is_large() -> Self {
        Bridge { places: Semaphore::new(LARGE_BODIES_MAX), busy: "too many large requests at once: try again shortly" }
    }

    /// Runs `work` on a thread of its own once there is a place for it.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let busy = || Error::Unavailable { message: self.busy.into(), retry_after: WORK_RETRY };
        let _place = timeout(WORK_WAIT, self.places.acquire()).await.map_err(|_| busy())?.map_err(Error::internal)?;
        spawn_blocking(work).await.map_err(Error::internal)?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use tokio::{task::yield_now, time::advance};

    use super::*;

    /// Whether one more finds a place at once while so many work, and whether it is refused after the wait.
    async fn one_more(bridge: Bridge, working: usize) -> (bool, bool) {
        let bridge = Arc::new(bridge);
        let works = (0..working).map(|_| {
            let (release, held) = mpsc::channel::<()>();
            let (bridge, work) = (bridge.clone(), move || held.recv().map_err(Error::internal));
            (release, tokio::spawn(async move { bridge.run(work).await }))
        });
        let works: Vec<_> = works.collect();
        yield_now().await;
        let has_place = bridge.places.available_permits() > 0;
        let another = tokio::spawn(async move { bridge.run(|| Ok(())).await });
        yield_now().await;
        advance(WORK_WAIT - Duration::from_millis(1)).await;
        yield_now().await;
        let waits = !has_place && !another.is_finished();
        advance(Duration::from_millis(1)).await;
        let refused = matches!(another.await.unwrap(), Err(Error::Unavailable { retry_after: WORK_RETRY, .. }));
        for (release, work) in works {
            release.send(()).unwrap();
            work.await.unwrap().unwrap();
        }
        assert_eq!(waits, refused);
        (has_place, refused)
    }

    #[tokio::test(start_paused = true)]
    async fn work_past_the_bound_waits_for_a_place_and_not_for_ever() {
        for (make, places) in [
            (Bridge::for_scans as fn() -> Bridge, SCANS_MAX),
            (Bridge::for_passwords, HASHES_MAX),
            (Bridge::for_what_is_large, LARGE_BODIES_MAX),
        ] {
            for (working, is_free) in [(places - 1, true), (places, false)] {
                assert_eq!(one_more(make(), working).await, (is_free, !is_free), "{working}");
            }
        }
    }
}
