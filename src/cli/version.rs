//! `alm version`: what this binary is, for whoever reports a fault or picks one.

use serde_json::json;

use super::globals::Globals;
use crate::{
    error::Result,
    model::cassette,
    store::file::{self, library::library},
};

/// The commit it was built from, where whoever built it has said so.
const COMMIT: Option<&str> = option_env!("ALM_COMMIT");

#[derive(Debug, clap::Args)]
pub(super) struct Version {}

impl Version {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        let version = env!("CARGO_PKG_VERSION");
        let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
        let (sqlite, schema) = (library()?, file::schema_version());
        globals.report(
            || {
                json!({
                    "version": version, "commit": COMMIT, "target": target, "schema": schema,
                    "cassetteFormat": cassette::FORMAT, "exportFormat": file::transfer::VERSION,
                    "sqlite": { "version": sqlite.version, "options": sqlite.options },
                })
            },
            || {
                let commit = COMMIT.map(|commit| format!(" ({commit})")).unwrap_or_default();
                format!("alm {version}{commit}, {target}, schema {schema}, SQLite {}", sqlite.version)
            },
        );
        Ok(())
    }
}
