//! What a refused request could do without.
//!
//! Servers differ in which fields they take, and say so only when they get one. A refusal that names something of ours is
//! answered with the same request without it, or with the name it wants. Rule: plain functions over plain values, and a
//! guess costs one request at most: what was left out is remembered only once the server has taken the rest.

use serde_json::Value;

use super::{
    dialect::{Dialect, Field, Repair},
    fault::{TOO_LONG, explain},
};
use crate::model::Request;

/// Under these a body holds what it was sent, not what is wrong with it.
const ECHOES: [&str; 4] = ["input", "request", "body", "messages"];
/// A refusal of a value, not of its field: another value may be fine.
const OF_A_VALUE: [&str; 14] = [
    "between",
    "range",
    "less than",
    "greater than",
    "at most",
    "at least",
    "too large",
    "too small",
    "too big",
    "exceed",
    "maximum",
    "decode",
    "corrupt",
    "download",
];
/// Fields that give a reply its shape: one without them would be a wrong one.
const SHAPES: [&str; 4] = ["guided_", "grammar", "format", "structured_outputs"];
/// Numbers below this are no bounds of tokens.
const BOUND_MIN: u64 = 16;

/// How much too long a conversation is, as far as the refusal says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TooLong {
    /// Tokens the model can hold.
    pub window: Option<u32>,
    /// Tokens the prompt has.
    pub prompt: Option<u32>,
}

/// What to change in `request`, which was sent in `dialect` and refused with `status` and these words; none if nothing of it
/// is named.
pub fn repair(status: u16, said: &str, request: &Request, dialect: &Dialect) -> Option<Repair> {
    let refusal = Refusal::of(said);
    // Servers and their templates fail over roles, images and tools in many ways, over plain fields only in two.
    let candidates: &[Field] = match status {
        400 | 422 => &Field::ALL,
        404 | 415 | 500 | 501 => &[Field::ResponseFormat, Field::ToolChoice, Field::System, Field::Files, Field::Tools],
        _ => return None,
    };
    let sent = |field: &Field| dialect.sends(*field, request);
    // Some refusals name other fields too, so the place that is named for programs is asked first.
    let named = |field: &Field| refusal.params.iter().any(|param| field.is_named_in(param));
    let told = |field: &Field| field.is_told_of_in(&refusal.text);
    if explain(said) == TOO_LONG {
        return room_beside(too_long(said), request.sampling.output_tokens_max?, dialect);
    }
    let mut sent_fields = candidates.iter().copied().filter(sent);
    let by_place = sent_fields.clone().find(named);
    if by_place.is_none()
        && matches!(status, 400 | 422)
        && let Some(name) = refusal.extra(request, dialect)
    {
        return Some(Repair::OmitExtra(name.to_owned()));
    }
    let field = by_place.or_else(|| sent_fields.find(told))?;
    if field == Field::OutputCap {
        return refusal.cap(request.sampling.output_tokens_max?, dialect);
    }
    let always = !OF_A_VALUE.iter().any(|words| refusal.text.contains(words));
    Some(Repair::Omit { field, always })
}

/// The status that an error says it would have had, had it come before the reply.
pub fn status_in(said: &str) -> u16 {
    let value: Value = serde_json::from_str(said).unwrap_or_default();
    let error = value.get("error").filter(|error| error.is_object()).unwrap_or(&value);
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    let codes = ["code", "status", "status_code"].iter().filter_map(|name| error.get(*name).and_then(number));
    let status = codes.filter_map(|code| u16::try_from(code).ok()).find(|code| (400..600).contains(code));
    status.unwrap_or(400)
}

/// A prompt that fits, and a reply's cap that does not fit beside it: some servers refuse the sum.
fn room_beside(sum: TooLong, asked: u32, dialect: &Dialect) -> Option<Repair> {
    let tokens = sum.window?.checked_sub(sum.prompt?).filter(|tokens| *tokens > 0)?;
    let is_less = tokens < dialect.cap_max.map_or(asked, |most| most.min(asked));
    is_less.then_some(Repair::LowerCap { tokens, always: false })
}

