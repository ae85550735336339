//! What a turn may cost, and what it did cost.
//!
//! Rule: before each model call the balance holds its prompt and its longest reply; where it cannot, the reply's cap
//! shrinks to what it can pay. Free models pass through here without an amount.

use serde_json::{Value, json};

use super::history;
use crate::{model::Usage, money::Pricing, store::turns::Hold};

/// Tokens below which a reply is not worth its prompt.
const OUTPUT_TOKENS_MIN: u64 = 16;

/// The running bill of one turn. Amounts are microcents.
#[derive(Debug, Clone)]
pub struct Bill {
    /// Absent: the model is free.
    pricing: Option<Pricing>,
    /// The usual cap on a reply, in tokens.
    output_tokens_max: u32,
    held: i64,
    spent: i64,
    usage: Usage,
    /// Whether some of the usage is our own count.
    estimated: bool,
    /// Whether the upstream reported any.
    reported: bool,
    /// What tools cost, of what was spent.
    tools: i64,
}

impl Bill {
    /// An empty bill of replies that may have `output_tokens_max` tokens.
    pub fn new(pricing: Option<Pricing>, output_tokens_max: u32) -> Self {
        Bill {
            pricing: pricing.filter(|pricing| !pricing.is_free()),
            output_tokens_max,
            held: 0,
            spent: 0,
            usage: Usage::default(),
            estimated: false,
            reported: false,
            tools: 0,
        }
    }

    /// What a call with that prompt needs beyond what is held; `None` if nothing.
    pub fn hold_for(&self, prompt_tokens: u64) -> Option<Hold> {
        let pricing = self.pricing?;
        let left = self.held - self.spent;
        let prompt = pricing.input.of(prompt_tokens);
        let cost = |output: u64| prompt.saturating_add(pricing.output.of(output)) - left;
        let usual = u64::from(self.output_tokens_max);
        let hold = Hold { at_least: cost(OUTPUT_TOKENS_MIN.min(usual)).max(0), at_most: cost(usual) };
        (hold.at_most > 0).then_some(hold)
    }

    /// What tools of that price need beyond what is held; `None` if nothing.
    pub fn hold_for_tools(&self, price: i64) -> Option<Hold> {
        let lacks = price.saturating_sub(self.held - self.spent);
        (lacks > 0).then_some(Hold { at_least: lacks, at_most: lacks })
    }

    /// Adds the price of calls that are written down: whatever comes of them, they cost it.
    pub fn add_tools(&mut self, price: i64) {
        self.spent = self.spent.saturating_add(price);
        self.tools = self.tools.saturating_add(price);
    }

    /// What tools cost so far.
    pub fn tools(&self) -> i64 {
        self.tools
    }

    /// Notes that more is held.
    pub fn add_hold(&mut self, held: i64) {
        self.held += held;
    }

    /// The cap of the next reply, in tokens.
    pub fn output_cap(&self, prompt_tokens: u64) -> u32 {
        let Some(pricing) = self.pricing else { return self.output_tokens_max };
        let left = self.held - self.spent - pricing.input.of(prompt_tokens);
        u32::try_from(pricing.output.tokens_for(left)).unwrap_or(u32::MAX).clamp(1, self.output_tokens_max.max(1))
    }

    /// Adds what a call used; where the upstream counted nothing, what it is taken for. A prompt is never of no tokens, nor are words.
    pub fn add(&mut self, reported: Option<Usage>, prompt_tokens: u64, said: &str) {
        let mut usage = reported.unwrap_or_default();
        let counts =
            [(&mut usage.input_tokens, prompt_tokens), (&mut usage.output_tokens, history::tokens_of_text(said))];
        for (count, estimate) in counts {
            if *count == 0 && (estimate > 0 || reported.is_none()) {
                *count = estimate;
                self.estimated = true;
            }
        }
        self.reported |= reported.is_some();
        self.usage += usage;
        if let Some(pricing) = self.pricing {
            let cost = pricing.cost(usage.input_tokens, usage.cache_read_tokens, usage.output_tokens);
            self.spent = self.spent.saturating_add(cost);
        }
    }

    /// What the turn is charged: its cost, but never more than was held for it.
    pub fn charge(&self) -> i64 {
        self.spent.min(self.held)
    }

    /// What it used, estimates included.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// What upstreams reported; `None` if they reported nothing.
    pub fn reported_usage(&self) -> Option<Usage> {
        self.reported.then_some(self.usage)
    }

    /// Whether some of it is our own count.
    pub fn is_estimated(&self) -> bool {
        self.estimated
    }
}

/// Usage in the shape of the AI SDK's `LanguageModelUsage`.
pub fn usage_json(usage: &Usage) -> Value {
    json!({
        "inputTokens": usage.input_tokens,
        "inputTokenDetails": {
            "noCacheTokens": usage.input_tokens.saturating_sub(usage.cache_read_tokens),
            "cacheReadTokens": usage.cache_read_tokens,
        },
        "outputTokens": usage.output_tokens,
        "outputTokenDetails": {
            "textTokens": usage.output_tokens.saturating_sub(usage.reasoning_tokens),
            "reasoningTokens": usage.reasoning_tokens,
        },
        "totalTokens": usage.input_tokens.saturating_add(usage.output_tokens),
    })
}

