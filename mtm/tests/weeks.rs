//! Weeks of a job in virtual time: the ledger, the plan and the schedule, with hosts that come and go, disks that fill
//! and are cleared, installations that are lost, and a tree that changes meanwhile. `MTM_SEED=n` replays one.

use mtm::ledger::{Found, Job, Kind, Ledger, Outcome, ReceiverId};
use mtm::outcome;
use mtm::plan::{self, Wanted};
use mtm::schedule::Schedule;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_secs(3600);
const WEEKS: Duration = Duration::from_secs(3 * 7 * 24 * 3600);
const HOSTS: u32 = 5;

/// `SplitMix64` (Steele, Lea and Flood, 2014).
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// A tree: which version of its content each name has.
type Tree = BTreeMap<String, i64>;

/// A receiver as it really is.
#[derive(Debug, Default)]
struct Host {
    on: bool,
    full: bool,
    installation: u8,
    has: Tree,
    knows_its_master: bool,
}

struct World {
    ledger: Ledger,
    schedule: Schedule,
    tree: Tree,
    hosts: BTreeMap<ReceiverId, Host>,
    /// The tree in each revision that a look has found.
    revisions: BTreeMap<u32, Tree>,
    /// What was sent to whom: nothing twice to the same installation.
    sent: BTreeSet<(ReceiverId, u8, String, i64)>,
    tries: u64,
    /// Each content that a file gets is another one.
    versions: i64,
    rng: Rng,
}

fn found(name: &str, version: i64) -> Found {
    Found {
        path: name.into(),
        kind: Kind::File,
        size: 1000,
        mtime: version,
        ctime: version,
        mode: 0o644,
        uid: 0,
        gid: 0,
        node: (1, 1),
        mount: None,
    }
}

impl World {
    fn new(path: &std::path::Path, seed: u64, now: Instant) -> Self {
        let job = Job {
            id: [1; 16],
            name: "lectures".to_owned(),
            description: String::new(),
            source: "/srv".into(),
            root: (1, 2),
            created: 0,
            options: String::new(),
        };
        let mut ledger = Ledger::create(path, &job).unwrap();
        let mut hosts = BTreeMap::new();
        for n in 0..HOSTS {
            let id = ledger.add_receiver(&format!("host{n}")).unwrap();
            hosts.insert(id, Host { on: n % 2 == 0, installation: 1, ..Host::default() });
        }
        let mut schedule = Schedule::default();
        schedule.set(&hosts.keys().map(|id| (*id, Duration::ZERO)).collect::<Vec<_>>(), now);
        let tree = (0..20).map(|n| (format!("file{n:02}"), 1)).collect();
        let (revisions, sent, rng) = (BTreeMap::new(), BTreeSet::new(), Rng(seed));
        Self { ledger, schedule, tree, hosts, revisions, sent, tries: 0, versions: 1, rng }
    }

    fn look(&mut self, now: Instant) {
        let change = self.ledger.look(self.tree.iter().map(|(name, at)| found(name, *at))).unwrap();
        self.ledger.forget_gone(true).unwrap();
        if !change.is_none() {
            self.revisions.insert(self.ledger.revision(), self.tree.clone());
            self.schedule.wake(now);
        }
    }

    /// Something happens to a host, or to the tree.
    fn happens(&mut self, now: Instant) {
        let id = *self.hosts.keys().nth(self.rng.below(u64::from(HOSTS)) as usize).unwrap();
        let (what, name) = (self.rng.below(10), format!("file{:02}", self.rng.below(25)));
        let host = self.hosts.get_mut(&id).unwrap();
        match what {
            0..5 => self.turn(id, !self.hosts[&id].on, now),
            5 => host.full = true,
            6 => host.full = false,
            7 => {
                // Reinstalled: it has nothing, and does not know its master.
                *host =
                    Host { on: host.on, installation: host.installation + 1, ..Host::default() };
            }
            8 => {
                self.versions += 1;
                self.tree.insert(name, self.versions);
            }
            _ => drop(self.tree.remove(&name)),
        }
    }

    fn turn(&mut self, id: ReceiverId, on: bool, now: Instant) {
        let host = self.hosts.get_mut(&id).unwrap();
        host.on = on;
        if on && host.knows_its_master {
            self.schedule.hello(id, now);
        }
    }

    /// A round of all that are due; when it is over.
    fn round(&mut self, now: Instant) -> Instant {
        let mut over = now;
        for class in self.schedule.due(now) {
            self.look(now);
            let wanted: Vec<Wanted> = class
                .iter()
                .map(|id| Wanted {
                    receiver: *id,
                    lacks: self.ledger.lacking(*id).into(),
                    rate: None,
                })
                .collect();
            for one in wanted.iter().filter(|one| one.lacks.is_empty()) {
                self.schedule.has_all(one.receiver);
            }
            for session in plan::sessions(&wanted, |_| 1000) {
                let end = now + Duration::from_secs(1 + self.rng.below(60));
                for id in &session.receivers {
                    self.schedule.begin(*id);
                    self.tries += 1;
                    self.serve(*id, &session.entries, (now, end));
                }
                over = over.max(end);
            }
        }
        over
    }

