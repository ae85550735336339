//! One folder, said aloud: which one a command looked into, what it has, and who makes it.

use std::{fs, io::Write, process::Stdio};

use alm::store::file::FILE_NAME;
use tempfile::TempDir;

use crate::support::harness::{App, Ran, alm};

fn in_folder(folder: &std::path::Path, arguments: &[&str]) -> Ran {
    Ran::of(alm(arguments).arg("--data-dir").arg(folder))
}

#[test]
fn a_folder_that_is_mistyped_is_named_and_gets_no_database() {
    let place = TempDir::new().unwrap();
    let typo = place.path().join("typo");
    for command in [
        &["keys", "list", "--org", "acme"][..],
        &["org", "list"],
        &["org", "set", "acme", "--default-model", "demo/ala"],
        &["models", "--org", "acme"],
        &["providers", "list", "--org", "acme"],
        &["deposit", "--org", "acme", "--usd", "1"],
        &["ledger", "verify"],
        &["export", "--org", "acme"],
        &["prune", "--older-than", "90d"],
        &["approvals", "list", "--org", "acme"],
        &["tools", "list", "--org", "acme"],
        &["mcp", "list", "--org", "acme"],
        &["backup", "/nowhere/at/all"],
    ] {
        let ran = in_folder(&typo, command);
        let file = typo.join(FILE_NAME);
        assert!(ran.fails(1).contains(&format!("there is no {}: name the data folder", file.display())), "{command:?}");
        assert!(!typo.exists(), "{command:?}");
    }
}

#[test]
fn an_organization_that_is_not_there_is_answered_with_the_folder_and_what_it_has() {
    let app = App::start(&[]);
    let folder = app.folder().display().to_string();
    let missing = ["keys", "list", "--org", "acme"];
    let none = app.alm(&missing).fails(1).to_owned();
    let create = format!("alm org create --data-dir {folder}");
    assert!(none.contains(&format!("no such organization: acme, in {folder}; there is none yet: {create}")), "{none}");
    app.tenant("globex");
    app.tenant("initech");
    let (first, second) = (app.slug("globex"), app.slug("initech"));
    let some = app.alm(&missing).fails(1).to_owned();
    assert!(some.contains(&format!("in {folder}; it has: {first}, {second}\n")), "{some}");
}

#[test]
fn what_is_to_be_typed_next_names_the_folder_unless_it_is_the_usual_one() {
    let place = TempDir::new().unwrap();
    let (password, folder) = (place.path().join("password"), place.path().join("my data/alm"));
    fs::write(&password, "correct horse battery staple\n").unwrap();
    let create = ["org", "create", "acme", "--owner", "ada@example.com", "--password-file", password.to_str().unwrap()];
    let made = in_folder(&folder, &create);
    let next = "next: alm keys create --org acme --name first";
    assert!(made.ok().ends_with(&format!("{next} --data-dir '{}'", folder.display())), "{made:?}");
    // The usual folder, named or not.
    let usual =
        |words: &[&str]| Ran::of(alm(words).env("XDG_DATA_HOME", place.path().join("my data")).env("HOME", "/nowhere"));
    let twice =
        usual(&["org", "create", "globex", "--owner", "a@example.com", "--password-file", password.to_str().unwrap()]);
    assert!(twice.ok().ends_with("next: alm keys create --org globex --name first"), "{twice:?}");
    assert!(usual(&["org", "list"]).ok().contains("acme"), "it is the same folder");
    let add =
        ["providers", "add", "--org", "acme", "--slug", "up", "--base-url", "http://127.0.0.1:9/v1", "--model", "m"];
    let added = in_folder(&folder, &add);
    assert!(added.ok().contains("up/m; connected, not tried yet\nnext: alm providers test up --org acme --data-dir '"));
}

#[test]
fn whoever_has_made_an_organization_elsewhere_is_told_how_to_go_on_with_it() {
    let app = App::start(&["--org", "acme"]);
    let password = app.folder().join("password");
    fs::write(&password, "correct horse battery staple\n").unwrap();
    let create = ["org", "create", "acme", "--owner", "ada@example.com", "--password-file", password.to_str().unwrap()];
    let refused = app.alm(&create).fails(1).to_owned();
    let next = format!("to use it: alm keys create --org acme --name first --data-dir {}", app.folder().display());
    assert!(refused.contains("there is an organization acme already") && refused.contains(&next), "{refused}");
}

#[test]
fn a_password_is_read_from_standard_input() {
    let place = TempDir::new().unwrap();
    let mut command = alm(&["org", "create", "acme", "--owner", "ada@example.com", "--password-file", "-"]);
    command.arg("--data-dir").arg(place.path().join("data")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = command.spawn().unwrap();
    running.stdin.take().unwrap().write_all(b"correct horse battery staple\n").unwrap();
    let output = running.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
