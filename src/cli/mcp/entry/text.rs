//! The texts of an entry: what they refer to, filled in or kept by name.

use super::{
    declared::{Input, Left, World},
    reference::{Piece, pieces},
};
use crate::{secret::Secret, tools::secrets::NewSecret};

/// Longest slug of a server, in characters.
const SLUG_CHARS_MAX: usize = 24;
/// What the name of a secret holds.
const SECRET_WORDS: [&str; 4] = ["KEY", "TOKEN", "SECRET", "PASSWORD"];

/// Whether what is called so is a secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_uppercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// A server's slug, of the name that a file gives it.
pub fn slug_of(name: &str) -> Option<String> {
    let lower = name.to_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut slug = words.collect::<Vec<_>>().join("-");
    slug.truncate(SLUG_CHARS_MAX);
    slug.truncate(slug.trim_end_matches('-').len());
    (!slug.is_empty()).then_some(slug)
}

/// Reads the texts of one entry.
pub struct Texts<'a, W> {
    pub world: &'a mut W,
    pub inputs: &'a [Input],
    /// Answers so far, by the input's id.
    pub answers: &'a mut Vec<(String, String)>,
}

impl<W: World> Texts<'_, W> {
    /// A value that is kept sealed or by name.
    pub fn secret(&mut self, written: &str) -> Result<NewSecret, Left> {
        let (mut text, mut has_variable) = (String::new(), false);
        for piece in pieces(written) {
            match piece {
                Piece::Variable { name, otherwise } => {
                    has_variable = true;
                    match otherwise {
                        Some(otherwise) => text.push_str(&format!("${{{name}:-{otherwise}}}")),
                        None => text.push_str(&format!("${{{name}}}")),
                    }
                }
                piece => text.push_str(&self.filled(piece)?),
            }
        }
        Ok(if has_variable { NewSecret::Template(Secret::new(text)) } else { NewSecret::Text(Secret::new(text)) })
    }

    /// A text that is kept as it is, so no secret may be in it. What `own` names is left to the program that is started.
    pub fn plain(&mut self, field: &str, written: &str, own: &[String]) -> Result<String, Left> {
        let mut text = String::new();
        for piece in pieces(written) {
            match piece {
                Piece::Variable { name, .. } if own.contains(&name) => text.push_str(&format!("${{{name}}}")),
                Piece::Variable { name, .. } if is_secret_name(&name) => return Err(exposed(field, &name).into()),
                Piece::Variable { name, otherwise } => match self.world.variable(&name).or(otherwise) {
                    Some(value) => text.push_str(&value),
                    None => return Err(format!("{field} names the variable {name}, which is not set here").into()),
                },
                Piece::Input(id) if self.input(&id)?.is_secret => return Err(exposed(field, &id).into()),
                piece => text.push_str(&self.filled(piece)?),
            }
        }
        Ok(text)
    }

    /// What is filled in at once, whatever the text is for.
    fn filled(&mut self, piece: Piece) -> Result<String, Left> {
        match piece {
            Piece::Text(text) => Ok(text),
            Piece::Home => self.world.variable("HOME").ok_or_else(|| "there is no home folder".into()),
            Piece::Editor(written) => {
                Err(format!("{written} is known to an editor alone: write what it stands for").into())
            }
            Piece::Input(id) => self.answer(&id),
            Piece::Variable { name, .. } => Err(format!("the variable {name} is kept by name").into()),
        }
    }

    /// Each input is asked for once a file.
    fn answer(&mut self, id: &str) -> Result<String, Left> {
        if let Some((_, answer)) = self.answers.iter().find(|(known, _)| known == id) {
            return Ok(answer.clone());
        }
        let input = self.input(id)?.clone();
        let answer = self
            .world
            .ask(&input)
            .ok_or_else(|| Left::Skipped(format!("it asks for “{id}”, and nobody can be asked here")))?;
        let is_one = input.options.is_empty() || input.options.contains(&answer);
        if !is_one {
            return Err(format!("“{id}” must be one of {}", input.options.join(", ")).into());
        }
        if answer.contains("${") {
            return Err(format!("the answer to “{id}” holds ${{, which would be read as a variable").into());
        }
        self.answers.push((id.to_owned(), answer.clone()));
        Ok(answer)
    }

    fn input(&self, id: &str) -> Result<&Input, String> {
        self.inputs.iter().find(|input| input.id == id).ok_or_else(|| format!("“{id}” is not among its inputs"))
    }
}

fn exposed(field: &str, name: &str) -> String {
    format!("{field} holds {name}: a secret belongs into env or headers, where it is sealed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_made_of_any_name() {
        for (name, slug) in [
            ("github", Some("github")),
            ("GitHub MCP", Some("github-mcp")),
            ("brave_search", Some("brave-search")),
            ("@scope/My.Server (2)", Some("scope-my-server-2")),
            ("a--b", Some("a-b")),
            ("日本", None),
            ("", None),
        ] {
            assert_eq!(slug_of(name).as_deref(), slug, "{name}");
        }
        for length in [SLUG_CHARS_MAX - 1, SLUG_CHARS_MAX, SLUG_CHARS_MAX + 1] {
            assert_eq!(slug_of(&"x".repeat(length)).unwrap().len(), length.min(SLUG_CHARS_MAX));
        }
        let cut = format!("{} y", "x".repeat(SLUG_CHARS_MAX - 1));
        assert_eq!(slug_of(&cut).unwrap(), "x".repeat(SLUG_CHARS_MAX - 1), "no hyphen is left at the end");
    }

    #[test]
    fn a_secret_is_known_by_its_name() {
        for name in ["API_KEY", "github_token", "ClientSecret", "DB_PASSWORD"] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["HOME", "LOG_LEVEL", "URL", ""] {
            assert!(!is_secret_name(name), "{name}");
        }
    }
}
