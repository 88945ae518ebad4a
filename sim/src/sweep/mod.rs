//! Every scenario with many seeds: what happens once in a thousand runs is found here, and not by
//! whoever changes something else. A sweep that is interrupted goes on where it stopped.

mod known;
mod progress;

pub use known::Known;

use crate::registry::{self, Entry};
use crate::{parallel, pick, verify};
use core::time::Duration;
use progress::Progress;
use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Seeds for scenarios of which a run takes at most so long; of longer ones [`FEW`].
const SEEDS: [(Duration, u64); 2] =
    [(Duration::from_millis(200), 1000), (Duration::from_secs(2), 100)];
/// Seeds for the longest.
const FEW: u64 = 10;
/// Seeds of each scenario in a slice: with two processors about 70 seconds in all, as of 2026.
const SLICE: u64 = 3;

/// A run by its seed and its scenario's name, in the order in which they are done: whoever ends a
/// sweep early has a little of everything.
type Job = (u64, String);

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    /// Processor time: the machine's other work is of no matter.
    took: Duration,
    /// What was wrong with it; empty if nothing was.
    faults: String,
}

/// Sweeps everything, noting in `folder` what is done; gives what is wrong, line by line.
pub fn all(folder: &Path, known: &[Known]) -> io::Result<Vec<String>> {
    let entries = registry::all();
    let mut progress = Progress::open(folder)?;
    println!("progress is kept in {}", progress.path().display());
    // the first of each says how many the others are
    do_jobs(&mut progress, &entries, |_| 1)?;
    let took: BTreeMap<String, Duration> =
        progress.done().iter().map(|((_, name), run)| (name.clone(), run.took)).rev().collect();
    let seeds = |name: &str| took.get(name).map_or(FEW, |took| seeds_for(*took));
    do_jobs(&mut progress, &entries, seeds)?;
    Ok(judge(progress.done(), known, |name| seeds(name)))
}

/// Runs what a number picks of every scenario; gives what is wrong, line by line.
pub fn slice(number: u64, known: &[Known]) -> Vec<String> {
    let entries = registry::all();
    let jobs: Vec<Job> = entries.iter().flat_map(|entry| picked(number, &entry.name)).collect();
    let runs = parallel::map(&jobs, |job| run(&entries, job));
    judge(&jobs.into_iter().zip(runs).collect(), known, |_| u64::MAX)
}

/// How many seeds a scenario gets whose run takes so long.
fn seeds_for(took: Duration) -> u64 {
    SEEDS.iter().find(|(limit, _)| took <= *limit).map_or(FEW, |(_, seeds)| *seeds)
}

/// The seeds of a scenario that a slice runs.
fn picked(number: u64, name: &str) -> impl Iterator<Item = Job> {
    (0..SLICE).map(move |k| {
        let drawn = pick::number(format!("{number} {name} {k}").as_bytes());
        (1 + drawn % SEEDS[0].1, name.to_owned())
    })
}

/// Does what is left to do.
fn do_jobs(
    progress: &mut Progress,
    entries: &[Entry],
    seeds: impl Fn(&str) -> u64,
) -> io::Result<()> {
    let all = entries.iter().flat_map(|e| (1..=seeds(&e.name)).map(|seed| (seed, e.name.clone())));
    let mut jobs: Vec<Job> = all.filter(|job| !progress.done().contains_key(job)).collect();
    jobs.sort_unstable();
    let noted = &*progress;
    let runs = parallel::map(&jobs, |job| {
        let run = run(entries, job);
        if !run.faults.is_empty() {
            println!("{}, seed {}: {}", job.1, job.0, run.faults);
        }
        noted.note(job, &run).map(|()| run)
    });
    let runs = runs.into_iter().collect::<io::Result<Vec<Run>>>()?;
    progress.take(jobs.into_iter().zip(runs));
    Ok(())
}

/// Runs one scenario with one seed; a panic is a fault like another.
fn run(entries: &[Entry], (seed, name): &Job) -> Run {
    let Some(entry) = entries.iter().find(|entry| entry.name == *name) else {
        return Run { took: Duration::ZERO, faults: "no scenario is called so".to_owned() };
    };
    let scenario = entry.scenario.clone().seed(*seed);
    let began = processor_time();
    let ended = catch_unwind(AssertUnwindSafe(|| verify::faults(&scenario, &scenario.run())));
    let took = processor_time().saturating_sub(began);
    let faults = ended.map_or_else(|_| "it panicked".to_owned(), |faults| faults.join("; "));
    Run { took, faults }
}

