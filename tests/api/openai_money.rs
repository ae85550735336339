//! Whether the money adds up under many requests of every kind, of which some fail and some are left.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
};

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    fake_model::{Answer, FakeModel, delta},
    harness::{App, until, user},
};

const CALLERS: usize = 8;
const CALLS: usize = 125;

/// Asks, and leaves: once something of the answer has come, or at once.
fn leave(client: &Client, path: &str, body: &Value, waits: bool) {
    let (address, body) = (client.url.trim_start_matches("http://"), body.to_string());
    let mut socket = TcpStream::connect(address).unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n", client.key());
    let rest = format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    socket.write_all(format!("{head}{rest}").as_bytes()).unwrap();
    if waits {
        // It may have been refused: there is an answer all the same.
        let _ = socket.read(&mut [0; 64]);
    }
}

/// One call of the kind that is due.
fn call(client: &Client, nth: usize) {
    let chat = |text: &str, stream: bool| json!({ "model": "up/paid", "messages": [user(text)], "stream": stream });
    let mut message = chat("Hello", true);
    message["max_tokens"] = json!(50);
    let reply = match nth % 9 {
        0 => client.post("/v1/chat/completions", chat("Hello", false)),
        1 => client.post("/v1/chat/completions", chat("Hello", true)),
        2 => client.post("/v1/responses", json!({ "model": "up/paid", "input": "Hello" })),
        3 => client
            .post("/v1/responses", json!({ "model": "up/paid", "input": "Hello", "store": false, "stream": true })),
        4 => client.post("/v1/messages", message),
        5 => client.header("x-alm-session-id", &format!("s{nth}")).post("/v1/chat/completions", chat("Hello", true)),
        6 => client.post("/v1/chat/completions", chat("Refuse", false)),
        kind => return leave(client, "/v1/chat/completions", &chat("Wait", kind == 7), kind == 7),
    };
    assert!([200, 400, 429].contains(&reply.status), "{nth}: {} {}", reply.status, reply.text);
}

#[test]
fn after_a_thousand_mixed_calls_with_hang_ups_the_money_adds_up() {
    let app = App::start(&["--v1-rate", "100000"]);
    let upstream = FakeModel::answering(|_, asked| match asked.json["messages"].to_string() {
        said if said.contains("Wait") => Answer::empty().chunk(delta(json!({ "content": "One " }))).silent(),
        said if said.contains("Refuse") => Answer::status(400),
        _ => Answer::text("Hello you."),
    });
    let client = app.org_asking("acme", &upstream);
    // Too little for all of them.
    app.deposit("acme", 6_000);
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            let client = client.clone();
            scope.spawn(move || (0..CALLS).for_each(|nth| call(&client, caller * CALLS + nth)));
        }
    });
    let billing = until("every hold to be released", || {
        let billing = client.get("/billing").ok(200);
        (billing["heldMicrocents"] == 0).then_some(billing)
    });
    assert!(billing["balanceMicrocents"].as_i64().unwrap() >= 0, "{billing}");
    let running = "SELECT count(*) FROM turn WHERE status = 'running'";
    until("every turn to end", || {
        app.file().query_row(running, [], |row| row.get::<_, i64>(0)).ok().filter(|running| *running == 0)
    });
    app.alm(&["ledger", "verify"]).ok();
}
