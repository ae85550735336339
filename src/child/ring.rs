//! The end of what a child says, in memory.
//!
//! Rule: secrets are kept out when it is read: a piece of one that the ring has cut off is not shown either.

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::secret::Secret;

/// Secrets shorter than this are shown: `1` and `on` are values like any other, and stars for them would hide the text.
const SECRET_BYTES_MIN: usize = 4;
/// What stands for a secret.
const HIDDEN: &str = "***";

/// Text of which the end is kept.
pub struct Ring {
    bytes_max: usize,
    secrets: Vec<Secret>,
    /// More than is shown by the length of the longest secret: one whose beginning was cut off lies in there.
    bytes: Mutex<VecDeque<u8>>,
    said: AtomicU64,
}

impl Ring {
    /// One that shows so many bytes at most, and none of these secrets.
    pub fn new(bytes_max: usize, secrets: impl IntoIterator<Item = Secret>) -> Self {
        let long = |secret: &Secret| secret.expose().len() >= SECRET_BYTES_MIN;
        Ring {
            bytes_max,
            secrets: secrets.into_iter().filter(long).collect(),
            bytes: Mutex::default(),
            said: AtomicU64::new(0),
        }
    }

    /// Adds what was said.
    pub fn push(&self, said: &[u8]) {
        let kept_max = self.bytes_max + self.longest();
        let mut bytes = self.bytes.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let said = &said[said.len().saturating_sub(kept_max)..];
        let over = (bytes.len() + said.len()).saturating_sub(kept_max);
        bytes.drain(..over);
        bytes.extend(said);
        self.said.fetch_add(1, Ordering::Relaxed);
    }

    /// How often something was said: another number is another text.
    pub fn said(&self) -> u64 {
        self.said.load(Ordering::Relaxed)
    }

    /// What is kept, as text for a terminal or a page.
    pub fn text(&self) -> String {
        let bytes: Vec<u8> = {
            let bytes = self.bytes.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            bytes.iter().copied().collect()
        };
        let text = String::from_utf8_lossy(&self.shown(&bytes)).into_owned();
        let mut text: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
        // Stars may be longer than what they hide.
        let over = text.len().saturating_sub(self.bytes_max);
        text.drain(..(over..).find(|at| text.is_char_boundary(*at)).unwrap_or(over));
        text
    }

    /// The last bytes, with stars for each run of what is secret.
    fn shown(&self, bytes: &[u8]) -> Vec<u8> {
        let is_secret = self.secret_bytes(bytes);
        let mut shown = Vec::new();
        let mut was_secret = false;
        for at in bytes.len().saturating_sub(self.bytes_max)..bytes.len() {
            match (is_secret[at], was_secret) {
                (false, _) => shown.push(bytes[at]),
                (true, false) => shown.extend(HIDDEN.as_bytes()),
                (true, true) => {}
            }
            was_secret = is_secret[at];
        }
        shown
    }

    /// Which bytes belong to a secret, or begin one at the end of what was said so far.
    fn secret_bytes(&self, bytes: &[u8]) -> Vec<bool> {
        let mut found = vec![false; bytes.len()];
        for secret in self.secrets.iter().map(|secret| secret.expose().as_bytes()) {
            for (at, _) in bytes.windows(secret.len()).enumerate().filter(|(_, window)| *window == secret) {
                found[at..at + secret.len()].fill(true);
            }
            let begun = (SECRET_BYTES_MIN..secret.len()).rev().find(|length| bytes.ends_with(&secret[..*length]));
            if let Some(length) = begun {
                found[bytes.len() - length..].fill(true);
            }
        }
        found
    }

    fn longest(&self) -> usize {
        self.secrets.iter().map(|secret| secret.expose().len()).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(bytes_max: usize, secrets: &[&str]) -> Ring {
        Ring::new(bytes_max, secrets.iter().map(|text| Secret::new(*text)))
    }

    #[test]
    fn the_end_is_kept() {
        let ring = with(8, &[]);
        for (said, text) in [("1234567", "1234567"), ("8", "12345678"), ("9", "23456789"), ("0123456789ab", "456789ab")]
        {
            ring.push(said.as_bytes());
            assert_eq!(ring.text(), text);
        }
        ring.push("äöü€".as_bytes());
        assert_eq!(ring.text(), "öü€", "a character that was cut is not shown");
    }

    #[test]
    fn no_secret_is_shown_however_it_arrives_or_is_cut() {
        let secrets = ["sk-secret", "crets-too", "two\nlines"];
        let said = "a sk-secret b sk-secrets-too c two\nlines d sk-sec";
        for split in 0..said.len() {
            let ring = with(64, &secrets);
            ring.push(&said.as_bytes()[..split]);
            ring.push(&said.as_bytes()[split..]);
            assert_eq!(ring.text(), "a *** b *** c *** d ***");
        }
        for bytes_max in 1..80 {
            let ring = with(bytes_max, &secrets);
            ring.push(b"1 sk-secret 2 two\nlines 3 sk-secret 4");
            let text = ring.text();
            assert!(text.len() <= bytes_max && text.ends_with('4'), "{text}");
            assert!(!["ret", "nes", "cre"].iter().any(|piece| text.contains(piece)), "{bytes_max}: {text}");
        }
    }

    #[test]
    fn a_word_shorter_than_secret_bytes_min_is_no_secret() {
        let short = "x".repeat(SECRET_BYTES_MIN - 1);
        let ring = with(64, &[&short, "", "four"]);
        ring.push(format!("{short} four\n").as_bytes());
        assert_eq!(ring.text(), "xxx ***\n");
    }

    #[test]
    fn what_a_terminal_would_obey_is_left_out() {
        let ring = with(64, &[]);
        ring.push(b"\x1b[2Jred\r\n\tx\x07\xff\n");
        assert_eq!(ring.text(), "[2Jred\n\tx\u{fffd}\n");
    }
}
