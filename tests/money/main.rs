//! Money under any order of events: what the ledger is for, held against a model of it.

use alm::store::{
    Store, Tenant,
    turns::{Hold, Outcome},
};
use proptest::prelude::*;

mod world; // a file, what happens to it, and what must be true of it then

use world::{Event, ORGS, PAID_MODEL, World, any_event, begin, ended};

/// Orders of events that are tried.
const CASES: u32 = 256;
/// Events in one of them.
const EVENTS_MAX: usize = 80;
/// Tasks that write at once, and what each of them does.
const TASKS: usize = 64;
const TURNS_PER_TASK: usize = 16;

#[test]
fn whatever_happens_in_whatever_order_the_ledger_adds_up() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let (events, charges) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let orders = prop::collection::vec(any_event(), 1..=EVENTS_MAX);
    runner
        .run(&orders, |order| {
            events.set(events.get() + order.len());
            let mut world = World::new();
            for event in order {
                world.happen(event);
                world.check();
            }
            let charged =
                world.store.audit().unwrap().books.iter().map(|book| book.turns_charged as usize).sum::<usize>();
            charges.set(charges.get() + charged);
            Ok(())
        })
        .unwrap();
    assert!(charges.get() > 0, "no order of events charged anything: it proves nothing");
    println!("proof: money.cases {CASES}");
    println!("proof: money.events {}", events.get());
    println!("proof: money.charges {}", charges.get());
}

#[test]
fn a_hold_of_less_than_nothing_holds_nothing() {
    let mut world = World::new();
    world.happen(Event::Deposit { org: 0, amount: 10 });
    for at_most in [-1, 0, 1] {
        world.happen(Event::Begin { org: 0, hold: Some((0, at_most)) });
        world.check();
    }
}

