//! The tree of modules as the compiler sees it, and the arrows between its files.
//!
//! An arrow goes from a file that names something to the file that defines it: `pub use` is looked through, and names
//! that only pass through a file are no arrows of its own. Neither are `mod` lines, imported modules of which nothing is
//! named, and tests. What a parent module defines is the parent's, so a child that names it points up.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    path::{Path, PathBuf},
};

use crate::{
    paths::{Kind, Named, paths},
    source::{Source, item_end},
};

/// How often a name may pass from one `pub use` to the next.
const EXPORTS_MAX: usize = 8;
/// What our own binary and tests call the library.
const LIBRARY: &str = "alm";

/// One crate.
pub struct Tree<'a> {
    pub modules: BTreeMap<Vec<String>, Module<'a>>,
}

/// A file in it.
pub struct Module<'a> {
    pub source: &'a Source,
    /// Whether it is compiled for tests alone.
    pub is_test: bool,
    named: Vec<Named>,
    names: HashMap<String, Vec<String>>,
}

/// That a file names something of another.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrow {
    pub from: Vec<String>,
    /// `file:line`.
    pub at: String,
    /// The path as written, from the crate's root.
    pub path: Vec<String>,
    /// The module whose file defines it; none for a module that is only imported.
    pub to: Option<Vec<String>>,
    /// Whether it is only given on.
    pub exported: bool,
}

/// A `mod name;` of a file: its name, its offset, whether it is for tests alone, and the file that it names.
pub struct Declared {
    pub name: String,
    pub offset: usize,
    pub is_test: bool,
    pub path: Option<String>,
}

/// The `mod name;` of a file.
pub fn declared(source: &Source) -> Vec<Declared> {
    let mut found = Vec::new();
    for (offset, _) in source.bare.match_indices("mod ") {
        let line_start = source.bare[..offset].rfind('\n').map_or(0, |at| at + 1);
        let before = source.bare[line_start..offset].trim();
        let Some((name, _)) = source.bare[offset + 4..].split_once(';').filter(|(name, _)| is_name(name)) else {
            continue;
        };
        if !(before.is_empty() || before.starts_with("pub")) {
            continue;
        }
        let item_start = source.bare[..line_start].rfind([';', '}', '{']).map_or(0, |at| at + 1);
        let attributes = &source.text[item_start..offset];
        let path = attributes.split_once("#[path = \"").and_then(|(_, rest)| Some(rest.split_once('"')?.0.to_owned()));
        let is_test = source.bare[item_start..offset].contains("#[cfg(test)]");
        found.push(Declared { name: name.to_owned(), offset, is_test, path });
    }
    found
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}

/// Where a crate's file looks for a child module.
pub fn candidates(file: &Path, is_root: bool, child: &Declared) -> Vec<PathBuf> {
    let folder = file.parent().unwrap();
    if let Some(path) = &child.path {
        return vec![plain(&folder.join(path))];
    }
    let folder = if is_root || file.ends_with("mod.rs") { folder.to_owned() } else { file.with_extension("") };
    vec![folder.join(format!("{}.rs", child.name)), folder.join(&child.name).join("mod.rs")]
}

/// A path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path {
        if part == ".." {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}

impl<'a> Tree<'a> {
    /// The crate that begins with this file.
    pub fn of(root: &str, sources: &'a [Source]) -> Self {
        let by_path: HashMap<&Path, &Source> = sources.iter().map(|source| (&*source.path, source)).collect();
        let mut tree = Tree { modules: BTreeMap::new() };
        let mut left = vec![(Vec::new(), by_path[Path::new(root)], false)];
        while let Some((module, source, is_test)) = left.pop() {
            for child in declared(source) {
                let found = candidates(&source.path, module.is_empty(), &child).into_iter();
                if let Some(file) = found.filter_map(|path| by_path.get(&*path)).next() {
                    left.push((
                        [&module[..], std::slice::from_ref(&child.name)].concat(),
                        file,
                        is_test || child.is_test,
                    ));
                }
            }
            let named = paths(&source.code);
            let names = named.iter().filter_map(|named| match &named.kind {
                Kind::Import(name) | Kind::Export(name) => Some((name.clone(), named.words.clone())),
                Kind::Used => None,
            });
            let names = names.collect();
            tree.modules.insert(module, Module { source, is_test, named, names });
        }
        tree
    }

