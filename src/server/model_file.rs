//! A model's file, and how the server is to run it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    error::Result,
    model::{
        gguf::shelf::{Shelf, name_of},
        local::{Around, LocalModels, Settings},
    },
};

/// How long nobody asks until the process of a model ends, unless the host says otherwise.
const IDLE: Duration = Duration::from_secs(30 * 60);

/// A model in a GGUF file that the server runs itself, with llama.cpp's `llama-server`: see [`crate::Builder::local_model`].
#[derive(Debug, Clone)]
#[must_use = "a file does nothing until a builder has it"]
pub struct ModelFile {
    name: Option<String>,
    settings: Settings,
}

impl ModelFile {
    /// A GGUF file, or the name of a model that `alm gguf add` has put into the data folder.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        let settings = Settings {
            name: String::new(),
            file: file.into(),
            program: None,
            context: None,
            slots: None,
            threads: None,
            idle: IDLE,
            template: None,
            args: Vec::new(),
        };
        ModelFile { name: None, settings }
    }

    /// What it is called: `local/NAME`. By default after its file.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The `llama-server` that runs it. By default the one beside `alm`, or in `PATH`.
    pub fn llama_server(mut self, program: impl Into<PathBuf>) -> Self {
        self.settings.program = Some(program.into());
        self
    }

    /// Tokens of one conversation. By default what fits memory, at most 8,192 and what the model was made for.
    pub fn context(mut self, tokens: u32) -> Self {
        self.settings.context = Some(tokens);
        self
    }

    /// Conversations at a time: 1 by default, 4 with a GPU.
    pub fn slots(mut self, slots: u32) -> Self {
        self.settings.slots = Some(slots);
        self
    }

    /// Threads that compute. By default one fewer than there are cores.
    pub fn threads(mut self, threads: u32) -> Self {
        self.settings.threads = Some(threads);
        self
    }

    /// How long nobody may ask before its process ends, until somebody asks again. 30 minutes by default; zero is never.
    pub fn idle(mut self, patience: Duration) -> Self {
        self.settings.idle = patience;
        self
    }

    /// A chat template in Jinja, instead of the file's own.
    pub fn template(mut self, file: impl Into<PathBuf>) -> Self {
        self.settings.template = Some(file.into());
        self
    }

    /// What `llama-server` is told besides. What the server sets itself is refused.
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.settings.args = args.into_iter().map(Into::into).collect();
        self
    }

    /// What it is to be run with, by a server on that data folder.
    pub(crate) fn settings(self, folder: &Path) -> Result<Settings> {
        let ModelFile { name, mut settings } = self;
        let mut own = name_of(&settings.file);
        if !settings.file.exists()
            && let Some(shelved) = settings.file.to_str().map(str::to_owned)
            && let Some(file) = Shelf::new(folder).find(&shelved)?
        {
            (own, settings.file) = (shelved, file);
        }
        Ok(Settings { name: name.unwrap_or(own), ..settings })
    }
}

/// The models of these files, of which none runs yet.
pub(super) fn local_models(files: Vec<ModelFile>, around: Around) -> Result<Arc<LocalModels>> {
    let settings = files.into_iter().map(|file| file.settings(&around.folder)).collect::<Result<_>>()?;
    Ok(Arc::new(LocalModels::new(settings, around)?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::model::gguf::{sample::Sample, shelf::How};

    #[test]
    fn a_model_is_a_file_or_the_name_of_one_on_the_shelf() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("Qwen3-4B.Q4_K_M.gguf");
        fs::write(&file, Sample::model().bytes()).unwrap();
        Shelf::new(folder.path()).add(&file, "talker", How::Linked).unwrap();
        let of = |model: ModelFile| {
            let Settings { name, file, .. } = model.settings(folder.path()).unwrap();
            (name, file)
        };
        assert_eq!(of(ModelFile::new(&file)), ("qwen3-4b-q4-k-m".into(), file.clone()));
        assert_eq!(of(ModelFile::new(&file).name("Talker")), ("Talker".into(), file));
        let (name, shelved) = of(ModelFile::new("talker"));
        assert_eq!((&*name, shelved.starts_with(folder.path().join("models/talker"))), ("talker", true));
        assert_eq!(of(ModelFile::new("other")), ("other".into(), "other".into()), "it is refused where it is read");
    }
}
