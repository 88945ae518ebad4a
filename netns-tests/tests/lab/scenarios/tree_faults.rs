//! Trees of which something cannot be copied: it fails by name, the rest and the others do not.

use super::trees::{ALLOW, daemons};
use crate::copy::{Copy, Done, copy};
use crate::daemon::Daemon;
use crate::judge;
use crate::network::{Lab, content, tree};
use crate::shell::{find, run, wait_for};
use rustix::fs::{Mode, OFlags, mkdirat, openat};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A receiver has cleaned up within this.
const CLEAN: Duration = Duration::from_secs(10);
/// Longest file that a tree takes (`docs/trees.md`).
const LONGEST: u64 = 1 << 47;

/// A folder to be copied.
fn source(lab: &Lab) -> PathBuf {
    let source = lab.dir.path().join("source");
    fs::create_dir(&source).unwrap();
    source
}

fn archive(lab: &Lab, source: &Path) -> Vec<String> {
    [vec!["-a".to_owned(), source.display().to_string()], lab.all()].concat()
}

/// Why an entry is not in place.
fn reason<'a>(done: &'a Done, host: usize, entry: &str) -> &'a str {
    let failures = done.hosts[host]["failures"].as_array().unwrap();
    let found = failures.iter().find(|failure| failure["entry"] == entry);
    let found = found.unwrap_or_else(|| panic!("{entry} did not fail: {done:#?}"));
    found["reason"].as_str().unwrap()
}

/// These entries failed at a host, and no others, each with this in its reason.
fn assert_failed(done: &Done, host: usize, expected: &[(&str, &str)]) {
    assert_eq!(done.text(host, "status"), "failed", "{done:#?}");
    for (entry, why) in expected {
        let reason = reason(done, host, entry);
        assert!(reason.contains(why), "{entry}: {reason}");
    }
    let count = done.hosts[host]["failures"].as_array().unwrap().len();
    assert_eq!(count, expected.len(), "{done:#?}");
    assert_eq!(done.hosts[host]["failed_entries"], count, "{done:#?}");
}

/// What stands under a name is whole, and nothing unfinished is left.
fn assert_whole(source: &Path, copy: &Path) {
    wait_for("nothing unfinished is left", CLEAN, || {
        !tree(copy).iter().any(|name| name.contains(".mcp-"))
    });
    for name in tree(copy) {
        let (from, to) = (source.join(&name), copy.join(&name));
        if to.is_file() {
            assert!(fs::read(&from).unwrap() == fs::read(&to).unwrap(), "{name} is not whole");
        }
    }
}

pub(super) fn files_and_folders_in_each_others_place() {
    let lab = Lab::bridge(2);
    let daemons = daemons(&lab, 2);
    let source = source(&lab);
    for folder in ["folder", "other"] {
        fs::create_dir(source.join(folder)).unwrap();
        fs::write(source.join(folder).join("in it"), "in it").unwrap();
    }
    fs::write(source.join("file"), "a file").unwrap();
    fs::write(source.join("file 2"), "a file").unwrap();
    let there = lab.folder(1).join("source");
    fs::create_dir_all(there.join("file/full")).unwrap();
    fs::create_dir_all(there.join("file 2")).unwrap();
    fs::write(there.join("folder"), "in the way").unwrap();
    // A link in a folder's place is not followed.
    symlink(lab.dir.path(), there.join("other")).unwrap();
    let done = copy(&lab, &archive(&lab, &source));
    assert_eq!(done.code, Some(3), "{done:#?}");
    assert_failed(
        &done,
        0,
        &[
            ("source/file", "folder that is not empty"),
            ("source/folder", "it is a file"),
            ("source/folder/in it", "its folder"),
            ("source/other", "symbolic link"),
            ("source/other/in it", "its folder"),
        ],
    );
    assert_eq!(fs::read(there.join("folder")).unwrap(), b"in the way");
    assert!(there.join("file/full").is_dir() && there.join("other").is_symlink());
    assert_eq!(fs::read(there.join("file 2")).unwrap(), b"a file");
    assert!(!lab.dir.path().join("in it").exists());
    assert_eq!(done.text(1, "status"), "ok");
    assert_eq!(judge::rsync(&source, &daemons[1].root.join("source")), "");
}

