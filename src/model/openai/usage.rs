//! What servers say of a reply's tokens.
//!
//! Rule: of each count the largest that any chunk named is the reply's: a gateway may know the prompt's in one chunk and the
//! reply's in another, and report zero for the other. A part is never larger than its whole.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess};

use super::lenient::{Fields, Number, fields, object};

/// No count goes further, so that sums and prices stay far from overflow.
const TOKENS_MAX: f64 = u32::MAX as f64;

/// The counts of one chunk, or of all so far.
#[derive(Debug, Default)]
pub(super) struct Usage {
    prompt: Number,
    completion: Number,
    total: Number,
    /// The places for it outside the details: Moonshot's, DeepSeek's, Anthropic's.
    cached: Number,
    cache_hit: Number,
    cache_read: Number,
    prompt_details: Details,
    completion_details: Details,
    reasoning: Number,
}

fields! {
    Usage,
    "prompt_tokens" | "input_tokens" => prompt,
    "completion_tokens" | "output_tokens" => completion,
    "total_tokens" => total,
    "cached_tokens" => cached,
    "prompt_cache_hit_tokens" => cache_hit,
    "cache_read_input_tokens" => cache_read,
    "prompt_tokens_details" | "input_tokens_details" => prompt_details,
    "completion_tokens_details" | "output_tokens_details" => completion_details,
    "reasoning_tokens" => reasoning,
}

#[derive(Debug, Default)]
struct Details {
    cached: Number,
    reasoning: Number,
}

fields! { Details, "cached_tokens" => cached, "reasoning_tokens" => reasoning, }

impl Usage {
    /// Takes another chunk's counts in.
    pub fn raise(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.prompt, &other.prompt),
            (&mut self.completion, &other.completion),
            (&mut self.total, &other.total),
            (&mut self.cached, &other.cached),
            (&mut self.cache_hit, &other.cache_hit),
            (&mut self.cache_read, &other.cache_read),
            (&mut self.prompt_details.cached, &other.prompt_details.cached),
            (&mut self.completion_details.reasoning, &other.completion_details.reasoning),
            (&mut self.reasoning, &other.reasoning),
        ] {
            if mine.0.is_none_or(|mine| theirs.0.is_some_and(|theirs| theirs > mine)) {
                *mine = *theirs;
            }
        }
    }

    /// The counts as they are paid; none if neither prompt nor reply was counted.
    pub fn counted(&self) -> Option<crate::model::Usage> {
        self.prompt.0.or(self.completion.0)?;
        let (mut input_tokens, mut output_tokens) = (count(self.prompt), count(self.completion));
        let cached = [self.prompt_details.cached, self.cached, self.cache_hit, self.cache_read];
        let cache_read_tokens = cached.map(count).into_iter().max().unwrap_or_default();
        let reasoning = count(self.completion_details.reasoning).max(count(self.reasoning));
        // What the total has beyond the two was counted apart: reasoning as at xAI, or the cached part of the prompt.
        let apart = count(self.total).saturating_sub(input_tokens + output_tokens);
        if apart > 0 && apart == cache_read_tokens && apart != reasoning {
            input_tokens += apart;
        } else if apart > 0 && apart == reasoning {
            output_tokens += apart;
        }
        Some(crate::model::Usage {
            input_tokens,
            cache_read_tokens: cache_read_tokens.min(input_tokens),
            output_tokens,
            reasoning_tokens: reasoning.min(output_tokens),
        })
    }
}

