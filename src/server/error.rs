//! Why a server could not start, or could not do what its host asked.

use std::fmt;

use crate::error::{self, Reason};

/// What went wrong. Its text is a sentence for a person, and says what to do.
pub struct Error(error::Error);

/// What went wrong, for a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Another server uses the data folder.
    DataDirInUse,
    /// Another program listens at the address.
    AddressInUse,
    /// The database file was written by a newer version.
    NewerFile,
    /// The data folder or a file in it may not be written.
    DataDirDenied,
    /// A value is not one that can be taken; the text names it.
    Invalid,
    /// What was asked for does not fit what is there, such as a slug that is taken.
    Conflict,
    /// What was named is not there.
    NotFound,
    /// Anything else.
    Other,
}

impl Error {
    /// What went wrong, for a program.
    pub fn kind(&self) -> ErrorKind {
        match &self.0 {
            error::Error::Failed { reason: Reason::DataDirInUse, .. } => ErrorKind::DataDirInUse,
            error::Error::Failed { reason: Reason::AddressInUse, .. } => ErrorKind::AddressInUse,
            error::Error::Failed { reason: Reason::NewerFile, .. } => ErrorKind::NewerFile,
            error::Error::Failed { reason: Reason::DataDirDenied, .. } => ErrorKind::DataDirDenied,
            error::Error::Invalid(_) => ErrorKind::Invalid,
            error::Error::Conflict(_) => ErrorKind::Conflict,
            error::Error::NotFound(_) => ErrorKind::NotFound,
            _ => ErrorKind::Other,
        }
    }

    /// The crate's own error, for the command line.
    #[doc(hidden)]
    pub fn into_inner(self) -> error::Error {
        self.0
    }
}

#[doc(hidden)]
impl From<error::Error> for Error {
    fn from(error: error::Error) -> Self {
        Error(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error").field("kind", &self.kind()).field("message", &self.0.to_string()).finish()
    }
}

impl std::error::Error for Error {}
