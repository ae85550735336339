//! The server as another program's child: one line, what was wanted, and no life without the parent.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    client::Client,
    harness::{Ran, alm, until},
};

/// A child of this process, by its pipes.
struct Sidecar {
    process: Child,
    /// It lives as long as this.
    life: Option<ChildStdin>,
    said: BufReader<ChildStdout>,
}

impl Sidecar {
    fn start(folder: &Path, flags: &[&str]) -> Self {
        let mut command = alm(&[&["serve", "--sidecar", "--data-dir", folder.to_str().unwrap()], flags].concat());
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = pipes.spawn().unwrap();
        let (life, said) = (process.stdin.take(), BufReader::new(process.stdout.take().unwrap()));
        Sidecar { process, life, said }
    }

    fn provisioned(folder: &Path, wanted: &Value) -> Self {
        let mut child = Self::start(folder, &["--provision", "-"]);
        writeln!(child.life.as_mut().unwrap(), "{wanted}").unwrap();
        child
    }

    /// The line.
    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// Its exit code once its pipe has ended; nothing more was said.
    fn end(mut self) -> Option<i32> {
        drop(self.life.take());
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
        until("the child to end", || self.process.try_wait().unwrap()).code()
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // It has ended, but for tests that failed.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn caller(line: &Value) -> Client {
    let text = |field: &str| line[field].as_str().unwrap_or_else(|| panic!("{field}: {line}")).to_owned();
    Client::new(&text("url"), Some(text("key"))).header("x-alumia-org", &text("org"))
}

#[test]
fn one_line_says_where_it_is_and_it_ends_with_the_pipe() {
    let folder = TempDir::new().unwrap();
    let mut child = Sidecar::start(folder.path(), &[]);
    let line = child.line();
    assert_eq!((&line["alm"], &line["protocol"], &line["schema"]), (&json!("ready"), &json!(1), &json!(7)));
    assert_eq!((&line["pid"], &line["key"], &line["org"]), (&json!(child.process.id()), &Value::Null, &Value::Null));
    assert_eq!(line["dataDir"], json!(folder.path().canonicalize().unwrap()));
    assert_eq!(Client::new(line["url"].as_str().unwrap(), None).get("/health").status, 200);
    // Another one is refused in words and by a number, and told where the first is.
    let mut second = Sidecar::start(folder.path(), &[]);
    let refused = second.line();
    assert_eq!((&refused["alm"], &refused["code"]), (&json!("failed"), &json!("DATA_DIR_IN_USE")));
    assert_eq!((&refused["running"]["url"], &refused["running"]["pid"]), (&line["url"], &line["pid"]));
    assert_eq!(second.end(), Some(3));
    assert_eq!(child.end(), Some(0));
}

#[test]
fn a_line_in_a_file_appears_whole() {
    let folder = TempDir::new().unwrap();
    let place = folder.path().join("ready.json");
    let child = Sidecar::start(&folder.path().join("data"), &["--ready", &format!("file:{}", place.display())]);
    let line = until("the file", || fs::read_to_string(&place).ok());
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["alm"], "ready");
    assert_eq!(child.end(), Some(0));
    let nowhere = Sidecar::start(&folder.path().join("data"), &["--ready", "file:/no/such/place"]);
    assert_eq!(nowhere.end(), Some(1), "whoever waits for the file would wait for ever");
}

#[test]
fn what_went_wrong_has_a_number_and_a_word() {
    let folder = TempDir::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut child = Sidecar::start(folder.path(), &["--listen", &address]);
    assert_eq!(child.line()["code"], "ADDRESS_IN_USE");
    assert_eq!(child.end(), Some(4));
    let file = rusqlite::Connection::open(folder.path().join("alm.db")).unwrap();
    file.pragma_update(None, "user_version", 99).unwrap();
    let mut child = Sidecar::start(folder.path(), &[]);
    let message = child.line()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("alm.db was written by a newer alm (schema 99, this one knows 7)"), "{message}");
    assert_eq!(child.end(), Some(5));
    // Commands say it by the same number.
    let list = ["keys", "list", "--org", "acme", "--data-dir", folder.path().to_str().unwrap()];
    Ran::of(&mut alm(&list)).fails(5);
    let mut no_pipe = alm(&["serve", "--exit-with-stdin", "--data-dir", folder.path().to_str().unwrap()]);
    assert!(
        Ran::of(no_pipe.stdin(Stdio::null())).fails(1).contains("--exit-with-stdin needs a pipe as standard input")
    );
}

#[test]
fn it_goes_when_its_parent_is_killed() {
    let folder = TempDir::new().unwrap();
    let parent = "import subprocess, sys, time
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
time.sleep(600)";
    let program = env!("CARGO_BIN_EXE_alm");
    let mut command = Command::new("python3");
    command.args(["-c", parent, program, "serve", "--sidecar", "--data-dir", folder.path().to_str().unwrap()]);
    let mut parent = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let pid = serde_json::from_str::<Value>(&line).unwrap()["pid"].to_string();
    parent.kill().unwrap();
    parent.wait().unwrap();
    let is_there = || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.contains("alm") && !status.contains("State:\tZ")
    };
    until("the child to go as well", || (!is_there()).then_some(()));
}

