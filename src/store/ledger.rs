//! The ledger: what came in, what is held, what was spent.
//!
//! A turn of a paid model reserves what it may cost at most, and settles what it did cost. Rule: every amount is an
//! entry, and what a turn holds is the sum of its entries; nothing is kept twice. The schema's checks refuse what would
//! make a balance negative, and the functions here never try.

use rusqlite::{Connection, Row, named_params};

use super::{
    Org, Page,
    audit::{self, Event},
    words::words,
};
use crate::{
    error::{Error, Result},
    id,
    money::{AMOUNT_USD_MAX, USD, format_usd},
    time::Timestamp,
};

words! {
    /// What an entry does.
    pub enum Kind {
        /// Adds to the balance.
        Deposit = "deposit",
        /// Holds what a turn may cost at most.
        Reserve = "reserve",
        /// Charges a turn what it cost, and ends its hold.
        Settle = "settle",
        /// Ends the hold of a turn that cost nothing.
        Release = "release",
    }
}

/// One entry. All amounts are microcents.
#[derive(Debug, Clone)]
pub struct Entry {
    pub seq: i64,
    pub id: String,
    pub kind: Kind,
    pub balance_delta: i64,
    pub held_delta: i64,
    pub turn_id: Option<String>,
    pub created_at: Timestamp,
    pub note: String,
    /// The balance that it left.
    pub balance_after: i64,
    /// What the turn was. Absent: there was none, or it is gone.
    pub turn: Option<EntryTurn>,
}

/// The turn of an entry. What the person may not see is absent.
#[derive(Debug, Clone)]
pub struct EntryTurn {
    pub model: String,
    pub agent_id: Option<String>,
    pub agent_name: Option<String>,
    pub session_id: Option<String>,
    pub key_id: Option<String>,
    pub key_name: Option<String>,
    pub input_tokens: i64,
    pub output_tokens: i64,
}

/// Entries with the balance that each one left, and their turns: a sum over what is newer than the page.
const SELECT: &str = "WITH page AS (
        SELECT e.* FROM ledger_entry e WHERE e.org_id = :org
            AND (:cursor IS NULL OR e.seq < (SELECT seq FROM ledger_entry WHERE id = :cursor AND org_id = :org))
            AND (:all OR e.kind <> 'reserve'
                OR NOT EXISTS (SELECT 1 FROM ledger_entry x WHERE x.turn_id = e.turn_id AND x.seq > e.seq))
        ORDER BY e.seq DESC LIMIT :rows)
    SELECT e.seq, e.id, e.kind, e.balance_delta, e.held_delta, e.turn_id, e.created_at, e.note,
        (SELECT balance FROM org WHERE id = :org)
            - (SELECT coalesce(sum(balance_delta), 0) FROM ledger_entry WHERE org_id = :org AND seq > (SELECT max(seq) FROM page))
            - coalesce(sum(e.balance_delta) OVER (ORDER BY e.seq DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0),
        t.model, a.id, a.name,
        (SELECT s.id FROM session s LEFT JOIN project p ON p.id = s.project_id WHERE s.seq = t.session AND s.deleted_at IS NULL
            AND (p.id IS NULL OR p.visibility = 'team' OR p.user_id = :user)),
        k.id, k.name, t.input_tokens, t.output_tokens
    FROM page e LEFT JOIN turn t ON t.id = e.turn_id LEFT JOIN agent a ON a.id = t.agent_id
        LEFT JOIN api_key k ON k.id = t.key_id AND (k.user_id = :user OR EXISTS
            (SELECT 1 FROM member WHERE org_id = :org AND user_id = :user AND role = 'owner'))
    ORDER BY e.seq DESC";

impl EntryTurn {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let Some(model) = row.get(9)? else { return Ok(None) };
        Ok(Some(EntryTurn {
            model,
            agent_id: row.get(10)?,
            agent_name: row.get(11)?,
            session_id: row.get(12)?,
            key_id: row.get(13)?,
            key_name: row.get(14)?,
            input_tokens: row.get(15)?,
            output_tokens: row.get(16)?,
        }))
    }
}

impl Entry {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Entry {
            seq: row.get(0)?,
            id: row.get(1)?,
            kind: row.get(2)?,
            balance_delta: row.get(3)?,
            held_delta: row.get(4)?,
            turn_id: row.get(5)?,
            created_at: Timestamp::from_millis(row.get(6)?),
            note: row.get(7)?,
            balance_after: row.get(8)?,
            turn: EntryTurn::from_row(row)?,
        })
    }
}

