//! `alm mcp`, as an operator types it beside a running server: by URL and by entries of files, in both eras of the protocol.

use std::{
    fs,
    io::Write,
    process::{Output, Stdio},
};

use serde_json::{Value, json};

use crate::{
    fake_mcp::{Era, FakeMcp, tool},
    support::{
        client::Client,
        fake_model::nobody,
        harness::{App, Ran, alm},
    },
};

const TOKEN: &str = "tok-very-secret";

/// The command line of an organization, and its owner.
struct Acme {
    app: App,
    owner: Client,
    slug: String,
}

impl Acme {
    fn start() -> Self {
        let app = App::start(&[]);
        let owner = app.org("acme");
        let slug = app.slug("acme");
        Acme { app, owner, slug }
    }

    /// Runs `alm mcp …`, with a token in its environment.
    fn mcp(&self, words: &[&str]) -> Ran {
        // What stands after -- is the command's.
        let (own, command) = words.split_at(words.iter().position(|word| *word == "--").unwrap_or(words.len()));
        let words = [&["mcp"], own, &["--org", &self.slug], command].concat();
        let ran = Ran::of(alm(&words).env("ALM_DATA_DIR", self.app.folder()).env("MCP_TOKEN", TOKEN));
        assert!(!format!("{ran:?}").contains("very-secret"), "no secret is printed: {ran:?}");
        ran
    }

