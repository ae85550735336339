//! Those who read a running reply: many, late, slow, half closed or gone. The reply is finished, stored and paid for all
//! the same.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpStream},
    thread,
};

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    fake_model::{Answer, FakeModel, delta, finish, usage},
    harness::{App, until, user},
};

/// Readers of one reply, each of whom joins when another word has been said.
const READERS: usize = 50;
/// Readers who take nothing.
const STALLED: usize = 200;
/// A reply nearly as long as one may be, in deltas of that size.
const LONG_DELTAS: usize = 240;
const LONG_DELTA_BYTES: usize = 64 * 1024;
/// What all who take nothing may cost together: for each a few times the 64 KiB that wait in its connection, where a copy
/// of the reply for each would be 3 GiB.
const STALLED_KB_MAX: u64 = 200 * 1024;

fn word(text: &str) -> Value {
    delta(json!({ "content": text }))
}

/// A model that waits for a word of the test's between every two words.
fn slow_model(words: usize) -> FakeModel {
    let said = (0..words).fold(Answer::empty(), |answer, n| answer.chunk(word(&format!("{n} "))).wait());
    FakeModel::start([said.chunk(finish("stop")).chunk(usage(10, 5)).done()])
}

/// A paying organization that asks this model.
fn acme(app: &App, model: &FakeModel) -> Client {
    let acme = app.org_asking("acme", model);
    app.deposit("acme", 1_000_000);
    acme
}

fn ask(session: &str) -> Value {
    json!({ "id": session, "model": "up/paid", "messages": [user("Hi")] })
}

/// Waits until the reply is over, and checks that it is stored and paid for, whoever has heard it.
#[track_caller]
fn is_whole(acme: &Client, session: &str, text: &str) {
    // From its end: a page ends before a long message.
    let path = format!("/sessions/{session}/messages?order=desc&pageSize=1");
    let answer = until("the answer", || {
        let history = acme.get(&path);
        let last = (history.status == 200).then(|| history.json()["data"]["items"].get(0).cloned()).flatten();
        last.filter(|last| last["role"] == "assistant")
    });
    assert_eq!((&answer["status"], &answer["content"]), (&json!("complete"), &json!(text)));
    let billing = acme.get("/billing").ok(200);
    let cost = answer["metadata"]["costMicrocents"].as_i64().unwrap();
    assert_eq!(billing["heldMicrocents"], json!(0));
    assert!(cost > 0 && billing["balanceMicrocents"] == json!(1_000_000 - cost), "{billing} after {cost}");
    assert_eq!(acme.get(&format!("/sessions/{session}")).ok(200)["status"], json!("idle"));
}

/// A request as its bytes, on a socket of its own.
fn send(app: &App, client: &Client, method: &str, path: &str, body: &str) -> TcpStream {
    let address = app.url().strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    let (key, length) = (client.key(), body.len());
    let who = format!("host: localhost\r\nauthorization: Bearer {key}\r\nconnection: close");
    let what = format!("content-type: application/json\r\ncontent-length: {length}");
    write!(socket, "{method} /api/v1{path} HTTP/1.1\r\n{who}\r\n{what}\r\n\r\n{body}").unwrap();
    socket
}

/// A figure of the server's process, in kB.
fn memory_kb(app: &App, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", app.process())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn fifty_readers_who_join_at_any_moment_see_identical_frames() {
    let (app, model) = (App::shared(), slow_model(READERS));
    let acme = acme(&app, &model);
    let mut asked = acme.listen(ask("c"));
    let (asked, streams) = thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                asked.until("text-delta");
                let reader = acme.listen_in("c");
                model.go();
                scope.spawn(move || reader.rest())
            })
            .collect();
        let streams: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        (asked.rest(), streams)
    });
    let numbers: Vec<_> = (1..=asked.chunks.len() + 1).map(|number| number.to_string()).collect();
    for stream in &streams {
        assert_eq!((&stream.chunks, &stream.ids), (&asked.chunks, &numbers));
    }
    println!("proof: live.readers {}", streams.len());
}

#[test]
fn wherever_a_reader_was_cut_off_it_goes_on_with_the_next_event() {
    let (app, model) = (App::shared(), slow_model(2));
    let acme = acme(&app, &model);
    let mut asked = acme.listen(ask("c"));
    model.go();
    asked.until("text-delta");
    asked.until("text-delta");
    let all = asked.chunks().len();
    let later: Vec<_> = (0..=all).map(|last| acme.header("last-event-id", &last.to_string()).listen_in("c")).collect();
    let foreign: Vec<_> = ["x", "-1", "", "1000000"].map(|id| acme.header("last-event-id", id).listen_in("c")).into();
    model.go();
    let asked = asked.rest();
    for (last, reader) in later.into_iter().enumerate() {
        let stream = reader.rest();
        assert_eq!(stream.chunks, asked.chunks[last..]);
        assert_eq!(stream.ids[0], (last + 1).to_string());
    }
    for reader in foreign {
        assert_eq!(reader.rest().chunks, asked.chunks, "what is no event of this reply is after none of them");
    }
    println!("proof: live.last_event_ids {}", all + 1);
}

