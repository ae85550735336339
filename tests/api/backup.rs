//! `alm backup` and `alm restore`: beside a server under load, and wherever they must refuse.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    client::Client,
    fake_model::FakeModel,
    harness::{App, ModelSpec, Ran, alm, until, user},
};

/// Clients that write while backups are made, and how many backups that is.
const WRITERS: usize = 8;
const BACKUPS: usize = 5;
/// Writes that a backup waits for, so that there is something to lose.
const WRITES_BETWEEN: usize = 100;
/// Restores that are killed.
const KILLS: u32 = 40;

/// A data folder without a server.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    /// One with an organization of that slug.
    fn with_org(slug: &str) -> Self {
        let folder = Folder::new();
        folder.make_org(slug);
        folder
    }

    fn make_org(&self, slug: &str) {
        let password = self.0.path().join("password");
        fs::write(&password, "correct horse battery staple\n").unwrap();
        let create = ["org", "create", slug, "--owner", "a@example.com", "--password-file"];
        self.alm(&[&create[..], &[password.to_str().unwrap()]].concat()).ok();
        fs::remove_file(password).unwrap();
    }

    fn alm(&self, arguments: &[&str]) -> Ran {
        Ran::of(alm(arguments).env("ALM_DATA_DIR", self.0.path()))
    }

    fn orgs(&self) -> Vec<String> {
        let listed = self.alm(&["org", "list", "--json"]).json();
        listed.as_array().unwrap().iter().map(|org| org["slug"].as_str().unwrap().to_owned()).collect()
    }

    fn database(&self) -> PathBuf {
        self.0.path().join(alm::store::file::FILE_NAME)
    }

    /// What the folder holds that starts like this.
    fn names(&self, start: &str) -> Vec<String> {
        names(self.0.path(), start)
    }
}

fn names(folder: &Path, start: &str) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with(start)).collect();
    names.sort();
    names
}

/// A file of an organization, and a place for backups of it.
fn backed_up(slug: &str) -> (Folder, TempDir, String) {
    let (folder, shelf) = (Folder::with_org(slug), tempfile::tempdir().unwrap());
    let file = shelf.path().join("backup").to_str().unwrap().to_owned();
    folder.alm(&["backup", &file]).ok();
    (folder, shelf, file)
}

/// Makes sessions with a paid turn each, and notes what was acknowledged.
fn write_until(ended: &AtomicBool, client: &Client, told: &Mutex<Vec<String>>) {
    while !ended.load(Ordering::Relaxed) {
        let session = client.post("/sessions", json!({ "label": "one of many" })).ok(201)["id"].clone();
        let ask = json!({ "sessionId": session, "model": "up/paid", "messages": [user("Hi")] });
        client.chat(ask).one("finish");
        told.lock().unwrap().push(session.as_str().unwrap().to_owned());
    }
}

#[test]
fn a_backup_under_load_holds_every_write_that_was_acknowledged_before_it_began() {
    let (app, model) = (App::start(&["--chat-rate", "1000000"]), FakeModel::saying("Hello."));
    app.provider("acme", &model.base_url(), &[ModelSpec::PAID]);
    app.deposit("acme", 1_000_000_000);
    let (acme, shelf) = (app.org("acme"), tempfile::tempdir().unwrap());
    let (ended, told) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let mut meanwhile = 0;
    let before: Vec<Vec<String>> = thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| write_until(&ended, &acme, &told));
        }
        let backups = (0..BACKUPS).map(|n| {
            let enough = (n + 1) * WRITES_BETWEEN;
            until("some writes", || (told.lock().unwrap().len() >= enough).then_some(()));
            let before = told.lock().unwrap().clone();
            let file = shelf.path().join(n.to_string());
            let made = app.alm(&["backup", file.to_str().unwrap(), "--json"]).json();
            meanwhile += told.lock().unwrap().len() - before.len();
            assert_eq!((&made["orgs"], made["bytes"].as_u64()), (&json!(1), Some(fs::metadata(file).unwrap().len())));
            before
        });
        let backups = backups.collect();
        ended.store(true, Ordering::Relaxed);
        backups
    });
    for (n, before) in before.iter().enumerate() {
        let restored = Folder::new();
        restored.alm(&["restore", shelf.path().join(n.to_string()).to_str().unwrap()]).ok();
        restored.alm(&["ledger", "verify"]).ok();
        // The provider's key is sealed with a file that no backup has.
        fs::copy(app.folder().join("alm.key"), restored.0.path().join("alm.key")).unwrap();
        let server = App::start_in(restored.0);
        let acme = acme.at(server.url());
        for session in before {
            assert_eq!(acme.history(session), [("user".into(), "Hi".into()), ("assistant".into(), "Hello.".into())]);
        }
        assert_eq!(acme.ask("up/paid", "Are you there?").text(), "Hello.");
    }
    assert!(meanwhile > 0, "nobody waits for a backup");
    println!("proof: backup.under_load {BACKUPS}");
    println!("proof: backup.writes_meanwhile {meanwhile}");
    println!("proof: backup.writes_before {}", before.last().unwrap().len());
}

