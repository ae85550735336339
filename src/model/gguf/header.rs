//! What is kept of a header.

use std::io::Read;

use super::{
    bytes::Bytes,
    fault::Fault,
    keys::{Keys, Number},
    tensors::Tensors,
};

/// What llama.cpp takes beside weights, conversations and cached prompts, in bytes.
const BESIDE_BYTES: u64 = 256 * 1_024 * 1_024;
/// Bytes of one number in a conversation's cache.
const CACHED_NUMBER_BYTES: u64 = 2;
/// Where tensors begin, if the file does not say: at multiples of so many bytes.
const ALIGNMENT_DEFAULT: u64 = 32;
/// Longest name, architecture or licence, in characters. What is longer is cut: they are shown, and foreign.
pub(super) const WORDS_CHARS_MAX: usize = 100;

/// How files call their mixtures of types, by number.
const QUANTISATIONS: [(u64, &str); 35] = [
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (7, "Q8_0"),
    (8, "Q5_0"),
    (9, "Q5_1"),
    (10, "Q2_K"),
    (11, "Q3_K_S"),
    (12, "Q3_K_M"),
    (13, "Q3_K_L"),
    (14, "Q4_K_S"),
    (15, "Q4_K_M"),
    (16, "Q5_K_S"),
    (17, "Q5_K_M"),
    (18, "Q6_K"),
    (19, "IQ2_XXS"),
    (20, "IQ2_XS"),
    (21, "Q2_K_S"),
    (22, "IQ3_XS"),
    (23, "IQ3_XXS"),
    (24, "IQ1_S"),
    (25, "IQ4_NL"),
    (26, "IQ3_S"),
    (27, "IQ3_M"),
    (28, "IQ2_S"),
    (29, "IQ2_M"),
    (30, "IQ4_XS"),
    (31, "IQ1_M"),
    (32, "BF16"),
    (36, "TQ1_0"),
    (37, "TQ2_0"),
    (38, "MXFP4_MOE"),
    (39, "NVFP4"),
    (40, "Q1_0"),
];

/// What a model says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// What its makers call it.
    pub name: Option<String>,
    /// Which program of llama.cpp it is for: `llama`, `qwen3`. Empty where the file does not say.
    pub architecture: String,
    /// `model`, `adapter`, … if the file says.
    pub kind: Option<String>,
    /// Under which licence it may be used, in its makers' words.
    pub licence: Option<String>,
    /// How its weights are written: `Q4_K_M`.
    pub quantisation: Option<String>,
    /// Weights, in all parts.
    pub parameters: u64,
    /// The tokens of a conversation that it was trained for; 0 where the file does not say, which [`Header::vet`] refuses.
    pub window: u32,
    /// Layers.
    pub layers: u32,
    /// Bytes that one token of a conversation takes in memory.
    pub kv_bytes_per_token: u64,
    /// Whether its answer is a vector.
    pub pools: bool,
    /// Its chat template, in Jinja.
    pub template: Option<String>,
    /// Which part it is, from 1, and of how many.
    pub parts: Option<(u16, u16)>,
    /// Where its last tensor ends, in the file.
    pub tensor_end: u64,
    /// Bytes of the file; of all its parts once it was opened.
    pub bytes: u64,
}

/// Reads the header of a file of so many bytes.
pub fn read(reader: impl Read, length: u64) -> Result<Header, Fault> {
    let mut bytes = Bytes::new(reader);
    match bytes.array() {
        Ok(magic) if magic == *b"GGUF" => {}
        Ok(_) | Err(Fault::Ends) => return Err(Fault::NoGguf),
        Err(fault) => return Err(fault),
    }
    let version = bytes.u32()?;
    if !matches!(version, 2 | 3) {
        return Err(Fault::Version(version));
    }
    let (tensors, keys) = (bytes.u64()?, bytes.u64()?);
    let keys = Keys::read(&mut bytes, keys)?;
    let tensors = Tensors::read(&mut bytes, tensors)?;
    let alignment = keys.number("general.alignment").map_or(ALIGNMENT_DEFAULT, Number::first);
    if !alignment.is_power_of_two() {
        return Err(Fault::Damaged("its alignment is no power of two"));
    }
    let begin = match tensors.end {
        0 => Some(bytes.taken()),
        _ => bytes.taken().checked_next_multiple_of(alignment),
    };
    let end = begin.and_then(|begin| begin.checked_add(tensors.end));
    let end = end.ok_or(Fault::Damaged("its tensors end nowhere"))?;
    if end > length {
        return Err(Fault::Cut { end });
    }
    header(&keys, &tensors, end, length)
}

