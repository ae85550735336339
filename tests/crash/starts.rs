//! Starts that write before they serve, killed again and again: the very first one, and one that upgrades the file.

use std::{path::Path, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

use crate::{
    file::File,
    seed,
    server::Server,
    support::{
        client::Client,
        harness::{Ran, alm},
    },
};

/// Folders that each test begins in.
const FOLDERS: usize = 8;
/// Most kills before a start in a folder may succeed.
const KILLS_MAX: usize = 5;
const FLAGS: [&str; 2] = ["--org", "acme"];

/// Has servers die while they start in folders that are made like this; shows each folder and the server that did start.
fn kill_starts(what: &str, make: fn() -> TempDir, show: impl Fn(&Path, &Server)) {
    let seed = seed();
    println!("crash: {what} from ALM_CRASH_SEED={seed}");
    let (mut rng, mut kills) = (StdRng::seed_from_u64(seed), 0);
    let usual: Duration = Server::spawn(make().path(), &FLAGS).ready();
    for _ in 0..FOLDERS {
        let folder = make();
        for _ in 0..rng.random_range(1..=KILLS_MAX) {
            Server::spawn(folder.path(), &FLAGS).dies_after(usual.mul_f64(rng.random_range(0.0..1.2)));
            kills += 1;
        }
        let mut server = Server::spawn(folder.path(), &FLAGS);
        server.ready();
        File::open(folder.path()).check();
        show(folder.path(), &server);
    }
    println!("proof: crash.kills_of_{what} {kills}");
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_first_start_that_is_killed_leaves_a_folder_that_starts() {
    kill_starts("first_starts", folder, |folder, server| {
        let key = ["keys", "create", "--org", "acme", "--name", "first", "--json"];
        let made = Ran::of(alm(&key).env("ALM_DATA_DIR", folder)).json();
        let key = made["key"].as_str().unwrap().to_owned();
        let agents = Client::new(server.url(), Some(key)).get("/agents").ok(200);
        assert_eq!((agents["items"].as_array().unwrap().len(), &agents["items"][0]["slug"]), (1, &json!("ala")));
    });
}

/// A folder whose file alm wrote with its first schema.
fn folder_of_schema_1() -> TempDir {
    let folder = folder();
    let file = Connection::open(folder.path().join(alm::store::file::FILE_NAME)).unwrap();
    file.execute_batch(include_str!("../golden/schema/1.sql")).unwrap();
    file.execute_batch(include_str!("../golden/schema/1.rows.sql")).unwrap();
    file.pragma_update(None, "user_version", 1).unwrap();
    folder
}

#[test]
fn an_upgrade_that_is_killed_is_done_by_the_next_start_and_its_copy_is_whole() {
    const ROWS: [(&str, usize); 2] =
        [("SELECT count(*) FROM message", 3), ("SELECT count(*) FROM org WHERE balance = 999993", 1)];
    kill_starts("upgrades", folder_of_schema_1, |folder, _| {
        let file = File::open(folder);
        ROWS.iter().for_each(|(question, found)| assert_eq!(file.count(question), *found, "{question}"));
        let names = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
        let copies: Vec<_> = names.filter(|path| path.to_string_lossy().contains(".before-")).collect();
        assert!(!copies.is_empty());
        for copy in copies.iter().map(|copy| File::open_as(copy)) {
            ROWS.iter().for_each(|(question, found)| assert_eq!(copy.count(question), *found, "{question}"));
            assert_eq!(copy.count("SELECT user_version FROM pragma_user_version"), 1);
        }
    });
}