impl Org<'_> {
    /// Entries, the newest first; the cursor is an entry's id. Without `all`, the holds of turns that ended are left out. It
    /// scans: keep it off the request threads.
    pub fn ledger_entries(&self, all: bool, limit: usize, cursor: Option<&str>) -> Result<Page<Entry>> {
        self.read(|c| {
            let mut statement = c.prepare_cached(SELECT)?;
            let parameters = named_params! {
                ":org": self.tenant.org_id, ":user": self.tenant.user_id, ":all": all, ":cursor": cursor,
                ":rows": limit as i64 + 1,
            };
            let rows = statement.query_map(parameters, Entry::from_row)?.collect::<Result<_, _>>()?;
            Ok(Page::from_rows(rows, limit, |entry: &Entry| entry.id.clone()))
        })
    }

    /// Adds to the balance; returns what it is now.
    pub async fn deposit(&self, amount: i64, note: String) -> Result<i64> {
        check_deposit(amount)?;
        self.write_audited(move |c, tenant| {
            enter_deposit(c, &tenant.org_id, amount, &note)?;
            let said = format!("${} {note}", format_usd(amount));
            Ok((balance(c, &tenant.org_id)?.0, Event::new(audit::Kind::MoneyDeposited, said.trim_end())))
        })
        .await
    }
}

/// Accepts an amount to deposit, in microcents.
pub fn check_deposit(amount: i64) -> Result<()> {
    if (1..=AMOUNT_USD_MAX * USD).contains(&amount) {
        return Ok(());
    }
    Err(Error::invalid("amountMicrocents", "must be 1 to 1000000000000, a million US dollars"))
}

/// Adds to the balance of an organization.
pub(super) fn enter_deposit(c: &Connection, org_id: &str, amount: i64, note: &str) -> Result<()> {
    enter(c, org_id, Kind::Deposit, (amount, 0), None, note)
}

/// What could be held now.
pub(super) fn available(c: &Connection, org_id: &str) -> Result<i64> {
    let (balance, held) = balance(c, org_id)?;
    Ok(balance - held)
}

/// Holds `amount`, which must be available.
pub(super) fn reserve(c: &Connection, org_id: &str, turn_id: &str, amount: i64) -> Result<()> {
    enter(c, org_id, Kind::Reserve, (0, amount), Some(turn_id), "")
}

/// Charges a turn and lets go of all it held; returns what was charged.
///
/// Never more than was held: an upstream may report any number, and a balance is never negative. The rest is the
/// operator's.
pub(super) fn settle(c: &Connection, org_id: &str, turn_id: &str, cost: i64) -> Result<i64> {
    let hold: i64 = c
        .prepare_cached("SELECT coalesce(sum(held_delta), 0) FROM ledger_entry WHERE turn_id = ?1")?
        .query_row([turn_id], |row| row.get(0))?;
    let charge = cost.clamp(0, hold);
    match (hold, charge) {
        (0, _) => {}
        (_, 0) => enter(c, org_id, Kind::Release, (0, -hold), Some(turn_id), "")?,
        _ => enter(c, org_id, Kind::Settle, (-charge, -hold), Some(turn_id), "")?,
    }
    Ok(charge)
}

fn balance(c: &Connection, org_id: &str) -> Result<(i64, i64)> {
    let mut statement = c.prepare_cached("SELECT balance, held FROM org WHERE id = ?1")?;
    Ok(statement.query_row([org_id], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

fn enter(c: &Connection, org_id: &str, kind: Kind, deltas: (i64, i64), turn: Option<&str>, note: &str) -> Result<()> {
    c.prepare_cached(
        "INSERT INTO ledger_entry (id, org_id, kind, balance_delta, held_delta, turn_id, created_at, note)
         VALUES (:id, :org, :kind, :balance, :held, :turn, :now, :note)",
    )?
    .execute(named_params! {
        ":id": id::generate(), ":org": org_id, ":kind": kind, ":balance": deltas.0, ":held": deltas.1, ":turn": turn,
        ":now": Timestamp::now().as_millis(), ":note": note,
    })?;
    Ok(())
}
