//! The disk under the data folder: what kind of file system, and how much free space.
//!
//! Rule: a network file system is refused. SQLite's log is shared memory between processes, which a network does not
//! carry, and its locks are only as good as the server's: two machines would each believe that they are alone.

use std::path::Path;

use rustix::fs::{StatFs, statfs};

use crate::{
    error::{Error, Result},
    store::fault::cannot_use,
};

/// What the kernel calls the file systems that matter here (`statfs(2)`, `linux/magic.h`).
const KINDS: [(u32, &str, Kind); 15] = [
    (0x6969, "NFS", Kind::Network),
    (0x517b, "SMB", Kind::Network),
    (0xfe53_4d42, "SMB", Kind::Network),
    (0xff53_4d42, "CIFS", Kind::Network),
    (0x5346_414f, "AFS", Kind::Network),
    (0x6b41_4653, "AFS", Kind::Network),
    (0x7375_7245, "Coda", Kind::Network),
    (0x00c3_6400, "Ceph", Kind::Network),
    (0x0bd0_0bd0, "Lustre", Kind::Network),
    (0x4750_4653, "GPFS", Kind::Network),
    (0x7461_636f, "OCFS2", Kind::Network),
    (0x6573_5546, "FUSE", Kind::Unknown),
    (0x0102_1997, "9P", Kind::Unknown),
    (0x0102_1994, "tmpfs", Kind::Memory),
    (0x8584_58f6, "ramfs", Kind::Memory),
];

/// What a file system does to a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Keeps it.
    Local,
    /// Breaks it.
    Network,
    /// What is behind it, it does not say.
    Unknown,
    /// Forgets it at the next boot.
    Memory,
}

/// The file system of a folder.
#[derive(Debug, Clone, Copy)]
pub struct Disk {
    pub kind: Kind,
    /// What people call the file system; empty: it is of the usual ones.
    pub name: &'static str,
    /// Bytes that are left for others than root.
    pub free_bytes: u64,
}

impl Disk {
    /// The disk under a folder.
    pub fn under(folder: &Path) -> Result<Self> {
        let facts = statfs(folder).map_err(|error| cannot_use(folder, &error))?;
        Ok(Disk::of(&facts))
    }

    fn of(facts: &StatFs) -> Self {
        let (name, kind) = kind_of(facts.f_type as u32);
        Disk { kind, name, free_bytes: facts.f_bavail.saturating_mul(facts.f_bsize as u64) }
    }
}

fn kind_of(magic: u32) -> (&'static str, Kind) {
    let known = KINDS.iter().find(|(known, ..)| *known == magic);
    known.map_or(("", Kind::Local), |(_, name, kind)| (name, *kind))
}

/// Refuses a folder on a network file system.
pub(in crate::store) fn refuse_network(folder: &Path) -> Result<()> {
    refuse(folder, Disk::under(folder)?)
}

fn refuse(folder: &Path, disk: Disk) -> Result<()> {
    if disk.kind != Kind::Network {
        return Ok(());
    }
    Err(Error::failed(format!(
        "{} is on {}, a network file system, which can damage the database: choose a --data-dir on a local disk",
        folder.display(),
        disk.name
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_file_system_is_refused_by_its_name_and_no_other_is() {
        let refused = |magic| {
            let (name, kind) = kind_of(magic);
            refuse(Path::new("data"), Disk { kind, name, free_bytes: 0 }).map_err(|error| error.to_string())
        };
        for (magic, name) in [(0x6969, "NFS"), (0xff53_4d42, "CIFS"), (0xfe53_4d42, "SMB")] {
            let error = refused(magic).unwrap_err();
            assert!(error.contains(name) && error.contains("--data-dir"), "{error}");
        }
        // ext4, btrfs, xfs, tmpfs, FUSE.
        for magic in [0xef53, 0x9123_683e, 0x5846_5342, 0x0102_1994, 0x6573_5546] {
            refused(magic).unwrap();
        }
    }

    #[test]
    fn a_disk_reports_its_free_space() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Disk::under(folder.path()).unwrap().free_bytes > 0);
        assert!(Disk::under(&folder.path().join("none")).is_err());
    }
}
