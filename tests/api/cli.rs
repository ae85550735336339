//! The command line, as an operator types it: beside a running server, with exit codes and JSON that programs can trust.

use std::{fs, process::Stdio};

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    fake_model::{Answer, FakeModel, nobody},
    harness::{App, Ran, alm, column, until, user},
};

/// A key that the command line made.
fn with_key(app: &App, key: &str) -> Client {
    Client::new(app.url(), Some(key.to_owned()))
}

/// A file in the data folder with that text.
fn file(app: &App, name: &str, text: &str) -> String {
    let path = app.folder().join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn an_organization_is_made_listed_and_used_beside_a_running_server() {
    let app = App::start(&[]);
    let password = file(&app, "password", "correct horse battery staple\n");
    let create = ["org", "create", "acme", "--owner", "ada@example.com", "--password-file", &password];
    let made = app.alm(&[&create[..], &["--json"]].concat()).json();
    assert_eq!((&made["slug"], &made["owner"]), (&json!("acme"), &json!("ada@example.com")));
    assert!(app.alm(&create).fails(1).contains("acme"), "twice is once too often");
    let listed = app.alm(&["org", "list", "--json"]).json();
    assert_eq!((&listed[0]["id"], &listed[0]["balanceMicrocents"]), (&made["id"], &json!(0)));
    assert!(app.alm(&["org", "list"]).ok().contains("ada@example.com"));
    let key = app.alm(&["keys", "create", "--org", "acme", "--name", "first"]).ok().to_owned();
    let owner = with_key(&app, &key);
    assert_eq!(owner.get("/agents").ok(200)["items"][0]["orgId"], made["id"]);
    let default = ["org", "set", "acme", "--default-model", "demo/ala", "--json"];
    assert_eq!(app.alm(&default).json()["defaultModel"], json!("demo/ala"));
    assert!(app.alm(&["org", "set", "acme", "--default-model", "no/such"]).fails(1).contains("no/such"));
    assert!(app.alm(&["org", "set", "nobody", "--default-model", "demo/ala"]).fails(1).contains("organization"));
}

#[test]
fn the_commonest_clients_are_shown_ready_to_copy() {
    let app = App::start(&[]);
    let listed = app.alm(&["clients", "--url", "https://alm.example", "--agent", "ada", "--json"]).json();
    let slugs: Vec<_> = listed.as_array().unwrap().iter().map(|client| client["slug"].as_str().unwrap()).collect();
    assert_eq!(slugs, ["python", "node", "ai-sdk", "codex", "claude-code"]);
    let all = app.alm(&["clients", "--base-url", "https://alm.example/v1", "--agent", "ada"]);
    let one = app.alm(&["clients", "codex", "--url", "https://alm.example", "--agent", "ada"]);
    assert!(one.ok().contains("base_url = \"https://alm.example/v1\"") && all.ok().contains(one.ok().trim()));
    assert!(app.alm(&["clients", "nobody"]).fails(1).contains("python, node, ai-sdk, codex, claude-code"));
}

#[test]
fn an_organization_needs_a_slug_an_address_and_a_password() {
    let app = App::start(&[]);
    let (password, empty) = (file(&app, "password", "long enough\n"), file(&app, "empty", "\n"));
    let create = |slug: &str, owner: &str, file: &str| {
        app.alm(&["org", "create", slug, "--owner", owner, "--password-file", file]).fails(1).to_owned()
    };
    for slug in ["", "A b", "a--b", "ä"] {
        assert!(create(slug, "a@example.com", &password).contains("slug"), "{slug}");
    }
    for owner in ["ada", "@example.com", "a@", "a b@example.com"] {
        assert!(create("acme", owner, &password).contains("--owner"), "{owner}");
    }
    assert!(create("acme", "a@example.com", &empty).contains("empty"));
    assert!(create("acme", "a@example.com", "/nowhere/at/all").contains("/nowhere/at/all"));
    app.alm(&["org", "create", "acme", "--owner", "a@example.com"]).fails(2);
    assert_eq!(app.alm(&["org", "list", "--json"]).json(), json!([]));
}

#[test]
fn a_key_works_as_soon_as_it_is_made_and_no_longer_than_it_is_revoked() {
    let app = App::start(&["--org", "acme"]);
    let create = ["keys", "create", "--org", "acme", "--name", "ci", "--json"];
    let made = app.alm(&create).json();
    let client = with_key(&app, made["key"].as_str().unwrap());
    client.get("/agents").ok(200);
    let listed = app.alm(&["keys", "list", "--org", "acme", "--json"]);
    assert!(!listed.stdout.contains(client.key()), "a key is shown once");
    assert_eq!((&listed.json()[0]["id"], &listed.json()[0]["name"]), (&made["id"], &json!("ci")));
    assert!(app.alm(&["keys", "list", "--org", "acme"]).ok().contains(&client.key()[..12]));
    let revoke = ["keys", "revoke", "--org", "acme", made["id"].as_str().unwrap()];
    app.alm(&revoke).ok();
    client.get("/agents").fails(401, "UNAUTHORIZED");
    assert!(app.alm(&revoke).fails(1).contains("revoked"));
    assert!(app.alm(&["keys", "revoke", "--org", "acme", "nobody"]).fails(1).contains("API key"));
    assert_eq!(app.alm(&["keys", "list", "--org", "acme", "--json"]).json(), json!([]));
    let by_prefix = app.alm(&create).json()["key"].as_str().unwrap().to_owned();
    app.alm(&["keys", "revoke", "--org", "acme", &by_prefix[..12]]).ok();
    with_key(&app, &by_prefix).get("/agents").fails(401, "UNAUTHORIZED");
}

#[test]
fn a_key_has_the_kind_the_scopes_and_the_life_it_was_made_with() {
    let app = App::start(&["--org", "acme"]);
    let create = |flags: &[&str]| app.alm(&[&["keys", "create", "--org", "acme", "--name", "x"], flags].concat());
    let reader = create(&["--env", "test", "--scopes", "read", "--expires", "90d"]).ok().to_owned();
    assert!(reader.starts_with("alm_test_") && reader.len() == "alm_test_".len() + 48, "{reader}");
    let reader = with_key(&app, &reader);
    let seen = reader.get("/api-keys").ok(200)["items"][0].clone();
    assert_eq!((&seen["env"], &seen["scopes"]), (&json!("test"), &json!(["read"])));
    assert!(seen["expiresAt"].as_str().unwrap() > seen["createdAt"].as_str().unwrap());
    reader.post("/agents", json!({ "name": "x" })).fails(403, "FORBIDDEN");
    let brief = with_key(&app, create(&["--expires", "1ms"]).ok());
    until("the key to expire", || (brief.get("/agents").status == 401).then_some(()));
    assert!(create(&["--env", "prod"]).fails(1).contains("--env"));
    assert!(create(&["--scopes", "fly"]).fails(1).contains("scopes"));
    assert!(app.alm(&["keys", "create", "--org", "acme", "--name", ""]).fails(1).contains("--name"));
    create(&["--expires", "soon"]).fails(2);
    assert!(app.alm(&["keys", "create", "--org", "nobody", "--name", "x"]).fails(1).contains("organization"));
}

#[test]
fn a_provider_is_connected_tested_asked_and_forgotten() {
    let app = App::start(&["--org", "acme"]);
    let list = json!({ "data": [{ "id": "small" }, { "id": "large" }] }).to_string();
    let model = FakeModel::start([
        Answer::empty().raw(list.clone()),
        Answer::empty().raw(list),
        Answer::text("Hello."),
        Answer::text("Hello you."),
    ]);
    let secret = file(&app, "secret", "sk-very-secret\n");
    let add = ["providers", "add", "--org", "acme", "--slug", "near", "--base-url", &model.base_url()];
    let models = ["--model", "small", "--price", "0.15/0.60", "--context", "8192", "--model", "large"];
    let added = app.alm(&[&add[..], &models, &["--api-key-file", &secret, "--json"]].concat()).json();
    assert_eq!(added["models"], json!(["near/small", "near/large"]));
    let listed = app.alm(&["providers", "list", "--org", "acme", "--json"]);
    assert!(!listed.stdout.contains("secret"));
    assert_eq!((&listed.json()[0]["slug"], &listed.json()[0]["key"]), (&json!("near"), &json!("sealed")));
    assert!(app.alm(&["providers", "list", "--org", "acme"]).ok().contains("near"));
    let tested = app.alm(&["providers", "test", "near", "--org", "acme", "--json"]).json();
    assert_eq!((&tested["models"], &tested["tested"]), (&json!(["small", "large"]), &json!("large")));
    assert!(["listMs", "firstTokenMs", "replyMs"].iter().all(|key| tested[key].is_u64()), "{tested}");
    let known = app.alm(&["models", "--org", "acme", "--json"]).json();
    let ids: Vec<_> = known.as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["demo/ala", "near/large", "near/small"]);
    assert_eq!(known[2]["pricing"], json!({ "inputPerMillion": "0.15", "outputPerMillion": "0.6" }));
    assert_eq!((&known[2]["contextWindow"], &known[1]["isFree"]), (&json!(8192), &json!(true)));
    assert!(app.alm(&["models", "--org", "acme"]).ok().contains("near/small"));
    let away = ["providers", "add", "--org", "acme", "--base-url", "https://models.example.com/v1", "--model", "m"];
    app.alm(&[&away[..], &["--slug", "unsaid"]].concat()).ok();
    app.alm(&[&away[..], &["--slug", "elsewhere", "--paid-elsewhere"]].concat()).ok();
    let listed = app.alm(&["models", "--org", "acme"]);
    let priced = listed.ok();
    let says = |id: &str, price: &str| priced.lines().any(|line| line.starts_with(id) && line.contains(price));
    assert!(says("demo/ala", " local ") && says("near/large", " local ") && says("near/small", "0.15/0.6"), "{priced}");
    assert!(says("unsaid/m", "no price set") && says("elsewhere/m", "paid elsewhere"), "{priced}");
    for slug in ["unsaid", "elsewhere"] {
        app.alm(&["providers", "remove", slug, "--org", "acme"]).ok();
    }
    let owner = with_key(&app, app.alm(&["keys", "create", "--org", "acme", "--name", "x"]).ok());
    assert_eq!(owner.ask("near/large", "Hi").text(), "Hello you.");
    assert!(model.asked()[2].headers.contains(&("authorization".into(), "Bearer sk-very-secret".into())));
    app.alm(&["providers", "remove", "near", "--org", "acme"]).ok();
    assert_eq!(column(&owner.get("/models").ok(200), "id"), ["demo/ala"]);
    assert!(app.alm(&["providers", "remove", "near", "--org", "acme"]).fails(1).contains("provider"));
}

