//! How often the engine allocates once a session is under way: never for a segment.

#[path = "pump.rs"]
mod pump;

use pump::{SEGMENT, World};
use std::time::Duration;

#[test]
fn a_session_under_way_allocates_nothing_for_its_segments() {
    let len: u64 = 96 << 20;
    for (receivers, by_group) in [(1, false), (1, true), (3, true)] {
        let mut world = World::new(receivers, by_group, len, Some(1_000_000_000));
        world.run_to(len / 3); // buffers and queues have found their sizes
        let counted = allocation_counter::measure(|| world.run_to(len / 3 * 2));
        let segments = len / 3 / SEGMENT;
        // A control record now and then, as when a member is told to acknowledge otherwise.
        assert!(
            counted.count_total < segments / 1000,
            "{receivers} receivers, group {by_group}: {segments} segments, {counted:?}"
        );
        assert!(world.spent.emit > Duration::ZERO);
    }
}
