//! An organization on its way from one file to another: everything but its secrets, to the byte.

use std::fs;

use alm::tools::connect::Place;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    browser::PASSWORD,
    fake_model::{Answer, FakeModel, call, delta, finish, usage},
    harness::{App, Ran, alm, until, user},
    index::check_index,
    tools::new_tool,
};

fn word(text: &str) -> Value {
    delta(json!({ "content": text }))
}

/// `acme`, with some of everything: words of many scripts, edits, turns that ended in every way, money, private things,
/// deleted things; and `globex`, which is none of its business.
fn rich() -> App {
    let app = App::start(&[]);
    let tool =
        Answer::chunks([call(Some(0), Some("t"), Some("current_time"), "{}"), finish("tool_calls"), usage(3, 2)]);
    let waits = || Answer::empty().chunk(word("half ")).wait().chunk(finish("stop")).chunk(usage(10, 5));
    let model =
        FakeModel::start([Answer::text("ünï \u{1f642} \u{202e}\"\\\n"), tool, Answer::text("late"), waits(), waits()]);
    let acme = app.org_asking("acme", &model);
    app.deposit("acme", 1_000_000);
    let agent = json!({
        "name": "Zoë", "slug": "zoe", "systemPrompt": "Sei knapp.\n\u{0}", "settings": { "temperature": 0.1, "topP": 1e-7 },
        "allowedTools": ["current_time"],
    });
    acme.post("/agents", agent).ok(201);
    acme.post("/agents", json!({ "name": "Gone", "slug": "gone" })).ok(201);
    acme.delete("/agents/gone");
    app.member("acme")
        .post("/projects", json!({ "name": "P", "slug": "p", "emoji": "🦊", "visibility": "private" }))
        .ok(201);
    let ask =
        |id: &str, text: &str| json!({ "id": id, "model": "up/paid", "agentId": "zoe", "messages": [user(text)] });
    acme.chat(ask("words", "日本語 wörld"));
    acme.chat(ask("tools", "What time is it?"));
    acme.chat(json!({ "id": "tools", "trigger": "regenerate-message", "messages": [] , "model": "demo/ala"}));
    let mut stopped = acme.listen(ask("stopped", "Stop me"));
    stopped.until("text-delta");
    acme.post("/chat/stopped/stop", json!({})).ok(200);
    let mut interrupted = acme.listen(ask("interrupted", "Kill me"));
    interrupted.until("text-delta");
    until("a checkpoint", || app.file().query_row("SELECT n FROM turn_journal", [], |row| row.get::<_, i64>(0)).ok());
    let app = app.crash();
    let acme = app.org("acme");
    acme.post("/sessions", json!({ "label": "for the bin", "metadata": { "k": [1.5, null] } })).ok(201);
    let bin = acme.get("/sessions").ok(200)["items"][0]["id"].as_str().unwrap().to_owned();
    acme.delete(&format!("/sessions/{bin}"));
    with_tools(&app);
    let globex = app.org("globex");
    globex.chat(json!({ "id": "secret", "messages": [user("globex' own words")] }));
    app
}

/// Tools and servers with secrets and without, one of them a command, what a server told of, and a call.
fn with_tools(app: &App) {
    let owner = app.browser("acme");
    let url = "https://api.example.com/";
    let mut keyed = new_tool("keyed", url);
    keyed["secretHeaders"] = json!({ "x-key": { "value": "secret-of-a-tool" } });
    for tool in [new_tool("open", url), new_tool("gone", url), keyed] {
        owner.post("/tools", tool).ok(201);
    }
    owner.delete("/tools/gone").ok(200);
    let keyed = json!({ "slug": "keyed", "url": url, "bearer": { "value": "secret-of-a-server" } });
    owner.post("/mcp/servers", keyed).ok(201);
    let server = app.mcp_server("acme", "open", Place::Url(url.into()));
    app.mcp_tool(&server, "search", "Finds.");
    let command = Place::Command { command: "run-me".into(), args: vec!["-y".into()], cwd: None };
    let command = app.mcp_server("acme", "command", command);
    app.mcp_tool(&command, "read", "Reads.");
    app.tool_call("acme", "tools", "open", "waiting");
    app.tool_call("acme", "tools", "open", "done");
    let grant = "INSERT INTO tool_grant (session, tool, fingerprint) SELECT seq, 'open', zeroblob(32) FROM session WHERE id = 'tools'";
    app.file().execute(grant, []).unwrap();
}

/// The binary on a folder.
fn on(folder: &TempDir, arguments: &[&str]) -> Ran {
    Ran::of(alm(arguments).env("ALM_DATA_DIR", folder.path()))
}

fn exported(app: &App, org: &str) -> String {
    let ran = app.alm(&["export", "--org", org]);
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.stdout
}

