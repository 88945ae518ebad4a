//! Weeks of a job in virtual time: the ledger, the plan, the schedule and the announcements of a master, and what its
//! hosts know of it. Hosts come and go, disks fill and are cleared, installations are lost, the master is killed, the
//! tree changes while it is sent, the job's file is restored from a copy, no announcement arrives for hours, and all
//! clocks are wrong and jump. All the time the ledger says which version each host has, once it has heard it after it was
//! restored. `MTM_SEED=n` replays one.

mod draw;
mod host;
mod master;
mod world;

use std::time::{Duration, Instant};
use world::World;

const HOUR: Duration = Duration::from_secs(3600);
const WEEKS: Duration = Duration::from_secs(3 * 7 * 24 * 3600);
const JOB: [u8; 16] = [1; 16];

fn weeks(seed: u64) {
    println!("MTM_SEED={seed}");
    // Weeks of syncing take their time on a disk.
    let memory = tempfile::tempdir_in("/dev/shm");
    let dir = memory.unwrap_or_else(|_| tempfile::tempdir().unwrap());
    let begin = Instant::now();
    let mut world = World::new(dir.path(), seed, begin);
    world.run(begin + WEEKS);
    world.calm(begin + WEEKS);
    world.run(begin + WEEKS + HOUR * 2);
    world.check_end();
}

#[test]
fn whatever_happens_for_weeks_all_hosts_have_the_tree_in_the_end() {
    if let Some(seed) = std::env::var("MTM_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return weeks(seed);
    }
    (1..=3).for_each(weeks);
}
