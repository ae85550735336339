//! Server-sent events from bytes, however they are split.
//!
//! Rule: linear time, bounded memory, no opinion on what an event means.
//! Deliberately absent: `id` and `retry`, which only serve a client that reconnects.

/// The most bytes a line or an event may have: far above any honest chunk, far below what hurts.
pub const EVENT_BYTES_MAX: usize = 1 << 20;

/// What some servers begin a body with.
pub const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// One event, borrowed from the parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// What its `event` line says; empty without one. A llama.cpp server of before September 2025 writes `error: {…}`
    /// where it means `event: error` and `data: {…}`, so that is how it arrives here.
    pub name: &'a str,
    /// Its `data` lines, joined by `\n`. They need not be text: some servers divide a character between two events.
    pub data: &'a [u8],
}

/// A line or an event outgrew its cap; the parser is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

/// Splits a body into events.
#[derive(Debug)]
pub struct Parser {
    event_bytes_max: usize,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// The last byte was a CR that ended a line: an LF right after it ends nothing.
    after_cr: bool,
    on_first_line: bool,
    name: String,
    data: Vec<u8>,
    has_data: bool,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new(EVENT_BYTES_MAX)
    }
}

impl Parser {
    /// A parser at the start of a body that keeps at most `event_bytes_max` of a line and of an event.
    pub fn new(event_bytes_max: usize) -> Self {
        Self {
            event_bytes_max,
            line: Vec::new(),
            after_cr: false,
            on_first_line: true,
            name: String::new(),
            data: Vec::new(),
            has_data: false,
        }
    }

    /// Takes the next bytes and calls `on_event` for each event they complete.
    pub fn feed(&mut self, bytes: &[u8], mut on_event: impl FnMut(Event<'_>)) -> Result<(), TooLong> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if std::mem::take(&mut self.after_cr) && rest[0] == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = line_end(rest) else { return self.keep(rest) };
            self.after_cr = rest[end] == b'\r';
            self.end_line(&rest[..end], &mut on_event)?;
            rest = &rest[end + 1..];
        }
        Ok(())
    }