#[test]
fn a_provider_that_cannot_be_is_refused_by_its_flag_and_one_that_is_away_by_its_place() {
    let app = App::start(&["--org", "acme"]);
    let add = |slug: &str, url: &str, more: &[&str]| {
        let flags = ["providers", "add", "--org", "acme", "--slug", slug, "--base-url", url, "--model", "m"];
        app.alm(&[&flags[..], more].concat())
    };
    for (ran, word) in [
        (add("A b", "http://127.0.0.1/v1", &[]), "--slug"),
        (add("demo", "http://127.0.0.1/v1", &[]), "--slug"),
        (add("x", "ftp://127.0.0.1/v1", &[]), "--base-url"),
        (add("x", "http://127.0.0.1/v1", &["--price", "cheap"]), "--price"),
        (add("x", "http://127.0.0.1/v1", &["--price=-1/2"]), "--price"),
        (add("x", "http://127.0.0.1/v1", &["--price", "1/2", "--price", "1/2"]), "--price"),
    ] {
        assert!(ran.code != 0 && ran.stdout.is_empty() && ran.stderr.contains(word), "{ran:?}");
    }
    assert_eq!(app.alm(&["providers", "list", "--org", "acme", "--json"]).json(), json!([]));
    let place = nobody();
    add("away", &place, &[]).ok();
    add("away", &place, &[]).fails(1);
    assert!(
        app.alm(&["providers", "test", "away", "--org", "acme"])
            .fails(1)
            .contains("cannot connect to the provider away")
    );
    assert!(app.alm(&["providers", "test", "nobody", "--org", "acme"]).fails(1).contains("provider"));
}

