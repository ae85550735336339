//! An entry, as other programs read it: secrets are named, and never there.

use serde_json::{Map, Value, json};

use crate::tools::secrets::{Kept, Secrets};

/// A time-out below this is not printed: a program that counts in seconds would read it as those.
pub(super) const TIMEOUT_MS_MIN: u64 = 1_000;

/// A server as it is kept.
#[derive(Debug, Clone, Copy)]
pub struct Printed<'a> {
    pub slug: &'a str,
    pub way: PrintedWay<'a>,
    pub secrets: &'a Secrets,
    pub is_active: bool,
    pub timeout_ms: Option<u64>,
}

/// How it is reached.
#[derive(Debug, Clone, Copy)]
pub enum PrintedWay<'a> {
    Http { url: &'a str, headers: &'a [(String, String)] },
    Command { command: &'a str, args: &'a [String], cwd: Option<&'a str> },
}

/// A whole file of this one entry.
pub fn print(server: &Printed) -> Value {
    let mut entry = Map::new();
    let mut put = |key: &str, value: Value| drop(entry.insert(key.to_owned(), value));
    let secrets = server.secrets.iter();
    match server.way {
        PrintedWay::Http { url, headers } => {
            put("type", json!("http"));
            put("url", json!(url));
            let plain = headers.iter().map(|(name, value)| (name.clone(), json!(value)));
            let named = secrets
                .map(|(name, kept)| (name.to_owned(), json!(reference(kept, &format!("{} {name}", server.slug)))));
            let all: Map<_, _> = plain.chain(named).collect();
            if !all.is_empty() {
                put("headers", Value::Object(all));
            }
        }
        PrintedWay::Command { command, args, cwd } => {
            put("type", json!("stdio"));
            put("command", json!(command));
            put("args", json!(args));
            let env: Map<_, _> = secrets.map(|(name, kept)| (name.to_owned(), json!(reference(kept, name)))).collect();
            if !env.is_empty() {
                put("env", Value::Object(env));
            }
            if let Some(cwd) = cwd {
                put("cwd", json!(cwd));
            }
        }
    }
    if let Some(timeout) = server.timeout_ms.filter(|timeout| *timeout >= TIMEOUT_MS_MIN) {
        put("timeout", json!(timeout));
    }
    if !server.is_active {
        put("disabled", json!(true));
    }
    json!({ "mcpServers": { server.slug: entry } })
}

/// A secret by the name of the variable that holds it, or that would.
fn reference(kept: &Kept, what: &str) -> String {
    match kept {
        Kept::Variable { .. } => kept.to_string(),
        Kept::Sealed { .. } => {
            let name = what.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
            format!("${{{}}}", if what.contains(' ') { name.to_uppercase() } else { name })
        }
    }
}
