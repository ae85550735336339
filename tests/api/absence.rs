//! What must be nowhere.

use rusqlite::{Connection, types::ValueRef};
use serde_json::json;

use crate::{
    harness::{Server, logs},
};

/// Every text and blob of every table, and the files around them.
fn everything_stored(app: &App) -> Vec<u8> {
    let file = Connection::open(app.folder.path().join(alm::store::FILE_NAME)).unwrap();
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
    for entry in std::fs::read_dir(app.folder.path()).unwrap() {
        stored.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    stored
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    memchr::memmem::find(haystack, needle.as_bytes()).is_some()
}

#[test]
fn a_key_is_in_no_answer_no_log_line_and_no_table() {
    let app = App::shared();
    let acme = app.org("acme");
    let key = acme.key.clone().unwrap();
    app.provider("acme", &nobody(), &[ModelSpec::FREE, ModelSpec::PAID]);
    let asked = json!({ "id": "chat-1", "messages": [{ "role": "user", "content": "What is my key?" }] });
    let mut answers = vec![acme.post("/chat", asked).text];
    for path in ["/agents", "/api-keys", "/providers", "/models", "/sessions/chat-1/messages", "/billing", "/nothing"] {
        answers.push(acme.get(path).text);
        answers.push(acme.get(&format!("{path}?secret=query-secret")).text);
        answers.push(app.anonymous().header("x-api-key", format!("{key}x")).get(path).text);
    }
    for answer in answers {
        assert!(!answer.contains(&key[9..]), "{answer}");
    }
    let (stored, logged) = (everything_stored(&app), logs());
    for secret in [&key[9..], "sk-very-secret", "query-secret"] {
        assert!(!holds(&stored, secret), "{secret} is stored");
        assert!(!logged.contains(secret), "{secret} is logged");
    }
    assert!(logged.contains(r#""path":"/api/v1/agents""#), "requests are logged at all");
}
