//! How imports are written: `std` in one group, then other crates, then our own, with an empty line between them.

use crate::{
    modules::declared,
    none,
    source::{Source, line_of, sources},
};

/// An import: its line, the line of its end, and its first word.
struct Import<'a> {
    line: usize,
    end: usize,
    first: &'a str,
}

/// The imports at the head of a file, and of its unit tests.
fn heads(source: &Source) -> Vec<Vec<Import<'_>>> {
    let mut heads = vec![of(source, 0, "\nuse ")];
    let tests = source.bare.find("\nmod tests {");
    heads.extend(tests.map(|at| of(source, at, "\n    use ")));
    heads
}

fn of<'a>(source: &'a Source, from: usize, begin: &str) -> Vec<Import<'a>> {
    let text = &source.bare;
    let import = |(at, _): (usize, &str)| {
        let at = from + at + begin.len();
        let end = at + text[at..].find(';')?;
        let first = text[at..end].split([':', ';', ' ', '{']).next()?;
        // One for a kind of build stands by itself.
        let alone = text[..at].trim_end_matches("use ").trim_end().ends_with(']');
        (!alone).then(|| Import { line: line_of(text, at), end: line_of(text, end), first })
    };
    let until = text[from..].find("fn ").map_or(text.len(), |at| from + at);
    text[from..until].match_indices(begin).filter_map(import).collect()
}

/// What is not in its order.
fn misordered(source: &Source) -> Vec<String> {
    let children: Vec<_> = declared(source).into_iter().map(|child| child.name).collect();
    let rank = |import: &Import| match import.first {
        "std" | "core" | "alloc" => 0,
        "crate" | "self" | "super" => 2,
        first if children.iter().any(|child| child == first) => 2,
        _ => 1,
    };
    let mut wrong = Vec::new();
    for pair in heads(source).iter().flat_map(|head| head.windows(2)) {
        let at = format!("{}:{}", source.path.display(), pair[1].line);
        let (before, after) = (rank(&pair[0]), rank(&pair[1]));
        let between = source.bare.lines().skip(pair[0].end).take(pair[1].line - pair[0].end - 1);
        if before > after {
            wrong.push(format!("{at}: {} stands after {}", pair[1].first, pair[0].first));
        } else if before == 0 && after == 0 {
            wrong.push(format!("{at}: a second import of std: make it one group"));
        } else if before < after && pair[0].end + 1 == pair[1].line {
            wrong.push(format!("{at}: an empty line is missing above"));
        } else if before == after && between.clone().count() > 0 && between.clone().all(|line| line.trim().is_empty()) {
            wrong.push(format!("{at}: an empty line divides one group"));
        }
    }
    wrong
}

#[test]
fn imports_are_written_in_one_way() {
    none(sources(&["src", "tests", "benches", "examples"]).iter().flat_map(misordered).collect());
}

#[test]
fn an_import_in_another_order_is_found() {
    let of = |text: &str| misordered(&Source::new("x.rs", text));
    let good =
        "//! x\n\nuse std::{fs, io};\n\nuse a::b;\nuse c::d;\n\nuse super::{\n    X,\n};\nuse crate::y;\nfn f() {}\n";
    assert_eq!(of(good), Vec::<String>::new());
    assert_eq!(of("\nuse std::fs;\nuse std::io;\n"), ["x.rs:3: a second import of std: make it one group"]);
    assert_eq!(of("\nuse a::b;\n\nuse std::io;\n"), ["x.rs:4: std stands after a"]);
    assert_eq!(of("mod y;\n\nuse y::b;\n\nuse a::b;\n"), ["x.rs:5: a stands after y"]);
    assert_eq!(of("\nuse std::io;\nuse a::b;\n"), ["x.rs:3: an empty line is missing above"]);
    assert_eq!(of("\nuse a::b;\n\nuse c::d;\n"), ["x.rs:4: an empty line divides one group"]);
    let tests = "fn f() {}\n#[cfg(test)]\nmod tests {\n    use super::*;\n    use std::fs;\n}\n";
    assert_eq!(of(tests), ["x.rs:5: std stands after super"]);
}
