//! Receivers that come late.

use super::{Named, four_apart, ms};
use core::time::Duration;
use tcpxm::config::Algorithm;

/// 64 MiB over 100 Mbit/s and 20 ms to four, some of which come late.
pub(super) fn all() -> Vec<Named> {
    // What it has missed it gets alone.
    let late = |first| {
        let four = four_apart().bytes(64 << 20).session(|s| s.late_join = true);
        four.joining(first, ms(3000)).min_share(0.3).costing(Duration::from_secs(10))
    };
    vec![
        ("joins-at-half", "the last of four is added when half has been sent", late(3)),
        ("joins-at-half-bbr", "the same by BBR", late(3).session(|s| s.algorithm = Algorithm::Bbr)),
        ("joins-one", "three are added when one has half of it", late(1)),
    ]
}
