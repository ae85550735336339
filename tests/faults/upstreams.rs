//! Models that are no models: endless heads, endless lines, compressed bombs, circles, and numbers that are none.
//!
//! `tests/api/failures.rs` and `money.rs` have the milder ones.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc::{self, Receiver},
    thread,
};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::{
    did_not_panic,
    memory::memory_peak,
    proof,
    support::{
        client::Client,
        fake_model::{Answer, FakeModel, delta, finish},
        harness::{App, ModelSpec, PATIENCE, user},
    },
};

const MIB: usize = 1024 * 1024;
/// What one bad upstream may cost, in bytes of memory: one event, the buffers around it, and an unoptimised build's
/// waste.
const MEMORY_MAX: u64 = 48 * MIB as u64;

/// An upstream that sends `head` once and then `rest` as often as it is said, or until it is hung up on. Answers how
/// many bytes of `rest` it could send.
fn raw(head: &'static str, rest: Vec<u8>, times: usize) -> (String, Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let (told, sent) = mpsc::channel();
    thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            read_head(&socket);
            let mut bytes = 0;
            if socket.write_all(head.as_bytes()).is_ok() {
                bytes = (0..times).take_while(|_| socket.write_all(&rest).is_ok()).count() * rest.len();
            }
            if told.send(bytes).is_err() {
                break; // the test is over
            }
        }
    });
    (base_url, sent)
}

/// A request's head; its body may stay where it is.
fn read_head(socket: &TcpStream) {
    let lines = BufReader::new(socket).lines().map_while(Result::ok);
    lines.take_while(|line| !line.is_empty()).for_each(drop);
}

/// Somebody whose only model is there.
fn acme(app: &App, base_url: &str) -> Client {
    app.provider("acme", base_url, &[ModelSpec::FREE]);
    app.org("acme")
}

fn ask() -> Value {
    json!({ "id": "c", "model": "up/free", "messages": [user("Hi")] })
}

#[test]
fn a_line_of_100_mb_is_hung_up_on_and_costs_no_more_memory_than_an_event_may() {
    const LINE_BYTES: usize = 100 * MIB;
    let head = "HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\n\r\ndata: ";
    let (base_url, sent) = raw(head, vec![b'x'; MIB], LINE_BYTES / MIB);
    let app = App::start(&[]);
    let acme = acme(&app, &base_url);
    let before = memory_peak(&app);
    let stream = acme.chat(ask());
    assert_eq!(stream.one("data-error")["data"]["code"], json!("MODEL_UNAVAILABLE"));
    let sent = sent.recv_timeout(PATIENCE).unwrap();
    assert!(sent < LINE_BYTES, "the upstream was read to its end");
    let cost = memory_peak(&app) - before;
    assert!(cost < MEMORY_MAX, "{cost} bytes");
    assert_eq!(acme.get("/sessions/c").ok(200)["status"], json!("idle"));
    did_not_panic(&app);
    proof("upstream.line-mib", LINE_BYTES / MIB);
    proof("upstream.line-memory-mib", cost / MIB as u64);
}

#[test]
fn a_head_without_end_is_a_502_and_costs_no_memory() {
    let endless = [
        ("HTTP/1.1 200 X\r\n", format!("x-endless: {}\r\n", "x".repeat(1000)).repeat(1000)),
        ("HTTP/1.1 200 X\r\nx-endless: ", "x".repeat(MIB)),
        ("HTTP/1.1 200 ", "x".repeat(MIB)),
    ];
    let app = App::start(&[]);
    let before = memory_peak(&app);
    for (at, (head, rest)) in endless.into_iter().enumerate() {
        let (base_url, sent) = raw(head, rest.into_bytes(), 100);
        let org = format!("org-{at}");
        app.provider(&org, &base_url, &[ModelSpec::FREE]);
        let someone = app.org(&org);
        someone.post("/chat", ask()).fails(502, "MODEL_UNAVAILABLE");
        someone.get("/sessions/c").fails(404, "NOT_FOUND");
        assert!(sent.recv_timeout(PATIENCE).unwrap() < 100 * MIB, "it was read to its end");
    }
    let cost = memory_peak(&app) - before;
    assert!(cost < MEMORY_MAX, "{cost} bytes");
    did_not_panic(&app);
}

#[test]
fn a_circle_of_redirects_is_asked_once() {
    let turns = Answer::status(307).header("location", "/v1/chat/completions");
    let (app, model) = (App::shared(), FakeModel::start([turns]));
    app.org_asking("acme", &model).post("/chat", ask()).fails(502, "MODEL_UNAVAILABLE");
    assert_eq!(model.asked().len(), 1);
}

#[test]
fn a_head_that_never_ends_to_come_can_be_stopped() {
    let (app, model) = (App::start(&[]), FakeModel::start([Answer::text("late").late()]));
    let acme = app.org_asking("acme", &model);
    let mut listening = acme.listen(ask());
    listening.until("start");
    assert_eq!(acme.post("/chat/c/stop", json!({})).ok(200)["stopped"], json!(true));
    assert_eq!(listening.rest().types().last(), Some(&"abort"));
    did_not_panic(&app);
}

#[test]
fn a_compressed_bomb_is_bytes_like_any_others() {
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(b"data: ").unwrap();
    (0..200).for_each(|_| bomb.write_all(&vec![b'x'; MIB]).unwrap());
    let answer = Answer::empty().header("content-encoding", "gzip").raw(bomb.finish().unwrap());
    let (app, model) = (App::start(&[]), FakeModel::start([answer]));
    let acme = app.org_asking("acme", &model);
    let before = memory_peak(&app);
    let stream = acme.chat(ask());
    stream.one("error");
    assert!(memory_peak(&app) - before < MEMORY_MAX);
    let asked = model.asked().remove(0).headers;
    assert!(asked.contains(&("accept-encoding".into(), "identity".into())), "nobody asked for it: {asked:?}");
    did_not_panic(&app);
}

#[test]
fn usage_that_is_no_number_of_tokens_charges_no_more_than_was_held() {
    let lies = [
        json!({ "prompt_tokens": "many", "completion_tokens": "more" }),
        json!({ "prompt_tokens": 1.5, "completion_tokens": 1e300 }),
        json!({ "prompt_tokens": { "a": 1 }, "completion_tokens": [1] }),
        json!({ "prompt_tokens": true, "completion_tokens": null }),
        json!({ "prompt_tokens": 18_446_744_073_709_551_615_u64, "completion_tokens": 1 }),
        json!({ "prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": { "cached_tokens": u64::MAX } }),
        json!("lots"),
        json!([]),
    ];
    for usage in lies {
        let reply = [delta(json!({ "content": "Hello." })), finish("stop"), json!({ "choices": [], "usage": usage })];
        let (app, model) = (App::shared(), FakeModel::start([Answer::chunks(reply)]));
        let acme = app.org_asking("acme", &model);
        app.deposit("acme", 10_000);
        let stream = acme.chat(json!({ "model": "up/paid", "messages": [user("Hi")] }));
        assert_eq!((&*stream.text(), stream.finish_reason()), ("Hello.", "stop"), "{usage}");
        let cost = stream.facts()["costMicrocents"].as_i64().unwrap();
        assert!((1..=10_000).contains(&cost), "{usage}: {cost}");
        let billing = acme.get("/billing").ok(200);
        let money = (billing["balanceMicrocents"].as_i64().unwrap(), &billing["heldMicrocents"]);
        assert_eq!(money, (10_000 - cost, &json!(0)), "{usage}");
    }
}
