//! `alm usage`: what an organization's turns used, by day, model or agent.

use std::time::Duration;

use serde_json::json;

use super::{
    globals::Globals,
    text::{clean, duration, table},
};
use crate::{
    error::Result,
    money::format_usd,
    store::usage::{GroupBy, Usage as Sums},
    time::Timestamp,
};

/// What sums are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum By {
    Day,
    Model,
    Agent,
    Session,
}

#[derive(Debug, clap::Args)]
pub(super) struct Usage {
    /// The organization's slug
    #[arg(long)]
    org: String,
    /// How far back, such as 7d
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = duration)]
    last: Duration,
    /// What the sums are of; days are those of UTC
    #[arg(long, value_enum, default_value_t = By::Day)]
    by: By,
}

impl Usage {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        let store = globals.store()?;
        let tenant = globals.tenant(&store, &self.org)?;
        let now = Timestamp::now();
        let (from, to) = (now.minus(self.last), now.plus(Duration::from_millis(1)));
        let (group_by, what) = match self.by {
            By::Day => (GroupBy::Day, "DAY"),
            By::Model => (GroupBy::Model, "MODEL"),
            By::Agent => (GroupBy::Agent, "AGENT"),
            By::Session => (GroupBy::Session, "SESSION"),
        };
        let org = store.org(&tenant);
        let (total, groups) = (org.usage(from, to)?, org.usage_by(group_by, None, from, to)?);
        let of = |key: &Option<String>, sums: &Sums| {
            json!({
                "key": key, "turns": sums.turns, "inputTokens": sums.input_tokens, "outputTokens": sums.output_tokens,
                "costMicrocents": sums.cost,
            })
        };
        let json = || {
            let groups: Vec<_> = groups.iter().map(|group| of(&group.key, &group.usage)).collect();
            json!({ "from": from.to_string(), "to": to.to_string(), "groups": groups, "total": of(&None, &total) })
        };
        let text = || {
            let mut rows: Vec<_> =
                groups.iter().map(|group| row(&clean(group.key.as_deref().unwrap_or("-")), &group.usage)).collect();
            rows.push(row("total", &total));
            table(&[what, "REPLIES", "TOKENS IN", "TOKENS OUT", "USD"], &rows)
        };
        globals.print(json, text)
    }
}

fn row(what: &str, sums: &Sums) -> Vec<String> {
    vec![
        what.to_owned(),
        sums.turns.to_string(),
        sums.input_tokens.to_string(),
        sums.output_tokens.to_string(),
        format_usd(sums.cost),
    ]
}
