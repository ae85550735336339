//! A disk that is full, that fails, that is read-only, or that the file is gone from.

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use alm::store::file::FILE_NAME;
use serde_json::{Value, json};

use crate::{
    did_not_panic, proof,
    shim::{EIO, ENOSPC, EROFS, Fault, Faults},
    support::{
        client::{Client, Listening},
        fake_model::{Answer, FakeModel, delta, finish, usage},
        harness::{App, Ran, alm, until, user},
    },
};

/// Microcents in the organization of most tests here.
const BALANCE: i64 = 1_000_000;
/// Microcents of a reply that uses ten tokens in and five out.
const COST: i64 = 15;

fn word(text: &str) -> Value {
    delta(json!({ "content": text }))
}

/// Someone with money and a model. What a key's first use writes is written.
fn acme(app: &App, model: &FakeModel) -> Client {
    let acme = app.org_asking("acme", model);
    app.deposit("acme", BALANCE);
    acme.get("/agents").ok(200);
    let used = "SELECT count(*) FROM api_key WHERE last_used_at IS NOT NULL";
    until("the use of the key to be noted", || (count(app, used) > 0).then_some(()));
    acme
}

fn ask(model: &str) -> Value {
    json!({ "id": "c", "model": model, "messages": [user("Hi")] })
}

fn count(app: &App, select: &str) -> i64 {
    app.file().query_row(select, [], |row| row.get(0)).unwrap()
}

/// Balance, and what of it is held.
fn money(client: &Client) -> (i64, i64) {
    let billing = client.get("/billing").ok(200);
    (billing["balanceMicrocents"].as_i64().unwrap(), billing["heldMicrocents"].as_i64().unwrap())
}

#[track_caller]
fn is_whole(app: &App) {
    let check: String = app.file().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    did_not_panic(app);
}

/// Why the server is not ready.
#[track_caller]
fn not_ready(app: &App) -> String {
    let error = app.anonymous().get("/readyz").fails(503, "SERVICE_UNAVAILABLE");
    error["message"].as_str().unwrap().to_owned()
}

#[test]
fn a_disk_that_takes_nothing_is_told_and_leaves_no_trace_and_heals() {
    let cases = [
        ("full", Fault::Grow, ENOSPC, "the disk is full"),
        ("unwritable", Fault::Write, EIO, "the database's disk failed"),
        ("read-only", Fault::Write, EROFS, "the database's disk failed"),
        ("unsyncable", Fault::Sync, EIO, "the database's disk failed"),
        ("unreadable", Fault::Read, EIO, "the database's disk failed"),
    ];
    for (name, fault, error, why) in cases {
        let (faults, model) = (Faults::none(), FakeModel::saying("Hello."));
        let app = faults.start(&[]);
        let acme = acme(&app, &model);
        faults.set(fault, error);
        assert!(not_ready(&app).starts_with(why), "{name}");
        let once = acme.header("idempotency-key", "once");
        once.post("/chat", ask("up/paid")).fails(503, "SERVICE_UNAVAILABLE");
        acme.post("/agents", json!({ "name": "x" })).fails(503, "SERVICE_UNAVAILABLE");
        match fault {
            Fault::Read => drop(acme.get("/agents").fails(503, "SERVICE_UNAVAILABLE")),
            _ => assert_eq!(acme.get("/sessions").ok(200)["items"], json!([]), "{name}: reads go on"),
        }
        app.anonymous().get("/healthz").ok(200);
        assert!(faults.met() > 0 && model.asked().is_empty(), "{name}");
        faults.set(fault, 0);
        app.anonymous().get("/readyz").ok(200);
        acme.get("/sessions/c").fails(404, "NOT_FOUND");
        assert_eq!(money(&acme), (BALANCE, 0), "{name}");
        let answers = [once.chat(ask("up/paid")).message_id(), once.chat(ask("up/paid")).message_id()];
        assert_eq!((&answers[0], acme.history("c").len()), (&answers[1], 2), "{name}: the same key is good again");
        assert_eq!(money(&acme), (BALANCE - COST, 0), "{name}");
        is_whole(&app);
        proof(&format!("disk.{name}"), "refused-and-healed");
    }
}