    /// Every arrow of its code.
    pub fn arrows(&self) -> Vec<Arrow> {
        let mut arrows = BTreeSet::new();
        for (from, module) in self.modules.iter().filter(|(_, module)| !module.is_test) {
            for named in &module.named {
                let Some(path) = self.absolute(from, &named.words, named.kind == Kind::Used) else { continue };
                let to = self.definition(&path, 0).filter(|to| to != from);
                let exported = match &named.kind {
                    Kind::Export(name) => !self.says(module, name),
                    _ => false,
                };
                arrows.insert(Arrow { from: from.clone(), at: module.source.at(named.offset), path, to, exported });
            }
        }
        arrows.into_iter().collect()
    }

    /// Whether a file says a name besides importing it.
    fn says(&self, module: &Module, name: &str) -> bool {
        module.named.iter().any(|named| named.kind == Kind::Used && named.words[0] == name)
    }

    /// A path from the crate's root on; none for what is not of the crate.
    fn absolute(&self, from: &[String], words: &[String], alone: bool) -> Option<Vec<String>> {
        let mut base = from.to_vec();
        let mut rest = words;
        match words[0].as_str() {
            // As in `pub(super)`.
            "crate" | "self" | "super" if alone && words.len() == 1 => return None,
            "crate" | LIBRARY => (base, rest) = (Vec::new(), &words[1..]),
            "self" => rest = &words[1..],
            "super" => {
                while rest.first().is_some_and(|word| word == "super") {
                    base.pop()?;
                    rest = &rest[1..];
                }
            }
            first => {
                let imported = self.modules[from].names.get(first).filter(|_| alone && words.len() > 1);
                if let Some(path) = imported.filter(|path| path[0] != *first) {
                    return self.absolute(from, &[&path[..], &words[1..]].concat(), false);
                }
                base.push(first.to_owned());
                if words.len() == 1 || !self.modules.contains_key(&base) {
                    return None;
                }
                rest = &words[1..];
            }
        }
        Some([&base[..], rest].concat())
    }

    /// The module whose file defines what an absolute path names.
    fn definition(&self, path: &[String], exports: usize) -> Option<Vec<String>> {
        let mut at = Vec::new();
        for (n, word) in path.iter().enumerate() {
            let rest = &path[n + 1..];
            let child = [&at[..], std::slice::from_ref(word)].concat();
            let given_on =
                self.modules[&at].names.get(word).filter(|_| rest.is_empty() || !self.modules.contains_key(&child));
            if let Some(words) = given_on.filter(|_| exports < EXPORTS_MAX) {
                let path = self.absolute(&at, &[&words[..], rest].concat(), false)?;
                return self.definition(&path, exports + 1);
            }
            if !self.modules.contains_key(&child) {
                return Some(at);
            }
            at = child;
        }
        None
    }

    /// Every path of its code that leads out of the crate: the module, `file:line`, and the path.
    pub fn foreign(&self) -> Vec<(Vec<String>, String, Vec<String>)> {
        let mut found = Vec::new();
        for (from, module) in self.modules.iter().filter(|(_, module)| !module.is_test) {
            for named in module.named.iter().filter(|named| named.words.len() > 1 || named.kind != Kind::Used) {
                if self.absolute(from, &named.words, true).is_some() {
                    continue;
                }
                let imported = module.names.get(&named.words[0]).filter(|_| named.kind == Kind::Used);
                let path = imported.map_or(named.words.clone(), |path| [path, &named.words[1..]].concat());
                found.push((from.clone(), module.source.at(named.offset), path));
            }
        }
        found
    }

    /// A file's path.
    pub fn file(&self, module: &[String]) -> &Path {
        &self.modules[module].source.path
    }

