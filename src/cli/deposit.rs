//! `alm deposit`: the operator's own top-up.

use serde_json::json;

use super::globals::{Globals, block_on};
use crate::{
    error::{Error, Result},
    money::{format_usd, parse_usd},
};

#[derive(Debug, clap::Args)]
pub(super) struct Deposit {
    /// The organization's slug
    #[arg(long)]
    org: String,
    /// How much, in US dollars, such as 10.00
    #[arg(long, value_name = "AMOUNT")]
    usd: String,
    /// A note for the ledger
    #[arg(long, default_value = "")]
    note: String,
}

impl Deposit {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        let amount = parse_usd(&self.usd).map_err(|error| Error::invalid("--usd", error.to_string()))?;
        let store = globals.store()?;
        let tenant = globals.tenant(&store, &self.org)?;
        let balance = block_on(store.org(&tenant).deposit(amount, self.note))?;
        globals.report(
            || json!({ "depositedMicrocents": amount, "balanceMicrocents": balance }),
            || format!("the balance of {} is now {} USD", self.org, format_usd(balance)),
        );
        Ok(())
    }
}
