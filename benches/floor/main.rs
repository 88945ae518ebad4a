//! The throughput floor: three receivers on loopback, real sockets, one group, no disk.
//!
//! Not a benchmark: it fails when a receiver gets less than a rate that any sound build reaches
//! many times over, so that a slip into another order of magnitude does not pass unseen.

mod content;
mod coverage;
mod run;

use content::word as mix;
use run::{Outcome, Run};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use tcpxm::config::Delivery;

/// Length of each session, bytes.
const LEN: u64 = 256 << 20;
/// What every receiver must reach, Mbit/s.
const FLOOR: f64 = 500.0;
/// The process gives up after so long: far more than both sessions take at the floor.
const LIMIT: Duration = Duration::from_mins(2);

fn main() -> ExitCode {
    // A session that stands still must end the process too, whatever it waits for.
    thread::spawn(|| {
        thread::sleep(LIMIT);
        eprintln!("floor: not done after {} s", LIMIT.as_secs());
        std::process::exit(1);
    });
    let mut sound = true;
    let seed = seed();
    println!("seed of the groups: {seed} (TEST_SEED={seed} gives the same)");
    for (delivery, n) in [Delivery::Ordered, Delivery::Unordered].into_iter().zip(0..) {
        let seed = mix(seed.wrapping_add(n));
        match (Run { delivery, len: LEN, seed }).measure() {
            Ok(outcome) => sound &= show(delivery, &outcome),
            Err(why) => {
                eprintln!("floor: {delivery:?}: {why}");
                sound = false;
            }
        }
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The seed that is asked for, or another each time.
fn seed() -> u64 {
    match std::env::var("TEST_SEED") {
        Ok(text) => text.parse().unwrap_or_else(|_| {
            eprintln!("floor: TEST_SEED={text} is not a number");
            std::process::exit(2);
        }),
        // the standard library seeds every `RandomState` differently
        Err(_) => RandomState::new().build_hasher().finish(),
    }
}

/// Prints a session; whether every receiver is content and fast enough.
fn show(delivery: Delivery, outcome: &Outcome) -> bool {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "{delivery:?}, {} MiB to {} receivers, group {}: sent {:.1} MiB to it, {:.1} MiB by unicast, \
         {:.1} MiB of both again",
        LEN >> 20,
        outcome.receivers.len(),
        outcome.group,
        mib(outcome.sent.group_bytes),
        mib(outcome.sent.unicast_bytes),
        mib(outcome.sent.repaired_bytes),
    );
    println!("  receiver        Mbit/s  mode       multicast  unicast  repaired  MiB each");
    let mut sound = true;
    for receiver in &outcome.receivers {
        let rate = LEN as f64 * 8.0 / 1e6 / receiver.time.as_secs_f64();
        println!(
            "  {:14} {rate:7.0}  {:9} {:10.1} {:8.1} {:9.1}",
            receiver.addr.ip(),
            receiver.mode.name(),
            mib(receiver.arrived.multicast),
            mib(receiver.arrived.unicast),
            mib(receiver.arrived.repaired),
        );
        if let Err(why) = &receiver.verdict {
            println!("    {why}");
            sound = false;
        }
        if rate < FLOOR {
            println!("    below the floor of {FLOOR} Mbit/s");
            sound = false;
        }
    }
    sound
}
