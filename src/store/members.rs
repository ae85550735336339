//! The people of an organization, what each may do there, and how they leave.
//!
//! Rule: an organization always has an owner: the last one is neither made a member nor removed. Rule: whoever is removed has
//! nothing that opens it any more: with the commit their keys there are revoked, and they are no longer a member.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{
    Org, Store, Tenant,
    audit::{Event, Kind},
    sign_ins::Role,
};
use crate::{
    error::{Error, Result},
    time::Timestamp,
};

/// People of one organization; past it nobody is invited.
pub const MEMBERS_MAX: i64 = 1_000;

/// Somebody in an organization.
#[derive(Debug, Clone)]
pub struct Member {
    pub user_id: String,
    pub email: String,
    pub role: Role,
    /// Since when.
    pub created_at: Timestamp,
    /// Whether they have a password.
    pub can_sign_in: bool,
}

impl Member {
    const SELECT: &str = "SELECT m.user_id, u.email, m.role, m.created_at, u.password_hash IS NOT NULL
        FROM member m JOIN user u ON u.id = m.user_id";

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Member {
            user_id: row.get(0)?,
            email: row.get(1)?,
            role: row.get(2)?,
            created_at: Timestamp::from_millis(row.get(3)?),
            can_sign_in: row.get(4)?,
        })
    }
}

impl Store {
    /// Whether somebody is still in an organization.
    pub fn is_member(&self, tenant: &Tenant) -> Result<bool> {
        self.read(|c| {
            let mut statement = c.prepare_cached("SELECT 1 FROM member WHERE org_id = ?1 AND user_id = ?2")?;
            Ok(statement.exists([&tenant.org_id, &tenant.user_id])?)
        })
    }
}

impl Org<'_> {
    /// Everyone, the longest there first.
    pub fn members(&self) -> Result<Vec<Member>> {
        self.read(|c| {
            let mut statement = c.prepare_cached(&format!(
                "{} WHERE m.org_id = :org ORDER BY m.created_at, m.user_id LIMIT :max",
                Member::SELECT
            ))?;
            let parameters = named_params! { ":org": self.tenant.org_id, ":max": MEMBERS_MAX };
            let rows = statement.query_map(parameters, Member::from_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Changes what somebody may do. What they invited others to as an owner is withdrawn when they are one no longer.
    pub async fn set_role(&self, user_id: String, role: Role) -> Result<Member> {
        self.write_audited(move |c, tenant| {
            let member = find(c, &tenant.org_id, &user_id)?;
            if role == Role::Member {
                refuse_last_owner(c, &tenant.org_id, &member)?;
                withdraw_invitations_of(c, &tenant.org_id, &member)?;
            }
            c.execute(
                "UPDATE member SET role = :role WHERE org_id = :org AND user_id = :user",
                named_params! { ":role": role, ":org": tenant.org_id, ":user": member.user_id },
            )?;
            keep_owner(c, &tenant.org_id)?;
            let event = Event::new(Kind::RoleChanged, format!("{}: {}", member.email, role.as_str()));
            Ok((Member { role, ..member }, event))
        })
        .await
    }

    /// Removes somebody: their keys here are revoked, and their sign-ins end if they belong to nothing else.
    pub async fn remove_member(&self, user_id: String) -> Result<()> {
        self.write_audited(move |c, tenant| {
            let member = find(c, &tenant.org_id, &user_id)?;
            refuse_last_owner(c, &tenant.org_id, &member)?;
            withdraw_invitations_of(c, &tenant.org_id, &member)?;
            let of = named_params! { ":org": tenant.org_id, ":user": member.user_id };
            c.execute("DELETE FROM member WHERE org_id = :org AND user_id = :user", of)?;
            c.execute(
                "UPDATE api_key SET revoked_at = :now WHERE org_id = :org AND user_id = :user AND revoked_at IS NULL",
                named_params! { ":now": Timestamp::now().as_millis(), ":org": tenant.org_id, ":user": member.user_id },
            )?;
            c.execute(
                "DELETE FROM sign_in WHERE user_id = ?1 AND NOT EXISTS (SELECT 1 FROM member WHERE user_id = ?1)",
                [&member.user_id],
            )?;
            keep_owner(c, &tenant.org_id)?;
            Ok(((), Event::new(Kind::PersonRemoved, member.email)))
        })
        .await
    }
}

fn find(c: &Connection, org_id: &str, user_id: &str) -> Result<Member> {
    let select = format!("{} WHERE m.org_id = :org AND m.user_id = :user", Member::SELECT);
    let of = named_params! { ":org": org_id, ":user": user_id };
    c.query_row(&select, of, Member::from_row).optional()?.ok_or(Error::NotFound("member"))
}

fn refuse_last_owner(c: &Connection, org_id: &str, member: &Member) -> Result<()> {
    let owners: i64 =
        c.query_row("SELECT count(*) FROM member WHERE org_id = ?1 AND role = 'owner'", [org_id], |row| row.get(0))?;
    if member.role == Role::Owner && owners == 1 {
        let text = format!("{} is the only owner: make somebody else an owner first", member.email);
        return Err(Error::Conflict(text));
    }
    Ok(())
}

/// Whoever is no owner any more has invited nobody, and is not invited by links of before.
fn withdraw_invitations_of(c: &Connection, org_id: &str, member: &Member) -> Result<()> {
    c.execute(
        "DELETE FROM invitation WHERE org_id = :org AND (user_id = :user OR email = :email)",
        named_params! { ":org": org_id, ":user": member.user_id, ":email": member.email },
    )?;
    Ok(())
}

/// Commands act as an owner: where that one is none any more, as the one who has been it longest.
fn keep_owner(c: &Connection, org_id: &str) -> Result<()> {
    c.execute(
        "UPDATE org SET owner_id = (SELECT user_id FROM member WHERE org_id = :org AND role = 'owner'
             ORDER BY user_id = owner_id DESC, created_at, user_id LIMIT 1) WHERE id = :org",
        named_params! { ":org": org_id },
    )?;
    Ok(())
}
