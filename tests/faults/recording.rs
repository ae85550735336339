//! A full disk under a cassette that is being recorded.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::Value;

use crate::support::{
    fake_model::{Answer, FakeModel},
    harness::{App, until},
};

/// What the disk holds: one of the long answers, and not two.
const DISK: &str = "size=64k";
const LONG_BYTES: usize = 40_000;

/// Lines of a process, as they come.
fn heard(from: impl Read + Send + 'static, into: Arc<Mutex<String>>) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            *into.lock().unwrap() += &(line + "\n");
        }
    });
}

#[test]
fn turns_go_on_while_the_disk_of_a_cassette_is_full_and_that_is_said_once() {
    let long = || Answer::text(&"x".repeat(LONG_BYTES));
    let model = FakeModel::start([long(), long(), long(), Answer::text("short")]);
    let app = App::start(&[]);
    let acme = app.org_asking("acme", &model);
    app.terminate();
    app.exit_code();
    // A disk of its own, that nobody else sees: as root, or as root of one's own.
    let folder = tempfile::tempdir().unwrap();
    let (disk, file) = (folder.path().to_str().unwrap(), folder.path().join("tour.jsonl"));
    let script = format!("mount -t tmpfs -o {DISK} tmpfs \"$1\" && shift && exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args([
        "-rm",
        "sh",
        "-c",
        &script,
        "sh",
        disk,
        env!("CARGO_BIN_EXE_alm"),
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--record",
    ]);
    command
        .arg(&file)
        .env("ALM_DATA_DIR", app.folder())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut server = command.spawn().unwrap();
    let said = Arc::new(Mutex::new(String::new()));
    heard(server.stdout.take().unwrap(), said.clone());
    heard(server.stderr.take().unwrap(), said.clone());
    let url = until("the server to listen (this needs unshare -rm)", || {
        let said = said.lock().unwrap();
        Some(said.split_once("listening on ")?.1.split_once('\n')?.0.to_owned())
    });
    let acme = acme.at(&url);
    for _ in 0..3 {
        assert_eq!(acme.ask("up/free", "A long one").text().len(), LONG_BYTES);
    }
    assert_eq!(acme.ask("up/free", "A short one").text(), "short");
    let seen = format!("/proc/{}/root{}", server.id(), file.display());
    let lines = until("the last exchange", || {
        let text = fs::read_to_string(&seen).unwrap();
        let lines: Vec<Value> = text.lines().skip(1).filter_map(|line| serde_json::from_str(line).ok()).collect();
        (lines.len() == 2).then_some(lines)
    });
    let asked: Vec<_> = lines.iter().map(|line| line["asked"].as_str().unwrap()).collect();
    assert_eq!(asked, ["A long one", "A short one"]);
    let said = said.lock().unwrap().clone();
    assert_eq!(said.matches("nothing is recorded until the disk takes it").count(), 1, "{said}");
    server.kill().unwrap();
    server.wait().unwrap();
}
