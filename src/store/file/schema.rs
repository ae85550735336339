//! The schema: its text, its number, and a new file with it.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::error::Result;

/// The schema as a new file gets it.
pub(super) const SCHEMA: &str = include_str!("../../../schema.sql");
/// The steps from each schema to the next, beginning with the one from 1 to 2.
pub(super) const STEPS: [&str; 6] = [
    include_str!("upgrades/2.sql"),
    include_str!("upgrades/3.sql"),
    include_str!("upgrades/4.sql"),
    include_str!("upgrades/5.sql"),
    include_str!("upgrades/6.sql"),
    include_str!("upgrades/7.sql"),
];
/// The schemas that were released before today's, as a new file got them.
const RELEASED: [&str; 6] = [
    include_str!("../../../tests/golden/schema/1.sql"),
    include_str!("../../../tests/golden/schema/2.sql"),
    include_str!("../../../tests/golden/schema/3.sql"),
    include_str!("../../../tests/golden/schema/4.sql"),
    include_str!("../../../tests/golden/schema/5.sql"),
    include_str!("../../../tests/golden/schema/6.sql"),
];
/// The number of today's schema.
pub(in crate::store) const VERSION: i64 = STEPS.len() as i64 + 1;

/// The number of the schema that a file has; 0 is a new file.
pub(super) fn version(connection: &Connection) -> Result<i64> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// The text of the schema of that number, if there is one.
pub(super) fn text(version: i64) -> Option<&'static str> {
    let released = usize::try_from(version).ok()?.checked_sub(1)?;
    if version == VERSION { Some(SCHEMA) } else { RELEASED.get(released).copied() }
}

/// Creates the schema in a new file.
pub(in crate::store) fn create(connection: &Connection) -> Result<()> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    // Another process may have made it between the look and the lock.
    if version(connection)? == 0 {
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    Ok(transaction.commit()?)
}
