//! What a program wants there to be of an organization, in one commit.
//!
//! Rule: what is missing is made, what is named is set, and nothing is removed but a key whose place another of its name takes. So the
//! same again changes nothing but that key.

use rusqlite::Connection;

use super::{
    Store, Tenant, agent_versions,
    agents::Agent,
    audit::{self, Event, Kind},
    keys::{self, ApiKey, KeyTerms, KeysOf},
    ledger,
    orgs::{self, OrgDetails},
    providers::{self, Provider},
    via::Via,
};
use crate::{
    error::Result,
    key::{Env, NewKey, Scope},
    money::format_usd,
    time::Timestamp,
};

/// What there is to be.
pub struct Wanted {
    pub slug: String,
    /// The address of whoever owns a new organization.
    pub owner: String,
    pub key: Option<WantedKey>,
    /// As they are to be kept.
    pub providers: Vec<Change<Provider>>,
    pub agents: Vec<Change<Agent>>,
    pub default_model: Option<String>,
    /// In microcents, for a new organization.
    pub deposit: Option<i64>,
}

/// What is not as it is to be.
pub enum Change<T> {
    /// It is missing.
    New(T),
    /// It is otherwise.
    Other(T),
}

/// A key of the owner's, which takes the place of those of its name.
pub struct WantedKey {
    pub name: String,
    pub env: Env,
    pub scopes: Vec<Scope>,
    pub new: NewKey,
}

/// What there is now.
pub struct Provisioned {
    pub org: OrgDetails,
    pub is_new: bool,
    /// The key's id.
    pub key_id: Option<String>,
}

impl Store {
    /// Makes it so.
    pub async fn provision(&self, wanted: Wanted) -> Result<Provisioned> {
        self.writer.write(move |c| provision(c, wanted)).await
    }
}

fn provision(c: &Connection, wanted: Wanted) -> Result<Provisioned> {
    let known = orgs::find(c, &wanted.slug)?;
    let is_new = known.is_none();
    let org = match known {
        Some(org) => org,
        None => orgs::insert(c, &wanted.slug, &wanted.owner, None)?,
    };
    let tenant = org.tenant();
    if let Some(amount) = wanted.deposit.filter(|_| is_new) {
        ledger::enter_deposit(c, &tenant.org_id, amount, "")?;
        note(c, &tenant, Kind::MoneyDeposited, &format!("${}", format_usd(amount)))?;
    }
    wanted.providers.into_iter().try_for_each(|change| keep_provider(c, &tenant, change))?;
    for change in wanted.agents {
        match change {
            Change::New(agent) => agent_versions::create(c, &tenant, agent)?,
            Change::Other(agent) => agent_versions::set(c, &tenant, agent)?,
        };
    }
    if let Some(model) = wanted.default_model.filter(|model| org.default_model.as_ref() != Some(model)) {
        orgs::choose_model(c, &tenant, Some(&model))?;
        note(c, &tenant, Kind::DefaultModelChanged, &model)?;
    }
    let key_id = wanted.key.map(|key| keep_key(c, &tenant, key)).transpose()?;
    Ok(Provisioned { org, is_new, key_id })
}

fn keep_provider(c: &Connection, tenant: &Tenant, change: Change<Provider>) -> Result<()> {
    match change {
        Change::New(provider) => {
            providers::create(c, &tenant.org_id, &provider)?;
            note(c, tenant, Kind::ProviderAdded, &provider.slug)
        }
        Change::Other(provider) => {
            providers::change(c, &Provider { updated_at: Timestamp::now(), ..provider.clone() })?;
            note(c, tenant, Kind::ProviderChanged, &provider.slug)
        }
    }
}

/// Makes the key, and ends the others of its name; the very key that is there stays. Answers its id.
fn keep_key(c: &Connection, tenant: &Tenant, wanted: WantedKey) -> Result<String> {
    let WantedKey { name, env, scopes, new } = wanted;
    let now = Timestamp::now();
    let mut statement = c.prepare(
        "SELECT id, hash FROM api_key WHERE org_id = ?1 AND user_id = ?2 AND name = ?3 AND revoked_at IS NULL
             AND (expires_at IS NULL OR expires_at > ?4)",
    )?;
    let of = (&tenant.org_id, &tenant.user_id, &name, now.as_millis());
    let named = statement.query_map(of, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (same, others): (Vec<_>, Vec<_>) = named
        .collect::<rusqlite::Result<Vec<(String, [u8; 32])>>>()?
        .into_iter()
        .partition(|(_, hash)| *hash == new.hash);
    for (id, _) in others {
        let key = keys::find(c, tenant, &id, KeysOf::Own)?;
        keys::revoke(c, &key)?;
        note(c, tenant, Kind::KeyRevoked, &key.called())?;
    }
    if let Some((id, _)) = same.into_iter().next() {
        c.execute("UPDATE api_key SET scopes = ?1 WHERE id = ?2", (Scope::join(&scopes), &id))?;
        return Ok(id);
    }
    let key = keys::create(
        c,
        tenant,
        ApiKey::new(tenant, new.prefix, KeyTerms { env, ..KeyTerms::live(name, scopes) }),
        &new.hash,
    )?;
    note(c, tenant, Kind::KeyCreated, &key.called())?;
    Ok(key.id)
}

fn note(c: &Connection, tenant: &Tenant, kind: Kind, what: &str) -> Result<()> {
    audit::note(c, tenant, Via::Cli, &Event::new(kind, what))
}
