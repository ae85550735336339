//! Secrets at rest: providers' keys, sealed with a key in a file beside the database and never in it.
//!
//! A stolen backup of the database alone opens nothing. Rule: a sealed value is bound to its place (`context`), so it
//! cannot be moved to another row.

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::{ffi::OsStrExt, fs::FileTypeExt},
    path::Path,
};

use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit,
    aead::{Aead, Payload},
};
use rand::{TryRng, rngs::SysRng};
use sha2::{Digest, Sha256};

use crate::{
    error::{Error, Result},
    secret::{PROVIDER_VARIABLE_PREFIX, Secret, TOOL_VARIABLE_PREFIX, trimmed},
};

/// The key file's name in the data folder.
pub const FILE_NAME: &str = "alm.key";
/// How the draft of a key file is called. One that is left over was cut off, and may be deleted.
const DRAFT_PREFIX: &str = "alm-draft-key-";
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
/// What tells a handful of servers on one host apart.
const MARK_BYTES: usize = 4;
/// Longest secret that is kept, in bytes.
const SECRET_BYTES_MAX: usize = 8_192;
/// What a folder's mark begins with, so that no other hash of the key is one.
const MARK_LABEL: &[u8] = b"alm: the mark of a data folder";
/// Longest name of an environment variable, in bytes.
const VARIABLE_BYTES_MAX: usize = 128;

/// A secret as it comes in.
pub enum NewCredential {
    /// Here; it will be sealed.
    Text(Secret),
    /// In that variable of the server's environment.
    Variable(String),
}

/// A secret as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// Sealed with the key file.
    Sealed(Vec<u8>),
    /// Not here: in that variable.
    Variable(String),
}

/// Seals and opens secrets. It shows nothing of itself.
#[derive(Clone)]
pub struct Sealer {
    cipher: ChaCha20Poly1305,
    /// The hash of the key that marks go on from.
    marks: Sha256,
}

impl Sealer {
    /// With the key in `file`, which is created, readable by its owner alone, if it is missing.
    pub fn open(file: &Path) -> Result<Self> {
        let unusable = |what: &str| Error::failed(format!("cannot use the key file {}: {what}", file.display()));
        if !file.exists() {
            let mut key = [0; KEY_BYTES];
            SysRng.try_fill_bytes(&mut key).map_err(Error::internal)?;
            write_new(file, &key).map_err(|error| unusable(&error.to_string()))?;
        }
        if file.metadata().is_ok_and(|facts| facts.file_type().is_fifo()) {
            return Err(unusable("it is a pipe, which a restart would find empty"));
        }
        let mut key = Vec::with_capacity(KEY_BYTES + 1);
        // One byte more tells a longer file, and a device without an end.
        let read = File::open(file).and_then(|file| file.take(KEY_BYTES as u64 + 1).read_to_end(&mut key));
        read.map_err(|error| unusable(&error.to_string()))?;
        let cipher =
            ChaCha20Poly1305::new_from_slice(&key).map_err(|_| unusable("it must be exactly 32 bytes long"))?;
        Ok(Sealer { cipher, marks: Sha256::new_with_prefix(MARK_LABEL).chain_update(&key) })
    }

    /// What is kept of a credential. What is wrong with it is said of the fields `secret` and `variable`.
    pub fn keep(&self, new: NewCredential, context: &str) -> Result<Credential> {
        match new {
            NewCredential::Text(text) => {
                let text = text.expose();
                let fits = (1..=SECRET_BYTES_MAX).contains(&text.len());
                if !fits || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(Error::invalid("secret", "must be 1 to 8192 visible ASCII characters, without spaces"));
                }
                Ok(Credential::Sealed(self.seal(text, context)?))
            }
            NewCredential::Variable(name) => {
                let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
                if !(1..=VARIABLE_BYTES_MAX).contains(&name.len()) || !name.bytes().all(known) {
                    return Err(Error::invalid("variable", "must be the name of an environment variable"));
                }
                Ok(Credential::Variable(name))
            }
        }
    }

    /// What tells this data folder from others on the same host: of its key and its place, so that neither a shared key file
    /// nor a copy of the folder makes two alike. It is the same after a restart.
    pub fn mark_of(&self, folder: &Path) -> [u8; MARK_BYTES] {
        let place = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let hash = self.marks.clone().chain_update(place.as_os_str().as_bytes()).finalize();
        *hash.first_chunk().expect("a hash is longer than a mark")
    }

    /// Seals `secret` for the place `context`.
    pub fn seal(&self, secret: &str, context: &str) -> Result<Vec<u8>> {
        let mut sealed = vec![0; NONCE_BYTES];
        SysRng.try_fill_bytes(&mut sealed).map_err(Error::internal)?;
        let nonce: [u8; NONCE_BYTES] = sealed[..].try_into().map_err(Error::internal)?;
        let payload = Payload { msg: secret.as_bytes(), aad: context.as_bytes() };
        let text = self.cipher.encrypt(&nonce.into(), payload).map_err(|_| Error::internal("sealing failed"))?;
        sealed.extend(text);
        Ok(sealed)
    }

    /// Opens what was sealed for the same place.
    pub fn unseal(&self, sealed: &[u8], context: &str) -> Result<Secret> {
        let broken = || Error::internal("a sealed secret does not open: was the key file replaced?");
        let (nonce, text) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or_else(broken)?;
        let payload = Payload { msg: text, aad: context.as_bytes() };
        let secret = self.cipher.decrypt(&(*nonce).into(), payload).map_err(|_| broken())?;
        String::from_utf8(secret).map(Secret::new).map_err(|_| broken())
    }
}

