//! One running reply: bytes in, deltas out.

use std::{
    cell::RefCell,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::{endpoint::Endpoint, recorded::head_of, unpack::Unpacker};
use crate::{
    model::{
        Delta, Ending,
        cassette::{End, Recording},
        facts::Lesson,
        known::Known,
        openai::Decoder,
    },
    outbound::{Body, Client, http::Response},
    time::Timestamp,
};

/// One read takes at most this much, some 40 events.
const READ_BYTES: usize = 16 * 1024;
/// What a body may still bring after `[DONE]`, and how long its end may take.
pub(super) const END_BYTES_MAX: usize = 1024;
const END_TIMEOUT: Duration = Duration::from_millis(250);

/// A running reply. Dropping it closes the provider's connection at once.
pub struct Reply {
    who: String,
    authority: String,
    /// None once the reply is over.
    body: Option<Body>,
    is_cut: bool,
    unpacker: Unpacker,
    decoder: Decoder,
    /// What writes it down; dropped with the reply, it was stopped.
    recording: Option<Recording>,
    known: Known,
    /// Fields of the request that the model was not sent.
    omitted: Vec<String>,
    /// Whether anything came that is no fault.
    has_spoken: bool,
    read_at: Instant,
    /// How long nothing may come before the first delta; after it, `idle_timeout`.
    silence_max: Duration,
    idle_timeout: Duration,
    /// Re-armed only when it fires: a timer moved with every token would cost more than the token.
    idle: Pin<Box<Sleep>>,
}

/// What became of one wait.
enum Step {
    Read,
    End,
    /// Why, in a sentence.
    Broken(String, End),
}

impl Reply {
    /// Of a response whose head has come.
    pub(super) fn new(
        endpoint: &Endpoint,
        authority: String,
        known: Known,
        response: Response<Body>,
        omitted: Vec<String>,
        mut recording: Option<Recording>,
        client: &Client,
    ) -> Self {
        let opens_thoughts = known.facts().opens_thoughts(Timestamp::now());
        if let Some(recording) = &mut recording {
            recording.head(head_of(response.status(), response.headers()), &omitted, opens_thoughts);
        }
        Reply {
            who: endpoint.who(),
            authority,
            unpacker: Unpacker::new(response.headers()),
            body: Some(response.into_body()),
            is_cut: false,
            decoder: Decoder::in_thoughts(opens_thoughts),
            recording,
            known,
            omitted,
            has_spoken: false,
            read_at: Instant::now(),
            silence_max: match endpoint.is_local() {
                // A local model reads its prompt before it says a word.
                true => client.head_timeout(),
                false => client.idle_timeout(),
            },
            idle_timeout: client.idle_timeout(),
            idle: Box::pin(sleep(client.idle_timeout())),
        }
    }

    /// Waits until something has arrived and appends it to `deltas`; the ending when the reply is over,
    /// which is the time to drop it.
    pub async fn next(&mut self, deltas: &mut Vec<Delta>) -> Option<Ending> {
        let known = deltas.len();
        let mut ending = self.next_unless_idle(deltas).await;
        if deltas.len() > known {
            self.silence_max = self.idle_timeout;
        }
        self.has_spoken |= deltas[known..].iter().any(|delta| !matches!(delta, Delta::Fault(_)));
        if let Some(ending) = ending.as_mut().filter(|_| self.has_spoken) {
            // What was heard is not asked for again.
            ending.refusal = None;
        }
        if let (Some(_), Some(opens)) = (&ending, self.decoder.opens_thoughts()) {
            self.known.learn(Lesson::OpensThoughts { opens });
        }
        if let Some(field) = ending.as_ref().and_then(|ending| ending.thoughts_field) {
            self.known.learn(Lesson::ThoughtsAt { field: field.name().into() });
        }
        ending
    }

    /// Fields of the request that the model was not sent, since it refuses them.
    pub fn omitted(&self) -> &[String] {
        &self.omitted
    }

    /// Whether its connection broke.
    pub(in crate::model) fn is_cut(&self) -> bool {
        self.is_cut
    }

    async fn next_unless_idle(&mut self, deltas: &mut Vec<Delta>) -> Option<Ending> {
        let known = deltas.len();
        loop {
            // A provider that is faster than us never makes a read wait; the other tasks of this worker should not.
            tokio::task::coop::consume_budget().await;
            match std::future::poll_fn(|cx| self.poll_step(cx, deltas)).await {
                Step::Read if self.decoder.is_done() => {
                    if let Some(body) = self.body.take() {
                        let_end(body);
                    }
                    record_end(&mut self.recording, End::Whole);
                    return Some(self.decoder.finish(deltas));
                }
                Step::Read if deltas.len() == known => continue,
                Step::Read => return None,
                Step::End => {
                    self.body = None;
                    record_end(&mut self.recording, End::Whole);
                    return Some(self.decoder.finish(deltas));
                }
                Step::Broken(sentence, end) => {
                    record_end(&mut self.recording, end);
                    return Some(self.cut(sentence, deltas));
                }
            }
        }
    }

    /// One read, decoded where it lands: a buffer for each worker, not for each reply.
    fn poll_step(&mut self, cx: &mut Context, deltas: &mut Vec<Delta>) -> Poll<Step> {
        thread_local! {
            static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
        }
        let Reply { body: Some(body), unpacker, decoder, recording, .. } = self else { return Poll::Ready(Step::End) };
        let read = BUFFER.with_borrow_mut(|buffer| {
            let read = body.poll_read(cx, buffer);
            if let Poll::Ready(Ok(n)) = read {
                let hear = |bytes: &[u8]| {
                    if let Some(recording) = recording {
                        recording.hears(bytes);
                    }
                    decoder.feed(bytes, deltas);
                };
                let unpacked = match n {
                    0 => unpacker.finish(hear),
                    n => unpacker.feed(&buffer[..n], hear),
                };
                if unpacked.is_err() {
                    record_end(recording, End::Failed);
                    decoder.spoil(deltas);
                }
            }
            read
        });
        match read {
            Poll::Pending => self.poll_idle(cx),
            Poll::Ready(Ok(0)) => Poll::Ready(Step::End),
            Poll::Ready(Ok(_)) => {
                self.read_at = Instant::now();
                Poll::Ready(Step::Read)
            }
            Poll::Ready(Err(error)) => {
                tracing::debug!(authority = self.authority, %error, "a reply broke");
                let sentence = format!("the connection to {} broke in the middle of the reply", self.who);
                Poll::Ready(Step::Broken(sentence, End::Cut))
            }
        }
    }

    fn poll_idle(&mut self, cx: &mut Context) -> Poll<Step> {
        while self.idle.as_mut().poll(cx).is_ready() {
            let deadline = self.read_at + self.silence_max;
            if deadline <= Instant::now() {
                let seconds = self.silence_max.as_secs_f32();
                let sentence = format!("{} sent nothing for {seconds} seconds: the reply was abandoned", self.who);
                return Poll::Ready(Step::Broken(sentence, End::Failed));
            }
            self.idle.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    /// Ends a reply whose body did not end. If all of it had come but the goodbye, nothing is wrong with it.
    pub(in crate::model) fn cut(&mut self, sentence: String, deltas: &mut Vec<Delta>) -> Ending {
        (self.body, self.is_cut) = (None, true);
        let known = deltas.len();
        let ending = self.decoder.finish(deltas);
        // Ours says more than the decoder's, which only sees that there is no end.
        if let Some(Delta::Fault(fault)) = deltas[known..].iter_mut().find(|delta| matches!(delta, Delta::Fault(_))) {
            *fault = sentence;
        }
        ending
    }
}

/// Tells the recorder, if there is one that has not been told.
fn record_end(recording: &mut Option<Recording>, end: End) {
    if let Some(recording) = recording.take() {
        recording.ends(end);
    }
}

/// Reads the end of a body whose reply is over: only a connection that was read to its end goes back to the pool.
pub(super) fn let_end(mut body: Body) {
    let mut end = Box::pin(async move { body.read_up_to(END_BYTES_MAX + 1).await });
    if (&mut end).now_or_never().is_none() {
        // The last chunk often comes a packet later.
        tokio::spawn(timeout(END_TIMEOUT, end));
    }
}
