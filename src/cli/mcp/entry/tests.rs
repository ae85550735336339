//! Files of five programs, and what is wrong with files.

use std::{path::PathBuf, time::Duration};

use serde_json::json;

use super::*;
use crate::{
    seal::Sealer,
    secret::Secret,
    tools::secrets::{NewSecret, Secrets, VALUE_BYTES_MAX},
};

/// A terminal with a person who answers, or none.
#[derive(Default)]
struct Fake {
    answers: Vec<(&'static str, &'static str)>,
    asked: Vec<Input>,
}

impl World for Fake {
    fn variable(&self, name: &str) -> Option<String> {
        let known = [("HOME", "/home/ada"), ("ROOT", "/srv"), ("API_KEY", "not to be read here")];
        known.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned())
    }

    fn ask(&mut self, input: &Input) -> Option<String> {
        self.asked.push(input.clone());
        self.answers.iter().find(|(id, _)| *id == input.id).map(|(_, answer)| (*answer).to_owned())
    }

    fn absolute(&self, path: &str) -> PathBuf {
        PathBuf::from("/here").join(path)
    }

    fn file(&self, path: &str) -> Result<String, String> {
        if path == "/home/ada/.env" {
            Ok("# mine\nA=1\nexport B=\"two words\"\n\nC=\n".into())
        } else {
            Err(format!("cannot read {path}"))
        }
    }
}

/// What all entries of a file mean to somebody who cannot be asked.
fn entries(text: &str) -> Vec<Result<Entry, String>> {
    let mut file = read(text, Program::Other).unwrap();
    file.names().iter().map(|name| why(file.entry(name, &mut Fake::default()))).collect()
}

/// With the word before what was left on purpose.
fn why(read: Result<Entry, Left>) -> Result<Entry, String> {
    read.map_err(|left| match left {
        Left::Skipped(why) => format!("skipped: {why}"),
        Left::Failed(why) => why,
    })
}

/// The one entry of a file.
fn one(entry: &str) -> Result<Entry, String> {
    why(File::of_one("one", entry)?.entry("one", &mut Fake::default()))
}

fn http(url: &str, headers: Vec<(&str, NewSecret)>) -> Way {
    Way::Http { url: url.into(), headers: named(headers) }
}

fn command(argv: &[&str], env: Vec<(&str, NewSecret)>, cwd: Option<&str>) -> Way {
    let args = argv[1..].iter().map(|arg| (*arg).to_owned()).collect();
    Way::Command { command: argv[0].into(), args, env: named(env), cwd: cwd.map(PathBuf::from) }
}

fn named(secrets: Vec<(&str, NewSecret)>) -> Vec<(String, NewSecret)> {
    secrets.into_iter().map(|(name, secret)| (name.to_owned(), secret)).collect()
}

fn text(text: &str) -> NewSecret {
    NewSecret::Text(Secret::new(text))
}

fn template(text: &str) -> NewSecret {
    NewSecret::Template(Secret::new(text))
}

fn plain(name: &str, way: Way) -> Entry {
    Entry {
        slug: name.into(),
        name: name.into(),
        way,
        is_active: true,
        timeout: None,
        approved: Vec::new(),
        notes: Vec::new(),
    }
}

#[test]
fn the_file_of_claude_desktop() {
    let read = entries(include_str!("../../../../tests/golden/mcp/claude-desktop.json"));
    let folder = ["npx", "-y", "@modelcontextprotocol/server-filesystem", "/Users/ada/Desktop"];
    let bridge = ["npx", "mcp-remote", "https://mcp.example.com/mcp", "--header", "Authorization:${AUTH_HEADER}"];
    let expected = [
        plain("filesystem", command(&folder, vec![], None)),
        Entry {
            name: "Brave Search".into(),
            notes: vec!["called brave-search here".into()],
            ..plain(
                "brave-search",
                command(&["npx", "-y", "server-brave-search"], vec![("BRAVE_API_KEY", text("BSA-literal"))], None),
            )
        },
        // The bridge fills it in by itself.
        plain("bridge", command(&bridge, vec![("AUTH_HEADER", text("Bearer literal"))], None)),
    ];
    assert_eq!(read, expected.map(Ok));
}

