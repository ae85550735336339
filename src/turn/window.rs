//! How much a model can read and say at a time.
//!
//! Rule: plain values. What its owner told counts, unless a refusal has shown that less is true; nothing is known of a window
//! that nobody told, read or learned.

use super::history::{self, OUTPUT_BYTES_MIN, Room};
use crate::{
    catalog::WindowSource,
    model::{
        ToolSpec, Usage,
        facts::{BYTES_PER_TOKEN, Facts},
    },
    time::Timestamp,
};

/// Tokens of a window that are kept for the reply unless the agent says otherwise, and at most this share of it.
const REPLY_TOKENS_DEFAULT: u64 = 1_024;
const REPLY_SHARE: u64 = 4;
/// Tokens a reply may have unless its agent says otherwise, and at most this share of the window: a small model that finds no
/// end would fill all of it.
pub(super) const OUTPUT_TOKENS_DEFAULT: u32 = 16_384;
const OUTPUT_SHARE: u32 = 2;
/// A prompt of fewer tokens is mostly the template's, and says nothing about bytes per token.
const MEASURED_TOKENS_MIN: u64 = 256;

/// What is known of a model's window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Window {
    /// Tokens of prompt and reply together; absent: unknown.
    pub tokens: Option<u32>,
    /// Bytes of text that a token takes.
    pub bytes_per_token: f64,
}

impl Window {
    /// Of a model whose list entry says `listed`.
    pub fn new(listed: Option<(u32, WindowSource)>, facts: &Facts, now: Timestamp) -> Self {
        let learned = facts.context_window(now).filter(|(_, source)| *source == WindowSource::Learned);
        let known = [listed, learned].into_iter().flatten().map(|(tokens, _)| tokens);
        let bytes_per_token = facts.bytes_per_token(now).unwrap_or(history::TOKEN_BYTES as f64);
        Window { tokens: known.min(), bytes_per_token }
    }

    /// The room of a prompt's messages beside its tools and a reply of at most `reply_tokens`.
    pub fn room(&self, reply_tokens: Option<u32>, tools: &[ToolSpec]) -> Option<Room> {
        let window = u64::from(self.tokens?);
        let reply = reply_tokens.map_or(REPLY_TOKENS_DEFAULT, u64::from).min(window / REPLY_SHARE);
        let tools = history::tokens_of_tools(tools, self.bytes_per_token);
        Some(Room {
            tokens: window.saturating_sub(reply + tools),
            bytes_per_token: self.bytes_per_token,
            output_bytes: self.output_bytes(),
        })
    }

    /// Bytes of one tool's output that a prompt holds: as many as the window has tokens, which is some quarter of it.
    pub fn output_bytes(&self) -> usize {
        self.tokens.map_or(usize::MAX, |window| (window as usize).max(OUTPUT_BYTES_MIN))
    }

    /// The cap of a reply that nobody capped.
    pub fn output_tokens(&self) -> u32 {
        self.tokens.map_or(OUTPUT_TOKENS_DEFAULT, |window| (window / OUTPUT_SHARE).clamp(1, OUTPUT_TOKENS_DEFAULT))
    }

    /// What of a cap there is room for beside a prompt: some servers refuse a sum that is larger than the window.
    pub fn beside(&self, prompt_tokens: u64, cap: u32) -> u32 {
        let Some(window) = self.tokens else { return cap };
        let left = u64::from(window).saturating_sub(prompt_tokens).max(u64::from(window) / REPLY_SHARE);
        cap.min(u32::try_from(left).unwrap_or(u32::MAX)).max(1)
    }

    /// How many bytes of `text_bytes` went into a token, if that can be told.
    pub fn measure(text_bytes: Option<u64>, prompt_tokens: u64) -> Option<f64> {
        (prompt_tokens >= MEASURED_TOKENS_MIN).then_some(text_bytes? as f64 / prompt_tokens as f64)
    }