/// The secret in that variable of this process's environment, if it is set and holds more than white space. Nothing else reads a
/// secret from there.
pub fn from_environment(variable: &str) -> Option<Secret> {
    let text = std::env::var(variable).ok()?;
    Some(trimmed(&text)).filter(|text| !text.is_empty()).map(Secret::new)
}

/// What the variables of this process's environment hold that are there for secrets.
pub fn all_from_environment() -> Vec<Secret> {
    let is_for_secrets =
        |name: &String| [PROVIDER_VARIABLE_PREFIX, TOOL_VARIABLE_PREFIX].iter().any(|prefix| name.starts_with(prefix));
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter(is_for_secrets).filter_map(|name| from_environment(&name)).collect()
}

/// Links the finished file into place: of two processes that start at once, one creates it and the other finds it complete.
fn write_new(file: &Path, key: &[u8]) -> std::io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // New, under a name that nobody can guess, for its owner alone: the folder may be everybody's.
    let mut draft = tempfile::Builder::new().prefix(DRAFT_PREFIX).tempfile_in(folder)?;
    draft.write_all(key)?;
    draft.as_file().sync_all()?;
    match draft.persist_noclobber(file) {
        Err(error) if error.error.kind() != std::io::ErrorKind::AlreadyExists => Err(error.error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_in_its_place_with_its_key_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let sealer = Sealer::open(&folder.path().join("a")).unwrap();
        let sealed = sealer.seal("sk-secret", "provider/1").unwrap();
        assert!(!sealed.windows(6).any(|w| w == b"secret"));
        let again = Sealer::open(&folder.path().join("a")).unwrap();
        assert_eq!(again.unseal(&sealed, "provider/1").unwrap().expose(), "sk-secret");
        again.unseal(&sealed, "provider/2").unwrap_err();
        Sealer::open(&folder.path().join("b")).unwrap().unseal(&sealed, "provider/1").unwrap_err();
        again.unseal(&sealed[..5], "provider/1").unwrap_err();
    }

    #[test]
    fn a_folder_has_a_mark_of_its_own_that_stays() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mark = |key: &Path, folder: &Path| Sealer::open(key).unwrap().mark_of(folder);
        let key = one.path().join("a");
        let mine = mark(&key, one.path());
        assert_eq!(mark(&key, one.path()), mine);
        assert_eq!(mark(&key, &one.path().join(".")), mine, "however the folder is written");
        assert_ne!(mark(&key, two.path()), mine, "with one key file for both");
        assert_ne!(mark(&one.path().join("b"), one.path()), mine, "in containers that call both folders the same");
    }

    #[test]
    fn a_new_key_file_follows_no_link_and_keeps_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("seal.key"), folder.path().join("other"));
        std::fs::write(&other, "somebody's").unwrap();
        // A name that can be guessed.
        std::os::unix::fs::symlink(&other, file.with_extension(format!("new-{}", std::process::id()))).unwrap();
        Sealer::open(&file).unwrap();
        assert_eq!(std::fs::read(&other).unwrap(), b"somebody's");
        let dangling = folder.path().join("dangling");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &dangling).unwrap();
        assert!(Sealer::open(&dangling).is_err() && !folder.path().join("nowhere").exists());
        let key = std::fs::read(&file).unwrap();
        write_new(&file, &[0; KEY_BYTES]).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), key, "who comes second finds the first one's");
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.filter(|name| name.to_str().unwrap().starts_with(DRAFT_PREFIX)).count(), 0);
    }

    #[test]
    fn a_key_file_is_as_long_as_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        for (bytes, fits) in [(KEY_BYTES - 1, false), (KEY_BYTES, true), (KEY_BYTES + 1, false)] {
            std::fs::write(&file, vec![7; bytes]).unwrap();
            assert_eq!(Sealer::open(&file).is_ok(), fits, "{bytes}");
        }
        assert!(Sealer::open(Path::new("/dev/zero")).is_err());
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        assert!(Sealer::open(&pipe).err().unwrap().to_string().contains("is a pipe"), "it does not wait");
    }

    #[test]
    fn a_credential_is_kept_up_to_its_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let sealer = Sealer::open(&folder.path().join("a")).unwrap();
        let text = |length: usize| sealer.keep(NewCredential::Text(Secret::new("k".repeat(length))), "c");
        let variable = |length: usize| sealer.keep(NewCredential::Variable("V".repeat(length)), "c");
        for (length, max, keep) in [
            (SECRET_BYTES_MAX, SECRET_BYTES_MAX, &text as &dyn Fn(usize) -> Result<Credential>),
            (VARIABLE_BYTES_MAX, VARIABLE_BYTES_MAX, &variable),
        ] {
            assert!(keep(0).is_err() && keep(1).is_ok());
            assert!(keep(length - 1).is_ok() && keep(length).is_ok() && keep(max + 1).is_err());
        }
        assert!(sealer.keep(NewCredential::Text(Secret::new("a b")), "c").is_err());
        assert!(sealer.keep(NewCredential::Variable("A-B".into()), "c").is_err());
    }
}
