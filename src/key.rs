//! API keys, and the secrets of browsers: made, hashed, never kept.
//!
//! A key is `alm_<env>_<48 hex>`, 24 bytes from the operating system. It cannot be guessed, so a fast hash is right for
//! it; Argon2id is for passwords. Rule: the text of a key exists in the response that made it and in its requests.

use rand::{TryRng, rngs::SysRng};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Random bytes in a key.
const KEY_BYTES: usize = 24;
/// Random bytes in a browser's secret.
const TOKEN_BYTES: usize = 32;
/// Characters of a key that are kept to tell keys apart.
const PREFIX_CHARS: usize = 12;

/// Whether a key may spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Env {
    /// It may.
    Live,
    /// It may not: the built-in model replies in the place of paid ones.
    Test,
}

impl Env {
    /// The word inside the key.
    pub fn as_str(self) -> &'static str {
        match self {
            Env::Live => "live",
            Env::Test => "test",
        }
    }

    /// From its word.
    pub fn parse(text: &str) -> Option<Self> {
        [Env::Live, Env::Test].into_iter().find(|env| env.as_str() == text)
    }
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every GET.
    Read,
    /// Everything under sessions and chat, and listing agents and models.
    Chat,
    /// Changing agents and projects.
    Write,
}

impl Scope {
    /// All of them: what a key gets when nobody says otherwise.
    pub const ALL: [Scope; 3] = [Scope::Read, Scope::Chat, Scope::Write];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Chat => "chat",
            Scope::Write => "write",
        }
    }

    /// From its word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }

    /// Scopes as one word list, `read,chat`; at least one, each known.
    pub fn parse_list(text: &str) -> Result<Vec<Self>> {
        let scopes: Option<Vec<_>> = text.split(',').map(|word| Self::parse(word.trim())).collect();
        scopes.ok_or_else(|| Error::invalid("scopes", "must be one or more of read, chat, write"))
    }

    /// The word list of `scopes`.
    pub fn join(scopes: &[Self]) -> String {
        scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(",")
    }
}

/// A key at the only moment it is known.
pub struct NewKey {
    /// The key itself.
    pub text: String,
    /// What is stored of it.
    pub hash: [u8; 32],
    /// What is shown of it later.
    pub prefix: String,
}

/// Characters of the name that says what a key is for.
pub const NAME_CHARS_MAX: usize = 120;

/// Accepts a key's name.
pub fn check_name(field: &str, name: &str) -> Result<()> {
    match name.chars().count() {
        1..=NAME_CHARS_MAX => Ok(()),
        _ => Err(Error::invalid(field, "must be 1 to 120 characters")),
    }
}

/// Makes a key.
pub fn generate(env: Env) -> Result<NewKey> {
    let text = format!("alm_{}_{}", env.as_str(), random_hex::<KEY_BYTES>()?);
    Ok(NewKey { hash: hash(&text), prefix: text[..PREFIX_CHARS].to_owned(), text })
}

/// The key that somebody has made: `alm_live_` or `alm_test_`, and as many digits as a key of ours has.
pub fn given(text: &str) -> Option<(Env, NewKey)> {
    let (env, digits) = text.strip_prefix("alm_")?.split_once('_')?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if digits.len() != 2 * KEY_BYTES || !digits.bytes().all(is_digit) {
        return None;
    }
    let new = NewKey { hash: hash(text), prefix: text[..PREFIX_CHARS].to_owned(), text: text.to_owned() };
    Some((Env::parse(env)?, new))
}

/// Makes the secret of a browser, or of a setup link. [`hash`] is what is kept of it.
pub fn generate_token() -> Result<String> {
    random_hex::<TOKEN_BYTES>()
}

fn random_hex<const BYTES: usize>() -> Result<String> {
    let mut bytes = [0; BYTES];
    SysRng.try_fill_bytes(&mut bytes).map_err(Error::internal)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What a key is looked up by. Its length is not checked first: an unknown key is an unknown hash.
pub fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_published_form_and_is_never_made_twice() {
        let key = generate(Env::Live).unwrap();
        let hex = key.text.strip_prefix("alm_live_").unwrap();
        assert!(hex.len() == 48 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(key.prefix, key.text[..12]);
        assert_eq!(key.hash, hash(&key.text));
        assert_ne!(key.text, generate(Env::Live).unwrap().text);
    }

    #[test]
    fn scopes_are_words_of_a_short_list() {
        assert_eq!(Scope::parse_list("read, chat").unwrap(), [Scope::Read, Scope::Chat]);
        assert_eq!(Scope::join(&Scope::ALL), "read,chat,write");
        for bad in ["", "read,", "admin"] {
            Scope::parse_list(bad).unwrap_err();
        }
    }
}
