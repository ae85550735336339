//! The keys of a header that are read; the others are stepped over.

use std::{collections::HashMap, io::Read};

use super::{bytes::Bytes, fault::Fault};

/// Most keys. A header with more is refused.
pub(super) const GGUF_KEYS_MAX: u64 = 4_096;
/// Most items of a list. A header with more is refused.
pub(super) const GGUF_ARRAY_ITEMS_MAX: u64 = 4_194_304;
/// Longest key that is kept, in bytes: ours are short. A longer one is stepped over.
pub(super) const KEY_BYTES_MAX: usize = 256;

/// Keys whose text is kept.
const TEXTS: [&str; 5] =
    ["general.architecture", "general.type", "general.name", "general.license", "tokenizer.chat_template"];
/// Keys whose number is kept, by their ends: most begin with the architecture, which may come after them.
const NUMBERS: [&str; 13] = [
    "general.alignment",
    "general.file_type",
    "split.no",
    "split.count",
    ".context_length",
    ".block_count",
    ".embedding_length",
    ".attention.head_count",
    ".attention.head_count_kv",
    ".attention.key_length",
    ".attention.value_length",
    ".full_attention_interval",
    ".pooling_type",
];

/// The types of values.
mod kind {
    pub const TEXT: u32 = 8;
    pub const LIST: u32 = 9;
}

/// A number, or the numbers of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    One(u64),
    /// One for each layer.
    Each {
        /// The first that is not 0.
        first: u64,
        sum: u64,
    },
}

impl Number {
    pub(super) fn first(self) -> u64 {
        match self {
            Number::One(number) => number,
            Number::Each { first, .. } => first,
        }
    }
}

/// What was kept.
#[derive(Debug, Default)]
pub(super) struct Keys {
    texts: HashMap<String, String>,
    numbers: HashMap<String, Number>,
}

impl Keys {
    /// Reads so many keys.
    pub(super) fn read(bytes: &mut Bytes<impl Read>, count: u64) -> Result<Self, Fault> {
        if count > GGUF_KEYS_MAX {
            return Err(Fault::Past { what: "keys", max: GGUF_KEYS_MAX });
        }
        let mut keys = Keys::default();
        for _ in 0..count {
            let key = bytes.text()?;
            let kind = bytes.u32()?;
            keys.take(key, kind, bytes)?;
        }
        Ok(keys)
    }

    fn take(&mut self, key: String, kind: u32, bytes: &mut Bytes<impl Read>) -> Result<(), Fault> {
        let is_short = key.len() <= KEY_BYTES_MAX;
        if is_short && kind == kind::TEXT && TEXTS.contains(&&*key) {
            self.texts.insert(key, bytes.text()?);
        } else if is_short && kind != kind::TEXT && NUMBERS.iter().any(|end| key.ends_with(end)) {
            self.numbers.extend(number(kind, bytes)?.map(|number| (key, number)));
        } else {
            skip(kind, bytes)?;
        }
        Ok(())
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.texts.get(key).map(String::as_str)
    }

    pub(super) fn number(&self, key: &str) -> Option<Number> {
        self.numbers.get(key).copied()
    }
}

/// How many bytes a value of a type has, if all have the same.
fn width(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

fn list(bytes: &mut Bytes<impl Read>) -> Result<(u32, u64), Fault> {
    let (kind, items) = (bytes.u32()?, bytes.u64()?);
    if items > GGUF_ARRAY_ITEMS_MAX {
        return Err(Fault::Past { what: "items in one list", max: GGUF_ARRAY_ITEMS_MAX });
    }
    Ok((kind, items))
}

fn skip(kind: u32, bytes: &mut Bytes<impl Read>) -> Result<(), Fault> {
    match kind {
        kind::TEXT => bytes.skip_text(),
        kind::LIST => {
            let (kind, items) = list(bytes)?;
            skip_items(kind, items, bytes)
        }
        other => bytes.skip(width(other).ok_or(UNKNOWN)?),
    }
}

/// A list in a list is none of ours, and none of llama.cpp's.
const UNKNOWN: Fault = Fault::Damaged("a value has a type that nobody knows");

fn skip_items(kind: u32, items: u64, bytes: &mut Bytes<impl Read>) -> Result<(), Fault> {
    match kind {
        kind::TEXT => (0..items).try_for_each(|_| bytes.skip_text()),
        other => bytes.skip(width(other).ok_or(UNKNOWN)? * items),
    }
}

/// The number or the numbers; nothing where it is something else.
fn number(kind: u32, bytes: &mut Bytes<impl Read>) -> Result<Option<Number>, Fault> {
    if kind != kind::LIST {
        return Ok(whole(kind, bytes)?.map(Number::One));
    }
    let (kind, items) = list(bytes)?;
    if matches!(kind, kind::TEXT) {
        skip_items(kind, items, bytes)?;
        return Ok(None);
    }
    let (mut first, mut sum) = (0, 0_u64);
    for _ in 0..items {
        let Some(number) = whole(kind, bytes)? else { continue };
        sum = sum.saturating_add(number);
        first = if first == 0 { number } else { first };
    }
    Ok(Some(Number::Each { first, sum }))
}

/// A whole number of a type, if it is one and not negative; else it is stepped over.
fn whole(kind: u32, bytes: &mut Bytes<impl Read>) -> Result<Option<u64>, Fault> {
    Ok(match kind {
        0 => Some(bytes.array::<1>()?[0].into()),
        1 => u64::try_from(i8::from_le_bytes(bytes.array()?)).ok(),
        2 => Some(u16::from_le_bytes(bytes.array()?).into()),
        3 => u64::try_from(i16::from_le_bytes(bytes.array()?)).ok(),
        4 => Some(bytes.u32()?.into()),
        5 => u64::try_from(i32::from_le_bytes(bytes.array()?)).ok(),
        10 => Some(bytes.u64()?),
        11 => u64::try_from(i64::from_le_bytes(bytes.array()?)).ok(),
        other => {
            skip(other, bytes)?;
            None
        }
    })
}
