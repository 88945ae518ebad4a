//! Several masters and jobs that send to the same receivers at the same time, each at its own rate.

use super::mirrors::{LIMIT, MIB, amount, assert_has, daemon, grow};
use super::trees::seeded;
use crate::daemon::Daemon;
use crate::mirror::Mirror;
use crate::network::Lab;
use crate::shell::wait_for;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Receivers of all jobs: hosts 1 and up. The second master is the host behind them.
const RECEIVERS: usize = 2;
const OTHER: usize = RECEIVERS + 1;
/// What each job sends: its master, its name, its rate in Mbit/s, MiB of its tree.
const JOBS: [(usize, &str, u64, u64); 3] =
    [(0, "slow", 8, 6), (0, "fast", 16, 12), (OTHER, "other", 12, 9)];
const FILES: u64 = 200;
/// What a frame has beside the stream's bytes, as a share of them: a full segment has 1420 of 1514 bytes, and files
/// have names and attributes.
const FRAMED: f64 = 1.10;
/// A job ends within so much of the time that its tree takes at its rate, and some seconds for the looks at the tree and
/// at the hosts on a machine that is busy otherwise: one after another the jobs would take longer.
const LATEST: f64 = 1.25;
const LOOKS: Duration = Duration::from_secs(8);
/// Each look at the jobs' states starts three programs.
const LOOK: Duration = Duration::from_millis(200);

/// A job that runs, and when it was complete.
struct Job<'a> {
    mirror: Mirror<'a>,
    rate: u64,
    complete: Option<Duration>,
}

impl Job<'_> {
    /// Bits of its tree.
    fn bits(&self) -> f64 {
        amount(&self.mirror.tree).1 as f64 * 8.0
    }

    /// What it sent a second on average, in Mbit/s of the tree's bytes.
    fn pace(&self) -> f64 {
        self.bits() / self.complete.unwrap().as_secs_f64() / 1e6
    }

    /// Notes when it is complete.
    fn look(&mut self, begin: Instant) -> bool {
        if self.complete.is_none() {
            let complete = self.mirror.status().is_some_and(|status| status["state"] == "complete");
            self.complete = complete.then(|| begin.elapsed());
        }
        self.complete.is_some()
    }
}

/// Two jobs of one master in one process, and one of another master, to the same receivers.
pub(super) fn each_keeps_its_rate() {
    let lab = Lab::bridge(RECEIVERS + 1);
    let _daemons: Vec<Daemon> = (1..=RECEIVERS).map(|host| daemon(&lab, host)).collect();
    let (seed, _printed) = seeded("masters::each_keeps_its_rate");
    let hosts = &lab.all()[..RECEIVERS];
    let give = |(master, name, rate, mib): (usize, &str, u64, u64)| {
        let tree = grow(lab.dir.path().join(name), seed ^ rate, (FILES, mib * MIB));
        let options = ["--detach", "--rate", &format!("{rate}M")];
        let (mirror, mut given) =
            Mirror::send_from((&lab, master), name, hosts, &tree.root, &options);
        given.wait_complete(LIMIT);
        Job { mirror, rate, complete: None }
    };
    let mut jobs = JOBS.map(give);
    let before = [0, OTHER].map(|host| lab.bytes(host).0);
    let begin = Instant::now();
    // They carry on what is open there until they are killed, which is when this ends.
    let _running = [jobs[0].mirror.run_all(), jobs[2].mirror.run_all()];
    wait_for("all jobs are complete", LIMIT, || {
        sleep(LOOK);
        jobs.iter_mut().filter_map(|job| job.look(begin).then_some(())).count() == JOBS.len()
    });
    let sent = [0, OTHER].map(|host| lab.bytes(host).0);
    for job in &jobs {
        let (tree, bits, took) = (job.mirror.tree.display(), job.bits(), job.complete.unwrap());
        eprintln!("{tree}: {:.1} Mbit/s of {}, {took:.1?}", job.pace(), job.rate);
        assert!(job.pace() <= job.rate as f64, "{tree} is sent faster than it may");
        let alone = bits * FRAMED / (job.rate * 1_000_000) as f64;
        let latest = Duration::from_secs_f64(alone * LATEST) + LOOKS;
        assert!(took <= latest, "{tree} took {took:?} of {latest:?}");
        assert_has(&lab, 1..=RECEIVERS, &job.mirror.tree);
    }
    // By group: whatever the number of receivers, each tree leaves its master once.
    let trees = [jobs[0].bits() + jobs[1].bits(), jobs[2].bits()];
    for (number, bits) in trees.into_iter().enumerate() {
        let share = (sent[number] - before[number]) as f64 * 8.0 / bits;
        eprintln!("a master sent {share:.3} times its trees");
        assert!(share <= FRAMED, "{share} times the trees");
    }
}
