//! What a server writes, line by line: messages go on, everything else is its log.
//!
//! Rule: a line has a bound. One that is longer is read to its end and left out, and whoever waits for an answer is told.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use serde::{Deserialize, de::IgnoredAny};
use tokio::{
    io::{AsyncRead, ReadBuf},
    sync::watch,
};

use super::ending::Ending;
use crate::{child::Ring, tools::mcp::events::MCP_LINE_BYTES_MAX};

/// What is read at once; also what is kept of the memory that a long line took.
const READ_BYTES: usize = 64 << 10;

/// What a server writes, of which only messages are read.
pub struct Lines<R> {
    from: R,
    read: Box<[u8]>,
    /// What of that is still to be looked at.
    left: std::ops::Range<usize>,
    line: Vec<u8>,
    /// How much of the line was given away, once it is whole.
    given: Option<usize>,
    is_too_long: bool,
    log: Arc<Ring>,
    cuts: watch::Sender<u64>,
    ending: Ending,
}

/// What every message has and what a program prints by mistake has not.
#[derive(Deserialize)]
struct Message {
    #[serde(rename = "jsonrpc")]
    _version: IgnoredAny,
}

impl<R> Lines<R> {
    /// Reads messages from there. `cuts` rises with each line that was too long.
    pub(super) fn new(from: R, log: Arc<Ring>, cuts: watch::Sender<u64>, ending: Ending) -> Self {
        let read = vec![0; READ_BYTES].into_boxed_slice();
        Lines { from, read, left: 0..0, line: Vec::new(), given: None, is_too_long: false, log, cuts, ending }
    }

