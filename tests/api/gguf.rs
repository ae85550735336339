//! `alm gguf`: models' files in the data folder, without any server.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    gguf_sample::Sample,
    support::harness::{Ran, alm},
};

/// A data folder, and files beside it.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Place(tempfile::tempdir().unwrap())
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn put(&self, name: &str, bytes: &[u8]) -> String {
        let file = self.0.path().join(name);
        fs::write(&file, bytes).unwrap();
        file.to_str().unwrap().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = alm(arguments);
        command.env("ALM_DATA_DIR", self.data());
        command
    }

    fn alm(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(arguments))
    }

    fn gguf(&self, arguments: &[&str]) -> Ran {
        self.alm(&[&["gguf"], arguments].concat())
    }

    /// What lies on the shelf, also what is half made.
    fn shelved(&self) -> usize {
        fs::read_dir(self.data().join("models")).map_or(0, Iterator::count)
    }
}

#[test]
fn a_model_is_added_listed_shown_verified_and_removed() {
    let place = Place::new();
    let file = place.put("Small.Q8_0.gguf", &Sample::model().bytes());
    assert_eq!((place.gguf(&["list", "--json"]).json(), place.data().exists()), (json!([]), false));
    let added = place.gguf(&["add", &file, "--json"]).json();
    let facts = ["name", "architecture", "modelName", "licence", "parameters", "quantisation", "contextWindow"];
    let expected = json!(["small-q8-0", "llama", "Sample", "mit", 192, "Q8_0", 4096]);
    assert_eq!(facts.iter().map(|fact| added[fact].clone()).collect::<Value>(), expected);
    let bytes = Sample::model().bytes().len() as u64;
    // Weights, 4,096 tokens of 256 bytes, 512 MiB of prompts and 256 MiB beside.
    assert_eq!(added["memoryBytes"], json!(bytes + 4_096 * 256 + (512 + 256) * 1_024 * 1_024));
    assert_eq!((&added["hasTemplate"], &added["mayUseTools"]), (&json!(true), &json!(false)));
    assert_eq!(place.gguf(&["list", "--json"]).json(), json!([added]));

    let listed = place.gguf(&["list"]);
    let words: Vec<_> = listed.ok().lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(words[..2], ["small-q8-0", "1.2"], "{listed:?}");
    assert_eq!(words[3..], ["llama", "192", "Q8_0", "4096", "yes", "no", "806.4", "MB"], "{listed:?}");
    let shown = place.gguf(&["show", "small-q8-0"]);
    assert!(shown.ok().contains("4096 tokens") && shown.ok().contains(added["sha256"][0].as_str().unwrap()));
    assert!(place.gguf(&["show", "small-q8-0", "--json"]).json()["template"].as_str().unwrap().contains("m.content"));
    place.gguf(&["verify", "small-q8-0"]).ok();
    place.gguf(&["remove", "small-q8-0"]).ok();
    for command in ["show", "verify", "remove"] {
        let words = "alm: no such model: alm gguf list names those that there are\n";
        assert_eq!(place.gguf(&[command, "small-q8-0"]).fails(1), words);
    }
    assert_eq!(place.shelved(), 0);
}

#[test]
fn what_cannot_answer_is_refused_before_a_byte_is_copied() {
    let place = Place::new();
    let whole = Sample::model().bytes();
    let ends = whole.len();
    let cut = place.put("cut.gguf", &whole[..ends - 1]);
    let bert = place.put("bert.gguf", &Sample::model().with_text("general.architecture", "bert").bytes());
    let part = place.put("m-00001-of-00002.gguf", &Sample::model().part(1, 2).bytes());
    let pipe = place.0.path().join("pipe").to_str().unwrap().to_owned();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (file, words) in [
        (&cut, format!("is cut short: it has {} bytes and its tensors end at {ends}: copy it again", ends - 1)),
        (&bert, "is an embedding model (bert): it cannot answer".to_owned()),
        (&part, "is part 1 of 2, and part 2 is missing".to_owned()),
        (&pipe, "is a pipe or a device, not a file".to_owned()),
    ] {
        assert_eq!(place.gguf(&["add", file]).fails(1), format!("alm: {file} {words}\n"));
    }
    let good = place.put("good.gguf", &whole);
    assert!(place.gguf(&["add", &good, "--name", "A b"]).fails(1).contains("--name: must be"));
    assert!(!place.data().exists());
}

#[test]
fn a_full_disk_leaves_nothing_of_a_copy() {
    let place = Place::new();
    let file = place.put("large.gguf", &Sample { data: 1 << 20, ..Sample::model() }.bytes());
    // The system ends every file at 64 KiB: what a full disk does, for this process alone.
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -f 128; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_alm"), "gguf", "add", &file]);
    let ran = Ran::of(limited.env("ALM_DATA_DIR", place.data()));
    assert!(ran.fails(1).starts_with("alm: there is no room in "), "{ran:?}");
    assert_eq!(place.shelved(), 0);
    place.gguf(&["add", &file]).ok();
    assert_eq!(place.shelved(), 1);
}

#[test]
fn a_linked_file_stays_and_a_model_without_a_template_is_added_with_a_warning() {
    let place = Place::new();
    let file = place.put("base.gguf", &Sample::model().without("tokenizer.chat_template").bytes());
    let added = place.gguf(&["add", &file, "--link", "--name", "linked", "--json"]);
    assert_eq!((added.code, added.stderr.contains("has no chat template")), (0, true), "{added:?}");
    let json: Value = serde_json::from_str(&added.stdout).unwrap();
    assert_eq!(Path::new(json["linkedTo"].as_str().unwrap()), Path::new(&file).canonicalize().unwrap());
    place.gguf(&["remove", "linked"]).ok();
    assert!(Path::new(&file).exists());

    place.gguf(&["add", &file, "--link", "--name", "lost"]);
    fs::remove_file(&file).unwrap();
    let listed = place.gguf(&["list", "--json"]);
    assert_eq!((listed.code, listed.stderr.contains("does not exist")), (0, true), "{listed:?}");
    let json: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!((&json[0]["name"], json[0]["error"].is_string()), (&json!("lost"), true), "{listed:?}");
    place.gguf(&["remove", "lost"]).ok();
}

#[test]
fn models_sockets_and_commands_folders_are_in_no_backup_and_no_export() {
    const MARK: &str = "never-in-a-copy";
    let place = Place::new();
    let password = place.put("password", b"correct horse battery staple\n");
    place.alm(&["org", "create", "acme", "--owner", "a@example.com", "--password-file", &password]).ok();
    let marked = ["run", "models", "mcp"].map(|folder| place.data().join(folder).join(MARK));
    for file in &marked {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, MARK).unwrap();
    }
    let backup = place.0.path().join("backup.db");
    place.alm(&["backup", backup.to_str().unwrap()]).ok();
    let export = place.alm(&["export", "--org", "acme"]);
    assert_eq!(export.code, 0, "{export:?}");
    for copied in [fs::read(&backup).unwrap(), export.stdout.into_bytes()] {
        assert!(copied.len() > 100);
        assert!(!copied.windows(MARK.len()).any(|bytes| bytes == MARK.as_bytes()));
    }
    place.alm(&["restore", backup.to_str().unwrap(), "--force"]).ok();
    assert!(marked.iter().all(|file| fs::read(file).unwrap() == MARK.as_bytes()));
}
