//! A chunk as servers write it. Every field may be missing or null, and several have more than one shape.
//!
//! Rule: borrows from the body; what is not needed is not read. A field of an impossible type fails the chunk,
//! unless it is only a count.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize,
    de::{Deserializer, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// No count goes further, so that sums and prices stay far from overflow.
const TOKENS_MAX: f64 = u32::MAX as f64;

#[derive(Debug, Deserialize)]
pub(super) struct Chunk<'a> {
    #[serde(borrow)]
    pub error: Option<&'a RawValue>,
    #[serde(borrow)]
    pub choices: Option<Vec<Choice<'a>>>,
    #[serde(default, deserialize_with = "if_readable")]
    pub usage: Option<Usage>,
    /// Groq's place for usage.
    pub x_groq: Option<UsageHolder>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Choice<'a> {
    #[serde(borrow)]
    pub delta: Option<Delta<'a>>,
    /// What a server that does not stream sends in place of `delta`; boxed, for it is rare and the choice is moved about.
    #[serde(borrow)]
    pub message: Option<Box<Delta<'a>>>,
    #[serde(borrow)]
    pub finish_reason: Option<Text<'a>>,
    /// Moonshot's place for usage.
    #[serde(default, deserialize_with = "if_readable")]
    pub usage: Option<Usage>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Delta<'a> {
    #[serde(borrow, default)]
    pub content: Words<'a>,
    #[serde(borrow, default)]
    pub reasoning_content: Words<'a>,
    #[serde(borrow, default)]
    pub reasoning: Words<'a>,
    #[serde(borrow, default)]
    pub refusal: Words<'a>,
    #[serde(borrow)]
    pub tool_calls: Option<Vec<ToolCall<'a>>>,
    #[serde(borrow)]
    pub annotations: Option<Vec<Annotation<'a>>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ToolCall<'a> {
    pub index: Option<i64>,
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    #[serde(borrow)]
    pub function: Option<Function<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Function<'a> {
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

impl<'a> Function<'a> {
    /// The arguments as JSON text: in a string, as they should be, or bare.
    pub fn arguments(&self) -> Cow<'a, str> {
        let raw = self.arguments.map_or("", RawValue::get);
        serde_json::from_str(raw).map_or(Cow::Borrowed(raw), |Text(text)| text)
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Annotation<'a> {
    #[serde(borrow)]
    pub url_citation: Option<UrlCitation<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct UrlCitation<'a> {
    #[serde(borrow)]
    pub url: Option<Text<'a>>,
    #[serde(borrow)]
    pub title: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct UsageHolder {
    #[serde(default, deserialize_with = "if_readable")]
    pub usage: Option<Usage>,
}

/// A count that is none is not there: an answer is worth more than what the upstream says of its length.
fn if_readable<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Usage>, D::Error> {
    let usage = Option::<&RawValue>::deserialize(source)?;
    Ok(usage.and_then(|usage| serde_json::from_str(usage.get()).ok()))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Usage {
    prompt_tokens: Option<f64>,
    completion_tokens: Option<f64>,
    /// Moonshot's place for it.
    cached_tokens: Option<f64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Debug, Deserialize)]
struct PromptDetails {
    cached_tokens: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<f64>,
}

impl Usage {
    /// The counts, with parts no larger than their wholes; none if the upstream counted nothing.
    pub fn counted(&self) -> Option<crate::model::Usage> {
        let count = |tokens: Option<f64>| tokens.unwrap_or(0.0).clamp(0.0, TOKENS_MAX) as u64;
        self.prompt_tokens.or(self.completion_tokens)?;
        let (input_tokens, output_tokens) = (count(self.prompt_tokens), count(self.completion_tokens));
        let cached = self.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens);
        let reasoning = self.completion_tokens_details.as_ref().and_then(|details| details.reasoning_tokens);
        Some(crate::model::Usage {
            input_tokens,
            cache_read_tokens: count(cached.or(self.cached_tokens)).min(input_tokens),
            output_tokens,
            reasoning_tokens: count(reasoning).min(output_tokens),
        })
    }
}

/// A string that is borrowed where it holds no escapes. `Option<Cow>` would always copy.
#[derive(Debug, Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// What a model says: a string, Mistral's list of typed pieces, or nothing (null, and `false` for a refusal).
#[derive(Debug)]
pub(super) enum Words<'a> {
    Text(Cow<'a, str>),
    Pieces(Vec<Piece<'a>>),
}

/// A piece of text or of thinking; other kinds have neither.
#[derive(Debug, Deserialize)]
pub(super) struct Piece<'a> {
    #[serde(borrow, default)]
    pub text: Words<'a>,
    #[serde(borrow, default)]
    pub thinking: Words<'a>,
}

impl Words<'_> {
    pub fn is_empty(&self) -> bool {
        match self {
            Words::Text(text) => text.is_empty(),
            Words::Pieces(pieces) => pieces.iter().all(|piece| piece.text.is_empty() && piece.thinking.is_empty()),
        }
    }
}

impl Default for Words<'_> {
    fn default() -> Self {
        Words::Text(Cow::Borrowed(""))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Words<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordsVisitor)
    }
}

struct WordsVisitor;

impl<'de> Visitor<'de> for WordsVisitor {
    type Value = Words<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a list of pieces, null or a boolean")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Words::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Words::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Words::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Words::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut pieces = Vec::new();
        while let Some(piece) = list.next_element()? {
            pieces.push(piece);
        }
        Ok(Words::Pieces(pieces))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_count_goes_past_its_bound() {
        let max = u64::from(u32::MAX);
        for (said, counted) in [
            (-1.0, 0),
            (0.0, 0),
            (1.9, 1),
            (TOKENS_MAX - 1.0, max - 1),
            (TOKENS_MAX, max),
            (TOKENS_MAX + 1.0, max),
            (f64::INFINITY, max),
        ] {
            let usage = Usage { prompt_tokens: Some(said), completion_tokens: Some(said), ..Usage::default() };
            let counted_now = usage.counted().unwrap();
            assert_eq!((counted_now.input_tokens, counted_now.output_tokens), (counted, counted), "{said}");
        }
    }
}
