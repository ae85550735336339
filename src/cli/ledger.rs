//! `alm ledger`: what the money comes to, added up again.

use serde_json::{Value, json};

use super::{globals::Globals, text::count_text};
use crate::{
    error::{Error, Result},
    money::format_usd,
    store::file::audit::{Audit, Book},
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Ledger {
    /// Add up every organization's entries, and compare them with its balance, its holds and the cost of its turns
    Verify,
}

impl Ledger {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        let Ledger::Verify = self;
        let audit = globals.store()?.audit()?;
        globals.print(|| to_json(&audit), || to_text(&audit))?;
        if audit.is_sound() {
            return Ok(());
        }
        let places = count_text(audit.findings_count as u64, "place");
        Err(Error::failed(format!("the ledger does not add up in {places}")))
    }
}

fn to_json(audit: &Audit) -> Value {
    let book = |book: &Book| {
        json!({
            "org": book.org, "entries": book.entries, "depositedMicrocents": book.deposited,
            "chargedMicrocents": book.charged, "balanceMicrocents": book.balance, "heldMicrocents": book.held,
            "turnsCharged": book.turns_charged, "turnsRunning": book.turns_running,
        })
    };
    json!({
        "ok": audit.is_sound(), "orgs": audit.books.iter().map(book).collect::<Vec<_>>(),
        "findings": audit.findings, "findingsCount": audit.findings_count,
    })
}

fn to_text(audit: &Audit) -> String {
    let book = |book: &Book| {
        format!(
            "{}: {} USD deposited, {} charged for {}, {} left, of which {} is held by {}; {}",
            book.org,
            format_usd(book.deposited),
            format_usd(book.charged),
            count_text(book.turns_charged, "turn"),
            format_usd(book.balance),
            format_usd(book.held),
            count_text(book.turns_running, "running turn"),
            if book.entries == 1 { "1 entry".into() } else { format!("{} entries", book.entries) },
        )
    };
    let mut lines: Vec<String> = audit.books.iter().map(book).collect();
    lines.extend(audit.findings.iter().map(|finding| format!("wrong: {finding}")));
    let more = audit.findings_count - audit.findings.len();
    if more > 0 {
        lines.push(format!("wrong: and {more} more"));
    }
    if audit.is_sound() {
        lines.push(format!("the ledger adds up: {}", count_text(audit.books.len() as u64, "organization")));
    }
    lines.join("\n")
}