/// The text as a file beside that folder's.
fn written(folder: &TempDir, text: &str) -> String {
    let path = folder.path().join("export.jsonl");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn what_is_exported_and_imported_is_exported_the_same_to_the_byte() {
    let app = rich();
    let slug = app.slug("acme");
    let lines = exported(&app, &slug);
    for table in [
        "user",
        "org",
        "member",
        "agent",
        "project",
        "provider",
        "provider_model",
        "tool",
        "mcp_server",
        "mcp_tool",
        "session",
        "turn",
        "message",
        "tool_call",
    ] {
        assert!(lines.contains(&format!("\n{{\"{table}\":")), "no {table}");
    }
    for status in ["complete", "stopped", "interrupted"] {
        assert!(lines.lines().any(|line| line.starts_with("{\"turn\"") && line.contains(status)), "no turn {status}");
    }
    assert!(lines.lines().any(|line| line.starts_with("{\"message\"") && !line.contains("\"superseded_by\":null")));
    let folder = TempDir::new().unwrap();
    let imported = on(&folder, &["import", &written(&folder, &lines), "--json"]).json();
    assert_eq!(imported["slug"], json!(slug));
    let again = on(&folder, &["export", "--org", &slug]).stdout;
    assert!(again == lines, "{}", again.lines().zip(lines.lines()).find(|(a, b)| a != b).map_or("", |(a, _)| a));
    println!("proof: transfer.rows {}", lines.lines().count() - 2);
    let sum = |file: &rusqlite::Connection| -> (i64, i64) {
        let select = "SELECT balance, held FROM org WHERE slug = ?1";
        file.query_row(select, [&slug], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    let file = rusqlite::Connection::open(folder.path().join(alm::store::file::FILE_NAME)).unwrap();
    assert_eq!(sum(&file), sum(&app.file()), "the money came along");
    check_index(&file);
}

#[test]
fn an_export_holds_no_secret_and_nothing_of_another_organization() {
    let app = rich();
    let lines = exported(&app, &app.slug("acme"));
    for foreign in [
        "globex",
        "argon2",
        "alm_live",
        "sk-upstream",
        "header-upstream",
        "password_hash",
        "sealed",
        "run-me",
        "of-a-tool",
        "of-a-server",
        "command",
    ] {
        assert!(!lines.contains(foreign), "{foreign}");
    }
    let said = app.alm(&["export", "--org", &app.slug("acme")]).stderr;
    assert!(
        said.contains("3 API keys") && said.contains("of 1 provider, secrets of 1 HTTP tool and 1 MCP server"),
        "{said}"
    );
    assert!(said.contains("1 MCP command"), "{said}");
}

#[test]
fn an_imported_organization_works_under_the_name_it_was_given() {
    let (app, other) = (rich(), App::start(&[]));
    // The owner is there already, as somebody of another id.
    let email = format!("owner@{}.example", app.slug("acme"));
    other.store().create_org("theirs", &email, None).unwrap();
    let path = app.folder().join("acme.jsonl");
    let path = path.to_str().unwrap();
    app.alm(&["export", "--org", &app.slug("acme"), path]).ok();
    assert!(app.alm(&["export", "--org", &app.slug("acme"), path]).fails(1).contains("exists"));
    assert!(app.alm(&["import", path]).fails(1).contains("exists"), "its slug is taken");
    assert!(app.alm(&["import", path, "--slug", "second"]).fails(1).contains("exists"), "it is its own copy");
    assert!(other.alm(&["import", path, "--slug", "api"]).fails(1).contains("reserved"), "the server's own path");
    let password = other.folder().join("password");
    fs::write(&password, PASSWORD).unwrap();
    let password = password.to_str().unwrap();
    other.alm(&["import", path, "--slug", "moved", "--password-file", password]).ok();
    other.anonymous().sign_in(&email, PASSWORD);
    let owner = |slug: &str| other.store().org_by_slug(slug).unwrap().owner_id;
    assert_eq!(owner("moved"), owner("theirs"), "whoever is there stays who they are");
    let key = other.alm(&["keys", "create", "--org", "moved", "--name", "first"]).ok().to_owned();
    let moved = crate::support::client::Client::new(other.url(), Some(key));
    assert_eq!(moved.history("tools").len(), 2);
    let found = moved.get("/sessions?q=w%C3%B6rld").ok(200);
    assert_eq!(found["items"].as_array().unwrap().len(), 1, "{found}");
    moved.chat(json!({ "id": "tools", "model": "demo/ala", "messages": [user("and now?")] }));
    assert_eq!(moved.history("tools").len(), 4);
}

#[test]
fn tools_and_servers_travel_without_their_secrets_and_nobody_vouches_for_them() {
    let (app, other) = (rich(), App::start(&[]));
    let path = app.folder().join("acme.jsonl");
    let path = path.to_str().unwrap();
    assert_eq!(app.alm(&["export", "--org", &app.slug("acme"), path]).code, 0);
    other.alm(&["import", path, "--slug", "moved"]).ok();
    let key = other.alm(&["keys", "create", "--org", "moved", "--name", "first"]).ok().to_owned();
    let moved = crate::support::client::Client::new(other.url(), Some(key));
    let tools = moved.get("/tools?origin=http").ok(200);
    let shown = |item: &Value| format!("{} {} {}", item["name"], item["state"], item["addedBy"]);
    let items = |data: &Value| data["items"].as_array().unwrap().iter().map(shown).collect::<Vec<_>>();
    assert_eq!(items(&tools), [r#""keyed" "off" "api""#, r#""open" "ready" "api""#]);
    assert_eq!(tools["items"][0]["secretHeaders"], json!([]));
    let servers = moved.get("/mcp/servers").ok(200);
    assert_eq!(items(&servers).len(), 2, "a command stays behind");
    assert!(items(&servers)[0].starts_with(r#""keyed" "off""#) && !items(&servers)[1].contains("off"));
    let search = moved.get("/tools/open__search").ok(200);
    assert_eq!((&search["changed"], &search["fault"]), (&json!(false), &json!(null)), "what was accepted stays so");
    let calls = moved.get("/tool-calls").ok(200);
    let statuses = crate::support::harness::column(&calls, "status");
    // What the built-in model called in its replies comes after them.
    assert_eq!(statuses, ["done", "waiting", "done", "done"]);
    let granted = other.file().query_row("SELECT count(*) FROM tool_grant", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(granted, 0, "who may run what unasked is said there");
}

#[test]
fn a_turn_that_runs_travels_with_what_it_has_said_and_is_ended_where_it_arrives() {
    let waits = Answer::empty().chunk(word("half ")).wait().chunk(finish("stop")).chunk(usage(10, 5));
    let (app, model) = (App::start(&[]), FakeModel::start([waits]));
    let acme = app.org_asking("acme", &model);
    app.deposit("acme", 1_000_000);
    let mut listening = acme.listen(json!({ "id": "c", "model": "up/paid", "messages": [user("Hi")] }));
    listening.until("text-delta");
    until("a checkpoint", || app.file().query_row("SELECT n FROM turn_journal", [], |row| row.get::<_, i64>(0)).ok());
    let lines = exported(&app, &app.slug("acme"));
    model.go();
    listening.rest();
    let other = App::start(&[]);
    let path = other.folder().join("acme.jsonl");
    fs::write(&path, lines).unwrap();
    other.alm(&["import", path.to_str().unwrap(), "--slug", "moved"]).ok();
    let other = other.crash();
    let key = other.alm(&["keys", "create", "--org", "moved", "--name", "first"]).ok().to_owned();
    let moved = crate::support::client::Client::new(other.url(), Some(key));
    assert_eq!(moved.messages("c")[1]["status"], json!("interrupted"));
    assert_eq!(moved.history("c")[1].1, "half ");
    assert_eq!(moved.get("/billing").ok(200)["heldMicrocents"], json!(0));
}

#[test]
fn what_a_file_holds_is_held_to_the_rules_of_what_is_made_here() {
    let app = rich();
    let lines = exported(&app, &app.slug("acme"));
    assert!(!lines.contains("api_key_env"), "the name of a secret is for whoever has the machine to choose");
    let with = |start: &str, old: &str, new: &str| {
        let changed = lines.lines().map(|line| {
            let line = if line.starts_with(start) { line.replacen(old, new, 1) } else { line.to_owned() };
            line + "\n"
        });
        let changed: String = changed.collect();
        assert_ne!(changed, lines, "{old}");
        changed
    };
    let url = lines.split("\"base_url\":\"").nth(1).unwrap().split('"').next().unwrap();
    for (text, said) in [
        (with("{\"provider\"", url, "ftp://evil.example/v1"), "the provider up: baseUrl"),
        (with("{\"provider\"", url, "http://u:p@evil.example/v1"), "the provider up: baseUrl"),
        (with("{\"provider\"", url, "http://169.254.169.254/v1?key=x"), "the provider up: baseUrl"),
        (with("{\"provider\"", "\"slug\":\"up\"", "\"slug\":\"demo\""), "the built-in provider"),
        (with("{\"provider\"", "\"slug\":\"up\"", "\"slug\":\"A b\""), "provider.slug: "),
        (with("{\"provider_model\"", "\"name\":\"free\"", "\"name\":\"\""), "the provider up: models[0].id"),
        (with("{\"provider_model\"", "\"input_price\":null", "\"input_price\":\"-1\""), "provider_model.input_price: "),
        (with("{\"provider_model\"", "\"context_window\":null", "\"context_window\":-1"), "no number of tokens"),
        (with("{\"provider_model\"", "\"context_window\":null", "\"context_window\":4294967296"), "no number of"),
        (with("{\"agent\"", "\"slug\":\"ala\"", "\"slug\":\"--\""), "agent.slug: "),
        (with("{\"user\"", "@", " "), "user.email: "),
        (with("{\"session\"", "\"id\":\"", "\"id\":\"a b"), "session.id: "),
        (with("{\"tool\"", "https://api.example.com/", "file:///etc/passwd"), "the tool keyed: url"),
        (with("{\"tool\"", "\"method\":\"POST\"", "\"method\":\"TRACE\""), "the tool keyed: method"),
        (with("{\"tool\"", "\"name\":\"open\"", "\"name\":\"current_time\""), "the tool current_time: name"),
        (with("{\"tool\"", "\"headers\":\"{}\"", "\"headers\":\"{\\\"host\\\":\\\"h\\\"}\""), ": headers.host"),
        (with("{\"mcp_server\"", "\"transport\":\"http\"", "\"transport\":\"stdio\""), "mcp_server does not fit"),
        (with("{\"mcp_server\"", "\"transport\"", "\"command\":\"sh\",\"transport\""), "mcp_server has no command"),
        (with("{\"mcp_server\"", "\"transport\"", "\"added_by\":\"operator\",\"transport\""), "has no added_by"),
        (with("{\"mcp_tool\"", "open__search", "current_time"), "the MCP server open: tools"),
        (with("{\"mcp_tool\"", "\"fingerprint\":\"", "\"fingerprint\":\"x"), "mcp_tool.fingerprint is no hash"),
    ] {
        let folder = TempDir::new().unwrap();
        let ran = on(&folder, &["import", &written(&folder, &text)]);
        assert!(ran.fails(1).contains(said), "{said}: {}", ran.stderr);
        assert_eq!(on(&folder, &["org", "list", "--json"]).json(), json!([]));
    }
    // As it was exported once, and as an editor saves it.
    let named = with("{\"provider\"", "\"base_url\"", "\"api_key_env\":\"AWS_SECRET_ACCESS_KEY\",\"base_url\"");
    let named = named.replace("\"paid_elsewhere\":0,", "").replace(",\"system_anywhere\":null", "");
    assert!(!named.contains("elsewhere") && !named.contains("anywhere"), "columns of later");
    let folder = TempDir::new().unwrap();
    on(&folder, &["import", &written(&folder, &format!("\u{feff}{}", named.replace('\n', "\r\n")))]).ok();
    let listed = on(&folder, &["providers", "list", "--org", &app.slug("acme"), "--json"]).json();
    assert_eq!((&listed[0]["slug"], &listed[0]["key"]), (&json!("up"), &json!("none")));
}

#[test]
fn a_bad_file_is_refused_by_its_line_and_leaves_nothing() {
    let app = rich();
    let lines = exported(&app, &app.slug("acme"));
    let line_of = |start: &str| lines.lines().position(|line| line.starts_with(start)).unwrap();
    let with = |at: usize, line: &str| {
        let mut all: Vec<_> = lines.lines().collect();
        all[at] = line;
        all.join("\n") + "\n"
    };
    let message = line_of("{\"message\"");
    let orphan = lines.lines().nth(message).unwrap().replace("\"session\":\"", "\"session\":\"no ");
    let longer = lines.lines().nth(message).unwrap().replace("\"role\":", "\"rank\":1,\"role\":");
    let folder = TempDir::new().unwrap();
    for (text, said) in [
        (String::new(), "line 1: "),
        (with(0, "{\"alm-export\":{\"version\":99}}"), "line 1: this is not an export of format 1"),
        (with(message, "{"), &*format!("line {}: ", message + 1)),
        (with(message, &orphan), &*format!("line {}: message.session refers", message + 1)),
        (with(message, &longer), &*format!("line {}: message has no rank", message + 1)),
        (with(message, "{\"api_key\":{}}"), &*format!("line {}: no table api_key", message + 1)),
        (with(line_of("{\"org\""), "{\"end\":{\"rows\":2}}"), "no line held an organization"),
        (lines.lines().take(message).map(|line| line.to_owned() + "\n").collect(), "is cut off here"),
        (with(lines.lines().count() - 1, "{\"end\":{\"rows\":1}}"), "rows came"),
    ] {
        let ran = on(&folder, &["import", &written(&folder, &text)]);
        assert!(ran.fails(1).contains(said), "{said}: {}", ran.stderr);
    }
    let file = rusqlite::Connection::open(folder.path().join(alm::store::file::FILE_NAME)).unwrap();
    let left = "SELECT (SELECT count(*) FROM org) + (SELECT count(*) FROM user) + (SELECT count(*) FROM message)";
    assert_eq!(file.query_row(left, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
}
