//! What must be nowhere.

use rusqlite::types::ValueRef;
use serde_json::json;

use crate::{
    fake_model::{Answer, FakeModel},
    harness::{App, ModelSpec, user},
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
    let (stored, logged) = (everything_stored(&app), app.output());
    for secret in [&key[9..], "sk-upstream", "query-secret"] {
        assert!(!holds(&stored, secret), "{secret} is stored");
        assert!(!logged.contains(secret), "{secret} is logged");
    }
    assert!(!logged.contains("header-upstream"));
    assert!(logged.contains(r#""path":"/api/v1/agents""#), "requests are logged at all");
}