    /// A session with one receiver.
    fn serve(&mut self, id: ReceiverId, entries: &[u32], (now, end): (Instant, Instant)) {
        let draw = self.rng.below(1000) as f64 / 1000.0;
        let host = self.hosts.get_mut(&id).unwrap();
        if !host.on {
            self.schedule.failed(id, (now, end), draw);
            return;
        }
        host.knows_its_master = true;
        let instance = [host.installation; 16];
        let anew = self.ledger.meet(id, instance).unwrap();
        let all = self.ledger.entries().unwrap();
        let mut failed = BTreeMap::new();
        for entry in all.iter().filter(|entry| entries.binary_search(&entry.number).is_ok()) {
            let name = entry.found.path.to_str().unwrap().to_owned();
            if entry.gone {
                host.has.remove(&name);
            } else if host.full && entry.number % 3 == 0 {
                failed.insert(entry.number, "no room".to_owned());
            } else if host.has.get(&name) != Some(&entry.found.mtime) {
                let what = (id, host.installation, name.clone(), entry.found.mtime);
                assert!(self.sent.insert(what), "{name} was sent twice to the same installation");
                host.has.insert(name, entry.found.mtime);
            }
        }
        let revision = self.ledger.revision();
        let outcomes = outcome::of_session(entries, &failed, true);
        assert!(outcomes.iter().all(|(_, outcome)| *outcome != Outcome::Lost));
        self.ledger.note((id, instance), revision, &outcomes).unwrap();
        if !failed.is_empty() {
            self.schedule.failed(id, (now, end), draw);
        } else if anew || !self.ledger.lacking(id).is_empty() {
            self.schedule.goes_on(id, end);
        } else {
            self.ledger.note_complete((id, instance), revision).unwrap();
            self.schedule.has_all(id);
        }
    }

    /// Asks all hosts which installation they are, as a job does before it ends; whether all are those of the ledger.
    fn is_confirmed(&mut self, now: Instant) -> bool {
        let mut same = true;
        for (id, host) in self.hosts.iter().filter(|(_, host)| host.on) {
            same &= !self.ledger.meet(*id, [host.installation; 16]).unwrap();
        }
        self.schedule.wake(now);
        same
    }

    /// The ledger says of no host what is not so.
    fn check(&self) {
        for receiver in self.ledger.receivers().unwrap() {
            let host = &self.hosts[&receiver.id];
            if receiver.instance != Some([host.installation; 16]) || receiver.complete == 0 {
                continue;
            }
            let lacks = self.ledger.lacking(receiver.id);
            for entry in self.ledger.entries().unwrap() {
                let name = entry.found.path.to_str().unwrap();
                let is_there = host.has.get(name) == Some(&entry.found.mtime);
                let is_so = if entry.gone { !host.has.contains_key(name) } else { is_there };
                assert!(is_so || lacks.contains(&entry.number), "{receiver:?}: {name}");
            }
        }
    }
}

fn weeks(seed: u64) {
    // Weeks of syncing take their time on a disk.
    let memory = tempfile::tempdir_in("/dev/shm");
    let dir = memory.unwrap_or_else(|_| tempfile::tempdir().unwrap());
    let begin = Instant::now();
    let mut world = World::new(&dir.path().join("job"), seed, begin);
    let (mut now, mut event) = (begin, begin + HOUR);
    while now < begin + WEEKS {
        let next = world.schedule.next().unwrap_or(event).min(event).max(now);
        if next >= event {
            now = event;
            world.happens(now);
            event = now + HOUR.mul_f64(0.2 + world.rng.below(100) as f64 / 20.0);
            world.schedule.wake(now); // as the last look of a job does, before it is complete
        } else {
            now = next;
            now = world.round(now).max(now);
            world.check();
        }
    }
    // In the end all are there, with room, and nothing changes any more.
    for id in world.hosts.keys().copied().collect::<Vec<_>>() {
        world.hosts.get_mut(&id).unwrap().full = false;
        world.turn(id, true, now);
    }
    world.schedule.wake(now);
    let until = now + HOUR;
    loop {
        while let Some(next) = world.schedule.next().filter(|next| *next < until) {
            now = world.round(next.max(now));
        }
        if world.is_confirmed(now) {
            break;
        }
    }
    world.check();
    for receiver in world.ledger.receivers().unwrap() {
        assert_eq!(world.hosts[&receiver.id].has, world.tree, "{receiver:?}");
        assert_eq!(receiver.complete, world.ledger.revision());
        assert_eq!(world.revisions[&receiver.complete], world.tree);
    }
    // A host that is off all the time is tried some 300 times a day.
    assert!(world.tries < 300 * 21 * u64::from(HOSTS), "{} tries", world.tries);
}

#[test]
fn whatever_happens_for_weeks_all_hosts_have_the_tree_in_the_end() {
    if let Some(seed) = std::env::var("MTM_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return weeks(seed);
    }
    for seed in 1..=4 {
        println!("MTM_SEED={seed}");
        weeks(seed);
    }
}
