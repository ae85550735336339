//! Files and programs that are refused before anything starts, each in words.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    llama_server::{LlamaServer, talker},
    people::{begin, reaches, says, serve, told},
    proof,
    sample::{Sample, Value as Kept},
    support::harness::{App, Ran, alm},
};

/// What a server says that is given this file; it does not start.
fn refused(file: &Path, flags: &[&str]) -> String {
    let (llama, folder) = (LlamaServer::new(), tempfile::tempdir().unwrap());
    let command = alm(&[&["serve", "--listen", "127.0.0.1:0", "--gguf", file.to_str().unwrap()], flags].concat());
    // The one who runs the tests may read everything.
    let mut limited = Command::new("setpriv");
    limited.args(["--bounding-set", "-dac_override,-dac_read_search"]).arg(command.get_program());
    let mut command = if rustix::process::geteuid().is_root() {
        limited.args(command.get_args());
        limited
    } else {
        command
    };
    command.env_remove("ALM_GGUF").env("ALM_LLAMA_SERVER", llama.program()).env("ALM_DATA_DIR", folder.path());
    let ran = Ran::of(&mut command);
    assert!(ran.code != 0 && llama.starts().is_empty(), "{ran:?}");
    ran.stderr
}

#[test]
fn each_broken_file_is_refused_by_its_own_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let file = |name: &str, bytes: &[u8]| fs::write(path(name), bytes).unwrap();
    let whole = talker().bytes();
    file("unreadable.gguf", &whole);
    fs::set_permissions(path("unreadable.gguf"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::create_dir(path("folder.gguf")).unwrap();
    file("text.gguf", b"once upon a time there was no model in this file");
    file("empty.gguf", b"");
    file("old.gguf", &Sample { version: 1, ..talker() }.bytes());
    file("new.gguf", &Sample { version: 4, ..talker() }.bytes());
    file("header.gguf", &whole[..100]);
    file("tensors.gguf", &whole[..whole.len() - 100]);
    file("x-00001-of-00003.gguf", &talker().part(1, 3).bytes());
    file("bert.gguf", &talker().with_text("general.architecture", "bert").bytes());
    file("base.gguf", &talker().without("tokenizer.chat_template").bytes());
    let tensors =
        format!("cut short: it has {} bytes and its tensors end at {}: copy it again", whole.len() - 100, whole.len());
    let sentences = [
        ("missing.gguf", "does not exist"),
        ("unreadable.gguf", "cannot be read by the user that alm runs as"),
        ("folder.gguf", "is a folder"),
        ("text.gguf", "is no GGUF file"),
        ("empty.gguf", "is no GGUF file"),
        ("old.gguf", "is GGUF version 1: 2 and 3 are known"),
        ("new.gguf", "is GGUF version 4: 2 and 3 are known"),
        ("header.gguf", "is cut short"),
        ("tensors.gguf", &tensors),
        ("x-00001-of-00003.gguf", "is part 1 of 3, and part 2 is missing"),
        ("bert.gguf", "is an embedding model (bert): it cannot answer"),
        (
            "base.gguf",
            "has no chat template: it is probably a base model, which does not answer; if not, give one with --gguf-template",
        ),
    ];
    for (name, sentence) in sentences {
        let said = refused(&path(name), &[]);
        assert!(said.contains(sentence) && said.contains(name), "{name}: {said}");
    }
    proof("broken_files_refused", sentences.len());
}

/// Why a model is not to be had whose server runs all the same; its child was never started.
#[track_caller]
fn why(llama: &LlamaServer, flags: &[&str]) -> String {
    let app = begin(llama, flags);
    reaches(&app, "failed");
    assert!(llama.starts().is_empty());
    let owner = app.org("acme");
    let reason = told(&app)["reason"].as_str().unwrap().to_owned();
    let refused = owner.post("/chat", says("Hi"));
    assert!(refused.status >= 500 && owner.get("/sessions/c").status == 404, "{}", refused.text);
    reason
}

#[test]
fn a_model_that_no_memory_holds_is_refused_with_its_numbers() {
    let llama = LlamaServer::new();
    // A token of it takes a gigabyte.
    let huge = talker()
        .with("llama.block_count", Kept::Number(4_096))
        .with("llama.attention.head_count", Kept::Number(512))
        .with("llama.attention.head_count_kv", Kept::Number(512))
        .with("llama.embedding_length", Kept::Number(65_536));
    fs::write(llama.file(), huge.bytes()).unwrap();
    let said = why(&llama, &[]);
    assert!(
        said.contains("GB with a context of 2048 tokens, and ") && said.contains("tiny.gguf needs about "),
        "{said}"
    );
    let said = why(&llama, &["--gguf-context", "4096"]);
    assert!(said.ends_with(" GB are free: try a smaller file"), "{said}");
}

#[test]
fn a_context_that_does_not_fit_is_halved_until_it_does() {
    let llama = LlamaServer::new();
    // A token of it takes so much that half of the memory holds 4,096 of them.
    let half = available_bytes() / 2 / 4_096;
    let rows = u32::try_from(half / (2 * 2 * 64)).unwrap();
    let file =
        talker().with("llama.block_count", Kept::Number(rows)).with("llama.attention.head_count", Kept::Number(1));
    let file =
        file.with("llama.attention.head_count_kv", Kept::Number(1)).with("llama.embedding_length", Kept::Number(64));
    fs::write(llama.file(), file.bytes()).unwrap();
    let app = serve(&llama, &[]);
    let arguments = llama.starts().pop().unwrap().arguments;
    let context = arguments.iter().position(|word| word == "-c").map(|at| &*arguments[at + 1]);
    assert_eq!(context, Some("4096"), "{arguments:?}");
    app.says("4096");
}

/// Memory that the system says is free.
fn available_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1_024
}

