//! The flags of the models that a server runs itself.

use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;

use super::{
    log,
    text::{duration, size_text},
    variables::{named, unexpanded},
};
use crate::{
    catalog::LOCAL_PROVIDER,
    child::in_path,
    error::{Error, Result},
    model::local::NO_PROGRAM,
    server::{Builder, ModelFile, Server},
};

#[derive(Debug, clap::Args)]
pub(super) struct LocalModels {
    /// A GGUF file, or a name of `alm gguf list`, whose model is run as local/NAME; repeat, or separate with commas
    #[arg(long, value_delimiter = ',', value_name = "FILE")]
    gguf: Vec<String>,
    /// llama.cpp's server, which runs them; the one beside alm or in PATH by default
    #[arg(long, value_name = "PATH")]
    llama_server: Option<PathBuf>,
    /// Tokens of one conversation; by default what fits memory, at most 8192 and what the model was made for
    #[arg(long, value_name = "TOKENS")]
    gguf_context: Option<NonZeroU32>,
    /// Conversations at a time; by default 1, and 4 with a GPU
    #[arg(long, value_name = "COUNT")]
    gguf_slots: Option<NonZeroU32>,
    /// Threads that compute; by default one fewer than there are cores
    #[arg(long, value_name = "COUNT")]
    gguf_threads: Option<NonZeroU32>,
    /// How long nobody may ask before the process ends, until somebody asks again; 0 for never
    #[arg(long, default_value = "30m", value_parser = patience, value_name = "DURATION")]
    gguf_idle: Duration,
    /// A chat template in Jinja, instead of the file's own
    #[arg(long, value_name = "FILE")]
    gguf_template: Option<PathBuf>,
    /// What llama-server is told besides, separated by spaces
    #[arg(long, allow_hyphen_values = true, value_name = "ARGS")]
    gguf_args: Option<String>,
}

impl LocalModels {
    /// Whether they name none.
    pub(super) fn is_empty(&self) -> bool {
        named(self.gguf.clone()).is_empty()
    }

    /// Hands the models to a server.
    pub(super) fn build(&self, builder: Builder) -> Result<Builder> {
        Ok(self.files()?.into_iter().fold(builder, Builder::local_model))
    }

    /// The models.
    pub(super) fn files(&self) -> Result<Vec<ModelFile>> {
        let files = named(self.gguf.clone());
        if let Some((file, wrong)) = files.iter().find_map(|file| Some((file, unexpanded(Path::new(file))?))) {
            return Err(Error::failed(format!("--gguf is {file}: {wrong}")));
        }
        Ok(files.iter().map(|file| self.file(file)).collect())
    }

    fn file(&self, file: &str) -> ModelFile {
        let words = self.gguf_args.iter().flat_map(|args| args.split_whitespace());
        let mut model = ModelFile::new(file).idle(self.gguf_idle).args(words);
        model = self.llama_server.iter().fold(model, ModelFile::llama_server);
        model = self.gguf_context.iter().fold(model, |model, tokens| model.context(tokens.get()));
        model = self.gguf_slots.iter().fold(model, |model, slots| model.slots(slots.get()));
        model = self.gguf_threads.iter().fold(model, |model, threads| model.threads(threads.get()));
        self.gguf_template.iter().fold(model, ModelFile::template)
    }
}

/// Where llama.cpp has its builds.
const RELEASES: &str = "https://github.com/ggml-org/llama.cpp/releases";

/// Why a model does not start, and how to get a program that is missing.
pub(super) fn explained(why: String) -> String {
    if why != NO_PROGRAM {
        return why;
    }
    match in_path("brew") {
        Some(_) => format!("{why}\n  `brew install llama.cpp` installs it"),
        None => format!("{why}\n  Its builds are at {RELEASES}: unpack one, and name the llama-server in it"),
    }
}

/// A duration; `0` needs no unit.
fn patience(text: &str) -> Result<Duration, String> {
    if text == "0" { Ok(Duration::ZERO) } else { duration(text) }
}

/// Says which models a server runs itself.
pub(super) fn say(server: &Server) {
    for model in server.local_models().all() {
        let status = model.status();
        let (id, mut state) = (format!("{LOCAL_PROVIDER}/{}", status.name), status.state.as_str().to_owned());
        let mut text =
            format!("{id} ({}) is {state}: whoever asks it before it is ready waits", size_text(status.bytes));
        if let Err(why) = model.program() {
            state = explained(why);
            text = format!("{id} does not start: {state}");
        }
        log::tell(&text, json!({ "message": "a local model", "id": id, "state": state, "bytes": status.bytes }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_no_riddle_and_other_reasons_are_as_they_were() {
        let said = explained(NO_PROGRAM.into());
        assert!(said.starts_with(NO_PROGRAM) && said.lines().count() == 2, "{said}");
        assert_eq!(explained("x".into()), "x");
    }

    #[test]
    fn a_duration_of_nothing_needs_no_unit() {
        assert_eq!(
            [patience("0"), patience("90s")].map(Result::ok),
            [Some(Duration::ZERO), Some(Duration::from_secs(90))]
        );
        assert!(patience("5").is_err() && patience("").is_err());
    }
}
