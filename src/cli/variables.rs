//! What surrounds a value: where it comes from, and what stands around it.
//!
//! Rule: every flag has its variable, but what destroys or agrees. A variable that is empty is absent, and white space,
//! a byte order mark or quotes around its value are no part of it: files of variables come from editors, and not
//! everything that reads them is a shell.
//! Rule: a path is what it says. What a shell would have expanded is refused, before a folder of that name is made.

use std::{
    any::TypeId,
    ffi::{OsStr, OsString},
    path::{Component, Path, PathBuf},
};

use clap::{
    Arg, ArgAction, Command,
    builder::{FalseyValueParser, TypedValueParser},
    error::ErrorKind,
};

use crate::error::{Error, Result};

/// Gives every flag its variable: `--data-dir` is also `ALM_DATA_DIR`. And every path and every switch its own reader.
pub fn with_variables(command: Command) -> Command {
    command.mut_args(|flag| with_variable(with_reader(flag))).mut_subcommands(with_variables)
}

fn with_reader(flag: Arg) -> Arg {
    if matches!(flag.get_action(), ArgAction::SetTrue) {
        return flag.value_parser(FalseyValueParser::new());
    }
    if flag.get_value_parser().type_id() == TypeId::of::<PathBuf>() { flag.value_parser(PathReader) } else { flag }
}

/// What destroys or agrees is said each time: a variable that was set once would go on saying it.
pub fn is_meant_once(long: &str) -> bool {
    ["force", "yes", "replace", "vacuum"].contains(&long)
}

fn with_variable(flag: Arg) -> Arg {
    let Some(long) = flag.get_long().filter(|long| !is_meant_once(long)) else { return flag };
    let name = format!("ALM_{}", long.replace('-', "_").to_uppercase());
    let Some(raw) = std::env::var_os(&name) else { return flag.env(name) };
    match trimmed(&raw) {
        None => flag,
        Some(value) if value == raw => flag.env(name),
        // The variable itself cannot be mended, so it stands in as what the flag is by default.
        Some(value) => flag.default_value(value).required(false),
    }
}

/// What a list with commas names: white space around a name is no part of it, and nothing names nobody.
pub fn named(list: Vec<String>) -> Vec<String> {
    list.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// The folder that a variable of the system's names, if it does.
pub fn folder_variable(name: &str) -> Result<Option<PathBuf>> {
    let Some(path) = std::env::var_os(name).and_then(|raw| trimmed(&raw)).map(PathBuf::from) else { return Ok(None) };
    match unexpanded(&path) {
        Some(wrong) => Err(Error::failed(format!("{name} is {}: {wrong}", path.display()))),
        None => Ok(Some(path)),
    }
}

fn trimmed(raw: &OsStr) -> Option<OsString> {
    // What is no text is no text with something around it.
    let Some(text) = raw.to_str() else { return Some(raw.to_owned()) };
    let blank = |c: char| c.is_whitespace() || c == '\u{feff}';
    let text = text.trim_matches(blank);
    let quoted = ['"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote));
    let text = quoted.map_or(text, |inner| inner.trim_matches(blank));
    (!text.is_empty()).then(|| text.into())
}

/// Reads a path.
#[derive(Clone)]
struct PathReader;

impl TypedValueParser for PathReader {
    type Value = PathBuf;

    fn parse_ref(&self, command: &Command, flag: Option<&Arg>, value: &OsStr) -> Result<PathBuf, clap::Error> {
        let path = PathBuf::from(value);
        let text = value.to_string_lossy();
        let wrong = match text.trim_end_matches(['\r', '\n']) {
            "" => Some("it is empty".into()),
            // A script with the line ends of another system.
            whole if whole != text => Some("it ends in a line break".into()),
            _ => unexpanded(&path),
        };
        let Some(wrong) = wrong else { return Ok(path) };
        let flag = flag.map(ToString::to_string).unwrap_or_default();
        let sentence = format!("invalid value '{}' for '{flag}': {wrong}", path.display());
        Err(command.clone().error(ErrorKind::ValueValidation, sentence))
    }
}

/// What a shell would have expanded in a path, as a sentence. `./` before it says that it is meant as it stands.
pub fn unexpanded(path: &Path) -> Option<String> {
    let mut before = PathBuf::new();
    for (at, component) in path.components().enumerate() {
        let Component::Normal(name) = component else {
            if component == Component::CurDir {
                return None;
            }
            before.push(component);
            continue;
        };
        let name = name.to_str().unwrap_or_default();
        let is_home = name == "~" || (at == 0 && name.starts_with('~'));
        let is_variable = name.contains("${")
            || name.strip_prefix('$').is_some_and(|rest| rest.starts_with(|c: char| c.is_alphabetic() || c == '_'));
        before.push(name);
        // A folder that is there is no mistake.
        if is_home || (is_variable && !before.exists()) {
            let mut sentence = format!("no shell has expanded {name}: write the whole path");
            let home = std::env::home_dir().filter(|home| home.is_absolute());
            if let Some(home) = home.filter(|_| at == 0 && ["~", "$HOME", "${HOME}"].contains(&name)) {
                let whole = home.join(path.strip_prefix(name).unwrap_or(path));
                sentence += &format!(", such as {}", whole.display());
            }
            return Some(sentence + &format!("; ./{} is one that is called so", path.display()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_surrounds_a_value_is_no_part_of_it_and_nothing_is_absent() {
        for raw in ["127.0.0.1:0", " 127.0.0.1:0\r\n", "\u{feff}127.0.0.1:0", "\"127.0.0.1:0\"\n", "' 127.0.0.1:0 '"] {
            assert_eq!(trimmed(raw.as_ref()), Some("127.0.0.1:0".into()), "{raw:?}");
        }
        for raw in ["", " ", "\r\n", "\u{feff}", "\"\"", "' '"] {
            assert_eq!(trimmed(raw.as_ref()), None, "{raw:?}");
        }
        let list = ["a", " b", "", " ", "c\r"].map(str::to_owned);
        assert_eq!(named(list.to_vec()), ["a", "b", "c"]);
        for raw in ["\"", "a\"b", "\"a", "it's"] {
            assert_eq!(trimmed(raw.as_ref()), Some(raw.into()));
        }
    }

    #[test]
    fn a_path_that_no_shell_has_expanded_is_refused() {
        for path in [
            "~",
            "~/alm",
            "~ada/alm",
            "/srv/~/alm",
            "$HOME/alm",
            "${HOME}/alm",
            "/srv/$NAME",
            "/srv/a${B}c/d",
            "../~/x",
        ] {
            let sentence = unexpanded(Path::new(path)).unwrap_or_else(|| panic!("{path}"));
            assert!(sentence.contains("expanded") && sentence.ends_with(&format!("./{path} is one that is called so")));
        }
        for path in ["./~", "./$HOME/x", "a~", "a~b/c", "/srv/x$", "/srv/$1/x", "../x", "/", "data", "a/~x", "ä ö"] {
            assert_eq!(unexpanded(Path::new(path)), None, "{path}");
        }
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("$RECYCLE.BIN");
        assert!(unexpanded(&odd.join("x")).is_some());
        std::fs::create_dir(&odd).unwrap();
        assert_eq!(unexpanded(&odd.join("x")), None);
        if let Some(home) = std::env::home_dir() {
            assert!(unexpanded(Path::new("~/alm")).unwrap().contains(&home.join("alm").display().to_string()));
        }
    }
}
