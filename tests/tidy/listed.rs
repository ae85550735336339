//! Files that nobody lists, and where unit tests stand: in their file, or in `tests.rs` of a folder of its name.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
};

use crate::{
    modules::{candidates, declared},
    none,
    source::{Source, files, root, sources},
};

/// Whether cargo finds a target here by itself.
fn is_target(path: &Path) -> bool {
    let parts: Vec<_> = path.iter().map(|part| part.to_str().unwrap()).collect();
    match parts[..] {
        ["src", name] => name == "lib.rs" || name == "main.rs",
        ["tests" | "benches" | "examples", _] => true,
        ["tests" | "benches" | "examples", _, name] => name == "main.rs",
        _ => false,
    }
}

/// Files that no `mod` of a target leads to.
fn unlisted(sources: &[Source]) -> Vec<String> {
    let by_path: HashMap<&Path, &Source> = sources.iter().map(|source| (&*source.path, source)).collect();
    let mut left: Vec<_> = sources.iter().filter(|source| is_target(&source.path)).collect();
    let mut known = BTreeSet::new();
    while let Some(source) = left.pop() {
        if known.insert(&source.path) {
            let children = declared(source);
            let files = children.iter().flat_map(|child| candidates(&source.path, is_target(&source.path), child));
            left.extend(files.filter_map(|path| by_path.get(&*path)));
        }
    }
    let dead = sources.iter().filter(|source| !known.contains(&source.path));
    dead.map(|source| format!("{}:1: no mod line leads here", source.path.display())).collect()
}

/// Unit tests in another place than the two.
fn misplaced(source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    for child in declared(source) {
        if child.path.is_some() {
            wrong.push(format!("{}: {} has a #[path]", source.at(child.offset), child.name));
        }
        if child.name.ends_with("_tests") {
            wrong.push(format!("{}: call it tests, in a folder of the module's name", source.at(child.offset)));
        }
    }
    wrong
}

/// Files of scripts that no other names.
fn unnamed(paths: &[PathBuf], text: &str) -> Vec<String> {
    let run_by_name = |name: &str| name.ends_with(".test.mjs");
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let dead = paths.iter().filter(|path| !run_by_name(&name(path)) && !text.contains(&name(path)));
    dead.map(|path| format!("{}:1: nothing names this file", path.display())).collect()
}

#[test]
fn every_file_is_listed() {
    none(unlisted(&sources(&["src", "tests", "benches", "examples"])));
    let scripts = files(&["tests"], "mjs");
    let readers = scripts.iter().cloned().chain(files(&["tests"], "json")).chain(files(&["tests"], "sh"));
    let mut text = fs::read_to_string(root().join("tests/run")).unwrap();
    for path in readers.chain([PathBuf::from("CONTRIBUTING.md")]) {
        text += &fs::read_to_string(root().join(path)).unwrap();
    }
    none(unnamed(&scripts, &text));
}

#[test]
fn unit_tests_stand_in_their_file_or_in_tests_rs() {
    none(sources(&["src"]).iter().flat_map(misplaced).collect());
}

#[test]
fn a_file_without_a_mod_line_and_tests_in_another_place_are_found() {
    let of = |main: &str| {
        let files = [
            ("tests/api/main.rs", main),
            ("tests/api/a.rs", "mod tests;"),
            ("tests/api/a/tests.rs", ""),
            ("tests/x.rs", ""),
        ];
        files.map(|(path, text)| Source::new(path, text))
    };
    assert_eq!(unlisted(&of("mod a;")), Vec::<String>::new());
    assert_eq!(
        unlisted(&of("// mod a;")),
        ["tests/api/a.rs:1: no mod line leads here", "tests/api/a/tests.rs:1: no mod line leads here"]
    );
    assert_eq!(misplaced(&Source::new("a.rs", "#[cfg(test)]\nmod tests;")), Vec::<String>::new());
    assert_eq!(misplaced(&Source::new("a.rs", "\n#[path = \"b.rs\"]\nmod tests;")), ["a.rs:3: tests has a #[path]"]);
    assert_eq!(unnamed(&["t/a.mjs".into(), "t/b.test.mjs".into()], "import './a.mjs'"), Vec::<String>::new());
    assert_eq!(unnamed(&["t/a.mjs".into()], "import './b.mjs'"), ["t/a.mjs:1: nothing names this file"]);
}
