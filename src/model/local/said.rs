//! The last lines that a process said.

use std::collections::VecDeque;

/// Lines that are kept; the oldest go.
pub const CHILD_LOG_LINES: usize = 200;
/// What is kept of a line.
const LINE_BYTES_MAX: usize = 512;

/// The end of what it said, line by line.
#[derive(Default)]
pub(super) struct Said(VecDeque<String>);

impl Said {
    /// Adds a line, and gives it as it is kept: cut, and without what a terminal would obey.
    pub(super) fn push(&mut self, line: &[u8]) -> String {
        let text = String::from_utf8_lossy(&line[..line.len().min(LINE_BYTES_MAX)]);
        let mut text: String = text.chars().filter(|c| !c.is_control() || *c == '\t').collect();
        let end = (0..=LINE_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
        if self.0.len() >= CHILD_LOG_LINES {
            self.0.pop_front();
        }
        self.0.push_back(text.clone());
        text
    }

    /// The lines, oldest first.
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.iter().cloned().collect()
    }
}

/// Lines out of bytes as they arrive. Of a long one the beginning is kept.
#[derive(Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// Takes bytes, and calls `line` with each that is whole.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.keep(&bytes[..end]);
            line(&self.begun);
            self.begun.clear();
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes);
    }

    /// What came last without an end.
    pub(super) fn finish(self, line: impl FnOnce(&[u8])) {
        if !self.begun.is_empty() {
            line(&self.begun);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES_MAX.saturating_sub(self.begun.len());
        self.begun.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn child_log_lines_are_kept_and_the_oldest_goes() {
        let mut said = Said::default();
        for n in 0..CHILD_LOG_LINES + 1 {
            let kept = said.lines().len();
            assert_eq!(kept, n);
            said.push(n.to_string().as_bytes());
        }
        let lines = said.lines();
        assert_eq!((lines.len(), &*lines[0]), (CHILD_LOG_LINES, "1"));
    }

    #[test]
    fn a_line_is_kept_up_to_line_bytes_max_and_without_what_a_terminal_obeys() {
        let kept = |bytes: usize| Said::default().push(&vec![b'x'; bytes]).len();
        assert_eq!([LINE_BYTES_MAX - 1, LINE_BYTES_MAX, LINE_BYTES_MAX + 1].map(kept), [511, 512, 512]);
        assert_eq!(Said::default().push(b"a\x1b[2J\tb\r\xff"), "a[2J\tb\u{fffd}");
        let wide = "\u{fffd}".repeat(LINE_BYTES_MAX / 3);
        assert!(Said::default().push(&[0xff; LINE_BYTES_MAX]).starts_with(&wide));
    }

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let said = format!("one\n\ntwo {}\nthree", "x".repeat(2 * LINE_BYTES_MAX));
        for piece in [1, 2, 7, 600, said.len()] {
            let (mut lines, mut got) = (Lines::default(), Vec::new());
            for bytes in said.as_bytes().chunks(piece) {
                lines.feed(bytes, |line| got.push(line.len()));
            }
            lines.finish(|line| got.push(line.len()));
            assert_eq!(got, [3, 0, LINE_BYTES_MAX, 5]);
        }
    }
}
