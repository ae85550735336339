//! Passwords: Argon2id, because they can be guessed.
//!
//! Rule: one that is wrong, one of a person who has none and one of nobody take the same time. Each check takes 19 MiB and tens of
//! milliseconds on purpose, so callers bound how many run at once.

use argon2::{Argon2, PasswordHasher, PasswordVerifier};

use crate::error::{Error, Result};

/// Shortest password, in characters. Length is the one rule that helps; composition rules do not.
pub const PASSWORD_CHARS_MIN: usize = 8;
/// Longest password, in bytes, so that hashing has a bound.
pub const PASSWORD_BYTES_MAX: usize = 1_024;

/// What a password is checked against that belongs to nobody: random bytes, which no password is known to give.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$K0adcqqwls/WSVG0Cb0Ulw$tL2LXWlLZhPrxZLBYyuMBsHkTv1vJhabLPCH/TW2mV4";

/// Whether a password is one that may be kept; `field` is where it stands.
pub fn check(field: &str, password: &str) -> Result<()> {
    if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
        return Err(Error::invalid(field, "must be 8 or more characters, and at most 1024 bytes"));
    }
    Ok(())
}

/// What is stored of a password.
pub fn hash(password: &str) -> Result<String> {
    check("password", password)?;
    let hash =
        Argon2::default().hash_password(password.as_bytes()).map_err(|error| Error::internal(error.to_string()))?;
    Ok(hash.to_string())
}

/// Whether a password is the one of `stored`; never if nothing is stored, which takes as long to say.
pub fn verify(password: &str, stored: Option<&str>) -> bool {
    let right = Argon2::default().verify_password(password.as_bytes(), stored.unwrap_or(NOBODYS)).is_ok();
    right && stored.is_some()
}

#[cfg(test)]
mod tests {
    use argon2::PasswordHash;

    use super::*;

    #[test]
    fn a_password_opens_its_own_hash_and_no_other() {
        let stored = hash("correct horse").unwrap();
        assert!(verify("correct horse", Some(&stored)));
        assert!(!verify("correct horsf", Some(&stored)));
        assert!(!verify("correct horse", None));
        assert!(!verify("correct horse", Some("no hash")));
    }

    #[test]
    fn nobodys_hash_costs_what_a_new_one_costs() {
        let new = hash("correct horse").unwrap();
        let (nobodys, new) = (PasswordHash::new(NOBODYS).unwrap(), PasswordHash::new(&new).unwrap());
        assert_eq!(nobodys.algorithm, new.algorithm);
        assert_eq!(nobodys.params, new.params);
        assert_eq!(nobodys.hash.unwrap().len(), new.hash.unwrap().len());
    }

    #[test]
    fn the_only_rule_is_length() {
        for good in ["12345678", "日本語日本語日本", &"x".repeat(1_024)] {
            check("password", good).unwrap();
        }
        for bad in ["", "1234567", "日本語日本語日", &"x".repeat(1_025)] {
            check("password", bad).unwrap_err();
        }
    }
}
