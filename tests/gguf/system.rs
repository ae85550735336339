//! What the system says of processes: whether they run, what they are to each other, and what they listen on.

use std::{collections::HashSet, fs, os::unix::ffi::OsStrExt, path::Path};

/// Whether a process runs; one that only waits to be reaped does not.
pub fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// The ports that a process listens on, as the sockets it holds.
pub fn ports(pid: &str) -> usize {
    let held: HashSet<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let to = fs::read_link(entry.path()).ok()?;
            Some(to.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let tables = ["tcp", "tcp6"].map(|name| fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default());
    let listening = |line: &&str| line.split_whitespace().nth(3) == Some("0A");
    let inode = |line: &str| line.split_whitespace().nth(9).is_some_and(|inode| held.contains(inode));
    tables.iter().flat_map(|table| table.lines()).filter(listening).filter(|line| inode(line)).count()
}

/// How many threads a process has.
pub fn threads(pid: &str) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).unwrap().count()
}

/// What a process holds in memory, in bytes.
pub fn resident_bytes(pid: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1_024
}

/// The processes that run this program.
pub fn run(program: &Path) -> Vec<String> {
    let ids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let is_it = |pid: &String| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|byte| *byte == 0).collect();
        // The interpreter, its flags, the program; not who starts it.
        words.iter().take(3).any(|word| *word == program.as_os_str().as_bytes()) && runs(pid)
    };
    ids.filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit())).filter(is_it).collect()
}
