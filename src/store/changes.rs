//! What changed, for those who listen: sessions, requests, calls that wait for a person.
//!
//! Rule: the file says it, and not the code that writes. Triggers of the writer's own connection note each row that changed; the
//! writer takes the notes after each commit. So no write can forget it, and what was rolled back was never noted.
//! Rule: a change is a name. Whoever listens looks the row up as who they are, so what they may not see is not in their hands.
//! Deliberately absent: what another process writes, such as a command beside the server.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, Row};
use tokio::sync::watch;

use crate::{error::Result, time::Timestamp};

/// Changes of an organization that are kept. Whoever is further behind is told that they missed some.
pub const CHANGES_MAX: usize = 1_024;

/// A session that is gone, or is elsewhere, is gone for those who could see it: of a private project that is one person.
const TRIGGERS: &str = "
CREATE TEMP TABLE change (n INTEGER PRIMARY KEY, org_id TEXT NOT NULL, kind TEXT NOT NULL, id TEXT, person TEXT) STRICT;
CREATE TEMP TRIGGER session_made AFTER INSERT ON main.session BEGIN
    INSERT INTO change (org_id, kind, id) VALUES (NEW.org_id, 'session', NEW.id);
END;
CREATE TEMP TRIGGER session_left AFTER UPDATE OF project_id, deleted_at ON main.session
WHEN OLD.deleted_at IS NULL AND (NEW.deleted_at IS NOT NULL OR NEW.project_id IS NOT OLD.project_id) BEGIN
    INSERT INTO change (org_id, kind, id, person)
    VALUES (OLD.org_id, 'gone', OLD.id, (SELECT user_id FROM project WHERE id = OLD.project_id AND visibility = 'private'));
END;
CREATE TEMP TRIGGER session_changed AFTER UPDATE OF status, label, project_id, updated_at ON main.session
WHEN NEW.deleted_at IS NULL BEGIN
    INSERT INTO change (org_id, kind, id) VALUES (NEW.org_id, 'session', NEW.id);
END;
CREATE TEMP TRIGGER session_deleted AFTER DELETE ON main.session WHEN OLD.deleted_at IS NULL BEGIN
    INSERT INTO change (org_id, kind, id, person)
    VALUES (OLD.org_id, 'gone', OLD.id, (SELECT user_id FROM project WHERE id = OLD.project_id AND visibility = 'private'));
END;
CREATE TEMP TRIGGER project_shown AFTER UPDATE OF visibility ON main.project WHEN NEW.visibility <> OLD.visibility BEGIN
    INSERT INTO change (org_id, kind) VALUES (NEW.org_id, 'any');
END;
CREATE TEMP TRIGGER request_made AFTER INSERT ON main.request BEGIN
    INSERT INTO change (org_id, kind, id) VALUES (NEW.org_id, 'request', NEW.id);
END;
CREATE TEMP TRIGGER request_changed AFTER UPDATE ON main.request BEGIN
    INSERT INTO change (org_id, kind, id) VALUES (NEW.org_id, 'request', NEW.id);
END;
CREATE TEMP TRIGGER call_made AFTER INSERT ON main.tool_call WHEN NEW.status = 'waiting' BEGIN
    INSERT INTO change (org_id, kind) VALUES (NEW.org_id, 'approvals');
END;
CREATE TEMP TRIGGER call_changed AFTER UPDATE OF status ON main.tool_call
WHEN NEW.status <> OLD.status AND 'waiting' IN (NEW.status, OLD.status) BEGIN
    INSERT INTO change (org_id, kind) VALUES (NEW.org_id, 'approvals');
END;";

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Change {
    /// This session.
    Session(String),
    /// This session is not where it was; `person`: only they could see it there.
    Gone { id: String, person: Option<String> },
    /// This request.
    Request(String),
    /// Which calls wait for a person.
    Approvals,
    /// Who may see what.
    Any,
}

/// The last changes of each organization that anybody has listened to.
#[derive(Clone, Default)]
pub(super) struct Changes {
    orgs: Arc<Mutex<HashMap<String, Arc<Told>>>>,
}

