//! How long a file and a function may be, and how a file begins.

use crate::{
    modules::functions,
    none,
    source::{Source, sources},
};

/// Longest Rust file, in lines.
const FILE_LINES_MAX: usize = 400;
/// Longest function, in lines.
const FUNCTION_LINES_MAX: usize = 60;

/// What is too long, or does not say what it is for.
fn too_long(source: &Source) -> Vec<String> {
    let path = source.path.display();
    let mut wrong = Vec::new();
    if !source.text.starts_with("//! ") {
        wrong.push(format!("{path}:1: does not begin with //!"));
    }
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX {
        wrong.push(format!("{path}:{lines}: the file has {lines} lines, at most {FILE_LINES_MAX}"));
    }
    for (name, offset, lines) in functions(source).into_iter().filter(|(.., lines)| *lines > FUNCTION_LINES_MAX) {
        wrong.push(format!("{}: {name} has {lines} lines, at most {FUNCTION_LINES_MAX}", source.at(offset)));
    }
    wrong
}

#[test]
fn every_module_says_what_it_is_for_and_fits_its_screenfuls() {
    let fuzz = sources(&["fuzz/fuzz_targets"]).into_iter();
    none(
        sources(&["src", "tests", "benches", "examples"])
            .into_iter()
            .chain(fuzz)
            .flat_map(|source| too_long(&source))
            .collect(),
    );
}

#[test]
fn one_line_too_many_is_found() {
    let of = |inside: usize| format!("//! x\nfn f() {{\n{}}}\n", "    g();\n".repeat(inside));
    assert_eq!(too_long(&Source::new("x.rs", &of(58))), Vec::<String>::new());
    assert_eq!(too_long(&Source::new("x.rs", &of(59))), ["x.rs:2: f has 61 lines, at most 60"]);
    let of = |lines: usize| "//! x\n".repeat(lines);
    assert_eq!(too_long(&Source::new("x.rs", &of(400))), Vec::<String>::new());
    assert_eq!(too_long(&Source::new("x.rs", &of(401))), ["x.rs:401: the file has 401 lines, at most 400"]);
    assert_eq!(too_long(&Source::new("x.rs", "/// x\n")), ["x.rs:1: does not begin with //!"]);
}
