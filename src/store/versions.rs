//! Versions: what stood in one place of a history, one after the other.
//!
//! Rule: what a turn brings in place of others is a new version of the first of them that it does not merely go on with. A message
//! that is gone on with, or stands again, is the same version in a new row; the newest row of a version is what it is.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{
    Org, SessionRow, Tenant, TurnRow,
    decisions::{self, CallView},
    message::{COLUMNS, Message, NewMessage, Place, Role, Status},
    messages::{self, BYTES, BYTES_COLUMN, MessagePage, PageEnd},
    sessions, waiting,
};
use crate::{
    error::{Error, Result},
    id,
    time::Timestamp,
};

/// Messages that stand again with a version, itself among them.
pub const RESTORED_MESSAGES_MAX: u64 = 10_000;
/// Bytes of them, files included: nobody else writes meanwhile.
pub const RESTORED_BYTES_MAX: u64 = 64 * 1024 * 1024;

impl Org<'_> {
    /// Shows `each` what stood in the place of a message, oldest first, with the number of versions and the id of the turn that
    /// replaced it; says how the page ended. Its cursor is the number of the last version before it.
    pub fn versions(
        &self,
        session_id: &str,
        id: &str,
        page: &MessagePage<'_>,
        mut each: impl FnMut(Message<&str>, i64, Option<&str>),
    ) -> Result<PageEnd> {
        let after = page.cursor.map_or(Ok(0), str::parse::<i64>);
        let after = after.map_err(|_| Error::invalid("cursor", "must be the nextCursor of an earlier page"))?;
        self.read(|c| {
            let c = &c.unchecked_transaction()?;
            let session = sessions::find(c, self.tenant, session_id)?.ok_or(Error::NotFound("session"))?;
            let first = first_of(c, session.seq, id)?.ok_or(Error::NotFound("message"))?;
            let versions = newest_version(c, first)?;
            let mut statement = c.prepare_cached(&format!(
                "SELECT {COLUMNS}, {BYTES}, (SELECT id FROM turn WHERE seq = superseded_by) FROM message
                 WHERE session = :session AND version > :after
                     AND seq IN (SELECT max(seq) FROM message WHERE seq = :first OR place = :first GROUP BY version)
                 ORDER BY version LIMIT :rows"
            ))?;
            let parameters = named_params! {
                ":session": session.seq, ":after": after, ":first": first, ":rows": page.page_size as i64 + 1,
            };
            messages::hand_out(statement.query(parameters)?, page, &mut |row| {
                let replaced_by = row.get_ref(BYTES_COLUMN + 1)?.as_str_or_null().map_err(rusqlite::Error::from)?;
                each(Message::from_row(row)?, versions, replaced_by);
                Ok(())
            })
        })
    }

    /// Lets a version stand again, with what was said before and after it then: as new rows, in place of what stands there now. One
    /// that stands already stays. `close` ends the open calls of the last message, since the conversation went on without them.
    pub async fn restore_version(
        &self,
        session_id: String,
        id: String,
        version: i64,
        close: impl FnOnce(&Message, &[CallView]) -> Result<Option<NewMessage>> + Send + 'static,
    ) -> Result<(Message, i64)> {
        self.write(move |c, tenant| {
            let session = sessions::find(c, tenant, &session_id)?.ok_or(Error::NotFound("session"))?.seq;
            let first = first_of(c, session, &id)?.ok_or(Error::NotFound("message"))?;
            let versions = newest_version(c, first)?;
            sessions::refuse_running(c, session)?;
            let wanted = Version::find(c, session, first, version)?;
            let wanted = wanted.ok_or_else(|| Error::invalid("version", format!("must be from 1 to {versions}")))?;
            if let Some(replaced_by) = wanted.superseded_by {
                let again = what_stood(c, session, wanted.seq, replaced_by)?;
                restore(c, tenant, session, &wanted, &again, close)?;
            }
            let standing = messages::find(c, session, &wanted.id)?.ok_or(Error::NotFound("message"))?;
            Ok((standing, versions))
        })
        .await
    }
}

/// The newest row of a version.
struct Version {
    seq: i64,
    id: String,
    superseded_by: Option<TurnRow>,
}

impl Version {
    fn find(c: &Connection, session: SessionRow, first: i64, version: i64) -> Result<Option<Self>> {
        let mut statement = c.prepare_cached(
            "SELECT seq, id, superseded_by FROM message WHERE (seq = :first OR place = :first) AND version = :version
                 AND session = :session
             ORDER BY seq DESC LIMIT 1",
        )?;
        let found = |row: &Row<'_>| Ok(Version { seq: row.get(0)?, id: row.get(1)?, superseded_by: row.get(2)? });
        let parameters = named_params! { ":session": session, ":first": first, ":version": version };
        Ok(statement.query_row(parameters, found).optional()?)
    }
}

