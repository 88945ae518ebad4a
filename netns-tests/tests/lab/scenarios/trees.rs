//! Trees of folders, copied by the programs and judged by others: rsync, and the file system.

use crate::asked::asked;
use crate::copy::{Copy, Done};
use crate::daemon::{Daemon, memory_kib};
use crate::judge;
use crate::network::Lab;
use crate::shell::run;
use crate::tree::{Dice, Tree};
use core::ops::Range;
use sim::seed::Printed;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What is asked for by `-a` and needs a daemon's leave.
pub(super) const ALLOW: [&str; 2] = ["--allow", "owner,setuid"];
/// Receivers of most trees here.
const RECEIVERS: usize = 4;
/// Files of the tree of which a part changes, and one in so many does.
const FILES: u64 = 5000;
const CHANGED: u64 = 100;
/// Entries of the list that goes over the line again, in bytes each: names, times and a digest.
const ENTRY: u64 = 40;
/// What a session costs by itself at its sender, in bytes: handshakes, the group's trial, probes of segments'
/// length and acknowledgments, for four members.
const SESSION: u64 = 128 << 10;
/// Most memory at each end, in KiB.
const MOST_KIB: u64 = 128 << 10;
/// Empty files, unless the variable says how many: more takes minutes.
const EMPTY: u64 = 30_000;
/// Blocks of 1 MiB of a file that goes with them: more than a sender keeps (`CACHE_BLOCKS` in
/// `stack/src/proto/send/source.rs`).
const BLOCKS: u64 = 40;
/// Memory that nine tenths of them may need beside what the first tenth does, in KiB: what an allocator is seen to need
/// for itself. It is 77 bytes for each of the 27,000.
const MORE_KIB: u64 = 2 << 10;
const EMPTY_VARIABLE: &str = "TREE_FILES";
/// The folder of this machine that is copied, if another than this project's own sources.
const FOLDER_VARIABLE: &str = "TREE_FOLDER";
/// The longest copy that somebody asks for by such a variable.
const LONGEST: Duration = Duration::from_secs(1800);

/// The seed that is asked for, or another each time; it is printed if the scenario fails.
pub(super) fn seeded(scenario: &str) -> (u64, Printed) {
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = sim::seed::asked().unwrap_or_else(|| u64::from(clock.subsec_nanos()));
    (seed, Printed::new(seed, format!("cargo test -p netns-tests -- {scenario}")))
}

/// Daemons on all receivers, of which senders may ask everything.
pub(crate) fn daemons(lab: &Lab, receivers: usize) -> Vec<Daemon> {
    let secret = lab.secret().display().to_string();
    let trust = ["--secret-file", &secret, ALLOW[0], ALLOW[1]];
    let start = |host| Daemon::start_trusting(lab, host, &lab.folder(host), &[], &trust);
    (1..=receivers).map(start).collect()
}

/// Copies a folder, under its own name.
fn copy(lab: &Lab, source: &Path) -> Done {
    let mut args = vec!["-a".to_owned(), source.display().to_string()];
    args.extend(lab.all());
    let running = Copy::start(lab, &args);
    // More than the others take is only there for what somebody asks for.
    let asked = std::env::var_os(FOLDER_VARIABLE).is_some();
    let done = if asked { running.wait_watched(LONGEST, || {}) } else { running.wait() };
    done.assert_ok();
    for host in &done.hosts {
        assert_eq!(host["failed_entries"], 0, "{done:#?}");
    }
    done
}

/// Where the copy of a folder is.
fn copies(daemons: &[Daemon], source: &Path) -> Vec<PathBuf> {
    daemons.iter().map(|daemon| daemon.root.join(source.file_name().unwrap())).collect()
}

pub(super) fn everything_is_kept() {
    let lab = Lab::bridge(RECEIVERS);
    let daemons = daemons(&lab, RECEIVERS);
    let (seed, _printed) = seeded("trees::everything_is_kept");
    let mut tree = Tree::new(lab.dir.path().join("tree"), seed);
    tree.grow();
    run("sync"); // blocks are counted when they are on the disk
    let done = copy(&lab, &tree.root);
    for to in copies(&daemons, &tree.root) {
        assert_eq!(judge::rsync(&tree.root, &to), "", "{}", to.display());
        assert!(judge::holes(&tree.root, &to) > 7);
    }
    eprintln!("{} entries in {:?}", done.hosts[0]["entries"], done.took);
    // A judge that finds nothing must find something.
    let to = copies(&daemons, &tree.root).remove(0);
    tree.set_time(&to.join("links/a"));
    assert!(judge::rsync(&tree.root, &to).contains("links/a/"));
    let hole = File::options().write(true).open(to.join("holes/last")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&hole, &[0], 3 << 20).unwrap();
    hole.sync_all().unwrap();
    assert!(std::panic::catch_unwind(|| judge::holes(&tree.root, &to)).is_err());
}

