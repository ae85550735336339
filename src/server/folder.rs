//! The data folder, opened for one server.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use super::secrets;
use crate::{
    error::Result as Fallible,
    http::{auth::cookie, state::setup_code::SetupCode},
    model::cassette::{RecordOptions, Recorder},
    seal::{self, Sealer},
    secret::Secret,
    store::{Store, file::lock},
    tools::mcp::stdio,
};

/// Connections that read at once: as many as request threads and scans can use.
const READERS_MAX: u32 = 16;

/// A data folder that is this server's own.
pub(super) struct Opened {
    pub store: Store,
    pub lock: File,
    pub sealer: Sealer,
    pub cookie: String,
    pub setup: Option<(SetupCode, String)>,
    pub recorder: Option<Recorder>,
}

/// Opens and locks the folder, and ends what an earlier server has left running. What is recorded holds no secret of the folder's,
/// and none of the `named` ones.
pub(super) fn open(
    folder: &Path,
    key_file: Option<PathBuf>,
    wants_setup: bool,
    record: Option<(PathBuf, RecordOptions)>,
    named: Vec<Secret>,
) -> Fallible<Opened> {
    // The store creates the folder that the lock lies in.
    let store = Store::open(folder, READERS_MAX)?;
    let lock = lock::lock(folder)?;
    stdio::end_leftovers(folder);
    let sealer = Sealer::open(&key_file.unwrap_or_else(|| folder.join(seal::FILE_NAME)))?;
    let cookie = cookie::name_of(sealer.mark_of(folder));
    let setup = if wants_setup && !store.has_org()? { Some(SetupCode::generate()?) } else { None };
    let (of, with) = (store.clone(), sealer.clone());
    let known = move || Ok([secrets::kept(&of, &with)?, named.clone()].concat());
    let recorder = record.map(|(file, how)| Recorder::open(&file, how, Box::new(known))).transpose()?;
    Ok(Opened { store, lock, sealer, cookie, setup, recorder })
}

/// Commands beside this server look there for it.
pub(super) fn announce(locked: &File, url: &str) {
    if let Err(error) = lock::announce(locked, url) {
        tracing::warn!(%error, "alm.lock does not say where this server listens");
    }
}
