//! The real `mcp`, `mcpd` and `mtm` on a small network of namespaces: a switch, a sender, receivers.
//!
//! ```text
//! sender eth0 ── p0 ┐
//!                   ├ br0 (this process' own namespace)
//! r1 eth0 ────── p1 ┤
//! r2 eth0 ────── p2 ┘
//! ```
//!
//! The process starts itself again in a user, network, mount and process namespace of its own
//! ([`enter`]), so an ordinary user may run it, nothing on the host is touched, and nothing can
//! stay behind. The programs are built first, in this test's own profile ([`programs`]). Scenarios
//! run one after another; of all of them those that mostly wait beside the others ([`lanes`]). What
//! the system forbids is reported as ignored, with the reason; with `CI=true` that is a failure.

mod as_rsync;
mod asked;
mod capture;
mod copy;
mod daemon;
mod emulator;
mod enter;
mod flood;
mod judge;
mod lanes;
mod mirror;
mod network;
mod programs;
mod rivals;
mod scenarios;
mod shell;
mod tcp;
mod tree;

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    if tcp::play() || flood::play() || capture::play() || rivals::play() {
        return ExitCode::SUCCESS;
    }
    if let Some(only) = rivals::asked() {
        if enter::is_inside() {
            rivals::run(&only);
            return ExitCode::SUCCESS;
        }
        let Err(why) = enter::again(&[None]) else { return ExitCode::SUCCESS };
        eprintln!("the network of namespaces cannot be built here: {why}");
        return ExitCode::FAILURE;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1); // each needs the machine for itself
    let lanes: &[_] = if lanes::are_wanted(&arguments) { &lanes::LANES } else { &[None] };
    let missing = if arguments.list || enter::is_inside() { Ok(()) } else { enter::again(lanes) };
    let missing = missing.err();
    if let Some(why) = &missing {
        eprintln!("the network of namespaces cannot be built here: {why}");
    }
    let no_taps = emulator::forbidden();
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    let trials = lanes::scenarios().map(|(name, scenario)| {
        let no_taps = no_taps.clone().filter(|_| scenarios::is_on_lines(name));
        let why = missing.clone().or(no_taps).or_else(|| scenarios::lacks(name));
        if let (Some(why), None) = (&why, &missing) {
            eprintln!("{name} cannot run here: {why}");
        }
        let ignored = why.is_some() && !ci;
        let trial = Trial::test(*name, move || {
            if let Some(why) = why {
                return Err(why.into());
            }
            let begin = Instant::now();
            scenario();
            eprintln!("{name} took {:.1} s", begin.elapsed().as_secs_f32());
            Ok(())
        });
        trial.with_ignored_flag(ignored)
    });
    let trials = trials.collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