/// Attributes, lists, capabilities, pipes and sockets as well, and nothing beside them.
pub(super) fn attributes_and_lists_are_kept() {
    let lab = Lab::bridge(RECEIVERS);
    let secret = lab.secret().display().to_string();
    let trust = ["--secret-file", &secret, "--allow", "owner,setuid,device,delete"];
    let start = |host| Daemon::start_trusting(&lab, host, &lab.folder(host), &[], &trust);
    let daemons: Vec<Daemon> = (1..=RECEIVERS).map(start).collect();
    let (seed, _printed) = seeded("trees::attributes_and_lists_are_kept");
    let mut tree = Tree::new(lab.dir.path().join("tree"), seed);
    tree.grow();
    tree.with_attributes();
    run("sync"); // blocks are counted when they are on the disk
    let to = copies(&daemons, &tree.root);
    for copy in &to {
        std::fs::create_dir_all(copy.join("too much/of it")).unwrap();
    }
    let args = || {
        let options = ["-aAX", "--delete"].map(str::to_owned);
        [&options[..], &[tree.root.display().to_string()], &lab.all()].concat()
    };
    let judged = |copy: &Path| judge::rsync_by(&tree.root, copy, &["--delete", "-A", "-X"]);
    let done = Copy::start(&lab, &args()).wait();
    done.assert_ok();
    for copy in &to {
        assert_eq!(judged(copy), "", "{}", copy.display());
        assert!(judge::holes(&tree.root, copy) > 7);
    }
    assert!(
        !done.messages.contains("left out") && !done.messages.contains("not kept"),
        "{done:#?}"
    );
    // A judge that finds nothing must find something; and what it finds is put right in place.
    let strange = |copy: &Path| {
        let set = |path: &str, name: &str, value: &[u8]| {
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(copy.join(path), name, value, flags).unwrap();
        };
        set("lengths/4096", "user.strange", b"x");
        assert!(judged(copy).contains("lengths/4096"));
    };
    for copy in &to {
        strange(copy);
    }
    let again = Copy::start(&lab, &args()).wait();
    again.assert_ok();
    for (copy, host) in to.iter().zip(&again.hosts) {
        assert_eq!(judged(copy), "", "{}", copy.display());
        assert_eq!(host["unchanged"], host["entries"], "{host}");
    }
}

/// Changes one file in so many, each in another way. Gives the bytes of those that have other content or another
/// time: a receiver cannot take them for what it has. The names that are gone.
fn change(tree: &mut Tree, at: &[PathBuf]) -> (u64, Vec<PathBuf>) {
    let (mut bytes, mut gone) = (0, Vec::new());
    let mut dice = Dice(tree.dice.next());
    for (turn, number) in (0..FILES).step_by(CHANGED as usize).enumerate() {
        let path = &at[(number + dice.below(CHANGED)) as usize];
        let len = fs::metadata(path).unwrap().len();
        let mut now = path.clone();
        match turn % 6 {
            0 => {
                // Without O_CREAT, which a sticky folder forbids to who does not own the file (proc_sys_fs(5)).
                let mut file = File::options().write(true).open(path).unwrap();
                file.write_all(&dice.bytes(len)).unwrap();
            }
            1 => {
                let mut file = File::options().append(true).open(path).unwrap();
                file.write_all(&dice.bytes(100)).unwrap();
            }
            2 => {
                now.set_extension("renamed");
                fs::rename(path, &now).unwrap();
                gone.push(path.clone());
            }
            3 => {
                fs::remove_file(path).unwrap();
                fs::write(path, dice.bytes(5000)).unwrap();
            }
            4 => run_mode(path, dice.below(0o1000)),
            _ => {}
        }
        // A clock that shows: what was written within two seconds is sent again in any case.
        if turn % 6 != 4 && turn % 6 != 2 {
            tree.set_time(&now);
        }
        if turn % 6 != 4 {
            bytes += fs::metadata(&now).unwrap().len();
        }
    }
    (bytes, gone)
}

fn run_mode(path: &Path, mode: u64) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode as u32);
    fs::set_permissions(path, mode).unwrap();
}

pub(super) fn a_hundredth_has_changed() {
    let lab = Lab::bridge(RECEIVERS);
    let daemons = daemons(&lab, RECEIVERS);
    let (seed, _printed) = seeded("trees::a_hundredth_has_changed");
    let mut tree = Tree::new(lab.dir.path().join("tree"), seed);
    tree.many(FILES);
    tree.set_all();
    let at: Vec<_> = (0..FILES).map(|n| tree.at(format!("many/{}/file {n}", n / 100))).collect();
    copy(&lab, &tree.root);
    let (changed, gone) = change(&mut tree, &at);
    for path in &gone {
        let below = path.strip_prefix(&tree.root).unwrap();
        assert!(copies(&daemons, &tree.root)[0].join(below).exists());
    }
    let before = lab.bytes(0);
    let done = copy(&lab, &tree.root);
    let after = lab.bytes(0);
    for to in copies(&daemons, &tree.root) {
        // What is gone at the source stays: it is the only difference.
        assert_eq!(judge::rsync_by(&tree.root, &to, &[]), "", "{}", to.display());
        let said = judge::rsync(&tree.root, &to);
        assert_eq!(said.lines().count(), gone.len(), "{said}");
        assert!(said.lines().all(|line| line.starts_with("*deleting")), "{said}");
    }
    let entries = done.hosts[0]["entries"].as_u64().unwrap();
    let (sent, most) = (after.0 - before.0, changed * 6 / 5 + ENTRY * entries + SESSION);
    eprintln!(
        "{changed} bytes changed, {entries} entries: {sent} bytes sent of at most {most}, {} received, {}",
        after.1 - before.1,
        done.hosts[0]
    );
    assert!(sent <= most, "{sent} bytes sent, {changed} changed, {entries} entries");
}