#[test]
fn a_program_that_cannot_run_is_told_in_words() {
    let loader = "llama-server: error while loading shared libraries: libgomp.so.1: cannot open shared object file: \
                  No such file or directory\n";
    let versions: [(Value, &str); 4] = [
        (
            json!({ "signal": 4 }),
            "this llama-server needs instructions that this processor lacks: build llama.cpp on this machine",
        ),
        (json!({ "code": 127, "says": loader }), "llama-server does not start: libgomp.so.1 is missing"),
        (json!({ "text": "version: 17 (0a1b2c3d)\n" }), "llama-server build 17 is too old: alm needs "),
        (json!({ "code": 3, "says": "odd\n" }), "llama-server --version failed (exit 3): odd"),
    ];
    for (version, sentence) in versions {
        let said = why(&LlamaServer::planned(json!({ "version": version })), &[]);
        assert!(said.starts_with(sentence), "{said}");
    }
}

#[test]
fn a_build_that_does_not_tell_its_number_is_taken() {
    let version = "version: 0.6.0-dev (build 0, commit unknown)\nbuilt with GNU 12.2.0 for Linux x86_64\n";
    serve(&LlamaServer::planned(json!({ "version": { "text": version } })), &[]);
}

#[test]
fn without_a_program_it_is_said_how_to_get_one() {
    let llama = LlamaServer::new();
    fs::remove_file(llama.program()).unwrap();
    assert!(why(&llama, &[]).ends_with("llama-server does not exist"));
    // What starts the server is found there, and no more.
    let bin = llama.path("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink("/usr/bin/env", bin.join("env")).unwrap();
    let app = App::start_with(&["--gguf", llama.file().to_str().unwrap()], &[("PATH", bin.to_str().unwrap())]);
    reaches(&app, "failed");
    let told = told(&app)["reason"].clone();
    let sentence = "there is no llama-server beside alm or in PATH: install llama.cpp, or name it with --llama-server";
    assert_eq!(told, sentence);
}
