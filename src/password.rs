//! Passwords: Argon2id, because they can be guessed.

use argon2::{Argon2, PasswordHasher};

use crate::error::{Error, Result};

/// Shortest password, in characters. Length is the one rule that helps; composition rules do not.
pub const PASSWORD_CHARS_MIN: usize = 8;
/// Longest password, in bytes, so that hashing has a bound.
pub const PASSWORD_BYTES_MAX: usize = 1_024;

/// What is stored of a password. Takes tens of milliseconds, on purpose.
pub fn hash(password: &str) -> Result<String> {
    if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
        return Err(Error::invalid("password", "must be 8 or more characters, and at most 1024 bytes"));
    }
    let hash =
        Argon2::default().hash_password(password.as_bytes()).map_err(|error| Error::internal(error.to_string()))?;
    Ok(hash.to_string())
}
