//! Local models as tests want them: their files are there, and nothing runs.

use std::{fs, path::Path, sync::Arc};

use super::{Around, LocalModels, settings};
use crate::{
    child::Children,
    model::{gguf::sample::Sample, upstream::Upstreams},
    outbound::Options,
};

/// A program that is always there.
const PROGRAM: &str = "/bin/sh";

/// Models of these names, with files in that folder.
pub fn models(folder: &Path, names: &[&str]) -> Arc<LocalModels> {
    let of = |name: &&str| {
        let file = folder.join(format!("{name}.gguf"));
        fs::write(&file, Sample::model().bytes()).unwrap();
        super::Settings { file, program: Some(PROGRAM.into()), ..settings::tests::of(name) }
    };
    let options = Options::default();
    let around = Around {
        folder: folder.to_owned(),
        children: Arc::new(Children::new(Ok(PROGRAM.into()))),
        sockets: options.sockets.clone(),
        upstreams: Arc::new(Upstreams::new(&options).unwrap()),
    };
    Arc::new(LocalModels::new(names.iter().map(of).collect(), around).unwrap())
}
