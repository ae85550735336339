//! `alm keys`: API keys.

use std::time::Duration;

use serde_json::json;

use super::{
    globals::{Globals, block_on},
    text::table,
};
use crate::{
    error::{Error, Result},
    key::{self, Env, Scope},
    store::keys::ApiKey,
    time::Timestamp,
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Keys {
    /// Create a key and print it; it is never shown again
    Create {
        /// The organization's slug
        #[arg(long)]
        org: String,
        /// What the key is for, 1 to 120 characters
        #[arg(long)]
        name: String,
        /// `live`, or `test` for keys that never spend
        #[arg(long, default_value = "live")]
        env: String,
        /// One or more of read, chat and write
        #[arg(long, default_value = "read,chat,write")]
        scopes: String,
        /// How long the key works, such as 90d; it never expires by default
        #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
        expires: Option<Duration>,
    },
    /// List the owner's keys
    List {
        /// The organization's slug
        #[arg(long)]
        org: String,
    },
    /// Revoke a key at once
    Revoke {
        /// The organization's slug
        #[arg(long)]
        org: String,
        /// Its id or its prefix
        key: String,
    },
}

impl Keys {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        let store = globals.store()?;
        match self {
            Keys::Create { org, name, env, scopes, expires } => {
                let tenant = globals.tenant(&store, &org)?;
                let env = Env::parse(&env).ok_or_else(|| Error::invalid("--env", "must be live or test"))?;
                key::check_name("--name", &name)?;
                let expires_at = expires.map(|life| Timestamp::now().plus(life));
                let new = key::generate(env)?;
                let create = async |org: crate::store::Org<'_>| {
                    org.create_key(&new, name, env, Scope::parse_list(&scopes)?, expires_at).await
                };
                let row = block_on(create(store.org(&tenant)))?;
                let json =
                    || json!({ "id": row.id, "key": new.text, "expiresAt": expires_at.map(|at| at.to_string()) });
                globals.print(json, || new.text.clone())?;
            }
            Keys::List { org } => {
                let tenant = globals.tenant(&store, &org)?;
                let keys = store.org(&tenant).keys()?;
                globals.print(|| keys.iter().map(to_json).collect(), || to_table(&keys))?;
            }
            Keys::Revoke { org, key } => {
                let tenant = globals.tenant(&store, &org)?;
                block_on(store.org(&tenant).revoke_key(key.clone()))?;
                globals.report(|| json!({ "revoked": key }), || format!("{key} no longer works"));
            }
        }
        Ok(())
    }
}

fn to_json(key: &ApiKey) -> serde_json::Value {
    let moment = |at: Option<Timestamp>| at.map(|at| at.to_string());
    json!({
        "id": key.id, "name": key.name, "prefix": key.prefix, "env": key.env.as_str(),
        "scopes": key.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>(),
        "createdAt": key.created_at.to_string(), "lastUsedAt": moment(key.last_used_at),
        "expiresAt": moment(key.expires_at),
    })
}

fn to_table(keys: &[ApiKey]) -> String {
    let moment = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), |at| at.to_string());
    let row = |key: &ApiKey| {
        let scopes = Scope::join(&key.scopes);
        vec![
            key.id.clone(),
            key.prefix.clone(),
            key.name.clone(),
            scopes,
            moment(key.last_used_at),
            moment(key.expires_at),
        ]
    };
    let head = ["ID", "PREFIX", "NAME", "SCOPES", "LAST USED", "EXPIRES"];
    table(&head, &keys.iter().map(row).collect::<Vec<_>>())
}
