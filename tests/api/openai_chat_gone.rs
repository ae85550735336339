//! Clients that leave: their model stops, and what was said is billed.

use std::{
    io::Write,
    net::{Shutdown, TcpStream},
};

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    fake_model::{Answer, FakeModel, delta},
    harness::{App, until, user},
};

/// A request that is sent, and whose answer nobody has read.
fn sent(app: &App, client: &Client, body: &Value) -> TcpStream {
    let address = app.url().strip_prefix("http://").unwrap();
    let (mut stream, body, key) = (TcpStream::connect(address).unwrap(), body.to_string(), client.key());
    let length = body.len();
    write!(
        stream,
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    stream
}

/// How the turns ended, oldest first.
fn ends(app: &App) -> Vec<String> {
    let file = app.file();
    let mut rows = file.prepare("SELECT status FROM turn ORDER BY seq").unwrap();
    let ends = rows.query_map([], |row| row.get(0)).unwrap();
    ends.map(Result::unwrap).collect()
}

#[test]
fn whoever_leaves_stops_the_model_whether_it_speaks_is_silent_or_has_not_begun() {
    let word = || delta(json!({ "content": "word " }));
    let silent = || Answer::empty().chunk(word()).silent();
    // The last ones have not even a head.
    let replies = [Answer::empty().endless(word()), silent(), silent(), silent(), silent()];
    let replies = replies.into_iter().chain((0..4).map(|_| Answer::empty().silent()));
    let (app, model) = (App::start(&[]), FakeModel::start(replies));
    let client = app.org_asking("acme", &model);
    app.deposit("acme", 1_000_000_000);
    let ways = [(true, false), (true, true), (false, false), (false, true)];
    let ways = [(true, false)].into_iter().chain(ways).chain(ways);
    for (before, (stream, is_half)) in ways.enumerate() {
        let body = json!({ "model": "up/paid", "messages": [user("Hello")], "stream": stream });
        let connection = sent(&app, &client, &body);
        until("the model to be asked", || (model.asked().len() > before).then_some(()));
        match is_half {
            true => connection.shutdown(Shutdown::Write).unwrap(),
            false => drop(connection),
        }
        model.wait_hung_up(before + 1);
        // What never pauses may come to its cap before its client is missed.
        until("the turn to be stopped", || {
            ends(&app).get(before).filter(|end| *end == "stopped" || before == 0).cloned()
        });
    }
    app.alm(&["ledger", "verify"]).ok();
}
