//! People at a browser: what their password is checked against, where they are signed in, and what they belong to.
//!
//! Rule: what is one person's is reached through [`Store::person`], whose every query binds the person.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{
    Org, Store, Tenant,
    audit::{self, Event, Kind},
    via::Via,
    words::words,
};
use crate::{
    error::{Error, Result},
    id,
    time::Timestamp,
};

/// How long a sign-in lasts, however much it is used.
pub const SIGN_IN_LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// How long after the password was given a person may change keys, money and providers.
pub const STEP_UP_LIFE: Duration = Duration::from_secs(15 * 60);
/// Sign-ins of one person at once; past it the oldest ends.
const SIGN_INS_MAX: i64 = 32;
/// The precision of a sign-in's last use.
const SEEN_PRECISION: Duration = Duration::from_secs(60);

/// What is kept of a browser that is signed in.
#[derive(Debug, Clone)]
pub struct SignIn {
    pub id: String,
    pub user_id: String,
    pub email: String,
    pub created_at: Timestamp,
    /// To the minute.
    pub last_seen_at: Timestamp,
    /// When the password was last given.
    pub stepped_up_at: Timestamp,
    pub user_agent: String,
}

/// What a password is checked against.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub user_id: String,
    /// Absent: this person cannot sign in.
    pub password_hash: Option<String>,
}

words! {
    /// What a person may do in an organization.
    pub enum Role {
        /// Everything.
        Owner = "owner",
        /// Their own keys, and agents, projects and sessions.
        Member = "member",
    }
}

/// A person's place in an organization.
#[derive(Debug, Clone)]
pub struct Membership {
    pub tenant: Tenant,
    pub org_slug: String,
    pub role: Role,
}

/// The store as one person sees it.
pub struct Person<'a> {
    store: &'a Store,
    user_id: &'a str,
    /// How they ask.
    via: Via,
}

impl SignIn {
    const SELECT: &str = "SELECT s.id, s.user_id, u.email, s.created_at, s.last_seen_at, s.stepped_up_at, s.user_agent
        FROM sign_in s JOIN user u ON u.id = s.user_id";

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(SignIn {
            id: row.get(0)?,
            user_id: row.get(1)?,
            email: row.get(2)?,
            created_at: Timestamp::from_millis(row.get(3)?),
            last_seen_at: Timestamp::from_millis(row.get(4)?),
            stepped_up_at: Timestamp::from_millis(row.get(5)?),
            user_agent: row.get(6)?,
        })
    }

    /// Until when it may change keys, money and providers.
    pub fn stepped_up_until(&self) -> Timestamp {
        self.stepped_up_at.plus(STEP_UP_LIFE)
    }
}

impl Membership {
    const SELECT: &str = "SELECT m.org_id, m.user_id, o.slug, m.role FROM member m JOIN org o ON o.id = m.org_id";

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Membership {
            tenant: Tenant { org_id: row.get(0)?, user_id: row.get(1)? },
            org_slug: row.get(2)?,
            role: row.get(3)?,
        })
    }
}

impl Credentials {
    pub(super) fn find(c: &Connection, email: &str) -> Result<Option<Self>> {
        let mut statement = c.prepare_cached(
            "SELECT id, password_hash FROM user WHERE email IN (?1, ?2, ?3) ORDER BY email = ?1 DESC LIMIT 1",
        )?;
        let credentials = |row: &Row<'_>| Ok(Credentials { user_id: row.get(0)?, password_hash: row.get(1)? });
        Ok(statement.query_row(id::forms_of_email(email), credentials).optional()?)
    }
}

impl Store {
    /// What the password of that e-mail address is checked against, if anybody has the address.
    pub fn credentials(&self, email: &str) -> Result<Option<Credentials>> {
        self.read(|c| Credentials::find(c, email))
    }