#[test]
fn a_backup_has_its_name_when_it_is_whole_and_is_its_owners_alone() {
    let (folder, shelf, file) = backed_up("acme");
    assert_eq!(names(shelf.path(), ""), ["backup"], "it is one file");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(folder.alm(&["backup", &file]).fails(1).contains("--force"));
    let told = folder.alm(&["backup", &file, "--force"]);
    assert!(told.ok().contains("alm.key, which is not in it"), "{told:?}");
    let nowhere = folder.alm(&["backup", "/nowhere/at/all"]);
    assert!(nowhere.fails(1).contains("/nowhere"), "{nowhere:?}");
    assert!(Folder::new().alm(&["backup", &file, "--force"]).fails(1).contains("--data-dir"));
}

#[test]
fn force_replaces_a_backup_and_nothing_else() {
    let (folder, shelf, _) = backed_up("acme");
    let letter = shelf.path().join("letter");
    fs::write(&letter, "Dear Ada").unwrap();
    folder.alm(&["backup", letter.to_str().unwrap(), "--force"]).fails(1);
    assert_eq!(fs::read_to_string(letter).unwrap(), "Dear Ada");
    let itself = folder.alm(&["backup", folder.database().to_str().unwrap(), "--force"]);
    assert!(itself.fails(1).contains("itself"), "{itself:?}");
    assert_eq!(names(shelf.path(), "alm-"), Vec::<String>::new(), "no draft is left");
}

#[test]
fn what_is_damaged_is_not_backed_up() {
    let (folder, shelf) = (Folder::with_org("acme"), tempfile::tempdir().unwrap());
    let file = rusqlite::Connection::open(folder.database()).unwrap();
    file.execute_batch("PRAGMA foreign_keys = OFF; UPDATE org SET owner_id = 'nobody'").unwrap();
    drop(file);
    let refused = folder.alm(&["backup", shelf.path().join("b").to_str().unwrap()]);
    assert!(
        refused.fails(1).contains("alm.db is damaged: row 1 of org refers to a missing row of user"),
        "{refused:?}"
    );
    assert_eq!(names(shelf.path(), ""), Vec::<String>::new());
}

