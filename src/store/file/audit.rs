//! The ledger, recomputed from its entries, beside what the file says of it.
//!
//! Rule: nothing here trusts what it checks: neither the triggers, nor the balances that they keep, nor what a turn says
//! it cost. It reads one snapshot, so a server may go on writing. Deliberately absent: repair. A ledger that does not add
//! up is for a person to understand, and a backup from before is the way back.

use std::collections::HashMap;

use rusqlite::{Connection, Row};

use crate::{error::Result, money::format_usd, store::Store};

/// Findings that are listed; the rest are counted.
const FINDINGS_LISTED_MAX: usize = 100;

/// What the entries come to, and what does not fit.
#[derive(Debug, Default)]
pub struct Audit {
    /// One for each organization, by slug.
    pub books: Vec<Book>,
    /// What does not add up: sentences, the first `FINDINGS_LISTED_MAX` of them.
    pub findings: Vec<String>,
    /// How many there are.
    pub findings_count: usize,
}

/// One organization's ledger as its entries have it. Amounts are microcents.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Book {
    /// The organization's slug.
    pub org: String,
    pub entries: u64,
    pub deposited: i64,
    pub charged: i64,
    pub balance: i64,
    pub held: i64,
    pub turns_charged: u64,
    pub turns_running: u64,
}

/// One entry, and what is known of its turn.
struct Line {
    seq: i64,
    org_id: String,
    kind: String,
    balance_delta: i64,
    held_delta: i64,
    turn_id: Option<String>,
    /// Absent: there is no such turn, as when it failed before its first byte.
    turn: Option<Turn>,
}

/// What the file says of a turn.
#[derive(Debug, Clone)]
struct Turn {
    org_id: String,
    is_running: bool,
    cost: i64,
}

impl Line {
    const SELECT: &str = "SELECT e.seq, e.org_id, e.kind, e.balance_delta, e.held_delta, e.turn_id,
        t.org_id, t.status = 'running', t.cost FROM ledger_entry e LEFT JOIN turn t ON t.id = e.turn_id";

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let turn = match row.get::<_, Option<String>>(6)? {
            Some(org_id) => Some(Turn { org_id, is_running: row.get(7)?, cost: row.get(8)? }),
            None => None,
        };
        Ok(Line {
            seq: row.get(0)?,
            org_id: row.get(1)?,
            kind: row.get(2)?,
            balance_delta: row.get(3)?,
            held_delta: row.get(4)?,
            turn_id: row.get(5)?,
            turn,
        })
    }

    /// Whether it ends what its turn holds.
    fn closes(&self) -> bool {
        matches!(self.kind.as_str(), "settle" | "release")
    }

    /// Whether its amounts are those of its kind.
    fn is_sound(&self) -> bool {
        let (balance, held) = (self.balance_delta, self.held_delta);
        match self.kind.as_str() {
            "deposit" => balance > 0 && held == 0 && self.turn_id.is_none(),
            "reserve" => balance == 0 && held > 0 && self.turn_id.is_some(),
            "settle" => held <= balance && balance < 0 && self.turn_id.is_some(),
            "release" => balance == 0 && held < 0 && self.turn_id.is_some(),
            _ => false,
        }
    }
}

impl Audit {
    /// Whether everything adds up.
    pub fn is_sound(&self) -> bool {
        self.findings_count == 0
    }

    fn find(&mut self, text: String) {
        self.findings_count += 1;
        if self.findings.len() < FINDINGS_LISTED_MAX {
            self.findings.push(text);
        }
    }
}

impl Store {
    /// Adds the ledgers of all organizations up.
    pub fn audit(&self) -> Result<Audit> {
        self.read(audit)
    }
}

/// Adds up the whole file.
pub(super) fn audit(c: &Connection) -> Result<Audit> {
    let snapshot = c.unchecked_transaction()?;
    let mut audit = Audit::default();
    let mut orgs = HashMap::new();
    let mut select = snapshot.prepare("SELECT id, slug, balance, held FROM org ORDER BY slug")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (id, slug): (String, String) = (row.get(0)?, row.get(1)?);
        let book = read_book(&snapshot, &id, &slug, &mut audit)?;
        for (what, stored, summed) in [("balance", row.get(2)?, book.balance), ("hold", row.get(3)?, book.held)] {
            if stored != summed {
                let (stored, summed) = (format_usd(stored), format_usd(summed));
                audit
                    .find(format!("{slug}: the stored {what} is {stored} USD, but its entries add up to {summed} USD"));
            }
        }
        audit.books.push(book);
        orgs.insert(id, slug);
    }
    read_turns(&snapshot, &orgs, &mut audit)?;
    find_strays(&snapshot, &mut audit)?;
    Ok(audit)
}

