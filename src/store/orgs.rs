//! Organizations and the people in them.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{
    Org, Store, Tenant, agents,
    audit::{Event, Kind},
    fault::unless_taken,
};
use crate::{
    error::{Error, Result},
    id,
    time::Timestamp,
};

/// An organization.
#[derive(Debug, Clone)]
pub struct OrgDetails {
    pub id: String,
    pub slug: String,
    /// Who made it: what commands without a signed-in person act as.
    pub owner_id: String,
    pub owner_email: String,
    /// `provider/model`; absent: the built-in model.
    pub default_model: Option<String>,
    /// Microcents.
    pub balance: i64,
    /// Microcents of the balance that running turns may still need.
    pub held: i64,
    pub created_at: Timestamp,
}

impl OrgDetails {
    const SELECT: &str = "SELECT org.id, slug, owner_id, email, default_model, balance, held, org.created_at
        FROM org JOIN user ON user.id = org.owner_id";

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(OrgDetails {
            id: row.get(0)?,
            slug: row.get(1)?,
            owner_id: row.get(2)?,
            owner_email: row.get(3)?,
            default_model: row.get(4)?,
            balance: row.get(5)?,
            held: row.get(6)?,
            created_at: Timestamp::from_millis(row.get(7)?),
        })
    }

    /// The organization as its owner sees it.
    pub fn tenant(&self) -> Tenant {
        Tenant { org_id: self.id.clone(), user_id: self.owner_id.clone() }
    }
}

impl Store {
    /// Creates an organization, its owner if the address is new, and its Ala. Waits for the commit.
    pub fn create_org(&self, slug: &str, owner_email: &str, password_hash: Option<String>) -> Result<OrgDetails> {
        id::check_org_slug("slug", slug)?;
        let (slug, email) = (slug.to_owned(), owner_email.to_owned());
        self.writer.write_blocking(move |c| insert(c, &slug, &email, password_hash.as_deref()))
    }

    /// The same, if there is no organization yet: who sets a server up is the first, or nobody.
    pub async fn create_first_org(
        &self,
        slug: String,
        owner_email: String,
        password_hash: String,
    ) -> Result<OrgDetails> {
        id::check_org_slug("orgSlug", &slug)?;
        let work = move |c: &Connection| {
            if any_org(c)? {
                return Err(set_up_already());
            }
            insert(c, &slug, &owner_email, Some(&password_hash))
        };
        self.writer.write(work).await
    }

    /// Whether there is an organization.
    pub fn has_org(&self) -> Result<bool> {
        self.read(any_org)
    }

    /// The organization of that slug.
    pub fn org_by_slug(&self, slug: &str) -> Result<OrgDetails> {
        self.read(|c| find(c, slug)?.ok_or(Error::NotFound("organization")))
    }

    /// Every organization, oldest first.
    pub fn orgs(&self) -> Result<Vec<OrgDetails>> {
        self.read(|c| {
            let mut statement = c.prepare_cached(&format!("{} ORDER BY org.id", OrgDetails::SELECT))?;
            let rows = statement.query_map([], OrgDetails::from_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

impl Org<'_> {
    /// The organization.
    pub fn details(&self) -> Result<OrgDetails> {
        self.read(|c| {
            let mut statement = c.prepare_cached(&format!("{} WHERE org.id = :org", OrgDetails::SELECT))?;
            Ok(statement.query_row(named_params! { ":org": self.tenant.org_id }, OrgDetails::from_row)?)
        })
    }

    /// Chooses the model of chats that name none; `None` is the built-in one.
    pub async fn set_default_model(&self, model: Option<String>) -> Result<()> {
        self.write_audited(move |c, tenant| {
            choose_model(c, tenant, model.as_deref())?;
            Ok(((), Event::new(Kind::DefaultModelChanged, model.as_deref().unwrap_or("the built-in model"))))
        })
        .await
    }
}

/// Chooses the model of chats that name none.
pub(super) fn choose_model(c: &Connection, tenant: &Tenant, model: Option<&str>) -> Result<()> {
    c.execute("UPDATE org SET default_model = ?1 WHERE id = ?2", (model, &tenant.org_id))?;
    Ok(())
}

/// Why nobody sets a server up twice.
pub fn set_up_already() -> Error {
    Error::forbidden("this server is already set up: sign in at /login")
}

fn any_org(c: &Connection) -> Result<bool> {
    Ok(c.prepare_cached("SELECT EXISTS (SELECT 1 FROM org)")?.query_row([], |row| row.get(0))?)
}

pub(super) fn insert(c: &Connection, slug: &str, owner_email: &str, password_hash: Option<&str>) -> Result<OrgDetails> {
    let owner_id = find_or_create_user(c, owner_email, password_hash)?;
    let org_id = id::generate();
    let now = Timestamp::now().as_millis();
    let made = c.execute(
        "INSERT INTO org (id, slug, owner_id, created_at) VALUES (:id, :slug, :owner, :now)",
        named_params! { ":id": org_id, ":slug": slug, ":owner": owner_id, ":now": now },
    );
    unless_taken(made, || Error::Conflict(format!("there is an organization {slug} already: choose another slug")))?;
    c.execute(
        "INSERT INTO member (org_id, user_id, role, created_at) VALUES (:org, :user, 'owner', :now)",
        named_params! { ":org": org_id, ":user": owner_id, ":now": now },
    )?;
    agents::insert(c, &org_id, &agents::new_ala())?;
    find(c, slug)?.ok_or(Error::NotFound("organization"))
}

pub(super) fn find(c: &Connection, slug: &str) -> Result<Option<OrgDetails>> {
    let mut statement = c.prepare_cached(&format!("{} WHERE slug = :slug", OrgDetails::SELECT))?;
    Ok(statement.query_row(named_params! { ":slug": slug }, OrgDetails::from_row).optional()?)
}

fn find_or_create_user(c: &Connection, email: &str, password_hash: Option<&str>) -> Result<String> {
    let email = &id::plain_email(email);
    let mut statement =
        c.prepare("SELECT id FROM user WHERE email IN (?1, ?2, ?3) ORDER BY email = ?1 DESC LIMIT 1")?;
    let known = statement.query_row(id::forms_of_email(email), |row| row.get(0)).optional()?;
    if let Some(user_id) = known {
        return Ok(user_id);
    }
    let user_id = id::generate();
    c.execute(
        "INSERT INTO user (id, email, password_hash, created_at) VALUES (:id, :email, :hash, :now)",
        named_params! { ":id": user_id, ":email": email, ":hash": password_hash, ":now": Timestamp::now().as_millis() },
    )?;
    Ok(user_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_organization_is_created_inside_a_runtime_too() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1).unwrap();
        assert_eq!(store.create_org("acme", "a@example.com", None).unwrap().slug, "acme");
    }
}
