//! The table: one line a measure, `alm` beside nginx, medians over the rounds.
//!
//! Rule: every figure shows its range, so that a disturbed machine shows itself.

use std::{collections::BTreeMap, fmt::Write};

use crate::process::Kind;

/// What was measured so far.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
}

struct Row {
    name: String,
    samples: BTreeMap<Kind, Vec<f64>>,
}

impl Report {
    /// Adds one round's figure to the line `name`.
    pub fn add(&mut self, name: &str, kind: Kind, value: f64) {
        self.row(name).samples.entry(kind).or_default().push(value);
    }

    /// Keeps a place for a line to which another server will add.
    pub fn reserve(&mut self, name: &str) {
        self.row(name);
    }

    fn row(&mut self, name: &str) -> &mut Row {
        let at = self.rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
            self.rows.push(Row { name: name.to_owned(), samples: BTreeMap::new() });
            self.rows.len() - 1
        });
        &mut self.rows[at]
    }

    /// The newest figure of a line.
    pub fn last(&self, name: &str, kind: Kind) -> Option<f64> {
        self.rows.iter().find(|row| row.name == name)?.samples.get(&kind)?.last().copied()
    }

    /// The median of a line's rounds.
    pub fn median(&self, name: &str, kind: Kind) -> Option<f64> {
        Some(median(self.rows.iter().find(|row| row.name == name)?.samples.get(&kind)?))
    }

    /// The whole as a markdown table.
    pub fn markdown(&self) -> String {
        let mut table = String::from("| measure | alm | nginx | alm / nginx | direct |\n|---|---|---|---|---|\n");
        for row in &self.rows {
            let median = |kind| row.samples.get(&kind).map(|samples| median(samples));
            let ratio = match (median(Kind::Alm), median(Kind::Nginx)) {
                (Some(alm), Some(nginx)) if nginx > 0.0 => format!("**{:.2}**", alm / nginx),
                _ => "–".to_owned(),
            };
            let cell = |kind| row.samples.get(&kind).map_or("–".to_owned(), |samples| cell(samples));
            let (alm, nginx, direct) = (cell(Kind::Alm), cell(Kind::Nginx), cell(Kind::Direct));
            writeln!(table, "| {} | {alm} | {nginx} | {ratio} | {direct} |", row.name).expect("a String takes all");
        }
        table
    }
}

/// The value below which `share` of the samples are; zero without samples.
pub fn quantile(samples: &mut [u32], share: f64) -> f64 {
    if samples.is_empty() {
        return 0.0;
    }
    let at = ((samples.len() - 1) as f64 * share).round() as usize;
    f64::from(*samples.select_nth_unstable(at).1)
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

fn cell(samples: &[f64]) -> String {
    let (low, high) = samples.iter().fold((f64::MAX, f64::MIN), |(low, high), &s| (low.min(s), high.max(s)));
    let middle = number(median(samples));
    if samples.len() == 1 || low == high { middle } else { format!("{middle} ({}–{})", number(low), number(high)) }
}

/// About three digits that matter.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        whole if whole.fract() == 0.0 || whole >= 100.0 => 0,
        tens if tens >= 10.0 => 1,
        ones if ones >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}
