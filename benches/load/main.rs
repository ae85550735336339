//! The whole server under load, beside nginx passing the same bytes through. Start it with `benches/load/run`.
//!
//! Reading order: `plan.rs` (what is measured), `measure.rs` (how), `upstream.rs` (the model behind it all), `client.rs`
//! over `wire.rs`, `process.rs` (the servers), `report.rs` (the table).
//! Rule: rounds are interleaved and figures are medians, so that a disturbed machine disturbs all servers alike. Upstream
//! and load share this process and the machine with the server: ratios count, not the figures.

mod client;
mod measure;
mod plan;
mod process;
mod replay;
mod report;
mod upstream;
mod wire;

use std::{cell::Cell, fs, path::PathBuf, process::ExitCode, thread, time::Duration};

use clap::Parser;
use tokio::task::LocalSet;

use measure::Round;
use plan::{ALL, Measure, Size};
use process::{Fixture, Kind, Result};
use report::Report;

/// Open files that 2,000 streams need, with room.
const FILES_MAX: u64 = 16 * 1024;
/// An idle server is weighed so long after its start.
const IDLE: Duration = Duration::from_secs(1);
/// A reply's size as long as `alm` has not shown its own.
const REPLY_BYTES: usize = 1000;

/// Measures the server under load.
#[derive(Parser)]
struct Options {
    /// One short round, to see that it works.
    #[arg(long)]
    quick: bool,
    /// Only these measurements.
    #[arg(long, value_name = "NAME", value_parser = ALL.map(|(name, _)| name))]
    only: Vec<String>,
    /// Rounds of each measurement.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// The server to measure, if it is not the one that was built beside this.
    #[arg(long, value_name = "PATH", overrides_with = "alm")]
    alm: Option<PathBuf>,
    /// What cargo says when it benches; without it this is a test run, which measures nothing.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if !options.bench {
        println!("start it with benches/load/run");
        return ExitCode::SUCCESS;
    }
    match measure_all(&options) {
        Ok(failures) if failures.is_empty() => ExitCode::SUCCESS,
        Ok(failures) => {
            failures.iter().for_each(|failure| eprintln!("failed: {failure}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures what was asked for and prints the table. What went wrong.
fn measure_all(options: &Options) -> Result<Vec<String>> {
    rlimit::increase_nofile_limit(FILES_MAX)?;
    let size = if options.quick {
        Size { seconds: 3, turns: 50, full_chunks: 2_000 }
    } else {
        Size { seconds: 8, turns: 300, full_chunks: 20_000 }
    };
    let rounds = if options.quick { 1 } else { options.rounds };
    let wanted = |(name, measure): &(&str, Measure)| {
        let heavy = matches!(measure, Measure::Paced(1000..));
        if options.only.is_empty() { !(options.quick && heavy) } else { options.only.iter().any(|only| only == name) }
    };
    let built = || PathBuf::from(env!("CARGO_BIN_EXE_alm"));
    let mut bench = Bench::new(size, options.alm.clone().unwrap_or_else(built))?;
    for (name, measure) in ALL.into_iter().filter(wanted) {
        for round in 1..=rounds {
            eprintln!("{name}, round {round} of {rounds}");
            bench.round(measure);
        }
    }
    println!("{}\n{}", machine(rounds), bench.report.markdown());
    for (line, name) in replay::PROOFS {
        if let Some(median) = bench.report.median(line, Kind::Alm) {
            println!("proof: {name} {median:.1}");
        }
    }
    Ok(bench.failures)
}

struct Bench {
    fixture: Fixture,
    kinds: Vec<Kind>,
    size: Size,
    reply_bytes: Cell<usize>,
    report: Report,
    failures: Vec<String>,
}

impl Bench {
    fn new(size: Size, alm: PathBuf) -> Result<Self> {
        let mut fixture = Fixture::new(upstream::start()?, alm)?;
        let (mut kinds, mut failures) = (vec![Kind::Direct, Kind::Alm, Kind::Nginx], Vec::new());
        if let Err(error) = fixture.set_up_alm(&size.models()) {
            kinds.retain(|&kind| kind != Kind::Alm);
            failures.push(format!("alm is left out: {error}"));
        }
        let reply_bytes = Cell::new(REPLY_BYTES);
        Ok(Bench { fixture, kinds, size, reply_bytes, report: Report::default(), failures })
    }

    /// Takes every server through one measurement, each freshly started.
    fn round(&mut self, measure: Measure) {
        for kind in self.kinds.clone() {
            if let Err(error) = self.take(kind, measure) {
                self.failures.push(format!("{measure:?} of {kind:?}: {error}"));
            }
        }
    }

    fn take(&mut self, kind: Kind, measure: Measure) -> Result<()> {
        let server = if measure == Measure::Start {
            let server = self.fixture.start_empty(kind)?;
            thread::sleep(IDLE);
            server
        } else {
            self.fixture.start(kind)?
        };
        let (key, size, reply_bytes) = (&self.fixture.key, self.size, &self.reply_bytes);
        let mut round = Round { server: &server, key, size, reply_bytes, report: &mut self.report };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, round.take(measure))
    }
}

/// Where and how this was measured, in a sentence.
fn machine(rounds: u32) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    format!(
        "{cores} cores shared by upstream, load and server; Linux {}; load average {} at the end; \
         medians of {rounds} interleaved rounds (lowest–highest).\n",
        kernel.trim(),
        load.split(' ').next().unwrap_or_default()
    )
}
