//! What a text of such a file refers to: `${VAR}`, `${env:VAR}`, `${VAR:-otherwise}`, `$VAR`, `${input:id}`, `${userHome}`.

use crate::tools::secrets::is_variable;

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    /// A variable of the environment.
    Variable {
        name: String,
        otherwise: Option<String>,
    },
    /// What its person is asked for.
    Input(String),
    /// The person's home folder.
    Home,
    /// What only an editor knows, as it is written.
    Editor(String),
}

/// How editors call what is around them.
const EDITOR: [&str; 5] =
    ["workspaceFolder", "workspaceFolderBasename", "workspaceRoot", "relativeFile", "pathSeparator"];

/// The parts of a text. What only looks like a reference is text.
pub fn pieces(text: &str) -> Vec<Piece> {
    // Gemini's other way to write it, where it is the whole.
    if let Some(name) = text.strip_prefix('$').filter(|name| is_variable(name) && *name == name.to_uppercase()) {
        return vec![Piece::Variable { name: name.to_owned(), otherwise: None }];
    }
    let mut pieces = Vec::new();
    let (mut plain, mut rest) = (String::new(), text);
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        plain.push_str(before);
        let inside = from[2..].find('}').map(|length| &from[2..2 + length]);
        match inside.and_then(|inside| Some((inside, named(inside)?))) {
            Some((inside, piece)) => {
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(piece);
                rest = &from[inside.len() + 3..];
            }
            None => {
                plain.push_str("${");
                rest = &from[2..];
            }
        }
    }
    plain.push_str(rest);
    if !plain.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    pieces
}

/// What stands between the braces.
fn named(inside: &str) -> Option<Piece> {
    let editor = || Some(Piece::Editor(format!("${{{inside}}}")));
    if let Some(id) = inside.strip_prefix("input:") {
        return Some(Piece::Input(id.to_owned()));
    }
    if inside == "userHome" {
        return Some(Piece::Home);
    }
    let word = inside.split(':').next().unwrap_or_default();
    if EDITOR.contains(&word) || inside == "/" || ["file", "config", "command"].contains(&word) && inside != word {
        return editor();
    }
    let inside = inside.strip_prefix("env:").unwrap_or(inside);
    let (name, otherwise) = match inside.split_once(":-") {
        Some((name, otherwise)) => (name, Some(otherwise.to_owned())),
        None => (inside, None),
    };
    is_variable(name).then(|| Piece::Variable { name: name.to_owned(), otherwise })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str, otherwise: Option<&str>) -> Piece {
        Piece::Variable { name: name.into(), otherwise: otherwise.map(str::to_owned) }
    }

    fn text(text: &str) -> Piece {
        Piece::Text(text.into())
    }

    #[test]
    fn references_of_every_kind_are_read() {
        for (written, read) in [
            ("", vec![text("")]),
            ("plain $x", vec![text("plain $x")]),
            ("${TOKEN}", vec![variable("TOKEN", None)]),
            ("$TOKEN", vec![variable("TOKEN", None)]),
            ("Bearer ${env:TOKEN}", vec![text("Bearer "), variable("TOKEN", None)]),
            ("${URL:-https://x}/mcp", vec![variable("URL", Some("https://x")), text("/mcp")]),
            ("${A:-}", vec![variable("A", Some(""))]),
            ("${input:key}", vec![Piece::Input("key".into())]),
            ("${userHome}/x", vec![Piece::Home, text("/x")]),
            ("${workspaceFolder:a}", vec![Piece::Editor("${workspaceFolder:a}".into())]),
            ("${file:/etc/key}", vec![Piece::Editor("${file:/etc/key}".into())]),
            ("${file}", vec![variable("file", None)]),
            ("a${}b${c d}${X}${", vec![text("a${}b${c d}"), variable("X", None), text("${")]),
            ("$Token", vec![text("$Token")]),
            ("$TOKEN$", vec![text("$TOKEN$")]),
            ("pa$$word", vec![text("pa$$word")]),
        ] {
            assert_eq!(pieces(written), read, "{written}");
        }
    }
}