/// The last changes of one organization.
struct Told {
    /// Numbers of another beginning mean nothing.
    since: i64,
    kept: watch::Sender<Kept>,
}

#[derive(Default)]
struct Kept {
    /// How many there were; the last one's number.
    count: u64,
    last: VecDeque<Change>,
}

/// Someone who listens, and how far they are.
pub struct Listener {
    told: Arc<Told>,
    kept: watch::Receiver<Kept>,
    /// Absent: they missed some.
    heard: Option<u64>,
}

/// What a listener hears.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// Changes with their numbers; of the same one only the last.
    Changes(Vec<(u64, Change)>),
    /// There were too many; the number of the last.
    Missed(u64),
}

/// Begins to note what changes through this connection.
pub(super) fn note(connection: &Connection) -> Result<()> {
    Ok(connection.execute_batch(TRIGGERS)?)
}

impl Changes {
    /// Tells what was noted since the last time.
    pub(super) fn tell(&self, connection: &Connection) {
        match take(connection) {
            Ok(changes) => changes.into_iter().for_each(|(org_id, change)| self.put(&org_id, change)),
            Err(error) => tracing::warn!(%error, "cannot see what changed"),
        }
    }

    fn put(&self, org_id: &str, change: Change) {
        let Some(told) = self.orgs().get(org_id).cloned() else { return };
        told.kept.send_modify(|kept| {
            kept.count += 1;
            kept.last.push_back(change);
            if kept.last.len() > CHANGES_MAX {
                kept.last.pop_front();
            }
        });
    }

    /// From after the one of that name, or from now on.
    pub(super) fn listen(&self, org_id: &str, after: Option<&str>) -> Listener {
        let new = || Arc::new(Told { since: Timestamp::now().as_millis(), kept: watch::Sender::default() });
        let told = self.orgs().entry(org_id.to_owned()).or_insert_with(new).clone();
        let kept = told.kept.subscribe();
        let count = kept.borrow().count;
        let number = |name: &str| {
            let (since, number) = name.trim().split_once('-')?;
            let number = number.parse().ok().filter(|number| *number <= count)?;
            (since.parse() == Ok(told.since)).then_some(number)
        };
        let heard = after.map_or(Some(count), number);
        Listener { told, kept, heard }
    }

    fn orgs(&self) -> MutexGuard<'_, HashMap<String, Arc<Told>>> {
        self.orgs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// The name of the change of that number, for [`Org::listen`](super::Org::listen).
    pub fn name(&self, number: u64) -> String {
        format!("{}-{number}", self.told.since)
    }

    /// The number of the last change that was heard; absent: some were missed.
    pub fn heard(&self) -> Option<u64> {
        self.heard
    }

    /// Waits for changes, and takes at most so many.
    pub async fn next(&mut self, at_most: usize) -> Heard {
        let heard = self.heard;
        // It cannot fail: the sender is ours.
        let _ = self.kept.wait_for(|kept| heard != Some(kept.count)).await;
        let kept = self.kept.borrow();
        let first = kept.count - kept.last.len() as u64;
        let Some(heard) = heard.filter(|heard| *heard >= first) else {
            self.heard = Some(kept.count);
            return Heard::Missed(kept.count);
        };
        let mut changes: Vec<(u64, Change)> = Vec::new();
        for (number, change) in (heard + 1..).zip(kept.last.iter().skip((heard - first) as usize)).take(at_most) {
            changes.retain(|(_, known)| known != change);
            changes.push((number, change.clone()));
        }
        self.heard = changes.last().map(|(number, _)| *number);
        Heard::Changes(changes)
    }
}

