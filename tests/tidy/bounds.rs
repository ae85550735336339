//! Bounds that no test names.
//!
//! A test names a bound as Rust does: in a module of the same name by its name alone, elsewhere as `module::NAME`, in code
//! or in a text. Deliberately absent: whether what the test says of it is enough.

use std::path::Path;

use crate::{
    none,
    source::{Source, is_word, sources},
};

/// How the names of bounds end.
const ENDINGS: [&str; 2] = ["_MAX", "_MIN"];

/// Bounds that no test names, and why.
const UNTESTED: [(&str, &str); 19] = [
    ("folder::READERS_MAX", "Store::open takes it, and is tested with another"),
    ("globals::COMMAND_READERS_MAX", "the same"),
    ("transfer::LINE_BYTES_MAX", "next_line takes it, and is tested with another"),
    ("read::AGENTS_MAX", "Org::agents takes it, and is tested with others"),
    ("read::PAGE_BYTES_MAX", "Org::messages takes it, and is tested with others"),
    ("recall::HISTORY_BYTES_MAX", "Org::history takes it, and is tested with others"),
    ("limits::CONNECTION_AGE_MAX", "Limits holds it, and is tested with a shorter one"),
    ("repair::BOUND_MIN", "a guess at what a number in a sentence means"),
    ("upstream::LOAD_WAIT_MAX", "patience while a server says that it loads its model"),
    ("app::BODIES_BYTES_MAX", "Budget takes it, and is tested with another"),
    ("app::PAGES_BYTES_MAX", "the same"),
    ("connection::STATEMENTS_MAX", "a cache: what it does not hold is compiled once more"),
    ("password::IDLE_MEMORIES_MAX", "the same: what it does not hold is taken anew"),
    ("messages::PAGE_SIZE_INLINE_MAX", "decides where a page is read, not what it holds"),
    ("outbound::READS_PER_POLL_MAX", "decides when a worker looks elsewhere, not what is read"),
    ("upstream::ERROR_BYTES_MAX", "Body::read_up_to takes it, and is tested with others"),
    ("asked::REFUSAL_BYTES_MAX", "the same"),
    ("line::AROUND_BYTES_MAX", "makes room for PIECE_BYTES_MAX, which is tested"),
    ("sandbox::MESSAGES_MAX", "only tests build it"),
];

/// The name of a file's module: unit tests in a file of their own belong to the module that they test.
fn module(path: &Path) -> String {
    let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    match &*stem(path) {
        "mod" | "tests" => path.parent().map_or_else(String::new, stem),
        _ => stem(path),
    }
}

/// The bounds of a file, each with its place.
fn bounds(source: &Source) -> Vec<(&str, String)> {
    let consts = source.code.match_indices("const ").filter_map(|(at, word)| {
        let rest = &source.code[at + word.len()..];
        let name = &rest[..rest.bytes().position(|byte| !is_word(byte))?];
        ENDINGS.iter().any(|ending| name.ends_with(ending)).then(|| (name, source.at(at)))
    });
    consts.collect()
}

/// Whether a text holds a word.
fn holds(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let bytes = text.as_bytes();
        let before = at.checked_sub(1).is_some_and(|before| is_word(bytes[before]));
        !before && !bytes.get(at + word.len()).copied().is_some_and(is_word)
    })
}

/// Bounds that no test names, and exceptions that are none.
fn unnamed(sources: &[Source], exceptions: &[(&str, &str)]) -> Vec<String> {
    let tests: Vec<_> = sources.iter().map(|source| (module(&source.path), source.tests())).collect();
    let mut unused: Vec<_> = exceptions.iter().map(|(name, _)| *name).collect();
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| source.path.starts_with("src")) {
        let home = module(&source.path);
        for (name, at) in bounds(source) {
            let path = format!("{home}::{name}");
            let names = |(of, text): &(String, String)| holds(text, &path) || *of == home && holds(text, name);
            if tests.iter().any(names) {
                continue;
            }
            if !exceptions.iter().any(|(known, _)| *known == path) {
                wrong.push(format!("{at}: no test names {path}: test it one under, at and one over"));
            }
            unused.retain(|known| *known != path);
        }
    }
    wrong.extend(unused.iter().map(|name| format!("tests/tidy/bounds.rs: {name} needs no exception: strike it out")));
    wrong
}

#[test]
fn every_bound_is_named_by_a_test() {
    let mut sources = sources(&["src", "tests"]);
    // What only tests build has bounds on the tests; and this file names all the others.
    sources.retain(|source| !source.path.starts_with("src/properties") && !source.path.starts_with("tests/tidy"));
    none(unnamed(&sources, &UNTESTED));
}

#[test]
fn a_bound_that_no_test_names_is_found() {
    let of = |more: &str, elsewhere: &str| {
        let bound = "const X_MAX: usize = 1;\nfn f() { g(X_MAX) } // a::X_MAX\n";
        [
            ("src/a/mod.rs", &*format!("{bound}{more}")),
            ("src/b.rs", "const X_MIN_OF: u8 = 1;"),
            ("tests/c.rs", elsewhere),
        ]
        .map(|(path, text)| Source::new(path, text))
    };
    let missing = ["src/a/mod.rs:1: no test names a::X_MAX: test it one under, at and one over"];
    assert_eq!(unnamed(&of("", "X_MAX; b::X_MAX; a::X_MAX_OF; // a::X_MAX"), &[]), missing);
    assert_eq!(unnamed(&of("#[cfg(test)]\nmod tests { fn t() { X_MAX; } }", ""), &[]), Vec::<String>::new());
    assert_eq!(unnamed(&of("", "\"a::X_MAX\""), &[]), Vec::<String>::new());
    assert_eq!(unnamed(&of("", ""), &[("a::X_MAX", "because")]), Vec::<String>::new());
    let unneeded = ["tests/tidy/bounds.rs: a::X_MAX needs no exception: strike it out"];
    assert_eq!(unnamed(&of("", "a::X_MAX"), &[("a::X_MAX", "because")]), unneeded);
}
