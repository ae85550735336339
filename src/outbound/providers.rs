//! The clients of providers: one pool of connections for each way to be reached.

use ureq::Proxy;

use super::{Base, Client, Options, policy::Guard, transport::Names};
use crate::error::Result;

/// Whose a provider is, which decides where it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The operator's: anywhere but at link-local addresses and the clouds' own.
    Operators,
    /// An owner's: the same, or of it what `--upstream-allow` names.
    Owners,
    /// Ours: a child, behind its socket.
    Ours,
}

/// The clients of a process's providers.
pub struct ProviderClients {
    operators: Client,
    owners: Client,
    children: Client,
}

impl ProviderClients {
    /// Without connections as yet. Reads the authorities, and `HTTPS_PROXY` and its kin if it may.
    pub fn new(options: &Options) -> Result<Self> {
        let base = Base::new(options)?;
        let client = |only| {
            let proxy = if options.proxy_from_env { Proxy::try_from_env() } else { None };
            base.client(Guard::Providers { only }, proxy, Names::default())
        };
        let operators = client(None);
        let owners = match options.upstream_allow.is_empty() {
            true => operators.clone(),
            false => client(Some(options.upstream_allow.clone())),
        };
        Ok(ProviderClients { operators, owners, children: base.of_children() })
    }

    /// The client for a provider.
    pub fn of(&self, whose: Whose) -> &Client {
        match whose {
            Whose::Operators => &self.operators,
            Whose::Owners => &self.owners,
            Whose::Ours => &self.children,
        }
    }
}
