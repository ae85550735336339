//! Vectors for texts.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use alm::key::{Env, Scope};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    fake_model::{Answer, FakeModel},
    harness::{App, ModelSpec, until},
};

const INVALID: &str = "invalid_request_error";

fn acme(app: &App, model: &FakeModel) -> Client {
    app.provider("acme", &model.base_url(), &[ModelSpec::FREE, ModelSpec::PAID]);
    app.org("acme")
}

/// An answer of these vectors, which counts its tokens if it is told how many there are.
fn vectors(vectors: Value, tokens: Option<u64>) -> Answer {
    let data = vectors.as_array().unwrap().iter().enumerate();
    let data = data.map(|(index, vector)| json!({"object": "embedding", "index": index, "embedding": vector}));
    let mut answer = json!({"object": "list", "data": data.collect::<Vec<_>>(), "model": "x"});
    if let Some(tokens) = tokens {
        answer["usage"] = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    }
    Answer::json(200, &answer)
}

fn body(model: &str, input: Value) -> Value {
    json!({"model": model, "input": input, "user": "someone"})
}

/// A question whose answer nobody has read yet. Dropping it hangs up.
fn asking(app: &App, client: &Client, body: &Value) -> TcpStream {
    let mut socket = TcpStream::connect(app.url().trim_start_matches("http://")).unwrap();
    let (key, body) = (client.key(), body.to_string());
    let head = format!(
        "POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(body.as_bytes()).unwrap();
    socket
}

fn balance(client: &Client) -> (i64, i64) {
    let billing = client.get("/billing").ok(200);
    (billing["balanceMicrocents"].as_i64().unwrap(), billing["heldMicrocents"].as_i64().unwrap())
}

#[test]
fn floats_and_base64_are_the_same_vectors() {
    let app = App::shared();
    let upstream = FakeModel::start([vectors(json!([[0.5, -1.25], [0.25, 2.0]]), Some(7))]);
    let acme = acme(&app, &upstream);
    let floats = acme.post("/v1/embeddings", body("up/free", json!(["a", "b"])));
    assert_eq!((floats.status, floats.header("x-alm-model")), (200, Some("up/free")), "{}", floats.text);
    let floats = floats.json();
    let one = |index: usize, embedding: Value| json!({"object": "embedding", "index": index, "embedding": embedding});
    assert_eq!(floats["data"], json!([one(0, json!([0.5, -1.25])), one(1, json!([0.25, 2.0]))]));
    assert_eq!((&floats["object"], &floats["model"]), (&json!("list"), &json!("up/free")));
    assert_eq!(floats["usage"], json!({"prompt_tokens": 7, "total_tokens": 7}));
    let mut asked = body("up/free", json!(["a", "b"]));
    asked["encoding_format"] = json!("base64");
    let coded = acme.post("/v1/embeddings", asked).json();
    for (float, coded) in floats["data"].as_array().unwrap().iter().zip(coded["data"].as_array().unwrap()) {
        let bytes = STANDARD.decode(coded["embedding"].as_str().unwrap()).unwrap();
        let numbers: Vec<_> = bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
        let floats: Vec<_> =
            float["embedding"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect();
        assert_eq!(numbers, floats);
    }
    for asked in upstream.asked() {
        let expected = json!({"model": "free", "input": ["a", "b"], "encoding_format": "float"});
        assert_eq!((&*asked.path, asked.json), ("/v1/embeddings", expected));
    }
    assert_eq!(acme.get("/sessions").ok(200)["items"], json!([]), "nothing is kept");
}

#[test]
fn the_other_path_and_a_bare_name_do_as_well() {
    let app = App::shared();
    let upstream = FakeModel::start([vectors(json!([[1]]), Some(7))]);
    let acme = acme(&app, &upstream).bare();
    let reply = acme.post("/embeddings", json!({"model": "free", "input": [1, 2], "dimensions": 1}));
    assert_eq!((reply.status, &reply.json()["model"]), (200, &json!("free")), "{}", reply.text);
    let asked = upstream.asked().remove(0).json;
    assert_eq!((&asked["input"], &asked["dimensions"]), (&json!([[1, 2]]), &json!(1)));
}

#[test]
fn vectors_that_do_not_fit_their_texts_are_none() {
    let app = App::shared();
    let mixed = json!({"data": [{"index": 1, "embedding": [1]}, {"index": 0, "embedding": [1]}]});
    let upstream = FakeModel::start([
        vectors(json!([[1]]), None),
        vectors(json!([[1], [1], [1]]), None),
        vectors(json!([[1], [1, 2]]), None),
        Answer::json(200, &mixed),
        Answer::status(500),
        vectors(json!([[1, 2], [3, 4]]), None),
    ]);
    let acme = acme(&app, &upstream);
    app.deposit("acme", 1_000);
    for _ in 0..5 {
        acme.post("/v1/embeddings", body("up/paid", json!(["a", "b"]))).fault(502, "server_error", "model_unavailable");
        assert_eq!(balance(&acme), (1_000, 0), "what failed costs nothing");
    }
    let mut asked = body("up/free", json!(["a", "b"]));
    asked["dimensions"] = json!(3);
    let error = acme.post("/v1/embeddings", asked).fault(400, INVALID, "unsupported_value");
    assert_eq!(error["param"], "dimensions");
}

#[test]
fn tokens_are_held_for_settled_and_estimated_where_nobody_counts() {
    let app = App::shared();
    let upstream = FakeModel::start([vectors(json!([[1]]), Some(3)).late(), vectors(json!([[1]]), None)]);
    let acme = acme(&app, &upstream);
    let texts = json!("x".repeat(40));
    acme.post("/v1/embeddings", body("up/paid", texts.clone())).fault(429, "insufficient_quota", "insufficient_quota");
    app.deposit("acme", 1_000);
    let asking = {
        let (acme, texts) = (acme.clone(), texts.clone());
        std::thread::spawn(move || acme.post("/v1/embeddings", body("up/paid", texts)).json())
    };
    let held = until("the hold", || Some(balance(&acme).1).filter(|held| *held > 0));
    assert!(held >= 10, "{held}");
    upstream.go();
    assert_eq!(asking.join().unwrap()["usage"]["prompt_tokens"], 3);
    assert_eq!(balance(&acme), (997, 0));
    let estimated =
        acme.post("/v1/embeddings", body("up/paid", texts)).json()["usage"]["prompt_tokens"].as_i64().unwrap();
    assert!(estimated >= 10, "{estimated}");
    assert_eq!(balance(&acme), (997 - estimated, 0));
}

#[test]
fn who_hangs_up_stops_the_asking() {
    let app = App::shared();
    let upstream = FakeModel::start([Answer::empty().silent()]);
    let acme = acme(&app, &upstream);
    app.deposit("acme", 1_000);
    let socket = asking(&app, &acme, &body("up/paid", json!("hello")));
    until("the question", || (!upstream.asked().is_empty()).then_some(()));
    drop(socket);
    upstream.wait_hung_up(1);
    until("the end", || (balance(&acme).1 == 0).then_some(()));
    assert!(balance(&acme).0 < 1_000, "what was asked is paid for");
}

#[test]
fn only_a_providers_model_makes_vectors() {
    let app = App::shared();
    let upstream = FakeModel::start([vectors(json!([[1]]), None)]);
    let acme = acme(&app, &upstream);
    for model in ["ala", "demo/ala"] {
        let error = acme.post("/v1/embeddings", body(model, json!("a"))).fault(400, INVALID, "unsupported_model");
        assert_eq!(error["param"], "model");
    }
    acme.post("/v1/embeddings", body("nothing", json!("a"))).fault(404, INVALID, "model_not_found");
    let tester = app.key("acme", Env::Test, &Scope::ALL);
    tester.post("/v1/embeddings", body("up/paid", json!("a"))).fault(400, INVALID, "test_key");
    assert_eq!(tester.post("/v1/embeddings", body("up/free", json!("a"))).status, 200);
    let reader = app.key("acme", Env::Live, &[Scope::Read]);
    reader.post("/v1/embeddings", body("up/free", json!("a"))).fault(403, "permission_error", "insufficient_scope");
}

#[test]
fn what_is_no_text_is_refused_by_its_field() {
    let app = App::shared();
    let acme = app.org("acme");
    for (input, code, param) in [
        (json!(null), "missing_field", "input"),
        (json!([]), "invalid_value", "input"),
        (json!(["a", ""]), "invalid_value", "input[1]"),
        (json!(["a", 1]), "invalid_type", "input[1]"),
        (json!(vec!["a"; 2_049]), "invalid_value", "input"),
        (json!("a".repeat(1_300_000)), "invalid_value", "input"),
    ] {
        let error = acme.post("/v1/embeddings", body("up/free", input)).fault(400, INVALID, code);
        assert_eq!(error["param"], param);
    }
}

#[test]
fn a_server_that_goes_down_tells_whoever_waits_for_vectors() {
    let app = App::start(&["--drain", "1ms"]);
    let upstream = FakeModel::start([Answer::empty().silent()]);
    let acme = acme(&app, &upstream);
    let mut socket = asking(&app, &acme, &body("up/free", json!("Hi")));
    until("the question", || (!upstream.asked().is_empty()).then_some(()));
    app.terminate();
    let mut heard = String::new();
    // The server may close the connection behind the answer as it likes.
    let _ = socket.read_to_string(&mut heard);
    assert!(heard.starts_with("HTTP/1.1 503") && heard.contains("overloaded"), "{heard}");
    until("the end", || app.exit_code());
    let end = app.file().query_row("SELECT status FROM turn", [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(end, "interrupted");
}
