//! Mirror jobs: whatever happens to hosts and to the sender, each receiver gets the tree, and gets it once.

use super::trees::seeded;
use crate::asked::asked;
use crate::daemon::Daemon;
use crate::judge;
use crate::mirror::{Done, Mirror, Running};
use crate::network::{Lab, tree as names};
use crate::shell::wait_for;
use crate::tree::Tree;
use core::ops::RangeInclusive;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;

/// Receivers of most jobs here.
const RECEIVERS: usize = 12;
/// Files and MiB of the tree that reaches all, unless `MIRROR_FILES` and `MIRROR_MIB` say others.
const FILES: u64 = 600;
const TREE_MIB: u64 = 60;
/// What a small file has on average ([`Tree::many`]).
const SMALL: u64 = 8 * KIB;
/// Of what leaves the sender to the tree's bytes, at most.
const SHARE: f64 = 1.10;

/// Receivers that are off when a job begins.
const NEVER_STARTED: usize = 3;
/// A host that does not know its master begins to get what it lacks within so long.
const TRIED: Duration = Duration::from_secs(10);
/// And one that does.
const HELLO: Duration = Duration::from_secs(5);
/// Bytes of the file that is added to the tree.
const ADDED: u64 = 8 * MIB;
/// A small file that is there, and is changed.
const ANEW: &str = "many/0/file 7";
/// Of what leaves the sender to a file's bytes, at most, if two hosts get it at once.
const SHARED: f64 = 1.5;

/// How often the sender is killed, and a receiver, unless `KILLS` says another number.
const KILLS: u64 = 6;
/// Receivers of that job.
const KILLED_RECEIVERS: usize = 4;
/// Bytes and files by which its tree grows before each kill.
const BATCH: u64 = 4 * MIB;
const BATCH_FILES: u64 = 20;

/// No job here takes longer.
pub(super) const LIMIT: Duration = Duration::from_secs(120);

/// Starts a daemon of which masters may ask everything that is kept.
pub(super) fn daemon(lab: &Lab, host: usize) -> Daemon {
    daemon_with(lab, host, &[])
}

/// Likewise, with further options.
pub(super) fn daemon_with(lab: &Lab, host: usize, options: &[&str]) -> Daemon {
    let secret = lab.secret().display().to_string();
    let mut trust = vec!["--secret-file", &secret, "--allow", "owner,setuid,device,delete"];
    trust.extend(options);
    Daemon::start_trusting(lab, host, &lab.folder(host), &[], &trust)
}

/// Where a host has its copy.
fn copy(lab: &Lab, host: usize, tree: &Path) -> PathBuf {
    lab.folder(host).join(tree.file_name().unwrap())
}

/// Each of these hosts has the tree.
pub(super) fn assert_has(lab: &Lab, hosts: impl IntoIterator<Item = usize>, tree: &Path) {
    for host in hosts {
        let copy = copy(lab, host, tree);
        let differs = judge::rsync_by(tree, &copy, &["--delete", "-A", "-X"]);
        assert_eq!(differs, "", "{}", copy.display());
    }
}

/// And nothing else.
pub(super) fn assert_equal(lab: &Lab, hosts: impl IntoIterator<Item = usize>, tree: &Path) {
    for host in hosts {
        assert_has(lab, [host], tree);
        let beside: Vec<_> = fs::read_dir(lab.folder(host)).unwrap().collect();
        assert_eq!(beside.len(), 1, "{beside:?}");
    }
}

/// Files of a tree with their bytes, of those with several names one.
pub(super) fn amount(tree: &Path) -> (usize, u64) {
    let files: BTreeMap<u64, u64> = names(tree)
        .iter()
        .map(|name| fs::symlink_metadata(tree.join(name)).unwrap())
        .filter(fs::Metadata::is_file)
        .map(|meta| (meta.ino(), meta.len()))
        .collect();
    (files.len(), files.values().sum())
}

