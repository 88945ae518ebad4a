//! Copies that were broken off, by whatever it was: the next one goes on with what is there.

use super::trees::{ALLOW, daemons};
use crate::asked::asked;
use crate::copy::{Copy, copy};
use crate::daemon::Daemon;
use crate::judge;
use crate::network::{Lab, content, tree};
use crate::shell::{find, wait_for};
use crate::tree::Dice;
use sim::seed::Printed;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Length of the file.
const LEN: u64 = 32 << 20;
/// Length of the one that several hosts get, unless `RESUME_LEN` says another.
const SHARED: u64 = 256 << 20;
/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(120);
/// Of what is sent by the second copy to the file's length, at most: half of it was there.
const REST: f64 = 0.6;

/// Bytes of a host's copy that came in this session.
fn came(host: &serde_json::Value) -> u64 {
    host["bytes"].as_u64().unwrap()
}

/// mcp is killed when every host has half of the file: the next one sends the other half, once for all. Its length is
/// such that the bound holds also where no host says in the first second what it lacks: each gets a window of 6 MiB by
/// itself then, before the group goes on.
pub(super) fn a_killed_sender_is_gone_on_with() {
    let lab = Lab::bridge(3);
    let daemons = lab.daemons();
    let len = asked("RESUME_LEN", SHARED);
    let source = lab.source(len).display().to_string();
    // Some seconds for half of it, so that it is not over before it is seen.
    let rate = format!("{}M", (len >> 20) * 8 / 4);
    let to = [vec![source.clone()], lab.all()].concat();
    let running = Copy::start(&lab, &[vec!["--rate".to_owned(), rate], to.clone()].concat());
    wait_for("half of it has arrived", LIMIT, || (1..=3).all(|host| lab.bytes(host).1 > len / 2));
    running.kill();
    let done = copy(&lab, &to);
    done.assert_ok();
    let sent = done.sum("group_bytes_sent") + done.sum("unicast_bytes_sent");
    let share = sent as f64 / len as f64;
    eprintln!("the second copy sent {sent} of {len} bytes: {share:.3}");
    assert!(share <= REST, "{done:#?}");
    assert!(done.hosts.iter().all(|host| came(host) as f64 <= REST * len as f64), "{done:#?}");
    for daemon in &daemons {
        assert!(fs::read(daemon.root.join(format!("source-{len}"))).unwrap() == content(len));
        assert_eq!(tree(&daemon.root).len(), 1, "nothing is left beside it");
    }
}

/// The disk says that it is full in the middle; the next copy goes on with what it took.
pub(super) fn a_disk_that_was_full_is_gone_on_with() {
    let lab = Lab::bridge(1);
    let strace = find("strace").unwrap().display().to_string();
    let full = "inject=pwrite64:error=ENOSPC:when=20+";
    let by = [&strace[..], "-D", "-f", "-qq", "-o", "/dev/null", "-e", full];
    let root = lab.folder(1);
    let mut daemon = Daemon::start_by(&lab, 1, &root, &by);
    let to = [lab.source(LEN).display().to_string(), lab.v4(1)];
    let done = copy(&lab, &to);
    assert_eq!(done.code, Some(1), "{done:#?}");
    assert!(done.text(0, "reason").contains("No space left on device"), "{done:#?}");
    daemon.terminate();
    assert!(tree(&root).iter().any(|name| name.contains(".mcp-")), "what it took stays");
    let _daemon = Daemon::start(&lab, 1, &root);
    let done = copy(&lab, &to);
    done.assert_ok();
    assert!((1..LEN).contains(&came(&done.hosts[0])), "{done:#?}");
    assert_eq!(tree(&root), [format!("source-{LEN}")]);
    assert!(fs::read(root.join(format!("source-{LEN}"))).unwrap() == content(LEN));
}

/// A host's network is lost in the middle, until both sides have given up.
pub(super) fn a_network_that_was_lost_is_gone_on_with() {
    let lab = Lab::bridge(1);
    let daemon = Daemon::start(&lab, 1, &lab.folder(1));
    let to =
        ["--rate", "60M", &lab.source(LEN).display().to_string(), &lab.v4(1)].map(str::to_owned);
    let running = Copy::start(&lab, &to);
    wait_for("half of it has arrived", LIMIT, || lab.bytes(1).1 > LEN / 2);
    lab.nft(1, "add table inet cut");
    lab.nft(1, "add chain inet cut in { type filter hook prerouting priority 0 ; }");
    lab.nft(1, "add rule inet cut in udp dport 8737 drop");
    lab.nft(1, "add chain inet cut out { type filter hook output priority 0 ; }");
    lab.nft(1, "add rule inet cut out udp sport 8737 drop");
    let done = running.wait();
    assert_eq!(done.code, Some(1), "{done:#?}");
    assert!(done.text(0, "reason").contains("is gone"), "{done:#?}");
    wait_for("the receiver has given up", LIMIT, || daemon.log().contains("failed"));
    lab.nft(1, "delete table inet cut");
    let done = copy(&lab, &to[2..]);
    done.assert_ok();
    let share = came(&done.hosts[0]) as f64 / LEN as f64;
    assert!(share <= REST, "{done:#?}");
    assert!(fs::read(daemon.root.join(format!("source-{LEN}"))).unwrap() == content(LEN));
}

/// Files of a tree that has two states, and which state a copy of one of them has.
struct Versions {
    old: Vec<u8>,
    new: Vec<u8>,
}

impl Versions {
    const FILES: u64 = 60;

    fn name(number: u64) -> String {
        format!("folder{}/{number:03}", number % 3)
    }

