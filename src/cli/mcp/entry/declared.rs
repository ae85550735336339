//! What an entry declares, and what surrounds its file.

use std::{path::PathBuf, time::Duration};

use crate::tools::secrets::NewSecret;

/// A server as such a file declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its slug here.
    pub slug: String,
    /// Its name there.
    pub name: String,
    pub way: Way,
    pub is_active: bool,
    pub timeout: Option<Duration>,
    /// Tools that it lets run without asking.
    pub approved: Vec<String>,
    /// What was changed or left out, a sentence each.
    pub notes: Vec<String>,
}

/// Why an entry is not taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// On purpose: it cannot be had here.
    Skipped(String),
    /// It is wrong.
    Failed(String),
}

impl Left {
    /// The same, said of that place.
    pub fn at(self, place: &str) -> Self {
        match self {
            Left::Skipped(why) => Left::Skipped(format!("{place}: {why}")),
            Left::Failed(why) => Left::Failed(format!("{place}: {why}")),
        }
    }
}

impl From<String> for Left {
    fn from(why: String) -> Self {
        Left::Failed(why)
    }
}

impl From<&str> for Left {
    fn from(why: &str) -> Self {
        Left::Failed(why.to_owned())
    }
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    Http { url: String, headers: Vec<(String, NewSecret)> },
    Command { command: String, args: Vec<String>, env: Vec<(String, NewSecret)>, cwd: Option<PathBuf> },
}

/// What a file asks its person for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    pub id: String,
    /// What the person reads.
    pub description: String,
    pub is_secret: bool,
    pub default: Option<String>,
    /// One of these; empty: anything.
    pub options: Vec<String>,
}

/// What surrounds a file.
pub trait World {
    /// A variable of this environment, if it is set.
    fn variable(&self, name: &str) -> Option<String>;
    /// What the person answers; none where nobody can be asked.
    fn ask(&mut self, input: &Input) -> Option<String>;
    /// A path as it is from everywhere.
    fn absolute(&self, path: &str) -> PathBuf;
    /// The text of a file; or why there is none.
    fn file(&self, path: &str) -> Result<String, String>;
}