fn take(connection: &Connection) -> Result<Vec<(String, Change)>> {
    let mut statement = connection.prepare_cached(
        "SELECT org_id, kind, id, person FROM temp.change GROUP BY org_id, kind, id, person ORDER BY max(n)",
    )?;
    let change = |row: &Row<'_>| {
        let change = match row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)? {
            "session" => Change::Session(row.get(2)?),
            "gone" => Change::Gone { id: row.get(2)?, person: row.get(3)? },
            "request" => Change::Request(row.get(2)?),
            "approvals" => Change::Approvals,
            _ => Change::Any,
        };
        Ok((row.get(0)?, change))
    };
    let changes = statement.query_map([], change)?.collect::<rusqlite::Result<Vec<_>>>()?;
    if !changes.is_empty() {
        connection.prepare_cached("DELETE FROM temp.change")?.execute([])?;
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::{
        error::Error,
        store::{Store, Tenant, sessions::NewSession},
    };

    fn told(changes: &Changes, range: std::ops::Range<usize>) {
        range.for_each(|n| changes.put("o", Change::Session(n.to_string())));
    }

    fn heard(listener: &mut Listener) -> Option<Heard> {
        listener.next(usize::MAX).now_or_never()
    }

    #[test]
    fn so_many_changes_are_kept_and_whoever_is_further_behind_missed_some() {
        for (n, is_missed) in [(CHANGES_MAX - 1, false), (CHANGES_MAX, false), (CHANGES_MAX + 1, true)] {
            let changes = Changes::default();
            let mut listener = changes.listen("o", None);
            told(&changes, 0..n);
            match heard(&mut listener).unwrap() {
                Heard::Missed(last) => assert!(is_missed && last == n as u64, "{n}"),
                Heard::Changes(all) => assert!(!is_missed && all.len() == n, "{n}"),
            }
            assert_eq!(heard(&mut listener), None, "that was all");
        }
    }

    #[test]
    fn a_listener_goes_on_after_any_change_and_elsewhere_missed_some() {
        let changes = Changes::default();
        let first = changes.listen("o", None);
        told(&changes, 0..3);
        for n in 0..=3 {
            let mut again = changes.listen("o", Some(&first.name(n)));
            let left = match heard(&mut again) {
                None => 0,
                Some(Heard::Changes(all)) => all.len() as u64,
                Some(Heard::Missed(_)) => panic!("nothing was missed after {n}"),
            };
            assert_eq!(left, 3 - n);
        }
        let later = format!("{}-1", first.told.since + 1);
        for name in [&*first.name(4), &later, "", "-", "x", "1-", "-1", "1-1-1"] {
            assert_eq!(heard(&mut changes.listen("o", Some(name))), Some(Heard::Missed(3)), "{name}");
        }
    }

    #[test]
    fn of_the_same_change_the_last_is_heard_and_of_many_some() {
        let changes = Changes::default();
        let mut listener = changes.listen("o", None);
        for id in ["a", "b", "a"] {
            changes.put("o", Change::Request(id.into()));
        }
        let request = |number, id: &str| (number, Change::Request(id.into()));
        assert_eq!(listener.next(2).now_or_never(), Some(Heard::Changes(vec![request(1, "a"), request(2, "b")])));
        assert_eq!(heard(&mut listener), Some(Heard::Changes(vec![request(3, "a")])));
        let mut late = changes.listen("o", Some(&listener.name(0)));
        assert_eq!(heard(&mut late), Some(Heard::Changes(vec![request(2, "b"), request(3, "a")])));
    }

    #[tokio::test]
    async fn what_is_committed_is_told_and_what_is_undone_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1).unwrap();
        let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
        let other = store.create_org("other", "b@example.com", None).unwrap().tenant();
        let (mut ours, mut theirs) = (store.org(&tenant).listen(None), store.org(&other).listen(None));
        let undone = |c: &Connection, _: &Tenant| -> Result<()> {
            c.execute("INSERT INTO session (org_id, id, user_id, label, created_at, updated_at) SELECT org_id, 'undone', user_id, '', 1, 1 FROM member", [])?;
            Err(Error::NotFound("thing"))
        };
        store.org(&tenant).write(undone).await.unwrap_err();
        let session = store.org(&tenant).create_session(NewSession::default()).await.unwrap();
        store.org(&tenant).delete_session(session.id.clone()).await.unwrap();
        let Some(Heard::Changes(all)) = heard(&mut ours) else { panic!("nothing was heard") };
        let all: Vec<_> = all.into_iter().map(|(_, change)| change).collect();
        let gone = Change::Gone { id: session.id.clone(), person: None };
        assert_eq!(all, [Change::Session(session.id), gone]);
        assert_eq!(heard(&mut theirs), None);
    }
}
