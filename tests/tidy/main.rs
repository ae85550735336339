//! The rules that a machine can check. Every finding begins with `file:line`.
//!
//! Rule: each check is a plain function over texts, and is tried here on a good one and a bad one.

mod bounds; // what tests name
mod imports; // how imports are written
mod listed; // files that nobody lists
mod modules; // who uses whom
mod paths;
mod size; // files and functions
mod source;
mod texts; // what people read
mod words; // what may not be said

use std::collections::{BTreeMap, BTreeSet};

use modules::{Arrow, Tree};
use source::{Source, sources};

/// Which module may use which: arrows point down.
const MAY_USE: &str = "
    error
    time
    money
    secret
    id          error
    key         error
    password    error
    seal        error secret
    child       secret
    outbound    error
    store       error id time money key
    model       error id time secret child outbound
    catalog     error id time money secret seal outbound store model
    tools       error id time money secret seal child outbound store model
    turn        error id time money store model catalog tools
    http        error id time money key password secret store model catalog tools turn
    server      error money secret id key seal child outbound store model catalog tools turn http
    cli         error time money secret id key password seal outbound child store model catalog tools http server
    properties  error store model tools turn http
    main        cli
    lib         server
";

/// The same inside `http`; `mod` is `http/mod.rs`.
const HTTP_MAY_USE: &str = "
    wire
    serve
    assets
    state       wire
    auth        wire state
    body        wire state
    edge        wire state auth body
    api         wire state auth body
    mcp         wire state auth body
    openai      wire serve state auth body
    page        assets
    docs        assets
    document    api openai
    mod         wire state edge api mcp openai page docs document
";

/// What one module keeps to itself. Commands that ask a running server are clients as well.
const ONLY_IN: &str = "
    poem          http
    poem_openapi  http
    rusqlite      store
    r2d2          store
    r2d2_sqlite   store
    ureq          outbound cli
    clap          cli
    rmcp          tools
    sse_stream    tools
    regex         model tools
    std::process::Command  child
    tokio::process         child
";

/// A table's rows: a name, and those it allows.
fn table(text: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let rows = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?, words.collect()))
    });
    rows.collect()
}

/// Who is used without permission, and which permission nobody needs. The names of an arrow: who uses, and whom.
fn against(table: &BTreeMap<&str, BTreeSet<&str>>, used: &[(String, String, String)]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut unused: BTreeSet<_> =
        table.iter().flat_map(|(from, allowed)| allowed.iter().map(move |to| (*from, *to))).collect();
    let mut known = BTreeSet::new();
    for (from, to, at) in used.iter().filter(|(from, to, _)| from != to && known.insert((from, to))) {
        if !table.get(from.as_str()).is_some_and(|allowed| allowed.contains(to.as_str())) {
            wrong.push(format!("{at}: {from} uses {to}"));
        }
        unused.remove(&(from.as_str(), to.as_str()));
    }
    wrong
        .extend(unused.iter().map(|(from, to)| format!("tests/tidy/main.rs: {from} does not use {to}: strike it out")));
    wrong
}

/// Uses between the modules at the top.
fn at_the_top(library: &Tree, binary: &Tree) -> Vec<(String, String, String)> {
    let name = |module: &[String], root: &str| module.first().map_or(root.to_owned(), String::clone);
    let use_of = |arrow: Arrow, tree: &Tree, root: &str| {
        // What the root gives on belongs to the module that it comes from.
        let named = arrow.path.first().is_some_and(|first| tree.modules.contains_key(std::slice::from_ref(first)));
        let to = if named { arrow.path[0].clone() } else { name(arrow.to.as_ref()?, root) };
        Some((name(&arrow.from, root), to, arrow.at))
    };
    let of_library = library.arrows().into_iter().filter_map(|arrow| use_of(arrow, library, "lib"));
    let mut used: Vec<_> = of_library.collect();
    used.extend(
        binary
            .arrows()
            .into_iter()
            .filter_map(|arrow| Some((name(&arrow.from, "main"), arrow.path.first()?.clone(), arrow.at))),
    );
    used
}

/// Uses inside one of them.
fn inside(library: &Tree, room: &str) -> Vec<(String, String, String)> {
    let name = |module: &[String]| (module[0] == *room).then(|| module.get(1).map_or("mod".to_owned(), String::clone));
    let within = library.arrows().into_iter().filter(|arrow| arrow.from.first().is_some_and(|first| first == room));
    within.filter_map(|arrow| Some((name(&arrow.from)?, arrow.to.and_then(|to| name(&to))?, arrow.at))).collect()
}

