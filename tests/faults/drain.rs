//! The order to go: nothing new, what runs may end, what does not end is kept, and the exit says that all went well.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    did_not_panic, proof,
    support::{
        client::{Client, Listening},
        fake_model::{Answer, FakeModel, delta, finish},
        harness::{App, PATIENCE, alm, until, user},
    },
};

/// The signals that ask a server to go.
const ORDERS: [&str; 4] = ["TERM", "INT", "HUP", "QUIT"];
/// The exit code of a server that was told twice.
const TOLD_TWICE: i32 = 130;

/// A reply that has said `one ` and waits before it says `two`.
fn speaking(app: &App) -> (Client, FakeModel, Listening) {
    let word = |text: &str| delta(json!({ "content": text }));
    let slow = Answer::empty().chunk(word("one ")).wait().chunk(word("two")).chunk(finish("stop")).done();
    let model = FakeModel::start([slow]);
    let acme = app.org_asking("acme", &model);
    let mut listening = acme.listen(json!({ "id": "c", "messages": [user("Hi")] }));
    listening.until("text-delta");
    (acme, model, listening)
}

/// Sends the order, and waits until it is heard.
fn order(app: &App, signal: &str) {
    app.signal(signal);
    until("the order to be heard", || (app.anonymous().get("/readyz").status == 503).then_some(()));
}

#[test]
fn a_server_that_is_told_to_go_answers_what_it_can_and_ends_with_0() {
    for signal in ORDERS {
        let app = App::start(&[]);
        let (acme, model, listening) = speaking(&app);
        order(&app, signal);
        for (path, body) in
            [("/chat", json!({ "messages": [user("Me too")] })), ("/chat/c/resume", json!({})), ("/chat", json!({}))]
        {
            let refused = acme.post(path, body);
            assert_eq!(refused.header("connection"), Some("close"), "whoever asks again finds another server");
            if refused.status == 503 {
                refused.fails(503, "SERVICE_UNAVAILABLE");
                assert!(refused.header("retry-after").is_some());
            } else {
                assert!(matches!(refused.status, 409 | 422), "{}", refused.text);
            }
        }
        acme.post("/chat", json!({ "messages": [user("Me too")] })).fails(503, "SERVICE_UNAVAILABLE");
        acme.get("/sessions/c").ok(200);
        acme.post("/sessions", json!({ "label": "written" })).ok(201);
        app.anonymous().get("/healthz").ok(200);
        let mut late = acme.listen_in("c");
        late.until("text-delta");
        model.go();
        for reader in [listening, late] {
            let stream = reader.rest();
            assert_eq!((&*stream.text(), stream.finish_reason()), ("one two", "stop"));
        }
        assert_eq!(app.exit_code(), Some(0), "{signal}");
        let app = app.crash();
        assert_eq!(acme.at(app.url()).history("c")[1].1, "one two");
        did_not_panic(&app);
    }
}

#[test]
fn a_server_with_nothing_to_do_goes_at_once_and_closes_idle_connections() {
    for signal in ORDERS {
        // A drain that would outlast the test.
        let app = App::start(&["--drain", "1h"]);
        let mut idle = TcpStream::connect(app.url().trim_start_matches("http://")).unwrap();
        idle.set_read_timeout(Some(PATIENCE)).unwrap();
        idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").unwrap();
        let mut status = [0; 12];
        idle.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
        app.signal(signal);
        assert_eq!(app.exit_code(), Some(0), "{signal}");
        idle.read_to_end(&mut Vec::new()).unwrap();
        did_not_panic(&app);
    }
}

#[test]
fn an_order_is_heard_as_soon_as_a_server_says_that_it_listens() {
    for signal in ORDERS {
        let folder = tempfile::tempdir().unwrap();
        let server = alm(&["serve", "--listen", "127.0.0.1:0"]);
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP,INT,QUIT"]).arg(server.get_program()).args(server.get_args());
        command.env("ALM_DATA_DIR", folder.path()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}: {line}");
    }
}

#[test]
fn a_reply_that_outlasts_the_drain_is_interrupted_and_kept_and_the_exit_is_0() {
    let app = App::start(&["--drain", "1ms"]);
    let (acme, _model, listening) = speaking(&app);
    app.terminate();
    let stream = listening.rest();
    assert_eq!(stream.types()[stream.types().len() - 2..], ["data-error", "error"]);
    assert_eq!(app.exit_code(), Some(0));
    let app = app.crash();
    let stored = acme.at(app.url()).messages("c").pop().unwrap();
    assert_eq!((&stored["status"], &stored["content"]), (&json!("interrupted"), &json!("one ")));
    did_not_panic(&app);
}

#[test]
fn a_second_order_ends_the_server_at_once_and_what_ran_is_ended_by_the_next() {
    for signal in ORDERS {
        let app = App::start(&["--drain", "1h"]);
        let (acme, _model, _listening) = speaking(&app);
        let journaled = "SELECT count(*) FROM turn_journal WHERE instr(CAST(frames AS TEXT), 'one ')";
        let journaled = || app.file().query_row(journaled, [], |row| row.get::<_, i64>(0)).unwrap();
        until("a checkpoint", || (journaled() > 0).then_some(()));
        order(&app, signal);
        app.signal(signal);
        assert_eq!(app.exit_code(), Some(TOLD_TWICE), "{signal}");
        did_not_panic(&app);
        let app = app.crash();
        let check: String = app.file().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        let stored: Value = acme.at(app.url()).messages("c").pop().unwrap();
        assert_eq!((&*check, &stored["status"], &stored["content"]), ("ok", &json!("interrupted"), &json!("one ")));
    }
    proof("drain.second-order-exit-code", TOLD_TWICE);
}
