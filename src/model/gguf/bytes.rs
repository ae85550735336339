//! Values out of a header, one after another.
//!
//! Rule: what is taken is counted, and a text is read only once its length is known to be bearable.

use std::io::{self, BufReader, ErrorKind, Read};

use super::fault::Fault;

/// Longest header, in bytes. A longer one is refused.
pub(super) const GGUF_HEADER_BYTES_MAX: u64 = 64 * 1_024 * 1_024;
/// Longest text in it, in bytes. A longer one is refused.
pub(super) const GGUF_STRING_BYTES_MAX: u64 = 1_024 * 1_024;

/// A reader that counts.
pub(super) struct Bytes<R> {
    reader: BufReader<R>,
    taken: u64,
}

impl<R: Read> Bytes<R> {
    pub(super) fn new(reader: R) -> Self {
        Bytes { reader: BufReader::new(reader), taken: 0 }
    }

    /// How many bytes were taken.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.count(N as u64)?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(ended)?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Fault> {
        self.array().map(u64::from_le_bytes)
    }

    /// A text; what is no UTF-8 in it is replaced.
    pub(super) fn text(&mut self) -> Result<String, Fault> {
        let length = self.text_length()?;
        self.count(length)?;
        let mut bytes = Vec::new();
        let read = (&mut self.reader).take(length).read_to_end(&mut bytes).map_err(ended)?;
        if (read as u64) < length {
            return Err(Fault::Ends);
        }
        Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// A text that nobody needs.
    pub(super) fn skip_text(&mut self) -> Result<(), Fault> {
        let length = self.text_length()?;
        self.skip(length)
    }

    pub(super) fn skip(&mut self, length: u64) -> Result<(), Fault> {
        self.count(length)?;
        let skipped = io::copy(&mut (&mut self.reader).take(length), &mut io::sink()).map_err(ended)?;
        if skipped < length { Err(Fault::Ends) } else { Ok(()) }
    }

    fn text_length(&mut self) -> Result<u64, Fault> {
        let length = self.u64()?;
        if length > GGUF_STRING_BYTES_MAX {
            return Err(Fault::Past { what: "bytes in one text", max: GGUF_STRING_BYTES_MAX });
        }
        Ok(length)
    }

    fn count(&mut self, length: u64) -> Result<(), Fault> {
        self.taken = self.taken.saturating_add(length);
        if self.taken > GGUF_HEADER_BYTES_MAX {
            return Err(Fault::Past { what: "bytes", max: GGUF_HEADER_BYTES_MAX });
        }
        Ok(())
    }
}

fn ended(error: io::Error) -> Fault {
    match error.kind() {
        ErrorKind::UnexpectedEof => Fault::Ends,
        _ => Fault::Unread(error),
    }
}
