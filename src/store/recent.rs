//! The newest messages of a history, as many as a turn looks at.

use rusqlite::{Connection, named_params};

use super::{
    Org, SessionRow,
    messages::{Message, MessagePage, read_page},
};
use crate::error::Result;

/// Messages of one session that a turn looks at; a session of more has long outgrown every model's window.
const HISTORY_MESSAGES_MAX: usize = 10_000;

impl Org<'_> {
    /// Bytes of the parts of a session's history, files included. It looks at no text.
    pub fn history_bytes(&self, session: SessionRow) -> Result<u64> {
        self.read(|c| {
            let mut statement = c.prepare_cached(
                "SELECT coalesce(sum(octet_length(parts)), 0) FROM message
                 WHERE session = (SELECT seq FROM session WHERE seq = :session AND org_id = :org)
                     AND superseded_by IS NULL",
            )?;
            let parameters = named_params! { ":session": session, ":org": self.tenant.org_id };
            Ok(statement.query_row(parameters, |row| row.get::<_, i64>(0))?.unsigned_abs())
        })
    }

    /// The newest messages of a session's history, oldest first, as many as fit `bytes_max` of parts, and how many
    /// older ones were left out. Those of another organization's session are none.
    pub fn history(&self, session: SessionRow, bytes_max: usize) -> Result<(Vec<Message>, usize)> {
        let mut kept = Vec::new();
        let left_out = self.read(|c| {
            // All at one moment, or what was appended in between would be counted as older.
            let c = &c.unchecked_transaction()?;
            let page_size = how_many_fit(c, &self.tenant.org_id, session, bytes_max)?;
            if page_size == 0 {
                return Ok(0);
            }
            let page = MessagePage { page_size, newest_first: true, ..Default::default() };
            read_page(c, &self.tenant.org_id, session, &page, &mut |message, _| kept.push(message.to_owned()))?;
            Ok(count(c, session)?.saturating_sub(page_size))
        })?;
        kept.reverse();
        Ok((kept, left_out))
    }
}

/// How many of a history's newest messages fit `bytes_max` of parts, but one at least if there is one. It looks at no text.
fn how_many_fit(c: &Connection, org_id: &str, session: SessionRow, bytes_max: usize) -> Result<usize> {
    let mut statement = c.prepare_cached(
        "SELECT octet_length(parts) FROM message
         WHERE session = (SELECT seq FROM session WHERE seq = :session AND org_id = :org) AND superseded_by IS NULL
         ORDER BY seq DESC LIMIT :rows",
    )?;
    let rows = HISTORY_MESSAGES_MAX as i64;
    let mut rows = statement.query(named_params! { ":org": org_id, ":session": session, ":rows": rows })?;
    let (mut fit, mut bytes) = (0, 0);
    while let Some(row) = rows.next()? {
        bytes += row.get::<_, i64>(0)? as usize;
        if bytes > bytes_max && fit > 0 {
            break;
        }
        fit += 1;
    }
    Ok(fit)
}

/// How many messages a session's history has.
fn count(c: &Connection, session: SessionRow) -> Result<usize> {
    let mut statement = c.prepare_cached("SELECT message_count FROM session WHERE seq = ?1")?;
    Ok(statement.query_row([session], |row| row.get::<_, i64>(0))? as usize)
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::store::{
        Store,
        messages::{NewMessage, Place, Role, insert},
        sessions::{self, NewSession},
    };

    /// Adds messages, each with its number for an id and `[]` for its parts.
    fn add(store: &Store, session: SessionRow, numbers: Range<usize>) {
        let mut numbers = numbers.map(|n| n.to_string());
        let new = |id| NewMessage { id, ..NewMessage::new(Role::User, String::new(), "[]".into()) };
        store
            .writer
            .write_blocking(move |c| numbers.try_for_each(|id| insert(c, session, None, &new(id), Place::default())))
            .unwrap();
    }

    #[test]
    fn a_history_ends_where_its_messages_or_their_bytes_reach_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1).unwrap();
        let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
        let owned = tenant.clone();
        let session = store.writer.write_blocking(move |c| sessions::insert(c, &owned, &NewSession::default()));
        let session = session.unwrap().seq;
        let history = |bytes_max: usize| {
            let (kept, left_out) = store.org(&tenant).history(session, bytes_max).unwrap();
            let ids = kept.first().zip(kept.last()).map(|(first, last)| [first.id.clone(), last.id.clone()]);
            (kept.len(), left_out, ids.unwrap())
        };
        let ids = |first: usize, last: usize| [first, last].map(|n| n.to_string());
        add(&store, session, 0..3);
        // Two bytes each; the newest is there whatever its size.
        for (bytes_max, kept) in [(0, 1), (1, 1), (3, 1), (4, 2), (5, 2), (6, 3), (7, 3)] {
            assert_eq!(history(bytes_max), (kept, 3 - kept, ids(3 - kept, 2)), "{bytes_max}");
        }
        let mut there = 3;
        for (messages, left_out) in
            [(HISTORY_MESSAGES_MAX - 1, 0), (HISTORY_MESSAGES_MAX, 0), (HISTORY_MESSAGES_MAX + 1, 1)]
        {
            add(&store, session, there..messages);
            there = messages;
            assert_eq!(history(usize::MAX), (messages - left_out, left_out, ids(left_out, messages - 1)));
        }
    }
}
