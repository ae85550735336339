//! What an operator wants of a local model.

use std::{collections::HashSet, path::PathBuf, time::Duration};

use super::arguments;
use crate::error::{Error, Result};

/// Local models of a server, each of which is a process.
pub const LOCAL_MODELS_MAX: usize = 8;
/// The longest name of one: it is a part of a host's name and of a file's.
pub const NAME_BYTES_MAX: usize = 63;

/// A local model.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What it is called: `local/NAME`.
    pub name: String,
    /// The model, a GGUF file.
    pub file: PathBuf,
    /// The program that runs it, instead of the one that is found.
    pub program: Option<PathBuf>,
    /// Tokens of one conversation, instead of what fits.
    pub context: Option<u32>,
    /// Conversations at a time.
    pub slots: Option<u32>,
    /// Threads that compute.
    pub threads: Option<u32>,
    /// How long nobody asks until the process is ended; zero: never.
    pub idle: Duration,
    /// A chat template, instead of the file's own.
    pub template: Option<PathBuf>,
    /// What the program is told besides.
    pub args: Vec<String>,
}

/// Refuses what cannot work, whatever the files are.
pub(super) fn check(all: &[Settings]) -> Result<()> {
    if all.len() > LOCAL_MODELS_MAX {
        return Err(Error::failed(format!(
            "there are {} local models: {LOCAL_MODELS_MAX} are possible, each of which is a process",
            all.len()
        )));
    }
    let mut names = HashSet::new();
    for Settings { name, slots, context, args, .. } in all {
        if !is_name(name) {
            return Err(Error::failed(format!(
                "{name} cannot be the name of a local model: take 1 to {NAME_BYTES_MAX} letters, digits, dots, dashes and underscores, \
                 with a letter or a digit first and last"
            )));
        }
        // A host's name knows no case.
        if !names.insert(name.to_ascii_lowercase()) {
            return Err(Error::failed(format!("two local models are called {name}")));
        }
        if *slots == Some(0) || *context == Some(0) {
            return Err(Error::failed("a local model has a slot and a context of at least 1"));
        }
        if let Some(flag) = args.iter().find_map(|word| arguments::of_ours(word)) {
            return Err(Error::failed(format!("--gguf-args: {flag} is alm's own to set: leave it out")));
        }
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    bytes.len() <= NAME_BYTES_MAX
        && is_end(bytes.first())
        && is_end(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A model of that name.
    pub fn of(name: &str) -> Settings {
        Settings {
            name: name.into(),
            file: "/m.gguf".into(),
            program: None,
            context: None,
            slots: None,
            threads: None,
            idle: Duration::ZERO,
            template: None,
            args: Vec::new(),
        }
    }

    fn refused(all: &[Settings]) -> Option<String> {
        check(all).err().map(|error| error.to_string())
    }

    #[test]
    fn as_many_local_models_as_may_be_have_names_of_their_own() {
        let many = |count: usize| (0..count).map(|n| of(&format!("m{n}"))).collect::<Vec<_>>();
        let fits = |count: usize| refused(&many(count)).is_none();
        assert_eq!([LOCAL_MODELS_MAX - 1, LOCAL_MODELS_MAX, LOCAL_MODELS_MAX + 1].map(fits), [true, true, false]);
        assert_eq!(refused(&[of("m"), of("M")]).unwrap(), "two local models are called M");
        let long = |length: usize| refused(&[of(&"x".repeat(length))]).is_none();
        assert_eq!([NAME_BYTES_MAX - 1, NAME_BYTES_MAX, NAME_BYTES_MAX + 1].map(long), [true, true, false]);
        for name in ["", ".", "..", "a/b", "a b", "-a", "a-", "ä", "a,b"] {
            assert!(refused(&[of(name)]).unwrap().contains("cannot be the name"), "{name}");
        }
        assert_eq!(refused(&[of("Qwen2.5_0.5b-Q4_K")]), None);
    }

    #[test]
    fn what_alm_sets_is_refused_and_anything_else_is_passed_on() {
        let told =
            |args: &[&str]| refused(&[Settings { args: args.iter().map(|arg| (*arg).into()).collect(), ..of("m") }]);
        assert_eq!(told(&["--mlock", "-ngl", "99"]), None);
        assert_eq!(
            told(&["-ngl", "9", "--port", "1"]).unwrap(),
            "--gguf-args: --port is alm's own to set: leave it out"
        );
        assert!(refused(&[Settings { slots: Some(0), ..of("m") }]).is_some());
        assert!(refused(&[Settings { context: Some(0), ..of("m") }]).is_some());
    }
}
