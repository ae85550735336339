//! What is old goes for good; what was paid still adds up.

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    fake_model::FakeModel,
    harness::{App, user},
    index::check_index,
};

/// Long before anything a test does.
const LONG_AGO: i64 = 1_000_000_000_000;

/// `acme` with an old session of two answers, one of them superseded, a deleted one, and a new one.
fn acme(app: &App, model: &FakeModel) -> Client {
    let acme = app.org_asking("acme", model);
    app.deposit("acme", 1_000_000);
    acme.post("/agents", json!({ "name": "Old", "slug": "old", "systemPrompt": "Speak of foxgloves." })).ok(201);
    acme.post("/agents", json!({ "name": "Idle", "slug": "idle" })).ok(201);
    acme.post("/projects", json!({ "name": "Idle", "slug": "idle" })).ok(201);
    let ask =
        |id: &str, text: &str| json!({ "id": id, "model": "up/paid", "agentId": "old", "messages": [user(text)] });
    acme.chat(ask("old", "foxgloves"));
    acme.chat(json!({ "id": "old", "model": "up/paid", "trigger": "regenerate-message", "messages": [] }));
    acme.chat(ask("deleted", "marigolds"));
    acme.chat(ask("new", "snowdrops"));
    for session in ["old", "deleted", "new"] {
        app.tool_call("acme", session, "tool", "done");
        let grant = "INSERT INTO tool_grant (session, tool, fingerprint) SELECT seq, 'a', zeroblob(32) FROM session WHERE id = ?1";
        app.file().execute(grant, [session]).unwrap();
    }
    acme.delete("/sessions/deleted");
    for path in ["/agents/old", "/agents/idle", "/projects/idle"] {
        acme.delete(path);
    }
    let file = app.file();
    file.execute("UPDATE session SET updated_at = ?1 WHERE id = 'old'", [LONG_AGO]).unwrap();
    for table in ["session", "agent", "project"] {
        let sql = format!("UPDATE {table} SET deleted_at = ?1 WHERE deleted_at IS NOT NULL");
        file.execute(&sql, [LONG_AGO]).unwrap();
    }
    acme
}

fn number(app: &App, sql: &str) -> i64 {
    app.file().query_row(sql, [], |row| row.get(0)).unwrap()
}

fn figures(gone: &Value) -> [i64; 4] {
    ["sessions", "messages", "agents", "projects"].map(|name| gone[name].as_i64().unwrap())
}

#[test]
fn what_is_old_goes_beside_a_running_server_and_the_bill_stays() {
    let (app, model) = (App::start(&[]), FakeModel::saying("Hello."));
    let acme = acme(&app, &model);
    let bill = || {
        let mut entries = acme.get("/billing/transactions").ok(200);
        // The way to a session goes with the session.
        for entry in entries["items"].as_array_mut().unwrap() {
            entry["turn"].as_object_mut().map(|turn| turn.remove("sessionId"));
        }
        (acme.get("/billing").ok(200), entries, acme.get("/billing/usage").ok(200))
    };
    let before = bill();
    let would = app.alm(&["prune", "--older-than", "90d", "--dry-run", "--json"]).json();
    assert_eq!(number(&app, "SELECT count(*) FROM message"), 7, "so far nothing is gone");
    let gone = app.alm(&["prune", "--older-than", "90d", "--json"]).json();
    assert_eq!(figures(&gone), [2, 5, 2, 1]);
    assert_eq!(figures(&would), figures(&gone), "a dry run counts what goes");
    assert_eq!(bill(), before);
    acme.get("/sessions/old").fails(404, "NOT_FOUND");
    assert_eq!(acme.history("new").len(), 2);
    assert_eq!(number(&app, "SELECT count(*) FROM agent WHERE slug = 'idle'"), 0, "nothing names it");
    assert_eq!(
        number(&app, "SELECT count(*) FROM agent WHERE slug = 'old' AND system_prompt = ''"),
        1,
        "turns name it"
    );
    assert_eq!(number(&app, "SELECT count(*) FROM project"), 0);
    for table in ["tool_call", "tool_grant"] {
        let left = format!("SELECT count(*) FROM {table} t JOIN session s ON s.seq = t.session WHERE s.id = 'new'");
        assert_eq!(number(&app, &left), 1, "{table}");
        assert_eq!(number(&app, &format!("SELECT count(*) FROM {table}")), 1, "{table} goes with its messages");
    }
    check_index(&app.file());
    let ask = json!({ "id": "old", "messages": [user("again")] });
    acme.post("/chat", ask).fails(409, "CONFLICT");
    let again = app.alm(&["prune", "--older-than", "90d", "--json"]).json();
    assert_eq!(figures(&again), [0; 4], "what is gone goes once");
}

#[test]
fn only_the_named_organization_is_pruned() {
    let (app, model) = (App::start(&[]), FakeModel::saying("Hello."));
    acme(&app, &model);
    let globex = app.org("globex");
    globex.chat(json!({ "id": "c", "messages": [user("Hi")] }));
    app.file().execute("UPDATE session SET updated_at = ?1", [LONG_AGO]).unwrap();
    app.alm(&["prune", "--older-than", "90d", "--org", &app.slug("acme")]).ok();
    assert_eq!(globex.history("c").len(), 2);
    assert!(app.alm(&["prune", "--older-than", "90d", "--org", "nobody"]).fails(1).contains("organization"));
    app.alm(&["prune"]).fails(2);
}

#[test]
fn a_vacuum_makes_the_file_as_small_as_what_is_in_it() {
    let (app, model) = (App::start(&[]), FakeModel::saying(&"foxglove ".repeat(20_000)));
    acme(&app, &model);
    let gone = app.alm(&["prune", "--older-than", "90d", "--json"]).json();
    assert!(gone["freeBytes"].as_i64().unwrap() > 100_000, "{gone}");
    let pages = number(&app, "SELECT page_count FROM pragma_page_count");
    let gone = app.alm(&["prune", "--older-than", "90d", "--vacuum", "--json"]).json();
    assert_eq!(gone["freeBytes"], json!(0));
    assert!(number(&app, "SELECT page_count FROM pragma_page_count") < pages);
}