fn header(keys: &Keys, tensors: &Tensors, tensor_end: u64, bytes: u64) -> Result<Header, Fault> {
    let architecture = keys.text("general.architecture").unwrap_or_default();
    let of = |key: &str| keys.number(&format!("{architecture}.{key}"));
    let small = |key: &str| of(key).map_or(0, |number| u32::try_from(number.first()).unwrap_or(u32::MAX));
    let quantisation = keys
        .number("general.file_type")
        .and_then(|number| QUANTISATIONS.iter().find(|(known, _)| *known == number.first()).map(|(_, name)| *name));
    Ok(Header {
        name: keys.text("general.name").and_then(words),
        architecture: words(architecture).unwrap_or_default(),
        kind: keys.text("general.type").and_then(words),
        licence: keys.text("general.license").and_then(words),
        quantisation: quantisation.or(tensors.commonest()).map(str::to_owned),
        parameters: tensors.parameters,
        window: small("context_length"),
        layers: small("block_count"),
        kv_bytes_per_token: kv_bytes_per_token(of),
        pools: of("pooling_type").is_some_and(|number| number.first() > 0),
        template: keys.text("tokenizer.chat_template").filter(|text| !text.trim().is_empty()).map(str::to_owned),
        parts: parts(keys)?,
        tensor_end,
        bytes,
    })
}

/// Keys and values of all heads, in all layers that keep them.
fn kv_bytes_per_token(of: impl Fn(&str) -> Option<Number>) -> u64 {
    let first = |key| of(key).map(Number::first);
    let query_heads = first("attention.head_count").unwrap_or(0);
    let head_size = first("embedding_length").unwrap_or(0).checked_div(query_heads).unwrap_or(0);
    let sizes = [first("attention.key_length"), first("attention.value_length")];
    let size = sizes.into_iter().fold(0, |sum: u64, size| sum.saturating_add(size.unwrap_or(head_size)));
    let heads = match of("attention.head_count_kv").or(of("attention.head_count")) {
        // One number holds for every layer, or for every so manieth where the others keep nothing.
        Some(Number::One(heads)) => {
            let layers = first("block_count").unwrap_or(0) / first("full_attention_interval").unwrap_or(1).max(1);
            heads.saturating_mul(layers)
        }
        Some(Number::Each { sum, .. }) => sum,
        None => 0,
    };
    heads.saturating_mul(size).saturating_mul(CACHED_NUMBER_BYTES)
}

fn parts(keys: &Keys) -> Result<Option<(u16, u16)>, Fault> {
    let number = |key| keys.number(key).map(Number::first);
    match (number("split.no"), number("split.count")) {
        (Some(at), Some(count)) if count > 1 => {
            let part = u16::try_from(at.saturating_add(1)).ok().zip(u16::try_from(count).ok());
            part.filter(|(at, count)| at <= count).map(Some).ok_or(Fault::Damaged("it is a part beyond the last"))
        }
        _ => Ok(None),
    }
}

/// A foreign word as it may be shown: on one line, without control characters, and not long.
fn words(text: &str) -> Option<String> {
    let visible: String = text.chars().filter(|c| !c.is_control()).take(WORDS_CHARS_MAX).collect();
    Some(visible.trim().to_owned()).filter(|text| !text.is_empty())
}

impl Header {
    /// Whether it probably calls tools: its template names them. The program that runs it knows.
    pub fn may_use_tools(&self) -> bool {
        self.template.as_ref().is_some_and(|template| template.contains("tools"))
    }

    /// The memory it takes, in bytes: its weights, so many conversations of so many tokens, and cached prompts.
    pub fn memory_bytes(&self, context: u32, slots: u32, cache: u64) -> u64 {
        let tokens = u64::from(context) * u64::from(slots);
        let conversations = tokens.saturating_mul(self.kv_bytes_per_token);
        [conversations, cache, BESIDE_BYTES].into_iter().fold(self.bytes, u64::saturating_add)
    }
}