    /// Whether a server that reports this has read only a part of the prompt, without a word.
    pub fn was_cut(&self, text_bytes: Option<u64>, usage: &Usage) -> bool {
        let Some(window) = self.tokens.map(u64::from) else { return false };
        let at_least = text_bytes.map_or(0.0, |bytes| bytes as f64 / BYTES_PER_TOKEN.end());
        usage.input_tokens == window || (usage.input_tokens > 0 && at_least > window as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::facts::Lesson;

    fn window(tokens: impl Into<Option<u32>>) -> Window {
        Window { tokens: tokens.into(), bytes_per_token: 4.0 }
    }

    #[test]
    fn what_was_told_counts_until_a_refusal_says_less() {
        let now = Timestamp::now();
        let mut facts = Facts::default();
        let told = |tokens| Some((tokens, WindowSource::Told));
        assert_eq!(Window::new(None, &facts, now), window(None));
        assert_eq!(Window::new(told(4_096), &facts, now), window(4_096));
        facts.learn(Lesson::Window { tokens: 2_048 }, now);
        facts.learn(Lesson::BytesPerToken { bytes: 2.0 }, now);
        assert_eq!(Window::new(told(4_096), &facts, now), Window { tokens: Some(2_048), bytes_per_token: 2.0 });
        assert_eq!(Window::new(told(1_024), &facts, now).tokens, Some(1_024));
    }

    #[test]
    fn a_small_window_keeps_three_quarters_for_the_conversation() {
        let room = |tokens: u32, reply| window(tokens).room(reply, &[]).map(|room| room.tokens);
        for (tokens, expected) in [(1_024, 768), (4_095, 4_095 - 1_023), (4_096, 3_072), (8_192, 8_192 - 1_024)] {
            assert_eq!(room(tokens, None), Some(expected), "{tokens}");
        }
        assert_eq!([room(8_192, Some(100)), room(8_192, Some(8_000))], [Some(8_092), Some(6_144)]);
        assert_eq!(window(None).room(None, &[]), None);
    }

    #[test]
    fn every_reply_has_a_cap_that_the_window_holds() {
        let caps = [None, Some(2 * 16_383), Some(2 * 16_384), Some(2 * 16_385), Some(1)];
        assert_eq!(caps.map(|tokens| window(tokens).output_tokens()), [16_384, 16_383, 16_384, 16_384, 1]);
        assert_eq!([700, 701, 2_000].map(|cap| window(1_000).beside(300, cap)), [700, 700, 700]);
        assert_eq!([window(1_000).beside(900, 700), window(None).beside(900, 700)], [250, 700]);
    }

    #[test]
    fn an_output_takes_a_quarter_of_the_window_at_most() {
        let bytes = [Some(1_023), Some(1_024), Some(1_025), None].map(|tokens| window(tokens).output_bytes());
        assert_eq!(bytes, [OUTPUT_BYTES_MIN, OUTPUT_BYTES_MIN, 1_025, usize::MAX]);
    }

    #[test]
    fn only_a_prompt_of_some_length_is_measured() {
        let measure = |tokens| Window::measure(Some(1_024), tokens);
        assert_eq!(
            [measure(MEASURED_TOKENS_MIN - 1), measure(MEASURED_TOKENS_MIN), measure(512)],
            [None, Some(4.0), Some(2.0)]
        );
        assert_eq!(Window::measure(None, 512), None);
    }

    #[test]
    fn a_prompt_that_was_cut_without_a_word_is_noticed() {
        let cut =
            |bytes: u64, input_tokens| window(1_000).was_cut(Some(bytes), &Usage { input_tokens, ..Usage::default() });
        assert_eq!([cut(4_000, 999), cut(4_000, 1_000), cut(4_000, 1_001)], [false, true, false]);
        // A window's worth is believed up to so many bytes for each token.
        let most = 1_000 * *BYTES_PER_TOKEN.end() as u64;
        assert_eq!([most - 1, most, most + 1].map(|bytes| cut(bytes, 500)), [false, false, true]);
        assert!(!cut(most + 1, 0));
    }
}
