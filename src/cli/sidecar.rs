//! A server as another program's child: one line that says it is ready or why it is not, and a life as long as the parent's.
//!
//! Rule: the line is all that standard output ever has. It holds whatever the parent needs, so that nothing has to be looked up,
//! probed or read off the log.

use std::{
    fs::{self, File},
    io::{self, BufRead, Read, Stdin, Write, stdin},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process, thread,
};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{log, text::read_secret};
use crate::{
    error::{Error, Reason, Result},
    secret::Secret,
    server::{Provisioned, Server},
    store::file::{lock, schema_version},
};

/// The form of the line; a field more does not change it.
const PROTOCOL: u32 = 1;
/// What is read at once of a pipe that says nothing.
const CHUNK_BYTES: usize = 4_096;

/// The longest first line of standard input, in bytes.
const LINE_BYTES_MAX: usize = 64 * 1_024;

/// How a server lives beside the program that starts it.
#[derive(Debug, clap::Args)]
pub(super) struct Sidecar {
    /// Live as another program's child: --listen 127.0.0.1:0 --ready json --exit-with-stdin --drain 5s --log-format json, without a
    /// setup link; each of these given apart wins
    #[arg(long)]
    pub sidecar: bool,
    /// Say on one line that the server can be used, or why it cannot: json, on standard output, or file:PATH
    #[arg(long, value_name = "FORM", value_parser = parse_ready, default_value_if("sidecar", "true", "json"))]
    pub ready: Option<Ready>,
    /// Go down when standard input ends, a pipe whose other end is the parent's
    #[arg(long, default_value_if("sidecar", "true", "true"))]
    pub exit_with_stdin: bool,
    /// Make an organization, a key, providers and agents as a JSON object says: a file, or - for the first line of standard input
    #[arg(long, value_name = "FILE")]
    pub provision: Option<PathBuf>,
}

impl Sidecar {
    /// What there is to be made.
    pub(super) fn wanted(&self) -> Result<Option<Secret>> {
        let Some(file) = &self.provision else { return Ok(None) };
        if file.as_os_str() != "-" {
            return read_secret(file).map(|text| Some(Secret::new(text)));
        }
        first_line(&mut stdin().lock()).map(Some)
    }

    /// Ready once the parent has gone, if that ends this server.
    pub(super) fn orphaned(&self) -> Result<impl Future<Output = ()> + use<>> {
        let end = self.exit_with_stdin.then(|| end_of(stdin())).transpose()?;
        Ok(async move {
            match end {
                Some(end) => end.await,
                None => std::future::pending().await,
            }
        })
    }
}

/// The first line, without its end. What follows it is not touched.
fn first_line(input: &mut impl BufRead) -> Result<Secret> {
    let mut line = String::new();
    let read = input.take(LINE_BYTES_MAX as u64 + 1).read_line(&mut line);
    read.map_err(|error| Error::failed(format!("--provision: cannot read standard input: {error}")))?;
    match line.trim_end_matches(['\r', '\n']) {
        "" => Err(Error::failed("--provision: the first line of standard input is empty")),
        long if long.len() > LINE_BYTES_MAX => Err(Error::failed(format!(
            "--provision: the first line of standard input is longer than {LINE_BYTES_MAX} bytes"
        ))),
        line => Ok(Secret::new(line)),
    }
}

/// Where the line goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ready {
    /// To standard output.
    Json,
    /// To a file that appears whole.
    File(PathBuf),
}

/// Reads `json` or `file:PATH`.
fn parse_ready(text: &str) -> Result<Ready, String> {
    match (text, text.strip_prefix("file:")) {
        ("json", _) => Ok(Ready::Json),
        (_, Some(path)) if !path.is_empty() => Ok(Ready::File(path.into())),
        _ => Err("must be json, or file: and a path".into()),
    }
}

impl Ready {
    /// Says that the server accepts connections, and where.
    pub(super) fn ready(&self, server: &Server, folder: &Path, made: Option<&Provisioned>) -> Result<()> {
        self.say(&json!({
            "alm": "ready",
            "protocol": PROTOCOL,
            "version": env!("CARGO_PKG_VERSION"),
            "pid": process::id(),
            "url": server.url(),
            "dataDir": folder.canonicalize().unwrap_or_else(|_| folder.to_owned()),
            "schema": schema_version(),
            "upgradedFrom": server.upgraded_from(),
            "org": made.map(|made| made.org.slug()),
            "key": made.and_then(|made| made.key.as_ref()).map(|key| key.expose()),
        }))
    }

