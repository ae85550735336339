//! What code may not say: SQL outside the store, silenced lints without a reason, and what is left for later.

use std::fs;

use crate::{
    none,
    source::{Source, files, root, sources},
};

/// How a statement begins; in text of our own, upper case is SQL's.
const SQL: [&str; 8] =
    ["SELECT ", "INSERT ", "UPDATE ", "DELETE FROM", "CREATE ", "ALTER TABLE", "PRAGMA ", "BEGIN IMMEDIATE"];

/// A test that sleeps hopes.
const SLEEP: &str = concat!("thread::", "sleep(");

/// Written in two pieces, or this file would be its own first finding.
const FORBIDDEN: [&str; 9] = [
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("dbg", "!("),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("#[ig", "nore"),
    concat!("/wo", "rk/"),
    concat!("\"/t", "mp"),
    SLEEP,
];

/// Where Rust is.
const RUST: [&str; 4] = ["src", "tests", "benches", "examples"];

/// SQL in a file of code.
fn sql(source: &Source) -> Vec<String> {
    let code = source.code_with_texts();
    let of = |word: &&str| source.all_at(&code, word).into_iter().map(|at| format!("{at}: SQL")).collect::<Vec<_>>();
    SQL.iter().flat_map(of).collect()
}

/// Lints that are silenced without a reason on the same line.
fn silenced(source: &Source) -> Vec<String> {
    let silencer = concat!("[all", "ow(");
    let lines = source.text.lines().enumerate();
    let bare = lines.filter(|(_, line)| line.contains(silencer) && line.contains('#') && !line.contains("] // "));
    bare.map(|(n, line)| format!("{}:{}: no reason beside {}", source.path.display(), n + 1, line.trim())).collect()
}

/// What is forbidden anywhere.
fn forbidden(source: &Source) -> Vec<String> {
    // The one place of the tests that may wait: it looks again until something is true, up to a bound. Benches pace.
    let may_wait = source.path.ends_with("tests/support/harness.rs") || source.path.starts_with("benches");
    let words = FORBIDDEN.iter().filter(|word| !(may_wait && **word == SLEEP));
    let of = |word: &&str| {
        source.all_at(&source.text, word).into_iter().map(|at| format!("{at}: holds {word}")).collect::<Vec<_>>()
    };
    words.flat_map(of).collect()
}

#[test]
fn sql_is_written_in_the_store_and_nowhere_else() {
    let sources = sources(&["src"]);
    let tests = |source: &&Source| source.path.file_stem().is_some_and(|stem| stem == "tests");
    let outside = sources.iter().filter(|source| !source.path.starts_with("src/store") && !tests(source));
    none(outside.flat_map(sql).collect());
}

#[test]
fn a_lint_is_silenced_only_with_a_reason() {
    none(sources(&RUST).iter().flat_map(silenced).collect());
}

#[test]
fn nothing_is_left_for_later() {
    let scripts = files(&["tests"], "mjs").into_iter();
    let scripts = scripts.map(|path| Source {
        text: fs::read_to_string(root().join(&path)).unwrap(),
        path,
        bare: String::new(),
        code: String::new(),
    });
    none(sources(&RUST).into_iter().chain(scripts).flat_map(|source| forbidden(&source)).collect());
}

#[test]
fn each_forbidden_word_is_found() {
    let of = |text: &str| Source::new("src/x.rs", text);
    assert_eq!(sql(&of("// SELECT 1\nf(\"selected\")")), Vec::<String>::new());
    assert_eq!(sql(&of("\nf(\"SELECT 1\")")), ["src/x.rs:2: SQL"]);
    assert_eq!(silenced(&of(concat!("#[all", "ow(x)] // why"))), Vec::<String>::new());
    assert_eq!(silenced(&of(concat!("\n#![all", "ow(x)]"))).len(), 1);
    assert_eq!(forbidden(&of("thread::spawn()")), Vec::<String>::new());
    assert_eq!(forbidden(&of(concat!("\n\nthread::sl", "eep()"))), [concat!("src/x.rs:3: holds thread::sl", "eep(")]);
}
