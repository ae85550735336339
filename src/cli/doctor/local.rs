//! Models that a server runs itself: their program, files and memory, and what a killed server has left.

use std::{path::Path, sync::Arc};

use super::check::Check;
use crate::{
    catalog::LOCAL_PROVIDER,
    child::{self, Children},
    cli::{
        globals::block_on,
        local_models::{LocalModels as Flags, explained},
        process::THIS_PROGRAM,
        text::{count_text, size_text},
    },
    error::{Error, Result},
    model::{
        local::{Around, LocalModels},
        upstream::Upstreams,
    },
    outbound::Options,
    store::file::inspect::Inspected,
};

/// Looks at the models that these flags name, as a start of the server would, and starts none.
pub(super) fn check(folder: &Path, flags: &Flags) -> Vec<Check> {
    let mut checks = Vec::new();
    let left = child::leftovers(&folder.join("run"));
    if left > 0 {
        let what =
            format!("{} of a killed server still run: the next start ends them", count_text(left as u64, "process"));
        checks.push(Check::warn("local models", what));
    }
    checks.extend(look(folder, flags).unwrap_or_else(|error| vec![Check::fail("local models", error.to_string())]));
    checks
}

fn look(folder: &Path, flags: &Flags) -> Result<Vec<Check>> {
    let files = flags.files()?;
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let settings = files.into_iter().map(|file| file.settings(folder)).collect::<Result<_>>()?;
    // Nothing is to be left in the data folder.
    let scratch =
        tempfile::tempdir().map_err(|error| Error::failed(format!("there is no temporary folder: {error}")))?;
    let options = Options::default();
    let around = Around {
        folder: scratch.path().to_owned(),
        children: Arc::new(Children::new(Ok(THIS_PROGRAM.into()))),
        sockets: options.sockets.clone(),
        upstreams: Arc::new(Upstreams::new(&options)?),
    };
    let models = LocalModels::new(settings, around)?;
    block_on(async {
        let mut checks = Vec::new();
        for model in models.all() {
            let what = format!("local model {}", model.name());
            checks.push(match model.try_out().await {
                Err(why) => Check::fail(what, explained(why)),
                Ok(tried) => {
                    let build =
                        tried.build.map_or_else(|| "of an unknown build".to_owned(), |build| format!("build {build}"));
                    let text = format!(
                        "{}, a context of {} tokens; llama-server {build}{}",
                        size_text(model.status().bytes),
                        tried.context,
                        if tried.gpu { " with a GPU" } else { "" }
                    );
                    match tried.note {
                        None => Check::ok(what, text),
                        Some(note) => Check::warn(what, format!("{text}; {note}")),
                    }
                }
            });
        }
        Ok(checks)
    })
}

/// Providers that have the name of the local models, and so hide them.
pub(super) fn check_hiding(flags: &Flags, file: &Inspected) -> Vec<Check> {
    let look = || {
        let mut hiding = file.providers()?;
        hiding.retain(|(_, provider)| provider.slug == LOCAL_PROVIDER && !flags.is_empty());
        let warn = |(org, _)| {
            let text = format!(
                "hides the server's own models in that organization: give it another slug, so that {LOCAL_PROVIDER}/… is them"
            );
            Check::warn(format!("provider {org}/{LOCAL_PROVIDER}"), text)
        };
        Ok(hiding.into_iter().map(warn).collect())
    };
    look().unwrap_or_else(|error: Error| vec![Check::fail("providers", error.to_string())])
}
