//! Waiting for what another process does.

use std::time::{Duration, Instant};

/// Waits until something is so, for a generous while.
pub(crate) fn wait_until(what: &str, so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !so() {
        assert!(begin.elapsed() < Duration::from_secs(20), "not so after 20 seconds: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
