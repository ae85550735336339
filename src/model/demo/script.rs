//! A reply written in advance, and its performance: one word at a time.
//!
//! Rule: only `next` waits. What is said and what it costs is settled before the first word.

use std::{collections::VecDeque, time::Duration};

use crate::model::{Content, Delta, Ending, Finish, Message, Request, ToolCall, Usage};

/// How long a word takes: a little faster than anyone reads.
const WORD_PAUSE_MS: u64 = 20;
/// How long the model seems to gather itself before it begins something.
const BREATH_WORDS: u32 = 5;
/// A common estimate, good enough for a model whose tokens cost nothing.
const TOKEN_BYTES: usize = 4;
const ARGUMENT_FRAGMENT_CHARS: usize = 8;

/// A whole reply, ready to be performed.
#[derive(Debug)]
pub struct Script {
    word_pause: Duration,
    beats: VecDeque<Beat>,
    ending: Ending,
}

#[derive(Debug)]
struct Beat {
    pause_words: u32,
    delta: Delta,
}

impl Script {
    /// The next deltas, when it is time for them; the ending when there are none. A caller may drop the wait and ask again.
    pub async fn next(&mut self, deltas: &mut Vec<Delta>) -> Option<Ending> {
        let Some(beat) = self.beats.front() else { return Some(self.ending.clone()) };
        let pause = self.word_pause * beat.pause_words;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        deltas.extend(self.beats.pop_front().map(|beat| beat.delta));
        while self.beats.front().is_some_and(|beat| (self.word_pause * beat.pause_words).is_zero()) {
            deltas.extend(self.beats.pop_front().map(|beat| beat.delta));
        }
        None
    }

    /// The same reply at another pace. At zero it comes all at once.
    pub fn word_pause(mut self, word_pause: Duration) -> Self {
        self.word_pause = word_pause;
        self
    }

    pub(super) fn new() -> Self {
        Self {
            word_pause: Duration::from_millis(WORD_PAUSE_MS),
            beats: VecDeque::new(),
            ending: Ending::new(Finish::Stop),
        }
    }

    pub(super) fn say(&mut self, text: &str) {
        self.push_words(text, Delta::Text);
    }

    pub(super) fn think(&mut self, text: &str) {
        self.push_words(text, Delta::Reasoning);
    }

    pub(super) fn cite(&mut self, url: &str, title: &str) {
        self.push(1, Delta::Source { url: url.into(), title: Some(title.into()) });
    }

    /// Calls a tool. The reply ends here, unless another call follows.
    pub(super) fn call(&mut self, id: String, name: &str, arguments: &str) {
        self.push(BREATH_WORDS, Delta::ToolStart { id: id.clone(), name: name.into() });
        let chars: Vec<char> = arguments.chars().collect();
        for fragment in chars.chunks(ARGUMENT_FRAGMENT_CHARS) {
            self.push(1, Delta::ToolArguments { id: id.clone(), fragment: fragment.iter().collect() });
        }
        self.ending.finish = Finish::ToolCalls;
        self.ending.calls.push(ToolCall { id, name: name.into(), arguments: arguments.into(), beside: None });
    }

    /// Breaks off, as an upstream does that fails inside a reply.
    pub(super) fn fault(&mut self, sentence: &str) {
        self.push(BREATH_WORDS, Delta::Fault(sentence.into()));
        self.ending.finish = Finish::Error;
    }

    /// Cuts the reply where the request caps it, and counts what is left.
    pub(super) fn seal(mut self, request: &Request) -> Self {
        let bytes_max = request
            .sampling
            .output_tokens_max
            .map_or(usize::MAX, |tokens| (tokens as usize).saturating_mul(TOKEN_BYTES));
        let (mut bytes, mut reasoning_bytes) = (0, 0);
        let mut cut_at = None;
        for (at, Beat { delta, .. }) in self.beats.iter().enumerate() {
            let delta_bytes = spoken_bytes(delta);
            // A call is never cut in two: half of its arguments is of no use to anyone.
            if bytes + delta_bytes > bytes_max && !matches!(delta, Delta::ToolArguments { .. }) {
                cut_at = Some(at);
                break;
            }
            bytes += delta_bytes;
            if matches!(delta, Delta::Reasoning(_)) {
                reasoning_bytes += delta_bytes;
            }
        }
        if let Some(at) = cut_at {
            self.beats.truncate(at);
            self.ending.finish = Finish::Length;
            let beats = &self.beats;
            self.ending.calls.retain(|call| {
                beats.iter().any(|beat| matches!(&beat.delta, Delta::ToolStart { id, .. } if *id == call.id))
            });
        }
        self.ending.usage = Some(Usage {
            input_tokens: tokens(request.messages.iter().map(message_bytes).sum()),
            cache_read_tokens: 0,
            output_tokens: tokens(bytes),
            reasoning_tokens: tokens(reasoning_bytes),
        });
        self
    }

    fn push_words(&mut self, text: &str, delta: fn(String) -> Delta) {
        for (at, word) in text.split_inclusive(char::is_whitespace).enumerate() {
            let pause_words = if at == 0 { BREATH_WORDS } else { 1 };
            self.push(pause_words, delta(word.into()));
        }
    }

    fn push(&mut self, pause_words: u32, delta: Delta) {
        self.beats.push_back(Beat { pause_words, delta });
    }
}

fn tokens(bytes: usize) -> u64 {
    bytes.div_ceil(TOKEN_BYTES) as u64
}

fn spoken_bytes(delta: &Delta) -> usize {
    match delta {
        Delta::Text(text) | Delta::Reasoning(text) => text.len(),
        Delta::ToolStart { name, .. } => name.len(),
        Delta::ToolArguments { fragment, .. } => fragment.len(),
        Delta::Source { .. } | Delta::Fault(_) => 0,
    }
}

fn message_bytes(message: &Message) -> usize {
    match message {
        Message::System(text) => text.len(),
        // A file is not read, so it costs nothing.
        Message::User(content) => {
            content.iter().map(|c| if let Content::Text(text) = c { text.len() } else { 0 }).sum()
        }
        Message::Assistant { text, calls, .. } => text.len() + calls.iter().map(|c| c.arguments.len()).sum::<usize>(),
        Message::Tool { output, .. } => output.len(),
    }
}
