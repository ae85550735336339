//! The clients of tools: one pool of connections for what owners added, and one for each row that the operator added.
//!
//! Rule: no connection passes from one to the other, so that what an operator's row may reach is reached by no other.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use ureq::{Proxy, ProxyProtocol, http::Uri};

use super::{
    Base, Client, Options,
    allow::{Allowed, Target},
    policy::{Guard, target},
    transport::Names,
};
use crate::error::{Error, Result};

/// Operator's rows that keep connections. Past it the one that was used longest ago gives its own up.
const OPERATOR_POOLS_MAX: usize = 64;

/// Whose request it is, which decides where it may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row<'a> {
    /// A row that was added through the API.
    Owner,
    /// A row that was added on the command line: it may reach the host and port of its URL wherever that is.
    Operator {
        /// Its id.
        id: &'a str,
        /// Its URL.
        url: &'a Uri,
    },
}

/// The clients of a process's tools.
pub struct ToolClients {
    base: Base,
    allowed: Allowed,
    proxy: Option<Proxy>,
    owners: Client,
    /// The one used last comes last.
    operators: Mutex<VecDeque<((String, Target), Client)>>,
}

impl ToolClients {
    /// Without connections as yet. Nothing is read from the environment.
    pub fn new(options: &Options) -> Result<Self> {
        let proxy = options.tool_proxy.as_deref().map(proxy).transpose()?;
        let (base, allowed) = (Base::new(options)?, options.tool_allow.clone());
        let guard = Guard::Tools { allowed: allowed.clone(), own: None };
        let owners = base.client(guard, proxy.clone(), Names::default());
        Ok(ToolClients { base, allowed, proxy, owners, operators: Mutex::default() })
    }

    /// The client for a row. A clone of it is the same client.
    pub fn of(&self, row: Row) -> Client {
        let Row::Operator { id, url } = row else { return self.owners.clone() };
        let key = (id.to_owned(), target(url));
        let mut operators = self.operators.lock().unwrap_or_else(PoisonError::into_inner);
        let known = operators.iter().position(|(known, _)| *known == key).and_then(|at| operators.remove(at));
        let (key, client) = known.unwrap_or_else(|| {
            let guard = Guard::Tools { allowed: self.allowed.clone(), own: Some(key.1.clone()) };
            (key, self.base.client(guard, self.proxy.clone(), Names::default()))
        });
        if operators.len() >= OPERATOR_POOLS_MAX {
            operators.pop_front();
        }
        operators.push_back((key, client.clone()));
        client
    }
}

/// A proxy that connects to what it is told, by HTTP.
fn proxy(url: &str) -> Result<Proxy> {
    let wrong = || Error::invalid("tool_proxy", "must be the http:// or https:// URL of a proxy");
    let proxy = Proxy::new(url).map_err(|_| wrong())?;
    match proxy.protocol() {
        ProxyProtocol::Http | ProxyProtocol::Https => Ok(proxy),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests;