#[test]
fn a_deposit_is_exact_and_seen_at_once() {
    let app = App::start(&["--org", "acme"]);
    let owner = with_key(&app, app.alm(&["keys", "create", "--org", "acme", "--name", "x"]).ok());
    let deposit = |usd: &str, more: &[&str]| {
        app.alm(&[&["deposit", "--org", "acme", "--note", "top-up", &format!("--usd={usd}")], more].concat())
    };
    let told = deposit("10.000001", &["--json"]).json();
    assert_eq!(told, json!({ "depositedMicrocents": 10_000_001, "balanceMicrocents": 10_000_001 }));
    assert!(deposit("0.10", &[]).ok().contains("10.10"));
    assert_eq!(owner.get("/billing").ok(200)["balanceMicrocents"], json!(10_100_001));
    assert_eq!(column(&owner.get("/billing/transactions").ok(200), "note"), ["top-up", "top-up"]);
    for usd in ["0", "-1", "x", "1e3", "0.0000001", "1000001", ""] {
        deposit(usd, &[]).fails(1);
    }
    assert_eq!(owner.get("/billing").ok(200)["balanceMicrocents"], json!(10_100_001));
}

#[test]
fn a_probe_tells_a_ready_server_from_none() {
    let app = App::shared();
    app.alm(&["health", "--url", app.url()]).ok();
    assert_eq!(app.alm(&["health"]).ok(), format!("{} is ready", app.url()), "the folder says where it is");
    assert_eq!(app.alm(&["health", "--url", app.url(), "--json"]).json(), json!({ "ready": true }));
    let away = nobody().trim_end_matches("/v1").to_owned();
    assert!(app.alm(&["health", "--url", &away]).fails(1).contains(&away));
}