    /// One circle of each knot of files, as a path.
    pub fn circles(&self) -> Vec<String> {
        let mut steps: BTreeMap<Vec<String>, BTreeMap<Vec<String>, String>> = BTreeMap::new();
        for arrow in self.arrows() {
            if let (Some(to), false) = (arrow.to, arrow.exported) {
                steps.entry(arrow.from).or_default().entry(to).or_insert(arrow.at);
            }
        }
        let (mut circles, mut known) = (Vec::new(), BTreeSet::new());
        for start in steps.keys() {
            let Some(circle) = shortest(&steps, start) else { continue };
            if circle.iter().all(|module| known.insert(module.clone())) {
                let places = circle.iter().enumerate().map(|(n, from)| &*steps[from][&circle[(n + 1) % circle.len()]]);
                let path = places.collect::<Vec<_>>().join(" → ");
                circles.push(format!("{path} → {}", self.file(start).display()));
            }
        }
        circles
    }
}

/// The shortest way from a module back to itself.
fn shortest(
    steps: &BTreeMap<Vec<String>, BTreeMap<Vec<String>, String>>,
    start: &Vec<String>,
) -> Option<Vec<Vec<String>>> {
    let (mut came_from, mut left) = (BTreeMap::new(), VecDeque::from([start]));
    while let Some(at) = left.pop_front() {
        for next in steps.get(at).into_iter().flat_map(BTreeMap::keys) {
            if next == start {
                let mut way: Vec<_> =
                    std::iter::successors(Some(at), |at| came_from.get(*at).copied()).cloned().collect();
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(next) {
                came_from.insert(next, at);
                left.push_back(next);
            }
        }
    }
    None
}

/// The functions of a file: name, offset and lines.
pub fn functions(source: &Source) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (offset, _) in source.bare.match_indices("fn ") {
        let begins = source.bare[..offset].bytes().next_back().is_none_or(|byte| byte == b' ' || byte == b'\n');
        let name: String = source.bare[offset + 3..].chars().take_while(|c| *c == '_' || c.is_alphanumeric()).collect();
        if begins && !name.is_empty() {
            let lines = source.bare[offset..item_end(&source.bare, offset)].matches('\n').count() + 1;
            found.push((name, offset, lines));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(files: &[(&str, &str)]) -> Vec<Source> {
        files.iter().map(|(path, text)| Source::new(*path, text)).collect()
    }

    #[test]
    fn a_circle_through_a_parent_module_is_seen_and_a_name_that_passes_is_none() {
        let good = [
            ("src/lib.rs", "mod a;"),
            ("src/a/mod.rs", "mod b;\nmod c;\npub use c::X;\n#[cfg(test)]\nmod tests { use super::b::y; }"),
            ("src/a/b.rs", "use super::X;\nuse crate::a;\npub fn y(x: X) { a::c::z() }"),
            ("src/a/c.rs", "pub struct X;\npub fn z() {}"),
        ];
        assert_eq!(Tree::of("src/lib.rs", &sources(&good)).circles(), Vec::<String>::new());
        let mut bad = good;
        bad[1].1 = "mod b;\nmod c;\nuse b::y;\npub struct X;\nfn f() { y(X) }";
        let expected = "src/a/mod.rs:3 → src/a/b.rs:1 → src/a/mod.rs";
        assert_eq!(Tree::of("src/lib.rs", &sources(&bad)).circles(), [expected]);
        bad[1].1 = "mod b;\nmod c;\npub use c::X;\nfn f(x: X) {}";
        bad[3].1 = "use super::b;\npub struct X;\n\nfn z() { b::y(X) }";
        let expected = "src/a/b.rs:1 → src/a/c.rs:4 → src/a/b.rs";
        assert_eq!(Tree::of("src/lib.rs", &sources(&bad)).circles(), [expected]);
    }

    #[test]
    fn a_function_is_counted_from_its_first_line_to_its_brace() {
        let source = Source::new("x.rs", "fn a(\n    x: [u8; 2],\n) {\n    \"}\";\n}\n\ntrait T {\n    fn b();\n}\n");
        assert_eq!(functions(&source), [("a".to_owned(), 0, 5), ("b".to_owned(), 52, 1)]);
    }
}
