//! The answer to a call as server-sent events: news of how far it is, comments while there are none, then the result.
//!
//! Rule: dropping the stream drops the wait, and not the turn that is waited for.

use std::{
    pin::Pin,
    sync::Mutex,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::stream;
use poem::Body;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    time::sleep,
};

use crate::http::state::readers::Reader;

/// Silence after which a client gets a comment, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Between two news of one call.
const NEWS_INTERVAL: Duration = Duration::from_secs(1);
/// News that wait for a client that reads slowly; past it they are left out, for the next one says more.
const NEWS_MAX: usize = 4;

/// Where news of a call are put.
#[derive(Debug)]
pub struct Notes {
    sender: Sender<Value>,
    last: Mutex<Option<Instant>>,
}

impl Notes {
    /// A place for them, and who takes them from there.
    pub fn new() -> (Self, Receiver<Value>) {
        let (sender, receiver) = mpsc::channel(NEWS_MAX);
        (Notes { sender, last: Mutex::default() }, receiver)
    }

    /// That an answer has so many characters, unless that was said just now.
    pub fn progress(&self, token: &Value, session_id: &str, chars: usize) {
        let mut last = self.last.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if last.is_some_and(|last| last.elapsed() < NEWS_INTERVAL) {
            return;
        }
        let message = format!("session {session_id}: {chars} characters");
        let params = json!({ "progressToken": token, "progress": chars, "message": message });
        let note = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params });
        if self.sender.try_send(note).is_ok() {
            *last = Some(Instant::now());
        }
    }
}

/// What an answer is still waiting for.
struct Waiting {
    work: Pin<Box<dyn Future<Output = Value> + Send>>,
    news: Receiver<Value>,
    /// The stream ends with its key.
    reader: Option<Reader>,
    opened: bool,
}

/// The events of a call: `work` makes the last one.
pub fn events(
    work: impl Future<Output = Value> + Send + 'static,
    news: Receiver<Value>,
    reader: Option<Reader>,
) -> Body {
    let waiting = Waiting { work: Box::pin(work), news, reader, opened: false };
    let stream = stream::unfold(Some(waiting), async |waiting| {
        let (bytes, rest) = waiting?.next().await?;
        Some((Ok::<_, std::io::Error>(bytes), rest))
    });
    Body::from_bytes_stream(stream)
}

impl Waiting {
    async fn next(mut self) -> Option<(Bytes, Option<Self>)> {
        if !self.opened {
            // A comment first: it carries the response head through proxies before anything is there.
            self.opened = true;
            return Some((Bytes::from_static(b": stream-open\n\n"), Some(self)));
        }
        tokio::select! {
            biased;
            Some(note) = self.news.recv() => Some((event(&note), Some(self))),
            answer = &mut self.work => Some((self.last(&answer), None)),
            () = revoked(&mut self.reader) => None,
            () = sleep(KEEP_ALIVE) => Some((Bytes::from_static(b": keep-alive\n\n"), Some(self))),
        }
    }

    /// The answer, behind the news that came with it.
    fn last(&mut self, answer: &Value) -> Bytes {
        let news = std::iter::from_fn(|| self.news.try_recv().ok()).map(|note| event(&note));
        news.chain([event(answer)]).collect::<Vec<_>>().concat().into()
    }
}

async fn revoked(reader: &mut Option<Reader>) {
    match reader {
        Some(reader) => reader.ended().await,
        None => std::future::pending().await,
    }
}

/// A message as one event. JSON has no line break outside its texts, and none inside them.
pub fn event(message: &Value) -> Bytes {
    format!("event: message\ndata: {message}\n\n").into()
}

#[cfg(test)]
mod tests {
    use futures_util::{Stream, StreamExt};
    use tokio::time::Instant as Clock;

    use super::*;

    fn read(
        work: impl Future<Output = Value> + Send + 'static,
        news: Receiver<Value>,
    ) -> impl Stream<Item = String> + Unpin {
        let body = events(work, news, None).into_bytes_stream();
        Box::pin(body.map(|piece| String::from_utf8(piece.unwrap().to_vec()).unwrap()))
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_filled_until_the_answer_comes() {
        let (_notes, news) = Notes::new();
        let begun = Clock::now();
        let work = async {
            sleep(2 * KEEP_ALIVE + Duration::from_secs(1)).await;
            json!({ "id": 1 })
        };
        let all: Vec<_> = read(work, news).collect().await;
        let last = "event: message\ndata: {\"id\":1}\n\n";
        assert_eq!(all, [": stream-open\n\n", ": keep-alive\n\n", ": keep-alive\n\n", last]);
        assert_eq!(begun.elapsed(), 2 * KEEP_ALIVE + Duration::from_secs(1));
    }

    #[tokio::test]
    async fn news_come_before_the_answer_and_not_too_often() {
        let (notes, news) = Notes::new();
        let token = json!("t");
        (1..=3).for_each(|chars| notes.progress(&token, "s1", chars));
        let all: Vec<_> = read(async { json!({}) }, news).skip(1).collect().await;
        assert_eq!(all.len(), 2, "three within a moment are one: {all:?}");
        assert!(all[0].contains(r#""progress":1,"message":"session s1: 1 characters""#), "{}", all[0]);
    }

    #[tokio::test]
    async fn news_of_an_answer_that_is_there_at_once_come_before_it() {
        let (notes, news) = Notes::new();
        let work = async move {
            notes.progress(&json!("t"), "s1", 0);
            json!({ "id": 1 })
        };
        let all: String = read(work, news).skip(1).collect().await;
        assert_eq!(all.matches("event: message").count(), 2, "{all}");
        assert!(all.find("session s1").unwrap() < all.find(r#""id":1"#).unwrap(), "{all}");
    }

    #[test]
    fn news_past_the_bound_are_left_out() {
        for (sent, kept) in [(NEWS_MAX - 1, NEWS_MAX - 1), (NEWS_MAX, NEWS_MAX), (NEWS_MAX + 1, NEWS_MAX)] {
            let (notes, news) = Notes::new();
            for chars in 0..sent {
                notes.last.lock().unwrap().take();
                notes.progress(&json!(1), "s", chars);
            }
            assert_eq!(news.len(), kept);
        }
    }
}
