//! The way by which something is asked for.

use super::words::words;

words! {
    /// The way by which something was asked for.
    pub enum Via {
        /// A person who is signed in.
        Browser = "browser",
        /// An API key.
        Key = "key",
        /// A command on the machine: whoever may read the file.
        Cli = "cli",
    }
}
