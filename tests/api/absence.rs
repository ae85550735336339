//! What must be nowhere.

use alm::{catalog::Catalog, model::upstream::Upstreams, outbound, seal::Sealer, store::Store};
use rusqlite::types::ValueRef;
use serde_json::json;

use crate::support::{
    fake_model::{Answer, FakeModel},
    harness::{App, ModelSpec, until, user},
};

/// Every text and blob of every table, and the files around them.
fn everything_stored(app: &App) -> Vec<u8> {
    let file = app.file();
    let mut names = file.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
    let tables: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut stored = Vec::new();
    for table in tables {
        let mut select = file.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
        let columns = select.column_count();
        let mut rows = select.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..columns {
                match row.get_ref(column).unwrap() {
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => stored.extend_from_slice(bytes),
                    _ => {}
                }
            }
        }
    }
    for entry in std::fs::read_dir(app.folder()).unwrap() {
        stored.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    stored
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    memchr::memmem::find(haystack, needle.as_bytes()).is_some()
}

#[test]
fn a_key_is_in_no_answer_no_log_line_and_no_table() {
    let app = App::start_with(&["--log-format", "json"], &[("RUST_LOG", "trace")]);
    let acme = app.org("acme");
    let key = acme.key();
    let model = FakeModel::start([Answer::text("It is a secret."), Answer::status(401)]);
    app.provider("acme", &model.base_url(), &[ModelSpec::FREE]);
    let asked = |id: &str| json!({ "id": id, "model": "up/free", "messages": [user("What is my key?")] });
    let mut answers = vec![acme.post("/chat", asked("chat-1")).text, acme.post("/chat", asked("chat-2")).text];
    for path in ["/agents", "/api-keys", "/providers", "/models", "/sessions/chat-1/messages", "/billing", "/nothing"] {
        answers.push(acme.get(path).text);
        answers.push(acme.get(&format!("{path}?secret=query-secret")).text);
        answers.push(app.anonymous().header("x-api-key", &format!("{key}x")).get(path).text);
    }
    let sent = model.asked();
    assert!(sent[0].headers.contains(&("authorization".into(), "Bearer sk-upstream".into())), "the model had its key");
    for answer in answers {
        assert!(!answer.contains(&key[9..]) && !answer.contains("-upstream"), "{answer}");
    }
    // Requests are logged at all.
    let (stored, logged) = (everything_stored(&app), app.says(r#""path":"/api/v1/agents""#));
    for secret in [&key[9..], "sk-upstream", "query-secret"] {
        assert!(!holds(&stored, secret), "{secret} is stored");
        assert!(!logged.contains(secret), "{secret} is logged");
    }
    assert!(!logged.contains("header-upstream"));
}

#[test]
fn a_browsers_secrets_are_in_no_answer_no_log_line_and_no_table() {
    let app = App::start_with(&["--log-format", "json"], &[("RUST_LOG", "trace")]);
    let code = until("the setup link", || {
        let output = app.output();
        Some(output.split_once("/setup#")?.1.split_once('"')?.0.to_owned())
    });
    let page = app.anonymous().on_a_page();
    let person = |password: &str| json!({ "email": "you@example.com", "password": password });
    let mut setup = person("first-password-of-mine");
    setup.as_object_mut().unwrap().extend([("code".into(), json!(code)), ("orgSlug".into(), json!("acme"))]);
    let made = page.post("/auth/setup", setup);
    made.ok(201);
    let browser = page.with_cookie_of(&made);
    let login = page.post("/auth/login", person("first-password-of-mine"));
    let mut secrets = vec![code.clone(), "first-password-of-mine".into(), "second-password-of-mine".into()];
    secrets.push("wrong-password-of-mine".into());
    for reply in [&made, &login] {
        let cookie = reply.header("set-cookie").unwrap().split(['=', ';']).nth(1).unwrap();
        assert_eq!(cookie.len(), 64);
        secrets.push(cookie.to_owned());
    }
    let change = json!({ "currentPassword": "first-password-of-mine", "newPassword": "second-password-of-mine" });
    let key = browser.post("/api-keys", json!({ "name": "x" })).ok(201)["key"].as_str().unwrap().to_owned();
    let provider = json!({ "slug": "far", "kind": "openai-compatible", "baseUrl": "https://h.example/v1", "apiKey": "sk-of-mine",
        "headers": { "x-token": "header-of-mine" } });
    let mut answers = vec![made.text, login.text, page.post("/auth/login", person("wrong-password-of-mine")).text];
    answers.push(browser.post("/providers", provider).text);
    answers.push(browser.post("/auth/step-up", json!({ "password": "wrong-password-of-mine" })).text);
    answers.push(browser.post("/auth/password", change).text);
    for path in ["/auth/me", "/auth/sessions", "/api-keys", "/providers", "/providers/far", "/org", "/agents"] {
        answers.push(browser.get(path).text);
    }
    secrets.extend([key[9..].to_owned(), "sk-of-mine".into(), "header-of-mine".into()]);
    // Requests are logged at all.
    let (stored, logged) = (everything_stored(&app), app.says(r#""path":"/api/v1/auth/login""#));
    // The link itself is printed, for whoever started the server.
    let logged = logged.replacen(&code, "", 1);
    for secret in &secrets {
        assert!(answers.iter().all(|answer| !answer.contains(secret)), "{secret} is answered");
        assert!(!logged.contains(secret), "{secret} is logged");
        // Extra headers are kept as they are: the document says so.
        assert!(!holds(&stored, secret) || secret == "header-of-mine", "{secret} is stored");
    }
}

#[test]
fn the_secrets_of_tools_and_servers_are_in_no_answer_no_log_line_and_no_table() {
    let app = App::start_with(&["--log-format", "json"], &[("RUST_LOG", "trace")]);
    let owner = app.browser("acme");
    let tool = json!({ "name": "far", "description": "Far.", "inputSchema": { "type": "object" }, "method": "POST",
        "url": "http://127.0.0.1:1/", "secretHeaders": { "authorization": { "value": "Bearer tool-of-mine" } } });
    let server = json!({ "slug": "far", "url": "http://127.0.0.1:1/mcp", "bearer": { "value": "server-of-mine" } });
    let moved = json!({ "url": "http://127.0.0.1:2/" });
    let mut answers = vec![owner.post("/tools", tool).text, owner.post("/mcp/servers", server).text];
    answers.extend(["/tools/far", "/mcp/servers/far"].map(|path| owner.patch(path, moved.clone()).text));
    let read = ["/tools", "/tools/far", "/mcp/servers", "/mcp/servers/far"];
    answers.extend(read.map(|path| app.org("acme").get(path).text));
    let exported = app.alm(&["export", "--org", &app.slug("acme")]).stdout;
    // Requests are logged at all.
    let (stored, logged) = (everything_stored(&app), app.says(r#""path":"/api/v1/tools""#));
    for secret in ["tool-of-mine", "server-of-mine"] {
        assert!(answers.iter().all(|answer| !answer.contains(secret)), "{secret} is answered");
        assert!(!exported.contains(secret) && !logged.contains(secret), "{secret} is exported or logged");
        assert!(!holds(&stored, secret), "{secret} is stored");
    }
}

#[test]
fn a_stolen_copy_of_the_file_opens_no_secret_and_signs_nobody_in() {
    let app = App::start(&[]);
    let browser = app.browser("acme");
    let provider = app.provider("acme", "https://h.example/v1", &[ModelSpec::FREE]);
    let stolen = tempfile::tempdir().unwrap();
    let copy = stolen.path().join(alm::store::file::FILE_NAME);
    app.file().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    let store = Store::open(stolen.path(), 1).unwrap();
    let sealer = Sealer::open(&stolen.path().join(alm::seal::FILE_NAME)).unwrap();
    let kept = store.org(&app.tenant("acme")).provider("up").unwrap();
    assert_eq!(kept.api_key_sealed, provider.api_key_sealed, "the copy has all there is to have");
    let upstreams = Upstreams::new(&outbound::Options::default()).unwrap();
    assert!(Catalog::new(store, sealer, Vec::new(), upstreams).endpoint(&kept).is_err());
    // What is kept of the cookie is no cookie.
    let hash: Vec<u8> = app.file().query_row("SELECT hash FROM sign_in", [], |row| row.get(0)).unwrap();
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let mark = Sealer::open(&app.folder().join(alm::seal::FILE_NAME)).unwrap().mark_of(app.folder());
    let cookie = alm::http::auth::cookie::name_of(mark);
    app.anonymous().header("cookie", &format!("{cookie}={hex}")).get("/agents").fails(401, "UNAUTHORIZED");
    browser.get("/agents").ok(200);
}