/// What this thread has used.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// What is wrong with these runs: those that failed and are not listed, and what is listed and
/// did not fail, although all its seeds (`seeds` says how many a scenario has) were tried.
fn judge(runs: &BTreeMap<Job, Run>, known: &[Known], seeds: impl Fn(&str) -> u64) -> Vec<String> {
    let failed = |job: &Job| runs.get(job).is_some_and(|run| !run.faults.is_empty());
    let listed = |(seed, name): &Job| known.iter().any(|k| k.covers(name, *seed));
    let mut wrong = Vec::new();
    for (job, run) in runs.iter().filter(|(job, _)| failed(job) && !listed(job)) {
        let (seed, name) = job;
        wrong.push(format!(
            "{name}, seed {seed}: {}\n    cargo run --release -p sim -- replay {name} --seed {seed}",
            run.faults
        ));
    }
    for entry in known {
        let Known { scenario, reason, .. } = entry;
        let about: Vec<&Job> =
            runs.keys().filter(|(seed, name)| entry.covers(name, *seed)).collect();
        if entry.seeds.is_some() {
            for (seed, name) in about.into_iter().filter(|job| !failed(job)) {
                wrong.push(format!("{name}, seed {seed}, passes: remove it from the list"));
            }
            continue;
        }
        let scenarios = names(runs).filter(|name| entry.is_about(name));
        let all = scenarios.map(&seeds).fold(0, u64::saturating_add);
        let whole = !about.is_empty() && about.len() as u64 >= all;
        if whole && !about.into_iter().any(failed) {
            wrong.push(format!("{scenario} passes: remove it from the list ({reason})"));
        }
    }
    wrong
}

/// The scenarios of which there are runs.
fn names(runs: &BTreeMap<Job, Run>) -> impl Iterator<Item = &str> {
    let names: std::collections::BTreeSet<&str> =
        runs.keys().map(|(_, name)| name.as_str()).collect();
    names.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(of: &[(&str, u64, bool)]) -> BTreeMap<Job, Run> {
        let run = |good: bool| Run {
            took: Duration::ZERO,
            faults: if good { String::new() } else { "wrong".to_owned() },
        };
        of.iter().map(|(name, seed, good)| ((*seed, (*name).to_owned()), run(*good))).collect()
    }

    fn judged(of: &[(&str, u64, bool)], list: &str, seeds: u64) -> Vec<String> {
        judge(&runs(of), &Known::parse(list).expect("sound"), |_| seeds)
    }

    #[test]
    fn a_failure_must_be_listed_and_says_how_to_see_it_again() {
        let found = judged(&[("a", 1, true), ("a", 2, false)], "", 2);
        assert_eq!(found.len(), 1);
        assert!(found[0].ends_with("replay a --seed 2"), "{}", found[0]);
        for list in ["a\t*\twhy", "a\t2\twhy", "*\t*\twhy"] {
            assert!(judged(&[("a", 1, true), ("a", 2, false)], list, 2).is_empty(), "{list}");
        }
        assert_eq!(judged(&[("a", 2, false)], "a\t3\twhy", 3).len(), 1, "another seed is");
        assert_eq!(judged(&[("a", 2, false)], "b*\t*\twhy", 3).len(), 1, "another scenario is");
    }

    #[test]
    fn what_is_listed_and_passes_is_to_be_removed() {
        let good = [("a-1", 1, true), ("a-1", 2, true), ("a-2", 1, true), ("a-2", 2, true)];
        assert_eq!(judged(&good, "a-*\t*\twhy", 2).len(), 1);
        assert_eq!(judged(&good, "a-*\t*\twhy", 3).len(), 0, "not all seeds have been tried");
        assert_eq!(judged(&good, "a-2\t1,2\twhy", 2).len(), 2);
        assert_eq!(judged(&good, "a-2\t7\twhy", 2).len(), 0, "that one has not been tried");
        assert_eq!(judged(&good, "a-*\t*\twhy", u64::MAX).len(), 0, "a slice never knows");
    }

    #[test]
    fn short_runs_get_many_seeds_and_long_ones_few() {
        let of = |millis| seeds_for(Duration::from_millis(millis));
        assert_eq!([of(200), of(201), of(2000), of(2001)], [1000, 100, 100, 10]);
    }

    #[test]
    fn a_slice_follows_from_its_number() {
        let of = |number| picked(number, "deaf").collect::<Vec<Job>>();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert!(of(3).iter().all(|(seed, _)| (1..=1000).contains(seed)));
    }

    #[test]
    fn a_run_that_goes_wrong_is_told() {
        let entries = registry::all();
        let found = |entries: &[Entry]| run(entries, &(1, "receivers-1-loss-0".to_owned())).faults;
        assert_eq!(found(&entries), "");
        assert_eq!(found(&[]), "no scenario is called so");
        let mut hard = entries[0].clone();
        hard.scenario = hard.scenario.min_share(1.1);
        assert!(found(&[hard]).contains("group share"));
        let mut impossible = entries[0].clone();
        impossible.scenario = impossible.scenario.receivers(0).bytes(1);
        assert!(!found(&[impossible]).is_empty());
    }
}
