//! More clients than anyone expects, and fewer descriptors.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};

use rlimit::Resource;
use serde_json::{Value, json};

use crate::{
    did_not_panic,
    memory::memory_peak,
    proof,
    support::{
        fake_model::{Answer, FakeModel, delta, finish},
        harness::{App, PATIENCE, until, user},
    },
};

/// Connections at once.
const CLIENTS: usize = 5_000;
/// Descriptors that a server opens with use and keeps: its readers open the file's log when they are first asked, and a client
/// that is idle keeps its connection.
const KEPT_DESCRIPTORS: usize = 20;
/// Descriptors that a server is left with beyond those it has.
const SPARE_DESCRIPTORS: u64 = 12;
/// Memory that one waiting reader may cost, in bytes: its connection's buffers and its place in the journal.
const READER_BYTES_MAX: u64 = 64 * 1024;

fn word(text: &str) -> Value {
    delta(json!({ "content": text }))
}

/// How many descriptors the server has open.
fn descriptors(app: &App) -> usize {
    fs::read_dir(format!("/proc/{}/fd", app.process())).unwrap().count()
}

fn connect(app: &App) -> TcpStream {
    let socket = TcpStream::connect(app.url().trim_start_matches("http://")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Reads until that text has come.
#[track_caller]
fn hear(socket: &mut TcpStream, text: &str) -> String {
    let (mut heard, mut buffer) = (String::new(), [0; 4096]);
    while !heard.contains(text) {
        let bytes = socket.read(&mut buffer).unwrap_or_else(|error| panic!("{error} instead of {text}: {heard}"));
        assert!(bytes > 0, "an end instead of {text}: {heard}");
        heard += std::str::from_utf8(&buffer[..bytes]).unwrap();
    }
    heard
}

#[test]
fn five_thousand_readers_hear_one_reply_and_the_api_works_beside_them() {
    let raised = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    assert!(raised > CLIENTS as u64 + 100, "this test needs 5,100 descriptors and has {raised}: see ulimit -Hn");
    let slow = Answer::empty().chunk(word("one ")).wait().chunk(word("two")).chunk(finish("stop")).done();
    let (app, model) = (App::start(&[]), FakeModel::start([slow]));
    let acme = app.org_asking("acme", &model);
    let mut asked = acme.listen(json!({ "id": "c", "messages": [user("Hi")] }));
    asked.until("text-delta");
    let (before, memory) = (descriptors(&app), memory_peak(&app));
    let request = format!("GET /api/v1/chat/c/stream HTTP/1.1\r\nhost: localhost\r\nx-api-key: {}\r\n\r\n", acme.key());
    let mut readers: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut reader = connect(&app);
            reader.write_all(request.as_bytes()).unwrap();
            reader
        })
        .collect();
    readers.iter_mut().for_each(|reader| drop(hear(reader, "one ")));
    assert!(descriptors(&app) >= before + CLIENTS);
    app.anonymous().get("/readyz").ok(200);
    let other = acme.post("/sessions", json!({ "label": "beside" })).ok(201);
    acme.get(&format!("/sessions/{}", other["id"].as_str().unwrap())).ok(200);
    acme.chat(json!({ "model": "demo/ala", "messages": [user("Hi")] }));
    let per_reader = (memory_peak(&app) - memory) / CLIENTS as u64;
    assert!(per_reader < READER_BYTES_MAX, "{per_reader} bytes for each reader");
    model.go();
    assert_eq!(asked.rest().text(), "one two");
    readers.iter_mut().for_each(|reader| drop(hear(reader, "data: [DONE]")));
    drop(readers);
    until("every connection to be closed", || (descriptors(&app) <= before + KEPT_DESCRIPTORS).then_some(()));
    did_not_panic(&app);
    proof("connections", CLIENTS);
    proof("connections.bytes-each", per_reader);
    proof("connections.left-open", 0);
}

#[test]
fn a_server_without_descriptors_says_so_and_serves_whoever_is_in_and_heals() {
    let (app, model) = (App::start(&[]), FakeModel::saying("Hello."));
    let acme = app.org_asking("acme", &model);
    let ask = json!({ "id": "c", "messages": [user("Hi")] });
    acme.chat(json!({ "messages": [user("Before")] }));
    let pid = i32::try_from(app.process()).unwrap();
    let (mut soft, mut hard) = (0, 0);
    rlimit::prlimit(pid, Resource::NOFILE, None, Some((&mut soft, &mut hard))).unwrap();
    let few = descriptors(&app) as u64 + SPARE_DESCRIPTORS;
    rlimit::prlimit(pid, Resource::NOFILE, Some((few, hard)), None).unwrap();
    // One of them is acme's own connection, which stays.
    acme.get("/agents").ok(200);
    let crowd: Vec<_> = (0..2 * SPARE_DESCRIPTORS).map(|_| connect(&app)).collect();
    until("the last descriptor to be taken", || app.output().contains("cannot accept connections").then_some(()));
    let why = acme.get("/readyz").fails(503, "SERVICE_UNAVAILABLE")["message"].clone();
    assert!(why.as_str().unwrap().starts_with("the server has no file descriptor left"), "{why}");
    acme.post("/chat", ask.clone()).fails(503, "SERVICE_UNAVAILABLE");
    acme.get("/sessions/c").fails(404, "NOT_FOUND");
    acme.post("/sessions", json!({ "label": "file" })).ok(201);
    drop(crowd);
    until("the crowd to be gone", || (acme.get("/readyz").status == 200).then_some(()));
    assert_eq!(acme.chat(ask).text(), "Hello.");
    app.anonymous().get("/healthz").ok(200);
    did_not_panic(&app);
    proof("descriptors.exhausted", "refused-and-healed");
}