    /// Says why there will be no server. Where that cannot be said either, the log has it.
    pub(super) fn failed(&self, error: &Error, folder: &Path) {
        let code = code(error);
        let mut line = json!({ "alm": "failed", "protocol": PROTOCOL, "code": code, "message": error.to_string() });
        if code == "DATA_DIR_IN_USE" {
            line["running"] = lock::announced(folder).map_or(Value::Null, |running| json!(running));
        }
        if let Err(error) = self.say(&line) {
            tracing::warn!(%error, "the line that says so cannot be written");
        }
    }

    fn say(&self, line: &Value) -> Result<()> {
        match self {
            Ready::Json => {
                log::answer(&line.to_string());
                Ok(())
            }
            Ready::File(path) => write_whole(path, line)
                .map_err(|error| Error::failed(format!("--ready: cannot write {}: {error}", path.display()))),
        }
    }
}

/// What went wrong, for a program.
fn code(error: &Error) -> &'static str {
    match error {
        Error::Failed { reason: Reason::DataDirInUse, .. } => "DATA_DIR_IN_USE",
        Error::Failed { reason: Reason::AddressInUse, .. } => "ADDRESS_IN_USE",
        Error::Failed { reason: Reason::NewerFile, .. } => "NEWER_FILE",
        Error::Failed { reason: Reason::DataDirDenied, .. } => "DATA_DIR_DENIED",
        Error::Invalid(_) => "INVALID",
        _ => "FAILED",
    }
}

/// Whoever looks finds the whole line or no file.
fn write_whole(path: &Path, line: &Value) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", process::id()));
    let written =
        File::options().write(true).create(true).truncate(true).mode(0o600).open(&draft).and_then(|mut file| {
            file.write_all(format!("{line}\n").as_bytes())?;
            fs::rename(&draft, path)
        });
    if written.is_err() {
        // It may not be there.
        fs::remove_file(&draft).unwrap_or_default();
    }
    written
}

/// Ready once standard input ends, which is when the parent has gone, however it went.
fn end_of(mut input: Stdin) -> Result<impl Future<Output = ()>> {
    let kind = fs::metadata("/dev/stdin").map(|facts| facts.file_type());
    if !kind.is_ok_and(|kind| kind.is_fifo() || kind.is_socket()) {
        return Err(Error::failed("--exit-with-stdin needs a pipe as standard input"));
    }
    let (ended, end) = oneshot::channel();
    thread::Builder::new()
        .name("parent".into())
        .spawn(move || {
            let mut unread = [0; CHUNK_BYTES];
            loop {
                match input.read(&mut unread) {
                    Ok(1..) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Ok(0) | Err(_) => break,
                }
            }
            // A server that ends already listens no more.
            ended.send(()).unwrap_or_default();
        })
        .map_err(Error::internal)?;
    Ok(async move {
        // An end either way.
        end.await.unwrap_or_default();
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_goes_to_standard_output_or_to_a_file() {
        assert_eq!(parse_ready("json"), Ok(Ready::Json));
        assert_eq!(parse_ready("file:/run/x"), Ok(Ready::File("/run/x".into())));
        for wrong in ["", "file:", "file", "JSON", "text"] {
            assert!(parse_ready(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_first_line_is_read_up_to_its_bound() {
        for (bytes, is_read) in [(LINE_BYTES_MAX - 1, true), (LINE_BYTES_MAX, true), (LINE_BYTES_MAX + 1, false)] {
            let text = format!("{}\nrest", "x".repeat(bytes));
            let mut input = text.as_bytes();
            let line = first_line(&mut input);
            assert_eq!(line.is_ok_and(|line| line.expose().len() == bytes && input == b"rest"), is_read, "{bytes}");
        }
        assert!(first_line(&mut &b"\n"[..]).is_err() && first_line(&mut &b"\xff\n"[..]).is_err());
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ready");
        write_whole(&path, &json!({ "alm": "ready" })).unwrap();
        write_whole(&path, &json!({ "alm": "failed" })).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"alm\":\"failed\"}\n");
        fs::create_dir(folder.path().join("taken")).unwrap();
        write_whole(&folder.path().join("taken"), &json!({})).unwrap_err();
        write_whole(&folder.path().join("no/x"), &json!({})).unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no draft is left");
    }

    #[test]
    fn a_program_learns_what_went_wrong_by_a_word() {
        let because = |reason| code(&Error::failed_because(reason, "x"));
        assert_eq!(because(Reason::DataDirInUse), "DATA_DIR_IN_USE");
        assert_eq!(because(Reason::AddressInUse), "ADDRESS_IN_USE");
        assert_eq!(because(Reason::NewerFile), "NEWER_FILE");
        assert_eq!(because(Reason::DataDirDenied), "DATA_DIR_DENIED");
        assert_eq!(because(Reason::Other), "FAILED");
        assert_eq!(code(&Error::invalid("listen", "x")), "INVALID");
    }
}
