//! Cassettes: what is recorded of what models and tools are asked and answer.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    counting::{Counting, Says},
    fake_model::{Answer, FakeModel, call, delta, finish, nobody, usage},
    harness::{App, alm, until, user},
    tools::{OPERATOR, declare},
};

/// Where programs chat.
const CHAT: &str = "/v1/chat/completions";

/// A server that records, and its file.
struct Recording {
    app: App,
    file: PathBuf,
    _folder: TempDir,
}

impl Recording {
    fn start(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tour.jsonl");
        let app = App::start(&[&["--record", file.to_str().unwrap()], flags].concat());
        Recording { app, file, _folder: folder }
    }

    /// Its exchanges, once it has that many.
    #[track_caller]
    fn exchanges(&self, count: usize) -> Vec<Value> {
        until("the exchanges to be written", || Some(exchanges(&self.file)).filter(|lines| lines.len() >= count))
    }
}

/// The exchanges of a file, each a whole line.
fn exchanges(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a body says, one event after another.
fn body(exchange: &Value) -> String {
    exchange["body"].as_array().unwrap().iter().map(|event| event[1].as_str().unwrap()).collect()
}

fn word(text: &str) -> Value {
    delta(json!({ "content": text }))
}

/// A session, a program's request, two refusals and a cut; the key that they were asked with.
fn ask_all(app: &App) -> String {
    let service = Counting::start(|_, _| Says::json("{\"id\":7}"));
    declare(app, OPERATOR, "POST", &service.url("/"), json!({}));
    let calls =
        [0, 1].map(|n| call(Some(n), Some(&format!("c{n}")), Some("create_ticket"), &json!({ "n": n }).to_string()));
    let thoughts = delta(json!({ "reasoning_content": "Hm." }));
    let model = FakeModel::start([
        Answer::chunks([thoughts].into_iter().chain(calls).chain([finish("tool_calls"), usage(10, 5)])),
        Answer::text("Two tickets.").header("x-own", "sk-of-the-server"),
        Answer::text("unstored"),
        Answer::status(400),
        Answer::status(429).header("retry-after", "99"),
        Answer::empty().chunk(word("half ")).cut(),
    ]);
    let acme = app.org_asking("acme", &model);
    assert_eq!(acme.ask("up/free", "Two, please.").text(), "Two tickets.");
    let asked = acme.post(CHAT, json!({ "model": "up/free", "messages": [user("A program asks")] }));
    assert_eq!(asked.status, 200);
    acme.post("/chat", json!({ "model": "up/free", "messages": [user("400")] })).fails(502, "MODEL_UNAVAILABLE");
    let refused = acme.post("/chat", json!({ "model": "up/free", "messages": [user("429")] }));
    assert_eq!(refused.status, 502);
    acme.ask("up/free", "Cut");
    acme.key().to_owned()
}

#[test]
fn every_exchange_is_a_line_and_no_header_or_key_is_in_it() {
    let recording = Recording::start(&[]);
    let key = ask_all(&recording.app);
    let lines = recording.exchanges(8);
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            (line["kind"].as_str().unwrap(), &line["step"], &line["status"], line["end"].as_str().unwrap_or(""))
        })
        .collect();
    let (none, ok, zero, one) = (&Value::Null, &json!(200), &json!(0), &json!(1));
    assert_eq!(
        told,
        [
            ("model", zero, ok, "whole"),
            ("tool", none, none, ""),
            ("tool", none, none, ""),
            ("model", one, ok, "whole"),
            ("model", zero, ok, "whole"),
            ("model", zero, &json!(400), "whole"),
            ("model", zero, &json!(429), "whole"),
            ("model", zero, ok, "cut"),
        ]
    );
    let ids: Vec<_> = lines.iter().map(|line| line["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!((&lines[0]["asked"], &lines[0]["type"]), (&json!("Two, please."), &json!("text/event-stream")));
    assert!(body(&lines[0]).ends_with("data: [DONE]\n\n") && body(&lines[0]).starts_with("data: {"));
    assert_eq!(lines[0]["body"].as_array().unwrap().len(), 6, "one event each");
    for tool in &lines[1..3] {
        assert_eq!((&tool["name"], &tool["output"]), (&json!("create_ticket"), &json!({ "id": 7 })));
        assert!(tool["input"]["n"].is_u64());
    }
    assert_eq!(lines[4]["asked"], "A program asks");
    assert_eq!((&lines[6]["retryAfter"], lines[6]["type"].as_str()), (&json!(99), Some("application/json")));
    assert!(body(&lines[7]).contains("half "));
    let text = fs::read_to_string(&recording.file).unwrap();
    for secret in ["sk-upstream", "header-upstream", &key, "sk-of-the-server", "authorization", "x-own", "127.0.0.1"] {
        assert!(!text.contains(secret), "{secret}");
    }
    let mode = fs::metadata(&recording.file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(first["almCassette"], 1);
}

#[test]
fn a_stop_and_a_program_that_has_gone_are_told_apart_from_an_end() {
    let recording = Recording::start(&[]);
    let model = FakeModel::start([Answer::empty().chunk(word("one ")).silent()]);
    let acme = recording.app.org_asking("acme", &model);
    let mut listening = acme.listen(json!({ "id": "c", "model": "up/free", "messages": [user("Stop me")] }));
    listening.until("text-delta");
    acme.post("/chat/c/stop", json!({})).ok(200);
    let lines = recording.exchanges(1);
    assert_eq!((&lines[0]["end"], body(&lines[0]).contains("one ")), (&json!("stopped"), true));
    // A reply that nobody keeps stops once its one reader is gone, before a head too.
    let ask = json!({ "model": "up/free", "stream": true, "messages": [user("I go")] });
    drop(acme.attempt("POST", CHAT, Some(&ask.to_string())).unwrap());
    let lines = recording.exchanges(2);
    assert_eq!((&lines[1]["end"], &lines[1]["asked"]), (&json!("stopped"), &json!("I go")));
}

#[test]
fn what_is_asked_again_by_itself_is_one_line() {
    let recording = Recording::start(&[]);
    let refusal = json!({ "error": { "message": "Unsupported parameter: 'temperature'", "param": "temperature", "code": "unsupported_parameter" } });
    let model = FakeModel::start([Answer::json(400, &refusal), Answer::status(503), Answer::text("done")]);
    let acme = recording.app.org_asking("acme", &model);
    let agent = json!({ "name": "Bea", "model": "up/free", "settings": { "temperature": 0.5 } });
    let agent = acme.post("/agents", agent).ok(201)["id"].clone();
    assert_eq!(acme.chat(json!({ "agentId": agent, "messages": [user("Hi")] })).text(), "done");
    let lines = recording.exchanges(1);
    assert_eq!((lines.len(), &lines[0]["status"], &lines[0]["omitted"]), (1, &json!(200), &json!(["temperature"])));
}

#[test]
fn an_answer_that_holds_a_secret_over_three_deltas_is_not_kept_and_the_next_one_is() {
    let recording = Recording::start(&[]);
    let secret = ["sk-proj-0123", "456789abc", "def0123"].map(word);
    let model = FakeModel::start([Answer::chunks(secret.into_iter().chain([finish("stop")])), Answer::text("fine")]);
    let acme = recording.app.org_asking("acme", &model);
    assert_eq!(acme.ask("up/free", "Tell me").text(), "sk-proj-0123456789abcdef0123");
    acme.ask("up/free", "My key is sk-proj-0123456789abcdef0123, and yours sk-upstream");
    let lines = recording.exchanges(1);
    assert_eq!((lines.len(), &lines[0]["asked"]), (1, &json!("My key is [secret 1], and yours [secret 2]")));
    let told = "Exchange 1 was not kept: its answer holds what looks like a secret (sk-…).";
    recording.app.says(told);
}

#[test]
fn the_keys_of_other_providers_and_tools_are_left_out_too_also_new_ones() {
    let recording = Recording::start(&[]);
    let (app, model) = (&recording.app, FakeModel::deciding(|_, _| Answer::text("fine")));
    let acme = app.org_asking("acme", &model);
    let key = |name: &str, text: &str| {
        let file = app.folder().join(name);
        fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let ask = || acme.ask("up/free", "azure-7 or docs-8?");
    ask();
    recording.exchanges(1);
    let (azure, server) = (key("azure", "azure-7"), key("server", "docs-8"));
    let slug = app.slug("globex");
    app.org("globex");
    let url = nobody();
    let provider = ["providers", "add", "--org", &slug, "--slug", "azure", "--base-url", &url, "--model", "m"];
    app.alm(&[&provider[..], &["--api-key-file", &azure]].concat()).ok();
    // It is not there, and kept all the same.
    let added = app.alm(&["mcp", "add", "--org", &slug, "--yes", "docs", &url, "--bearer-file", &server]);
    assert!(added.code == 1 && added.stderr.contains("It is kept"), "{added:?}");
    ask();
    let asked: Vec<_> = recording.exchanges(2).iter().map(|line| line["asked"].clone()).collect();
    assert_eq!(asked, ["azure-7 or docs-8?", "[secret 1] or [secret 2]?"]);
}

#[test]
fn files_are_left_out_unless_they_are_asked_for() {
    let image = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let parts = json!([{ "type": "text", "text": "What is it?" }, { "type": "file", "mediaType": "image/png", "url": format!("data:image/png;base64,{image}") }]);
    for (flags, is_kept) in [(&[][..], false), (&["--with-files"][..], true)] {
        let recording = Recording::start(flags);
        let model = FakeModel::saying("A dot.");
        let acme = recording.app.org_asking("acme", &model);
        acme.chat(json!({ "model": "up/free", "messages": [{ "role": "user", "parts": parts }] }));
        let line = recording.exchanges(1)[0].to_string();
        assert_eq!((line.contains(image), line.contains("\"sha256\"")), (is_kept, true));
    }
}

#[test]
fn after_a_kill_every_line_is_whole_and_the_next_server_goes_on_with_the_file() {
    let recording = Recording::start(&[]);
    let model = FakeModel::start([
        Answer::text("first"),
        Answer::empty().chunk(word("half ")).wait().chunk(finish("stop")).done(),
        Answer::text("third"),
    ]);
    let acme = recording.app.org_asking("acme", &model);
    acme.ask("up/free", "one");
    recording.exchanges(1);
    let mut listening = acme.listen(json!({ "model": "up/free", "messages": [user("two")] }));
    listening.until("text-delta");
    let file = recording.file.to_str().unwrap();
    let next = recording.app.crash_into(&[("ALM_RECORD", file)]);
    next.says(&format!("Recording: what people write and models answer goes to {file}."));
    drop(listening);
    acme.at(next.url()).ask("up/free", "three");
    let lines = until("the exchange", || Some(exchanges(&recording.file)).filter(|lines| lines.len() == 2));
    let asked: Vec<_> =
        lines.iter().map(|line| (line["id"].as_u64().unwrap(), line["asked"].as_str().unwrap())).collect();
    assert_eq!(asked, [(1, "one"), (2, "three")]);
}

#[test]
fn a_file_has_one_writer_and_what_is_no_cassette_is_not_written_to() {
    let recording = Recording::start(&[]);
    let other = tempfile::tempdir().unwrap();
    let serve = |file: &str| {
        let mut command = alm(&["serve", "--listen", "127.0.0.1:0", "--record", file]);
        let output = command.env("ALM_DATA_DIR", other.path()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = serve(recording.file.to_str().unwrap());
    assert!(code == Some(1) && said.contains("another alm writes it: choose another file"), "{said}");
    let text = other.path().join("notes.txt");
    fs::write(&text, "mine\n").unwrap();
    let (code, said) = serve(text.to_str().unwrap());
    assert!(code == Some(1) && said.contains("notes.txt is no cassette"), "{said}");
    assert_eq!(fs::read_to_string(text).unwrap(), "mine\n");
}

#[test]
fn whoever_is_signed_in_is_told_that_it_is_recorded_and_not_where() {
    let recording = Recording::start(&[]);
    assert_eq!(recording.app.browser("acme").get("/auth/me").ok(200)["recording"], "tour.jsonl");
    assert_eq!(App::shared().browser("acme").get("/auth/me").ok(200)["recording"], Value::Null);
}