    /// Takes what was read up to the end of a line.
    fn take(&mut self) {
        let left = &self.read[self.left.clone()];
        let length = left.iter().position(|byte| *byte == b'\n');
        let piece = &left[..length.unwrap_or(left.len())];
        if !self.is_too_long && self.line.len() + piece.len() > MCP_LINE_BYTES_MAX {
            self.is_too_long = true;
            self.line = Vec::new();
            // At once: it may have no end.
            self.log.push(format!("alm: a line of more than {MCP_LINE_BYTES_MAX} bytes was left out\n").as_bytes());
            self.cuts.send_modify(|cuts| *cuts += 1);
        }
        if !self.is_too_long {
            self.line.extend_from_slice(piece);
        }
        self.left.start += length.map_or(piece.len(), |length| length + 1);
        if length.is_some() {
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        if std::mem::take(&mut self.is_too_long) {
            return;
        }
        // An array would do for the reader as well.
        let is_object = self.line.trim_ascii_start().starts_with(b"{");
        let is_message = is_object && serde_json::from_slice::<Message>(&self.line).is_ok();
        self.line.push(b'\n');
        if is_message {
            self.given = Some(0);
        } else {
            self.log.push(&self.line);
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.given = None;
        self.line.clear();
        self.line.shrink_to(READ_BYTES);
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Lines<R> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if let Some(given) = this.given {
                let piece = &this.line[given..];
                let piece = &piece[..piece.len().min(into.remaining())];
                into.put_slice(piece);
                let given = given + piece.len();
                this.given = Some(given);
                if given == this.line.len() {
                    this.clear();
                }
                return Poll::Ready(Ok(()));
            }
            if this.left.is_empty() {
                let mut read = ReadBuf::new(&mut this.read);
                ready!(Pin::new(&mut this.from).poll_read(context, &mut read))?;
                this.left = 0..read.filled().len();
                if this.left.is_empty() {
                    this.ending.is_by_itself();
                    // The end. What has no line end may be whole all the same.
                    if this.line.is_empty() && !this.is_too_long {
                        return Poll::Ready(Ok(()));
                    }
                    this.end_line();
                    continue;
                }
            }
            this.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    /// What of this goes on, what is logged, and how many lines were cut.
    async fn of(said: &[u8]) -> (String, String, u64) {
        let log = Arc::new(Ring::new(4_096, []));
        let (cuts, cut) = watch::channel(0);
        let mut lines = Lines::new(said, log.clone(), cuts, Ending::default());
        let mut text = String::new();
        lines.read_to_string(&mut text).await.unwrap();
        let cut = *cut.borrow();
        (text, log.text(), cut)
    }

    /// A message with so many bytes.
    fn message(bytes: usize) -> Vec<u8> {
        let empty = br#"{"jsonrpc":"2.0","x":""}"#;
        let mut message = empty.to_vec();
        message.splice(empty.len() - 2..empty.len() - 2, vec![b'x'; bytes - empty.len()]);
        message
    }

    #[tokio::test]
    async fn messages_go_on_and_everything_else_is_the_log() {
        let said = b"starting\n{\"jsonrpc\":\"2.0\",\"id\":1}\r\n\n[1]\n{\"level\":\"info\"}\n {\"id\":2,\"jsonrpc\":\"2.0\"} \n{\"jsonrpc\":\"2.0\"\n\xff\n";
        let (text, log, cuts) = of(said).await;
        assert_eq!(text, "{\"jsonrpc\":\"2.0\",\"id\":1}\r\n {\"id\":2,\"jsonrpc\":\"2.0\"} \n");
        assert_eq!(log, "starting\n\n[1]\n{\"level\":\"info\"}\n{\"jsonrpc\":\"2.0\"\n\u{fffd}\n");
        assert_eq!(cuts, 0);
    }

    #[tokio::test]
    async fn a_last_line_without_an_end_counts() {
        assert_eq!(of(br#"{"jsonrpc":"2.0"}"#).await.0, "{\"jsonrpc\":\"2.0\"}\n");
        assert_eq!(of(b"gone").await, (String::new(), "gone\n".into(), 0));
        assert_eq!(of(b"").await, (String::new(), String::new(), 0));
    }

    #[tokio::test]
    async fn a_line_of_mcp_line_bytes_max_goes_on_and_one_byte_more_is_left_out_and_told() {
        for (bytes, cut) in [(MCP_LINE_BYTES_MAX - 1, 0), (MCP_LINE_BYTES_MAX, 0), (MCP_LINE_BYTES_MAX + 1, 1)] {
            let said = [&message(bytes)[..], b"\n{\"jsonrpc\":\"2.0\",\"id\":2}\n"].concat();
            let (text, log, cuts) = of(&said).await;
            assert_eq!((cuts, log.is_empty()), (cut, cut == 0));
            let next = "{\"jsonrpc\":\"2.0\",\"id\":2}\n";
            assert_eq!(text.len(), next.len() + if cut == 0 { bytes + 1 } else { 0 });
            assert!(text.ends_with(next), "the line after it is read");
        }
        assert_eq!(of(&message(MCP_LINE_BYTES_MAX + 1)).await.2, 1, "without an end as well");
    }

    #[tokio::test]
    async fn lines_are_whole_however_they_arrive_and_are_taken() {
        let (mut server, from) = tokio::io::duplex(7);
        let said: Vec<u8> =
            (0..50).flat_map(|n| format!("log {n}\n{{\"jsonrpc\":\"2.0\",\"id\":{n}}}\n").into_bytes()).collect();
        let writes = async move { tokio::io::AsyncWriteExt::write_all(&mut server, &said).await.unwrap() };
        let mut lines = Lines::new(from, Arc::new(Ring::new(64, [])), watch::channel(0).0, Ending::default());
        let reads = async {
            let (mut text, mut piece) = (Vec::new(), [0; 3]);
            while let bytes @ 1.. = lines.read(&mut piece).await.unwrap() {
                text.extend_from_slice(&piece[..bytes]);
            }
            String::from_utf8(text).unwrap()
        };
        let ((), text) = tokio::join!(writes, reads);
        let expected: String = (0..50).map(|n| format!("{{\"jsonrpc\":\"2.0\",\"id\":{n}}}\n")).collect();
        assert_eq!(text, expected);
    }
}