/// A paid reply that has said `one `, which is in its journal.
fn speaking(app: &App, waits: usize) -> (Client, FakeModel, Listening) {
    let more = (0..waits).fold(Answer::empty().chunk(word("one ")), |answer, _| answer.wait().chunk(word("more ")));
    let model = FakeModel::start([more.chunk(finish("stop")).chunk(usage(10, 5)).done(), Answer::text("again")]);
    let acme = acme(app, &model);
    let mut listening = acme.listen(ask("up/paid"));
    listening.until("text-delta");
    until("a checkpoint", || (journaled(app, "one ") == 1).then_some(()));
    (acme, model, listening)
}

/// How many checkpoints hold that text.
fn journaled(app: &App, text: &str) -> i64 {
    let select = "SELECT count(*) FROM turn_journal WHERE instr(CAST(frames AS TEXT), ?1)";
    app.file().query_row(select, [text], |row| row.get(0)).unwrap()
}

#[test]
fn an_answer_that_ends_on_a_full_disk_waits_and_is_stored_when_there_is_room() {
    let faults = Faults::none();
    let app = faults.start(&[]);
    let (acme, model, mut listening) = speaking(&app, 1);
    faults.set(Fault::Grow, ENOSPC);
    model.go();
    listening.until("finish-step");
    until("the answer to be refused", || (faults.met() > 0).then_some(()));
    assert!(not_ready(&app).starts_with("the disk is full"));
    assert_eq!(acme.get("/sessions/c").ok(200)["status"], json!("running"), "it is not over before it is stored");
    faults.set(Fault::Grow, 0);
    assert_eq!((&*listening.rest().text(), money(&acme)), ("one more ", (BALANCE - COST, 0)));
    assert_eq!(acme.history("c")[1].1, "one more ");
    assert_eq!(acme.chat(ask("up/free")).text(), "again");
    is_whole(&app);
}

#[test]
fn a_journal_that_a_full_disk_kept_waiting_has_no_gap_after_a_crash() {
    let faults = Faults::none();
    let app = faults.start(&[]);
    let (acme, model, mut listening) = speaking(&app, 3);
    faults.set(Fault::Grow, ENOSPC);
    model.go();
    listening.until("text-delta");
    until("a checkpoint to be refused", || (faults.met() > 0).then_some(()));
    faults.set(Fault::Grow, 0);
    model.go();
    listening.until("text-delta");
    // A gap would never be filled: what comes after it could be found, and this would not.
    let all = "SELECT group_concat(CAST(frames AS TEXT), '') FROM turn_journal";
    let all = || app.file().query_row(all, [], |row| row.get::<_, String>(0)).unwrap();
    until("both words in the journal", || (all().matches("more ").count() == 2).then_some(()));
    let app = app.crash();
    let stored = acme.at(app.url()).messages("c").pop().unwrap();
    assert_eq!((&stored["status"], &stored["content"]), (&json!("interrupted"), &json!("one more more ")));
    is_whole(&app);
}

#[test]
fn a_turn_that_fails_early_on_a_full_disk_is_undone_when_there_is_room() {
    let (faults, model) = (Faults::none(), FakeModel::start([Answer::status(401), Answer::text("Now.")]));
    let app = faults.start(&[]);
    let acme = acme(&app, &model);
    // The turn begins, and there is no room to undo it.
    faults.fill_after(1);
    let error = acme.post("/chat", ask("up/paid")).fails(503, "SERVICE_UNAVAILABLE");
    assert!(error["message"].as_str().unwrap().starts_with("the disk is full"), "{error}");
    assert_eq!(model.asked().len(), 1, "it had begun");
    assert!(money(&acme).1 > 0);
    faults.set(Fault::Grow, 0);
    until("the turn to be undone", || (acme.get("/sessions/c").status == 404).then_some(()));
    assert_eq!(money(&acme), (BALANCE, 0));
    assert_eq!(acme.chat(ask("up/paid")).text(), "Now.");
    is_whole(&app);
}