/// Usage as [`usage_json`] says it; what it does not say is none.
pub fn usage_of(json: &Value) -> Usage {
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    Usage {
        input_tokens: count(&json["inputTokens"]),
        cache_read_tokens: count(&json["inputTokenDetails"]["cacheReadTokens"]),
        output_tokens: count(&json["outputTokens"]),
        reasoning_tokens: count(&json["outputTokenDetails"]["reasoningTokens"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_as_it_was_written() {
        let usage = Usage { input_tokens: 7, cache_read_tokens: 3, output_tokens: 5, reasoning_tokens: 2 };
        assert_eq!(usage_of(&usage_json(&usage)), usage);
        assert_eq!(usage_of(&Value::Null), Usage::default());
    }

    /// Tokens of a reply that nobody capped.
    const CAP: u32 = 4_096;

    fn paid() -> Pricing {
        Pricing { input: "1".parse().unwrap(), output: "2".parse().unwrap(), cached_input: None }
    }

    #[test]
    fn the_cap_shrinks_to_what_is_held() {
        let mut bill = Bill::new(Some(paid()), CAP);
        let hold = bill.hold_for(100).unwrap();
        assert_eq!((hold.at_least, hold.at_most), (132, 100 + 2 * 4_096));
        bill.add_hold(300);
        assert_eq!(bill.output_cap(100), 100);
        bill.add(Some(Usage { input_tokens: 100, output_tokens: 50, ..Usage::default() }), 0, "");
        assert_eq!(bill.charge(), 200);
        assert_eq!(bill.hold_for(10).unwrap().at_least, 0, "what is left is used first");
    }

    #[test]
    fn a_free_model_holds_nothing_and_keeps_the_agents_cap() {
        let mut bill = Bill::new(Some(Pricing::default()), 7);
        assert!(bill.hold_for(1_000_000).is_none());
        assert_eq!(bill.output_cap(1), 7);
        bill.add(None, 10, "12345678");
        assert_eq!((bill.charge(), bill.usage().output_tokens, bill.reported_usage()), (0, 2, None));
        assert!(bill.is_estimated());
    }

    #[test]
    fn words_that_were_reported_as_no_tokens_are_estimated() {
        for (input, output, said, expected, estimated) in [
            (100, 50, "12345678", (100, 50), false),
            (100, 0, "12345678", (100, 2), true),
            (0, 50, "12345678", (10, 50), true),
            (0, 0, "12345678", (10, 2), true),
            (100, 0, "", (100, 0), false),
        ] {
            let mut bill = Bill::new(Some(paid()), CAP);
            bill.add_hold(1_000);
            bill.add(Some(Usage { input_tokens: input, output_tokens: output, ..Usage::default() }), 10, said);
            let usage = bill.reported_usage().unwrap();
            assert_eq!((usage.input_tokens, usage.output_tokens), expected);
            assert_eq!((bill.is_estimated(), bill.charge()), (estimated, expected.0 as i64 + 2 * expected.1 as i64));
        }
        let mut bill = Bill::new(None, CAP);
        bill.add(None, 0, "");
        assert!(bill.is_estimated());
    }

    #[test]
    fn a_replys_cap_is_what_is_left_after_the_prompt_and_never_above_the_agents() {
        // A prompt of 100 costs 100, and each token of a reply 2; a reply is asked for even where nothing is left.
        let cap = |own: u32, held: i64| {
            let mut bill = Bill::new(Some(paid()), own);
            bill.add_hold(held);
            bill.output_cap(100)
        };
        for (held, expected) in [(0, 1), (101, 1), (102, 1), (103, 1), (104, 2), (106, 3)] {
            assert_eq!(cap(CAP, held), expected, "{held} held");
        }
        for (tokens, expected) in [(4_095, 4_095), (4_096, 4_096), (4_097, 4_096)] {
            assert_eq!(cap(CAP, 100 + 2 * tokens), expected, "{tokens} tokens");
        }
        for (tokens, expected) in [(49, 49), (50, 50), (51, 50)] {
            assert_eq!(cap(50, 100 + 2 * tokens), expected, "{tokens} tokens");
        }
        assert_eq!(cap(u32::MAX, i64::MAX), u32::MAX);
    }

    #[test]
    fn what_was_spent_shrinks_the_cap_and_the_charge_stays_below_what_is_held() {
        let mut bill = Bill::new(Some(paid()), CAP);
        bill.add_hold(1_000);
        bill.add(Some(Usage { input_tokens: 100, output_tokens: 100, ..Usage::default() }), 0, "");
        assert_eq!((bill.output_cap(100), bill.charge()), (300, 300));
        let hold = bill.hold_for(100).unwrap();
        assert_eq!((hold.at_least, hold.at_most), (0, 100 + 2 * 4_096 - 700));
        bill.add(Some(Usage { output_tokens: 351, ..Usage::default() }), 0, "");
        assert_eq!(bill.charge(), 1_000);
    }

    #[test]
    fn a_hold_covers_at_least_the_shortest_useful_reply() {
        let at_least = |own: u32| Bill::new(Some(paid()), own).hold_for(100).unwrap().at_least;
        for (own, tokens) in [(OUTPUT_TOKENS_MIN - 1, 15), (OUTPUT_TOKENS_MIN, 16), (OUTPUT_TOKENS_MIN + 1, 16)] {
            assert_eq!(at_least(own as u32), 100 + 2 * tokens);
        }
        // Exactly nothing more is needed, and one token's price more.
        let mut bill = Bill::new(Some(paid()), 50);
        bill.add_hold(200);
        assert!(bill.hold_for(100).is_none());
        let more = bill.hold_for(101).unwrap();
        assert_eq!((more.at_least, more.at_most), (0, 1));
    }
}
