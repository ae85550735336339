//! A file's bytes are a model's header or a fault.

use std::io::{self, Read};

use super::tape::Tape;
use crate::model::gguf::{
    Header, read,
    sample::{Sample, Value},
};

/// The most that is taken of any file, in bytes: the longest header, and what a buffer reads ahead.
const TAKEN_BYTES_MAX: u64 = 64 * 1_024 * 1_024 + 8 * 1_024;
/// The most that is kept of a text, in bytes: a replaced byte is three.
const KEPT_BYTES_MAX: usize = 3 * 1_024 * 1_024;

const KEYS: [&str; 10] = [
    "general.architecture",
    "general.name",
    "general.alignment",
    "general.file_type",
    "split.no",
    "split.count",
    "tokenizer.chat_template",
    "llama.context_length",
    "llama.attention.head_count_kv",
    "llama.block_count",
];
const SIZES: [u64; 7] = [0, 1, 2, 32, 1 << 20, 1 << 63, u64::MAX];

/// Any bytes, and any file that choices make of them: no panic, no end missed, never more taken than the bound.
pub fn gguf(bytes: &[u8]) {
    header(bytes);
    let mut tape = Tape(bytes);
    let mut written = sample(&mut tape).bytes();
    while !tape.is_over() {
        let at = usize::from(tape.byte()) << 3 | usize::from(tape.byte());
        let at = at % written.len();
        written[at] = tape.byte();
    }
    header(&written);
    // What never ends is read to the bound.
    let mut endless = Endless { bytes: &written, taken: 0 };
    drop(read(&mut endless, u64::MAX));
    assert!(endless.taken <= TAKEN_BYTES_MAX, "{} bytes taken", endless.taken);
}

fn header(bytes: &[u8]) {
    let of = |bytes: &[u8]| read(bytes, bytes.len() as u64);
    let Ok(header) = of(bytes) else { return };
    assert!(header.template.as_ref().is_none_or(|text| text.len() <= KEPT_BYTES_MAX));
    assert!(header.memory_bytes(u32::MAX, u32::MAX, u64::MAX) >= header.bytes);
    // What lies behind the last tensor says nothing; without its last byte the file is cut.
    let whole = &bytes[..header.tensor_end as usize];
    assert_eq!(of(whole).unwrap(), Header { bytes: whole.len() as u64, ..header });
    of(&whole[..whole.len() - 1]).unwrap_err();
}

fn sample(tape: &mut Tape<'_>) -> Sample {
    let mut sample = Sample::model();
    for _ in 0..tape.byte() % 4 {
        let value = match tape.byte() % 4 {
            0 => Value::Text(tape.text()),
            1 => Value::Number(tape.byte().into()),
            2 => Value::Numbers(tape.text().bytes().map(u32::from).collect()),
            _ => Value::Raw(tape.byte().into(), tape.text().into()),
        };
        sample = sample.with(tape.pick::<&str>(&KEYS), value);
    }
    for _ in 0..tape.byte() % 4 {
        let sizes = (0..tape.byte() % 6).map(|_| *tape.pick(&SIZES)).collect();
        sample.tensors.push((sizes, tape.byte().into(), *tape.pick(&SIZES)));
    }
    sample.data = usize::from(tape.byte()) * 4;
    sample
}

/// The same bytes over and over.
struct Endless<'a> {
    bytes: &'a [u8],
    taken: u64,
}

impl Read for Endless<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let at = (self.taken % self.bytes.len() as u64) as usize;
        let read = (&self.bytes[at..]).read(into)?;
        self.taken += read as u64;
        Ok(read)
    }
}
