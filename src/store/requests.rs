//! The log of what was asked of models: each request that began a turn, and each that was refused.
//!
//! Rule: the row of a turn is written in the turn's own commits; nobody waits for that of a refusal. Whatever is too old or too many
//! goes with the next row, so nothing counts them.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{Org, Page, Store, Tenant, outcome::Outcome, words::words};
use crate::{
    error::{Error, Result},
    id,
    time::Timestamp,
};

/// Rows that are kept of one organization.
pub const REQUEST_ROWS_MAX: i64 = 100_000;
/// Days for which a row is kept.
pub const REQUEST_DAYS_MAX: i64 = 30;
/// Milliseconds of a day.
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1_000;
/// Old rows that make way for each new one: more than one, so that they get fewer.
const FORGOTTEN_AT_ONCE: i64 = 2;

words! {
    /// What became of a request.
    pub enum RequestStatus {
        /// Its reply is being written.
        Running = "running",
        /// Its reply is complete.
        Complete = "complete",
        /// Someone stopped its reply.
        Stopped = "stopped",
        /// The server went away under its reply.
        Interrupted = "interrupted",
        /// Its reply broke off.
        Failed = "error",
        /// It got no reply.
        Refused = "refused",
    }
}

/// How a request came.
#[derive(Debug, Clone, Default)]
pub struct Came {
    /// As its response and the log name it.
    pub request_id: String,
    /// The pattern of its path, or `ask_agent`.
    pub route: &'static str,
}

/// What is noted of a turn's request when it ends.
#[derive(Debug, Clone, Default)]
pub struct Noted {
    /// Of what went wrong.
    pub code: Option<&'static str>,
    /// Milliseconds until the first word.
    pub first_ms: Option<i64>,
    /// The provider's own words.
    pub said: Option<String>,
}

/// A request that never became a turn.
#[derive(Debug, Clone)]
pub struct RefusedRequest {
    pub tenant: Tenant,
    pub key_id: Option<String>,
    pub came: Came,
    pub at: Timestamp,
    pub http_status: u16,
    pub code: &'static str,
    /// Refusals before it that were too many for rows of their own.
    pub unlisted: i64,
}

/// A row of the log.
#[derive(Debug, Clone)]
pub struct Request {
    /// Of those of its organization: a list's cursor.
    pub n: i64,
    /// Its turn's id; of one that was refused, its own.
    pub id: String,
    pub request_id: String,
    pub route: String,
    pub user_id: String,
    pub user_email: String,
    pub key_id: Option<String>,
    pub key_name: Option<String>,
    pub agent_id: Option<String>,
    pub agent_name: Option<String>,
    pub model: Option<String>,
    /// Absent: there was none, it is gone, or not visible to whoever looks.
    pub session_id: Option<String>,
    pub at: Timestamp,
    pub status: RequestStatus,
    pub http_status: Option<u16>,
    pub code: Option<String>,
    pub first_ms: Option<i64>,
    pub duration_ms: Option<i64>,
    pub input_tokens: i64,
    pub cache_read_tokens: i64,
    pub output_tokens: i64,
    /// Microcents.
    pub cost: i64,
    pub unlisted: i64,
    pub said: Option<String>,
}

/// Which requests a list shows.
#[derive(Debug, Clone, Default)]
pub struct RequestFilter {
    /// One person's alone.
    pub user_id: Option<String>,
    pub key_id: Option<String>,
    /// The key's name.
    pub key_name: Option<String>,
    pub agent_id: Option<String>,
    pub model: Option<String>,
    pub session_id: Option<String>,
    pub status: Option<RequestStatus>,
    /// Whether it failed: broke off, or got no reply.
    pub failed: Option<bool>,
    /// Came at that moment or later.
    pub from: Option<Timestamp>,
    /// Came before that moment.
    pub to: Option<Timestamp>,
}

impl From<Outcome> for RequestStatus {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Complete => RequestStatus::Complete,
            Outcome::Stopped => RequestStatus::Stopped,
            Outcome::Interrupted => RequestStatus::Interrupted,
            Outcome::Failed => RequestStatus::Failed,
        }
    }
}

