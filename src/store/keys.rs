//! API keys: what is kept of them, and the look-up that every request begins with.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{Org, Store, Tenant, words};
use crate::{
    error::{Error, Result},
    id,
    key::{Env, NewKey, Scope},
    time::Timestamp,
};

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
        "SELECT id, name, prefix, env, scopes, expires_at, last_used_at, revoked_at, created_at FROM api_key";

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
        })
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

    /// Notes that a key was used. Nobody waits for it.
    pub fn note_key_use(&self, key_id: String) {
        let now = Timestamp::now().as_millis();
        self.writer.write_later("the last use of a key", move |c| {
            let mut statement = c.prepare_cached("UPDATE api_key SET last_used_at = :now WHERE id = :id")?;
            statement.execute(named_params! { ":now": now, ":id": key_id })?;
            Ok(())
        });
    }
}

impl Org<'_> {
    /// Keeps what is kept of a new key.
    pub async fn create_key(
        &self,
        key: &NewKey,
        name: String,
        env: Env,
        scopes: Vec<Scope>,
        expires_at: Option<Timestamp>,
    ) -> Result<ApiKey> {
        let (hash, prefix) = (key.hash, key.prefix.clone());
        self.write(move |c, tenant| {
            let row = ApiKey {
                id: id::generate(),
                name,
                prefix,
                env,
                scopes,
                expires_at,
                last_used_at: None,
                revoked_at: None,
                created_at: Timestamp::now(),
            };
            insert(c, tenant, &row, &hash)?;
            Ok(row)
        })
        .await
    }

    /// Replaces a key by one of the same name, scopes and end. `make` makes it; the old one works for `overlap` longer.
    pub async fn rotate_key(
        &self,
        key_id: String,
        overlap: Duration,
        make: impl FnOnce(Env) -> Result<NewKey> + Send + 'static,
    ) -> Result<(ApiKey, NewKey)> {
        self.write(move |c, tenant| {
            let select = format!("{} WHERE id = :id AND org_id = :org AND user_id = :user", ApiKey::SELECT);
            let parameters = named_params! { ":id": key_id, ":org": tenant.org_id, ":user": tenant.user_id };
            let found = c.query_row(&select, parameters, ApiKey::from_row).optional()?;
            let old = found.ok_or(Error::NotFound("API key"))?;
            let now = Timestamp::now();
            if old.revoked_at.is_some() || old.expires_at.is_some_and(|end| end <= now) {
                return Err(Error::Conflict("this key has expired or was revoked: create a new one".into()));
            }
            let end = old.expires_at.map_or(now.plus(overlap), |end| end.min(now.plus(overlap)));
            c.execute("UPDATE api_key SET expires_at = ?1 WHERE id = ?2", (end.as_millis(), &old.id))?;
            let new = make(old.env)?;
            let (id, prefix) = (id::generate(), new.prefix.clone());
            let row = ApiKey { id, prefix, last_used_at: None, created_at: now, ..old };
            insert(c, tenant, &row, &new.hash)?;
            Ok((row, new))
        })
        .await
    }

    /// The asking person's keys that are neither revoked nor expired, newest first.
    pub fn keys(&self) -> Result<Vec<ApiKey>> {
        self.read(|c| {
            let mut statement = c.prepare_cached(&format!(
                "{} WHERE org_id = :org AND user_id = :user AND revoked_at IS NULL
                    AND (expires_at IS NULL OR expires_at > :now) ORDER BY id DESC",
                ApiKey::SELECT
            ))?;
            let parameters = named_params! {
                ":org": self.tenant.org_id, ":user": self.tenant.user_id, ":now": Timestamp::now().as_millis(),
            };
            let rows = statement.query_map(parameters, ApiKey::from_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Ends a key, by its id or its prefix if only one key has that. It stops working with the commit.
    pub async fn revoke_key(&self, id_or_prefix: String) -> Result<()> {
        self.write(move |c, tenant| {
            let mut statement = c.prepare(
                "SELECT id, revoked_at IS NOT NULL FROM api_key
                 WHERE org_id = :org AND user_id = :user AND (id = :key OR prefix = :key) LIMIT 2",
            )?;
            let parameters = named_params! { ":org": tenant.org_id, ":user": tenant.user_id, ":key": id_or_prefix };
            let found: Vec<(String, bool)> =
                statement.query_map(parameters, |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
            let key_id = match &found[..] {
                [] => return Err(Error::NotFound("API key")),
                [(_, true)] => return Err(Error::Conflict("this key is revoked already".into())),
                [(key_id, false)] => key_id,
                _ => return Err(Error::Conflict("several keys start with this prefix: use the key's id".into())),
            };
            c.execute("UPDATE api_key SET revoked_at = ?1 WHERE id = ?2", (Timestamp::now().as_millis(), key_id))?;
            Ok(())
        })
        .await
    }
}

fn insert(c: &Connection, tenant: &Tenant, key: &ApiKey, hash: &[u8; 32]) -> Result<()> {
    c.execute(
        "INSERT INTO api_key (id, org_id, user_id, hash, prefix, name, env, scopes, expires_at, created_at)
         VALUES (:id, :org, :user, :hash, :prefix, :name, :env, :scopes, :expires, :now)",
        named_params! {
            ":id": key.id, ":org": tenant.org_id, ":user": tenant.user_id, ":hash": hash, ":prefix": key.prefix,
            ":name": key.name, ":env": key.env.as_str(), ":scopes": Scope::join(&key.scopes),
            ":expires": key.expires_at.map(Timestamp::as_millis), ":now": key.created_at.as_millis(),
        },
    )?;
    Ok(())
}

fn env_column(row: &Row<'_>, column: usize) -> rusqlite::Result<Env> {
    Ok(words::read(row.get_ref(column)?, Env::parse)?)
}

fn scopes_column(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<Scope>> {
    Ok(row.get_ref(column)?.as_str()?.split(',').filter_map(Scope::parse).collect())
}
