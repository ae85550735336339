//! `alm cassette`: recorded answers, looked through; and how they are played, for the commands that play them.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{
    globals::Globals,
    text::{count_text, shortened, table},
};
use crate::{
    error::{Error, Result},
    model::cassette::{End, Exchange, Heard, Match, Speed, heard, read},
};

/// Characters of a question in the table.
const ASKED_CHARS: usize = 48;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Cassette {
    /// Put each answer of a cassette through the decoder, and say what is wrong
    Check {
        /// The file
        file: PathBuf,
    },
}

/// How a cassette is played.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Played {
    /// How fast: 1 is as it was recorded, 2 twice as fast, and instant waits for nothing
    #[arg(long, default_value = "1", value_name = "1|N|instant")]
    pub speed: Speed,
    /// How far an answer may be looked for; nearest by default, and exact where CI is set
    #[arg(long = "match", value_name = "exact|shape|nearest")]
    reach: Option<Match>,
}

impl Played {
    /// How far an answer may be looked for. A test that is asked something else should fail.
    pub fn reach(&self) -> Match {
        let is_test = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
        self.reach.unwrap_or(if is_test { Match::Exact } else { Match::Nearest })
    }
}

impl Cassette {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        let Cassette::Check { file } = self;
        let cassette = read(&file).map_err(Error::failed)?;
        let looked: Vec<_> =
            cassette.exchanges.iter().map(|recorded| (&recorded.exchange, heard(&recorded.exchange))).collect();
        let (answers, tools) = (looked.len(), cassette.tools.len());
        let wrong = looked.iter().filter(|(_, heard)| heard.fault.is_some()).count();
        globals.print(
            || json!({ "exchanges": looked.iter().map(as_json).collect::<Vec<_>>(), "tools": tools, "faults": wrong }),
            || {
                let head = ["ID", "MODEL", "STEP", "ASKED", "WORDS", "TOKENS", "END"];
                let rows = table(&head, &looked.iter().map(row).collect::<Vec<_>>());
                let licence = cassette.header.licence.as_ref().map(|terms| format!("licence: {terms}\n"));
                let licence = licence.unwrap_or_default();
                format!(
                    "{rows}\n{licence}{}, {}",
                    count_text(answers as u64, "answer"),
                    count_text(tools as u64, "tool call")
                )
            },
        )?;
        match wrong {
            0 => Ok(()),
            _ => Err(Error::failed(format!("{wrong} of {answers} answers are not as they should be"))),
        }
    }
}

/// Tokens in and out.
fn tokens(heard: &Heard) -> Option<(u64, u64)> {
    heard.usage.map(|usage| (usage.input_tokens, usage.output_tokens))
}

fn as_json((exchange, heard): &(&Exchange, Heard)) -> Value {
    json!({
        "id": exchange.id, "model": exchange.model, "step": exchange.step, "asked": exchange.asked,
        "words": heard.text.split_whitespace().count(), "calls": heard.calls,
        "inputTokens": tokens(heard).map(|(input, _)| input), "outputTokens": tokens(heard).map(|(_, output)| output),
        "status": exchange.status, "end": ended(exchange), "fault": heard.fault,
    })
}

fn row((exchange, heard): &(&Exchange, Heard)) -> Vec<String> {
    let calls = heard.calls.iter().map(|name| format!(" +{name}")).collect::<String>();
    let end = match (&heard.fault, exchange.status) {
        (Some(fault), _) => format!("{}: {fault}", ended(exchange)),
        (None, Some(status)) if status != 200 => format!("{} {status}", ended(exchange)),
        _ => ended(exchange).to_owned(),
    };
    vec![
        exchange.id.to_string(),
        exchange.model.clone(),
        exchange.step.to_string(),
        shortened(&exchange.asked, ASKED_CHARS),
        format!("{}{calls}", heard.text.split_whitespace().count()),
        tokens(heard).map_or_else(|| "-".to_owned(), |(input, output)| format!("{input}/{output}")),
        end,
    ]
}

fn ended(exchange: &Exchange) -> &'static str {
    match exchange.end {
        End::Whole => "whole",
        End::Cut => "cut",
        End::Stopped => "stopped",
        End::Failed => "failed",
    }
}