#[test]
fn the_file_of_claude_code() {
    let read = entries(include_str!("../../../../tests/golden/mcp/claude-code.json"));
    let [api, local, old, db, keys] = <[_; 5]>::try_from(read).unwrap();
    let headers = vec![("Authorization", template("Bearer ${API_KEY}")), ("X-Plan", template("${PLAN:-free}"))];
    assert_eq!(api.unwrap(), plain("api", http("https://api.example.com/mcp", headers)));
    let db = db.unwrap();
    let uri = template("postgres://${DB_USER}:${DB_PASSWORD:-dev}@localhost/db");
    assert_eq!(db, plain("db", command(&["/srv/bin/db", "--dir", "/srv/data"], vec![("DATABASE_URI", uri)], None)));
    assert!(old.unwrap_err().starts_with("skipped: SSE is deprecated"));
    assert_eq!(local.unwrap_err(), "command names the variable CLAUDE_PLUGIN_ROOT, which is not set here");
    assert_eq!(keys.unwrap_err(), "args holds API_KEY: a secret belongs into env or headers, where it is sealed");
}

#[test]
fn the_file_of_cursor() {
    let read = entries(include_str!("../../../../tests/golden/mcp/cursor.json"));
    let [files, remote, workspace] = <[_; 3]>::try_from(read).unwrap();
    let env = vec![("A", text("own")), ("PORT", text("8080")), ("B", text("two words")), ("C", text(""))];
    let argv = ["python", "/home/ada/tools/server.py"];
    assert_eq!(files.unwrap(), plain("files", command(&argv, env, None)));
    assert_eq!(
        remote.unwrap(),
        plain("remote", http("http://localhost:3000/mcp", vec![("API_KEY", template("${KEY}"))]))
    );
    assert_eq!(workspace.unwrap_err(), "${workspaceFolder} is known to an editor alone: write what it stands for");
}

#[test]
fn the_file_of_windsurf() {
    let read = entries(include_str!("../../../../tests/golden/mcp/windsurf.json"));
    let [remote, off, by_file] = <[_; 3]>::try_from(read).unwrap();
    let headers = vec![("Authorization", template("Bearer ${AUTH_TOKEN}"))];
    assert_eq!(remote.unwrap(), plain("remote", http("https://mcp.example.com/mcp", headers)));
    let expected = Entry {
        is_active: false,
        approved: vec!["read_file".into(), "list".into()],
        notes: vec!["not taken over: disabledTools".into()],
        ..plain("off", command(&["uvx", "mcp-server-git"], vec![], None))
    };
    assert_eq!(off.unwrap(), expected);
    assert!(by_file.unwrap_err().starts_with("headers: X-Key: ${file:/run/key} is known to an editor alone"));
}

#[test]
fn the_file_of_gemini() {
    let read = entries(include_str!("../../../../tests/golden/mcp/gemini.json"));
    let [python, http_server, slow] = <[_; 3]>::try_from(read).unwrap();
    let env = vec![("DATABASE_URL", template("${DB_CONNECTION_STRING}")), ("API_KEY", template("${EXTERNAL_API_KEY}"))];
    let expected = Entry {
        slug: "pythontools".into(),
        timeout: Some(Duration::from_secs(15)),
        notes: vec!["called pythontools here".into(), "not taken over: trust, includeTools".into()],
        ..plain("pythonTools", command(&["python", "-m", "my_mcp_server"], env, Some("/here/./mcp-servers/python")))
    };
    assert_eq!(python.unwrap(), expected);
    let expected = Entry {
        timeout: Some(Duration::from_secs(5)),
        ..plain("http-server", http("http://localhost:3000/mcp", vec![]))
    };
    assert_eq!(http_server.unwrap(), expected);
    let slow = slow.unwrap();
    assert_eq!(
        (slow.timeout, &*slow.notes[0]),
        (Some(Duration::from_secs(600)), "a call may last 600 s here, not 900 s")
    );
}

#[test]
fn the_file_of_vs_code() {
    let mut file = read(include_str!("../../../../tests/golden/mcp/vscode.json"), Program::Other).unwrap();
    assert_eq!(file.names(), ["perplexity", "github", "folder", "again", "exposed", "unknown", "tier"]);
    let mut nobody = Fake::default();
    assert_eq!(
        why(file.entry("perplexity", &mut nobody)).unwrap_err(),
        "skipped: env: KEY: it asks for “perplexity-key”, and nobody can be asked here"
    );
    let answers = vec![("perplexity-key", "pplx-1"), ("folder", "/data"), ("tier", "gold")];
    let mut person = Fake { answers, ..Fake::default() };
    let mut entry = |name: &str| why(file.entry(name, &mut person));
    let way = command(&["npx", "-y", "server-perplexity-ask"], vec![("KEY", text("pplx-1"))], None);
    assert_eq!(entry("perplexity").unwrap(), plain("perplexity", way));
    assert_eq!(entry("github").unwrap(), plain("github", http("https://api.githubcopilot.com/mcp/", vec![])));
    assert_eq!(entry("folder").unwrap(), plain("folder", command(&["serve", "--dir=/data"], vec![], None)));
    assert_eq!(
        entry("again").unwrap(),
        plain("again", http("https://x.example.com", vec![("X-Key", template("pplx-1/${USER}"))]))
    );
    assert!(entry("exposed").unwrap_err().starts_with("args holds perplexity-key: a secret belongs"));
    assert_eq!(entry("unknown").unwrap_err(), "headers: X: “nobody” is not among its inputs");
    assert_eq!(entry("tier").unwrap_err(), "headers: X: “tier” must be one of free, pro");
    let asked: Vec<_> =
        person.asked.iter().map(|input| (&*input.id, input.is_secret, input.default.as_deref())).collect();
    assert_eq!(
        asked,
        [("perplexity-key", true, None), ("folder", false, Some("/var/x")), ("tier", false, None)],
        "each is asked for once"
    );
    assert_eq!(person.asked[0].description, "Perplexity API key");
}