    /// The sign-in of the cookie with that hash; `None` if it is unknown, ended or too old.
    pub fn sign_in(&self, hash: &[u8; 32]) -> Result<Option<SignIn>> {
        let now = Timestamp::now();
        let found = self.read(|c| {
            let mut statement =
                c.prepare_cached(&format!("{} WHERE s.hash = :hash AND s.expires_at > :now", SignIn::SELECT))?;
            let parameters = named_params! { ":hash": hash, ":now": now.as_millis() };
            Ok(statement.query_row(parameters, SignIn::from_row).optional()?)
        })?;
        if let Some(sign_in) = found.as_ref().filter(|known| now.since(known.last_seen_at) >= SEEN_PRECISION) {
            self.note_seen(sign_in.id.clone(), now);
        }
        Ok(found)
    }

    /// Nobody waits for it.
    fn note_seen(&self, id: String, now: Timestamp) {
        self.writer.write_later("when a browser was last seen", move |c| {
            let mut statement = c.prepare_cached("UPDATE sign_in SET last_seen_at = :now WHERE id = :id")?;
            statement.execute(named_params! { ":now": now.as_millis(), ":id": id })?;
            Ok(())
        });
    }

    /// What is one person's, and nobody else's.
    pub fn person<'a>(&'a self, user_id: &'a str) -> Person<'a> {
        Person { store: self, user_id, via: Via::Cli }
    }
}

impl Org<'_> {
    /// What the person who asks may do here; a member if their place is gone.
    pub fn role(&self) -> Result<Role> {
        self.read(|c| {
            let mut statement = c.prepare_cached("SELECT role FROM member WHERE org_id = :org AND user_id = :user")?;
            let parameters = named_params! { ":org": self.tenant.org_id, ":user": self.tenant.user_id };
            let role = statement.query_row(parameters, |row| row.get(0)).optional()?;
            Ok(role.unwrap_or(Role::Member))
        })
    }
}