/// What is named outside its home, and homes that do not name it.
fn astray(table: &BTreeMap<&str, BTreeSet<&str>>, foreign: &[(Vec<String>, String, Vec<String>)]) -> Vec<String> {
    let (mut wrong, mut unused) = (Vec::new(), table.clone());
    for (from, at, path) in foreign {
        let (path, home) = (path.join("::"), from.first().map_or("lib", String::as_str));
        let kept = table.iter().filter(|(name, _)| {
            path.strip_prefix(**name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        });
        for (name, homes) in kept {
            if !homes.contains(home) {
                wrong.push(format!("{at}: {home} names {name}, which is for {homes:?}"));
            }
            unused.get_mut(name).unwrap().remove(home);
        }
    }
    let unused = unused.iter().flat_map(|(name, homes)| homes.iter().map(move |home| (name, home)));
    wrong.extend(unused.map(|(name, home)| format!("tests/tidy/main.rs: {home} does not name {name}: strike it out")));
    wrong
}

/// Nothing is wrong, or all of it is said.
#[track_caller]
fn none(mut wrong: Vec<String>) {
    wrong.dedup();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn arrows_point_down() {
    let sources = sources(&["src"]);
    let (library, binary) = (Tree::of("src/lib.rs", &sources), Tree::of("src/main.rs", &sources));
    none(against(&table(MAY_USE), &at_the_top(&library, &binary)));
}

#[test]
fn arrows_inside_http_point_down() {
    none(against(&table(HTTP_MAY_USE), &inside(&Tree::of("src/lib.rs", &sources(&["src"])), "http")));
}

#[test]
fn no_import_goes_in_a_circle() {
    none(Tree::of("src/lib.rs", &sources(&["src"])).circles());
}

#[test]
fn sql_poem_outbound_http_and_processes_have_one_home_each() {
    none(astray(&table(ONLY_IN), &Tree::of("src/lib.rs", &sources(&["src"])).foreign()));
}

#[test]
fn an_arrow_up_and_a_permission_that_nobody_needs_are_found() {
    let files = [
        ("src/lib.rs", "mod id;\nmod store;\npub use store::Store;"),
        ("src/id.rs", "use crate::Store;"),
        ("src/store.rs", "use poem::{self, web};\npub struct Store;"),
        ("src/main.rs", "fn main() { alm::store::run() }"),
    ];
    let sources: Vec<_> = files.iter().map(|(path, text)| Source::new(*path, text)).collect();
    let (library, binary) = (Tree::of("src/lib.rs", &sources), Tree::of("src/main.rs", &sources));
    let used = at_the_top(&library, &binary);
    let found = against(&table("id\nstore id\nmain store\nlib store"), &used);
    assert_eq!(found, ["src/id.rs:1: id uses store", "tests/tidy/main.rs: store does not use id: strike it out"]);
    assert_eq!(against(&table("id store\nstore\nmain store\nlib store"), &used), Vec::<String>::new());
    let found = astray(&table("poem http"), &library.foreign());
    assert_eq!(found[0], "src/store.rs:1: store names poem, which is for {\"http\"}");
    assert_eq!(found.last().unwrap(), "tests/tidy/main.rs: http does not name poem: strike it out");
    assert_eq!(astray(&table("poem store"), &library.foreign()), Vec::<String>::new());
}

#[test]
fn a_neighbour_inside_http_is_found_by_its_place() {
    let files = [
        ("src/lib.rs", "mod http;"),
        ("src/http/mod.rs", "mod edge;\nmod wire;\npub struct App;"),
        ("src/http/edge.rs", "use super::{App, wire};\nfn f() { wire::g() }"),
        ("src/http/wire.rs", "pub fn g() {}"),
    ];
    let sources: Vec<_> = files.iter().map(|(path, text)| Source::new(*path, text)).collect();
    let used = inside(&Tree::of("src/lib.rs", &sources), "http");
    assert_eq!(against(&table("edge wire"), &used), ["src/http/edge.rs:1: edge uses mod"]);
    assert_eq!(against(&table("edge wire mod"), &used), Vec::<String>::new());
}