/// One organization's entries in their order: each is sound, and no moment had less than nothing.
fn read_book(c: &Connection, org_id: &str, slug: &str, audit: &mut Audit) -> Result<Book> {
    let mut book = Book { org: slug.to_owned(), ..Book::default() };
    let mut select = c.prepare_cached(&format!("{} WHERE e.org_id = ?1 ORDER BY e.seq", Line::SELECT))?;
    for line in select.query_map([org_id], Line::from_row)? {
        let line = line?;
        if !line.is_sound() {
            audit.find(format!("{slug}: entry {} has amounts that are impossible for a {}", line.seq, line.kind));
        }
        let was_sound = (0..=book.balance).contains(&book.held);
        book.entries += 1;
        // Amounts that a foreign hand made huge are a finding already.
        book.balance = book.balance.saturating_add(line.balance_delta);
        book.held = book.held.saturating_add(line.held_delta);
        match line.kind.as_str() {
            "deposit" => book.deposited = book.deposited.saturating_add(line.balance_delta),
            "settle" => book.charged = book.charged.saturating_sub(line.balance_delta),
            _ => {}
        }
        book.turns_charged += u64::from(line.kind == "settle");
        if was_sound && !(0..=book.balance).contains(&book.held) {
            let (balance, held) = (format_usd(book.balance), format_usd(book.held));
            audit.find(format!("{slug}: after entry {} the balance is {balance} USD, with {held} USD held", line.seq));
        }
    }
    let sums = "SELECT count(*) FILTER (WHERE status = 'running'), total(cost) FROM turn WHERE org_id = ?1";
    let (running, cost): (i64, f64) = c.query_row(sums, [org_id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    book.turns_running = running.unsigned_abs();
    // Microcents of a single organization are far from where a double stops counting whole numbers.
    if cost != book.charged as f64 {
        let (used, charged) = (format_usd(cost as i64), format_usd(book.charged));
        audit.find(format!("{slug}: its turns add up to {used} USD of usage, but its ledger charged {charged} USD"));
    }
    Ok(book)
}

/// Every turn's own entries, one turn after the other.
fn read_turns(c: &Connection, orgs: &HashMap<String, String>, audit: &mut Audit) -> Result<()> {
    let mut select = c.prepare(&format!("{} WHERE e.turn_id IS NOT NULL ORDER BY e.turn_id, e.seq", Line::SELECT))?;
    let mut story: Vec<Line> = Vec::new();
    let mut tell = |story: &[Line]| {
        let Some(first) = story.first() else { return };
        let org = orgs.get(&first.org_id).map_or("?", String::as_str);
        let turn_id = first.turn_id.as_deref().unwrap_or_default();
        check_turn(story).into_iter().for_each(|wrong| audit.find(format!("{org}: turn {turn_id} {wrong}")));
    };
    for line in select.query_map([], Line::from_row)? {
        let line = line?;
        if story.first().is_some_and(|first| first.turn_id != line.turn_id) {
            tell(&story);
            story.clear();
        }
        story.push(line);
    }
    tell(&story);
    Ok(())
}

/// What is wrong with one turn: it holds, then it is settled or released once, and its row says the same.
fn check_turn(story: &[Line]) -> Vec<String> {
    let sum = |of: fn(&Line) -> i64| story.iter().fold(0_i64, |sum, line| sum.saturating_add(of(line)));
    let (held, charged) = (sum(|line| line.held_delta), sum(|line| line.balance_delta.saturating_neg()));
    let reserved = sum(|line| line.held_delta.max(0));
    let closings = story.iter().filter(|line| line.closes()).count();
    let turn = story[0].turn.as_ref();
    let is_running = turn.is_some_and(|turn| turn.is_running);
    let mut wrong = Vec::new();
    if story.iter().any(|line| line.org_id != *turn.map_or(&story[0].org_id, |turn| &turn.org_id)) {
        wrong.push("has entries of another organization".to_owned());
    }
    if closings > 1 {
        wrong.push(format!("was settled {closings} times"));
    }
    if story.iter().rposition(Line::closes).is_some_and(|at| at + 1 < story.len()) {
        wrong.push("has a hold after it was settled".to_owned());
    }
    if charged > reserved {
        wrong.push(format!("was charged {} USD, but only {} USD was held", format_usd(charged), format_usd(reserved)));
    }
    if is_running && closings > 0 {
        wrong.push("is running, but was settled".to_owned());
    }
    if !is_running && held != 0 {
        wrong.push(format!("has ended, but still holds {} USD", format_usd(held)));
    }
    match turn {
        Some(turn) if charged != turn.cost => {
            let (charged, cost) = (format_usd(charged), format_usd(turn.cost));
            wrong.push(format!("was charged {charged} USD, but its row says {cost} USD"));
        }
        None if charged != 0 => wrong.push(format!("was charged {} USD, but does not exist", format_usd(charged))),
        _ => {}
    }
    wrong
}

/// What no organization and no turn accounts for.
fn find_strays(c: &Connection, audit: &mut Audit) -> Result<()> {
    let mut find_each = |select: &str, say: fn(String) -> String| -> Result<()> {
        let mut select = c.prepare(select)?;
        for name in select.query_map([], |row| row.get(0))? {
            audit.find(say(name?));
        }
        Ok(())
    };
    find_each(
        "SELECT CAST(seq AS TEXT) FROM ledger_entry WHERE org_id NOT IN (SELECT id FROM org) ORDER BY seq",
        |seq| format!("entry {seq} belongs to no organization"),
    )?;
    find_each(
        "SELECT id FROM turn WHERE cost <> 0 AND NOT EXISTS (SELECT 1 FROM ledger_entry WHERE turn_id = turn.id)",
        |turn| format!("turn {turn} has a cost that was never charged"),
    )?;
    // Entries are numbered without a gap: none is ever deleted, and one that is rolled back leaves its number free.
    find_each("SELECT CAST(max(seq) - count(*) AS TEXT) FROM ledger_entry HAVING max(seq) <> count(*)", |missing| {
        format!("the entries' numbers have gaps: {missing} missing")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_past_the_bound_are_counted_and_not_listed() {
        let mut audit = Audit::default();
        assert!(audit.is_sound());
        for n in 1..=FINDINGS_LISTED_MAX + 1 {
            audit.find(n.to_string());
            assert_eq!((audit.findings.len(), audit.findings_count), (n.min(FINDINGS_LISTED_MAX), n));
        }
        assert!(!audit.is_sound());
    }
}
