//! Whether a model can answer: what it is for, and whether it can be talked to.

use std::path::Path;

use super::header::Header;
use crate::error::{Error, Result};

/// Architectures that do something else.
const OTHERS: [(&str, &[&str]); 3] = [
    (
        EMBEDDING,
        &[
            "bert",
            "eurobert",
            "gemma-embedding",
            "jina-bert-v2",
            "jina-bert-v3",
            "llama-embed",
            "modern-bert",
            "neo-bert",
            "nomic-bert",
            "nomic-bert-moe",
            "t5encoder",
        ],
    ),
    (ENCODER, &["clip"]),
    ("a decoder of sound", &["wavtokenizer-dec"]),
];
const EMBEDDING: &str = "an embedding model";
const ENCODER: &str = "an encoder of images or sound";
/// What a file may be that is no model.
const KINDS: [(&str, &str); 3] = [("adapter", "an adapter"), ("imatrix", "an importance matrix"), ("mmproj", ENCODER)];

impl Header {
    /// Refuses a model that cannot answer. `has_template`: one is given beside the file.
    pub fn vet(&self, file: &Path, has_template: bool) -> Result<()> {
        let refuse = |what: &str| Err(Error::failed(format!("{} {what}", file.display())));
        if let Some(what) = self.other() {
            let called = if self.architecture.is_empty() { self.kind.as_deref() } else { Some(&*self.architecture) };
            return refuse(&format!("is {what} ({}): it cannot answer", called.unwrap_or_default()));
        }
        if self.architecture.is_empty() {
            return refuse("is no whole model: it names no architecture");
        }
        if self.parameters == 0 {
            return refuse("is no whole model: it holds no tensors");
        }
        if self.window == 0 {
            return refuse("is no whole model: it does not say how many tokens it was trained for");
        }
        if self.template.is_none() && !has_template {
            return refuse(
                "has no chat template: it is probably a base model, which does not answer; if not, give one with --gguf-template",
            );
        }
        Ok(())
    }

    /// What it is instead of a model that answers.
    fn other(&self) -> Option<&'static str> {
        let by_kind = KINDS.iter().find(|(kind, _)| self.kind.as_deref() == Some(kind)).map(|(_, what)| *what);
        let by_name = || OTHERS.iter().find(|(_, names)| names.contains(&&*self.architecture)).map(|(what, _)| *what);
        by_kind.or_else(by_name).or(self.pools.then_some(EMBEDDING))
    }
}