#[test]
fn a_file_that_is_none_says_why() {
    for (text, why) in [
        ("", "it is not JSON"),
        ("{\"mcpServers\": [}", "it is not JSON"),
        ("[]", "it has neither `mcpServers` nor `servers`"),
        ("{\"mcpServers\": []}", "it has neither"),
    ] {
        assert!(read(text, Program::Other).unwrap_err().starts_with(why), "{text}");
    }
    assert_eq!(read("{\"servers\":{}}", Program::Other).unwrap().names(), Vec::<String>::new());
}

#[test]
fn an_entry_that_is_none_says_why() {
    for (entry, why) in [
        ("1", "it is no object"),
        ("{}", "it has neither a command nor a url"),
        (r#"{"type":"http","command":"x"}"#, "its type is http, and it has no url"),
        (r#"{"type":"stdio","url":"http://x"}"#, "its type is stdio, and it has no command"),
        (r#"{"type":"ws","url":"ws://x"}"#, "its type ws is not known: stdio and http are"),
        (r#"{"transport":"sse","url":"http://x"}"#, "skipped: SSE is deprecated"),
        (r#"{"command":["x"]}"#, "its command is no text"),
        (r#"{"command":"x","args":"y"}"#, "args must be a list"),
        (r#"{"command":"x","args":[[]]}"#, "args: each must be a text"),
        (r#"{"command":"x","env":{"A-B":"1"}}"#, "env: A-B cannot be the name of a variable"),
        (r#"{"command":"x","env":[]}"#, "env must be an object"),
        (r#"{"command":"x","env":{"A":{}}}"#, "env: A must be a text"),
        (r#"{"command":"x","envFile":"none"}"#, "cannot read none"),
        (r#"{"url":"http://x/${API_TOKEN}"}"#, "url holds API_TOKEN: a secret belongs"),
    ] {
        let told = one(entry).unwrap_err();
        assert!(told.starts_with(why), "{entry}: {told}");
    }
    for kind in ["streamable-http", "streamableHttp", "HTTP"] {
        let entry = json!({ "type": kind, "url": "http://x" });
        assert!(matches!(one(&entry.to_string()).unwrap().way, Way::Http { .. }), "{kind}");
    }
    // What is null is not there, and a number is its text.
    let sloppy =
        one(r#"{"command":"x","args":["-p",80],"env":{"N":null,"P":1,"T":true},"cwd":"${ROOT}","timeout":0}"#).unwrap();
    assert_eq!(
        sloppy,
        plain("one", command(&["x", "-p", "80"], vec![("P", text("1")), ("T", text("true"))], Some("/srv")))
    );
    assert!(File::of_one("日本", r#"{"url":"http://x"}"#).unwrap().entry("日本", &mut Fake::default()).is_err());
}

#[test]
fn a_time_out_is_in_its_programs_unit() {
    let (roo, claude) = (timeout::ROO_SECONDS_MAX, timeout::CLAUDE_MS_MIN);
    let (most, quick) = (timeout::CALL_SECONDS_MAX, u64::from(crate::tools::declare::TOOL_TIME_MS_MIN));
    let seconds = |n| Some(Duration::from_secs(n));
    let millis = |n| Some(Duration::from_millis(n));
    for (file, written, read) in [
        ("/x/cline_mcp_settings.json", 1, seconds(1)),
        ("/x/mcp_settings.json", most - 1, seconds(most - 1)),
        ("/x/.roo/mcp.json", most, seconds(most)),
        (".kilocode/mcp.json", most + 1, seconds(most)),
        (".roo/mcp.json", roo - 1, seconds(most)),
        (".roo/mcp.json", roo, seconds(most)),
        (".roo/mcp.json", roo + 1, millis(roo + 1)),
        (".mcp.json", claude - 1, None),
        (".mcp.json", claude, millis(claude)),
        ("/x/.claude.json", claude + 1, millis(claude + 1)),
        ("claude_desktop_config.json", 500, millis(500)),
        (".cursor/mcp.json", 500, millis(500)),
        (".vscode/mcp.json", 500, millis(500)),
        ("mcp_config.json", 500, millis(500)),
        (".gemini/settings.json", quick - 1, seconds(quick - 1)),
        (".gemini/settings.json", quick, millis(quick)),
        (".gemini/settings.json", quick + 1, millis(quick + 1)),
        ("-", 600_000, seconds(most)),
        ("-", 600_001, seconds(most)),
    ] {
        assert_eq!(Program::of(file.as_ref()).timeout(written).0, read, "{file}: {written}");
    }
    // An entry that was copied out of such a file.
    for own in ["autoApprove", "alwaysAllow"] {
        let entry = json!({ "url": "http://x", "timeout": 500, own: [] });
        let read = one(&entry.to_string()).unwrap();
        assert_eq!((read.timeout, &*read.notes[0]), (seconds(500), "timeout: 500 is read as seconds"));
    }
    assert_eq!(one(r#"{"url":"http://x","timeout":500}"#).unwrap().timeout, millis(500));
}

#[test]
fn a_file_of_variables_is_read_by_its_lines() {
    let read = read::variables("\u{feff}A=1\n#x\n export B = 'c d' \nE==\n").unwrap();
    assert_eq!(read, named(vec![("A", text("1")), ("B", text("c d")), ("E", text("="))]));
    for (wrong, line) in [("A=1\nB", 2), ("=1", 1), ("A-B=1", 1)] {
        assert_eq!(read::variables(wrong).unwrap_err(), format!("line {line} is not NAME=value"));
    }
}

#[test]
fn what_is_printed_reads_as_the_same_and_holds_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let sealer = Sealer::open(&folder.path().join("key")).unwrap();
    let new = named(vec![
        ("Authorization", NewSecret::Bearer("TOKEN".into())),
        ("X-Key", text("very-secret")),
        ("X-Long", text(&"s".repeat(VALUE_BYTES_MAX))),
    ]);
    let secrets = Secrets::keep(new, &sealer, "mcp/1").unwrap();
    let headers = [("X-Team".to_owned(), "red".to_owned())];
    let way = PrintedWay::Http { url: "https://x.example.com/mcp", headers: &headers };
    let server = Printed { slug: "my-x", way, secrets: &secrets, is_active: false, timeout_ms: Some(60_000) };
    let printed = print(&server);
    let expected = json!({ "mcpServers": { "my-x": {
        "type": "http", "url": "https://x.example.com/mcp",
        "headers": { "X-Team": "red", "Authorization": "Bearer ${TOKEN}", "X-Key": "${MY_X_X_KEY}", "X-Long": "${MY_X_X_LONG}" },
        "timeout": 60_000, "disabled": true,
    } } });
    assert_eq!(printed, expected);
    let again = &entries(&printed.to_string())[0];
    let again = again.as_ref().unwrap();
    assert_eq!((again.is_active, again.timeout, &again.notes), (false, Some(Duration::from_secs(60)), &vec![]));

    let new = named(vec![
        ("API_KEY", text("very-secret")),
        ("MIXED", template("a-${B}")),
        ("C", NewSecret::Variable("D".into())),
    ]);
    let secrets = Secrets::keep(new, &sealer, "mcp/2").unwrap();
    let args = ["-y".to_owned(), "server".to_owned()];
    let way = PrintedWay::Command { command: "npx", args: &args, cwd: Some("/srv") };
    let brief = super::print::TIMEOUT_MS_MIN - 1;
    let printed = print(&Printed { slug: "s", way, secrets: &secrets, is_active: true, timeout_ms: Some(brief) });
    let env = json!({ "API_KEY": "${API_KEY}", "MIXED": "${MIXED}", "C": "${D}" });
    assert_eq!(
        printed["mcpServers"]["s"],
        json!({ "type": "stdio", "command": "npx", "args": args, "env": env, "cwd": "/srv" })
    );
    for (timeout, is_printed) in
        [(super::print::TIMEOUT_MS_MIN, true), (super::print::TIMEOUT_MS_MIN + 1, true), (brief, false)]
    {
        let printed = print(&Printed { timeout_ms: Some(timeout), ..server });
        assert_eq!(printed["mcpServers"]["my-x"]["timeout"].is_u64(), is_printed, "{timeout}");
    }
}