/// A session that whoever looks may not see is as good as none.
const SELECT: &str = "SELECT r.n, r.id, r.request_id, r.route, r.user_id, u.email, r.key_id, k.name, r.agent_id, r.model,
        (SELECT s.id FROM session s LEFT JOIN project p ON p.id = s.project_id
            WHERE s.id = r.session_id AND s.org_id = :org AND s.deleted_at IS NULL
            AND (p.id IS NULL OR p.visibility = 'team' OR p.user_id = :user)),
        r.at, r.status, r.http_status, r.code, r.first_ms, r.duration_ms, r.input_tokens, r.cache_read_tokens, r.output_tokens,
        r.cost, r.unlisted, r.upstream_said, a.name
    FROM request r JOIN user u ON u.id = r.user_id LEFT JOIN agent a ON a.id = r.agent_id AND a.org_id = r.org_id LEFT JOIN api_key k ON k.id = r.key_id AND k.org_id = r.org_id";

impl Request {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Request {
            n: row.get(0)?,
            id: row.get(1)?,
            request_id: row.get(2)?,
            route: row.get(3)?,
            user_id: row.get(4)?,
            user_email: row.get(5)?,
            key_id: row.get(6)?,
            key_name: row.get(7)?,
            agent_id: row.get(8)?,
            model: row.get(9)?,
            session_id: row.get(10)?,
            at: Timestamp::from_millis(row.get(11)?),
            status: row.get(12)?,
            http_status: row.get(13)?,
            code: row.get(14)?,
            first_ms: row.get(15)?,
            duration_ms: row.get(16)?,
            input_tokens: row.get(17)?,
            cache_read_tokens: row.get(18)?,
            output_tokens: row.get(19)?,
            cost: row.get(20)?,
            unlisted: row.get(21)?,
            said: row.get(22)?,
            agent_name: row.get(23)?,
        })
    }
}

impl Org<'_> {
    /// Requests, the newest first; the cursor is a row's number.
    pub fn requests(&self, filter: &RequestFilter, limit: usize, cursor: Option<i64>) -> Result<Page<Request>> {
        self.read(|c| {
            let mut statement = c.prepare_cached(&format!(
                "{SELECT} WHERE r.org_id = :org AND r.n < :cursor AND r.at >= :old
                     AND (:person IS NULL OR r.user_id = :person) AND (:key IS NULL OR r.key_id = :key) AND (:key_name IS NULL OR k.name = :key_name)
                     AND (:agent IS NULL OR r.agent_id = :agent) AND (:model IS NULL OR r.model = :model)
                     AND (:session IS NULL OR r.session_id = :session) AND (:status IS NULL OR r.status = :status)
                     AND (:failed IS NULL OR (r.status IN ('error', 'refused')) = :failed)
                     AND (:from IS NULL OR r.at >= :from) AND (:to IS NULL OR r.at < :to)
                 ORDER BY r.n DESC LIMIT :rows"
            ))?;
            let parameters = named_params! {
                ":org": self.tenant.org_id, ":user": self.tenant.user_id, ":cursor": cursor.unwrap_or(i64::MAX), ":old": old(),
                ":person": filter.user_id, ":key": filter.key_id, ":key_name": filter.key_name, ":agent": filter.agent_id, ":model": filter.model,
                ":session": filter.session_id, ":status": filter.status, ":failed": filter.failed,
                ":from": filter.from.map(Timestamp::as_millis), ":to": filter.to.map(Timestamp::as_millis), ":rows": limit as i64 + 1,
            };
            let rows = statement.query_map(parameters, Request::from_row)?.collect::<Result<_, _>>()?;
            Ok(Page::from_rows(rows, limit, |request: &Request| request.n.to_string()))
        })
    }

    /// The request of that id, or the last of that name: clients choose names, and what agents ask has that of the request which
    /// made them ask. `user_id`: one person's alone.
    pub fn request(&self, id_or_name: &str, user_id: Option<&str>) -> Result<Request> {
        self.read(|c| {
            let mut statement = c.prepare_cached(&format!(
                "{SELECT} WHERE r.org_id = :org AND (r.id = :id OR r.request_id = :id) AND r.at >= :old
                     AND (:person IS NULL OR r.user_id = :person)
                 ORDER BY r.id = :id DESC, r.route = 'ask_agent', r.n DESC LIMIT 1"
            ))?;
            let parameters = named_params! {
                ":org": self.tenant.org_id, ":user": self.tenant.user_id, ":id": id_or_name, ":old": old(), ":person": user_id,
            };
            statement.query_row(parameters, Request::from_row).optional()?.ok_or(Error::NotFound("request"))
        })
    }
}