#[test]
fn a_turn_that_a_crash_interrupted_is_ended_as_soon_as_the_disk_lets_it() {
    let app = App::start(&[]);
    let (acme, _model, _listening) = speaking(&app, 1);
    let faults = Faults::none();
    faults.set(Fault::Sync, EIO);
    let app = faults.crash(&app);
    let acme = acme.at(app.url());
    assert!(not_ready(&app).starts_with("the database's disk"));
    assert_eq!(acme.get("/sessions/c").ok(200)["status"], json!("running"));
    faults.set(Fault::Sync, 0);
    until("the turn to be ended", || (acme.get("/sessions/c").ok(200)["status"] == "interrupted").then_some(()));
    assert_eq!(acme.history("c")[1].1, "one ");
    assert_eq!(money(&acme).1, 0);
    is_whole(&app);
}

#[test]
fn what_was_acknowledged_around_a_failed_sync_survives_a_kill_and_what_was_refused_does_not_appear() {
    let faults = Faults::none();
    let app = faults.start(&[]);
    let acme = acme(&app, &FakeModel::saying("x"));
    let label = |label: &str| json!({ "label": label });
    acme.post("/sessions", label("before")).ok(201);
    faults.set(Fault::Sync, EIO);
    acme.post("/sessions", label("refused")).fails(503, "SERVICE_UNAVAILABLE");
    faults.set(Fault::Sync, 0);
    acme.post("/sessions", label("after")).ok(201);
    let app = app.crash();
    let sessions = acme.at(app.url()).get("/sessions").ok(200);
    assert_eq!(crate::support::harness::column(&sessions, "label"), ["after", "before"]);
    is_whole(&app);
}

#[test]
fn a_disk_that_fills_and_empties_under_load_loses_nothing_and_invents_nothing() {
    const CLIENTS: usize = 8;
    const WRITES: usize = 100;
    let faults = Faults::none();
    let app = faults.start(&[]);
    let acme = acme(&app, &FakeModel::saying("x"));
    let (answered, made) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                for _ in 0..WRITES {
                    let reply = acme.post("/sessions", json!({ "label": "x".repeat(200) }));
                    match reply.status {
                        201 => drop(made.fetch_add(1, Ordering::Relaxed)),
                        _ => drop(reply.fails(503, "SERVICE_UNAVAILABLE")),
                    }
                    // Full for seven answers, empty for thirteen.
                    let nth = answered.fetch_add(1, Ordering::Relaxed);
                    match nth % 20 {
                        6 => faults.set(Fault::Grow, 0),
                        19 => faults.set(Fault::Grow, ENOSPC),
                        _ => {}
                    }
                }
            });
        }
    });
    faults.set(Fault::Grow, 0);
    let (made, all) = (made.into_inner(), CLIENTS * WRITES);
    assert!(0 < made && made < all, "{made} of {all}");
    let app = app.crash();
    assert_eq!(usize::try_from(count(&app, "SELECT count(*) FROM session")).unwrap(), made);
    is_whole(&app);
    proof("disk.filling.acknowledged", made);
    proof("disk.filling.refused", all - made);
    proof("disk.filling.lost", 0);
}

#[test]
fn a_server_that_goes_while_the_disk_is_full_goes_and_the_next_keeps_what_was_journaled() {
    let faults = Faults::none();
    let app = faults.start(&["--drain", "1ms"]);
    let (acme, _model, listening) = speaking(&app, 1);
    faults.set(Fault::Grow, ENOSPC);
    app.terminate();
    assert_eq!(app.exit_code(), Some(0));
    app.says("turns could not be stored");
    did_not_panic(&app);
    drop(listening);
    let app = app.crash();
    let stored = acme.at(app.url()).messages("c").pop().unwrap();
    assert_eq!((&stored["status"], &stored["content"]), (&json!("interrupted"), &json!("one ")));
    is_whole(&app);
}

#[test]
fn a_disk_that_stalls_is_told_and_what_waits_for_it_is_done_when_it_goes_on() {
    let (faults, model) = (Faults::none(), FakeModel::saying("Hello."));
    let app = faults.start(&[]);
    let acme = acme(&app, &model);
    faults.set(Fault::Stall, 1);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| acme.post("/sessions", json!({ "label": "waits" })));
        assert!(not_ready(&app).starts_with("the database's disk does not respond"));
        acme.get("/agents").ok(200);
        app.anonymous().get("/healthz").ok(200);
        faults.set(Fault::Stall, 0);
        waiting.join().unwrap().ok(201);
    });
    app.anonymous().get("/readyz").ok(200);
    assert_eq!(acme.chat(ask("up/free")).text(), "Hello.");
    is_whole(&app);
    proof("disk.stalled", "told-and-healed");
}