#[test]
fn what_is_wanted_is_made_once_and_the_key_each_time() {
    let folder = TempDir::new().unwrap();
    let wanted = json!({
        "org": "acme", "owner": "you@app.localhost", "depositUsd": "10.00",
        "key": { "name": "app", "scopes": ["chat", "read", "write"], "value": null },
        "providers": [{ "slug": "far", "baseUrl": "http://127.0.0.1:9/v1", "models": ["m"], "apiKeyEnv": "FAR_KEY" }],
        "agents": [
            { "slug": "helper", "systemPrompt": "Be brief.", "model": "far/m" },
            { "slug": "ala", "systemPrompt": "Be kind." },
        ],
        "defaultModel": "far/m",
    });
    let mut first = Sidecar::provisioned(folder.path(), &wanted);
    let line = first.line();
    let acme = caller(&line);
    let agent = acme.get("/agents/helper").ok(200);
    assert_eq!(
        (&agent["name"], &agent["systemPrompt"], &agent["model"]),
        (&json!("helper"), &json!("Be brief."), &json!("far/m"))
    );
    assert_eq!(acme.get("/billing").ok(200)["balanceMicrocents"], 10_000_000);
    assert_eq!(acme.get("/agents/ala").ok(200)["systemPrompt"], "Be kind.");
    // What is added beside it stays, and what is named is set again.
    acme.patch("/agents/helper", json!({ "systemPrompt": "Be long.", "description": "Mine." })).ok(200);
    assert_eq!(first.end(), Some(0));

    let mut second = Sidecar::provisioned(folder.path(), &wanted);
    let again = second.line();
    let acme = caller(&again);
    let agent = acme.get("/agents/helper").ok(200);
    assert_eq!((&agent["systemPrompt"], &agent["description"]), (&json!("Be brief."), &json!("Mine.")));
    assert_eq!(acme.get("/billing").ok(200)["balanceMicrocents"], 10_000_000, "the deposit is for a new organization");
    assert_ne!(line["key"], again["key"]);
    let earlier = json!({ "url": again["url"], "key": line["key"], "org": "acme" });
    caller(&earlier).get("/agents").fails(401, "UNAUTHORIZED");
    assert_eq!(second.end(), Some(0));

    // Or the parent chooses it, and then it stays.
    let chosen = format!("alm_live_{}", "0123456789abcdef".repeat(3));
    let only = json!({ "org": "acme", "key": { "name": "app", "value": chosen } });
    for _ in 0..2 {
        let mut third = Sidecar::provisioned(folder.path(), &only);
        let line = third.line();
        assert_eq!(line["key"], chosen);
        caller(&line).get("/agents/helper").ok(200);
        assert_eq!(third.end(), Some(0));
    }
}

#[test]
fn what_cannot_be_wanted_is_refused_by_its_path_and_nothing_is_made() {
    let folder = TempDir::new().unwrap();
    let long = "x".repeat(64 * 1024);
    for (wanted, said) in [
        (json!({}), "org: required"),
        (json!([]), "provision: must be a JSON object"),
        (json!({ "org": "acme", "provider": [] }), "provider: no such field: there are org, owner, key"),
        (
            json!({ "org": "acme", "providers": [{ "slug": "x", "baseURL": "http://h/v1" }] }),
            "providers[0].baseURL: no such field: did you mean baseUrl?",
        ),
        (json!({ "org": "acme", "providers": [{ "slug": "x", "baseUrl": "ftp://h" }] }), "providers[0].baseUrl: "),
        (json!({ "org": "acme", "key": { "name": "a", "value": "alm_live_secret" } }), "key.value: must be alm_live_"),
        (
            json!({ "org": "acme", "key": { "name": "a", "scopes": ["fly"] } }),
            "key.scopes[0]: must be read, chat or write",
        ),
        (json!({ "org": "acme", "agents": [{ "slug": "a" }, { "slug": "B c" }] }), "agents[1].slug: "),
        (json!({ "org": "acme", "agents": [{ "slug": "ala", "name": "Bob" }] }), "agents[0]: Ala's name"),
        (
            json!({ "org": "acme", "agents": [{ "slug": "a", "settings": { "temperature": 9 } }] }),
            "agents[0].settings.temperature: ",
        ),
        (json!({ "org": "acme", "defaultModel": "no/such" }), "defaultModel: "),
        (json!({ "org": "acme", "depositUsd": "ten" }), "depositUsd: "),
        (json!({ "org": "setup" }), "org: setup is reserved"),
        (json!({ "org": "acme", "owner": long }), "is longer than 65536 bytes"),
    ] {
        let mut child = Sidecar::provisioned(folder.path(), &wanted);
        let line = child.line();
        let message = line["message"].as_str().unwrap();
        assert!(
            ["INVALID", "FAILED"].contains(&line["code"].as_str().unwrap()) && message.contains(said),
            "{said}: {line}"
        );
        assert!(!message.contains("alm_live_secret"));
        assert_eq!(child.end(), Some(1));
    }
    let list = Ran::of(&mut alm(&["org", "list", "--json", "--data-dir", folder.path().to_str().unwrap()])).json();
    assert_eq!(list, json!([]));
    // At the bound it is taken: white space counts.
    let mut file = tempfile::NamedTempFile::new_in(folder.path()).unwrap();
    let wanted = json!({ "org": "acme" }).to_string();
    write!(file, "{wanted}{}", " ".repeat(64 * 1024 - wanted.len())).unwrap();
    let mut child = Sidecar::start(folder.path(), &["--provision", file.path().to_str().unwrap()]);
    assert_eq!(child.line()["org"], "acme");
    assert_eq!(child.end(), Some(0));
}
