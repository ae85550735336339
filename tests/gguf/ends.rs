//! How a child ends, by itself, by somebody's hand and with its server, and what is left of it.

use std::{
    fs,
    os::unix::net::UnixListener,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    llama_server::{LlamaServer, signal},
    people::{begin, crash, failed, order, reaches, says, says_in, serve, states, told, whole},
    support::harness::{App, until},
    system::{resident_bytes, runs, threads},
};

/// How long a child may outlive its server.
const GONE_WITHIN: Duration = Duration::from_secs(10);
/// What a server may take to go after its drain, a child that wants to stay included.
const GOING_WITHIN: Duration = Duration::from_secs(20);
/// What the server may hold of all that a child says.
const WORDS_BYTES_MAX: u64 = 8 << 20;

#[test]
fn a_child_that_is_killed_in_an_answer_is_told_and_the_reply_goes_on_where_it_was_cut() {
    let llama = LlamaServer::new();
    let app = serve(&llama, &[]);
    let owner = app.org("acme");
    let mut heard = owner.listen(says("Hi words=9 waits=on"));
    heard.until("text-delta");
    signal(&llama.pid(), "KILL");
    let stream = heard.rest();
    assert_eq!(failed(&stream), "the local model ended (signal 9): its last words are on the Models page");
    assert_eq!(stream.text(), "w0 ");
    let kept = owner.messages("c").pop().unwrap();
    assert_eq!(kept["content"], "w0 ");
    whole(&owner.chat(says_in("d", "Hi")));
    llama.open("on");
    let resumed = owner.resume("c");
    whole(&resumed);
    let after = owner.messages("c").pop().unwrap();
    assert_eq!(after["id"], kept["id"]);
    assert!(after["content"].as_str().unwrap().starts_with("w0 w0 w1 "), "{after}");
    assert_eq!(llama.starts().len(), 2);
}

#[test]
fn a_child_that_dies_in_a_prompt_is_asked_once_more_and_then_it_is_said() {
    let llama = LlamaServer::new();
    let app = serve(&llama, &[]);
    let owner = app.org("acme");
    whole(&owner.chat(says("Hi dies-once=prompt:6")));
    assert_eq!((llama.count("dies"), llama.starts().len()), (1, 2));
    let reply = owner.post("/chat", says_in("d", "Hi dies=prompt:exit3"));
    assert!(
        reply.text.contains("the local model ended (exit 3): its last words are on the Models page"),
        "{}",
        reply.text
    );
    assert_eq!(llama.count("dies"), 3, "once, and once more");
    reaches(&app, "ready");
    whole(&owner.chat(says_in("e", "Hi")));
}

#[test]
fn a_child_that_dies_again_and_again_keeps_nobody_from_an_answer() {
    let llama = LlamaServer::new();
    let app = serve(&llama, &[]);
    let owner = app.org("acme");
    for how in ["6", "9", "11", "exit0", "exit1"] {
        let stream = owner.chat(says_in(how, &format!("Hi dies=answer:{how}")));
        assert!(failed(&stream).starts_with("the local model ended ("), "{}", stream.raw);
        assert_eq!(stream.text(), "A ");
    }
    whole(&owner.chat(says("Hi")));
    assert_eq!(llama.starts().len(), llama.count("dies") + 1);
}

#[test]
fn what_else_a_child_has_started_goes_with_it() {
    let llama = LlamaServer::planned(json!({ "forks": true }));
    let app = serve(&llama, &[]);
    let forked = || llama.forked().pop().unwrap();
    let first = forked();
    assert!(runs(&first));
    signal(&llama.pid(), "KILL");
    until("another to be started", || (llama.starts().len() == 2).then_some(()));
    until("what it had started to go", || (!runs(&first)).then_some(()));
    reaches(&app, "ready");
    let second = forked();
    order(&app, "stop");
    until("that to go as well", || (!runs(&second)).then_some(()));
}

#[test]
fn a_child_that_hears_nothing_is_ended_by_force() {
    let llama = LlamaServer::planned(json!({ "deaf": true }));
    let app = serve(&llama, &[]);
    app.terminate();
    let from = Instant::now();
    assert_eq!(app.exit_code(), Some(0));
    assert!(from.elapsed() < GOING_WITHIN + GONE_WITHIN && !runs(&llama.pid()));
    assert!(!app.folder().join("run/tiny.sock").exists() && !app.folder().join("run/tiny.pid").exists());
}

