//! `sim`: runs named scenarios from the command line.

use clap::{Parser, Subcommand};
use core::ops::Range;
use sim::registry::{self, Entry};
use sim::sweep::{self, Known};
use sim::throughput::grid;
use sim::trace::Writer;
use sim::{parallel, pick};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The transport in a simulated network.
#[derive(Debug, Parser)]
#[command(name = "sim", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the scenarios.
    List,
    /// Runs one scenario and prints what became of it.
    Replay {
        /// Its name.
        name: String,
        /// Another seed than its own.
        #[arg(long)]
        seed: Option<u64>,
        /// Print every datagram: time, from, to, kind, flags, packet number, offset, length.
        #[arg(long)]
        trace: bool,
    },
    /// Measures what share of a line sessions fill, cell by cell of a grid.
    Grid {
        /// Only cells whose name contains this, such as `100M/20ms` or `/8/cubic`.
        #[arg(long, default_value = "")]
        only: String,
        /// Seed of every cell.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Measure so many seeds, from that one on, and print their mean and its standard error: losses
        /// leave much to chance, and two builds are compared by means.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
        count: u64,
        /// Print what became of each run as well.
        #[arg(long, conflicts_with = "count")]
        details: bool,
    },
    /// Measures smoltcp's own TCP over the same lines, beside ours: 100 Mbit/s, 20 ms.
    Rival,
    /// Prints, for every scenario and seed, a hash of all packets sent: the same before and after a
    /// change that only reshapes the code.
    Fingerprint {
        /// Number of seeds, counted from 1.
        #[arg(long, default_value_t = 3)]
        seeds: u64,
        /// Only scenarios whose name contains this.
        #[arg(long, default_value = "")]
        only: String,
    },
    /// Runs one scenario with many seeds and prints those that fail.
    Sweep {
        /// Its name.
        name: String,
        /// Number of seeds.
        #[arg(long, default_value_t = 20)]
        count: u64,
        /// The first of them.
        #[arg(long, default_value_t = 1)]
        from: u64,
    },
    /// Runs every scenario with up to a thousand seeds and prints those that fail and are not
    /// listed; goes on where an earlier one of the same build was interrupted.
    SweepAll {
        /// The list of what is known to fail.
        #[arg(long, default_value = "sim/known-failing.txt")]
        known: PathBuf,
        /// Folder in which progress is kept.
        #[arg(long, default_value = "target/sweep")]
        progress: PathBuf,
        /// Only a few seeds of each, picked by a number, or by the commit.
        #[arg(long, value_name = "NUMBER|commit", value_parser = picked)]
        slice: Option<u64>,
    },
}

fn main() -> ExitCode {
    match Args::parse().command {
        Command::List => {
            for entry in registry::all() {
                println!("{:<36} {}", entry.name, entry.about);
            }
            ExitCode::SUCCESS
        }
        Command::Grid { only, seed, count, details } => measure_grid(&only, (seed, count), details),
        Command::Rival => {
            rival();
            ExitCode::SUCCESS
        }
        Command::Fingerprint { seeds, only } => fingerprint(&only, seeds),
        Command::Replay { name, seed, trace } => with(&name, |entry| replay(&entry, seed, trace)),
        Command::Sweep { name, count, from } => {
            with(&name, |entry| sweep_one(&entry, from..from + count))
        }
        Command::SweepAll { known, progress, slice } => match sweep_all(&known, &progress, slice) {
            Ok(code) => code,
            Err(why) => {
                eprintln!("sim: {why}");
                ExitCode::from(2)
            }
        },
    }
}

fn with(name: &str, run: impl FnOnce(Entry) -> bool) -> ExitCode {
    match registry::find(name) {
        Some(entry) if run(entry.clone()) => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
        None => {
            eprintln!("no scenario is called {name}; `sim list` lists them");
            ExitCode::from(2)
        }
    }
}

/// Prints shares of the line: smoltcp's, and ours by each algorithm.
fn rival() {
    println!("loss\tsmoltcp\tcubic\tbbr");
    let cells: Vec<_> =
        grid().into_iter().filter(|c| c.to_string().starts_with("100M/20ms/")).collect();
    for cubic in cells.iter().filter(|c| c.to_string().ends_with("/1/cubic")) {
        let bbr = cells
            .iter()
            .find(|c| c.loss == cubic.loss && c.receivers == 1 && c.algorithm != cubic.algorithm);
        let theirs = sim::rival::measure(cubic, 1);
        let (ours, bbr) = (cubic.measure(1), bbr.map_or(0.0, |c| c.measure(1)));
        println!("{}%\t{theirs:.3}\t{ours:.3}\t{bbr:.3}", f64::from(cubic.loss) / 100.0);
    }
}