/// Makes empty files in folders of a thousand, of these numbers.
fn empty_files(source: &Path, numbers: Range<u64>) {
    for number in numbers {
        let folder = source.join(format!("{}", number / 1000));
        if number % 1000 == 0 {
            fs::create_dir_all(&folder).unwrap();
        }
        File::create(folder.join(format!("{number}"))).unwrap();
    }
}

/// Copies to a place, and gives the most memory that this took at either end so far, in KiB.
fn most_memory(lab: &Lab, daemon: &Daemon, sources: &[&Path], to: &str) -> (Done, [u64; 2]) {
    // The system's own shows processes of another namespace.
    let proc = lab.folder(2);
    run(&format!("mount -t proc proc {}", proc.display()));
    let mut args = vec!["-a".to_owned()];
    args.extend(sources.iter().flat_map(|source| ["-s".to_owned(), source.display().to_string()]));
    args.push(format!("{}:{to}", lab.v4(1)));
    let running = Copy::start(lab, &args);
    let (processes, mut most) = ([running.id(), daemon.id()], [0, 0]);
    let done = running.wait_watched(LONGEST, || {
        for (process, most) in processes.iter().zip(&mut most) {
            let now = memory_kib(&proc, *process, "VmHWM");
            *most = now.map_or(*most, |now| now.max(*most));
        }
    });
    run(&format!("umount {}", proc.display()));
    done.assert_ok();
    let [mcp, mcpd] = most;
    let (entries, took, bytes) = (&done.hosts[0]["entries"], done.took, lab.bytes(0));
    eprintln!("{entries} entries in {took:?}: mcp {mcp} KiB, mcpd {mcpd} KiB, {bytes:?} bytes");
    assert!(mcp > 0 && mcp <= MOST_KIB && mcpd > 0 && mcpd <= MOST_KIB, "{most:?} KiB");
    (done, most)
}

/// A tenth of the files, and then all: neither end needs more memory for them than for the tenth.
pub(super) fn many_empty_files() {
    let count = asked(EMPTY_VARIABLE, EMPTY);
    let lab = Lab::bridge(1);
    let daemon = daemons(&lab, 1).remove(0);
    let source = lab.dir.path().join("empty");
    let tenth = source.join("tenth");
    empty_files(&tenth, 0..count / 10);
    empty_files(&source.join("rest"), 0..count - count / 10);
    let entries = |done: &Done| done.hosts[0]["entries"].as_u64().unwrap();
    let (few, [_, before]) = most_memory(&lab, &daemon, &[&tenth], "");
    let (all, [_, after]) = most_memory(&lab, &daemon, &[&source], "");
    assert!(entries(&few) > count / 10 && entries(&all) > count, "{all:#?}");
    bounded("mcpd", before, after);
    assert_eq!(judge::rsync(&source, &daemon.root.join("empty")), "");
    // A sender keeps blocks at hand, and each part of the list is one: with as many others as it keeps it shows what it
    // needs beside them. A receiver keeps what comes faster than it is written, so that this says nothing of it.
    let large = lab.source(BLOCKS << 20);
    let (_, [before, _]) = most_memory(&lab, &daemon, &[&large, &tenth], "");
    fs::remove_file(daemon.root.join(large.file_name().unwrap())).unwrap(); // or it is not sent again
    let (_, [after, _]) = most_memory(&lab, &daemon, &[&large, &source], "");
    bounded("mcp", before, after);
}

/// The most memory of one end, in KiB: for a tenth of the entries, and for all.
fn bounded(end: &str, tenth: u64, all: u64) {
    assert!(all <= tenth + MORE_KIB, "{end}: {all} KiB, {tenth} KiB for a tenth of the entries");
}

pub(super) fn a_folder_of_this_machine() {
    let own = format!("{}/../stack/src", env!("CARGO_MANIFEST_DIR"));
    let source = PathBuf::from(asked(FOLDER_VARIABLE, own));
    let source = source.canonicalize().unwrap();
    let lab = Lab::bridge(RECEIVERS);
    let daemons = daemons(&lab, RECEIVERS);
    let done = copy(&lab, &source);
    for (host, to) in copies(&daemons, &source).iter().enumerate() {
        assert_eq!(judge::rsync(&source, to), "", "{}", to.display());
        eprintln!("{}", done.hosts[host]);
    }
    eprintln!(
        "{} in {:?}, {:?} bytes sent and received",
        source.display(),
        done.took,
        lab.bytes(0)
    );
}