/// Links that lead in circles, and more folders in each other than a receiver takes.
pub(super) fn circles_and_depths() {
    let lab = Lab::bridge(1);
    let daemons = daemons(&lab, 1);
    let source = source(&lab);
    for (name, target) in [("a", "b"), ("b", "a"), ("here", "."), ("up", ".."), ("self", "self")] {
        symlink(target, source.join(name)).unwrap();
    }
    let done = copy(&lab, &archive(&lab, &source));
    done.assert_ok();
    assert_eq!(judge::rsync(&source, &daemons[0].root.join("source")), "");
    let done = copy(&lab, &["-a", &source.join("a").display().to_string(), &lab.v4(1)]);
    assert_eq!(done.code, Some(1), "{done:#?}");
    assert!(done.messages.contains("Too many levels of symbolic links"), "{done:#?}");

    fs::write(source.join("z"), "last").unwrap();
    let mut at = openat(rustix::fs::CWD, &source, OFlags::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..200 {
        mkdirat(&at, "d", Mode::RWXU).unwrap();
        at = openat(&at, "d", OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    let done = copy(&lab, &archive(&lab, &source));
    assert_eq!(done.code, Some(3), "{done:#?}");
    let deepest = format!("source{}", "/d".repeat(128));
    assert_failed(&done, 0, &[(&deepest, "deeper than 128 folders")]);
    assert_eq!(fs::read(daemons[0].root.join("source/z")).unwrap(), b"last");
    assert!(daemons[0].root.join(format!("source{}", "/d".repeat(127))).is_dir());
    assert!(!daemons[0].root.join(&deepest).exists());
}

pub(super) fn half_of_it_may_not_be_read() {
    let lab = Lab::bridge(2);
    let daemons = daemons(&lab, 2);
    let source = source(&lab);
    let close = |path: &Path| fs::set_permissions(path, PermissionsExt::from_mode(0o000)).unwrap();
    let mut expected = Vec::new();
    for number in 0..100_u32 {
        let name = format!("file {number}");
        // Some in packs, some in blocks of their own, some empty.
        let len = [3000, 300_000, 0, 1 << 20][number as usize / 2 % 4];
        fs::write(source.join(&name), content(len)).unwrap();
        if number % 2 == 0 {
            close(&source.join(&name));
            expected.push(format!("source/{name}"));
        }
    }
    fs::create_dir(source.join("closed")).unwrap();
    fs::write(source.join("closed/unseen"), "unseen").unwrap();
    close(&source.join("closed"));
    expected.push("source/closed".to_owned());
    // Root may read everything, unless it gives that right up.
    let setpriv = find("setpriv").unwrap().display().to_string();
    let humble = [&setpriv[..], "--bounding-set", "-dac_override,-dac_read_search"];
    let secret = lab.secret().display().to_string();
    let trust = ["--secret-file", &secret];
    let done = Copy::start_by(&lab, (0, &humble), &trust, &archive(&lab, &source)).wait();
    assert_eq!(done.code, Some(3), "{done:#?}");
    let expected: Vec<_> = expected.iter().map(|name| (&name[..], "ermission denied")).collect();
    for (host, daemon) in daemons.iter().enumerate() {
        assert_failed(&done, host, &expected);
        assert_whole(&source, &daemon.root.join("source"));
        assert_eq!(tree(&daemon.root.join("source")).len(), 50);
    }
}

/// A daemon's own file that its mode does not let it read gets another mode all the same.
pub(super) fn a_file_that_its_owner_may_not_read() {
    let lab = Lab::bridge(1);
    let source = source(&lab);
    let file = source.join("file");
    let mode =
        |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    let setpriv = find("setpriv").unwrap().display().to_string();
    let humble = [&setpriv[..], "--bounding-set", "-dac_override,-dac_read_search"];
    let daemon = Daemon::start_by(&lab, 1, &lab.folder(1), &humble);
    fs::write(&file, "a file").unwrap();
    let old = std::time::SystemTime::now() - Duration::from_secs(60);
    File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
    for bits in [0o000, 0o200, 0o644] {
        mode(&file, bits);
        copy(&lab, &["-rlpt", &source.display().to_string(), &lab.v4(1)]).assert_ok();
        assert_eq!(judge::rsync(&source, &daemon.root.join("source")), "", "{bits:o}");
    }
}

/// A folder of some hundred files, which is more than some receivers can take.
fn too_much(lab: &Lab) -> PathBuf {
    let source = source(lab);
    for number in 0..300_u64 {
        let len = [2000, 100_000, 300_000][number as usize % 3];
        fs::write(source.join(format!("file {number:03}")), content(len)).unwrap();
    }
    fs::write(source.join("large"), content(3 << 20)).unwrap();
    source
}

/// Each entry is whole at a host, or it has failed there for this reason and nothing has its name.
fn assert_told(done: &Done, host: usize, (source, there): (&Path, &Path), why: &str) {
    assert_eq!(done.text(host, "status"), "failed", "{done:#?}");
    assert_whole(source, there);
    let failures = done.hosts[host]["failures"].as_array();
    let failures = failures.unwrap_or_else(|| panic!("no entries are named: {done:#?}"));
    assert_eq!(done.hosts[host]["failed_entries"], failures.len());
    let has = tree(there);
    assert!(!has.is_empty() && !failures.is_empty(), "{host}: {done:#?}");
    for name in tree(source) {
        let is_told = failures.iter().any(|f| f["entry"] == format!("source/{name}"));
        assert!(has.contains(&name) != is_told, "{host}: {name}: {done:#?}");
    }
    for failure in failures {
        assert!(failure["reason"].as_str().unwrap().contains(why), "{host}: {failure}");
    }
}

pub(super) fn a_disk_that_is_full_midway() {
    let lab = Lab::bridge(2);
    let source = too_much(&lab);
    run(&format!("mount -t tmpfs -o size=8m tmpfs {}", lab.folder(1).display()));
    let daemons = daemons(&lab, 2);
    let done = copy(&lab, &archive(&lab, &source));
    assert_eq!(done.code, Some(3), "{done:#?}");
    assert_eq!(done.text(1, "status"), "ok", "{done:#?}");
    assert_eq!(judge::rsync(&source, &daemons[1].root.join("source")), "");
    let there = daemons[0].root.join("source");
    assert_told(&done, 0, (&source, &there), "No space left on device");
    drop(daemons);
    run(&format!("umount {}", lab.folder(1).display()));
}

/// A file system that is mounted below the root is made durable as well as the root's own.
pub(super) fn each_file_system_is_made_durable() {
    let lab = Lab::bridge(1);
    let source = source(&lab);
    let mounted = lab.folder(1).join("source/mounted");
    fs::create_dir_all(&mounted).unwrap();
    run(&format!("mount -t tmpfs tmpfs {}", mounted.display()));
    fs::create_dir_all(source.join("mounted/deep")).unwrap();
    fs::write(source.join("mounted/deep/file"), "a file").unwrap();
    let strace = find("strace").unwrap().display().to_string();
    let trace = lab.dir.path().join("strace");
    let text = trace.display().to_string();
    let by = [&strace[..], "-D", "-f", "-qq", "-o", &text, "-e", "trace=syncfs"];
    let mut daemon = Daemon::start_by(&lab, 1, &lab.folder(1), &by);
    copy(&lab, &archive(&lab, &source)).assert_ok();
    daemon.terminate();
    let calls = fs::read_to_string(&trace).unwrap();
    assert_eq!(calls.lines().filter(|line| line.contains("syncfs(")).count(), 2, "{calls}");
    run(&format!("umount {}", mounted.display()));
}

/// What an earlier copy has left takes most of the room: the rest of the file has enough, the whole would not.
pub(super) fn what_was_left_on_a_disk_that_is_nearly_full() {
    let lab = Lab::bridge(1);
    let root = lab.folder(1);
    run(&format!("mount -t tmpfs -o size=14m tmpfs {}", root.display()));
    let daemon = Daemon::start(&lab, 1, &root);
    let (len, source) = (10 << 20, lab.source(10 << 20).display().to_string());
    let slow = ["--rate", "50M", &source, &lab.v4(1)];
    let running = Copy::start(&lab, &slow);
    wait_for("most of it has arrived", CLEAN, || lab.bytes(1).1 > 7 << 20);
    running.kill();
    // The sender is gone without a word: the next one takes its file over.
    let done = copy(&lab, &[&source, &lab.v4(1)]);
    done.assert_ok();
    assert!(done.hosts[0]["bytes"].as_u64().unwrap() < len, "it was gone on with: {done:#?}");
    assert_eq!(tree(&root), [format!("source-{len}")]);
    assert!(fs::read(root.join(format!("source-{len}"))).unwrap() == content(len));
    drop(daemon);
    run(&format!("umount {}", root.display()));
}

/// No inodes at one, at another files that may not be so long; the last has everything.
pub(super) fn hosts_that_cannot_take_it_all() {
    let lab = Lab::bridge(3);
    let source = too_much(&lab);
    run(&format!("mount -t tmpfs -o nr_inodes=150 tmpfs {}", lab.folder(1).display()));
    let prlimit = find("prlimit").unwrap().display().to_string();
    let short = [&prlimit[..], "--fsize=250000"];
    let secret = lab.secret().display().to_string();
    let trust = ["--secret-file", &secret, ALLOW[0], ALLOW[1]];
    let start =
        |host, by: &[&str]| Daemon::start_trusting(&lab, host, &lab.folder(host), by, &trust);
    let daemons = [start(1, &[]), start(2, &short), start(3, &[])];
    let done = copy(&lab, &archive(&lab, &source));
    assert_eq!(done.code, Some(3), "{done:#?}");
    assert_eq!(done.text(2, "status"), "ok", "{done:#?}");
    assert_eq!(judge::rsync(&source, &daemons[2].root.join("source")), "");
    for (host, why) in [(0, "No space left on device"), (1, "File too large")] {
        let there = daemons[host].root.join("source");
        assert_told(&done, host, (&source, &there), why);
    }
    // Those that are short enough, and those alone.
    assert_eq!(tree(&daemons[1].root.join("source")).len(), 200);
    drop(daemons);
    run(&format!("umount {}", lab.folder(1).display()));
}

/// One that takes seconds for a step of its own gets what the others were sent meanwhile.
pub(super) fn one_that_is_slow() {
    let lab = Lab::bridge(3);
    let source = source(&lab);
    for number in 0..20_000 {
        fs::write(source.join(format!("{number:05}")), format!("{number}")).unwrap();
    }
    let strace = find("strace").unwrap().display().to_string();
    let slow = [
        &strace[..],
        "-D",
        "-f",
        "-qq",
        "--seccomp-bpf",
        "-o",
        "/dev/null",
        "-e",
        "trace=mkdir,mkdirat",
        "-e",
        "inject=mkdir,mkdirat:delay_enter=3000000",
    ];
    let secret = lab.secret().display().to_string();
    let trust = ["--secret-file", &secret, ALLOW[0], ALLOW[1]];
    let start =
        |host, by: &[&str]| Daemon::start_trusting(&lab, host, &lab.folder(host), by, &trust);
    let daemons = [start(1, &slow), start(2, &[]), start(3, &[])];
    copy(&lab, &archive(&lab, &source)).assert_ok();
    for daemon in &daemons {
        assert_eq!(judge::rsync(&source, &daemon.root.join("source")), "");
    }
}

pub(super) fn a_file_that_is_too_long() {
    let lab = Lab::bridge(1);
    let daemons = daemons(&lab, 1);
    let source = source(&lab);
    run(&format!("mount -t tmpfs tmpfs {}", source.display()));
    fs::write(source.join("a"), "first").unwrap();
    File::create(source.join("too long")).unwrap().set_len(LONGEST + 1).unwrap();
    fs::write(source.join("z"), "last").unwrap();
    let done = copy(&lab, &archive(&lab, &source));
    assert_eq!(done.code, Some(3), "{done:#?}");
    assert_failed(&done, 0, &[("source/too long", "longer than 2^47 bytes")]);
    assert_eq!(tree(&daemons[0].root.join("source")), ["a", "z"]);
    run(&format!("umount {}", source.display()));
}

pub(super) fn files_that_change_on_the_way() {
    let lab = Lab::bridge(2);
    let daemons = daemons(&lab, 2);
    let source = source(&lab);
    let lens = [("1 first", 48 << 20), ("2 grows", 8 << 20), ("3 shrinks", 8 << 20)];
    for (name, len) in lens.into_iter().chain([("4 small and grows", 99), ("5 last", 5 << 20)]) {
        fs::write(source.join(name), content(len)).unwrap();
    }
    let args = [vec!["--rate".to_owned(), "100M".to_owned()], archive(&lab, &source)].concat();
    let running = Copy::start(&lab, &args);
    wait_for("the first file has begun to arrive", CLEAN, || lab.bytes(1).1 > 4 << 20);
    for name in ["2 grows", "4 small and grows"] {
        let mut file = File::options().append(true).open(source.join(name)).unwrap();
        file.write_all(b"more").unwrap();
    }
    File::options().write(true).open(source.join("3 shrinks")).unwrap().set_len(5000).unwrap();
    let done = running.wait();
    assert_eq!(done.code, Some(3), "{done:#?}");
    for (host, daemon) in daemons.iter().enumerate() {
        let why = "changed while it was read";
        assert_failed(
            &done,
            host,
            &[
                ("source/2 grows", why),
                ("source/3 shrinks", why),
                ("source/4 small and grows", why),
            ],
        );
        assert_whole(&source, &daemon.root.join("source"));
        assert_eq!(tree(&daemon.root.join("source")), ["1 first", "5 last"]);
    }
}
