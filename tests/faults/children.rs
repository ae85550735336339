//! Commands that the server starts: what they are given, how they end, and what is left of them.

use std::{path::Path, time::Duration};

use alm::child::{Children, Command, Exit, HandedOn, Started, end_leftovers, leftovers};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::harness::{PATIENCE, Ran, alm, until, wait};

/// What starts children by the real binary. With it they go.
fn children() -> Children {
    Children::new(Ok(env!("CARGO_BIN_EXE_alm").into()))
}

/// A shell that runs this in a folder.
fn shell(folder: &Path, script: &str) -> Command {
    Command {
        program: "sh".into(),
        args: vec!["-c".into(), script.into()],
        handed_on: HandedOn::USUAL,
        nice: None,
        env: vec![("OWN".into(), "a b".into()), ("ALM_ORG".into(), "x".into())],
        folder: folder.into(),
        pid_file: folder.join("x.pid"),
    }
}

/// Waits for what takes at most as long as a test is patient.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it takes too long")
}

/// All that a child says until it ends.
async fn said(child: &mut Started) -> String {
    let mut text = String::new();
    soon(child.stdout.read_to_string(&mut text)).await.unwrap();
    text
}

/// The next line of a child's.
async fn line(child: &mut Started) -> String {
    let mut text = String::new();
    while !text.ends_with('\n') {
        text.push(char::from(soon(child.stdout.read_u8()).await.unwrap()));
    }
    text.trim_end().to_owned()
}

/// Whether a process runs; one that only waits to be reaped does not.
pub fn runs(pid: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    state
        .and_then(|stat| Some(stat.rsplit_once(')')?.1.trim_start().to_owned()))
        .is_some_and(|rest| !rest.starts_with('Z'))
}

#[test]
fn a_command_has_its_own_session_limits_and_environment() {
    let folder = tempfile::tempdir().unwrap();
    wait(async {
        let script = "pwd; ulimit -c; ulimit -n; cut -d' ' -f5,6 /proc/$$/stat; echo $$; read line; echo \"got $line\"";
        let starter = children();
        let mut child = starter.start(&shell(folder.path(), script)).await.unwrap();
        assert_eq!(line(&mut child).await, folder.path().canonicalize().unwrap().to_str().unwrap());
        assert_eq!((&*line(&mut child).await, &*line(&mut child).await), ("0", "1024"));
        let (group, pid) = (line(&mut child).await, line(&mut child).await);
        assert_eq!((group, pid.clone()), (format!("{pid} {pid}"), child.process.pid().to_string()));
        child.stdin.write_all(b"x\n").await.unwrap();
        assert_eq!(line(&mut child).await, "got x");
        assert_eq!(soon(child.process.ended()).await, Exit::Code(0));
    });
}

#[test]
fn a_command_sees_the_eight_variables_and_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let handed_on = ["HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER"];
    let mut expected: Vec<_> = handed_on.into_iter().filter(|name| std::env::var_os(name).is_some()).collect();
    expected.push("OWN");
    expected.sort_unstable();
    wait(async {
        let environment = Command { program: "env".into(), args: Vec::new(), ..shell(folder.path(), "") };
        let starter = children();
        let mut child = starter.start(&environment).await.unwrap();
        let text = said(&mut child).await;
        let mut names: Vec<_> = text.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        names.sort_unstable();
        assert_eq!(names, expected);
        assert!(text.contains("OWN=a b\n"));
    });
}

#[test]
fn a_command_that_cannot_be_started_is_a_sentence_or_says_so_itself() {
    let folder = tempfile::tempdir().unwrap();
    let start = |program: &str| {
        let command = Command { program: program.into(), ..shell(folder.path(), "") };
        wait(children().start(&command))
    };
    let sentence = start("no-such-program").err().unwrap();
    let path = std::env::var("PATH").unwrap();
    let expected = format!("no-such-program: not found in PATH ({path}): give the full path, or -e PATH=…");
    assert_eq!(sentence, expected);
    let script = folder.path().join("script");
    std::fs::write(&script, "#!/no/interpreter\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    wait(async {
        let command = Command { program: "./script".into(), ..shell(folder.path(), "") };
        let starter = children();
        let mut child = starter.start(&command).await.unwrap();
        let mut text = String::new();
        soon(child.stderr.read_to_string(&mut text)).await.unwrap();
        assert!(text.contains("script does not start: No such file or directory"), "{text}");
        assert_eq!(soon(child.process.ended()).await, Exit::Code(1));
    });
    let no_alm = Children::new(Ok("/no/alm".into()));
    let sentence = wait(no_alm.start(&shell(folder.path(), ""))).err().unwrap();
    assert_eq!(sentence, "sh does not start: No such file or directory (os error 2)");
}