/// A tree of so many files and about so many bytes, with all that `mcp -aAX` keeps.
pub(super) fn grow(root: PathBuf, seed: u64, (files, bytes): (u64, u64)) -> Tree {
    let mut tree = Tree::new(root, seed);
    // One in twenty is large: most of the bytes are theirs.
    let large = files.div_ceil(20);
    tree.many(files - large);
    fs::create_dir(tree.at("large")).unwrap();
    let mean = bytes.saturating_sub((files - large) * SMALL) / large;
    for number in 0..large {
        let len = mean / 2 + tree.dice.below(mean);
        tree.file(format!("large/{number}"), len);
    }
    for number in 0..20.min(large) {
        fs::hard_link(tree.at(format!("large/{number}")), tree.at(format!("again {number}")))
            .unwrap();
        symlink(format!("large/{number}"), tree.at(format!("to {number}"))).unwrap();
    }
    tree.with_attributes();
    tree
}

/// By group: whatever the number of receivers, the tree leaves the sender once.
pub(super) fn a_tree_reaches_all() {
    let lab = Lab::bridge(RECEIVERS);
    let _daemons: Vec<Daemon> = (1..=RECEIVERS).map(|host| daemon(&lab, host)).collect();
    let (seed, _printed) = seeded("mirrors::a_tree_reaches_all");
    let size = (asked("MIRROR_FILES", FILES), asked("MIRROR_MIB", TREE_MIB) * MIB);
    let tree = grow(lab.dir.path().join("tree"), seed, size);
    let (files, bytes) = amount(&tree.root);
    let before = lab.bytes(0).0;
    let (mirror, mut running) = Mirror::send(&lab, &tree.root, &["--rate", "200M"]);
    let ended = running.wait_complete(LIMIT);
    let share = (lab.bytes(0).0 - before) as f64 / bytes as f64;
    eprintln!("{files} files, {bytes} bytes in {:?}: {share:.3} times the tree sent", ended.took);
    assert!(share <= SHARE, "{share} times the tree's {bytes} bytes: {ended:#?}");
    assert_equal(&lab, 1..=RECEIVERS, &tree.root);
    let status = mirror.status().unwrap();
    assert_eq!((&status["state"], &status["complete"]), (&"complete".into(), &RECEIVERS.into()));
}

/// What stands at a host: of each file which one it is, and its time.
fn stands(lab: &Lab, host: usize) -> BTreeMap<String, (u64, SystemTime)> {
    let folder = lab.folder(host);
    let of = |name: String| {
        let meta = fs::symlink_metadata(folder.join(&name)).unwrap();
        (!meta.is_dir()).then(|| (name, (meta.ino(), meta.modified().unwrap())))
    };
    names(&folder).into_iter().filter_map(of).collect()
}

/// Waits until so many hosts have everything, and the job is open still.
fn wait_complete(mirror: &Mirror<'_>, hosts: usize) {
    let what = format!("{hosts} hosts have everything");
    let status = mirror.wait_for(&what, LIMIT, |status| status["complete"] == hosts);
    assert_eq!(status["state"], "open", "{status}");
}

/// A host whose daemon was started at `begin` begins to receive a file of this name within `limit`.
fn assert_begins(lab: &Lab, host: usize, name: &str, (begin, limit): (Instant, Duration)) {
    // While it is on its way its name is another one, with this in it.
    let folder = lab.folder(host);
    wait_for("it begins to receive", limit.saturating_sub(begin.elapsed()), || {
        names(&folder).iter().any(|below| below.contains(name))
    });
    eprintln!("host {host} begins {:?} after its start", begin.elapsed());
}

