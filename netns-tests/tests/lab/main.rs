//! The real `mcp` and `mcpd` on a small network of namespaces: a switch, a sender, receivers.
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
//! run one after another. What the system forbids is reported as ignored, with the reason; with
//! `CI=true` that is a failure.

mod copy;
mod daemon;
mod enter;
mod network;
mod programs;
mod scenarios;
mod shell;

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1); // each needs the machine for itself
    let missing = if arguments.list || enter::is_inside() { Ok(()) } else { enter::again() };
    let missing = missing.err();
    if let Some(why) = &missing {
        eprintln!("the network of namespaces cannot be built here: {why}");
    }
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    let trials = scenarios::ALL.iter().map(|(name, scenario)| {
        let why = missing.clone();
        let trial = Trial::test(*name, move || {
            if let Some(why) = why {
                return Err(why.into());
            }
            scenario();
            Ok(())
        });
        trial.with_ignored_flag(missing.is_some() && !ci)
    });
    let trials = trials.collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
