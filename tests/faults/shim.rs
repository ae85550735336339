//! Faults under a running server, switched on and off by the test: see `shim.c`.

use std::{fs::File, os::unix::fs::FileExt, path::PathBuf, process::Command, sync::OnceLock};

use tempfile::{NamedTempFile, TempDir};

use crate::support::harness::App;

/// No space left on the device.
pub const ENOSPC: i64 = 28;
/// Input/output error.
pub const EIO: i64 = 5;
/// Read-only file system.
pub const EROFS: i64 = 30;

/// What can go wrong: where it stands in the shared page.
#[derive(Clone, Copy)]
pub enum Fault {
    /// Writes that make a file longer.
    Grow,
    Write,
    Sync,
    Read,
    /// 1: a sync does not come back before it is 0.
    Stall,
    /// Opening a file of the data folder for writing.
    Open,
    /// Seconds that the clock is wrong by.
    Clock,
    /// Syncs that go well before any call fails.
    Spare,
    /// How many calls have failed.
    Met,
}

/// The switch of one server's faults.
pub struct Faults {
    page: NamedTempFile,
}

impl Faults {
    /// Nothing is wrong yet.
    pub fn none() -> Self {
        let page = NamedTempFile::new().unwrap();
        page.as_file().set_len(8 * (Fault::Met as u64 + 1)).unwrap();
        Faults { page }
    }

    /// A server with flags that will meet these faults.
    pub fn start(&self, flags: &[&str]) -> App {
        let variables = self.variables();
        App::start_with(flags, &variables.each_ref().map(|(name, value)| (*name, &**value)))
    }

    /// What comes after `kill -9`: another server on the same folder, and it will meet these faults.
    pub fn crash(&self, app: &App) -> App {
        let variables = self.variables();
        app.crash_into(&variables.each_ref().map(|(name, value)| (*name, &**value)))
    }

    /// What a process needs in its environment to meet these faults.
    pub fn variables(&self) -> [(&'static str, String); 2] {
        let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        [("LD_PRELOAD", text(library())), ("ALM_FAULTS", text(self.page.path()))]
    }

    /// From the next commit but `spare` on, the disk is full.
    pub fn fill_after(&self, spare: i64) {
        self.set(Fault::Spare, spare);
        self.set(Fault::Grow, ENOSPC);
    }

    /// From now on it is so; 0 ends it.
    pub fn set(&self, fault: Fault, value: i64) {
        self.file().write_all_at(&value.to_ne_bytes(), 8 * fault as u64).unwrap();
    }

    /// How many calls have failed by them.
    pub fn met(&self) -> i64 {
        let mut bytes = [0; 8];
        self.file().read_exact_at(&mut bytes, 8 * Fault::Met as u64).unwrap();
        i64::from_ne_bytes(bytes)
    }

    fn file(&self) -> &File {
        self.page.as_file()
    }
}

/// The shim, compiled once for all tests.
fn library() -> &'static PathBuf {
    static LIBRARY: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_folder, library) = LIBRARY.get_or_init(|| {
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let library = folder.path().join("shim.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/shim.c");
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", source, "-o"]).arg(&library);
        assert!(compile.status().unwrap().success(), "a C compiler is needed: install cc");
        (folder, library)
    });
    library
}
