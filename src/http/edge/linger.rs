//! Reads the rest of a refused body and discards it: what nginx calls a lingering close.
//!
//! Rule: a refusal reaches the client. A connection that is closed while its client still writes is reset, and the client
//! sees a network failure instead of a 401 or a 413. What is read here is bounded and not kept.
//! Deliberately absent: clients that ask first (`Expect: 100-continue`). They send no body that is not wanted.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use poem::{
    Body, Request,
    http::{Version, header},
};
use tokio::{runtime::Handle, time::timeout};

/// What is thrown away of one body: more than the largest that is ever wanted.
const LEFT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long that may take.
const LEFT_TIMEOUT: Duration = Duration::from_secs(5);

type Bodies = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// Makes the body of `request` one that is read to its end by somebody.
pub fn linger(request: &mut Request) {
    // HTTP/2 ends one stream and keeps the connection.
    if request.version() > Version::HTTP_11 || request.headers().contains_key(header::EXPECT) {
        return;
    }
    let headers = request.headers();
    if headers.contains_key(header::CONTENT_LENGTH) || headers.contains_key(header::TRANSFER_ENCODING) {
        let body = request.take_body().into_bytes_stream();
        request.set_body(Body::from_bytes_stream(Lingering { left: Some(Box::pin(body)) }));
    }
}

/// A body, as long as there is more of it.
struct Lingering {
    left: Option<Bodies>,
}

impl Stream for Lingering {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(left) = &mut self.left else { return Poll::Ready(None) };
        let next = ready!(left.as_mut().poll_next(context));
        if !matches!(next, Some(Ok(_))) {
            self.left = None;
        }
        Poll::Ready(next)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if let (Some(left), Ok(runtime)) = (self.left.take(), Handle::try_current()) {
            runtime.spawn(timeout(LEFT_TIMEOUT, throw_away(left)));
        }
    }
}

async fn throw_away(mut left: Bodies) {
    let mut bytes = 0;
    while let Some(Ok(piece)) = left.next().await {
        bytes += piece.len();
        if bytes > LEFT_BYTES_MAX {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use futures_util::stream;
    use tokio::sync::mpsc;

    use super::*;

    const PIECE_BYTES: usize = 64 * 1024;

    /// A body of so many pieces, and how many of them were read.
    fn body(pieces: usize) -> (Bodies, Arc<AtomicUsize>) {
        let read = Arc::new(AtomicUsize::new(0));
        let count = read.clone();
        let pieces = stream::iter((0..pieces).map(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(Bytes::from_static(&[0; PIECE_BYTES]))
        }));
        (Box::pin(pieces), read)
    }

    /// A body that never comes, and what knows whether somebody still waits for it.
    fn silent_body() -> (mpsc::Sender<()>, Bodies) {
        let (sender, receiver) = mpsc::channel::<()>(1);
        let pieces =
            stream::unfold(receiver, async |mut receiver| receiver.recv().await.map(|()| (Ok(Bytes::new()), receiver)));
        (sender, Box::pin(pieces))
    }

    #[tokio::test]
    async fn what_nobody_reads_is_read_to_its_end_or_a_bound() {
        let (left, read) = body(3);
        let mut lingering = Lingering { left: Some(left) };
        assert!(lingering.next().await.is_some());
        drop(lingering);
        while read.load(Ordering::Relaxed) < 3 {
            tokio::task::yield_now().await;
        }
        // The piece that goes past the bound is the last.
        let max = LEFT_BYTES_MAX / PIECE_BYTES;
        for (pieces, taken) in [(max - 1, max - 1), (max, max), (max + 1, max + 1), (max + 2, max + 1)] {
            let (left, read) = body(pieces);
            throw_away(left).await;
            assert_eq!(read.load(Ordering::Relaxed), taken);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_that_does_not_come_is_waited_for_so_long() {
        let (sender, left) = silent_body();
        drop(Lingering { left: Some(left) });
        tokio::time::sleep(LEFT_TIMEOUT - Duration::from_millis(1)).await;
        assert!(!sender.is_closed());
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert!(sender.is_closed());
    }
}
