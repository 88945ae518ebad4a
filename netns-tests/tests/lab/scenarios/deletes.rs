//! What the source does not have is deleted at hosts: what was to stay stays, whoever is killed meanwhile.

use super::trees::seeded;
use crate::asked::asked;
use crate::copy::{Copy, Done, copy};
use crate::daemon::Daemon;
use crate::judge;
use crate::network::Lab;
use crate::shell::{run, wait_for};
use crate::tree::{Dice, Tree};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// What senders may ask for here.
const ALLOW: [&str; 2] = ["--allow", "owner,setuid,delete"];
/// Files that stand at a host and not at the source, in folders that the source has and in one that it has not.
const EXTRAS: u64 = 6000;
/// Files that stay, and those that a rule protects.
const FILES: u64 = 200;
/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// Further kills, at most, until one falls into the deletion, should none have: that takes some hundredths of a second.
const MORE: u64 = 8;

/// How often somebody is killed: mcp and mcpd in turn. For each change of what is deleted, and when, it is to be tried
/// with `KILLS=20`.
fn kills() -> u64 {
    asked("KILLS", 2)
}

fn daemon(lab: &Lab, host: usize) -> Daemon {
    let secret = lab.secret().display().to_string();
    let trust = ["--secret-file", &secret, ALLOW[0], ALLOW[1]];
    Daemon::start_trusting(lab, host, &lab.folder(host), &[], &trust)
}

fn content(number: u64) -> Vec<u8> {
    Dice(number).bytes(500 + number)
}

/// What a host has too much, and what a rule keeps there.
fn litter(there: &Path) {
    fs::create_dir_all(there.join("old/deep")).unwrap();
    for number in 0..EXTRAS {
        let folder = ["a", "a/b", "old", "old/deep"][number as usize % 4];
        fs::write(there.join(folder).join(format!("extra{number:05}")), "").unwrap();
    }
    for number in 0..FILES {
        let folder = ["a", "old/deep"][number as usize % 2];
        let name = format!("f{number:05}.keep");
        fs::write(there.join(folder).join(name), content(number)).unwrap();
    }
    fs::write(there.parent().unwrap().join("beside"), "precious").unwrap();
}

/// Everything that is to be there is, whole; and how much there is of what is not to be.
fn check(there: &Path) -> u64 {
    for number in 0..FILES {
        let folder = ["a", "a/b"][number as usize % 2];
        let path = there.join(folder).join(format!("file{number}"));
        assert!(fs::read(&path).unwrap() == content(number), "{}", path.display());
        let folder = ["a", "old/deep"][number as usize % 2];
        let path = there.join(folder).join(format!("f{number:05}.keep"));
        assert!(fs::read(&path).unwrap() == content(number), "{}", path.display());
    }
    assert_eq!(fs::read(there.parent().unwrap().join("beside")).unwrap(), b"precious");
    extras(there)
}

fn extras(there: &Path) -> u64 {
    let count = |folder: &str| {
        let names = fs::read_dir(there.join(folder)).into_iter().flatten();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("extra")).count() as u64
    };
    ["a", "a/b", "old", "old/deep"].into_iter().map(count).sum()
}

/// A moment at which somebody is killed: some time after the beginning, or once so much is gone.
fn random_moment(dice: &mut Dice, there: &Path, whole: Duration) {
    if dice.below(2) == 0 {
        std::thread::sleep(Duration::from_millis(dice.below(whole.as_millis() as u64)));
        return;
    }
    let left = 1 + dice.below(EXTRAS);
    wait_for("so much is gone", LIMIT, || extras(there) <= left);
}

/// Half of it is gone. Nothing is waited for in between: it may be over before.
fn half_gone(there: &Path) {
    let begin = Instant::now();
    while extras(there) > EXTRAS / 2 {
        assert!(begin.elapsed() < LIMIT, "not within {LIMIT:?}: half of it is gone");
    }
}

