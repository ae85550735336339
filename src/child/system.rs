//! What the system says of processes. Where it says nothing, there are none.

use std::fs;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// A process, as `/proc` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub pid: i32,
    /// The process whose session it is in.
    pub session: i32,
    /// When it started, in ticks of the clock since the machine did.
    pub start: u64,
    /// Whether it has ended, and only its parent has not heard of it.
    pub has_ended: bool,
}

/// The process of that id.
pub(super) fn process(pid: i32) -> Option<Seen> {
    of_stat(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name of a program may hold anything, so what follows it is counted from the last bracket.
fn of_stat(pid: i32, stat: &str) -> Option<Seen> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<i64>().ok();
    Some(Seen {
        pid,
        session: i32::try_from(number(3)?).ok()?,
        start: fields.get(19)?.parse().ok()?,
        has_ended: matches!(*fields.first()?, "Z" | "X"),
    })
}

/// The memory that a process holds.
pub(super) fn resident_bytes(pid: Pid) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The processes that run in the session of that process; itself, if it runs.
pub(super) fn in_session(leader: Pid) -> Vec<Seen> {
    let ids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let running = ids.filter_map(process).filter(|seen| !seen.has_ended);
    running.filter(|seen| seen.session == leader.as_raw_nonzero().get()).collect()
}

/// Kills all that runs in the session of that process: its group at once, and what has left the group for one of its own.
pub(super) fn kill_session(leader: Pid) {
    let _ = kill_process_group(leader, Signal::KILL);
    for pid in in_session(leader).iter().filter_map(|seen| Pid::from_raw(seen.pid)) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// What tells this run of the machine, and this space of process ids, from all others.
pub(super) fn boot() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let space = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{}/{}", boot.trim(), space.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_off_its_line_whatever_its_name() {
        let rest = "1 77 76 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 1 2";
        let seen = Seen { pid: 78, session: 76, start: 123_456, has_ended: false };
        assert_eq!(of_stat(78, &format!("78 (a) R 1 2 (b)) S {rest}")), Some(seen));
        assert_eq!(of_stat(78, &format!("78 (x) Z {rest}")), Some(Seen { has_ended: true, ..seen }));
        for nothing in ["", "78 (x", "78 (x) S 1 77"] {
            assert_eq!(of_stat(78, nothing), None);
        }
    }

    #[test]
    fn this_process_is_seen() {
        let id = i32::try_from(std::process::id()).unwrap();
        let seen = process(id).unwrap();
        assert!(!seen.has_ended && seen.start > 0);
        assert!(resident_bytes(Pid::from_raw(id).unwrap()).unwrap() > 1 << 20);
        // Whoever leads its session may live in another space of process ids; then the session has no number here.
        let leader = Pid::from_raw(seen.session);
        assert!(leader.is_none_or(|leader| in_session(leader).contains(&seen)));
        assert!(boot().unwrap().contains("/pid:["));
    }
}
