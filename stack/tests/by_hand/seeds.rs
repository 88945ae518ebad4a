//! Seeds of what is random here. They are fixed: what passes once passes always, until the code
//! changes; chance has no part. A failure prints its seed and how to see it again.

#![allow(clippy::disallowed_methods, reason = "the environment says which seed is wanted")]

use core::ops::Range;

/// As in the whole workspace.
const VARIABLE: &str = "TEST_SEED";

/// Prints the seed under way when a test panics, wherever that was.
struct Printed<'a>(&'a str, u64);

impl Drop for Printed<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(test, seed) = self;
            eprintln!("seed {seed}; to see it again:");
            eprintln!("    {VARIABLE}={seed} cargo test -p tcpxm --test by_hand {test}");
        }
    }
}

/// Runs a test with each of these seeds, or with the one that is asked for.
pub(crate) fn each(test: &str, seeds: Range<u64>, mut run: impl FnMut(u64)) {
    let asked = std::env::var(VARIABLE).ok();
    let asked = asked.map(|text| text.parse::<u64>().expect("TEST_SEED is a number"));
    for seed in asked.map_or(seeds, |seed| seed..seed + 1) {
        let _printed = Printed(test, seed);
        run(seed);
    }
}
