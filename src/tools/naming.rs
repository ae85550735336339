//! What a model calls the tools of an MCP server: `<slug>__<tool>`, in the characters and the length that every model takes.
//!
//! Rule: a name that was given stays. It stands in conversations, and a model that reads one of them calls it again.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::fingerprint::hex;

/// Longest name that every provider takes, in characters, which are all ASCII.
pub const NAME_CHARS_MAX: usize = 64;
/// What stands between a server's slug and a tool's own name; no slug and no other tool's name holds it.
pub const SEPARATOR: &str = "__";
/// Of a hash, in bytes: what tells apart names that are cut to the same.
const MARK_BYTES: usize = 4;
/// What is left of a name in front of `_` and the mark.
const HEAD_CHARS: usize = NAME_CHARS_MAX - 1 - 2 * MARK_BYTES;

/// The names for a server's tools, by what the server calls them. `given` are names of before, also those of tools that are gone: they
/// stay, and nobody else gets them.
pub fn names<'a>(
    slug: &str,
    remote_names: impl IntoIterator<Item = &'a str>,
    given: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut taken: BTreeSet<_> = given.values().cloned().collect();
    let mut names = BTreeMap::new();
    for remote_name in remote_names.into_iter().collect::<BTreeSet<_>>() {
        let name = match given.get(remote_name) {
            Some(name) => name.clone(),
            None => free(slug, remote_name, &taken),
        };
        taken.insert(name.clone());
        names.insert(remote_name.to_owned(), name);
    }
    names
}

fn free(slug: &str, remote_name: &str, taken: &BTreeSet<String>) -> String {
    let plain = plain(slug, remote_name);
    if plain.len() <= NAME_CHARS_MAX && !taken.contains(&plain) {
        return plain;
    }
    let path = format!("{slug}/{remote_name}");
    let marked = (0..).map(|round| match round {
        0 => with_mark(&plain, &path),
        // Two marks of four bytes were equal.
        again => with_mark(&plain, &format!("{path}/{again}")),
    });
    marked.into_iter().find(|name| !taken.contains(name)).expect("there are more marks than tools")
}

fn plain(slug: &str, remote_name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    slug.chars().chain(SEPARATOR.chars()).chain(remote_name.chars().map(fits)).collect()
}

fn with_mark(name: &str, path: &str) -> String {
    let mark = hex(&Sha256::digest(path)[..MARK_BYTES]);
    format!("{}_{mark}", &name[..name.len().min(HEAD_CHARS)])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(slug: &str, remote_name: &str) -> String {
        names(slug, [remote_name], &BTreeMap::new())[remote_name].clone()
    }

    #[test]
    fn a_name_is_the_slug_and_the_tool() {
        assert_eq!(one("github", "search_issues"), "github__search_issues");
        assert_eq!(one("my-fs", "read.file/\u{e9} 1"), "my-fs__read_file___1");
    }

    #[test]
    fn a_long_name_keeps_its_head_and_gets_a_mark() {
        let of = |chars: usize| one("s", &"x".repeat(chars - 3));
        assert_eq!(of(NAME_CHARS_MAX - 1), format!("s__{}", "x".repeat(60)));
        assert_eq!(of(NAME_CHARS_MAX), format!("s__{}", "x".repeat(61)));
        let long = of(NAME_CHARS_MAX + 1);
        assert_eq!(long.len(), NAME_CHARS_MAX);
        assert_eq!(&long[..56], format!("s__{}_", "x".repeat(52)));
        assert!(long[56..].bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(long, of(NAME_CHARS_MAX + 2), "the mark is of the whole name");
    }

    #[test]
    fn of_equal_names_the_first_in_byte_order_keeps_its_own() {
        let names = names("s", ["a_b", "a.b", "a/b"], &BTreeMap::new());
        assert_eq!(names["a.b"], "s__a_b");
        assert!(names["a/b"].starts_with("s__a_b_") && names["a_b"].starts_with("s__a_b_"), "{names:?}");
        assert_ne!(names["a/b"], names["a_b"]);
    }

    #[test]
    fn a_name_that_was_given_stays_whatever_else_comes() {
        let first = names("s", ["a_b"], &BTreeMap::new());
        assert_eq!(first["a_b"], "s__a_b");
        let second = names("s", ["a.b", "a_b"], &first);
        assert_eq!(second["a_b"], "s__a_b");
        assert!(second["a.b"].starts_with("s__a_b_"));
        let gone = names("s", ["a.b"], &second);
        assert_eq!(gone["a.b"], second["a.b"]);
    }

    proptest! {
        #[test]
        fn every_name_fits_every_model_and_is_the_only_one(remote in proptest::collection::vec("[a-c._/ \u{e9}-]{0,70}", 0..30)) {
            let names = names("a-server-with-a-long-slug", remote.iter().map(String::as_str), &BTreeMap::new());
            let fits = |name: &String| {
                name.len() <= NAME_CHARS_MAX && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
            };
            prop_assert!(names.values().all(fits));
            let different: BTreeSet<_> = names.values().collect();
            prop_assert_eq!(different.len(), names.len());
        }
    }
}