#[test]
fn a_file_that_another_process_writes_to_is_waited_for_and_then_told() {
    let (app, model) = (App::start(&[]), FakeModel::saying("Hello."));
    let acme = acme(&app, &model);
    let other = app.file();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = acme.post("/sessions", json!({})).fails(503, "SERVICE_UNAVAILABLE");
    assert_eq!(error["message"], json!("another process has locked the database: try again"));
    acme.get("/agents").ok(200);
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(acme.chat(ask("up/free")).text(), "Hello.");
    is_whole(&app);
}

#[test]
fn a_command_on_a_full_disk_is_one_sentence_and_does_nothing() {
    let app = App::start(&[]);
    let acme = acme(&app, &FakeModel::saying("x"));
    let faults = Faults::none();
    faults.set(Fault::Grow, ENOSPC);
    let mut deposit = alm(&["deposit", "--org", &app.slug("acme"), "--usd=5"]);
    let ran = Ran::of(deposit.env("ALM_DATA_DIR", app.folder()).envs(faults.variables()));
    let said = ran.fails(1);
    assert!(said.lines().count() == 1 && said.contains("the disk is full"), "{said}");
    assert_eq!(money(&acme), (BALANCE, 0));
    is_whole(&app);
}

#[test]
fn a_file_that_cannot_be_used_at_the_start_is_one_sentence() {
    let app = App::start(&[]);
    app.org("acme").ask("demo/ala", "Hi");
    for (fault, error) in [(Fault::Open, EROFS), (Fault::Grow, ENOSPC), (Fault::Write, EIO), (Fault::Read, EIO)] {
        let folder = tempfile::tempdir().unwrap();
        for name in [FILE_NAME, alm::seal::FILE_NAME] {
            fs::copy(app.folder().join(name), folder.path().join(name)).unwrap();
        }
        let faults = Faults::none();
        faults.set(fault, error);
        let mut serve = alm(&["serve", "--listen", "127.0.0.1:0"]);
        let ran = Ran::of(serve.env("ALM_DATA_DIR", folder.path()).envs(faults.variables()));
        let said = ran.fails(1);
        assert!(said.lines().count() == 1 && said.contains(folder.path().to_str().unwrap()), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn a_file_that_is_taken_away_takes_no_writes_until_it_is_back() {
    let (app, model) = (App::start(&[]), FakeModel::saying("Hello."));
    let acme = acme(&app, &model);
    let (here, there) = (app.folder().join(FILE_NAME), app.folder().join("elsewhere"));
    fs::rename(&here, &there).unwrap();
    assert!(not_ready(&app).starts_with("the database file was moved or deleted"));
    acme.post("/chat", ask("up/free")).fails(503, "SERVICE_UNAVAILABLE");
    acme.get("/agents").ok(200);
    // Another file in its place is not the one.
    fs::write(&here, "").unwrap();
    not_ready(&app);
    fs::rename(&there, &here).unwrap();
    app.anonymous().get("/readyz").ok(200);
    assert_eq!(acme.chat(ask("up/free")).text(), "Hello.");
    is_whole(&app);
}

#[test]
fn a_data_folder_that_is_deleted_is_told_and_nothing_is_acknowledged_into_the_void() {
    let (app, model) = (App::start(&[]), FakeModel::saying("Hello."));
    let acme = acme(&app, &model);
    fs::remove_dir_all(app.folder()).unwrap();
    assert!(not_ready(&app).starts_with("the database file was moved or deleted"));
    acme.post("/sessions", json!({})).fails(503, "SERVICE_UNAVAILABLE");
    app.anonymous().get("/healthz").ok(200);
    app.terminate();
    assert_eq!(app.exit_code(), Some(0));
    did_not_panic(&app);
}