impl Store {
    /// Writes a refusal down with the next commit. Of a request whose turn was undone there is a row: it gets its status.
    pub fn note_refused(&self, refused: RefusedRequest) {
        self.writer.write_later("a refused request", move |c| {
            let RefusedRequest { tenant, key_id, came, at, http_status, code, unlisted } = &refused;
            let known = c
                .prepare_cached(
                    "UPDATE request SET http_status = :http WHERE org_id = :org AND request_id = :name AND route = :route
                         AND at >= :at AND status <> 'running' AND http_status IS NULL",
                )?
                .execute(named_params! {
                    ":http": http_status, ":org": tenant.org_id, ":name": came.request_id, ":route": came.route, ":at": at.as_millis(),
                })?;
            if known > 0 {
                return Ok(());
            }
            let_go(c, &tenant.org_id)?;
            c.prepare_cached(
                "INSERT INTO request (org_id, n, id, request_id, route, user_id, key_id, at, status, http_status, code, duration_ms, unlisted)
                 VALUES (:org, (SELECT coalesce(max(n), 0) + 1 FROM request WHERE org_id = :org), :id, :name, :route, :user,
                     :key, :at, 'refused', :http, :code, :took, :unlisted)",
            )?
            .execute(named_params! {
                ":org": tenant.org_id, ":id": id::generate(), ":name": came.request_id, ":route": came.route,
                ":user": tenant.user_id, ":key": key_id, ":at": at.as_millis(), ":http": http_status, ":code": code,
                ":took": Timestamp::now().since(*at).as_millis() as i64, ":unlisted": unlisted,
            })?;
            Ok(())
        });
    }
}

/// A request whose turn begins, as its row is written.
pub(super) struct NewRequest<'a> {
    pub turn_id: &'a str,
    pub came: &'a Came,
    pub key_id: Option<&'a str>,
    pub agent_id: Option<&'a str>,
    pub model: &'a str,
    pub session_id: Option<&'a str>,
}

/// Writes it down, in the transaction that begins its turn.
pub(super) fn begin(c: &Connection, tenant: &Tenant, new: &NewRequest<'_>) -> Result<()> {
    let_go(c, &tenant.org_id)?;
    c.prepare_cached(
        "INSERT INTO request (org_id, n, id, request_id, route, user_id, key_id, agent_id, model, session_id, at, status)
         VALUES (:org, (SELECT coalesce(max(n), 0) + 1 FROM request WHERE org_id = :org), :id, :name, :route, :user, :key, :agent,
             :model, :session, :now, 'running')",
    )?
    .execute(named_params! {
        ":org": tenant.org_id, ":id": new.turn_id, ":name": new.came.request_id, ":route": new.came.route,
        ":user": tenant.user_id, ":key": new.key_id, ":agent": new.agent_id, ":model": new.model,
        ":session": new.session_id, ":now": Timestamp::now().as_millis(),
    })?;
    Ok(())
}

/// Writes down how its turn ended, in the transaction that ends it: its numbers are the turn's.
pub(super) fn end(c: &Connection, turn_id: &str, outcome: Outcome, noted: &Noted) -> Result<()> {
    c.prepare_cached(
        "UPDATE request SET status = :status, code = :code, first_ms = :first, upstream_said = :said, duration_ms = max(0, :now - at),
             (input_tokens, cache_read_tokens, output_tokens, cost) =
                 (SELECT input_tokens, cache_read_tokens, output_tokens, cost FROM turn WHERE id = :id)
         WHERE id = :id",
    )?
    .execute(named_params! {
        ":status": RequestStatus::from(outcome), ":code": noted.code, ":first": noted.first_ms, ":said": noted.said,
        ":now": Timestamp::now().as_millis(), ":id": turn_id,
    })?;
    Ok(())
}