/// Starts hosts that were never there, so that they do not know the master: it tries them.
fn start_new(
    (lab, mirror): (&Lab, &Mirror<'_>),
    running: &mut Running,
    hosts: RangeInclusive<usize>,
) -> Vec<Daemon> {
    let start = |host| {
        wait_complete(mirror, host - 1);
        assert!(!running.is_over());
        let begin = Instant::now();
        let daemon = daemon(lab, host);
        assert_begins(lab, host, "tree", (begin, TRIED));
        daemon
    };
    hosts.map(start).collect()
}

/// Two that know their master say hello when they are back, and share what they lack.
fn two_come_back(lab: &Lab, mirror: &Mirror<'_>, daemons: &mut [Daemon], away: [usize; 2]) {
    wait_complete(mirror, RECEIVERS - away.len() - 1);
    let (before, sent) = (away.map(|host| stands(lab, host)), lab.bytes(0).0);
    let begin = Instant::now();
    for host in away {
        daemons[host - 1] = daemon(lab, host);
    }
    for host in away {
        assert_begins(lab, host, "added", (begin, HELLO));
    }
    wait_complete(mirror, RECEIVERS - 1);
    let share = (lab.bytes(0).0 - sent) as f64 / ADDED as f64;
    eprintln!("{share:.3} times the file sent to both");
    assert!(share <= SHARED, "{share} times the file: it was not sent to both at once");
    for (host, before) in away.into_iter().zip(before) {
        let mut now = stands(lab, host);
        now.retain(|name, stands| before.get(name) != Some(stands));
        let new: Vec<String> = now.into_keys().collect();
        assert_eq!(new, ["tree/added".to_owned(), format!("tree/{ANEW}")], "host {host}");
    }
}

pub(super) fn who_is_off_gets_it_later() {
    let lab = Lab::bridge(RECEIVERS);
    let on = RECEIVERS - NEVER_STARTED;
    let mut daemons: Vec<Daemon> = (1..=on).map(|host| daemon(&lab, host)).collect();
    let (seed, _printed) = seeded("mirrors::who_is_off_gets_it_later");
    let mut tree = grow(lab.dir.path().join("tree"), seed, (100, 8 * MIB));
    let (mirror, mut running) = Mirror::send(&lab, &tree.root, &["--rate", "200M"]);
    daemons.extend(start_new((&lab, &mirror), &mut running, on + 1..=RECEIVERS - 1));
    wait_complete(&mirror, RECEIVERS - 1);

    mirror.pause();
    running.kill();
    // One that is written anew where it stands leaves its folder's time as it was.
    for (name, len) in [("added", ADDED), (ANEW, 5000)] {
        let file = tree.file(name, len);
        tree.set_time(&file);
    }
    let away = [3, RECEIVERS - 1]; // the second one was off before
    for host in away {
        daemons[host - 1].kill();
    }
    mirror.resume();
    let mut running = mirror.run();
    two_come_back(&lab, &mirror, &mut daemons, away);

    daemons.extend(start_new((&lab, &mirror), &mut running, RECEIVERS..=RECEIVERS));
    running.wait_complete(LIMIT);
    assert_equal(&lab, 1..=RECEIVERS, &tree.root);
}

/// A job whose processes are killed, and what is known of it.
struct Killed<'a> {
    lab: &'a Lab,
    mirror: Mirror<'a>,
    running: Running,
    tree: Tree,
    daemons: Vec<Daemon>,
    /// What the ledger has had as done.
    done: BTreeSet<Done>,
    /// Of each of those which file it is, and its time.
    stood: BTreeMap<Done, (u64, SystemTime)>,
}

impl<'a> Killed<'a> {
    fn new(lab: &'a Lab, seed: u64) -> Self {
        let daemons: Vec<Daemon> = (1..=KILLED_RECEIVERS).map(|host| daemon(lab, host)).collect();
        let tree = grow(lab.dir.path().join("tree"), seed, (100, BATCH));
        let (mirror, running) = Mirror::send(lab, &tree.root, &["--rate", "50M"]);
        let (done, stood) = (BTreeSet::new(), BTreeMap::new());
        Self { lab, mirror, running, tree, daemons, done, stood }
    }

