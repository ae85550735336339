//! The house rules that a machine can check.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Longest Rust file, in lines.
const LINES_MAX: usize = 400;

/// Who may use whom: arrows point down.
const MAY_USE: [(&str, &[&str]); 18] = [
    ("error", &[]),
    ("time", &[]),
    ("money", &[]),
    ("id", &["error"]),
    ("secret", &[]),
    ("key", &["error"]),
    ("password", &["error"]),
    ("seal", &["error"]),
    ("outbound", &["error"]),
    ("store", &["error", "id", "time", "money", "key"]),
    ("model", &["error", "secret", "outbound"]),
    ("catalog", &["error", "id", "time", "money", "secret", "seal", "store", "model"]),
    ("turn", &["error", "id", "time", "money", "key", "store", "model", "catalog"]),
    ("http", &["error", "id", "time", "money", "key", "password", "secret", "store", "model", "catalog", "turn"]),
    (
        "cli",
        &[
            "error", "id", "time", "money", "key", "password", "secret", "seal", "outbound", "store", "model",
            "catalog", "turn", "http",
        ],
    ),
    ("properties", &["error", "model", "store", "turn", "http"]),
    ("main", &["cli"]),
    ("lib", &[]),
];

/// Crates that a room of the house keeps to itself. Commands that ask a running server are clients as well.
const ONLY_IN: [(&str, &[&str]); 4] = [
    ("poem::", &["http"]),
    ("poem_openapi::", &["http"]),
    ("rusqlite::", &["store"]),
    ("ureq::", &["outbound", "cli"]),
];

/// A test that sleeps hopes.
const SLEEP: &str = concat!("thread::", "sleep(");

/// Where Rust is.
const RUST: [&str; 3] = ["src", "tests", "benches"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of that extension below a folder.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("node_modules") && !path.ends_with("target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|known| known == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{folder} holds no .{extension}");
    found
}

/// The room of a file below `src`: its first folder, or its own name.
fn room(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// The code of a file: without comments, and without the tests, which may use whom they like.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn is_test(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "tests" || stem.to_string_lossy().ends_with("_tests"))
        || path.components().any(|part| part.as_os_str() == "tests")
}

/// The rooms that code names after `crate::`, in groups too.
fn used_rooms(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            None => rooms.extend(first_word(rest)),
            Some(group) => rooms.extend(group_members(group).iter().filter_map(|member| first_word(member))),
        }
    }
    rooms
}

fn first_word(text: &str) -> Option<String> {
    let word: String = text.trim_start().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}

/// The members of a group, whose opening brace is gone already.
fn group_members(group: &str) -> Vec<String> {
    let (mut depth, mut members) = (0, vec![String::new()]);
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => members.push(String::new()),
            _ => {}
        }
        members.last_mut().unwrap().push(c);
    }
    members.iter().map(|member| member.trim_start_matches(',').to_owned()).collect()
}

#[test]
fn arrows_point_down() {
    let table: BTreeMap<_, _> = MAY_USE.into_iter().collect();
    let mut wrong = Vec::new();
    for file in files("src", "rs").iter().filter(|file| !is_test(file)) {
        let room = room(file);
        let allowed = table.get(room.as_str()).unwrap_or_else(|| panic!("{room} is not in the table"));
        let used = used_rooms(&code(file));
        let odd = used.iter().filter(|used| **used != room && !allowed.contains(&used.as_str()));
        wrong.extend(odd.map(|used| format!("{} uses {used}", file.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn sql_poem_and_outbound_http_have_one_room_each() {
    let mut wrong = Vec::new();
    for file in files("src", "rs").iter().filter(|file| !is_test(file)) {
        let code = code(file);
        let odd = ONLY_IN.iter().filter(|(name, homes)| !homes.contains(&room(file).as_str()) && code.contains(name));
        wrong.extend(odd.map(|(name, homes)| format!("{} names {name}, which lives in {homes:?}", file.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// How a statement begins; in text of our own, upper case is SQL's.
const SQL: [&str; 8] =
    ["SELECT ", "INSERT ", "UPDATE ", "DELETE FROM", "CREATE ", "ALTER TABLE", "PRAGMA ", "BEGIN IMMEDIATE"];

#[test]
fn sql_is_written_in_the_store_and_nowhere_else() {
    let mut wrong = Vec::new();
    for file in files("src", "rs").iter().filter(|file| !is_test(file) && room(file) != "store") {
        let code = code(file);
        let found = SQL.iter().filter(|word| code.contains(**word));
        wrong.extend(found.map(|word| format!("{} holds {word}", file.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_lint_is_silenced_only_with_a_reason() {
    let silencer = concat!("#[all", "ow(");
    let mut wrong = Vec::new();
    for file in RUST.iter().flat_map(|folder| files(folder, "rs")) {
        let text = fs::read_to_string(&file).unwrap();
        let bare = text.lines().filter(|line| line.contains(silencer) && !line.contains("] // "));
        wrong.extend(bare.map(|line| format!("{}: {}", file.display(), line.trim())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_says_what_it_is_for_and_fits_its_screenfuls() {
    let mut wrong = Vec::new();
    for file in RUST.iter().flat_map(|folder| files(folder, "rs")) {
        let text = fs::read_to_string(&file).unwrap();
        if !text.starts_with("//! ") {
            wrong.push(format!("{} does not begin with //!", file.display()));
        }
        if text.lines().count() > LINES_MAX {
            wrong.push(format!("{} has {} lines", file.display(), text.lines().count()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_left_for_later() {
    // Written in two pieces, or this file would be its own first finding.
    let forbidden = [
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
    let mut wrong = Vec::new();
    for file in RUST.iter().flat_map(|folder| files(folder, "rs")).chain(files("tests", "mjs")) {
        let text = fs::read_to_string(&file).unwrap();
        // The one place of the tests that may wait: it looks again until something is true, up to a bound. Benches pace.
        let may_wait = file.ends_with("tests/support/harness.rs") || file.starts_with(root().join("benches"));
        let found = forbidden.iter().filter(|word| text.contains(**word) && !(may_wait && **word == SLEEP));
        wrong.extend(found.map(|word| format!("{} holds {word}", file.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_parser_of_uses_sees_through_groups() {
    let code = "use crate::{error::{Error, Result}, store::{self, x::{y, z}}, id}; fn f() { crate::money::parse() }";
    assert_eq!(used_rooms(code).into_iter().collect::<Vec<_>>(), ["error", "id", "money", "store"]);
}
