//! Passwords: Argon2id, because they can be guessed.
//!
//! Rule: one that is wrong, one of a person who has none and one of nobody take the same time. Each check takes 19 MiB and tens of
//! milliseconds on purpose, so callers bound how many run at once.
//! Rule: a password is its characters, however a keyboard makes them: it is hashed in Unicode's form NFC.
//! Rule: that memory is used again, and what a burst took goes back to the system when the burst is over: an allocator that is asked
//! for it anew on every thread keeps it in as many places.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use unicode_normalization::UnicodeNormalization;

use crate::error::{Error, Result};

/// Shortest password, in characters. Length is the one rule that helps; composition rules do not.
pub const PASSWORD_CHARS_MIN: usize = 8;
/// Longest password, in bytes, so that hashing has a bound.
pub const PASSWORD_BYTES_MAX: usize = 1_024;

/// Bytes of a salt.
const SALT_BYTES: usize = 16;
/// Blocks of 1 KiB that hashing a password takes: 19 MiB. A stored hash that wants more is none of ours.
const MEMORY_BLOCKS: usize = Params::DEFAULT_M_COST as usize;
/// Blocks of address space reserved for them. Above 32 MiB, the most that glibc ever keeps for itself, freed memory goes back at once;
/// what is not written to takes no memory.
const RESERVED_BLOCKS: usize = 33 * 1024;
/// Memories kept while nobody signs in. A burst has one for each password that is hashed at once.
const IDLE_MEMORIES_MAX: usize = 1;

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
    let password: &str = &password.nfc().collect::<String>();
    let stored = PasswordHash {
        algorithm: Algorithm::default().ident(),
        version: Some(Version::default().into()),
        params: ParamsString::try_from(&Params::DEFAULT).map_err(|error| Error::internal(error.to_string()))?,
        salt: Some(Salt::new(&rand::random::<[u8; SALT_BYTES]>()).map_err(Error::internal)?),
        hash: None,
    };
    let output =
        output(password, &stored, Params::DEFAULT_OUTPUT_LEN).ok_or_else(|| Error::internal("Argon2 failed"))?;
    Ok(PasswordHash { hash: Some(output), ..stored }.to_string())
}

/// Whether a password is the one of `stored`; never if nothing is stored, which takes as long to say.
pub fn verify(password: &str, stored: Option<&str>) -> bool {
    forms_of(password).iter().any(|form| is_right(form, stored)) && stored.is_some()
}

/// The forms in which a password may have been hashed: NFC, and before there was a rule, as it was typed. One of ASCII has one.
fn forms_of(password: &str) -> Vec<String> {
    let mut forms: Vec<String> = vec![password.nfc().collect()];
    for other in [password.to_owned(), password.nfd().collect()] {
        if !forms.contains(&other) {
            forms.push(other);
        }
    }
    forms
}

fn is_right(password: &str, stored: Option<&str>) -> bool {
    let right = || {
        let stored = PasswordHash::new(stored.unwrap_or(NOBODYS)).ok()?;
        let expected = stored.hash?;
        // Compared in constant time, as every `Output` is.
        Some(output(password, &stored, expected.len())? == expected)
    };
    right().unwrap_or(false)
}

/// What Argon2 makes of a password, with the salt and the parameters of `stored`; `None` if they are none that we write.
fn output(password: &str, stored: &PasswordHash, output_len: usize) -> Option<Output> {
    let algorithm = Algorithm::try_from(stored.algorithm.as_str()).ok()?;
    let version = Version::try_from(stored.version?).ok()?;
    let params = Params::try_from(stored).ok().filter(|params| params.block_count() <= MEMORY_BLOCKS)?;
    let mut bytes = [0; Output::MAX_LENGTH];
    let bytes = bytes.get_mut(..output_len)?;
    let argon2 = Argon2::new(algorithm, version, params);
    argon2.hash_password_into_with_memory(password.as_bytes(), &stored.salt?, bytes, Memory::take()).ok()?;
    Output::new(bytes).ok()
}

/// The memory in which one password is hashed; it is kept for the next one.
struct Memory(Vec<Block>);

/// What lies between two passwords.
struct Kept {
    memories: Vec<Vec<Block>>,
    in_use: usize,
}

static KEPT: Mutex<Kept> = Mutex::new(Kept { memories: Vec::new(), in_use: 0 });

fn kept() -> MutexGuard<'static, Kept> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    fn take() -> Self {
        let used_before = {
            let mut kept = kept();
            kept.in_use += 1;
            kept.memories.pop()
        };
        Memory(used_before.unwrap_or_else(|| {
            let mut blocks = Vec::with_capacity(RESERVED_BLOCKS);
            blocks.resize(MEMORY_BLOCKS, Block::new());
            blocks
        }))
    }
}

impl AsMut<[Block]> for Memory {
    fn as_mut(&mut self) -> &mut [Block] {
        &mut self.0
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let mut kept = kept();
        kept.in_use -= 1;
        kept.memories.push(mem::take(&mut self.0));
        if kept.in_use == 0 {
            kept.memories.truncate(IDLE_MEMORIES_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use argon2::{PasswordHasher, PasswordVerifier};

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
    fn a_password_is_its_characters_however_they_are_typed() {
        let (composed, decomposed) = ("caf\u{e9} au lait", "cafe\u{301} au lait");
        for typed in [composed, decomposed] {
            let stored = hash(typed).unwrap();
            let old = Argon2::default().hash_password(typed.as_bytes()).unwrap().to_string();
            for again in [composed, decomposed] {
                assert!(verify(again, Some(&stored)) && verify(again, Some(&old)), "{typed:?} {again:?}");
            }
            assert!(!verify("cafe au lait", Some(&stored)));
        }
        assert_eq!([forms_of("cafe").len(), forms_of(composed).len(), forms_of(decomposed).len()], [1, 2, 2]);
    }

    #[test]
    fn only_what_a_kept_memory_can_hold_is_checked() {
        let of = |blocks: usize| {
            let params = Params::new(blocks as u32, 1, 1, None).unwrap();
            let stored = Argon2::from(params).hash_password(b"correct horse").unwrap().to_string();
            verify("correct horse", Some(&stored))
        };
        assert!(of(MEMORY_BLOCKS - 1) && of(MEMORY_BLOCKS));
        assert!(!of(MEMORY_BLOCKS + 4));
    }

    #[test]
    fn a_memory_that_was_used_before_makes_the_same_hash() {
        let stored = Argon2::default().hash_password(b"correct horse").unwrap().to_string();
        for _time in 0..2 {
            assert!(verify("correct horse", Some(&stored)) && !verify("wrong horse", Some(&stored)));
        }
        let ours = hash("correct horse").unwrap();
        assert!(Argon2::default().verify_password(b"correct horse", &*ours).is_ok());
        assert_ne!(ours, hash("correct horse").unwrap());
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
        let fits = |unit: &str, times: usize| check("password", &unit.repeat(times)).is_ok();
        for unit in ["x", "日"] {
            let around = [PASSWORD_CHARS_MIN - 1, PASSWORD_CHARS_MIN, PASSWORD_CHARS_MIN + 1];
            assert_eq!(around.map(|chars| fits(unit, chars)), [false, true, true], "{unit}");
        }
        let around = [PASSWORD_BYTES_MAX - 1, PASSWORD_BYTES_MAX, PASSWORD_BYTES_MAX + 1];
        assert_eq!(around.map(|bytes| fits("x", bytes)), [true, true, false]);
        assert!(fits("ü", PASSWORD_BYTES_MAX / 2) && !fits("ü", PASSWORD_BYTES_MAX / 2 + 1) && !fits("", 1));
    }
}
