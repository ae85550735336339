//! Invitations: a link makes somebody a member, once, within a week.
//!
//! Rule: of a link only the hash is kept, and its row goes when it is used. Rule: who has a password gives it; a link sets one only
//! for somebody who belongs to no other organization, or an owner here could become anybody there.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{
    Org, Store, Tenant,
    audit::{self, Event, Kind},
    members::MEMBERS_MAX,
    sign_ins::{Credentials, Role},
    via::Via,
};
use crate::{
    error::{Error, Result},
    id,
    time::Timestamp,
};

/// How long a link opens.
pub const INVITATION_LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Links of one organization that open at once; past it one has to be withdrawn.
pub const INVITATIONS_MAX: i64 = 100;

/// A link that nobody has used yet.
#[derive(Debug, Clone)]
pub struct Invitation {
    pub id: String,
    pub email: String,
    pub role: Role,
    /// The address of who invites.
    pub invited_by: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// What a link opens.
#[derive(Debug, Clone)]
pub struct Invited {
    pub org_slug: String,
    pub email: String,
    pub role: Role,
    pub expires_at: Timestamp,
    /// What their password is checked against; absent: they choose one.
    pub password_hash: Option<String>,
    id: String,
    org_id: String,
    user_id: Option<String>,
}

/// How somebody shows that they are who is invited.
#[derive(Debug, Clone)]
pub enum Proof {
    /// Their password was checked against this hash.
    Checked(String),
    /// The hash of a password that they chose.
    Chosen(String),
}

impl Invitation {
    const SELECT: &str = "SELECT i.id, i.email, i.role, u.email, i.created_at, i.expires_at
        FROM invitation i JOIN user u ON u.id = i.user_id";

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Invitation {
            id: row.get(0)?,
            email: row.get(1)?,
            role: row.get(2)?,
            invited_by: row.get(3)?,
            created_at: Timestamp::from_millis(row.get(4)?),
            expires_at: Timestamp::from_millis(row.get(5)?),
        })
    }
}