    /// There is more to be sent, which gives folders other times: of what was there nothing changes but that of the
    /// root.
    fn add(&mut self, number: u64) {
        let folder = self.tree.at(format!("batch {number}"));
        fs::create_dir(&folder).unwrap();
        for n in 0..BATCH_FILES {
            let len = BATCH / BATCH_FILES / 2 + self.tree.dice.below(BATCH / BATCH_FILES);
            let file = self.tree.file(folder.join(format!("file {n}")), len);
            self.tree.set_time(&file);
        }
        if self.running.is_over() {
            // It was complete before; its receivers know that it is over.
            self.mirror.resume();
            self.go_on();
        }
    }

    fn go_on(&mut self) {
        self.running = self.mirror.run();
    }

    /// Every third time or so all get what there is by then.
    fn wait_complete_at_times(&mut self) {
        if self.tree.dice.below(3) == 0 {
            wait_for("the job ends", LIMIT, || self.running.is_over());
        }
    }

    /// At a moment that is drawn: when so many bytes have left the sender, or the job has ended.
    fn wait_moment(&mut self) {
        let (from, bytes) = (self.lab.bytes(0).0, self.tree.dice.below(BATCH * 5 / 4));
        wait_for("some bytes are sent", LIMIT, || {
            self.running.is_over() || self.lab.bytes(0).0 >= from + bytes
        });
    }

    /// What was done is, and no file of it was replaced.
    fn assert_stays(&mut self) {
        let now = self.mirror.done();
        let files = |path: &Path| !self.tree.at(path).is_dir();
        let lost: Vec<_> = self.done.iter().filter(|done| !now.contains(done)).collect();
        assert!(lost.is_empty(), "was done, and is not: {lost:?}");
        self.done.extend(now.into_iter().filter(|(_, path)| files(path)));
        let hosts: BTreeMap<String, usize> =
            (1..).zip(self.lab.all()).map(|(n, name)| (name, n)).collect();
        for done in &self.done {
            let (host, path) = done;
            let copy = copy(self.lab, hosts[host], &self.tree.root);
            let meta = fs::symlink_metadata(copy.join(path))
                .unwrap_or_else(|e| panic!("{done:?} is done: {e}"));
            let stands = (meta.ino(), meta.modified().unwrap());
            let stood = self.stood.entry(done.clone()).or_insert(stands);
            assert_eq!(*stood, stands, "{done:?} was done, and was replaced");
        }
    }
}

/// The sender and receivers, in an order and at moments that are drawn, while the tree grows.
pub(super) fn killed_again_and_again() {
    let lab = Lab::bridge(KILLED_RECEIVERS);
    let (seed, _printed) = seeded("mirrors::killed_again_and_again");
    eprintln!("seed {seed}");
    let (begin, mut job) = (Instant::now(), Killed::new(&lab, seed));
    let kills = asked("KILLS", KILLS);
    let (mut senders, mut receivers) = (kills, kills);
    for number in 0..2 * kills {
        job.wait_complete_at_times();
        job.add(number);
        job.wait_moment();
        if job.tree.dice.below(senders + receivers) < senders {
            senders -= 1;
            job.running.kill();
            job.assert_stays();
            job.go_on();
        } else {
            receivers -= 1;
            let host = job.tree.dice.below(KILLED_RECEIVERS as u64) as usize;
            job.daemons[host].kill();
            job.assert_stays();
            job.daemons[host] = daemon(&lab, host + 1);
        }
        eprintln!("kill {number} at {:?}: {} entries done so far", begin.elapsed(), job.done.len());
    }
    job.running.wait_complete(LIMIT);
    job.assert_stays();
    // A receiver finds out by silence that a sender is gone, and then removes what it has begun.
    wait_for("nothing is left of what was broken off", LIMIT, || {
        let is_left = |name: &String| name.contains("/.mcp-");
        (1..=KILLED_RECEIVERS).all(|host| !names(&lab.folder(host)).iter().any(is_left))
    });
    assert_eq!(job.mirror.status().unwrap()["state"], "complete");
    assert_equal(&lab, 1..=KILLED_RECEIVERS, &job.tree.root);
}
