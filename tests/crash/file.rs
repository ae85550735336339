//! The file itself, as plain SQLite, right after a crash was recovered from and before anyone asks for anything.

use std::{
    io::{BufWriter, Write},
    path::Path,
};

use rusqlite::{Connection, OpenFlags, Row};
use serde_json::{Value, json};

use crate::{
    operator::{DEPOSIT, Operator},
    support::{harness::PATIENCE, index::check_index},
};

/// What no row may be, each as a question that counts the rows that are. No turn runs when they are asked.
const NONE_MAY_BE: [(&str, &str); 22] = [
    ("a turn is running that nobody runs", "SELECT count(*) FROM turn WHERE status = 'running'"),
    ("a journal of a turn that is over", "SELECT count(*) FROM turn_journal"),
    ("a session is running", "SELECT count(*) FROM session WHERE status = 'running'"),
    (
        "a session says other than its last turn how that ended",
        "SELECT count(*) FROM session s WHERE s.status <> 'awaiting_approval' AND (s.status = 'interrupted') IS NOT coalesce(
             (SELECT status = 'interrupted' FROM turn WHERE session = s.seq ORDER BY seq DESC LIMIT 1), FALSE)",
    ),
    (
        "a session waits for an answer to nothing",
        "SELECT count(*) FROM session s WHERE status = 'awaiting_approval' AND NOT EXISTS (SELECT 1 FROM tool_call t
             WHERE t.session = s.seq AND (t.status = 'waiting' OR t.status IN ('approved', 'denied') AND t.decided_turn IS NULL))",
    ),
    (
        "a session miscounts its messages",
        "SELECT count(*) FROM session s WHERE message_count <>
             (SELECT count(*) FROM message WHERE session = s.seq AND superseded_by IS NULL)",
    ),
    ("a message has no parts", "SELECT count(*) FROM message WHERE json_array_length(parts) = 0"),
    (
        "an answer has a part that is still being written",
        "SELECT count(*) FROM message m, json_each(m.parts) p WHERE m.turn IS NOT NULL AND m.role = 'assistant'
             AND m.superseded_by IS NULL AND (p.value ->> 'state' IN ('streaming', 'input-streaming')
                 OR p.value ->> 'state' = 'input-available' AND NOT EXISTS (SELECT 1 FROM tool_call t
                     WHERE t.session = m.session AND t.message_id = m.id AND t.call_id = p.value ->> 'toolCallId'
                         AND t.status = 'called' AND t.idempotent))",
    ),
    (
        "a call of which nobody knows how it ended does not say so",
        "SELECT count(*) FROM tool_call WHERE status = 'called' AND NOT idempotent",
    ),
    (
        "a call waits in a session that does not",
        "SELECT count(*) FROM tool_call t JOIN session s ON s.seq = t.session
         WHERE t.status = 'waiting' AND s.status <> 'awaiting_approval'",
    ),
    (
        "a call that is open is not shown as what it is",
        "SELECT count(*) FROM tool_call t WHERE t.status IN ('waiting', 'approved', 'called') AND NOT EXISTS (
             SELECT 1 FROM message m, json_each(m.parts) p WHERE m.session = t.session AND m.id = t.message_id
                 AND m.superseded_by IS NULL AND p.value ->> 'toolCallId' = t.call_id
                 AND CASE t.status WHEN 'called' THEN p.value ->> 'state' IN ('input-available', 'approval-responded')
                     WHEN 'waiting' THEN p.value ->> 'state' = 'approval-requested' AND p.value -> 'approval' ->> 'id' = t.id
                     ELSE p.value ->> 'state' IN ('approval-requested', 'approval-responded') END)",
    ),
    (
        "a call that may have happened does not say so",
        "SELECT count(*) FROM tool_call t, message m, json_each(m.parts) p
         WHERE t.status = 'unknown' AND m.session = t.session AND m.id = t.message_id AND m.superseded_by IS NULL
             AND p.value ->> 'toolCallId' = t.call_id
             AND coalesce(p.value ->> 'errorText', '') NOT LIKE '%may have taken effect%'",
    ),
    (
        "a call that may have happened is not in its message",
        "SELECT count(*) FROM tool_call t, message m WHERE t.status IN ('done', 'failed', 'unknown') AND m.session = t.session
             AND m.id = t.message_id AND m.superseded_by IS NULL
             AND NOT EXISTS (SELECT 1 FROM json_each(m.parts) p WHERE p.value ->> 'toolCallId' = t.call_id)",
    ),
    (
        "a call was allowed in a session that does not go on with it",
        "SELECT count(*) FROM tool_call t JOIN session s ON s.seq = t.session
         WHERE t.status = 'approved' AND s.status NOT IN ('awaiting_approval', 'interrupted')",
    ),
    (
        "a message asks about a call that does not wait",
        "SELECT count(*) FROM message m, json_each(m.parts) p WHERE m.superseded_by IS NULL
             AND p.value ->> 'state' IN ('approval-requested', 'approval-responded') AND NOT EXISTS (SELECT 1 FROM tool_call t
                 WHERE t.session = m.session AND t.message_id = m.id AND t.call_id = p.value ->> 'toolCallId'
                     AND (t.status IN ('waiting', 'approved', 'called') OR t.status = 'denied' AND t.decided_turn IS NULL))",
    ),
    (
        "a turn of a free model cost other than the calls that it made first",
        "SELECT count(*) FROM turn t WHERE model IN ('up/free', 'demo/ala')
             AND cost <> (SELECT coalesce(sum(cost), 0) FROM tool_call WHERE called_turn = t.seq)",
    ),
    (
        "a turn cost less than the calls that it made first",
        "SELECT count(*) FROM turn t WHERE cost < (SELECT coalesce(sum(cost), 0) FROM tool_call WHERE called_turn = t.seq)",
    ),
    (
        "a balance is not the sum of its ledger",
        "SELECT count(*) FROM org o WHERE balance <> (SELECT coalesce(sum(balance_delta), 0) FROM ledger_entry WHERE org_id = o.id)",
    ),
    (
        "money is held",
        "SELECT count(*) FROM org o WHERE held <> 0 OR (SELECT coalesce(sum(held_delta), 0) FROM ledger_entry WHERE org_id = o.id) <> 0",
    ),
    (
        "a balance was negative, or less than what was held of it",
        "SELECT count(*) FROM (SELECT sum(balance_delta) OVER before AS balance, sum(held_delta) OVER before AS held
             FROM ledger_entry WINDOW before AS (PARTITION BY org_id ORDER BY seq))
         WHERE balance < 0 OR held < 0 OR held > balance",
    ),
    (
        "a turn was settled twice",
        "SELECT count(*) FROM (SELECT 1 FROM ledger_entry WHERE kind IN ('settle', 'release') GROUP BY turn_id HAVING count(*) > 1)",
    ),
    (
        "a turn cost other than what the ledger says",
        "SELECT count(*) FROM turn t WHERE cost <> (SELECT -coalesce(sum(balance_delta), 0) FROM ledger_entry WHERE turn_id = t.id)",
    ),
];

