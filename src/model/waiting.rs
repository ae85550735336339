//! What a request waits for before its reply begins.

use std::time::Duration;

/// After this it is news again that a model is still loading.
const LOADING_INTERVAL: Duration = Duration::from_secs(2);

/// Why there is no reply as yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// The model is being loaded.
    Loading {
        /// For that long.
        since: Duration,
    },
    /// Others are answered first.
    Queued {
        /// Its place, from 1.
        position: usize,
    },
}

/// Told, again and again, what is waited for.
pub type OnWaiting<'a> = &'a mut (dyn FnMut(Waiting) + Send);

impl Waiting {
    /// Whether whoever was told of `told` last wants to know this too.
    pub fn is_news_after(self, told: Option<Waiting>) -> bool {
        match (told, self) {
            (Some(Waiting::Loading { since: told }), Waiting::Loading { since }) => {
                since.abs_diff(told) >= LOADING_INTERVAL
            }
            (told, waiting) => told != Some(waiting),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_news_and_so_is_a_wait_that_goes_on() {
        let (loading, queued) = (|since| Waiting::Loading { since }, |position| Waiting::Queued { position });
        let (began, ms) = (Duration::from_secs(9), Duration::from_millis(1));
        for (told, waiting, is_news) in [
            (None, loading(Duration::ZERO), true),
            (None, queued(1), true),
            (Some(queued(2)), queued(2), false),
            (Some(queued(2)), queued(1), true),
            (Some(queued(1)), loading(Duration::ZERO), true),
            (Some(loading(began)), queued(1), true),
            (Some(loading(began)), loading(began + LOADING_INTERVAL - ms), false),
            (Some(loading(began)), loading(began + LOADING_INTERVAL), true),
            (Some(loading(began)), loading(began + LOADING_INTERVAL + ms), true),
            (Some(loading(began)), loading(Duration::ZERO), true),
        ] {
            assert_eq!(waiting.is_news_after(told), is_news, "{told:?} {waiting:?}");
        }
    }
}
