//! What the machine gives: descriptors, a folder, a disk.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use super::check::Check;
use crate::{
    cli::text::{others_may_write, size_text},
    error::{Error, Result},
    store::file::{
        copy,
        disk::{Disk, Kind},
        open_to_writers,
    },
};

/// Open files that a full server uses: as many connections and turns as it takes, each with a socket, and some room.
const FILES_WANTED: u64 = 16_384;
/// Room below which a server is about to stop writing.
const FREE_BYTES_MIN: u64 = 64_000_000;
/// Room below which a person should look.
const FREE_BYTES_LOW: u64 = 1_000_000_000;

/// The bits of a mode by which others than the owner get in.
pub(super) const OTHERS: u32 = 0o077;

/// The server raises the soft limit by itself.
pub(super) fn check_limits() -> Check {
    let looked = rlimit::Resource::NOFILE.get().map_err(Error::internal);
    Check::of("open files", looked.map(|(_, hard)| of_limit(hard)))
}

fn of_limit(hard: u64) -> Check {
    match hard {
        rlimit::INFINITY => Check::ok("open files", "no limit"),
        FILES_WANTED.. => Check::ok("open files", format!("at most {hard}")),
        _ => Check::warn(
            "open files",
            format!(
                "at most {hard}, but a full server needs {FILES_WANTED}: raise it with LimitNOFILE= in systemd or `ulimit -Hn`"
            ),
        ),
    }
}

/// Whose the folder is, and what was left in it.
pub(super) fn check_folder(folder: &Path) -> Check {
    let look = || {
        let mode = fs::metadata(folder)?.permissions().mode();
        let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let names = names.collect::<std::io::Result<Vec<_>>>()?;
        let open = open_to_writers(folder)?;
        let left_over: Vec<_> = names.into_iter().filter(|name| name.starts_with(copy::DRAFT_PREFIX)).collect();
        let place = folder.display();
        if let Some(open) = open {
            return Ok(Check::fail("folder", others_may_write(&open)));
        }
        Ok(match left_over.as_slice() {
            _ if mode & OTHERS != 0 => {
                Check::warn("folder", format!("other users can read {place}: run `chmod 700 {place}`"))
            }
            [] => Check::ok("folder", place.to_string()),
            _ => {
                Check::warn("folder", format!("an unfinished copy is left in {place}: delete {}", left_over.join(", ")))
            }
        })
    };
    let looked: std::io::Result<Check> = look();
    Check::of("folder", looked.map_err(|error| Error::failed(format!("cannot read {}: {error}", folder.display()))))
}

/// The folder of a key file that lies elsewhere.
pub(super) fn check_key_folder(folder: &Path) -> Check {
    let looked = open_to_writers(folder).map(|open| match open {
        None => Check::ok("key folder", folder.display().to_string()),
        Some(open) => Check::fail("key folder", others_may_write(&open)),
    });
    Check::of("key folder", looked.map_err(|error| Error::failed(format!("cannot read {}: {error}", folder.display()))))
}

/// What disk the folder is on.
pub(super) fn check_disk(folder: &Path) -> Check {
    let looked: Result<Check> = Disk::under(folder).map(of_disk);
    Check::of("disk", looked)
}

fn of_disk(disk: Disk) -> Check {
    let free = size_text(disk.free_bytes);
    let name = disk.name;
    match (disk.kind, disk.free_bytes) {
        (Kind::Network, _) => Check::fail(
            "disk",
            format!("{name} is a network file system, which can damage a database: move the folder to a local disk"),
        ),
        (_, ..FREE_BYTES_MIN) => Check::fail("disk", format!("only {free} free: make room before writes fail")),
        (Kind::Unknown, _) => Check::warn(
            "disk",
            format!(
                "{free} free; what is behind {name} is unknown: if it is a network, move the folder to a local disk"
            ),
        ),
        (Kind::Memory, _) => Check::warn("disk", format!("{free} free; {name} is lost when the machine stops")),
        (Kind::Local, ..FREE_BYTES_LOW) => Check::warn("disk", format!("only {free} free")),
        (Kind::Local, _) => Check::ok("disk", format!("{free} free")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::check::Level;

    #[test]
    fn a_disk_is_judged_by_its_kind_and_its_room() {
        let level = |kind, free_bytes| of_disk(Disk { kind, name: "x", free_bytes }).level;
        assert_eq!(level(Kind::Local, 5 * FREE_BYTES_LOW), Level::Ok);
        assert_eq!(level(Kind::Local, FREE_BYTES_LOW - 1), Level::Warn);
        assert_eq!(level(Kind::Local, FREE_BYTES_MIN - 1), Level::Fail);
        assert_eq!(level(Kind::Network, u64::MAX), Level::Fail);
        assert_eq!(level(Kind::Unknown, u64::MAX), Level::Warn);
        assert_eq!(level(Kind::Memory, u64::MAX), Level::Warn);
    }

    #[test]
    fn a_low_limit_is_a_warning() {
        assert_eq!(of_limit(1_024).level, Level::Warn);
        assert_eq!(of_limit(FILES_WANTED).level, Level::Ok);
        assert_eq!(of_limit(rlimit::INFINITY).level, Level::Ok);
    }
}
