//! What `timeout` means in an entry: Cline, Roo Code and Kilo Code count seconds, all others milliseconds.
//!
//! Rule: a file is its program's by its name, or an entry by what only these programs write beside it. What is not read as it stands
//! there is said.

use std::{ffi::OsStr, path::Path, time::Duration};

use crate::tools::declare::TOOL_TIME_MS_MIN;

/// Seconds that a call may last.
pub(super) const CALL_SECONDS_MAX: u64 = 600;
/// Seconds that Roo Code takes at most. A longer number is in milliseconds even there.
pub(super) const ROO_SECONDS_MAX: u64 = 3_600;
/// Milliseconds below which Claude Code passes a time-out over.
pub(super) const CLAUDE_MS_MIN: u64 = 1_000;

/// Who reads a file, as far as time-outs tell programs apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Cline, and those that began as copies of it: Roo Code and Kilo Code.
    Cline,
    ClaudeCode,
    Other,
}

/// A time-out of a call, and what is to be said of how it was read.
pub(super) type Read = (Option<Duration>, Option<String>);

impl Program {
    /// The one whose file has that name.
    pub fn of(file: &Path) -> Self {
        match (name_of(Some(file)), name_of(file.parent())) {
            ("cline_mcp_settings.json" | "mcp_settings.json", _) | ("mcp.json", ".roo" | ".kilocode") => Program::Cline,
            (".mcp.json" | ".claude.json", _) => Program::ClaudeCode,
            _ => Program::Other,
        }
    }

    /// What this number means to it.
    pub(super) fn timeout(self, number: u64) -> Read {
        match self {
            Program::Cline if number <= ROO_SECONDS_MAX => seconds(number),
            Program::ClaudeCode if number < CLAUDE_MS_MIN => {
                (None, Some(format!("timeout: {number} ms is passed over, as Claude Code does")))
            }
            // Nobody means a few milliseconds.
            Program::Other if number < TOOL_TIME_MS_MIN.into() => seconds(number),
            _ => capped(Duration::from_millis(number), None),
        }
    }
}

fn name_of(path: Option<&Path>) -> &str {
    path.and_then(Path::file_name).and_then(OsStr::to_str).unwrap_or_default()
}

fn seconds(number: u64) -> Read {
    capped(Duration::from_secs(number), Some(format!("timeout: {number} is read as seconds")))
}

fn capped(wanted: Duration, said: Option<String>) -> Read {
    let longest = Duration::from_secs(CALL_SECONDS_MAX);
    let too_long = || format!("a call may last {CALL_SECONDS_MAX} s here, not {} s", wanted.as_secs());
    (Some(wanted.min(longest)), if wanted > longest { Some(too_long()) } else { said })
}
