//! MCP servers that are commands: what they say, how often they may end, and what is left of them.

use std::{os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use alm::{
    child::Children,
    secret::Secret,
    tools::mcp::stdio::{self, Commands, NotStarted, Process, Program},
};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::support::harness::{PATIENCE, until, wait};

/// The commands of a server with that data folder.
fn commands(folder: &Path) -> Commands {
    Commands::new(folder.into(), Arc::new(Children::new(Ok(env!("CARGO_BIN_EXE_alm").into()))))
}

/// A server that is this script for a shell.
fn script(server_id: &str, text: &str) -> Program {
    Program {
        server_id: server_id.into(),
        command: "sh".into(),
        args: vec!["-c".into(), text.into()],
        env: vec![("TOKEN".into(), Secret::new("s3cret-t0ken"))],
        folder: None,
        idle_max: None,
    }
}

/// Waits for what takes at most as long as a test is patient.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it takes too long")
}

/// The next message of a server's.
async fn message(process: &mut Process) -> String {
    let mut line = String::new();
    soon(BufReader::new(&mut process.stdout).read_line(&mut line)).await.unwrap();
    line
}

fn refused(started: Result<Process, NotStarted>) -> NotStarted {
    started.err().expect("it starts")
}

/// Answers each line with one message.
const ECHO: &str = r#"while read line; do echo "{\"jsonrpc\":\"2.0\",\"got\":$line}"; done"#;

#[test]
fn a_server_answers_line_by_line_and_the_rest_is_its_log_without_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    wait(async {
        let commands = commands(folder.path());
        let noisy = format!("echo starting with $TOKEN; echo \"key $TOKEN\" >&2; pwd >&2; {ECHO}");
        let mut process = commands.start(script("s", &noisy)).await.unwrap();
        process.stdin.write_all(b"1\n").await.unwrap();
        assert_eq!(message(&mut process).await, "{\"jsonrpc\":\"2.0\",\"got\":1}\n");
        assert_eq!(commands.pid("s"), Some(process.running.pid()));
        drop(process.stdin);
        assert_eq!(soon(process.running.ended()).await, "it ended (exit 0)");
        let own = folder.path().canonicalize().unwrap().join("mcp/s");
        let log = commands.log("s");
        for line in ["starting with ***\n", "key ***\n", &format!("{}\n", own.display()), "alm: it ended (exit 0)\n"] {
            assert!(log.contains(line), "{line}: {log}");
        }
        assert!(!log.contains("t0ken") && commands.pid("s").is_none());
        for made in ["mcp", "mcp/s", "run", "run/mcp"] {
            assert_eq!(folder.path().join(made).metadata().unwrap().permissions().mode() & 0o777, 0o700, "{made}");
        }
        commands.remove("s").await;
        assert!(!own.exists() && commands.log("s").is_empty());
    });
}

#[test]
fn a_line_past_the_bound_is_left_out_and_told_and_the_server_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    wait(async {
        let commands = commands(folder.path());
        let long = format!("read line; head -c 5242880 /dev/zero | tr '\\0' x; echo; {ECHO}");
        let mut process = commands.start(script("s", &long)).await.unwrap();
        let cuts = process.running.cuts();
        process.stdin.write_all(b"1\n2\n").await.unwrap();
        assert_eq!(message(&mut process).await, "{\"jsonrpc\":\"2.0\",\"got\":2}\n");
        assert_eq!(*cuts.borrow(), 1);
        assert!(commands.log("s").contains("alm: a line of more than 4194304 bytes was left out\n"));
    });
}

#[test]
fn a_flood_of_words_is_read_and_its_end_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    wait(async {
        let commands = commands(folder.path());
        let flood = format!("yes flood | head -c 20000000 >&2; yes garbage | head -c 20000000; {ECHO}");
        let mut process = commands.start(script("s", &flood)).await.unwrap();
        process.stdin.write_all(b"1\n").await.unwrap();
        assert_eq!(message(&mut process).await, "{\"jsonrpc\":\"2.0\",\"got\":1}\n");
        assert_eq!(commands.log("s").len(), stdio::STDERR_BYTES_MAX);
    });
}

#[test]
fn a_server_that_ends_by_itself_waits_longer_each_time_and_then_for_a_person() {
    let folder = tempfile::tempdir().unwrap();
    wait(async {
        let commands = commands(folder.path());
        for _ in 0..stdio::RESTARTS_MAX - 1 {
            // What we end ourselves is no failure.
            let told = commands.start(script("s", ECHO)).await.unwrap();
            drop(told.stdin);
            soon(told.running.ended()).await;
        }
        for ends in 1..=stdio::RESTARTS_MAX {
            assert_eq!(commands.failed("s"), None, "{ends}");
            let process = commands.start(script("s", "exit 7")).await.unwrap();
            assert_eq!(process.running.ended().await, "it ended (exit 7)");
        }
        let why = "it ended 5 times within a minute of its start (exit 7): read its log, then restart it";
        assert_eq!(commands.failed("s").as_deref(), Some(why));
        assert_eq!(refused(commands.start(script("s", ECHO)).await), NotStarted::Failed(why.into()));
        assert_eq!(commands.restarts(), u64::from(stdio::RESTARTS_MAX) - 1);
        commands.forget_ends("s");
        let process = commands.start(script("s", ECHO)).await.unwrap();
        assert!(!process.running.has_ended());
    });
}