#[test]
fn whoever_is_not_its_parent_starts_no_command() {
    for parent in ["1", "4000000000"] {
        let ran = Ran::of(&mut alm(&["__child", parent, "--", "/bin/echo", "x"]));
        assert!(ran.fails(1).contains(&format!("process {parent} is not its parent any more")), "{ran:?}");
    }
    let own = std::process::id().to_string();
    let nice = |flags: &[&str]| -> i32 {
        let child = [&["__child", &own], flags, &["--", "/bin/sh", "-c", "nice"]].concat();
        Ran::of(&mut alm(&child)).ok().parse().unwrap()
    };
    assert_eq!(nice(&["--nice", "3"]) - nice(&[]), 3);
    assert!(!Ran::of(&mut alm(&["--help"])).ok().contains("__child"));
}

#[test]
fn a_command_is_stopped_with_all_that_it_has_started() {
    let folder = tempfile::tempdir().unwrap();
    // By the end of its stdin, by the signal, and by force; each has started another that hears nothing.
    let deaf = "(trap '' TERM HUP; exec sleep 1000) & echo $!";
    let ends = [
        (format!("{deaf}; read line; exit 3"), Exit::Code(3)),
        (format!("{deaf}; exec sleep 1000"), Exit::Signal(15)),
        (format!("trap '' TERM; {deaf}; exec sleep 1000"), Exit::Signal(9)),
    ];
    for (script, exit) in ends {
        wait(async {
            let starter = children();
            let mut child = starter.start(&shell(folder.path(), &script)).await.unwrap();
            let grandchild = line(&mut child).await;
            assert!(folder.path().join("x.pid").exists() && runs(&grandchild), "{script}");
            drop(child.stdin);
            // A stop has a bound of its own.
            tokio::time::timeout(Duration::from_secs(10), child.process.stop()).await.unwrap();
            assert_eq!(child.process.exit(), Some(exit), "{script}");
            assert!(!folder.path().join("x.pid").exists(), "{script}");
            // What was killed is gone a moment later.
            until("the other to be gone", || (!runs(&grandchild)).then_some(()));
        });
    }
}

#[test]
fn a_command_that_nobody_holds_any_more_is_killed_with_all_that_it_has_started() {
    let folder = tempfile::tempdir().unwrap();
    let script = "sleep 1000 & echo $!; exec sleep 1000";
    let pids = wait(async {
        let children = children();
        let mut child = children.start(&shell(folder.path(), script)).await.unwrap();
        [line(&mut child).await, child.process.pid().to_string()]
    });
    until("both to be gone", || pids.iter().all(|pid| !runs(pid)).then_some(()));
    until("its mark to be removed", || (!folder.path().join("x.pid").exists()).then_some(()));
}

#[test]
fn what_a_killed_server_leaves_is_ended_by_its_mark_and_a_stranger_is_not() {
    let folder = tempfile::tempdir().unwrap();
    // It starts one of its own and one in a group of its own, and then it is gone without a word, as with its server.
    let script = "sleep 1000 & echo $!; set -m; sleep 1000 & echo $!; read line";
    let pids = wait(async {
        let starter = children();
        let mut child = starter.start(&shell(folder.path(), script)).await.unwrap();
        let pids = [line(&mut child).await, line(&mut child).await];
        let mark = std::fs::read_to_string(folder.path().join("x.pid")).unwrap();
        let words: Vec<_> = mark.split(' ').collect();
        assert_eq!(words[0], child.process.pid().to_string());
        // Marks of one with another start, of another boot, and of a server that has gone.
        let start: u64 = words[1].parse().unwrap();
        let stranger = format!("{} {} 5000000 0 {}", words[0], start - 1, words[4]);
        let other_boot = format!("{} {start} 5000000 0 other/pid:[1]\n", words[0]);
        std::fs::remove_file(folder.path().join("x.pid")).unwrap();
        for (name, text) in [("stranger.pid", stranger), ("boot.pid", other_boot)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        assert_eq!((leftovers(folder.path()), end_leftovers(folder.path())), (0, 0));
        assert!(child.process.exit().is_none() && pids.iter().all(|pid| runs(pid)));
        std::fs::write(folder.path().join("left.pid"), format!("{} {start} 5000000 0 {}", words[0], words[4])).unwrap();
        assert_eq!((leftovers(folder.path()), leftovers(folder.path())), (1, 1), "to count them does nothing to them");
        assert_eq!(end_leftovers(folder.path()), 1);
        assert_eq!(soon(child.process.ended()).await, Exit::Signal(9));
        pids
    });
    assert!(pids.iter().all(|pid| !runs(pid)));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "marks go with what they marked");
}