    /// Delivers what the body ended in the middle of: some servers leave out the last blank line.
    pub fn finish(&mut self, mut on_event: impl FnMut(Event<'_>)) -> Result<(), TooLong> {
        self.end_line(b"", &mut on_event)?;
        self.end_line(b"", &mut on_event)
    }

    /// Bytes in memory between two pieces.
    #[cfg(any(test, fuzzing))]
    pub fn kept_bytes(&self) -> usize {
        self.line.len() + self.name.len() + self.data.len()
    }

    /// Keeps a part of a line for when the rest of it comes.
    fn keep(&mut self, part: &[u8]) -> Result<(), TooLong> {
        self.check_line(part)?;
        self.line.extend_from_slice(part);
        Ok(())
    }

    /// Reads a line of which `tail` is what has not been kept.
    fn end_line(&mut self, tail: &[u8], on_event: &mut impl FnMut(Event<'_>)) -> Result<(), TooLong> {
        if self.line.is_empty() {
            self.check_line(tail)?;
            return self.read_line(tail, on_event);
        }
        self.keep(tail)?;
        let mut line = std::mem::take(&mut self.line);
        let read = self.read_line(&line, on_event);
        line.clear();
        self.line = line; // its memory serves the next line
        read
    }

    fn check_line(&self, tail: &[u8]) -> Result<(), TooLong> {
        if self.line.len() + tail.len() > self.event_bytes_max { Err(TooLong) } else { Ok(()) }
    }

    fn read_line(&mut self, line: &[u8], on_event: &mut impl FnMut(Event<'_>)) -> Result<(), TooLong> {
        let line = match std::mem::take(&mut self.on_first_line) {
            true => line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line),
            false => line,
        };
        if line.is_empty() {
            self.dispatch(on_event);
            return Ok(());
        }
        let colon = line.iter().position(|&byte| byte == b':');
        let (field, value) = colon.map_or((line, &b""[..]), |at| (&line[..at], &line[at + 1..]));
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => self.push_data(value),
            b"event" => {
                self.set_name(value);
                Ok(())
            }
            b"error" => {
                self.set_name(field);
                self.push_data(value)
            }
            // Comments too: their field is empty.
            _ => Ok(()),
        }
    }

    fn set_name(&mut self, name: &[u8]) {
        self.name.clear();
        self.name.push_str(&String::from_utf8_lossy(name));
    }

    fn push_data(&mut self, value: &[u8]) -> Result<(), TooLong> {
        if self.data.len() + value.len() >= self.event_bytes_max {
            return Err(TooLong);
        }
        if std::mem::replace(&mut self.has_data, true) {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        Ok(())
    }

    fn dispatch(&mut self, on_event: &mut impl FnMut(Event<'_>)) {
        if std::mem::take(&mut self.has_data) {
            on_event(Event { name: &self.name, data: &self.data });
        }
        self.name.clear();
        self.data.clear();
    }
}

/// Where the first line of `bytes` ends. Whole blocks first: the compiler makes vector instructions of that.
fn line_end(bytes: &[u8]) -> Option<usize> {
    const BLOCK_BYTES: usize = 32;
    let ends = |&byte: &u8| byte == b'\n' || byte == b'\r';
    let blocks = bytes.chunks_exact(BLOCK_BYTES);
    let clear =
        blocks.take_while(|block| !block.iter().fold(false, |any, byte| any | ends(byte))).count() * BLOCK_BYTES;
    bytes[clear..].iter().position(ends).map(|at| clear + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Events = Vec<(String, String)>;

    /// The events of a body that arrives in `pieces`, and whether it stayed within the cap.
    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, event_bytes_max: usize) -> (Events, Result<(), TooLong>) {
        let (mut parser, mut events) = (Parser::new(event_bytes_max), Events::new());
        let mut keep = |event: Event<'_>| events.push((event.name.to_owned(), lossy(event.data)));
        let fed = pieces.into_iter().try_for_each(|piece| parser.feed(piece, &mut keep));
        let read = fed.and_then(|()| parser.finish(&mut keep));
        (events, read)
    }

    fn lossy(data: &[u8]) -> String {
        String::from_utf8_lossy(data).into_owned()
    }

    fn data_of(body: &str) -> Vec<String> {
        read([body.as_bytes()], EVENT_BYTES_MAX).0.into_iter().map(|(_, data)| data).collect()
    }

    #[test]
    fn every_line_end_ends_a_line() {
        for end in ["\n", "\r\n", "\r"] {
            let body = format!("data: a{end}data: b{end}{end}: note{end}data: c{end}{end}");
            assert_eq!(data_of(&body), ["a\nb", "c"], "{end:?}");
        }
    }

    #[test]
    fn what_is_not_data_is_skipped() {
        let body = "\u{feff}data:a\n\n:\n: keep-alive\n\nid: 7\nretry: 3\nunknown\ndata:  b\ndata\n\nevent: x\n\n";
        assert_eq!(data_of(body), ["a", " b\n"]);
    }

    #[test]
    fn an_event_has_the_name_of_its_event_line_or_of_an_error_line() {
        let body = "event: note\ndata: 1\n\ndata: 2\n\nerror: {\"code\":500}\n\n";
        let named = [("note", "1"), ("", "2"), ("error", "{\"code\":500}")];
        assert_eq!(
            read([body.as_bytes()], EVENT_BYTES_MAX).0,
            named.map(|(name, data)| (name.to_owned(), data.to_owned()))
        );
    }

    #[test]
    fn an_event_without_its_blank_line_is_delivered_at_the_end() {
        for body in ["data: a\n\ndata: b", "data: a\n\ndata: b\n", "data: a\n\ndata: b\r\n"] {
            assert_eq!(data_of(body), ["a", "b"], "{body:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_delivered_as_they_are() {
        let mut seen = Vec::new();
        Parser::default().feed(b"data: a\xffb\n\n", |event| seen.extend_from_slice(event.data)).unwrap();
        assert_eq!(seen, b"a\xffb");
    }

    #[test]
    fn a_line_or_event_past_its_cap_is_an_error_and_what_came_before_it_is_delivered() {
        let line = format!("data: ok\n\ndata: {}", "x".repeat(50));
        let event = format!("data: ok\n\n{}", "data: xxxxxxxx\n".repeat(10));
        for body in [line, event] {
            let (events, read) = read(body.as_bytes().chunks(3), 40);
            assert_eq!((events.len(), read), (1, Err(TooLong)), "{body}");
        }
    }

    #[test]
    fn a_line_and_an_event_may_have_as_many_bytes_as_the_cap_and_not_one_more() {
        const MAX: usize = EVENT_BYTES_MAX;
        // A line, its field included, whole and in two pieces.
        for (bytes, expected) in [(MAX - 1, Ok(())), (MAX, Ok(())), (MAX + 1, Err(TooLong))] {
            let line = format!("data:{}\n", "x".repeat(bytes - 5));
            let (head, tail) = line.as_bytes().split_at(bytes / 2);
            assert_eq!(read([line.as_bytes()], MAX).1, expected, "{bytes}");
            assert_eq!(read([head, tail], MAX).1, expected, "{bytes} in two pieces");
        }
        // An event of two lines: each byte of its data counts, and each line end between.
        for (bytes, expected) in [(MAX - 1, Ok(())), (MAX, Ok(())), (MAX + 1, Err(TooLong))] {
            let (first, second) = ("x".repeat(bytes / 2), "x".repeat(bytes - bytes / 2 - 1));
            let event = format!("data:{first}\ndata:{second}\n\n");
            let (events, over) = read([event.as_bytes()], MAX);
            assert_eq!((events.len(), over), (usize::from(expected.is_ok()), expected), "{bytes}");
        }
    }
}