#[test]
fn a_restored_file_is_the_backup_and_what_was_there_is_kept_with_its_log() {
    let (folder, _shelf, file) = backed_up("acme");
    let mut serve = alm(&["serve", "--listen", "127.0.0.1:0"]);
    let mut server =
        serve.env("ALM_DATA_DIR", folder.0.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    folder.make_org("later");
    // Killed, it leaves a log that the database has not taken in.
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(fs::metadata(folder.0.path().join("alm.db-wal")).unwrap().len() > 0);
    assert!(folder.alm(&["restore", &file]).fails(1).contains("--force"));
    let told = folder.alm(&["restore", &file, "--force", "--json"]).json();
    assert_eq!(folder.orgs(), ["acme"]);
    let kept = rusqlite::Connection::open(told["kept"].as_str().unwrap()).unwrap();
    let orgs: i64 =
        kept.query_row("SELECT count(*) FROM org WHERE slug IN ('acme', 'later')", [], |row| row.get(0)).unwrap();
    assert_eq!(orgs, 2);
}

#[test]
fn a_log_that_lost_its_file_is_not_taken_for_the_new_ones() {
    let (folder, _shelf, file) = backed_up("acme");
    let stray = Folder::with_org("stray");
    let held = rusqlite::Connection::open(stray.database()).unwrap();
    held.execute_batch("PRAGMA journal_mode = WAL; UPDATE org SET slug = 'changed'").unwrap();
    fs::copy(stray.0.path().join("alm.db-wal"), folder.0.path().join("alm.db-wal")).unwrap();
    fs::remove_file(folder.database()).unwrap();
    folder.alm(&["restore", &file]).ok();
    assert_eq!(folder.orgs(), ["acme"]);
    assert!(folder.names("alm.db.before-restore").iter().any(|name| name.ends_with("-wal")), "it is kept");
}

#[test]
fn a_damaged_file_makes_way_for_a_backup() {
    let (folder, _shelf, file) = backed_up("acme");
    // With its log it would be mended.
    fs::remove_file(folder.0.path().join("alm.db-wal")).unwrap();
    fs::write(folder.database(), "scrambled").unwrap();
    folder.alm(&["org", "list"]).fails(1);
    let told = folder.alm(&["restore", &file, "--force", "--json"]).json();
    assert_eq!(folder.orgs(), ["acme"]);
    assert_eq!(fs::read_to_string(told["kept"].as_str().unwrap()).unwrap(), "scrambled");
}

#[test]
fn nothing_is_restored_under_a_server_or_a_command() {
    let (_folder, _shelf, file) = backed_up("acme");
    let app = App::start(&["--org", "busy"]);
    let refused = app.alm(&["restore", &file, "--force"]);
    assert!(refused.fails(3).contains("uses this folder"), "{refused:?}");
    let folder = Folder::with_org("used");
    let store = alm::store::Store::open(folder.0.path(), 1).unwrap();
    let refused = folder.alm(&["restore", &file, "--force"]);
    assert!(refused.fails(1).contains("another command"), "{refused:?}");
    drop(store);
    // Any other program has no lock of ours, but SQLite's.
    let other = rusqlite::Connection::open(folder.database()).unwrap();
    other.execute_batch("BEGIN; SELECT * FROM org").unwrap();
    let refused = folder.alm(&["restore", &file, "--force"]);
    assert!(refused.fails(1).contains("another process"), "{refused:?}");
    drop(other);
    assert_eq!(folder.orgs(), ["used"]);
    assert_eq!(folder.names("alm.db.before"), Vec::<String>::new());
}

#[test]
fn what_is_no_whole_backup_of_ours_is_not_restored() {
    let (folder, shelf, file) = backed_up("acme");
    let copy_with = |name: &str, change: &dyn Fn(&Path)| {
        let copy = shelf.path().join(name);
        fs::copy(&file, &copy).unwrap();
        change(&copy);
        copy.to_str().unwrap().to_owned()
    };
    let sql = |statement: &'static str| {
        move |copy: &Path| rusqlite::Connection::open(copy).unwrap().execute_batch(statement).unwrap()
    };
    let cut = |copy: &Path| fs::File::options().write(true).open(copy).unwrap().set_len(20_000).unwrap();
    for (copy, word) in [
        (copy_with("letter", &|copy| fs::write(copy, "Dear Ada").unwrap()), "not a database"),
        (copy_with("other", &sql("DROP TABLE turn_journal; DROP TABLE ledger_entry")), "not an alm database"),
        (copy_with("newer", &sql("PRAGMA user_version = 99")), "schema 99, but this alm uses schema"),
        (copy_with("richer", &sql("UPDATE org SET balance = 1000000")), "its entries add up to 0.00 USD"),
        (copy_with("cut", &cut), ""),
        (shelf.path().join("none").to_str().unwrap().to_owned(), "none"),
    ] {
        let refused = folder.alm(&["restore", &copy, "--force"]);
        assert!(refused.fails(1).contains(word), "{copy}: {refused:?}");
    }
    assert_eq!(folder.orgs(), ["acme"]);
    assert_eq!(folder.names("alm.db.before"), Vec::<String>::new());
    assert_eq!(folder.names("alm-draft"), Vec::<String>::new());
}

