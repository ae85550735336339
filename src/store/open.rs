//! Opens the file, creating or upgrading it where that is needed.

use std::{path::Path, sync::Arc};

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::OpenFlags;

use super::{
    changes::{self, Changes},
    fault::cannot_use,
    file::{
        FILE_NAME,
        connection::{self, plain, prepare_reader, prepare_writer},
        disk,
        folder::{make_folder, restrict_to_owner},
        identity::FileIdentity,
        lock, upgrade,
    },
    scope::Store,
    writer::Writer,
};
use crate::error::{Error, Result};

impl Store {
    /// Opens the file in `folder`, making both where they are missing. `readers_max` connections read at once.
    pub fn open(folder: &Path, readers_max: u32) -> Result<Self> {
        make_folder(folder)?;
        disk::refuse_network(folder)?;
        let in_use = lock::share(folder)?;
        let file = folder.join(FILE_NAME);
        let connection = connection::open(&file).map_err(|error| cannot_use(&file, &error))?;
        prepare_writer(&connection).map_err(|error| cannot_use(&file, &error))?;
        restrict_to_owner(&file)?;
        let upgraded_from = upgrade::bring_to_version(&connection, folder)?;
        let place = FileIdentity::of(&file).map_err(|error| cannot_use(&file, &error))?;
        let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let manager = SqliteConnectionManager::file(plain(&file)).with_flags(read_only).with_init(prepare_reader);
        // All are opened now and none is ever closed: who reads needs no descriptor when there is none left.
        let readers = r2d2::Pool::builder()
            .max_size(readers_max)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_on_check_out(false)
            .build(manager)
            .map_err(Error::internal)?;
        changes::note(&connection)?;
        let changes = Changes::default();
        let teller = changes.clone();
        let writer = Writer::start(connection, place, move |connection| teller.tell(connection))?;
        Ok(Store { writer, readers, upgraded_from, changes, _in_use: Arc::new(in_use) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_read_at_once_and_one_more_waits() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 3).unwrap();
        let mut reading: Vec<_> = (0..2).map(|_| store.readers.try_get().unwrap()).collect();
        reading.push(store.readers.try_get().expect("the last one is free"));
        assert!(store.readers.try_get().is_none());
        reading.pop();
        assert!(store.readers.try_get().is_some());
    }
}
