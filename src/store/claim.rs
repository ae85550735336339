//! That a request was done, noted in the commit that does it: a crash leaves both or neither.

use std::time::Duration;

use rusqlite::{Connection, named_params};

use super::rows::TurnRow;
use crate::{error::Result, time::Timestamp};

/// How long a request is remembered.
pub const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);
/// Old ones that make way for each new one: more than one, so that they get fewer.
const FORGOTTEN_AT_ONCE: i64 = 64;

/// A request that is to be done once.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Whose request it is: the organization's id.
    pub org_id: String,
    /// SHA-256 of who asks, where, and the key they chose.
    pub name: [u8; 32],
    /// SHA-256 of the body.
    pub body_hash: [u8; 32],
}

/// Notes that a request was done, in the transaction that does it. What is noted already stays.
pub(super) fn note(c: &Connection, claim: &Claim, turn: Option<TurnRow>) -> Result<()> {
    c.prepare_cached(
        "DELETE FROM idempotency WHERE created_at <= :old AND (name = :name OR name IN
             (SELECT name FROM idempotency WHERE created_at <= :old ORDER BY created_at LIMIT :rows))",
    )?
    .execute(named_params! { ":old": old(), ":name": claim.name, ":rows": FORGOTTEN_AT_ONCE })?;
    c.prepare_cached(
        "INSERT INTO idempotency (org_id, name, body_hash, turn, created_at) VALUES (:org, :name, :body, :turn, :now)
         ON CONFLICT (name) DO NOTHING",
    )?
    .execute(named_params! {
        ":org": claim.org_id, ":name": claim.name, ":body": claim.body_hash, ":turn": turn, ":now": Timestamp::now().as_millis(),
    })?;
    Ok(())
}

/// What is as old as this is forgotten. Milliseconds since 1970.
pub(super) fn old() -> i64 {
    Timestamp::now().as_millis() - REMEMBERED.as_millis() as i64
}
