//! Streams, whose ring waits for all.

use super::{Named, three};
use tcpxm::config::Slow;

/// See the module's description.
pub(super) fn all() -> Vec<Named> {
    vec![
        ("stream", "an ordered stream through a ring of 1 MiB", three().stream(1 << 20)),
        (
            "stream-slow-reader",
            "an ordered stream, one of three reads 4 MiB/s",
            three().stream(1 << 20).slow_reader(1, 4 << 20),
        ),
        (
            "stream-drops-slow-reader",
            "the same, of 32 MiB, and the session drops who takes less than 50 Mbit/s",
            three()
                .bytes(32 << 20)
                .stream(1 << 20)
                .slow_reader(1, 4 << 20)
                .session(|s| s.slow = Slow::Drop { below: 50_000_000 })
                .dropping(1),
        ),
        ("stream-lossy", "an ordered stream, 1 % loss", three().stream(1 << 20).shared_loss(0.01)),
    ]
}