pub(super) fn kills_while_it_is_deleted() {
    let lab = Lab::bridge(1);
    let source = lab.dir.path().join("source");
    let (seed, _printed) = seeded("deletes::kills_while_it_is_deleted");
    let mut dice = Dice(seed);
    eprintln!("seed {seed}");
    fs::create_dir_all(source.join("a/b")).unwrap();
    for number in 0..FILES {
        let folder = ["a", "a/b"][number as usize % 2];
        fs::write(source.join(folder).join(format!("file{number}")), content(number)).unwrap();
    }
    let mut daemon_1 = daemon(&lab, 1);
    let there = lab.folder(1).join("source");
    let (source_shown, host) = (source.display().to_string(), lab.v4(1));
    let args = ["-a", "--delete", "--max-delete", "10000", "--exclude", "*.keep"];
    let args: Vec<&str> = args.into_iter().chain([&*source_shown, &*host]).collect();
    copy(&lab, &args).assert_ok();
    litter(&there);
    let begin = Instant::now();
    let done = copy(&lab, &args);
    done.assert_ok();
    // `old` stays, for what is protected in it.
    assert_eq!(done.hosts[0]["deleted"], EXTRAS, "{done:#?}");
    let whole = begin.elapsed();
    let (mut midway, mut round) = (0, 0);
    while round < kills() || (midway == 0 && round < kills() + MORE) {
        litter(&there);
        let running = Copy::start(&lab, &args);
        if round == 0 || round >= kills() {
            half_gone(&there);
        } else {
            random_moment(&mut dice, &there, whole);
        }
        if round % 2 == 0 {
            running.kill();
        } else {
            daemon_1.kill();
            daemon_1 = daemon(&lab, 1);
            running.kill();
        }
        let left = check(&there);
        midway += u64::from((1..EXTRAS).contains(&left));
        eprintln!("round {round}: {left} of {EXTRAS} were left");
        let done = settled(&lab, &args);
        assert_eq!((check(&there), &done.hosts[0]["undeleted_entries"]), (0, &0.into()));
        round += 1;
    }
    eprintln!("{midway} of {round} kills fell into the deletion");
    assert!(midway > 0, "none of {round} kills fell into the deletion");
    // Of a folder that stays for what is protected in it rsync says again and again that it would delete it.
    let options = ["--delete", "--exclude=*.keep", "--exclude=/old/"];
    assert_eq!(judge::rsync_by(&source, &there, &options), "");
}

/// A copy that ends well; the session of one that was killed may still be deleting.
fn settled(lab: &Lab, args: &[&str]) -> Done {
    let done = copy(lab, args);
    done.assert_ok();
    done
}

/// A tree of everything replaces another one: rsync finds no difference.
pub(super) fn a_tree_takes_the_place_of_another() {
    let lab = Lab::bridge(2);
    let (seed, _printed) = seeded("deletes::a_tree_takes_the_place_of_another");
    let mut tree = Tree::new(lab.dir.path().join("tree"), seed);
    tree.grow();
    let daemons = [daemon(&lab, 1), daemon(&lab, 2)];
    let args = ["-a", "--delete", "--max-delete", "1000000", &tree.root.display().to_string()]
        .map(str::to_owned);
    let args = [args.to_vec(), lab.all()].concat();
    for daemon in &daemons {
        let there = daemon.root.join("tree");
        fs::create_dir_all(there.join("links/extra/deep")).unwrap();
        for number in 0..300 {
            let folder = there.join(["", "extra", "links", "many/0"][number % 4]);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("\n{number} \u{fc}")), "").unwrap();
        }
    }
    let done = copy(&lab, &args);
    done.assert_ok();
    for (daemon, host) in daemons.iter().zip(&done.hosts) {
        assert!(host["deleted"].as_u64().unwrap() > 300, "{host}");
        assert_eq!(judge::rsync(&tree.root, &daemon.root.join("tree")), "");
    }
}

