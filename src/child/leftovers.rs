//! What a killed server has left: found by the marks in its folder, and killed.
//!
//! A command itself dies with the server; what it has started need not. Its session keeps its process id, which is in
//! the mark, and as long as anything is in that session no other process gets that id.
//!
//! Rule: what is not surely ours is left alone. The file that was run proves nothing: `npx` becomes `node`.

use std::{
    fs, io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Pid;

use super::system::{self, Seen};

/// How names of marks end.
const ENDING: &str = "pid";
/// How long killed leftovers may take to be gone.
const GONE_WAIT: Duration = Duration::from_secs(2);
/// Between two looks at them: most are gone at the first.
const LOOK_INTERVAL: Duration = Duration::from_millis(4);

/// A child, and the process that has started it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    child: (i32, u64),
    parent: (i32, u64),
    boot: String,
}

/// Marks this process, before it becomes what its parent wants. Where the system does not tell when processes start, there is
/// no mark.
pub(super) fn mark(file: &Path, parent: u32) -> io::Result<()> {
    let born = |pid: u32| system::process(i32::try_from(pid).ok()?).map(|seen| (seen.pid, seen.start));
    let mark = || Some(Mark { child: born(std::process::id())?, parent: born(parent)?, boot: system::boot()? });
    mark().map_or(Ok(()), |mark| fs::write(file, mark.to_text()))
}

/// Kills what the marks in a folder name, with all that is in its session, and removes them. What a command that still
/// runs beside the server has started is left to it. How many there were.
pub fn end_leftovers(folder: &Path) -> usize {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let boot = system::boot();
    let (mut done, mut killed) = (Vec::new(), Vec::new());
    for file in files.filter(|file| file.extension().is_some_and(|ending| ending == ENDING)) {
        let mark = fs::read_to_string(&file).ok().and_then(|text| Mark::from_text(&text));
        let mark = mark.filter(|mark| boot.as_deref() == Some(&mark.boot));
        if mark.as_ref().is_some_and(|mark| mark.is_held(system::process)) {
            continue;
        }
        killed.extend(mark.and_then(|mark| mark.kill()));
        done.push(file);
    }
    wait_until_gone(&killed);
    // Whoever is killed here leaves the marks to the next.
    done.into_iter().for_each(|file| drop(fs::remove_file(file)));
    killed.len()
}

/// Waits for all that were killed at once: a start waits for the slowest of them and not for their sum.
fn wait_until_gone(killed: &[Pid]) {
    let deadline = Instant::now() + GONE_WAIT;
    let mut left: Vec<_> = killed.iter().collect();
    while !left.is_empty() && Instant::now() < deadline {
        thread::park_timeout(LOOK_INTERVAL);
        left.retain(|killed| !system::in_session(**killed).is_empty());
    }
}

/// How many processes [`end_leftovers`] would find; nothing is done to them.
pub fn leftovers(folder: &Path) -> usize {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let boot = system::boot();
    let marks = files.filter(|file| file.extension().is_some_and(|ending| ending == ENDING));
    let marks = marks.filter_map(|file| Mark::from_text(&fs::read_to_string(file).ok()?));
    let is_left = |mark: &Mark| {
        let pid = Pid::from_raw(mark.child.0);
        boot.as_deref() == Some(&mark.boot)
            && !mark.is_held(system::process)
            && pid.is_some_and(|pid| mark.owns(&system::in_session(pid)))
    };
    marks.filter(is_left).count()
}

impl Mark {
    /// The process that has started it still runs.
    fn is_held(&self, process: impl Fn(i32) -> Option<Seen>) -> bool {
        process(self.parent.0).is_some_and(|seen| seen.start == self.parent.1 && !seen.has_ended)
    }

    /// Whether those in a session of its id are its own, not a stranger's who has the id now: nobody in it is older, and who
    /// leads it, if anyone does, is the child itself.
    fn owns(&self, session: &[Seen]) -> bool {
        let (pid, start) = self.child;
        let own = |seen: &Seen| if seen.pid == pid { seen.start == start } else { seen.start >= start };
        !session.is_empty() && session.iter().all(own)
    }

    /// Kills its session, if it is its own; who leads it.
    fn kill(&self) -> Option<Pid> {
        let pid = Pid::from_raw(self.child.0)?;
        if !self.owns(&system::in_session(pid)) {
            return None;
        }
        system::kill_session(pid);
        Some(pid)
    }

    fn to_text(&self) -> String {
        let Mark { child: (pid, start), parent: (parent, since), boot } = self;
        format!("{pid} {start} {parent} {since} {boot}\n")
    }

    fn from_text(text: &str) -> Option<Self> {
        let words: Vec<_> = text.split_whitespace().collect();
        let [pid, start, parent, since, boot] = words[..] else { return None };
        let (pid, start) = (pid.parse().ok()?, start.parse().ok()?);
        Some(Mark { child: (pid, start), parent: (parent.parse().ok()?, since.parse().ok()?), boot: boot.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(pid: i32, start: u64) -> Seen {
        Seen { pid, session: 7, start, has_ended: false }
    }

    fn of(pid: i32) -> Mark {
        Mark { child: (pid, 100), parent: (5, 50), boot: "b/pid:[1]".into() }
    }

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        assert_eq!(Mark::from_text(&of(7).to_text()), Some(of(7)));
        for torn in ["", "7", "7 100 5 50", "7 100 5 50 b c", "x 100 5 50 b"] {
            assert_eq!(Mark::from_text(torn), None, "{torn}");
        }
    }

    #[test]
    fn a_stranger_with_the_same_id_is_left_alone() {
        assert!(of(7).owns(&[seen(7, 100)]) && of(7).owns(&[seen(7, 100), seen(9, 101)]));
        assert!(of(7).owns(&[seen(9, 100)]), "the child has gone, what it started has not");
        assert!(!of(7).owns(&[]));
        assert!(!of(7).owns(&[seen(7, 101)]), "another process has its id");
        assert!(!of(7).owns(&[seen(7, 101), seen(9, 120)]) && !of(7).owns(&[seen(9, 99)]));
    }

    #[test]
    fn what_a_running_command_has_started_is_its_own() {
        assert!(of(7).is_held(|pid| Some(seen(pid, 50))));
        assert!(!of(7).is_held(|pid| Some(seen(pid, 51))), "another process has its parent's id");
        assert!(!of(7).is_held(|pid| Some(Seen { has_ended: true, ..seen(pid, 50) })));
        assert!(!of(7).is_held(|_| None));
    }

    #[test]
    fn marks_of_another_boot_and_what_is_none_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        fs::write(file("old.pid"), of(1).to_text()).unwrap();
        fs::write(file("torn.pid"), "1").unwrap();
        fs::write(file("other.txt"), "1").unwrap();
        mark(&file("own.pid"), std::process::id()).unwrap();
        assert_eq!(end_leftovers(folder.path()), 0);
        let is_there = ["old.pid", "torn.pid", "other.txt", "own.pid"].map(|name| file(name).exists());
        assert_eq!(is_there, [false, false, true, true], "this process still runs, so its own stays");
        assert_eq!(end_leftovers(&file("nowhere")), 0);
    }
}
