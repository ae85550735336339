//! The events of a body, none larger than it may be.

use std::{
    future::poll_fn,
    io::{Error, ErrorKind},
};

use bytes::Bytes;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use rmcp::transport::streamable_http_client::SseError;
use serde_json::Value;
use sse_stream::{Sse, SseStream};

use super::envelope;
use crate::outbound::Body;

pub(super) const MEDIA_TYPE: &str = "text/event-stream";
/// Largest message of a server, in bytes: a line of a command's output, or an event.
pub const MCP_LINE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What is read at once.
const PIECE_BYTES: usize = 16 * 1024;

/// Reads a body's events. One over the cap ends them with the answer that `request` was answered with too much.
pub(super) fn read(body: Body, bytes_max: usize, request: Option<Value>) -> BoxStream<'static, Result<Sse, SseError>> {
    let pieces = stream::unfold(Some((body, Size::new(bytes_max))), |reading| async move {
        let (mut body, mut size) = reading?;
        let mut buffer = vec![0; PIECE_BYTES];
        match poll_fn(|cx| body.poll_read(cx, &mut buffer)).await {
            Ok(0) => None,
            Ok(read) if size.fits(&buffer[..read]) => {
                buffer.truncate(read);
                Some((Ok(Bytes::from(buffer)), Some((body, size))))
            }
            Ok(_) => Some((Err(Error::from(ErrorKind::FileTooLarge)), None)),
            Err(error) => Some((Err(error), None)),
        }
    });
    let events = SseStream::from_bytes_stream(pieces.boxed());
    let capped = events.map(move |event| match (event, &request) {
        (Err(error), Some(request)) if is_too_large(&error) => {
            Ok(Sse::default().data(envelope::too_long(request, bytes_max).to_string()))
        }
        (event, _) => event,
    });
    capped.boxed()
}

fn is_too_large(error: &SseError) -> bool {
    let SseError::Body(cause) = error else { return false };
    cause.downcast_ref::<Error>().is_some_and(|error| error.kind() == ErrorKind::FileTooLarge)
}

/// Counts the bytes of an event, and of a line.
struct Size {
    bytes_max: usize,
    event: usize,
    line: usize,
    is_comment: bool,
    after_cr: bool,
}

impl Size {
    fn new(bytes_max: usize) -> Self {
        Size { bytes_max, event: 0, line: 0, is_comment: false, after_cr: false }
    }

    /// Whether the event that these bytes go on with is within the cap.
    fn fits(&mut self, bytes: &[u8]) -> bool {
        bytes.iter().all(|&byte| {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => {
                    // An empty line ends the event.
                    self.event =
                        if self.line == 0 { 0 } else { self.event + if self.is_comment { 0 } else { self.line } };
                    self.line = 0;
                }
                _ => {
                    self.is_comment = if self.line == 0 { byte == b':' } else { self.is_comment };
                    self.line += 1;
                }
            }
            self.event + self.line <= self.bytes_max
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(bytes_max: usize, pieces: &[&str]) -> bool {
        let mut size = Size::new(bytes_max);
        pieces.iter().all(|piece| size.fits(piece.as_bytes()))
    }

    #[test]
    fn an_event_may_be_so_large_however_it_is_split() {
        let of = |bytes: usize| {
            let data = format!("data: {}", "x".repeat(bytes - 6));
            fits(MCP_LINE_BYTES_MAX, &[&data[..bytes / 2], &data[bytes / 2..], "\n\n", &data, "\r\n\r\n", "data: 1"])
        };
        assert!(of(MCP_LINE_BYTES_MAX - 1) && of(MCP_LINE_BYTES_MAX));
        assert!(!of(MCP_LINE_BYTES_MAX + 1));
    }

    #[test]
    fn all_lines_of_an_event_count_and_comments_do_not() {
        for end in ["\n", "\r", "\r\n"] {
            let lines = |count: usize| vec![format!("data: 1234{end}"); count].concat();
            assert!(fits(20, &[&lines(2), end, &lines(2)]), "{end:?}");
            assert!(!fits(20, &[&lines(3)]), "{end:?}");
            assert!(fits(20, &[&format!(": keep-alive{end}").repeat(100)]), "{end:?}");
            assert!(!fits(20, &[": a comment that is longer than that"]));
        }
    }
}