impl Org<'_> {
    /// Links that still open, the newest first.
    pub fn invitations(&self) -> Result<Vec<Invitation>> {
        self.read(|c| {
            let mut statement = c.prepare_cached(&format!(
                "{} WHERE i.org_id = :org AND i.expires_at > :now ORDER BY i.created_at DESC, i.id DESC",
                Invitation::SELECT
            ))?;
            let parameters = named_params! { ":org": self.tenant.org_id, ":now": Timestamp::now().as_millis() };
            let rows = statement.query_map(parameters, Invitation::from_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Keeps a link by its hash. An older one for the same person opens no more.
    pub async fn invite(&self, email: String, role: Role, hash: [u8; 32]) -> Result<Invitation> {
        let email = id::plain_email(&email);
        id::check_email("email", &email)?;
        self.write_audited(move |c, tenant| {
            let now = Timestamp::now();
            c.execute(
                "DELETE FROM invitation WHERE org_id = :org AND (email = :email OR expires_at <= :now)",
                named_params! { ":org": tenant.org_id, ":email": email, ":now": now.as_millis() },
            )?;
            check_room(c, tenant, &email)?;
            let id = id::generate();
            c.execute(
                "INSERT INTO invitation (id, org_id, user_id, email, role, hash, created_at, expires_at)
                 VALUES (:id, :org, :user, :email, :role, :hash, :now, :end)",
                named_params! {
                    ":id": id, ":org": tenant.org_id, ":user": tenant.user_id, ":email": email, ":role": role,
                    ":hash": hash, ":now": now.as_millis(), ":end": now.plus(INVITATION_LIFE).as_millis(),
                },
            )?;
            let made = find(c, tenant, &id)?;
            let event = Event::new(Kind::PersonInvited, format!("{}: {}", made.email, role.as_str()));
            Ok((made, event))
        })
        .await
    }

    /// Lets a link open no more.
    pub async fn withdraw_invitation(&self, invitation_id: String) -> Result<()> {
        self.write_audited(move |c, tenant| {
            let invitation = find(c, tenant, &invitation_id)?;
            c.execute("DELETE FROM invitation WHERE id = ?1", [invitation.id])?;
            Ok(((), Event::new(Kind::InvitationWithdrawn, invitation.email)))
        })
        .await
    }
}

impl Store {
    /// What the link of that hash opens; `None` if it is unknown, used, withdrawn or too old.
    pub fn invited(&self, hash: &[u8; 32]) -> Result<Option<Invited>> {
        self.read(|c| invited(c, hash))
    }

    /// Makes the person that a link invites a member, and the link open no more; returns their id.
    pub async fn join(&self, hash: [u8; 32], proof: Proof) -> Result<String> {
        let join = move |c: &Connection| {
            let invited = invited(c, &hash)?.ok_or_else(closed)?;
            let user_id = person_of(c, &invited, proof)?;
            let tenant = Tenant { org_id: invited.org_id, user_id };
            c.execute("DELETE FROM invitation WHERE id = ?1", [invited.id])?;
            c.execute(
                "INSERT INTO member (org_id, user_id, role, created_at) VALUES (:org, :user, :role, :now)
                 ON CONFLICT DO NOTHING",
                named_params! {
                    ":org": tenant.org_id, ":user": tenant.user_id, ":role": invited.role,
                    ":now": Timestamp::now().as_millis(),
                },
            )?;
            let said = format!("{}: {}", invited.email, invited.role.as_str());
            audit::note(c, &tenant, Via::Browser, &Event::new(Kind::PersonJoined, said))?;
            Ok(tenant.user_id)
        };
        self.writer.write(join).await
    }
}

/// The refusal of a link that opens nothing.
pub fn closed() -> Error {
    Error::forbidden("this invitation was used or withdrawn, or has expired: ask for a new one")
}

fn invited(c: &Connection, hash: &[u8; 32]) -> Result<Option<Invited>> {
    let mut statement = c.prepare_cached(
        "SELECT i.id, i.org_id, o.slug, i.email, i.role, i.expires_at FROM invitation i JOIN org o ON o.id = i.org_id
         WHERE i.hash = :hash AND i.expires_at > :now",
    )?;
    let invited = |row: &Row<'_>| {
        Ok(Invited {
            id: row.get(0)?,
            org_id: row.get(1)?,
            org_slug: row.get(2)?,
            email: row.get(3)?,
            role: row.get(4)?,
            expires_at: Timestamp::from_millis(row.get(5)?),
            password_hash: None,
            user_id: None,
        })
    };
    let parameters = named_params! { ":hash": hash, ":now": Timestamp::now().as_millis() };
    let Some(found) = statement.query_row(parameters, invited).optional()? else { return Ok(None) };
    let known = Credentials::find(c, &found.email)?;
    let (user_id, password_hash) = known.map_or((None, None), |known| (Some(known.user_id), known.password_hash));
    Ok(Some(Invited { user_id, password_hash, ..found }))
}

/// The person who is invited, made if there is none of that address.
fn person_of(c: &Connection, invited: &Invited, proof: Proof) -> Result<String> {
    let (chosen, user_id) = match (&invited.password_hash, proof, &invited.user_id) {
        (Some(known), Proof::Checked(checked), Some(user_id)) if *known == checked => return Ok(user_id.clone()),
        (None, Proof::Chosen(chosen), user_id) => (chosen, user_id),
        _ => return Err(Error::Unauthorized("the password has changed: open the invitation again")),
    };
    let Some(user_id) = user_id else {
        let user_id = id::generate();
        c.execute(
            "INSERT INTO user (id, email, password_hash, created_at) VALUES (:id, :email, :hash, :now)",
            named_params! {
                ":id": user_id, ":email": invited.email, ":hash": chosen, ":now": Timestamp::now().as_millis(),
            },
        )?;
        return Ok(user_id);
    };
    let elsewhere = "SELECT EXISTS (SELECT 1 FROM member WHERE user_id = :user AND org_id <> :org)";
    let of = named_params! { ":user": user_id, ":org": invited.org_id };
    if c.query_row(elsewhere, of, |row| row.get(0))? {
        let text = format!(
            "{0} has no password yet: whoever runs the server sets one with `alm org password {0}`",
            invited.email
        );
        return Err(Error::Conflict(text));
    }
    c.execute("UPDATE user SET password_hash = ?1 WHERE id = ?2", (&chosen, user_id))?;
    Ok(user_id.clone())
}

fn find(c: &Connection, tenant: &Tenant, invitation_id: &str) -> Result<Invitation> {
    let select = format!("{} WHERE i.id = :id AND i.org_id = :org", Invitation::SELECT);
    let of = named_params! { ":id": invitation_id, ":org": tenant.org_id };
    c.query_row(&select, of, Invitation::from_row).optional()?.ok_or(Error::NotFound("invitation"))
}

/// Whether there is room for one more, who is not there yet. A member without a password may get one by a link.
fn check_room(c: &Connection, tenant: &Tenant, email: &str) -> Result<()> {
    let is_member = "SELECT EXISTS (SELECT 1 FROM member WHERE org_id = ?1 AND user_id = ?2)";
    if let Some(Credentials { user_id, password_hash: Some(_) }) = Credentials::find(c, email)?
        && c.query_row(is_member, (&tenant.org_id, user_id), |row| row.get(0))?
    {
        return Err(Error::Conflict(format!("{email} is a member already")));
    }
    let count = |sql: &str| -> Result<i64> { Ok(c.query_row(sql, [&tenant.org_id], |row| row.get(0))?) };
    let links = count("SELECT count(*) FROM invitation WHERE org_id = ?1")?;
    if links >= INVITATIONS_MAX {
        return Err(Error::Conflict(format!("{INVITATIONS_MAX} invitations are open: withdraw one first")));
    }
    if count("SELECT count(*) FROM member WHERE org_id = ?1")? + links >= MEMBERS_MAX {
        return Err(Error::Conflict(format!("an organization has at most {MEMBERS_MAX} people: remove one first")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::members;

    fn world() -> (Store, Tenant, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1).unwrap();
        let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
        (store, tenant, folder)
    }

    async fn invite(store: &Store, tenant: &Tenant, n: i64) -> Result<Invitation> {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&n.to_le_bytes());
        store.org(tenant).invite(format!("n{n}@example.com"), Role::Member, hash).await
    }

    #[tokio::test]
    async fn so_many_links_open_at_once() {
        let (store, tenant, _folder) = world();
        for n in 1..=INVITATIONS_MAX + 1 {
            assert_eq!(invite(&store, &tenant, n).await.is_ok(), n <= INVITATIONS_MAX, "{n}");
        }
        invite(&store, &tenant, INVITATIONS_MAX).await.unwrap();
        assert_eq!(store.org(&tenant).invitations().unwrap().len() as i64, INVITATIONS_MAX);
    }

    #[tokio::test]
    async fn so_many_people_are_invited() {
        let (store, tenant, _folder) = world();
        let org_id = tenant.org_id.clone();
        // The owner, these, and room for one more.
        let fill = move |c: &Connection| {
            for n in 0..members::MEMBERS_MAX - 2 {
                c.execute("INSERT INTO user (id, email, created_at) VALUES (?1, ?1 || '@b', 0)", [n.to_string()])?;
                let member = "INSERT INTO member (org_id, user_id, role, created_at) VALUES (?1, ?2, 'member', 0)";
                c.execute(member, (&org_id, n.to_string()))?;
            }
            Ok(())
        };
        store.writer.write_blocking(fill).unwrap();
        assert_eq!(store.org(&tenant).members().unwrap().len() as i64, members::MEMBERS_MAX - 1);
        invite(&store, &tenant, members::MEMBERS_MAX).await.unwrap();
        invite(&store, &tenant, members::MEMBERS_MAX + 1).await.unwrap_err();
    }
}
