//! The crash proof: the real server, in use, is killed with SIGKILL at moments drawn from a seed, and started again.
//!
//! After every kill all that was acknowledged must be there, and nothing may be left half done. Rule: what a client heard is
//! the only witness; the file is read only to find what no client can see. The seed draws moments and questions; how the
//! threads and the two processes interleave is the machine's, so a failure's seed makes it likely and not certain.
//! `ALM_CRASH_KILLS` and `ALM_CRASH_SEED` choose; `ALM_CRASH_MESSAGES` names a file for every message that is left.
//! Deliberately absent: a power failure. What the kernel was given survives SIGKILL.

#[allow(dead_code)] // the API's suite uses the rest
#[path = "../support/mod.rs"]
mod support;

mod answers; // what is said to calls that wait
mod file; // what no client can see
mod heard; // a reply, as far as it was heard
mod life; // from ready to killed
mod model; // what the model says
mod once; // what is asked again after a restart
mod operator; // who works beside the server
mod person; // who uses it
mod server; // the process
mod starts; // starts that write, killed
mod talk; // one session, and what must be in it
mod tools; // tools that count

use std::{path::Path, str::FromStr, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use file::File;
use operator::Operator;
use person::{Counts, Person};
use server::Server;
use support::client::Client;
use tools::Tools;

/// Kills of a plain `cargo test`; the suite `tests/run crash` asks for hundreds.
const KILLS_DEFAULT: usize = 12;
/// People in each organization, all at once.
const PEOPLE: usize = 4;
/// US dollars that the organizations begin with: one never runs dry, the other does now and then.
const ORGS: [(&str, &str); 2] = [("rich", "1000.00"), ("poor", "0.02")];
/// Kills between two looks at everything.
const LOOK_KILLS: usize = 25;
/// What a restart may take, by the contract.
const RESTART_PROMISED: Duration = Duration::from_secs(2);

#[test]
fn whenever_it_is_killed_nothing_acknowledged_is_lost_and_nothing_is_half_done() {
    let kills_wanted = setting("ALM_CRASH_KILLS").unwrap_or(KILLS_DEFAULT);
    let seed = seed();
    println!("crash: {kills_wanted} kills from ALM_CRASH_SEED={seed}");
    let (mut rng, folder) = (StdRng::seed_from_u64(seed), tempfile::tempdir().unwrap());
    let folder = folder.path();
    let (model, tools) = (model::start(seed), Tools::start(folder, seed));
    let mut operator = Operator::new(folder.into(), ORGS.map(|(slug, _)| slug.to_owned()).to_vec());
    let mut people = Vec::new();
    for (slug, usd) in ORGS {
        let key = operator.set_up(slug, usd, &model.base_url());
        tools.declare(&operator, slug, folder);
        let someone = |seed| Person::new(Client::new("", Some(key.clone())), StdRng::seed_from_u64(seed));
        people.extend((0..PEOPLE).map(|_| someone(rng.random())));
    }
    let (mut server, first_start, died) = life::start(folder, &mut rng, Duration::ZERO);
    let (mut restarts, mut kills, mut kills_while_starting) = (vec![first_start], died, died);
    while kills < kills_wanted {
        life::live(&mut server, &mut people, &mut operator, &model, &mut rng);
        let (next, took, died) = life::start(folder, &mut rng, first_start);
        server = next;
        restarts.push(took);
        let looked = kills / LOOK_KILLS;
        kills += 1 + died;
        kills_while_starting += died;
        let all = kills / LOOK_KILLS > looked || kills >= kills_wanted;
        check(folder, &server, &mut people, &operator, &tools, all);
        if all {
            println!("crash: {kills} kills");
        }
    }
    server.stop();
    tools.check_processes(server.process());
    println!("proof: crash.seed {seed}");
    println!("proof: crash.kills {kills}");
    println!("proof: crash.kills_while_starting {kills_while_starting}");
    report(folder, &people, &operator, &tools, restarts);
}

/// Everything that must hold after a restart; of histories those that were touched, or all.
fn check(folder: &Path, server: &Server, people: &mut [Person], operator: &Operator, tools: &Tools, all: bool) {
    let file = File::open(folder);
    file.check();
    file.check_operator(operator);
    tools.check(&file);
    tools.check_processes(server.process());
    operator.check(server.url(), all);
    for person in people {
        person.check(server.url(), all);
        file.check_bills(&std::mem::take(&mut person.bills));
    }
    if all {
        File::check_search(folder);
        operator.run(&["ledger", "verify"]);
    }
}

/// One line for each figure, for `docs/proofs.md`.
fn report(folder: &Path, people: &[Person], operator: &Operator, tools: &Tools, mut restarts: Vec<Duration>) {
    let file = File::open(folder);
    let sum = |of: fn(&Counts) -> usize| people.iter().map(|person| of(&person.counts)).sum::<usize>();
    restarts.sort();
    let (calls, made_again) = tools.made();
    let slow = restarts.iter().filter(|took| **took > RESTART_PROMISED).count();
    let figures = [
        ("answers_heard_to_the_end", sum(|counts| counts.answers)),
        ("answers_cut_off", sum(|counts| counts.cut)),
        ("answers_replaced", sum(|counts| counts.replaced)),
        ("answers_continued", sum(|counts| counts.continued)),
        ("replies_left_and_rejoined", sum(|counts| counts.rejoined)),
        ("turns", file.count("SELECT count(*) FROM turn")),
        ("turns_stopped", file.count("SELECT count(*) FROM turn WHERE status = 'stopped'")),
        ("turns_interrupted", file.count("SELECT count(*) FROM turn WHERE status = 'interrupted'")),
        ("sessions_and_messages_acknowledged", sum(|counts| counts.writes)),
        ("deposits_acknowledged", operator.deposits.len()),
        ("keys_made", operator.keys()),
        ("keys_revoked", operator.revoked()),
        ("requests_repeated_by_their_key", sum(|counts| counts.repeated)),
        ("calls_made", calls),
        ("calls_made_again_as_they_may_be", made_again),
        ("calls_that_may_have_happened", file.count("SELECT count(*) FROM tool_call WHERE status = 'unknown'")),
        ("calls_allowed_and_denied", sum(|counts| counts.calls_answered)),
        ("calls_answered_at_the_command_line", operator.answered.len()),
        ("calls_that_still_waited_after_a_kill", sum(|counts| counts.calls_still_waiting)),
        ("calls_paid_for", file.count("SELECT count(*) FROM tool_call WHERE cost > 0")),
        ("histories_compared", sum(|counts| counts.compared)),
        ("ledger_entries", file.count("SELECT count(*) FROM ledger_entry")),
        ("file_bytes", file.count("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")),
        ("restart_ms_median", restarts[restarts.len() / 2].as_millis() as usize),
        ("restart_ms_max", restarts[restarts.len() - 1].as_millis() as usize),
        ("restarts_over_2s", slow),
    ];
    for (name, figure) in figures {
        println!("proof: crash.{name} {figure}");
    }
    if let Ok(to) = std::env::var("ALM_CRASH_MESSAGES") {
        file.dump(Path::new(&to));
    }
}

/// What everything is drawn from.
fn seed() -> u64 {
    setting("ALM_CRASH_SEED").unwrap_or_else(|| rand::random::<u32>().into())
}

/// A setting of the environment, if it is there.
fn setting<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is to be a number, not {text}")))
}
