//! `alm doctor`: what it looks at, what it says, and that it touches nothing.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::{Value, json};

use crate::support::{
    fake_model::{Answer, FakeModel, nobody},
    harness::{App, ModelSpec, Ran, alm, until},
};

/// What the doctor says of a folder: its exit code, and the level and text of each check by name.
fn look(app: &App) -> (i32, Vec<(String, String, String)>) {
    let ran = app.alm(&["doctor", "--json"]);
    let told: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    assert_eq!(told["ok"], json!(ran.code == 0));
    assert!(!ran.stdout.contains("sk-upstream") && !ran.stdout.contains("header-upstream"), "{ran:?}");
    let text = |check: &Value, key: &str| check[key].as_str().unwrap().to_owned();
    let checks = told["checks"].as_array().unwrap().iter();
    (ran.code, checks.map(|check| (text(check, "check"), text(check, "level"), text(check, "text"))).collect())
}

/// The level and the text of one check.
#[track_caller]
fn of<'a>(checks: &'a [(String, String, String)], name: &str) -> (&'a str, &'a str) {
    let found = checks.iter().find(|(check, ..)| check.starts_with(name));
    let (_, level, text) = found.unwrap_or_else(|| panic!("no {name} in {checks:#?}"));
    (level, text)
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A server whose provider lists two models.
fn well() -> (App, FakeModel) {
    let list = json!({ "data": [{ "id": "free" }, { "id": "paid" }] }).to_string();
    let (app, model) = (App::start(&[]), FakeModel::start([Answer::empty().raw(list)]));
    app.provider("acme", &model.base_url(), &[ModelSpec::FREE]);
    app.deposit("acme", 1_000);
    chmod(app.folder(), 0o700);
    (app, model)
}

#[test]
fn a_folder_that_is_well_passes_every_check_and_is_not_touched() {
    let (app, _model) = well();
    let names = || {
        let entries = fs::read_dir(app.folder()).unwrap().map(|entry| entry.unwrap());
        let mut facts: Vec<_> =
            entries.map(|entry| (entry.file_name(), entry.metadata().unwrap().permissions().mode())).collect();
        facts.sort();
        facts
    };
    let before = names();
    let (code, checks) = look(&app);
    assert_eq!((code, names()), (0, before), "{checks:#?}");
    for name in ["folder", "permissions", "file", "schema", "integrity", "ledger", "clock", "key file"] {
        assert_eq!(of(&checks, name).0, "ok", "{checks:#?}");
    }
    assert!(of(&checks, "provider acme").1.starts_with("lists 2 models in"), "{checks:#?}");
    let told = app.alm(&["doctor"]);
    assert!(told.ok().lines().all(|line| line.starts_with("ok") || line.starts_with("warn")), "{told:?}");
}

#[test]
fn each_thing_that_is_wrong_is_named_with_what_to_do() {
    let (app, _model) = well();
    let (database, key_file) = (app.folder().join("alm.db"), app.folder().join("alm.key"));
    let fails = |name: &str, word: &str| {
        let (code, checks) = look(&app);
        let (level, text) = of(&checks, name);
        assert!(code == 1 && level == "fail" && text.contains(word), "{name}: {checks:#?}");
    };
    chmod(&database, 0o644);
    fails("permissions", "chmod 600");
    chmod(&database, 0o600);
    chmod(&key_file, 0o640);
    fails("permissions", "alm.key: run `chmod 600");
    let key = fs::read(&key_file).unwrap();
    fs::write(&key_file, [7; 32]).unwrap();
    fails("key file", "does not open the key of up");
    fails("provider acme", "cannot be opened");
    fs::remove_file(&key_file).unwrap();
    fails("key file", "is missing");
    assert!(!key_file.exists(), "the doctor makes none");
    fs::write(&key_file, key).unwrap();
    chmod(&key_file, 0o600);
    let file = app.file();
    file.execute_batch("UPDATE org SET balance = 5, created_at = created_at + 3600000").unwrap();
    fails("ledger", "alm ledger verify");
    fails("clock", "set the clock");
    file.execute_batch("UPDATE org SET balance = 1000, created_at = 0; PRAGMA foreign_keys = OFF").unwrap();
    file.execute_batch("UPDATE org SET owner_id = 'nobody'").unwrap();
    fails("integrity", "alm restore");
    file.pragma_update(None, "user_version", 99).unwrap();
    fails("file", "newer than this alm");
}

#[test]
fn a_provider_that_is_away_fails_by_name() {
    let app = App::start(&[]);
    app.provider("acme", nobody().trim_end_matches('/'), &[ModelSpec::FREE]);
    let (code, checks) = look(&app);
    let (level, text) = of(&checks, "provider acme");
    assert!(code == 1 && level == "fail" && text.contains("cannot connect"), "{checks:#?}");
}

#[test]
fn a_server_warns_of_a_folder_that_others_may_write_to() {
    let folder = tempfile::tempdir().unwrap();
    chmod(folder.path(), 0o777);
    let app = App::start_in(folder);
    until("the warning", || app.output().contains("other users can write to").then_some(()));
    assert!(!App::start(&[]).output().contains("other users"));
}

#[test]
fn what_is_not_there_or_left_over_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let look = |path: &Path| Ran::of(alm(&["doctor"]).env("ALM_DATA_DIR", path));
    let missing = folder.path().join("none");
    let (none, line) = (look(&missing), format!("fail  folder: {} does not exist", missing.display()));
    assert!(none.code == 1 && none.stdout.contains(&line), "{none:?}");
    chmod(folder.path(), 0o755);
    assert!(look(folder.path()).ok().contains("chmod 700"));
    for mode in [0o777, 0o770, 0o1777] {
        chmod(folder.path(), mode);
        let told = look(folder.path());
        assert!(told.code == 1 && told.stdout.contains("other users can write to"), "{told:?}");
    }
    let shared = tempfile::tempdir().unwrap();
    chmod(shared.path(), 0o777);
    chmod(folder.path(), 0o700);
    let key = shared.path().join("seal.key");
    let told = Ran::of(alm(&["doctor", "--secret-key-file", key.to_str().unwrap()]).env("ALM_DATA_DIR", folder.path()));
    assert!(told.code == 1 && told.stdout.contains("fail  key folder: other users can write to"), "{told:?}");
    fs::write(folder.path().join("alm-draft-x"), "").unwrap();
    let told = look(folder.path());
    assert!(told.ok().contains("delete alm-draft-x") && told.ok().contains("does not exist yet"), "{told:?}");
    fs::write(folder.path().join("alm.db"), "scrambled").unwrap();
    assert!(look(folder.path()).stdout.contains("fail  file: cannot use"));
}
