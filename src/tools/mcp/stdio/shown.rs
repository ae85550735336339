//! A command's log in a file, which `alm mcp logs` reads beside a running server.
//!
//! Rule: what is written is what is shown: bounded, and without secrets.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Weak,
    time::Duration,
};

use crate::child::Ring;

/// Between two looks at whether a log has grown.
const SHOW_INTERVAL: Duration = Duration::from_secs(1);

/// Writes a log into its file whenever it has grown, as long as there is that log.
pub(super) async fn show(log: Weak<Ring>, file: PathBuf) {
    let mut shown = 0;
    loop {
        tokio::time::sleep(SHOW_INTERVAL).await;
        let Some(log) = log.upgrade() else { return };
        if log.said() == shown {
            continue;
        }
        shown = log.said();
        let (text, file) = (log.text(), file.clone());
        let written = tokio::task::spawn_blocking(move || write_whole(&file, &text)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "the log of a command is not written");
        }
    }
}

/// Nobody reads half of it, and nobody else reads it.
fn write_whole(file: &Path, text: &str) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut draft = tempfile::NamedTempFile::new_in(folder)?;
    draft.write_all(text.as_bytes())?;
    draft.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, sync::Arc};

    use super::*;
    use crate::secret::Secret;

    #[tokio::test(start_paused = true)]
    async fn a_log_is_written_when_it_has_grown_for_its_owner_alone_and_without_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("id.log");
        let log = Arc::new(Ring::new(100, [Secret::new("very-secret")]));
        let showing = tokio::spawn(show(Arc::downgrade(&log), file.clone()));
        for (said, shown) in [("one very-secret", "one ***"), ("two", "one ***two")] {
            log.push(said.as_bytes());
            while fs::read_to_string(&file).unwrap_or_default() != shown {
                tokio::time::sleep(SHOW_INTERVAL).await;
            }
        }
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o077, 0);
        drop(log);
        showing.await.unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
    }
}