/// A sender that stands still counts as gone after half a second; its session is ended before what it brought is
/// deleted, so that it cannot come back and say that all of it is there.
pub(super) fn a_sender_that_stood_still_is_not_told_that_all_is_there() {
    let lab = Lab::bridge(1);
    let daemon = daemon(&lab, 1);
    let (many, other) = (lab.dir.path().join("many"), lab.dir.path().join("other"));
    fs::create_dir(&many).unwrap();
    fs::create_dir(&other).unwrap();
    for number in 0..40 {
        fs::write(many.join(number.to_string()), Dice(number).bytes(512 << 10)).unwrap();
    }
    fs::write(other.join("file"), "text").unwrap();
    let to = format!("{}:there/", lab.v4(1));
    let first = Copy::start(&lab, &["-r", "--rate", "40M", &format!("{}/", many.display()), &to]);
    let there = daemon.root.join("there");
    wait_for("some files are there", LIMIT, || (0..40).any(|n| there.join(n.to_string()).exists()));
    let process = Pid::from_raw(first.id()).unwrap();
    kill_process(process, Signal::STOP).unwrap();
    let from = format!("{}/", other.display());
    wait_for("what the first has brought is deleted", LIMIT, || {
        settled(&lab, &["-r", "--delete", &from, &to]).hosts[0]["deleted"] != 0
    });
    kill_process(process, Signal::CONT).unwrap();
    let done = first.wait();
    assert_eq!(done.code, Some(1), "{done:#?}");
    assert!(done.text(0, "reason").contains("deletes what is not in its own list"), "{done:#?}");
    assert!(there.join("file").exists());
}

/// What is mounted in a folder that is to go stays, and is told by name.
pub(super) fn nothing_goes_where_something_is_mounted() {
    let lab = Lab::bridge(1);
    let source = lab.dir.path().join("source");
    fs::create_dir_all(source.join("a")).unwrap();
    let there = lab.folder(1).join("source");
    let elsewhere = lab.dir.path().join("elsewhere");
    fs::create_dir_all(source.join("both")).unwrap();
    for folder in ["gone/tmpfs", "gone/bound", "a/mounted", "both"] {
        fs::create_dir_all(there.join(folder)).unwrap();
    }
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("file"), "precious").unwrap();
    fs::write(there.join("gone/file"), "").unwrap();
    let mounted = ["gone/tmpfs", "gone/bound", "a/mounted", "both"].map(|path| there.join(path));
    run(&format!("mount -t tmpfs tmpfs {}", mounted[0].display()));
    // Of the same file system: its number tells nothing.
    run(&format!("mount --bind {} {}", elsewhere.display(), mounted[1].display()));
    run(&format!("mount --bind {} {}", elsewhere.display(), mounted[2].display()));
    run(&format!("mount -t tmpfs tmpfs {}", mounted[3].display()));
    for folder in [0, 3] {
        fs::write(mounted[folder].join("file"), "precious").unwrap();
    }
    let daemon = daemon(&lab, 1);
    let source = source.display().to_string();
    let done = copy(&lab, &["-a", "--delete", "--one-file-system", &source, &lab.v4(1)]);
    assert_eq!(done.code, Some(3), "{done:#?}");
    let undeleted = done.hosts[0]["undeleted"].as_array().unwrap();
    let names: Vec<&str> = undeleted.iter().map(|entry| entry["entry"].as_str().unwrap()).collect();
    assert_eq!(names, ["source/a/mounted", "source/gone/bound", "source/gone/tmpfs"]);
    for entry in undeleted {
        assert_eq!(entry["reason"], "another file system is mounted there");
    }
    assert_eq!(
        (&done.hosts[0]["deleted"], &done.hosts[0]["failed_entries"]),
        (&1.into(), &0.into())
    );
    assert!(!there.join("gone/file").exists(), "the others go");
    for path in &mounted {
        assert_eq!(fs::read(path.join("file")).unwrap(), b"precious");
    }
    // A folder that is at the source is looked into, whatever it is there, unless that is said.
    let done = copy(&lab, &["-a", "--delete", &source, &lab.v4(1)]);
    assert_eq!(done.hosts[0]["deleted"], 1, "{done:#?}");
    assert!(!mounted[3].join("file").exists());
    drop(daemon);
    for path in &mounted {
        run(&format!("umount {}", path.display()));
    }
}