    /// Of each length: short ones that are packed, and some of several blocks.
    fn of(number: u64) -> Self {
        let len = if number.is_multiple_of(10) { 3 << 20 } else { 20_000 + number };
        let mut dice = Dice(number);
        let (old, new) = (dice.bytes(len), dice.bytes(len));
        Self { old, new }
    }

    fn write(folder: &Path, pick: impl Fn(Self) -> Vec<u8>) {
        for number in 0..Self::FILES {
            let path = folder.join(Self::name(number));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, pick(Self::of(number))).unwrap();
        }
    }

    /// Every name is there, old or new and whole, and nothing else but what is to be gone on with: for a moment also
    /// what a session that has not heard yet of its sender's end was writing, or what the daemon that was killed was,
    /// until the next one has swept. How many are new.
    fn check(folder: &Path) -> u64 {
        let names: BTreeSet<String> = (0..Self::FILES).map(Self::name).collect();
        wait_for("nothing else is there but what is to be gone on with", LIMIT, || {
            let all = tree(folder).into_iter();
            let mut files = all.filter(|path| !folder.join(path).is_dir() && !names.contains(path));
            files.all(|path| is_left(&path))
        });
        let mut news = 0;
        for number in 0..Self::FILES {
            let there = fs::read(folder.join(Self::name(number))).unwrap();
            let Self { old, new } = Self::of(number);
            assert!(there == old || there == new, "{} is neither old nor new", Self::name(number));
            news += u64::from(there == new);
        }
        news
    }
}

/// Whether a path is that of a file that a later copy goes on with, or of its state.
fn is_left(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let inner = name.strip_prefix(".mcp-");
    inner.is_some_and(|inner| [".partial", ".state"].iter().any(|end| inner.ends_with(end)))
}

/// mcp, then a daemon, are killed at random moments while a tree is replaced by another state of it. `KILLS` says how
/// often each.
pub(super) fn kills_while_a_tree_is_replaced() {
    let lab = Lab::bridge(2);
    let source = lab.dir.path().join("source");
    let clock = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = sim::seed::asked().unwrap_or_else(|| u64::from(clock().subsec_nanos()));
    let _printed = Printed::new(seed, "cargo test -p netns-tests -- resume::kills_while");
    let mut dice = Dice(seed);
    let mut all = daemons(&lab, 2);
    let args = [vec!["-a".to_owned(), source.display().to_string()], lab.all()].concat();
    let slow = [vec!["--rate".to_owned(), "80M".to_owned()], args.clone()].concat();
    for round in 0..2 * asked("KILLS", 2) {
        Versions::write(&source, |both| both.old);
        copy(&lab, &args).assert_ok();
        Versions::write(&source, |both| both.new);
        let running = Copy::start(&lab, &slow);
        std::thread::sleep(Duration::from_millis(dice.below(2500))); // a random moment is what is tried
        if round % 2 == 0 {
            running.kill();
        } else {
            all[0].kill();
            let secret = lab.secret().display().to_string();
            let trust = ["--secret-file", &secret, ALLOW[0], ALLOW[1]];
            all[0] = Daemon::start_trusting(&lab, 1, &lab.folder(1), &[], &trust);
            running.kill();
        }
        let news = [1, 2].map(|host| Versions::check(&lab.folder(host).join("source")));
        eprintln!("round {round}: {news:?} of {} files are new", Versions::FILES);
        let done = copy(&lab, &args);
        done.assert_ok();
        for host in [1, 2] {
            let there = lab.folder(host).join("source");
            assert_eq!(Versions::check(&there), Versions::FILES);
            assert_eq!(judge::rsync(&source, &there), "");
            let debris: Vec<_> =
                tree(&lab.folder(host)).into_iter().filter(|name| name.contains(".mcp-")).collect();
            assert!(debris.is_empty(), "{debris:?}");
        }
    }
}

/// What each way to be durable asks of the disk.
pub(super) fn what_is_made_durable() {
    let lab = Lab::bridge(1);
    let folder = lab.dir.path().join("source");
    fs::create_dir(&folder).unwrap();
    (0..5).for_each(|n| fs::write(folder.join(format!("{n}")), "a file").unwrap());
    let (folder, file) = (folder.display().to_string(), lab.source(1000).display().to_string());
    let strace = find("strace").unwrap().display().to_string();
    let cases: [(&[&str], &str, bool, bool); 6] = [
        // Options, source; whether each file is waited for, and the whole file system.
        (&[], &file, true, false),
        (&[], &folder, false, true),
        (&["--sync", "file"], &folder, true, false),
        (&["--sync", "tree"], &file, false, true),
        (&["--sync", "none"], &folder, false, false),
        (&["--sync", "none"], &file, false, false),
    ];
    // What a daemon keeps between its runs is made and synced at its first start.
    Daemon::start(&lab, 1, &lab.folder(9)).terminate();
    for (number, (options, source, files, whole)) in cases.into_iter().enumerate() {
        let trace = lab.dir.path().join(format!("trace{number}")).display().to_string();
        let by =
            [&strace[..], "-D", "-f", "-qq", "-o", &trace, "-e", "trace=fsync,fdatasync,syncfs"];
        let mut daemon = Daemon::start_by(&lab, 1, &lab.folder(number + 10), &by);
        copy(&lab, &[options, &[source, &lab.v4(1)]].concat()).assert_ok();
        daemon.terminate();
        let calls = fs::read_to_string(&trace).unwrap();
        let count = |call: &str| calls.lines().filter(|line| line.contains(call)).count();
        let least = if source == folder { 5 } else { 1 };
        let synced = count("fsync(") + count("fdatasync(");
        assert_eq!(synced >= least, files, "{options:?} {source}: {calls}");
        assert_eq!(count("syncfs(") > 0, whole, "{options:?} {source}: {calls}");
    }
}
