//! Commands under the real server: what is left of them when it is killed, and how it goes while one does not want to.

use std::{fs, path::PathBuf};

use alm::tools::connect::Place;

use crate::{
    children::runs,
    did_not_panic,
    support::harness::{App, until},
};

/// A server that never answers, hears nothing that can be kept from it, and has started another process like that.
const DEAF: &str = "trap '' TERM HUP; sleep 1000 & echo $! >child; echo $$ >own; exec sleep 1000";

/// The file that the row of a new server is in, and where its command writes.
fn deaf(app: &App) -> PathBuf {
    let place = Place::Command { command: "sh".into(), args: vec!["-c".into(), DEAF.into()], cwd: None };
    app.folder().join("mcp").join(app.mcp_server("acme", "deaf", place).id)
}

/// The process of a command, and the one that it has started, once both have written who they are.
fn pids(folder: &std::path::Path) -> [String; 2] {
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok()?.strip_suffix('\n').map(str::to_owned);
    until("the command to run", || Some([read("own")?, read("child")?]))
}

#[test]
fn a_killed_server_leaves_no_process_once_the_next_has_started() {
    let app = App::start(&[]);
    let folder = deaf(&app);
    let app = app.crash();
    let [own, child] = pids(&folder);
    assert!(runs(&own) && runs(&child));
    for name in ["own", "child"] {
        fs::remove_file(folder.join(name)).unwrap();
    }
    let app = app.crash();
    until("the command to die with its server", || (!runs(&own)).then_some(()));
    assert!(!runs(&child), "what it had started is gone before the next server listens");
    app.says("commands of a server that was killed were still running");
    let [again, another] = pids(&folder);
    assert!(runs(&again) && runs(&another), "a stranger to the old mark");
    did_not_panic(&app);
}

#[test]
fn a_server_goes_down_beside_a_command_that_does_not_want_to() {
    let app = App::start(&[]);
    let folder = deaf(&app);
    let app = app.crash();
    let pids = pids(&folder);
    app.terminate();
    assert_eq!(app.exit_code(), Some(0));
    assert!(pids.iter().all(|pid| !runs(pid)));
    let left = fs::read_dir(app.folder().join("run/mcp")).unwrap().map(|entry| entry.unwrap().path());
    let marks: Vec<_> = left.filter(|path| path.extension().is_some_and(|end| end == "pid")).collect();
    assert!(marks.is_empty(), "its mark is gone with it: {marks:?}");
    assert!(!app.output().contains("still running"));
    did_not_panic(&app);
}

#[test]
fn a_server_that_is_told_so_starts_no_command_and_says_why() {
    let app = App::start(&[]);
    let folder = deaf(&app);
    let app = app.crash_into(&[("ALM_NO_COMMANDS", "true")]);
    let acme = app.org("acme");
    let error = until("the server to be tried", || {
        let server = acme.get("/mcp/servers/deaf").ok(200);
        server["lastError"].as_str().map(str::to_owned)
    });
    assert_eq!(error, "deaf: this server starts no commands: it was told --no-commands");
    assert!(!folder.exists());
    did_not_panic(&app);
}

#[test]
fn a_backup_and_an_export_hold_nothing_of_commands() {
    let app = App::start(&[]);
    let folder = deaf(&app);
    let app = app.crash();
    pids(&folder);
    let elsewhere = tempfile::tempdir().unwrap();
    let backup = elsewhere.path().join("backup.db");
    app.alm(&["backup", backup.to_str().unwrap()]).ok();
    let slug = app.slug("acme");
    let exported = app.alm(&["export", "--org", &slug]);
    assert!(exported.code == 0 && !exported.stdout.contains("trap"), "a command stays on its machine");
    let names: Vec<_> = fs::read_dir(elsewhere.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["backup.db"], "the file, and no folder");
}