/// The first message that stood where one of that id stands, or last stood.
fn first_of(c: &Connection, session: SessionRow, id: &str) -> Result<Option<i64>> {
    let first = |sql: &str| -> Result<Option<i64>> {
        Ok(c.prepare_cached(sql)?.query_row((session, id), |row| row.get(0)).optional()?)
    };
    let standing = "SELECT coalesce(place, seq) FROM message WHERE session = ?1 AND id = ?2 AND superseded_by IS NULL";
    let superseded = "SELECT coalesce(place, seq) FROM message
        WHERE session = ?1 AND id = ?2 AND superseded_by IS NOT NULL ORDER BY seq DESC LIMIT 1";
    first(standing)?.map_or_else(|| first(superseded), |found| Ok(Some(found)))
}

fn newest_version(c: &Connection, first: i64) -> Result<i64> {
    let mut statement = c.prepare_cached("SELECT coalesce(max(version), 1) FROM message WHERE place = ?1")?;
    Ok(statement.query_row([first], |row| row.get(0))?)
}

/// The rows that stood beside a superseded one when that turn replaced it, and stand no more.
fn what_stood(c: &Connection, session: SessionRow, seq: i64, replaced_by: TurnRow) -> Result<Vec<i64>> {
    let mut statement = c.prepare_cached(
        "SELECT seq, octet_length(content) + octet_length(parts) FROM message
         WHERE session = :session AND superseded_by IS NOT NULL
             AND (superseded_by = :turn AND turn IS NOT :turn OR superseded_by > :turn AND seq < :seq)
         ORDER BY seq",
    )?;
    let mut rows = statement.query(named_params! { ":session": session, ":turn": replaced_by, ":seq": seq })?;
    let (mut stood, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        stood.push(row.get(0)?);
        bytes += row.get::<_, i64>(1)?.unsigned_abs();
        check_size(stood.len() as u64, bytes)?;
    }
    Ok(stood)
}

fn check_size(messages: u64, bytes: u64) -> Result<()> {
    match messages > RESTORED_MESSAGES_MAX || bytes > RESTORED_BYTES_MAX {
        true => Err(Error::Conflict(format!(
            "more than {RESTORED_MESSAGES_MAX} messages or {} MiB would stand again with this version: read it, and ask again instead",
            RESTORED_BYTES_MAX / 1024 / 1024
        ))),
        false => Ok(()),
    }
}

/// Lets the rows `again` stand in place of what stands from the wanted one on, as a turn that asks no model.
fn restore(
    c: &Connection,
    tenant: &Tenant,
    session: SessionRow,
    wanted: &Version,
    again: &[i64],
    close: impl FnOnce(&Message, &[CallView]) -> Result<Option<NewMessage>>,
) -> Result<()> {
    let turn = insert_turn(c, tenant, session, &wanted.id)?;
    waiting::withdraw(c, session, None, Some(turn))?;
    messages::supersede_from(c, session, wanted.seq, turn)?;
    let Some((last, before)) = again.split_last() else { return Err(Error::internal("a version has no row")) };
    for seq in before {
        let (stored, place) = stored(c, *seq)?;
        let said_at = stored.created_at;
        messages::insert_said_at(c, session, Some(turn), &stored.again(), place, said_at)?;
    }
    let (stored, place) = stored(c, *last)?;
    let (status, said_at) = (stored.status, stored.created_at);
    let closed = match stored.role {
        Role::Assistant => close(&stored, &decisions::views(c, session, Some(&stored.id), None)?)?,
        Role::User | Role::System => None,
    };
    let stands = closed.unwrap_or_else(|| stored.again());
    messages::insert_said_at(c, session, Some(turn), &stands, place, said_at)?;
    let status = if status == Status::Interrupted { sessions::Status::Interrupted } else { sessions::Status::Idle };
    sessions::leave(c, session, status)
}

/// A message, and where it stands once it stands again.
fn stored(c: &Connection, seq: i64) -> Result<(Message, Place)> {
    let mut statement = c.prepare_cached(&format!("SELECT {COLUMNS} FROM message WHERE seq = ?1"))?;
    let message = statement.query_row([seq], |row| Ok(Message::from_row(row)?.to_owned()))?;
    let place = again(message.seq, message.place);
    Ok((message, place))
}

fn insert_turn(c: &Connection, tenant: &Tenant, session: SessionRow, message_id: &str) -> Result<TurnRow> {
    let now = Timestamp::now().as_millis();
    c.prepare_cached(
        "INSERT INTO turn (id, org_id, session, user_id, model, message_id, kind, status, started_at, ended_at)
         VALUES (:id, :org, :session, :user, '', :message, 'restore', 'complete', :now, :now)",
    )?
    .execute(named_params! {
        ":id": id::generate(), ":org": tenant.org_id, ":session": session, ":user": tenant.user_id,
        ":message": message_id, ":now": now,
    })?;
    Ok(TurnRow::inserted(c))
}