    /// The same, told something on standard input.
    fn fed(&self, words: &[&str], said: &str) -> Output {
        let words = [&["mcp"], words, &["--org", &self.slug]].concat();
        let mut command = alm(&words);
        command
            .env("ALM_DATA_DIR", self.app.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(said.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.app.folder().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The names of a server's tools, as the running server lists them.
    fn tools(&self, slug: &str) -> Vec<String> {
        let items = self.owner.get("/tools?origin=mcp&limit=100").ok(200)["items"].clone();
        let of_server =
            items.as_array().unwrap().iter().filter(|tool| tool["server"] == slug && tool["state"] == "ready");
        of_server.map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn a_server_by_url_is_added_tested_accepted_shown_and_removed_in_both_eras() {
    let acme = Acme::start();
    for (era, slug) in [(Era::Legacy, "old"), (Era::Modern, "new")] {
        let fake = FakeMcp::start(era);
        fake.server.relist(vec![tool("read"), tool("write"), json!({ "name": "odd" })]);
        let url = fake.url();
        let words = ["add", slug, &url, "--header", "X-Team: red", "--bearer-env", "MCP_TOKEN", "--yes", "--json"];
        let added = acme.mcp(&words).json();
        let stages: Vec<_> =
            added["stages"].as_array().unwrap().iter().map(|stage| stage["name"].as_str().unwrap()).collect();
        assert_eq!((stages, &added["accepted"]), (vec!["reach", "handshake", "list"], &json!(true)), "{added}");
        assert_eq!(added["tools"][0]["name"], json!(format!("{slug}__read")));
        assert_eq!((&added["tools"][0]["approval"], &added["quarantined"][0]["name"]), (&json!("ask"), &json!("odd")));
        {
            let told = fake.server.told();
            let request = told.requests.iter().find(|request| request.headers.contains_key("authorization")).unwrap();
            assert_eq!(request.headers["authorization"], format!("Bearer {TOKEN}"));
            assert_eq!(request.headers["x-team"], "red");
        }
        assert_eq!(acme.tools(slug), [format!("{slug}__read"), format!("{slug}__write")]);

        let entry = acme.mcp(&["get", slug, "--mcp-json"]).json();
        let headers = json!({ "x-team": "red", "authorization": "Bearer ${MCP_TOKEN}" });
        assert_eq!(
            entry["mcpServers"][slug],
            json!({ "type": "http", "url": url, "headers": headers, "timeout": 60_000 })
        );
        let shown = acme.mcp(&["get", slug, "--json"]).json();
        assert_eq!(shown["secretHeaders"], json!([{ "name": "authorization", "from": "Bearer ${MCP_TOKEN}" }]));
        assert_eq!(
            (&shown["toolCount"], &shown["state"], &shown["addedBy"]),
            (&json!(2), &json!("on"), &json!("operator"))
        );
        let told = acme.mcp(&["list"]);
        let line = told.ok().lines().find(|line| line.starts_with(slug)).unwrap();
        assert!(line.contains(&url) && line.contains("authorization"), "{told:?}");

        acme.mcp(&["disable", slug]).ok();
        assert_eq!(acme.owner.get(&format!("/mcp/servers/{slug}")).ok(200)["isActive"], json!(false));
        acme.mcp(&["enable", slug]).ok();
        acme.mcp(&["restart", slug]).ok();
        assert_eq!(acme.mcp(&["test", slug, "--json"]).json()["ok"], json!(true));
        acme.mcp(&["remove", slug]).ok();
        assert_eq!(acme.tools(slug), Vec::<String>::new());
        assert!(acme.mcp(&["remove", slug]).fails(1).contains("MCP server"));
    }
}

#[test]
fn tools_that_nobody_accepts_are_off_and_those_that_change_ask_again() {
    let acme = Acme::start();
    let fake = FakeMcp::start(Era::Modern);
    fake.server.relist(vec![tool("read")]);
    let told = acme.mcp(&["add", "srv", &fake.url()]);
    assert!(told.ok().contains("srv__read") && told.ok().contains("not accepted"), "{told:?}");
    assert_eq!(acme.tools("srv"), Vec::<String>::new());
    acme.mcp(&["test", "srv", "--yes"]).ok();
    assert_eq!(acme.tools("srv"), ["srv__read"]);

    let changed = json!({ "name": "read", "description": "Deletes everything.", "inputSchema": { "type": "object" } });
    fake.server.relist(vec![changed]);
    let told = acme.mcp(&["test", "srv"]);
    assert!(told.ok().contains("changed") && told.ok().contains("not accepted"), "{told:?}");
    assert_eq!(acme.owner.get("/tools/srv__read").ok(200)["changed"], json!(true));
    acme.app.alm(&["tools", "set", "srv__read", "--accept", "--approval", "never", "--org", &acme.slug]).ok();
    let seen = acme.owner.get("/tools/srv__read").ok(200);
    assert_eq!((&seen["changed"], &seen["approval"]), (&json!(false), &json!("never")));
}

#[test]
fn a_server_that_cannot_be_reached_is_kept_and_its_test_fails() {
    let acme = Acme::start();
    let place = nobody();
    let ran = acme.mcp(&["add", "away", &place, "--yes"]);
    assert!(ran.code == 1 && ran.stdout.contains("fail  reach") && ran.stderr.contains("It is kept"), "{ran:?}");
    let listed = acme.mcp(&["list", "--json"]).json();
    assert_eq!((&listed[0]["slug"], &listed[0]["state"]), (&json!("away"), &json!("failing")));
    let ran = acme.mcp(&["test", "away"]);
    assert!(ran.code == 1 && ran.stderr.contains("cannot be reached"), "{ran:?}");
    let doctor = acme.app.alm(&["doctor"]);
    assert!(doctor.code == 1 && doctor.stdout.contains(&format!("fail  MCP server {}/away", acme.slug)), "{doctor:?}");
}

#[test]
fn what_cannot_be_is_refused_and_nothing_is_kept() {
    let acme = Acme::start();
    for (words, why) in [
        (&["add", "srv", "http://127.0.0.1:9", "--header", "Authorization: Bearer x"][..], "A secret is no argument"),
        (&["add", "srv", "-e", "API_KEY=x", "--", "npx"], "A secret is no argument"),
        (
            &["add-json", "srv", r#"{"url":"http://x","headers":{"Authorization":"Bearer x"}}"#],
            "A secret is no argument",
        ),
        (&["add-json", "srv", "{"], "it is not JSON"),
        (&["add", "srv", "http://127.0.0.1:9", "--transport", "sse"], "SSE is deprecated"),
        (&["add", "A_b", "http://127.0.0.1:9"], "NAME: must be"),
        (&["add", "srv", "ftp://127.0.0.1"], "URL: must"),
        (&["import", "/nowhere/at/all"], "/nowhere/at/all"),
        (&["get", "srv"], "MCP server"),
    ] {
        let told = acme.mcp(words);
        assert!(told.fails(1).contains(why), "{words:?}: {told:?}");
    }
    acme.mcp(&["add", "srv"]).fails(2);
    assert_eq!(acme.mcp(&["list", "--json"]).json(), json!([]));
}

#[test]
fn an_entry_on_standard_input_may_hold_a_secret() {
    let acme = Acme::start();
    let fake = FakeMcp::start(Era::Modern);
    let entry = json!({ "url": fake.url(), "headers": { "Authorization": format!("Bearer {TOKEN}") }, "timeout": 5 });
    let ran = acme.fed(&["add-json", "srv", "-", "--yes"], &entry.to_string());
    assert!(ran.status.success(), "{ran:?}");
    let told = fake
        .server
        .told()
        .requests
        .iter()
        .any(|request| request.headers.get("authorization") == Some(&format!("Bearer {TOKEN}")));
    assert!(told);
    let shown = acme.mcp(&["get", "srv", "--json"]).json();
    assert_eq!(shown["secretHeaders"], json!([{ "name": "authorization", "from": "sealed" }]));
    assert_eq!(shown["timeoutMs"], json!(5_000));
}

#[test]
fn a_file_of_another_program_is_imported_line_by_line() {
    let acme = Acme::start();
    let fake = FakeMcp::start(Era::Modern);
    fake.server.relist(vec![tool("read"), tool("write")]);
    let file = |fast: &str| {
        let url = fake.url();
        let servers = json!({ "mcpServers": {
            "Fine Server": { "url": url, "headers": { "X-Key": "very-secret" }, "alwaysAllow": ["read"], "trust": true },
            "off": { "url": url, "disabled": true },
            "old": { "type": "sse", "url": url },
            "wrong": { "command": "npx", "args": fast },
        } });
        acme.file("mcp.json", &servers.to_string())
    };
    let outcomes = |ran: &Ran| -> Vec<(String, String)> {
        let lines: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
        let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
        lines.iter().map(|line| (text(line, "name"), text(line, "outcome"))).collect()
    };
    let expected = |all: [(&str, &str); 4]| all.map(|(name, outcome)| (name.to_owned(), outcome.to_owned())).to_vec();
    let ran = acme.mcp(&["import", &file("x"), "--yes", "--json"]);
    let lines = [("Fine Server", "added"), ("off", "added"), ("old", "skipped"), ("wrong", "failed")];
    assert_eq!((ran.code, outcomes(&ran)), (1, expected(lines)), "{ran:?}");
    assert!(ran.stdout.contains("not taken over: trust") && ran.stdout.contains("called fine-server here"), "{ran:?}");
    let approval = |tool: &str| acme.owner.get(&format!("/tools/fine-server__{tool}")).ok(200)["approval"].clone();
    assert_eq!([approval("read"), approval("write")], ["ask", "ask"], "what a file lets run asks here all the same");

    let again = acme.mcp(&["import", &file("x"), "--yes", "--json"]);
    let lines = [("Fine Server", "skipped"), ("off", "skipped"), ("old", "skipped"), ("wrong", "failed")];
    assert_eq!(outcomes(&again), expected(lines), "{again:?}");
    let replaced = acme.mcp(&["import", &file("x"), "--yes", "--json", "--replace", "--keep-approvals"]);
    let lines = [("Fine Server", "replaced"), ("off", "replaced"), ("old", "skipped"), ("wrong", "failed")];
    assert_eq!(outcomes(&replaced), expected(lines), "{replaced:?}");
    assert_eq!([approval("read"), approval("write")], ["never", "ask"]);
    let told = acme.mcp(&["import", &file("x")]);
    assert!(told.stdout.contains("Fine Server: skipped: a server is called fine-server already"), "{told:?}");
}
