//! API keys: what is kept of them, and the look-up that every request begins with.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{
    Org, Store, Tenant,
    audit::{Event, Kind},
    words,
};
use crate::{
    error::{Error, Result},
    id,
    key::{Env, NewKey, Scope},
    money::format_usd,
    time::Timestamp,
};

/// The longest that a replaced key works beside the new one, in seconds: a week.
pub const OVERLAP_SECONDS_MAX: u32 = 604_800;

/// What is kept of a key.
#[derive(Debug, Clone)]
pub struct ApiKey {
    pub id: String,
    pub name: String,
    pub prefix: String,
    pub env: Env,
    pub scopes: Vec<Scope>,
    pub expires_at: Option<Timestamp>,
    /// To the minute.
    pub last_used_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub user_id: String,
    /// The address of its person.
    pub email: String,
    /// From where it was used then.
    pub last_address: Option<String>,
    /// What it may spend in a month, with the keys that it replaced. Microcents; absent: no limit.
    pub monthly_limit: Option<i64>,
    /// What they spent this month. Microcents.
    pub spent_this_month: i64,
    /// The first of the keys that it replaced.
    rotated_from: Option<String>,
}

/// What a new key is for, and what it may do.
#[derive(Debug, Clone)]
pub struct KeyTerms {
    pub name: String,
    pub env: Env,
    pub scopes: Vec<Scope>,
    /// Absent: never.
    pub expires_at: Option<Timestamp>,
    /// What it may spend in a month. Microcents; absent: no limit.
    pub monthly_limit: Option<i64>,
}

/// Changes to a key. Absent fields stay as they are.
#[derive(Debug, Default, Clone)]
pub struct KeyChange {
    pub name: Option<String>,
    pub expires_at: Option<Option<Timestamp>>,
    /// Also of the keys that it replaced.
    pub monthly_limit: Option<Option<i64>>,
}

/// Whose keys are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeysOf {
    /// Those of the person who asks.
    Own,
    /// Those of everyone in the organization.
    Everyone,
}

/// Who a key speaks for.
#[derive(Debug, Clone)]
pub struct KeyHolder {
    pub key_id: String,
    pub tenant: Tenant,
    pub org_slug: String,
    pub env: Env,
    pub scopes: Vec<Scope>,
    pub last_used_at: Option<Timestamp>,
}

impl ApiKey {
    const SELECT: &str =
        "SELECT k.id, k.name, k.prefix, k.env, k.scopes, k.expires_at, k.last_used_at, k.revoked_at, k.created_at,
            k.user_id, u.email, k.last_address, first.monthly_limit, coalesce(m.spent, 0), k.rotated_from
        FROM api_key k JOIN user u ON u.id = k.user_id JOIN api_key first ON first.id = coalesce(k.rotated_from, k.id)
        LEFT JOIN key_month m ON m.key_id = first.id AND m.month = :month";

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let moment = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis));
        Ok(ApiKey {
            id: row.get(0)?,
            name: row.get(1)?,
            prefix: row.get(2)?,
            env: env_column(row, 3)?,
            scopes: scopes_column(row, 4)?,
            expires_at: moment(5)?,
            last_used_at: moment(6)?,
            revoked_at: moment(7)?,
            created_at: Timestamp::from_millis(row.get(8)?),
            user_id: row.get(9)?,
            email: row.get(10)?,
            last_address: row.get(11)?,
            monthly_limit: row.get(12)?,
            spent_this_month: row.get(13)?,
            rotated_from: row.get(14)?,
        })
    }

    /// The first of the keys that it replaced, which keeps their limit and month; itself if there is none.
    fn first(&self) -> &str {
        self.rotated_from.as_deref().unwrap_or(&self.id)
    }

    /// The key as the audit names it.
    pub(super) fn called(&self) -> String {
        format!("{} ({}…)", self.name, self.prefix)
    }
}

impl KeyTerms {
    /// A live key that never expires, without a limit.
    pub fn live(name: impl Into<String>, scopes: Vec<Scope>) -> KeyTerms {
        KeyTerms { name: name.into(), env: Env::Live, scopes, expires_at: None, monthly_limit: None }
    }
}

impl KeyChange {
    /// What the audit says of it.
    fn said(&self) -> String {
        let name = self.name.as_ref().map(|name| format!("called {name}"));
        let end = self.expires_at.map(|end| end.map_or("never expires".into(), |end| format!("expires {end}")));
        let limit = self.monthly_limit.map(|limit| limit.map_or("no limit".into(), limit_said));
        [name, end, limit].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

impl Store {
    /// Who the key of that hash speaks for; `None` if it is unknown, revoked or expired.
    pub fn key_holder(&self, hash: &[u8; 32]) -> Result<Option<KeyHolder>> {
        self.read(|c| {
            let mut statement = c.prepare_cached(
                "SELECT k.id, k.org_id, k.user_id, o.slug, k.env, k.scopes, k.last_used_at
                 FROM api_key k JOIN org o ON o.id = k.org_id
                 WHERE k.hash = :hash AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > :now)",
            )?;
            let holder = |row: &Row<'_>| {
                Ok(KeyHolder {
                    key_id: row.get(0)?,
                    tenant: Tenant { org_id: row.get(1)?, user_id: row.get(2)? },
                    org_slug: row.get(3)?,
                    env: env_column(row, 4)?,
                    scopes: scopes_column(row, 5)?,
                    last_used_at: row.get::<_, Option<i64>>(6)?.map(Timestamp::from_millis),
                })
            };
            let parameters = named_params! { ":hash": hash, ":now": Timestamp::now().as_millis() };
            Ok(statement.query_row(parameters, holder).optional()?)
        })
    }