/// The place of a row that brings the same version once more.
fn again(seq: i64, place: Place) -> Place {
    Place { first: Some(place.first.unwrap_or(seq)), ..place }
}

/// A message that a turn replaced.
struct Gone {
    seq: i64,
    id: String,
    role: Role,
    place: Place,
}

/// The messages that a turn replaced, beside those that it brought.
struct Replaced {
    gone: std::vec::IntoIter<Gone>,
    /// Whether all that came so far only goes on with what was there.
    is_beside: bool,
}

impl Replaced {
    /// As many as may matter when `count` messages come.
    fn by(c: &Connection, turn: TurnRow, count: usize) -> Result<Self> {
        let mut statement = c.prepare_cached(
            "SELECT seq, id, role, version, place FROM message WHERE superseded_by = :turn AND turn IS NOT :turn
             ORDER BY seq LIMIT :rows",
        )?;
        let rows = statement.query_map(named_params! { ":turn": turn, ":rows": count as i64 }, |row| {
            let place = Place { version: row.get(3)?, first: row.get(4)? };
            Ok(Gone { seq: row.get(0)?, id: row.get(1)?, role: row.get(2)?, place })
        })?;
        let gone: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
        Ok(Replaced { gone: gone.into_iter(), is_beside: true })
    }

    /// Where the next message stands that the turn brings.
    fn place_of(&mut self, c: &Connection, id: &str, role: Role) -> Result<Place> {
        let Some(gone) = self.gone.next().filter(|_| self.is_beside) else { return Ok(Place::default()) };
        let same = again(gone.seq, gone.place);
        if role == Role::Assistant && gone.role == role && gone.id == id {
            return Ok(same);
        }
        self.is_beside = false;
        let version = newest_version(c, same.first.unwrap_or(gone.seq))? + 1;
        Ok(Place { version, ..same })
    }
}

/// Keeps what a turn begins with.
pub(super) fn begin(c: &Connection, session: SessionRow, turn: TurnRow, new: &[NewMessage]) -> Result<()> {
    let mut replaced = Replaced::by(c, turn, new.len())?;
    new.iter().try_for_each(|message| {
        let place = replaced.place_of(c, &message.id, message.role)?;
        messages::insert(c, session, Some(turn), message, place)
    })
}

/// Keeps a turn's reply.
pub(super) fn end(c: &Connection, session: SessionRow, turn: TurnRow, reply: &NewMessage) -> Result<()> {
    let place = match messages::find(c, session, &reply.id)? {
        Some(continued) => {
            messages::supersede_from(c, session, continued.seq, turn)?;
            again(continued.seq, continued.place)
        }
        None => place_of_reply(c, turn, reply)?,
    };
    messages::insert(c, session, Some(turn), reply, place)
}

fn place_of_reply(c: &Connection, turn: TurnRow, reply: &NewMessage) -> Result<Place> {
    // Most turns replace nothing.
    if Replaced::by(c, turn, 1)?.gone.len() == 0 {
        return Ok(Place::default());
    }
    let mut statement = c.prepare_cached("SELECT id, role FROM message WHERE turn = ?1 ORDER BY seq")?;
    let brought = statement.query_map([turn], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let brought: Vec<(String, Role)> = brought.collect::<rusqlite::Result<_>>()?;
    let mut replaced = Replaced::by(c, turn, brought.len() + 1)?;
    for (id, role) in &brought {
        replaced.place_of(c, id, *role)?;
    }
    replaced.place_of(c, &reply.id, reply.role)
}

/// Ends a turn without a reply: if it brought nothing at all, what it replaced stands again, unless it has ended calls of that: their
/// message does not say so.
pub(super) fn end_without(c: &Connection, turn: TurnRow) -> Result<()> {
    c.prepare_cached(
        "UPDATE message SET superseded_by = NULL WHERE superseded_by = :turn
             AND NOT EXISTS (SELECT 1 FROM message WHERE turn = :turn)
             AND NOT EXISTS (SELECT 1 FROM tool_call WHERE decided_turn = :turn)
             AND NOT EXISTS (SELECT 1 FROM turn JOIN message m ON m.superseded_by = turn.seq
                 JOIN tool_call t ON t.session = m.session AND t.message_id = m.id WHERE turn.seq = :turn AND t.ended_at >= turn.started_at)",
    )?
    .execute(named_params! { ":turn": turn })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_much_stands_again_and_no_more() {
        for (messages, bytes, fits) in [
            (RESTORED_MESSAGES_MAX - 1, 0, true),
            (RESTORED_MESSAGES_MAX, 0, true),
            (RESTORED_MESSAGES_MAX + 1, 0, false),
            (1, RESTORED_BYTES_MAX - 1, true),
            (1, RESTORED_BYTES_MAX, true),
            (1, RESTORED_BYTES_MAX + 1, false),
        ] {
            assert_eq!(check_size(messages, bytes).is_ok(), fits, "{messages} {bytes}");
        }
    }
}