#[test]
fn a_server_that_is_told_to_go_in_an_answer_keeps_its_text_and_leaves_no_child() {
    let llama = LlamaServer::new();
    let app = serve(&llama, &["--drain", "1s"]);
    let owner = app.org("acme");
    let mut heard = owner.listen(says("Hi words=9 waits=on"));
    heard.until("text-delta");
    let waits = owner.listen(says_in("d", "Me too"));
    app.terminate();
    let from = Instant::now();
    let stream = heard.rest();
    assert_eq!((stream.text(), stream.all("error").len()), ("w0 ".into(), 1));
    assert_eq!(waits.rest().all("error").len(), 1);
    assert_eq!(app.exit_code(), Some(0));
    assert!(from.elapsed() < Duration::from_secs(1) + GOING_WITHIN);
    assert!(!runs(&llama.pid()) && !app.folder().join("run/tiny.sock").exists());
    let app = crash(&app, &llama);
    let owner = owner.at(app.url());
    let kept = owner.messages("c").pop().unwrap();
    assert_eq!((&kept["content"], &kept["status"]), (&json!("w0 "), &json!("interrupted")));
    llama.open("on");
    whole(&owner.resume("c"));
}

#[test]
fn a_server_that_is_told_to_go_while_a_child_loads_goes() {
    let llama = LlamaServer::planned(json!({ "loads": "never" }));
    let app = begin(&llama, &[]);
    reaches(&app, "loading");
    let child = llama.pid();
    app.terminate();
    assert_eq!(app.exit_code(), Some(0));
    assert!(!runs(&child));
}

#[test]
fn a_killed_server_leaves_no_child_and_what_that_had_started_ends_with_the_next_start() {
    let llama = LlamaServer::planned(json!({ "forks": true, "deaf": true }));
    let app = serve(&llama, &[]);
    let owner = app.org("acme");
    owner.listen(says("Hi words=9 waits=on")).until("text-delta");
    let (child, forked) = (llama.pid(), llama.forked().pop().unwrap());
    app.signal("KILL");
    let killed = Instant::now();
    until("the child to die with its server", || (!runs(&child)).then_some(()));
    assert!(killed.elapsed() < GONE_WITHIN);
    assert!(app.folder().join("run/tiny.sock").exists(), "its socket stays");
    let app = crash(&app, &llama);
    assert!(!runs(&forked), "it is gone before the next server listens");
    reaches(&app, "ready");
    let owner = owner.at(app.url());
    whole(&owner.chat(says_in("d", "Hi")));
}

#[test]
fn a_stranger_with_the_process_id_of_a_child_is_left_alone() {
    let (llama, folder) = (LlamaServer::new(), tempfile::tempdir().unwrap());
    let mut stranger = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
    let pid = stranger.id().to_string();
    let run = folder.path().join("run");
    fs::create_dir(&run).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let space = fs::read_link("/proc/self/ns/pid").unwrap();
    fs::write(run.join("tiny.pid"), format!("{pid} 1 4000000 1 {}/{}\n", boot.trim(), space.display())).unwrap();
    drop(UnixListener::bind(run.join("tiny.sock")).unwrap());
    let app = App::start_in(folder);
    let app = crash(&app, &llama);
    reaches(&app, "ready");
    assert!(runs(&pid));
    whole(&app.org("acme").chat(says("Hi")));
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn a_file_in_the_place_of_the_socket_is_nobodys_to_remove() {
    let (llama, folder) = (LlamaServer::new(), tempfile::tempdir().unwrap());
    fs::create_dir(folder.path().join("run")).unwrap();
    let file = folder.path().join("run/tiny.sock");
    fs::write(&file, "kept").unwrap();
    let app = crash(&App::start_in(folder), &llama);
    reaches(&app, "failed");
    let told = told(&app);
    assert!(told["reason"].as_str().unwrap().contains("run/tiny.sock is in the way"), "{told}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    assert!(llama.starts().is_empty());
}

#[test]
fn a_child_outlives_every_thread_that_served_a_request() {
    let llama = LlamaServer::new();
    let app = serve(&llama, &["--gguf-slots", "4"]);
    let (owner, server) = (app.org("acme"), app.process().to_string());
    let before = threads(&server);
    let sessions: Vec<_> = (0..16).map(|n| n.to_string()).collect();
    thread::scope(|scope| {
        for session in &sessions {
            let owner = &owner;
            scope.spawn(move || whole(&owner.chat(says_in(session, "Hi"))));
        }
    });
    // The system would kill it with the thread that started it.
    until("the threads to end that served them", || (threads(&server) <= before).then_some(()));
    whole(&owner.chat(says("Hi")));
    assert!(llama.starts().len() == 1 && runs(&llama.pid()));
}

#[test]
fn what_a_child_says_without_end_is_not_kept() {
    let llama = LlamaServer::planned(json!({ "chatters": true }));
    let app = serve(&llama, &[]);
    let owner = app.org("acme");
    let before = resident_bytes(&app.process().to_string());
    for n in 0..20 {
        whole(&owner.chat(says_in(&n.to_string(), "Hi words=20")));
    }
    let grown = resident_bytes(&app.process().to_string()).saturating_sub(before);
    assert!(grown < WORDS_BYTES_MAX, "{grown}");
    assert_eq!(states(&app)[0].1, "ready");
}