#[test]
fn a_session_is_found_by_its_id_plain_or_percent_encoded() {
    let (app, model) = (App::shared(), slow_model(1));
    let acme = acme(&app, &model);
    for (id, encoded) in [("my-chat:1.b", "my-chat%3A1.b"), ("A:_-.:z", "A%3A_%2D%2E%3az")] {
        let mut asked = acme.listen(ask(id));
        asked.until("text-delta");
        let readers = [id, encoded].map(|id| acme.listen_in(id));
        model.go();
        let asked = asked.rest();
        readers.into_iter().for_each(|reader| assert_eq!(reader.rest().chunks, asked.chunks));
        let stopped = acme.post(&format!("/chat/{encoded}/stop"), json!({})).ok(200);
        assert_eq!(stopped["stopped"], json!(false));
        assert_eq!(acme.history(encoded).len(), 2);
    }
    for nowhere in ["c%2F1", "%E2%98%83", "a%20b", "%00"] {
        assert_eq!(acme.get(&format!("/chat/{nowhere}/stream")).status, 204, "{nowhere}: a page shows no error for it");
    }
}

#[test]
fn when_a_reader_has_heard_the_end_nothing_runs_any_more() {
    let (app, model) = (App::shared(), FakeModel::saying("Hello."));
    let acme = app.org_asking("acme", &model);
    for _ in 0..20 {
        let session = acme.chat(json!({ "messages": [user("Hi")] })).session();
        let (running, stopped) =
            (acme.get(&format!("/chat/{session}/stream")), acme.post(&format!("/chat/{session}/stop"), json!({})));
        assert_eq!((running.status, &stopped.ok(200)["stopped"]), (204, &json!(false)));
    }
}

#[test]
fn a_client_that_closes_its_half_of_the_socket_still_gets_the_whole_reply() {
    let (app, model) = (App::shared(), slow_model(1));
    let acme = acme(&app, &model);
    let mut socket = BufReader::new(send(&app, &acme, "POST", "/chat", &ask("c").to_string()));
    socket.get_ref().shutdown(Shutdown::Write).unwrap();
    let mut line = String::new();
    while !line.contains("text-delta") {
        line.clear();
        assert!(socket.read_line(&mut line).unwrap() > 0, "the server hung up");
    }
    model.go();
    let mut rest = String::new();
    socket.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("data: [DONE]\n\n"), "{rest}");
    is_whole(&acme, "c", "0 ");
}

#[test]
fn when_every_client_is_gone_the_reply_is_finished_stored_and_paid_for() {
    let (app, model) = (App::shared(), slow_model(2));
    let acme = acme(&app, &model);
    // One leaves before the first byte, one in the middle.
    drop(send(&app, &acme, "POST", "/chat", &ask("early").to_string()));
    model.go();
    model.go();
    is_whole(&acme, "early", "0 1 ");
    let globex = app.org_asking("globex", &model);
    app.deposit("globex", 1_000_000);
    let mut asked = globex.listen(ask("late"));
    asked.until("text-delta");
    let mut second = globex.listen_in("late");
    second.until("text-delta");
    drop((asked, second));
    model.go();
    model.go();
    is_whole(&globex, "late", "0 1 ");
}

#[test]
fn readers_who_take_nothing_cost_a_position_each_and_hold_nobody_up() {
    let app = App::start(&[]);
    let delta = "x".repeat(LONG_DELTA_BYTES);
    let long = (0..LONG_DELTAS).fold(Answer::empty(), |answer, _| answer.chunk(word(&delta)));
    let model = FakeModel::start([long.wait().chunk(finish("stop")).chunk(usage(10, 5)).done()]);
    let acme = acme(&app, &model);
    let mut asked = acme.listen(ask("c"));
    (0..LONG_DELTAS).for_each(|_| drop(asked.until("text-delta")));
    let before = memory_kb(&app, "VmHWM");
    let stalled: Vec<_> = (0..STALLED)
        .map(|_| {
            let mut socket = send(&app, &acme, "GET", "/chat/c/stream", "");
            // It is served, and then no byte is taken.
            socket.read_exact(&mut [0; 12]).unwrap();
            socket
        })
        .collect();
    // Whoever asks later is served in full, so those before have been given all that they get.
    let mut late = acme.listen_in("c");
    (0..LONG_DELTAS).for_each(|_| drop(late.until("text-delta")));
    let grown = memory_kb(&app, "VmHWM") - before;
    model.go();
    let (asked, late) = (asked.rest(), late.rest());
    assert_eq!(asked.chunks, late.chunks);
    is_whole(&acme, "c", &delta.repeat(LONG_DELTAS));
    assert!(grown < STALLED_KB_MAX, "{STALLED} readers cost {grown} kB");
    drop(stalled);
    println!("proof: live.stalled_readers {STALLED}");
    println!("proof: live.stalled_readers_mb {}", grown / 1024);
}
