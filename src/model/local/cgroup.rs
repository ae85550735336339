//! What the system says of memory: how much is free for this process's children, and whether one was killed for want of it.
//!
//! Rule: what the system does not say is no bound.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where the system shows its groups.
const ROOT: &str = "/sys/fs/cgroup";

/// A group's files, which the two versions of groups call differently.
#[derive(Clone, Copy)]
struct Files {
    most: &'static str,
    used: &'static str,
    /// Of what is used, what the system takes back when it is needed.
    spare: &'static str,
    kills: &'static str,
}

const V1: Files = Files {
    most: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    spare: "total_inactive_file",
    kills: "memory.oom_control",
};
const V2: Files = Files { most: "memory.max", used: "memory.current", spare: "inactive_file", kills: "memory.events" };

/// Bytes that are free, by the machine and by every group that this process is in.
pub(super) fn free_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| available(&text));
    groups().into_iter().filter_map(|(folder, files)| room(&folder, files)).chain(machine).min().unwrap_or(u64::MAX)
}

/// How many processes of its group the system has killed for want of memory.
pub(super) fn kills() -> Option<u64> {
    let mut groups = groups().into_iter();
    groups.find_map(|(folder, files)| number(&fs::read_to_string(folder.join(files.kills)).ok()?, "oom_kill"))
}

fn available(meminfo: &str) -> Option<u64> {
    number(meminfo, "MemAvailable:")?.checked_mul(1024)
}

/// What a group may still take.
fn room(folder: &Path, files: Files) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let most: u64 = read(files.most)?.trim().parse().ok()?;
    let used: u64 = read(files.used)?.trim().parse().ok()?;
    let spare = read("memory.stat").and_then(|text| number(&text, files.spare)).unwrap_or(0);
    Some(most.saturating_sub(used.saturating_sub(spare)))
}

/// The number behind a word at the beginning of a line.
fn number(text: &str, word: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == word).then(|| words.next()?.parse().ok())?
    })
}

/// The groups that this process is in, its own first.
fn groups() -> Vec<(PathBuf, Files)> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    paths(&own).into_iter().filter(|(folder, _)| folder.is_dir()).collect()
}

fn paths(own: &str) -> Vec<(PathBuf, Files)> {
    let up = |folder: &Path, path: &str, files: Files| {
        // In a container the path may be the host's, which is not there; its root then is the group itself.
        let path = Path::new(path.trim_start_matches('/'));
        path.ancestors().map(|part| (folder.join(part), files)).collect::<Vec<_>>()
    };
    let of_line = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (_, kinds, path) = (fields.next()?, fields.next()?, fields.next()?);
        match kinds {
            "" => Some(up(Path::new(ROOT), path, V2)),
            kinds if kinds.split(',').any(|kind| kind == "memory") => {
                Some(up(&Path::new(ROOT).join("memory"), path, V1))
            }
            _ => None,
        }
    };
    own.lines().filter_map(of_line).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_available_is_read_off_its_line() {
        let text = "MemTotal:       24684000 kB\nMemFree:  1 kB\nMemAvailable:   22000000 kB\nBuffers: 2 kB\n";
        assert_eq!(available(text), Some(22_000_000 * 1024));
        assert_eq!((available("MemTotal: 5 kB\n"), available("MemAvailable: x kB")), (None, None));
        assert_eq!(number("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "oom_kill"), Some(3));
    }

    #[test]
    fn what_a_group_may_still_take_counts_what_the_system_takes_back() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        assert_eq!(room(folder.path(), V2), None);
        write("memory.max", "1000\n");
        write("memory.current", "900\n");
        assert_eq!(room(folder.path(), V2), Some(100));
        write("memory.stat", "anon 5\ninactive_file 300\n");
        assert_eq!(room(folder.path(), V2), Some(400));
        write("memory.max", "max\n");
        assert_eq!(room(folder.path(), V2), None, "no bound");
        write("memory.limit_in_bytes", "50\n");
        write("memory.usage_in_bytes", "60\n");
        assert_eq!(room(folder.path(), V1), Some(0));
    }

    #[test]
    fn a_process_is_in_its_group_and_in_all_above() {
        let of = |own: &str| paths(own).into_iter().map(|(path, _)| path.display().to_string()).collect::<Vec<_>>();
        let own = "4:cpu,memory:/a/b\n1:cpu:/x\n0::/u/v\n";
        let expected = ["memory/a/b", "memory/a", "memory/", "u/v", "u", ""].map(|path| format!("{ROOT}/{path}"));
        assert_eq!(of(own), expected);
        assert_eq!(of("0::/\n"), [format!("{ROOT}/")]);
        assert!(of("").is_empty() && of("1:memory").is_empty());
        assert!(free_bytes() > 0);
    }
}
