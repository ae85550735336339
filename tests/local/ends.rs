//! The life of its process: how it refuses to start, and how it goes.

use std::{fs, io::Read, net::TcpListener, process::Stdio};

use serde_json::json;

use super::{
    contract,
    program::{Llama, Model, command, free_port, program},
    support::harness::{until, user},
};

/// How it ends that cannot start with these arguments: its exit code, and all that it said.
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = command(arguments);
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut said = Vec::new();
    child.stderr.take().unwrap().read_to_end(&mut said).unwrap();
    (child.wait().unwrap().code(), String::from_utf8_lossy(&said).into_owned())
}

fn serving(model: &str) -> (Option<i32>, String) {
    refused(&["--host", "127.0.0.1", "--port", &free_port().to_string(), "--offline", "-m", model])
}

#[test]
fn what_it_cannot_load_ends_it_with_1_and_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let whole = fs::read(Model::Smollm2.path()).unwrap();
    let missing = folder.path().join("missing").to_str().unwrap().to_owned();
    let texts = [file("text", b"no model"), file("empty", b""), file("header", &whole[..1_000])];
    for path in texts.iter().chain([&missing]) {
        let (code, said) = serving(path);
        assert!(code == Some(1) && said.contains("failed to load model"), "{path}: {code:?} {said}");
    }
    let (code, said) = serving(&file("tensors", &whole[..whole.len() / 2]));
    assert!(code == Some(1) && said.contains("data is not within the file bounds"), "{code:?} {said}");
}

#[test]
fn a_port_in_use_and_an_unknown_flag_end_it_with_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, path) = (taken.local_addr().unwrap().port().to_string(), Model::Smollm2.path());
    let (code, said) = refused(&["--host", "127.0.0.1", "--port", &port, "-m", path.to_str().unwrap(), "--offline"]);
    assert!(code == Some(1) && said.contains("couldn't bind HTTP server socket"), "{code:?} {said}");
    let (code, said) = refused(&["--no-such-flag"]);
    assert!(code == Some(1) && said.contains("error: invalid argument"), "{code:?} {said}");
}

#[test]
fn its_variables_change_its_window() {
    let (port, path) = (free_port(), Model::Smollm2.path());
    let mut command = command(&["--host", "127.0.0.1", "--port", &port.to_string(), "-m", path.to_str().unwrap()]);
    let llama = Llama::of(command.env("LLAMA_ARG_CTX_SIZE", "512").spawn().unwrap(), port).ready();
    assert_eq!(llama.get("/v1/models").1["data"][0]["meta"]["n_ctx"], json!(512));
}

#[test]
fn as_a_child_it_is_what_the_other_suites_play() {
    let (program, file) = (program(), Model::Smollm2.path());
    contract::version(&program);
    contract::facts(&program, &file);
    contract::streams(&program, &file);
    contract::idle_end(&program, &file);
    contract::busy_end(&program, &file);
}

#[test]
fn in_an_answer_a_second_signal_ends_it_with_1() {
    let mut llama = Llama::start(Model::Smollm2, 8_192, &[]);
    let mut events = llama.stream(json!({ "messages": [user("Hi")], "ignore_eos": true }));
    events.word();
    llama.signal("TERM");
    // It lets its clients be heard out; what it does meanwhile shows that it took the signal.
    events.word();
    llama.signal("TERM");
    assert_eq!(llama.end(), Some(1));
}

#[test]
fn a_client_that_hangs_up_frees_the_slot() {
    let llama = Llama::start(Model::Smollm2, 8_192, &[]);
    let mut events = llama.stream(json!({ "messages": [user("Hi")], "ignore_eos": true }));
    events.word();
    drop(events);
    until("the slot to be free", || (llama.get("/slots").1[0]["is_processing"] == json!(false)).then_some(()));
    assert_eq!(llama.chat(json!({ "messages": [user("Hi")], "max_tokens": 1 })).0, 200);
}