fn count(tokens: Number) -> u64 {
    tokens.0.unwrap_or(0.0).clamp(0.0, TOKENS_MAX) as u64
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// `[input, cached, output, reasoning]` of what the chunks say.
    fn counted(chunks: &[Value]) -> Option<[u64; 4]> {
        let mut all = Usage::default();
        chunks.iter().for_each(|chunk| all.raise(&serde_json::from_value(chunk.clone()).unwrap()));
        let usage = all.counted()?;
        Some([usage.input_tokens, usage.cache_read_tokens, usage.output_tokens, usage.reasoning_tokens])
    }

    #[test]
    fn of_each_count_the_largest_is_the_replys() {
        let full = json!({"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050});
        for chunks in [
            [
                json!({"prompt_tokens": 1000, "completion_tokens": 0}),
                json!({"prompt_tokens": 0, "completion_tokens": 50}),
            ],
            [json!({"prompt_tokens": 1000}), json!({"completion_tokens": 50})],
            [full.clone(), json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0})],
            [full.clone(), Value::Null],
            [json!({"prompt_tokens": 1000, "completion_tokens": 10}), full],
        ] {
            assert_eq!(counted(&chunks), Some([1000, 0, 50, 0]), "{chunks:?}");
        }
        for nothing in
            [json!({}), Value::Null, json!({"total_tokens": 9}), json!([]), json!("12"), json!({"prompt_tokens": true})]
        {
            assert_eq!(counted(&[nothing]), None);
        }
    }

    #[test]
    fn a_count_is_one_in_every_form_and_within_its_bounds() {
        for (form, expected) in [
            (json!(12), 12),
            (json!("12"), 12),
            (json!(" 12 "), 12),
            (json!(12.0), 12),
            (json!(12.9), 12),
            (json!(-12), 0),
            (json!("-12"), 0),
            (json!(null), 0),
            (json!("many"), 0),
            (json!("inf"), 0),
            (json!({"n": 12}), 0),
            (json!(1e300), u32::MAX.into()),
            (json!(u64::MAX), u32::MAX.into()),
        ] {
            let usage = json!({"prompt_tokens": 1, "completion_tokens": form});
            assert_eq!(counted(&[usage]), Some([1, 0, expected, 0]), "{form}");
        }
    }

    #[test]
    fn no_count_goes_past_its_bound() {
        let max = u64::from(u32::MAX);
        for (said, expected) in [
            (-1.0, 0),
            (0.0, 0),
            (1.9, 1),
            (TOKENS_MAX - 1.0, max - 1),
            (TOKENS_MAX, max),
            (TOKENS_MAX + 1.0, max),
            (f64::INFINITY, max),
        ] {
            let (prompt, completion) = (Number(Some(said)), Number(Some(said)));
            let usage = Usage { prompt, completion, ..Usage::default() }.counted().unwrap();
            assert_eq!((usage.input_tokens, usage.output_tokens), (expected, expected), "{said}");
        }
    }

    #[test]
    fn cached_tokens_are_found_under_each_of_their_names() {
        for cached in [
            json!({"prompt_tokens_details": {"cached_tokens": 4}}),
            json!({"input_tokens_details": {"cached_tokens": "4"}}),
            json!({"cached_tokens": 4}),
            json!({"prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 6}),
            json!({"cache_read_input_tokens": 4, "cache_creation_input_tokens": 0}),
            json!({"cached_tokens": 4, "prompt_tokens_details": {"cached_tokens": 0}}),
        ] {
            let counts = json!({"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11});
            assert_eq!(counted(&[counts, cached.clone()]), Some([10, 4, 1, 0]), "{cached}");
        }
        let anthropic =
            json!({"input_tokens": 6, "output_tokens": 1, "cache_read_input_tokens": 4, "total_tokens": 11});
        assert_eq!(counted(&[anthropic]), Some([10, 4, 1, 0]));
    }

    #[test]
    fn reasoning_that_is_counted_apart_is_output() {
        let usage = |completion: u64, reasoning: u64, total: Option<u64>| {
            let details = json!({"reasoning_tokens": reasoning});
            let usage = json!({"prompt_tokens": 10, "completion_tokens": completion, "completion_tokens_details": details, "total_tokens": total});
            counted(&[usage]).map(|[_, _, output, reasoning]| (output, reasoning))
        };
        assert_eq!(usage(5, 100, Some(115)), Some((105, 100)), "apart, as at xAI");
        assert_eq!(usage(105, 100, Some(115)), Some((105, 100)), "within, as at OpenAI");
        assert_eq!(usage(5, 100, None), Some((5, 5)), "no part is larger than its whole");
        assert_eq!(usage(5, 100, Some(15)), Some((5, 5)), "the total says that it is within");
        assert_eq!(usage(0, 100, Some(110)), Some((100, 100)));
        assert_eq!(usage(5, 2, Some(900)), Some((5, 2)), "a total that says something else says nothing");
    }
}