impl Person<'_> {
    /// The same, as it is asked for by another way than a command.
    pub fn via(self, via: Via) -> Self {
        Person { via, ..self }
    }

    /// Their organizations, the oldest membership first.
    pub fn memberships(&self) -> Result<Vec<Membership>> {
        self.store.read(|c| {
            let mut statement = c.prepare_cached(&format!(
                "{} WHERE m.user_id = :user ORDER BY m.created_at, m.org_id",
                Membership::SELECT
            ))?;
            let rows = statement.query_map(named_params! { ":user": self.user_id }, Membership::from_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Their place in the organization of that slug, or in the first if none is named.
    pub fn membership(&self, org_slug: Option<&str>) -> Result<Option<Membership>> {
        self.store.read(|c| {
            let mut statement = c.prepare_cached(&format!(
                "{} WHERE m.user_id = :user AND (:slug IS NULL OR o.slug = :slug)
                 ORDER BY m.created_at, m.org_id LIMIT 1",
                Membership::SELECT
            ))?;
            let parameters = named_params! { ":user": self.user_id, ":slug": org_slug };
            Ok(statement.query_row(parameters, Membership::from_row).optional()?)
        })
    }

    /// Where they are signed in, the newest first.
    pub fn sign_ins(&self) -> Result<Vec<SignIn>> {
        self.store.read(|c| {
            let mut statement = c.prepare_cached(&format!(
                "{} WHERE s.user_id = :user AND s.expires_at > :now ORDER BY s.created_at DESC, s.id DESC",
                SignIn::SELECT
            ))?;
            let parameters = named_params! { ":user": self.user_id, ":now": Timestamp::now().as_millis() };
            let rows = statement.query_map(parameters, SignIn::from_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Begins a sign-in. `checked` is the hash that the password was checked against: one that was replaced meanwhile opens nothing.
    pub async fn begin_sign_in(&self, hash: [u8; 32], checked: Option<String>, user_agent: String) -> Result<SignIn> {
        let via = self.via;
        self.write(move |c, user_id| {
            let (id, now) = (id::generate(), Timestamp::now());
            let begun = c.execute(
                "INSERT INTO sign_in (id, user_id, hash, created_at, last_seen_at, stepped_up_at, expires_at, user_agent)
                 SELECT :id, id, :hash, :now, :now, :now, :expires, :agent FROM user
                 WHERE id = :user AND password_hash IS :checked",
                named_params! {
                    ":id": id, ":user": user_id, ":hash": hash, ":now": now.as_millis(), ":agent": user_agent,
                    ":expires": now.plus(SIGN_IN_LIFE).as_millis(), ":checked": checked,
                },
            )?;
            if begun == 0 {
                return Err(Error::Unauthorized("the password has changed: sign in with the new one"));
            }
            end_surplus(c, user_id, now)?;
            audit::note_of_person(c, user_id, via, &Event::new(Kind::SignInBegan, user_agent))?;
            let select = format!("{} WHERE s.id = :id", SignIn::SELECT);
            Ok(c.query_row(&select, named_params! { ":id": id }, SignIn::from_row)?)
        })
        .await
    }

    /// Notes that the password was given again.
    pub async fn step_up(&self, sign_in_id: String) -> Result<()> {
        self.write(move |c, user_id| {
            let stepped_up = c.execute(
                "UPDATE sign_in SET stepped_up_at = :now WHERE id = :id AND user_id = :user",
                named_params! { ":now": Timestamp::now().as_millis(), ":id": sign_in_id, ":user": user_id },
            )?;
            if stepped_up == 0 { Err(Error::NotFound("sign-in")) } else { Ok(()) }
        })
        .await
    }

    /// Ends a sign-in. Its cookie stops working with the commit.
    pub async fn end_sign_in(&self, sign_in_id: String) -> Result<()> {
        let via = self.via;
        self.write(move |c, user_id| {
            let ended = c.execute(
                "DELETE FROM sign_in WHERE id = :id AND user_id = :user",
                named_params! { ":id": sign_in_id, ":user": user_id },
            )?;
            if ended == 0 {
                return Err(Error::NotFound("sign-in"));
            }
            audit::note_of_person(c, user_id, via, &Event::new(Kind::SignInEnded, ""))
        })
        .await
    }

    /// Replaces their password, and ends every sign-in but the one that is kept; returns how many.
    pub async fn set_password(&self, password_hash: String, kept: Option<String>) -> Result<usize> {
        let via = self.via;
        self.write(move |c, user_id| {
            let email = "SELECT email FROM user WHERE id = ?1";
            let email: String = c.query_row(email, [user_id], |row| row.get(0))?;
            audit::note_of_person(c, user_id, via, &Event::new(Kind::PasswordChanged, email))?;
            c.execute(
                "UPDATE user SET password_hash = :hash WHERE id = :user",
                named_params! { ":hash": password_hash, ":user": user_id },
            )?;
            Ok(c.execute(
                "DELETE FROM sign_in WHERE user_id = :user AND id IS NOT :kept",
                named_params! { ":user": user_id, ":kept": kept },
            )?)
        })
        .await
    }

    /// Writes through the writer; the closure gets the person because it outlives the borrow.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, &str) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let user_id = self.user_id.to_owned();
        self.store.writer.write(move |connection| work(connection, &user_id)).await
    }
}

/// Expired sign-ins are deleted when the next one is created, so that the table does not grow.
fn end_surplus(c: &Connection, user_id: &str, now: Timestamp) -> Result<()> {
    c.execute(
        "DELETE FROM sign_in WHERE user_id = :user AND (expires_at <= :now OR id NOT IN
             (SELECT id FROM sign_in WHERE user_id = :user ORDER BY created_at DESC, id DESC LIMIT :max))",
        named_params! { ":user": user_id, ":now": now.as_millis(), ":max": SIGN_INS_MAX },
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_sign_in_of_one_too_many_ends() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1).unwrap();
        let owner_id = store.create_org("acme", "a@example.com", None).unwrap().owner_id;
        let person = store.person(&owner_id);
        for n in 1..=SIGN_INS_MAX + 2 {
            let hash = |n: i64| [n as u8; 32];
            person.begin_sign_in(hash(n), None, String::new()).await.unwrap();
            assert_eq!(person.sign_ins().unwrap().len() as i64, n.min(SIGN_INS_MAX));
            let is_in = |n: i64| store.sign_in(&hash(n)).unwrap().is_some();
            let oldest = (n - SIGN_INS_MAX).max(0) + 1;
            assert!(is_in(oldest) && is_in(n) && (oldest == 1 || !is_in(oldest - 1)), "{n}");
        }
    }
}
