//! Readers of the log and of what commands print: gone, slow, or a full disk. None of them fails the work.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, pipe},
    net::TcpListener,
    os::unix::process::ExitStatusExt,
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
};

use alm::store::Store;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    client::Client,
    harness::{Ran, alm, until, user},
};

/// A server whose output a test holds in its hands.
struct Heard {
    child: Child,
    folder: TempDir,
    client: Client,
    metrics: String,
}

/// Somebody who may ask.
fn with_org(folder: &TempDir) -> String {
    Store::open(folder.path(), 1).unwrap().create_org("acme", "a@example.com", None).unwrap();
    run(folder, &["keys", "create", "--org", "acme", "--name", "k"]).ok().to_owned()
}

fn run(folder: &TempDir, arguments: &[&str]) -> Ran {
    Ran::of(alm(arguments).env("ALM_DATA_DIR", folder.path()))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Heard {
    /// Started by `shell`, where it is `"$@"`.
    fn start(shell: &str, flags: &[&str], output: [Stdio; 2]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = with_org(&folder);
        let (port, metrics_port) = (free_port(), free_port());
        let [stdout, stderr] = output;
        let mut command = Command::new("sh");
        let program = alm(&[]);
        command.args(["-c", shell, "sh"]).arg(program.get_program()).arg("serve").args(flags);
        command.env_remove("RUST_LOG").env("ALM_DATA_DIR", folder.path());
        command.env("ALM_LISTEN", format!("127.0.0.1:{port}"));
        command.env("ALM_METRICS_LISTEN", format!("127.0.0.1:{metrics_port}"));
        let child = command.stdout(stdout).stderr(stderr).spawn().unwrap();
        until("the server to listen", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        let client = Client::new(&format!("http://127.0.0.1:{port}"), Some(key));
        Heard { child, folder, client, metrics: format!("http://127.0.0.1:{metrics_port}") }
    }

    fn lines_lost(&self) -> u64 {
        let text = Client::new(&self.metrics, None).get("/metrics").text;
        let line = text.lines().find_map(|line| line.strip_prefix("alm_log_lines_lost_total "));
        line.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
    }

    /// Asks for a reply that cannot be had: a line of the log.
    fn fails(&self) {
        let body = json!({ "model": "up/m", "messages": [user("Hi")] });
        assert_eq!(self.client.post("/chat", body).status, 502);
    }

    fn connect_nothing(&self) {
        let add = ["providers", "add", "--org", "acme", "--slug", "up", "--base-url", "http://127.0.0.1:9/v1"];
        run(&self.folder, &[&add[..], &["--model", "m"]].concat()).ok();
    }

    fn kill(&self, signal: &str) {
        assert!(Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    fn ends_with(&mut self, code: i32) {
        let status = until("the server to end", || self.child.try_wait().unwrap());
        assert_eq!((status.code(), status.signal()), (Some(code), None));
    }

    fn streams(&mut self) -> (ChildStdout, ChildStderr) {
        (self.child.stdout.take().unwrap(), self.child.stderr.take().unwrap())
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_log_without_a_reader_changes_no_answer_and_no_exit_code() {
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    for (case, shell, output) in [
        ("the reader goes", r#"exec "$@""#, [Stdio::piped(), Stdio::piped()]),
        ("a full disk", r#"exec "$@""#, [full(), full()]),
        ("closed at the start", r#"exec "$@" >&- 2>&- <&-"#, [Stdio::null(), Stdio::null()]),
    ] {
        let mut server = Heard::start(shell, &[], output);
        server.connect_nothing();
        server.child.stdout.take();
        server.child.stderr.take();
        for _ in 0..3 {
            server.fails();
            server.client.get("/agents").ok(200);
        }
        if case != "closed at the start" {
            until("the lines to be counted", || (server.lines_lost() >= 3).then_some(()));
        }
        server.kill("TERM");
        server.ends_with(0);
    }
}

#[test]
fn a_log_that_nobody_reads_holds_nobody_up_and_says_later_what_it_lost() {
    let mut server =
        Heard::start(r#"RUST_LOG=trace exec "$@""#, &["--log-format", "json"], [Stdio::piped(), Stdio::piped()]);
    let (_stdout, stderr) = server.streams();
    let lost = until("lines to be lost", || {
        (0..100).for_each(|_| assert_eq!(server.client.get("/agents").status, 200));
        Some(server.lines_lost()).filter(|lost| *lost > 0)
    });
    let mut lines = BufReader::new(stderr).lines();
    let said = lines.find_map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap().get("lost").cloned());
    let said = said.unwrap();
    assert!(said.as_u64().unwrap() >= lost, "{said} {lost}");
    server.client.get("/agents").ok(200);
    server.kill("TERM");
    // Still nobody reads: the exit waits for a moment only.
    server.ends_with(0);
}

#[test]
fn everything_in_a_log_of_json_is_json() {
    let folder = tempfile::tempdir().unwrap();
    let serve = |flags: &[&str]| {
        let mut command = alm(&["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]);
        command.args(flags).env("ALM_DATA_DIR", folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let read = |mut child: Child, wanted: &str| {
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let found = until("the line", || {
            let line: Value = serde_json::from_str(&lines.next()?.unwrap()).unwrap();
            Some(line["fields"].clone()).filter(|fields| fields.get(wanted).is_some())
        });
        drop(child.kill());
        drop(child.wait());
        found
    };
    let setup = read(serve(&[]), "setupUrl");
    assert!(setup["setupUrl"].as_str().unwrap().contains("/setup#"), "{setup}");
    assert!(setup["message"].as_str().unwrap().contains("no organization yet"), "{setup}");
    let made = read(serve(&["--org", "acme"]), "owner");
    assert_eq!((&made["org"], &made["owner"]), (&json!("acme"), &json!("owner@acme.localhost")));
    let failed = read(serve(&["--ca-file", "/nowhere"]), "message");
    assert!(failed["message"].as_str().unwrap().contains("/nowhere"), "{failed}");
}

/// Runs a command that prints to those two; its exit code, and what it said on standard error if that is `None`.
fn prints(folder: &TempDir, arguments: &[&str], stdout: Stdio, stderr: Option<Stdio>) -> (Option<i32>, String) {
    let mut command = alm(arguments);
    command.env("ALM_DATA_DIR", folder.path()).stdin(Stdio::null()).stdout(stdout);
    let mut child = command.stderr(stderr.unwrap_or_else(Stdio::piped)).spawn().unwrap();
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut said).unwrap();
    }
    (child.wait().unwrap().code(), said)
}

#[test]
fn what_a_command_cannot_print_fails_only_a_command_that_prints() {
    let folder = tempfile::tempdir().unwrap();
    let key = with_org(&folder);
    assert!(key.starts_with("alm_live_"));
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    let gone = || Stdio::from(pipe().unwrap().1);
    let deposit = ["deposit", "--org", "acme", "--usd", "1"];
    let lists: [&[&str]; 8] = [
        &["org", "list"],
        &["keys", "list", "--org", "acme"],
        &["providers", "list", "--org", "acme", "--json"],
        &["models", "--org", "acme"],
        &["ledger", "verify"],
        &["doctor", "--json"],
        &["openapi"],
        &["export", "--org", "acme"],
    ];
    for list in lists {
        let (code, said) = prints(&folder, list, gone(), None);
        // An export says on standard error what it has left out.
        assert!(code == Some(0) && (said.is_empty() || list[0] == "export"), "{list:?} {code:?} {said}");
        let (code, said) = prints(&folder, list, full(), None);
        assert!(code == Some(1) && said.starts_with("alm: cannot "), "{list:?} {code:?} {said}");
    }
    assert_eq!(prints(&folder, &deposit, gone(), None), (Some(0), String::new()));
    let (code, said) = prints(&folder, &deposit, full(), None);
    assert!(code == Some(0) && said.contains("cannot print"), "the money is there: {said}");
    assert!(run(&folder, &["org", "list"]).ok().contains("2.00"));
    for nobody in [full(), gone()] {
        assert_eq!(prints(&folder, &["org", "set", "nobody", "--default-model", "x"], gone(), Some(nobody)).0, Some(1));
    }
}

#[test]
fn a_demo_that_nobody_reads_makes_its_checks_and_ends() {
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    let gone = || Stdio::from(pipe().unwrap().1);
    let folder = tempfile::tempdir().unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let demo = ["demo", "--listen", &listen];
    let (code, said) = prints(&folder, &[&demo[..], &["--once"]].concat(), full(), None);
    assert_eq!((code, &*said), (Some(0), ""));
    // Without `--once` it would serve on, for nobody.
    assert_eq!(prints(&folder, &demo, gone(), None), (Some(0), String::new()));
}

#[test]
fn signals_that_were_ignored_at_the_start_stay_ignored() {
    let mut server = Heard::start(r#"trap "" HUP INT QUIT; exec "$@""#, &[], [Stdio::null(), Stdio::null()]);
    for signal in ["HUP", "INT", "QUIT", "PIPE"] {
        server.kill(signal);
    }
    server.client.get("/agents").ok(200);
    server.kill("TERM");
    server.ends_with(0);
}

#[test]
fn a_limit_on_the_size_of_files_is_a_full_disk_and_ends_nobody() {
    // In blocks of 512 bytes: 4 MiB, more than a new file and its log take.
    let mut server = Heard::start(r#"ulimit -f 8192; exec "$@""#, &[], [Stdio::null(), Stdio::null()]);
    let text = "x".repeat(500_000);
    let session = server.client.post("/sessions", json!({})).ok(201)["id"].as_str().unwrap().to_owned();
    let refused = until("the file to be as large as it may be", || {
        let reply =
            server.client.post(&format!("/sessions/{session}/messages"), json!({ "role": "user", "content": text }));
        (reply.status != 201).then_some(reply)
    });
    refused.fails(503, "SERVICE_UNAVAILABLE");
    server.client.get(&format!("/sessions/{session}")).ok(200);
    server.kill("TERM");
    server.ends_with(0);
}
