//! One thing that was looked at.

use std::fmt;

use serde_json::{Value, json};

use crate::error::Result;

/// How well something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at, and what to do if it is not well.
#[derive(Debug)]
pub struct Check {
    pub level: Level,
    what: String,
    text: String,
}

impl Check {
    pub fn ok(what: impl Into<String>, text: impl Into<String>) -> Self {
        Check { level: Level::Ok, what: what.into(), text: text.into() }
    }

    pub fn warn(what: impl Into<String>, text: impl Into<String>) -> Self {
        Check { level: Level::Warn, what: what.into(), text: text.into() }
    }

    pub fn fail(what: impl Into<String>, text: impl Into<String>) -> Self {
        Check { level: Level::Fail, what: what.into(), text: text.into() }
    }

    /// What could not be looked at has failed.
    pub fn of(what: &str, looked: Result<Check>) -> Self {
        looked.unwrap_or_else(|error| Check::fail(what, error.to_string()))
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        json!({ "check": self.what, "level": self.level.as_str(), "text": self.text })
    }
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "fail",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<4}  {}: {}", self.level.as_str(), self.what, self.text)
    }
}
