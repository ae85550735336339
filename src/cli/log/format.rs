//! The form of a line.

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::time::Timestamp;

/// Longest line, in bytes with its line end; a longer one is cut, and says so.
const LOG_LINE_BYTES_MAX: usize = 8 * 1_024;
/// What stands around the cut line in JSON, at most.
const CUT_BYTES: usize = 64;

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

impl LogFormat {
    /// A line of ours, in the form of the others.
    pub fn line(self, level: &str, text: &str, fields: Value) -> String {
        match self {
            LogFormat::Text => format!("{text}\n"),
            LogFormat::Json => {
                let at = Timestamp::now().to_string();
                format!("{}\n", json!({ "timestamp": at, "level": level, "fields": fields }))
            }
        }
    }

    /// What stands where lines were dropped.
    pub fn gap(self, lost: u64) -> String {
        match self {
            LogFormat::Text => format!("{}  WARN lines of the log were lost lost={lost}\n", Timestamp::now()),
            LogFormat::Json => format!("{}\n", json!({ "lost": lost })),
        }
    }

    /// A line within its bound: what is cut off of JSON leaves JSON.
    pub fn within_bound(self, line: String) -> String {
        if line.len() <= LOG_LINE_BYTES_MAX {
            return line;
        }
        match self {
            LogFormat::Text => format!("{}…\n", start_of(&line, LOG_LINE_BYTES_MAX - "…\n".len())),
            LogFormat::Json => {
                let cut = |bytes| format!("{}\n", json!({ "cut": start_of(&line, bytes), "bytes": line.len() }));
                // Written as text within JSON it grows, but not to more than twice its length: it is JSON already.
                cut((LOG_LINE_BYTES_MAX - CUT_BYTES) / 2)
            }
        }
    }
}

/// At most so many bytes of a text, and no half of a character.
fn start_of(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_at_its_bound_and_what_was_json_still_is() {
        for format in [LogFormat::Text, LogFormat::Json] {
            // A quote takes two bytes in JSON, and `é` must not be halved.
            for filler in ["x", "é", "\\\"", "\\u0001"] {
                let of = |bytes: usize| {
                    let text = filler.repeat(bytes / filler.len() + 1);
                    let head = "{\"text\":\"";
                    format!("{head}{}\"}}\n", start_of(&text, bytes - head.len() - 3))
                };
                let long = format.within_bound(of(3 * LOG_LINE_BYTES_MAX));
                assert!(long.len() <= LOG_LINE_BYTES_MAX && long.len() > LOG_LINE_BYTES_MAX / 3, "{}", long.len());
                assert!(long.ends_with('\n'));
                if format == LogFormat::Json {
                    let cut: Value = serde_json::from_str(&long).unwrap();
                    assert!(cut["cut"].as_str().unwrap().starts_with("{\"text\":") && cut["bytes"].is_u64());
                }
            }
            let exact = |bytes: usize| format!("{}\n", "x".repeat(bytes - 1));
            for (bytes, is_kept) in
                [(LOG_LINE_BYTES_MAX - 1, true), (LOG_LINE_BYTES_MAX, true), (LOG_LINE_BYTES_MAX + 1, false)]
            {
                assert_eq!(format.within_bound(exact(bytes)) == exact(bytes), is_kept, "{bytes}");
            }
        }
    }
}