/// Writes down that it got no reply, in the transaction that undoes its turn.
pub(super) fn refuse(c: &Connection, turn_id: &str, noted: &Noted) -> Result<()> {
    c.prepare_cached(
        "UPDATE request SET status = 'refused', code = :code, upstream_said = :said, duration_ms = max(0, :now - at) WHERE id = :id",
    )?
    .execute(named_params! {
        ":code": noted.code, ":said": noted.said, ":now": Timestamp::now().as_millis(), ":id": turn_id,
    })?;
    Ok(())
}

/// Lets some of what is too old or too many go.
fn let_go(c: &Connection, org_id: &str) -> Result<()> {
    c.prepare_cached(
        "DELETE FROM request WHERE org_id = :org
             AND n IN (SELECT n FROM request WHERE org_id = :org ORDER BY n LIMIT :some)
             AND (at < :old OR n <= (SELECT max(n) FROM request WHERE org_id = :org) - :rows)",
    )?
    .execute(
        named_params! { ":org": org_id, ":some": FORGOTTEN_AT_ONCE, ":old": old(), ":rows": REQUEST_ROWS_MAX - 1 },
    )?;
    Ok(())
}

/// What came before this is not kept. Milliseconds since 1970.
fn old() -> i64 {
    Timestamp::now().as_millis() - REQUEST_DAYS_MAX * DAY_MILLIS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (Connection, Tenant) {
        let c = Connection::open_in_memory().unwrap();
        crate::store::file::schema::create(&c).unwrap();
        c.execute_batch(
            "INSERT INTO user (id, email, created_at) VALUES ('u', 'u@example.com', 1);
             INSERT INTO org (id, slug, owner_id, created_at) VALUES ('o', 'acme', 'u', 1);",
        )
        .unwrap();
        (c, Tenant { org_id: "o".into(), user_id: "u".into() })
    }

    fn ask(c: &Connection, tenant: &Tenant) {
        let came = Came { request_id: "r".into(), route: "/api/v1/chat" };
        let turn_id = &id::generate();
        let new = NewRequest { turn_id, came: &came, key_id: None, agent_id: None, model: "p/m", session_id: None };
        begin(c, tenant, &new).unwrap();
    }

    fn numbers(c: &Connection) -> (i64, i64, i64) {
        c.query_row("SELECT count(*), min(n), max(n) FROM request", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap()
    }

    #[test]
    fn the_newest_rows_of_an_organization_stay() {
        let (c, tenant) = file();
        ask(&c, &tenant);
        // As if so many had come since.
        c.execute("UPDATE request SET n = ?1", [1]).unwrap();
        for (last, left) in [(REQUEST_ROWS_MAX - 1, (3, 1)), (REQUEST_ROWS_MAX, (2, REQUEST_ROWS_MAX))] {
            c.execute("DELETE FROM request WHERE n > 1", []).unwrap();
            ask(&c, &tenant);
            c.execute("UPDATE request SET n = ?1 WHERE n > 1", [last]).unwrap();
            ask(&c, &tenant);
            let (count, first, newest) = numbers(&c);
            assert_eq!(((count, first), newest), (left, last + 1));
        }
    }

    #[test]
    fn a_row_goes_after_its_days() {
        let (c, tenant) = file();
        for (age, left) in [(-60_000, 2), (60_000, 1)] {
            c.execute("DELETE FROM request", []).unwrap();
            ask(&c, &tenant);
            c.execute("UPDATE request SET at = at - ?1", [REQUEST_DAYS_MAX * DAY_MILLIS + age]).unwrap();
            ask(&c, &tenant);
            assert_eq!(numbers(&c).0, left);
        }
    }
}
