//! HTTP/1.1 and the stamps in a stream, as bytes arrive. Plain: nothing here waits.
//!
//! Rule: no byte is looked at twice and nothing is allocated for a chunk, since this runs on the same two cores as the
//! server it measures.
//! Deliberately absent: bodies that end when the connection closes, trailers (skipped), anything but status 200 streams.

use std::{io, sync::LazyLock, time::Instant};

/// Starts a stamp inside a chunk's text; no other text of a stream holds it.
pub const STAMP_MARK: u8 = b'@';
/// A stamp is a time of [`now_us`] in so many decimal digits.
pub const STAMP_DIGITS: usize = 12;
/// Longest head of a request or reply that is taken.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// What is kept of a stream behind its last stamp, where its ending has to be.
const TAIL_BYTES_MAX: usize = 4 * 1024;

/// Microseconds on the clock that the upstream and the client share.
pub fn now_us() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_micros() as u64
}

/// Writes `stamp` over the digits of a rendered chunk.
pub fn write_stamp(digits: &mut [u8], mut stamp: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (stamp % 10) as u8;
        stamp /= 10;
    }
}

/// How long the head at the start of `bytes` is, once it is whole.
pub fn head_len(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

/// A header's value, by its lower-case name.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A reply that could not be understood.
pub fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// One reply on its way in.
#[derive(Default)]
pub struct Reply {
    status: u16,
    state: State,
}

#[derive(Default)]
enum State {
    #[default]
    Start,
    Head(Vec<u8>),
    /// A body of known length: what is left of it.
    Sized(usize),
    /// In the line before a chunk: its size so far, and whether its digits are over.
    ChunkLine {
        size: usize,
        over: bool,
    },
    /// In a chunk: what is left of it.
    Chunk(usize),
    /// In the line end behind a chunk.
    ChunkEnd,
    /// Behind the last chunk: how long the present line is.
    Trailer(usize),
    Done,
}

impl Reply {
    /// The status, once the head is in.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the reply is whole.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Takes what arrived, and hands pieces of the body on.
    pub fn feed(&mut self, mut bytes: &[u8], body: &mut impl FnMut(&[u8])) -> io::Result<()> {
        while !bytes.is_empty() {
            bytes = match &mut self.state {
                State::Start | State::Head(_) => self.feed_head(bytes)?,
                State::Sized(left) | State::Chunk(left) => {
                    let (piece, rest) = bytes.split_at(bytes.len().min(*left));
                    *left -= piece.len();
                    body(piece);
                    if *left == 0 {
                        let sized = matches!(self.state, State::Sized(_));
                        self.state = if sized { State::Done } else { State::ChunkEnd };
                    }
                    rest
                }
                State::Done => return Err(malformed("bytes behind the reply")),
                _ => self.feed_framing(bytes)?,
            };
        }
        Ok(())
    }

    fn feed_head<'a>(&mut self, bytes: &'a [u8]) -> io::Result<&'a [u8]> {
        let mut head = match std::mem::take(&mut self.state) {
            State::Head(head) => head,
            _ => Vec::new(),
        };
        let known = head.len();
        head.extend_from_slice(bytes);
        let Some(len) = head_len(&head) else {
            if head.len() > HEAD_BYTES_MAX {
                return Err(malformed("a head without an end"));
            }
            self.state = State::Head(head);
            return Ok(&[]);
        };
        let text = str::from_utf8(&head[..len]).map_err(|_| malformed("a head that is not text"))?;
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        self.status = status.ok_or_else(|| malformed("no status"))?;
        self.state = match header(text, "content-length").map(str::parse) {
            Some(Ok(0)) => State::Done,
            Some(length) => State::Sized(length.map_err(|_| malformed("content-length"))?),
            None if header(text, "transfer-encoding").is_some() => State::ChunkLine { size: 0, over: false },
            None => return Err(malformed("a body without a length")),
        };
        Ok(&bytes[len - known..])
    }

    fn feed_framing<'a>(&mut self, bytes: &'a [u8]) -> io::Result<&'a [u8]> {
        let byte = bytes[0];
        match &mut self.state {
            State::ChunkLine { size, .. } if byte == b'\n' => {
                self.state = if *size == 0 { State::Trailer(0) } else { State::Chunk(*size) };
            }
            State::ChunkLine { size, over } => match (byte as char).to_digit(16) {
                Some(digit) if !*over => *size = *size * 16 + digit as usize,
                _ => *over = true,
            },
            State::ChunkEnd if byte == b'\n' => self.state = State::ChunkLine { size: 0, over: false },
            State::Trailer(0) if byte == b'\n' => self.state = State::Done,
            State::Trailer(length) if byte == b'\n' => *length = 0,
            State::Trailer(length) if byte != b'\r' => *length += 1,
            _ if byte == b'\r' => {}
            _ => return Err(malformed("chunks")),
        }
        Ok(&bytes[1..])
    }
}

/// Counts a stream's stamps and keeps its ending.
#[derive(Default)]
pub struct Stamps {
    expected: u32,
    seen: u32,
    /// Inside a stamp: its digits so far and their value.
    partial: Option<(usize, u64)>,
    tail: Vec<u8>,
}

impl Stamps {
    /// For a stream of so many chunks.
    pub fn expecting(chunks: u32) -> Self {
        Stamps { expected: chunks, ..Stamps::default() }
    }

    /// Takes a piece of the body, and hands every stamp on.
    pub fn feed(&mut self, mut body: &[u8], on_stamp: &mut impl FnMut(u64)) {
        while !body.is_empty() {
            let Some((digits, value)) = &mut self.partial else {
                let Some(at) = memchr::memchr(STAMP_MARK, body) else { break };
                self.partial = Some((0, 0));
                body = &body[at + 1..];
                continue;
            };
            *value = *value * 10 + u64::from(body[0].wrapping_sub(b'0'));
            *digits += 1;
            body = &body[1..];
            if *digits == STAMP_DIGITS {
                on_stamp(*value);
                self.seen += 1;
                self.partial = None;
            }
        }
        if self.seen >= self.expected {
            let room = TAIL_BYTES_MAX.saturating_sub(self.tail.len());
            self.tail.extend_from_slice(&body[..body.len().min(room)]);
        }
    }

    /// How many stamps came.
    pub fn seen(&self) -> u32 {
        self.seen
    }

    /// Whether every chunk came, and behind the last one each of `marks`.
    pub fn is_whole(&self, marks: &[&str]) -> bool {
        self.seen == self.expected
            && marks.iter().all(|mark| memchr::memmem::find(&self.tail, mark.as_bytes()).is_some())
    }
}
