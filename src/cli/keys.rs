//! `alm keys`: API keys.

use std::time::Duration;

use serde_json::json;

use super::{
    globals::{Globals, block_on},
    text::{duration, table},
};
use crate::{
    error::{Error, Result},
    key::{self, Env, Scope},
    money::{AMOUNT_USD_MAX, USD, format_usd, parse_usd},
    store::keys::{ApiKey, KeyChange, KeyTerms, KeysOf, OVERLAP_SECONDS_MAX},
    time::Timestamp,
};

/// When a key's life ends; `None`: never.
#[derive(Debug, Clone, Copy)]
pub(super) struct End(Option<Duration>);

/// What a key may spend in a month; `None`: no limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit(Option<i64>);

fn end_of(text: &str) -> std::result::Result<End, String> {
    match text {
        "never" => Ok(End(None)),
        life => duration(life).map(|life| End(Some(life))),
    }
}

fn limit_of(text: &str) -> std::result::Result<Limit, String> {
    if text == "none" {
        return Ok(Limit(None));
    }
    let amount = parse_usd(text).map_err(|error| error.to_string())?;
    if amount > AMOUNT_USD_MAX * USD {
        return Err(format!("at most {AMOUNT_USD_MAX} US dollars"));
    }
    Ok(Limit(Some(amount)))
}

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
        #[arg(long, value_parser = duration, value_name = "DURATION")]
        expires: Option<Duration>,
        /// What it may spend in a month, in US dollars, such as 10.00; no limit by default
        #[arg(long, value_parser = limit_of, value_name = "AMOUNT")]
        monthly_limit: Option<Limit>,
    },
    /// List everyone's keys
    List {
        /// The organization's slug
        #[arg(long)]
        org: String,
    },
    /// Replace a key and print the new one; it is never shown again
    Rotate {
        /// The organization's slug
        #[arg(long)]
        org: String,
        /// Its id or its prefix
        key: String,
        /// How long the old key works beside the new one, such as 1h, at most 7d
        #[arg(long, value_parser = duration, value_name = "DURATION", default_value = "0s")]
        overlap: Duration,
    },
    /// Change a key
    #[command(group(clap::ArgGroup::new("change").required(true).multiple(true)))]
    Set {
        /// The organization's slug
        #[arg(long)]
        org: String,
        /// Its id or its prefix
        key: String,
        /// What the key is for, 1 to 120 characters
        #[arg(long, group = "change")]
        name: Option<String>,
        /// How long the key works from now on, such as 90d, or `never`
        #[arg(long, group = "change", value_parser = end_of, value_name = "DURATION")]
        expires: Option<End>,
        /// What it may spend in a month, in US dollars, such as 10.00, or `none`
        #[arg(long, group = "change", value_parser = limit_of, value_name = "AMOUNT")]
        monthly_limit: Option<Limit>,
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
            Keys::Create { org, name, env, scopes, expires, monthly_limit } => {
                let tenant = globals.tenant(&store, &org)?;
                let env = Env::parse(&env).ok_or_else(|| Error::invalid("--env", "must be live or test"))?;
                key::check_name("--name", &name)?;
                let expires_at = expires.map(|life| Timestamp::now().plus(life));
                let new = key::generate(env)?;
                let scopes = Scope::parse_list(&scopes)?;
                let monthly_limit = monthly_limit.and_then(|Limit(limit)| limit);
                let terms = KeyTerms { name, env, scopes, expires_at, monthly_limit };
                let row = block_on(store.org(&tenant).create_key(&new, terms))?;
                let json =
                    || json!({ "id": row.id, "key": new.text, "expiresAt": expires_at.map(|at| at.to_string()) });
                globals.print(json, || new.text.clone())?;
            }
            Keys::List { org } => {
                let tenant = globals.tenant(&store, &org)?;
                let keys = store.org(&tenant).keys(KeysOf::Everyone)?;
                globals.print(|| keys.iter().map(to_json).collect(), || to_table(&keys))?;
            }
            Keys::Rotate { org, key, overlap } => {
                if overlap.as_secs() > OVERLAP_SECONDS_MAX.into() {
                    return Err(Error::invalid("--overlap", "must be at most 7d"));
                }
                let tenant = globals.tenant(&store, &org)?;
                let org = store.org(&tenant);
                let (row, new) = block_on(org.rotate_key(key, KeysOf::Everyone, overlap, key::generate))?;
                globals.print(|| json!({ "id": row.id, "key": new.text }), || new.text.clone())?;
            }
            Keys::Set { org, key, name, expires, monthly_limit } => {
                if let Some(name) = &name {
                    key::check_name("--name", name)?;
                }
                let tenant = globals.tenant(&store, &org)?;
                let expires_at = expires.map(|End(life)| life.map(|life| Timestamp::now().plus(life)));
                let change = KeyChange { name, expires_at, monthly_limit: monthly_limit.map(|Limit(limit)| limit) };
                let changed = block_on(store.org(&tenant).change_key(key, KeysOf::Everyone, change))?;
                globals.report(|| to_json(&changed), || to_table(std::slice::from_ref(&changed)));
            }
            Keys::Revoke { org, key } => {
                let tenant = globals.tenant(&store, &org)?;
                block_on(store.org(&tenant).revoke_key(key.clone(), KeysOf::Everyone))?;
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
        "expiresAt": moment(key.expires_at), "email": key.email, "lastAddress": key.last_address,
        "monthlyLimitMicrocents": key.monthly_limit, "spentThisMonthMicrocents": key.spent_this_month,
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
            spent(key),
            key.email.clone(),
        ]
    };
    let head = ["ID", "PREFIX", "NAME", "SCOPES", "LAST USED", "EXPIRES", "USD THIS MONTH", "WHOSE"];
    table(&head, &keys.iter().map(row).collect::<Vec<_>>())
}

/// What it spent this month, and of how much.
fn spent(key: &ApiKey) -> String {
    let spent = format_usd(key.spent_this_month);
    key.monthly_limit.map_or_else(|| spent.clone(), |limit| format!("{spent} of {}", format_usd(limit)))
}
