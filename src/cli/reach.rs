//! What a command reaches that asks tools itself: as much as `alm serve` does, by flags, and so variables, of the same names.

use std::path::PathBuf;

use super::{text::as_flags, variables::named};
use crate::{
    error::Result,
    outbound::{Allowed, Options},
};

/// Where requests go.
#[derive(Debug, Clone, clap::Args)]
pub struct Reach {
    /// Certificate authorities (PEM or DER) to trust instead of the public ones
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// What tools reach besides public addresses and what was added on this machine, as for `alm serve`
    #[arg(long, value_delimiter = ',', value_name = "PLACE")]
    tool_allow: Vec<String>,
    /// The HTTP proxy that tools go through, as for `alm serve`
    #[arg(long, value_name = "URL")]
    tool_proxy: Option<String>,
}

impl Reach {
    /// What bounds requests.
    pub fn options(&self) -> Result<Options> {
        let tool_allow = Allowed::parse(&named(self.tool_allow.clone()), "tool_allow").map_err(as_flags)?;
        let (ca_file, tool_proxy) = (self.ca_file.clone(), self.tool_proxy.clone());
        Ok(Options { ca_file, tool_allow, tool_proxy, ..Options::default() })
    }
}
