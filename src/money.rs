//! Money in whole microcents, and prices as decimal text.
//!
//! A microcent is a millionth of a *dollar*, although its name says cents: a cent is 10,000 of them. The name is the
//! contract's.
//!
//! Rule: no floating point. One US dollar is 1,000,000 microcents, so a price in dollars for a million tokens is the
//! price of one token in microcents, and every amount is exact until it is rounded, once, up, in [`Price::of`].

use std::{fmt, str::FromStr};

/// One US dollar, in microcents.
pub const USD: i64 = 1_000_000;
/// The largest amount one deposit or one price may name, in US dollars.
pub const AMOUNT_USD_MAX: i64 = 1_000_000;

/// Digits after the point that a price keeps.
const PRICE_DIGITS: usize = 6;
const PRICE_SCALE: u128 = 10u128.pow(PRICE_DIGITS as u32);

/// A price in US dollars per million tokens, exact to six digits after the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Price(u64);

/// The text is no price.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("must be US dollars in decimal digits, at most 1000000, at most six digits after the point, such as 0.15")]
pub struct NotAPrice;

impl Price {
    /// What `tokens` cost, in microcents, rounded up.
    pub fn of(self, tokens: u64) -> i64 {
        let exact = u128::from(tokens) * u128::from(self.0);
        i64::try_from(exact.div_ceil(PRICE_SCALE)).unwrap_or(i64::MAX)
    }

    /// How many whole tokens `amount` microcents can pay for; as good as endless where they are free.
    pub fn tokens_for(self, amount: i64) -> u64 {
        if self.0 == 0 {
            return u64::MAX;
        }
        let exact = u128::from(amount.max(0) as u64) * PRICE_SCALE / u128::from(self.0);
        u64::try_from(exact).unwrap_or(u64::MAX)
    }

    /// Whether tokens at this price cost nothing.
    pub fn is_free(self) -> bool {
        self.0 == 0
    }
}

impl FromStr for Price {
    type Err = NotAPrice;

    fn from_str(text: &str) -> Result<Self, NotAPrice> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > PRICE_DIGITS {
            return Err(NotAPrice);
        }
        let whole: u64 = whole.parse().ok().filter(|w| *w <= AMOUNT_USD_MAX as u64).ok_or(NotAPrice)?;
        let fraction: u64 = format!("{fraction:0<PRICE_DIGITS$}").parse().map_err(|_| NotAPrice)?;
        Ok(Price(whole * PRICE_SCALE as u64 + fraction))
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / PRICE_SCALE as u64, self.0 % PRICE_SCALE as u64);
        let fraction = format!("{fraction:0PRICE_DIGITS$}");
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            fraction => write!(f, "{whole}.{fraction}"),
        }
    }
}

/// What a model's tokens cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pricing {
    /// Prompt tokens.
    pub input: Price,
    /// Tokens of the reply, reasoning included.
    pub output: Price,
    /// Prompt tokens the upstream had in its cache; the input price where it is unknown.
    pub cached_input: Option<Price>,
}

impl Pricing {
    /// Whether every token is free.
    pub fn is_free(&self) -> bool {
        self.input.is_free() && self.output.is_free()
    }

    /// What a reply costs, in microcents; `cached` counts among `input`.
    pub fn cost(&self, input: u64, cached: u64, output: u64) -> i64 {
        let cached = cached.min(input);
        let cached_price = self.cached_input.unwrap_or(self.input);
        let parts = [self.input.of(input - cached), cached_price.of(cached), self.output.of(output)];
        parts.into_iter().fold(0, i64::saturating_add)
    }
}

/// Reads an amount of US dollars, such as `10` or `10.50`, into microcents.
pub fn parse_usd(text: &str) -> Result<i64, NotAPrice> {
    let Price(millionths) = text.parse()?;
    // A price keeps millionths of a dollar, and a microcent is one.
    Ok(millionths as i64)
}

/// Shows microcents as US dollars with at least two digits after the point: `10.50`, `0.000123`.
pub fn format_usd(amount: i64) -> String {
    let (sign, amount) = (if amount < 0 { "-" } else { "" }, amount.unsigned_abs());
    let text = format!("{sign}{}.{:06}", amount / USD as u64, amount % USD as u64);
    let keep = text.trim_end_matches('0').len().max(text.len() - 4);
    text[..keep].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_keeps_its_text() {
        for text in ["0", "0.15", "10", "1000000", "0.000001", "2.5"] {
            assert_eq!(text.parse::<Price>().unwrap().to_string(), text);
        }
        for bad in ["", ".", "1.", ".5", "-1", "1e3", "0.0000001", "1,5", " 1"] {
            assert_eq!(bad.parse::<Price>(), Err(NotAPrice), "{bad:?}");
        }
        let around = [AMOUNT_USD_MAX - 1, AMOUNT_USD_MAX, AMOUNT_USD_MAX + 1];
        assert_eq!(around.map(|dollars| dollars.to_string().parse::<Price>().is_ok()), [true, true, false]);
    }

    #[test]
    fn a_cost_is_exact_and_rounded_up_once() {
        let price: Price = "0.15".parse().unwrap();
        assert_eq!(price.of(1_000_000), 150_000);
        assert_eq!(price.of(1), 1);
        assert_eq!(price.of(0), 0);
        assert_eq!(price.tokens_for(price.of(1_000_000)), 1_000_000);
        assert_eq!(Price::default().of(u64::MAX), 0);
        assert_eq!(price.of(u64::MAX), (u64::MAX as u128 * 15).div_ceil(100) as i64);
    }

    #[test]
    fn dollars_are_shown_with_cents() {
        for (amount, text) in
            [(10_500_000, "10.50"), (123, "0.000123"), (0, "0.00"), (1_234_500, "1.2345"), (-5, "-0.000005")]
        {
            assert_eq!(format_usd(amount), text);
        }
        assert_eq!(parse_usd("10.50").unwrap(), 10_500_000);
    }
}