/// Prints the table of the cells whose names contain `only`, with so many seeds from the first on.
fn measure_grid(only: &str, (seed, count): (u64, u64), details: bool) -> ExitCode {
    let cells: Vec<_> = grid().into_iter().filter(|c| c.to_string().contains(only)).collect();
    if cells.is_empty() {
        eprintln!("no cell's name contains {only}");
        return ExitCode::from(2);
    }
    let runs: Vec<_> =
        cells.iter().flat_map(|c| (seed..seed + count).map(move |s| (*c, s))).collect();
    let shares = parallel::map(&runs, |(cell, seed)| cell.measure(*seed));
    for (cell, shares) in cells.iter().zip(shares.chunks(runs.len() / cells.len())) {
        let (mean, error) = mean(shares);
        match shares {
            [_] => println!("{cell}\t{mean:.5}"),
            _ => println!("{cell}\t{mean:.5}\t±{error:.5}"),
        }
        if details {
            println!("{}", cell.scenario(seed).run());
        }
    }
    ExitCode::SUCCESS
}

/// The mean of some shares and its standard error.
fn mean(shares: &[f64]) -> (f64, f64) {
    let n = shares.len() as f64;
    let mean = shares.iter().sum::<f64>() / n;
    let squares: f64 = shares.iter().map(|share| (share - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0) / n).sqrt())
}

/// Prints scenario, seed and the hash of what was sent, a line each, in the registry's order.
fn fingerprint(only: &str, seeds: u64) -> ExitCode {
    let entries = registry::all().into_iter().filter(|entry| entry.name.contains(only));
    let runs: Vec<(Entry, u64)> =
        entries.flat_map(|entry| (1..=seeds).map(move |seed| (entry.clone(), seed))).collect();
    if runs.is_empty() {
        eprintln!("no scenario's name contains {only}; `sim list` lists them");
        return ExitCode::from(2);
    }
    let hashes = parallel::map(&runs, |(entry, seed)| {
        entry.scenario.clone().seed(*seed).run().fingerprint_hex()
    });
    for ((entry, seed), hash) in runs.iter().zip(hashes) {
        println!("{}\t{seed}\t{hash}", entry.name);
    }
    ExitCode::SUCCESS
}

/// Gives whether nothing was wrong.
fn replay(entry: &Entry, seed: Option<u64>, trace: bool) -> bool {
    let mut scenario = entry.scenario.clone();
    if let Some(seed) = seed {
        scenario = scenario.seed(seed);
    }
    let outcome = if trace {
        let mut writer = Writer::default();
        scenario.run_watched(move |seen| {
            // a reader that has seen enough closes the pipe; the run goes on to its end
            let _ = writeln!(std::io::stdout(), "{}", writer.line(seen));
        })
    } else {
        scenario.run()
    };
    let model = sim::model::model_time(&scenario);
    println!("{outcome}");
    println!(
        "model {:.3} s, least group share {:.3}",
        model.as_secs_f64(),
        sim::model::least_share(&scenario)
    );
    let faults = sim::verify::faults(&scenario, &outcome);
    for fault in &faults {
        println!("FAULT {fault}");
    }
    faults.is_empty()
}

/// Gives whether nothing was wrong with any seed.
fn sweep_one(entry: &Entry, seeds: Range<u64>) -> bool {
    let (mut failed, count) = (0, seeds.end - seeds.start);
    for seed in seeds {
        let scenario = entry.scenario.clone().seed(seed);
        let outcome = scenario.run();
        let faults = sim::verify::faults(&scenario, &outcome);
        failed += u64::from(!faults.is_empty());
        let took = outcome.completed.map_or(f64::NAN, |time| time.as_secs_f64());
        let share = outcome.group_share();
        let stall = outcome.receivers.iter().map(|r| r.stall).max().unwrap_or_default();
        println!(
            "seed {seed:>4}: {took:.3} s, group share {share:.3}, stall {:.3} s {}",
            stall.as_secs_f64(),
            faults.join("; ")
        );
    }
    println!("{failed} of {count} seeds failed");
    failed == 0
}

/// What a slice is picked by.
fn picked(text: &str) -> Result<u64, String> {
    match text {
        "commit" => Ok(pick::by_commit()),
        number => number.parse().map_err(|_| "it is neither a number nor `commit`".to_owned()),
    }
}

/// Prints what is wrong with everything, or with a slice of it.
fn sweep_all(known: &Path, folder: &Path, slice: Option<u64>) -> Result<ExitCode, String> {
    let list = fs::read_to_string(known)
        .map_err(|e| e.to_string())
        .and_then(|text| Known::parse(&text))
        .map_err(|e| format!("the list {} cannot be used: {e}", known.display()))?;
    let wrong = if let Some(number) = slice {
        println!("this slice again: cargo xtask sweep --slice {number}");
        sweep::slice(number, &list)
    } else {
        sweep::all(folder, &list)
            .map_err(|e| format!("progress cannot be kept in {}: {e}", folder.display()))?
    };
    for what in &wrong {
        println!("{what}");
    }
    println!("{} runs or entries of the list are wrong", wrong.len());
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