#[test]
fn a_command_that_is_started_again_ends_first() {
    let folder = tempfile::tempdir().unwrap();
    wait(async {
        let commands = Arc::new(commands(folder.path()));
        let first = commands.start(script("s", ECHO)).await.unwrap();
        let second = soon(commands.start(script("s", ECHO))).await.unwrap();
        assert!(first.running.has_ended() && !second.running.has_ended());
        assert_eq!((commands.pid("s"), commands.restarts()), (Some(second.running.pid()), 0));
    });
}

#[test]
fn a_server_that_nobody_uses_is_stopped_and_one_in_use_is_not() {
    let folder = tempfile::tempdir().unwrap();
    wait(async {
        let commands = commands(folder.path());
        let idle = || Program { idle_max: Some(Duration::from_millis(50)), ..script("s", ECHO) };
        let mut process = commands.start(idle()).await.unwrap();
        let used = process.running.in_use();
        // As often as a thousand times that long.
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(50)).await;
        tokio::time::resume();
        process.stdin.write_all(b"1\n").await.unwrap();
        assert_eq!(message(&mut process).await, "{\"jsonrpc\":\"2.0\",\"got\":1}\n");
        drop(used);
        assert_eq!(soon(process.running.ended()).await, "it ended (exit 0)");
        // That is no failure: it starts at once when it is used again.
        soon(commands.start(idle())).await.unwrap();
        assert_eq!(commands.restarts(), 0);
    });
}

#[test]
fn one_more_than_processes_max_is_refused_and_a_drain_ends_all_of_them_in_time() {
    let folder = tempfile::tempdir().unwrap();
    wait(async {
        let commands = commands(folder.path());
        let mut running = Vec::new();
        for n in 0..stdio::PROCESSES_MAX {
            let deaf = "trap '' TERM; exec sleep 1000";
            running.push(commands.start(script(&format!("s{n}"), deaf)).await.unwrap());
        }
        let sentence = refused(commands.start(script("more", ECHO)).await);
        assert_eq!(sentence, NotStarted::Refused("32 commands run already: stop one".into()));
        commands.stop("s0").await;
        assert!(running[0].running.has_ended());
        soon(running[0].running.ended()).await;
        running.push(commands.start(script("more", ECHO)).await.unwrap());
        // The promise is 5 seconds; a loaded machine gets twice that.
        tokio::time::timeout(Duration::from_secs(10), commands.stop_all()).await.unwrap();
        assert!(running.iter().all(|process| process.running.has_ended()));
        let sentence = refused(commands.start(script("late", ECHO)).await);
        assert_eq!(sentence, NotStarted::Refused("the server is going down".into()));
    });
}

#[test]
fn commands_that_are_dropped_leave_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let pid = wait(async {
        let commands = commands(folder.path());
        let process = commands.start(script("s", "trap '' TERM; exec sleep 1000")).await.unwrap();
        process.running.pid()
    });
    until("it to be gone", || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
}

#[test]
fn two_processes_keep_marks_of_one_server_apart() {
    let folder = tempfile::tempdir().unwrap();
    wait(async {
        let beside =
            Commands::beside(folder.path().into(), Arc::new(Children::new(Ok(env!("CARGO_BIN_EXE_alm").into()))));
        let server = commands(folder.path());
        let running = [server.start(script("s", ECHO)).await.unwrap(), beside.start(script("s", ECHO)).await.unwrap()];
        for name in ["s.pid".to_owned(), format!("s.{}.pid", std::process::id())] {
            until("its mark", || folder.path().join("run/mcp").join(&name).exists().then_some(()));
        }
        assert!(running.iter().all(|process| !process.running.has_ended()));
    });
}

/// Set where a test runs in a process of its own.
const ALONE: &str = "ALM_TEST_ALONE";
const STARTS: usize = 1_000;
const STARTS_AT_ONCE: usize = 8;

/// The descriptors of this process, and its children.
fn held() -> (usize, usize) {
    let parent = |stat: String| stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok();
    let stat = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("stat")).ok();
    let processes = std::fs::read_dir("/proc").unwrap().flatten().filter_map(stat);
    let children = processes.filter_map(parent).filter(|parent: &u32| *parent == std::process::id()).count();
    (std::fs::read_dir("/proc/self/fd").unwrap().count(), children)
}

#[test]
fn a_thousand_starts_and_stops_leave_no_zombie_and_no_descriptor() {
    if std::env::var_os(ALONE).is_none() {
        // The other tests open files and start processes meanwhile.
        let name = "commands::a_thousand_starts_and_stops_leave_no_zombie_and_no_descriptor";
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        let ran = alone.args(["--exact", name, "--nocapture"]).env(ALONE, "1").output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    wait(async {
        let commands = commands(folder.path());
        let round = |n: usize| {
            let (commands, server) = (&commands, format!("s{n}"));
            async move {
                let process = commands.start(script(&server, "exec cat")).await.unwrap();
                soon(process.running.stop()).await;
                soon(process.running.ended()).await;
            }
        };
        round(0).await;
        let before = held();
        for _ in 0..STARTS / STARTS_AT_ONCE {
            futures_util::future::join_all((0..STARTS_AT_ONCE).map(round)).await;
        }
        assert_eq!(held(), before);
        assert_eq!((before.1, commands.restarts()), (0, 0));
    });
}