/// The file, open to be read only.
pub struct File {
    connection: Connection,
}

impl File {
    pub fn open(folder: &Path) -> Self {
        Self::open_as(&folder.join(alm::store::file::FILE_NAME))
    }

    /// A file of any name.
    pub fn open_as(file: &Path) -> Self {
        let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        connection.busy_timeout(PATIENCE).unwrap();
        File { connection }
    }

    /// Everything that holds whatever was asked for.
    pub fn check(&self) {
        let integrity: String = self.connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(integrity, "ok");
        let mut foreign = self.connection.prepare("PRAGMA foreign_key_check").unwrap();
        assert!(!foreign.exists([]).unwrap(), "a row refers to none");
        for (what, question) in NONE_MAY_BE {
            let found = self.count(question);
            assert_eq!(found, 0, "{what}");
        }
    }

    /// Every deposit that was acknowledged is there once; so is every key, and every answer to a call.
    pub fn check_operator(&self, operator: &Operator) {
        let of_note = format!(
            "SELECT count(*) FROM ledger_entry WHERE kind = 'deposit' AND balance_delta = {} AND note = ?1",
            DEPOSIT.0
        );
        let mut of_note = self.connection.prepare(&of_note).unwrap();
        for note in &operator.deposits {
            let found: i64 = of_note.query_row([note], |row| row.get(0)).unwrap();
            assert_eq!(found, 1, "{note}");
        }
        let mut status_of = self.connection.prepare("SELECT status FROM tool_call WHERE id = ?1").unwrap();
        for (id, is_allowed) in &operator.answered {
            let status: String = status_of.query_row([id], |row| row.get(0)).unwrap();
            assert_eq!(status == "denied", !is_allowed, "the call {id} is {status}");
            assert_ne!(status, "waiting", "the call {id} was answered");
        }
        let keys = self.count("SELECT count(*) FROM api_key WHERE name = 'crash'");
        let revoked = self.count("SELECT count(*) FROM api_key WHERE name = 'crash' AND revoked_at IS NOT NULL");
        assert_eq!((keys, revoked), (operator.keys(), operator.revoked()));
    }

    /// What the end of an answer said that it cost is what its turn was charged.
    pub fn check_bills(&self, bills: &[(String, i64)]) {
        let mut turns = self.connection.prepare("SELECT 1 FROM turn WHERE message_id = ?1 AND cost = ?2").unwrap();
        for (message_id, cost) in bills {
            assert!(turns.exists((message_id, cost)).unwrap(), "no turn of {message_id} cost {cost}");
        }
    }

    /// The index of the full-text search against the texts.
    pub fn check_search(folder: &Path) {
        let file = Connection::open(folder.join(alm::store::file::FILE_NAME)).unwrap();
        file.busy_timeout(PATIENCE).unwrap();
        check_index(&file);
    }

    /// How many.
    pub fn count(&self, question: &str) -> usize {
        let found: i64 = self.connection.query_row(question, [], |row| row.get(0)).unwrap();
        usize::try_from(found).unwrap()
    }

    /// Every row of an answer.
    pub fn each(&self, question: &str, mut row: impl FnMut(&Row<'_>) -> rusqlite::Result<()>) {
        let mut statement = self.connection.prepare(question).unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(found) = rows.next().unwrap() {
            row(found).unwrap();
        }
    }

    /// Writes every message, superseded ones too, as the API would show it: one a line.
    pub fn dump(&self, to: &Path) {
        let select = "SELECT id, role, metadata, parts, status FROM message ORDER BY seq";
        let mut select = self.connection.prepare(select).unwrap();
        let mut rows = select.query([]).unwrap();
        let mut out = BufWriter::new(std::fs::File::create(to).unwrap());
        while let Some(row) = rows.next().unwrap() {
            let text = |column| row.get::<_, String>(column).unwrap();
            let json = |column| serde_json::from_str::<Value>(&text(column)).unwrap();
            let message =
                json!({ "id": text(0), "role": text(1), "metadata": json(2), "parts": json(3), "status": text(4) });
            writeln!(out, "{message}").unwrap();
        }
        out.flush().unwrap();
    }
}