#[test]
fn whoever_writes_at_once_spends_no_more_than_there_is() {
    let world = World::new();
    // A second process has a writer of its own, as a command beside the server.
    let beside = Store::open(world.folder.path(), 2).unwrap();
    let turns = |store: Store, tenant: Tenant, task: usize| async move {
        for turn in 0..TURNS_PER_TASK {
            if turn % 4 == 0 {
                store.org(&tenant).deposit(500, String::new()).await.unwrap();
            }
            let Ok(begun) = begin(&store, &tenant, Some((100, 400))).await else { continue };
            let hold = Hold { at_least: 0, at_most: 200 };
            store.org(&tenant).hold_more(begun.turn_id.clone(), PAID_MODEL.into(), hold).await.unwrap();
            let cost = ((task * TURNS_PER_TASK + turn) * 37 % 900) as i64;
            // Twice at once, as a stop and an end that meet.
            let org = store.org(&tenant);
            let (first, second) = tokio::join!(
                org.end_turn(ended(&begun, Outcome::Complete, cost)),
                org.end_turn(ended(&begun, Outcome::Stopped, 1))
            );
            first.and(second).unwrap();
        }
    };
    world.runtime.block_on(async {
        let tasks = (0..TASKS).map(|task| {
            let store = if task % 8 == 0 { beside.clone() } else { world.store.clone() };
            tokio::spawn(turns(store, world.tenants[task % ORGS].clone(), task))
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
    let audit = world.store.audit().unwrap();
    assert!(audit.is_sound(), "{:#?}", audit.findings);
    let deposits = TASKS * TURNS_PER_TASK.div_ceil(4);
    assert_eq!(audit.books.iter().map(|book| book.deposited).sum::<i64>(), 500 * deposits as i64);
    for book in &audit.books {
        assert_eq!((book.balance, book.held), (book.deposited - book.charged, 0), "{book:?}");
        assert!(book.charged > 0 && book.balance >= 0, "{book:?}");
    }
    println!("proof: money.tasks_at_once {TASKS}");
}

/// What an audit finds in a file after a foreign hand wrote in it, past the triggers. The file has a deposit (entry 1), a
/// turn that was charged 15 (entries 2 and 3), one that was released (4 and 5), and one that runs (6).
fn audit_after(change: &str) -> Vec<String> {
    let mut world = World::new();
    world.happen(Event::Deposit { org: 0, amount: 10_000 });
    for (turn, cost) in [(0, Some(15)), (1, Some(0)), (2, None)] {
        world.begin(0, Some((10, 400)));
        cost.into_iter().for_each(|cost| world.end(turn, Outcome::Complete, cost));
    }
    world.check();
    let file = rusqlite::Connection::open(world.folder.path().join(alm::store::file::FILE_NAME)).unwrap();
    file.execute_batch(
        "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; DROP TRIGGER ledger_applied;
         DROP TRIGGER ledger_unchanged; DROP TRIGGER ledger_undeleted;",
    )
    .unwrap();
    file.execute_batch(change).unwrap();
    let audit = world.store.audit().unwrap();
    assert_eq!(audit.is_sound(), audit.findings.is_empty());
    audit.findings
}

#[test]
fn what_was_written_past_the_triggers_is_found_and_said() {
    let copy_of = |seq: i64, kind: &str| {
        format!(
            "INSERT INTO ledger_entry (id, org_id, kind, balance_delta, held_delta, turn_id, created_at)
             SELECT 'x', org_id, '{kind}', balance_delta, held_delta, turn_id, 0 FROM ledger_entry WHERE seq = {seq}"
        )
    };
    for (change, findings) in [
        ("UPDATE org SET balance = 9999 WHERE slug = 'org-0'", &["org-0: the stored balance is 0.009999 USD"][..]),
        ("UPDATE org SET held = 0 WHERE slug = 'org-0'", &["org-0: the stored hold is 0.00 USD"]),
        ("UPDATE org SET balance = 1 WHERE slug = 'org-1'", &["its entries add up to 0.00 USD"]),
        ("UPDATE ledger_entry SET balance_delta = 20000 WHERE seq = 1", &["its entries add up to 0.019985 USD"]),
        ("UPDATE ledger_entry SET balance_delta = -20000 WHERE seq = 1", &["entry 1 has amounts", "after entry 1"]),
        (
            "UPDATE ledger_entry SET held_delta = 0 WHERE seq = 1; UPDATE ledger_entry SET kind = 'gift' WHERE seq = 1",
            &["amounts that are impossible for a gift"],
        ),
        ("UPDATE ledger_entry SET seq = 99 WHERE seq = 1", &["after entry 2", "numbers have gaps: 93 missing"]),
        ("DELETE FROM ledger_entry WHERE seq = 3", &["still holds 0.0004 USD", "gaps: 1", "charged 0.00 USD"]),
        ("DELETE FROM ledger_entry WHERE seq IN (2, 3)", &["has a cost that was never charged"]),
        (&copy_of(3, "settle"), &["was settled 2 times", "was charged 0.00003 USD, but its row says 0.000015 USD"]),
        (&copy_of(2, "reserve"), &["has a hold after it was settled", "has ended, but still holds 0.0004 USD"]),
        ("UPDATE turn SET cost = 14 WHERE cost = 15", &["its row says 0.000014 USD", "0.000014 USD of usage"]),
        ("UPDATE turn SET status = 'running' WHERE cost = 15", &["is running, but was settled"]),
        ("UPDATE turn SET status = 'error' WHERE status = 'running'", &["has ended, but still holds"]),
        ("DELETE FROM turn WHERE cost = 15", &["was charged 0.000015 USD, but does not exist"]),
        ("UPDATE ledger_entry SET org_id = 'nobody' WHERE seq = 1", &["entry 1 belongs to no organization"]),
        (
            "UPDATE ledger_entry SET org_id = (SELECT id FROM org WHERE slug = 'org-1') WHERE seq = 3",
            &["has entries of another organization"],
        ),
        (
            "UPDATE ledger_entry SET balance_delta = -401, held_delta = -400 WHERE seq = 3",
            &["entry 3 has amounts", "was charged 0.000401 USD, but only 0.0004 USD was held"],
        ),
    ] {
        let found = audit_after(change);
        for finding in findings {
            assert!(found.iter().any(|found| found.contains(finding)), "{change}: {finding} is not in {found:#?}");
        }
    }
    assert_eq!(audit_after("DELETE FROM org WHERE slug = 'none'"), Vec::<String>::new(), "what is sound is sound");
}