    /// Whether a key was revoked, or is gone. One that has expired was not.
    pub fn is_revoked(&self, key_id: &str) -> Result<bool> {
        self.read(|c| {
            let mut statement = c.prepare_cached("SELECT 1 FROM api_key WHERE id = ?1 AND revoked_at IS NULL")?;
            Ok(!statement.exists([key_id])?)
        })
    }

    /// Notes that a key was used, and from where. Nobody waits for it.
    pub fn note_key_use(&self, key_id: String, address: Option<String>) {
        let now = Timestamp::now().as_millis();
        self.writer.write_later("the last use of a key", move |c| {
            let mut statement =
                c.prepare_cached("UPDATE api_key SET last_used_at = :now, last_address = :address WHERE id = :id")?;
            statement.execute(named_params! { ":now": now, ":address": address, ":id": key_id })?;
            Ok(())
        });
    }
}

impl Org<'_> {
    /// Keeps what is kept of a new key.
    pub async fn create_key(&self, key: &NewKey, terms: KeyTerms) -> Result<ApiKey> {
        let (hash, prefix) = (key.hash, key.prefix.clone());
        self.write_audited(move |c, tenant| {
            let made = create(c, tenant, ApiKey::new(tenant, prefix, terms), &hash)?;
            let limit = made.monthly_limit.map_or(String::new(), |limit| format!(", {}", limit_said(limit)));
            let event = Event::new(Kind::KeyCreated, made.called() + &limit);
            Ok((made, event))
        })
        .await
    }

    /// Replaces a key, by its id or prefix, by one of the same name, scopes, end, limit and month. `make` makes it; the old one
    /// works for `overlap` longer.
    pub async fn rotate_key(
        &self,
        id_or_prefix: String,
        whose: KeysOf,
        overlap: Duration,
        make: impl FnOnce(Env) -> Result<NewKey> + Send + 'static,
    ) -> Result<(ApiKey, NewKey)> {
        self.write_audited(move |c, tenant| {
            let old = find(c, tenant, &id_or_prefix, whose)?;
            let now = Timestamp::now();
            old.check_active(now)?;
            let end = old.expires_at.map_or(now.plus(overlap), |end| end.min(now.plus(overlap)));
            c.execute("UPDATE api_key SET expires_at = ?1 WHERE id = ?2", (end.as_millis(), &old.id))?;
            let new = make(old.env)?;
            let event = Event::new(Kind::KeyRotated, format!("{}, now {}…", old.called(), new.prefix));
            let (id, prefix, rotated_from) = (id::generate(), new.prefix.clone(), Some(old.first().to_owned()));
            let row =
                ApiKey { id, prefix, rotated_from, last_used_at: None, last_address: None, created_at: now, ..old };
            insert(c, tenant, &row, &new.hash)?;
            Ok(((row, new), event))
        })
        .await
    }

    /// Changes a key, by its id or prefix, that is neither revoked nor expired.
    pub async fn change_key(&self, id_or_prefix: String, whose: KeysOf, change: KeyChange) -> Result<ApiKey> {
        if change.said().is_empty() {
            return self.read(|c| find(c, self.tenant, &id_or_prefix, whose));
        }
        self.write_audited(move |c, tenant| {
            let old = find(c, tenant, &id_or_prefix, whose)?;
            old.check_active(Timestamp::now())?;
            let event = Event::new(Kind::KeyChanged, format!("{}: {}", old.called(), change.said()));
            let name = change.name.as_ref().unwrap_or(&old.name);
            let end = change.expires_at.unwrap_or(old.expires_at).map(Timestamp::as_millis);
            c.execute("UPDATE api_key SET name = ?1, expires_at = ?2 WHERE id = ?3", (name, end, &old.id))?;
            if let Some(amount) = change.monthly_limit {
                limit(c, old.first(), amount)?;
            }
            Ok((find(c, tenant, &old.id, whose)?, event))
        })
        .await
    }

    /// Keys that are neither revoked nor expired, newest first.
    pub fn keys(&self, whose: KeysOf) -> Result<Vec<ApiKey>> {
        self.read(|c| {
            let mut statement = c.prepare_cached(&format!(
                "{} WHERE k.org_id = :org AND (:user IS NULL OR k.user_id = :user) AND k.revoked_at IS NULL
                    AND (k.expires_at IS NULL OR k.expires_at > :now) ORDER BY k.id DESC",
                ApiKey::SELECT
            ))?;
            let now = Timestamp::now();
            let parameters = named_params! {
                ":org": self.tenant.org_id, ":user": whose.user(self.tenant), ":now": now.as_millis(), ":month": now.month(),
            };
            let rows = statement.query_map(parameters, ApiKey::from_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Ends a key, by its id or its prefix if only one key has that. It stops working with the commit.
    pub async fn revoke_key(&self, id_or_prefix: String, whose: KeysOf) -> Result<()> {
        self.write_audited(move |c, tenant| {
            let key = find(c, tenant, &id_or_prefix, whose)?;
            if key.revoked_at.is_some() {
                return Err(Error::Conflict("this key is revoked already".into()));
            }
            revoke(c, &key)?;
            Ok(((), Event::new(Kind::KeyRevoked, key.called())))
        })
        .await
    }
}

impl ApiKey {
    /// A new key of the person who asks.
    pub(super) fn new(tenant: &Tenant, prefix: String, terms: KeyTerms) -> Self {
        ApiKey {
            id: id::generate(),
            name: terms.name,
            prefix,
            env: terms.env,
            scopes: terms.scopes,
            expires_at: terms.expires_at,
            last_used_at: None,
            revoked_at: None,
            created_at: Timestamp::now(),
            user_id: tenant.user_id.clone(),
            email: String::new(),
            last_address: None,
            monthly_limit: terms.monthly_limit,
            spent_this_month: 0,
            rotated_from: None,
        }
    }

    fn check_active(&self, now: Timestamp) -> Result<()> {
        if self.revoked_at.is_some() || self.expires_at.is_some_and(|end| end <= now) {
            return Err(Error::Conflict("this key has expired or was revoked: create a new one".into()));
        }
        Ok(())
    }
}

impl KeysOf {
    /// The one person, if it is one.
    fn user(self, tenant: &Tenant) -> Option<&str> {
        (self == KeysOf::Own).then_some(&*tenant.user_id)
    }
}

/// Keeps a new key; answers it as every look at it will show it.
pub(super) fn create(c: &Connection, tenant: &Tenant, key: ApiKey, hash: &[u8; 32]) -> Result<ApiKey> {
    insert(c, tenant, &key, hash)?;
    limit(c, &key.id, key.monthly_limit)?;
    find(c, tenant, &key.id, KeysOf::Own)
}

/// The key of that id, or of that prefix if only one key has it.
pub(super) fn find(c: &Connection, tenant: &Tenant, id_or_prefix: &str, whose: KeysOf) -> Result<ApiKey> {
    let mut statement = c.prepare_cached(&format!(
        "{} WHERE k.org_id = :org AND (:user IS NULL OR k.user_id = :user) AND (k.id = :key OR k.prefix = :key) LIMIT 2",
        ApiKey::SELECT
    ))?;
    let parameters = named_params! {
        ":org": tenant.org_id, ":user": whose.user(tenant), ":key": id_or_prefix, ":month": Timestamp::now().month(),
    };
    let mut found: Vec<ApiKey> = statement.query_map(parameters, ApiKey::from_row)?.collect::<rusqlite::Result<_>>()?;
    match (found.pop(), found.is_empty()) {
        (None, _) => Err(Error::NotFound("API key")),
        (Some(key), true) => Ok(key),
        (Some(_), false) => Err(Error::Conflict("several keys start with this prefix: use the key's id".into())),
    }
}

/// Ends a key.
pub(super) fn revoke(c: &Connection, key: &ApiKey) -> Result<()> {
    c.execute("UPDATE api_key SET revoked_at = ?1 WHERE id = ?2", (Timestamp::now().as_millis(), &key.id))?;
    Ok(())
}

fn insert(c: &Connection, tenant: &Tenant, key: &ApiKey, hash: &[u8; 32]) -> Result<()> {
    c.execute(
        "INSERT INTO api_key (id, org_id, user_id, hash, prefix, name, env, scopes, expires_at, created_at, rotated_from)
         VALUES (:id, :org, :user, :hash, :prefix, :name, :env, :scopes, :expires, :now, :from)",
        named_params! {
            ":id": key.id, ":org": tenant.org_id, ":user": key.user_id, ":hash": hash, ":prefix": key.prefix,
            ":name": key.name, ":env": key.env.as_str(), ":scopes": Scope::join(&key.scopes),
            ":expires": key.expires_at.map(Timestamp::as_millis), ":now": key.created_at.as_millis(),
            ":from": key.rotated_from,
        },
    )?;
    Ok(())
}

fn limit(c: &Connection, key_id: &str, amount: Option<i64>) -> Result<()> {
    c.execute("UPDATE api_key SET monthly_limit = ?1 WHERE id = ?2", (amount, key_id))?;
    Ok(())
}

fn limit_said(amount: i64) -> String {
    format!("limit ${} a month", format_usd(amount))
}

fn env_column(row: &Row<'_>, column: usize) -> rusqlite::Result<Env> {
    Ok(words::read(row.get_ref(column)?, Env::parse)?)
}

fn scopes_column(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<Scope>> {
    Ok(row.get_ref(column)?.as_str()?.split(',').filter_map(Scope::parse).collect())
}