/// The numbers of a refusal that is known to say that the conversation is too long.
pub fn too_long(said: &str) -> TooLong {
    let refusal = Refusal::of(said);
    let value = serde_json::from_str(said).unwrap_or(Value::Null);
    let error = value.get("error").unwrap_or(&value);
    let number = |name: &str| error.get(name).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
    let (mut window, mut prompt) = (number("n_ctx"), number("n_prompt_tokens"));
    let text = &refusal.text;
    let after = ["context length is", "context length of", "context window of", "context window is", "context size of"];
    window = window.or_else(|| after.iter().find_map(|words| number_after(text, words)));
    prompt =
        prompt.or_else(|| number_before(text, " in the messages").or_else(|| number_before(text, " input tokens")));
    // What is too long says how much it is, and how much there may be.
    let mut bounds: Vec<u32> = numbers(text).filter(|number| Some(*number) != window).collect();
    bounds.sort_unstable();
    match (window, prompt) {
        (None, None) => {
            window = bounds.first().copied();
            prompt = bounds.last().copied().filter(|most| Some(*most) != window);
        }
        (Some(window), None) => prompt = bounds.into_iter().rfind(|number| *number > window),
        _ => {}
    }
    TooLong { window, prompt }
}

/// An error body, read for what it is about.
struct Refusal {
    /// Where it says which field is meant: `max_tokens`, `messages.1.reasoning_content`.
    params: Vec<String>,
    /// All that it says, in lower case.
    text: String,
}

impl Refusal {
    fn of(said: &str) -> Self {
        let mut refusal = Refusal { params: Vec::new(), text: String::new() };
        match serde_json::from_str::<Value>(said) {
            Ok(value) => refusal.read("", &value),
            Err(_) => refusal.text = said.to_lowercase(),
        }
        refusal
    }

    fn read(&mut self, key: &str, value: &Value) {
        match value {
            Value::String(text) => {
                // Gateways wrap the refusal of whom they asked.
                if let Some(inner @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(text).ok().as_ref() {
                    return self.read(key, inner);
                }
                if matches!(key, "param" | "loc" | "field" | "path") {
                    self.params.push(text.to_lowercase());
                }
                self.text.push_str(&text.to_lowercase());
                self.text.push(' ');
            }
            Value::Array(items) => items.iter().for_each(|item| self.read(key, item)),
            Value::Object(fields) => {
                let own = fields.iter().filter(|(name, _)| !ECHOES.contains(&name.as_str()));
                own.for_each(|(name, value)| self.read(name, value));
            }
            _ => {}
        }
    }

    /// The field that was sent on as it came and is named.
    fn extra<'a>(&self, request: &'a Request, dialect: &Dialect) -> Option<&'a str> {
        let names = request.sampling.extra.keys().map(String::as_str);
        let mut sent = names.filter(|name| {
            !dialect.extra_omitted.contains(*name) && !SHAPES.iter().any(|shape| name.starts_with(shape))
        });
        sent.find(|name| {
            let name = name.to_lowercase();
            self.params.iter().any(|param| has_word(param, &name)) || has_word(&self.text, &name)
        })
    }

    /// What to do about the reply's cap, of which so many tokens were asked for.
    fn cap(&self, asked: u32, dialect: &Dialect) -> Option<Repair> {
        let other = dialect.cap.other();
        if self.text.contains(other.name()) && !dialect.cap_names_refused.contains(&other) {
            return Some(Repair::NameCap(other));
        }
        let is_of_its_value = OF_A_VALUE.iter().any(|words| self.text.contains(words));
        if let (true, Some(most)) = (is_of_its_value, numbers(&self.text).filter(|number| *number < asked).max()) {
            return Some(Repair::LowerCap { tokens: most, always: true });
        }
        match dialect.cap_names_refused.contains(&other) {
            true => Some(Repair::Omit { field: Field::OutputCap, always: true }),
            false => Some(Repair::NameCap(other)),
        }
    }
}

/// Whether a text has this word, and not only as a part of another.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part) && !word.is_empty()
    })
}

/// The numbers of a text that may be counts of tokens; `128,000` is one.
fn numbers(text: &str) -> impl Iterator<Item = u32> + '_ {
    let words = text.split(|c: char| !c.is_ascii_digit() && c != ',' && c != '_' && c != '.' && !c.is_alphabetic());
    words.filter_map(as_number).filter(|number| u64::from(*number) >= BOUND_MIN)
}

fn as_number(word: &str) -> Option<u32> {
    let word = word.trim_end_matches(['.', ',']);
    word.chars().filter(|c| !matches!(c, ',' | '_')).collect::<String>().parse().ok()
}

fn number_after(text: &str, words: &str) -> Option<u32> {
    let rest = &text[text.find(words)? + words.len()..];
    rest.split_whitespace().next().and_then(as_number)
}

fn number_before(text: &str, words: &str) -> Option<u32> {
    let before = &text[..text.find(words)?];
    as_number(before.rsplit([' ', '(']).next()?)
}

#[cfg(test)]
mod tests;