#[test]
fn a_file_whose_schema_is_not_ours_is_neither_backed_up_nor_restored() {
    let (folder, shelf, file) = backed_up("acme");
    let gift = "CREATE TRIGGER gift AFTER INSERT ON session BEGIN UPDATE org SET balance = balance + 1000000; END";
    for (file, wrong) in [(Path::new(&file), "gift"), (&folder.database(), "gift")] {
        rusqlite::Connection::open(file).unwrap().execute_batch(gift).unwrap();
        let copy = shelf.path().join("copy");
        let refused = match file == folder.database() {
            true => folder.alm(&["backup", copy.to_str().unwrap()]),
            false => Folder::new().alm(&["restore", file.to_str().unwrap()]),
        };
        assert!(refused.fails(1).contains(wrong), "{refused:?}");
        assert!(!copy.exists());
    }
    let told = folder.alm(&["doctor"]);
    assert!(told.code == 1 && told.stdout.contains("fail  schema: the trigger gift of session"), "{told:?}");
    // What a replicator adds is not part of it, and no reason either.
    let litestream = "DROP TRIGGER gift; CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER);
        CREATE TABLE _litestream_lock (id INTEGER)";
    rusqlite::Connection::open(folder.database()).unwrap().execute_batch(litestream).unwrap();
    let copy = shelf.path().join("replicated");
    folder.alm(&["backup", copy.to_str().unwrap()]).ok();
    let other = Folder::new();
    other.alm(&["restore", copy.to_str().unwrap()]).ok();
    assert_eq!(other.orgs(), ["acme"]);
}

#[test]
fn a_pipe_or_a_device_is_no_backup_and_makes_nobody_wait() {
    let (folder, shelf, _) = backed_up("acme");
    let pipe = shelf.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [pipe.to_str().unwrap(), "/dev/null", shelf.path().to_str().unwrap()] {
        for command in [&["backup", path, "--force"][..], &["restore", path, "--force"]] {
            let refused = folder.alm(command);
            assert!(refused.fails(1).contains("is no file"), "{command:?} {refused:?}");
        }
        assert!(folder.alm(&["backup", path]).fails(1).contains("exists"));
    }
    assert_eq!(folder.orgs(), ["acme"]);
    let stray = Folder::new();
    fs::rename(&pipe, stray.database()).unwrap();
    let told = stray.alm(&["doctor"]);
    assert!(told.code == 1 && told.stdout.contains("is no file"), "{told:?}");
}

#[test]
fn an_older_backup_is_restored_and_upgraded() {
    let (folder, shelf) = (Folder::new(), tempfile::tempdir().unwrap());
    let old = shelf.path().join("old");
    let file = rusqlite::Connection::open(&old).unwrap();
    file.execute_batch(include_str!("../golden/schema/1.sql")).unwrap();
    file.execute_batch(include_str!("../golden/schema/1.rows.sql")).unwrap();
    file.pragma_update(None, "user_version", 1).unwrap();
    drop(file);
    folder.alm(&["restore", old.to_str().unwrap()]).ok();
    assert_eq!(folder.orgs(), ["acme"]);
    folder.alm(&["ledger", "verify"]).ok();
    assert_eq!(folder.names("alm.db.before-7").len(), 1, "the upgrade keeps a copy of its own");
}

#[test]
fn a_restore_that_is_killed_leaves_the_old_file_or_the_new_one_and_both_whole() {
    let (folder, _shelf, file) = backed_up("first");
    folder.make_org("second");
    let mut restored = 0;
    for ms in 0..KILLS {
        let mut killed = Command::new("timeout");
        killed.args(["--signal=KILL", &format!("0.{:03}", 1 + ms * 3), env!("CARGO_BIN_EXE_alm")]);
        killed.args(["restore", &file, "--force"]).env("ALM_DATA_DIR", folder.0.path());
        killed.output().unwrap();
        let orgs = folder.orgs();
        assert!(orgs == ["first"] || orgs == ["first", "second"], "{orgs:?}");
        folder.alm(&["ledger", "verify"]).ok();
        if orgs == ["first"] {
            restored += 1;
            folder.make_org("second");
        }
    }
    println!("proof: restore.kills {KILLS}");
    println!("proof: restore.kills_after_the_change {restored}");
}

#[test]
fn a_restored_folder_says_whether_its_key_file_opens_the_keys() {
    let app = App::start(&[]);
    app.provider("acme", "http://127.0.0.1:1/v1", &[ModelSpec::FREE]);
    let (shelf, restored) = (tempfile::tempdir().unwrap(), Folder::new());
    let file = shelf.path().join("backup").to_str().unwrap().to_owned();
    app.alm(&["backup", &file]).ok();
    let level = |told: Value| told["key"]["level"].as_str().unwrap().to_owned();
    assert_eq!(level(restored.alm(&["restore", &file, "--json"]).json()), "fail");
    fs::copy(app.folder().join("alm.key"), restored.0.path().join("alm.key")).unwrap();
    assert_eq!(level(restored.alm(&["restore", &file, "--force", "--json"]).json()), "ok");
    assert!(!fs::read(&file).unwrap().windows(11).any(|bytes| bytes == b"sk-upstream"));
}
