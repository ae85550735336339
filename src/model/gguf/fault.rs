//! What is wrong with a file, in words for whoever named it.

use std::{
    io::{self, ErrorKind},
    path::Path,
};

use crate::error::Error;

/// What is wrong with the bytes of a file.
#[derive(Debug)]
pub enum Fault {
    /// It does not begin as one.
    NoGguf,
    /// It has a version that nobody here knows.
    Version(u32),
    /// It ends inside its header.
    Ends,
    /// It ends before its tensors do.
    Cut {
        /// Where they end.
        end: u64,
    },
    /// It does not make sense.
    Damaged(&'static str),
    /// It has more of something than is read.
    Past {
        /// Of what.
        what: &'static str,
        /// How many are read.
        max: u64,
    },
    /// The system does not read it.
    Unread(io::Error),
}

impl Fault {
    /// What is wrong with the file, which has so many bytes.
    pub(super) fn of(self, file: &Path, bytes: u64) -> Error {
        let name = file.display();
        Error::failed(match self {
            Fault::NoGguf => format!("{name} is no GGUF file"),
            Fault::Version(version) => format!("{name} is GGUF version {version}: 2 and 3 are known"),
            Fault::Ends => format!("{name} is cut short: it has {bytes} bytes and ends in its header: copy it again"),
            Fault::Cut { end } => {
                format!("{name} is cut short: it has {bytes} bytes and its tensors end at {end}: copy it again")
            }
            Fault::Damaged(what) => format!("{name} is damaged: {what}: copy it again"),
            Fault::Past { what, max } => format!("{name} cannot be used: its header has more than {max} {what}"),
            Fault::Unread(error) => return unopened(file, &error),
        })
    }
}

/// Why the system does not open or read a file.
pub(super) fn unopened(file: &Path, error: &io::Error) -> Error {
    let name = file.display();
    Error::failed(match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => format!("{name} does not exist"),
        ErrorKind::PermissionDenied => format!("{name} cannot be read by the user that alm runs as"),
        ErrorKind::IsADirectory => format!("{name} is a folder"),
        _ => format!("{name} cannot be read: {error}"),
    })
}