#[test]
fn the_document_is_printed_or_written() {
    let app = App::shared();
    let printed = app.alm(&["openapi"]);
    assert_eq!(serde_json::from_str::<Value>(printed.ok()).unwrap()["openapi"], json!("3.0.0"));
    let path = app.folder().join(format!("{}.json", app.slug("openapi")));
    app.alm(&["openapi", "--output", path.to_str().unwrap()]).ok();
    assert_eq!(fs::read_to_string(path).unwrap(), printed.stdout);
}

#[test]
fn a_folder_has_one_server() {
    let app = App::shared();
    let second = app.alm(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(second.fails(3).contains("uses this folder"), "{second:?}");
    app.org("acme").get("/agents").ok(200);
}

#[test]
fn a_server_that_is_asked_to_end_ends_well_and_its_folder_serves_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut keys = Vec::new();
    for _start in 0..2 {
        let mut serve = alm(&["serve", "--listen", "127.0.0.1:0", "--org", "acme"]);
        let mut server =
            serve.env("ALM_DATA_DIR", folder.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(server.stdout.take().unwrap()), &mut line).unwrap();
        let url = line.trim().rsplit(' ').next().unwrap().to_owned();
        let create = ["keys", "create", "--org", "acme", "--name", "x"];
        keys.push(Ran::of(alm(&create).env("ALM_DATA_DIR", folder.path())).ok().to_owned());
        for key in &keys {
            Client::new(&url, Some(key.clone())).chat(json!({ "messages": [user("Hi")] }));
        }
        let term = std::process::Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap();
        assert!(term.success());
        assert!(server.wait().unwrap().success());
    }
    let sessions = rusqlite::Connection::open(folder.path().join("alm.db")).unwrap();
    let count = |sql: &str| sessions.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM session"), 3);
    assert_eq!(count("SELECT count(*) FROM turn WHERE status = 'complete'"), 3);
}

#[test]
fn what_is_typed_wrongly_is_two_and_what_is_asked_for_is_zero() {
    for wrong in [&["fly"][..], &["serve", "--fly"], &["org", "create"], &["serve", "--chat-rate", "0"], &[]] {
        Ran::of(&mut alm(wrong)).fails(2);
    }
    for help in [&["--help"][..], &["--version"], &["serve", "--help"]] {
        assert!(!Ran::of(&mut alm(help)).ok().is_empty());
    }
    let nowhere = Ran::of(&mut alm(&["org", "list", "--data-dir", "/proc/nowhere"]));
    assert!(nowhere.fails(1).contains("/proc/nowhere"), "a place that cannot be is named");
}

#[test]
fn the_operator_gives_a_person_a_new_password_and_their_browsers_sign_in_again() {
    let app = App::start(&[]);
    let browser = app.browser("acme");
    let email = app.email("acme");
    let new = file(&app, "new", "another password\n");
    let told = app.alm(&["org", "password", &email, "--password-file", &new, "--json"]).json();
    assert_eq!(told, json!({ "email": email, "signInsEnded": 1 }));
    browser.get("/agents").fails(401, "UNAUTHORIZED");
    app.anonymous().sign_in(&email, "another password").get("/agents").ok(200);
    app.alm(&["org", "password", "nobody@example.com", "--password-file", &new]).fails(1);
    let short = file(&app, "short", "short");
    assert!(app.alm(&["org", "password", &email, "--password-file", &short]).fails(1).contains("8 or more"));
}
