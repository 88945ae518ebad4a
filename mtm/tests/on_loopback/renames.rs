//! What gets another name at the source is not sent again.

use crate::{Host, Place};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes that differ in each file and at each place.
fn bytes(seed: u64, len: u64) -> Vec<u8> {
    (0..len).map(|at| (((at + seed) * (2 * seed + 1)) >> 7) as u8).collect()
}

/// Writes a file, long ago.
fn write(path: &Path, bytes: &[u8]) -> SystemTime {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    let time = UNIX_EPOCH + Duration::from_secs(1_000_000_000 + bytes.len() as u64);
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    time
}

/// A tree with some MiB in large files and small ones; how many bytes.
fn fill(tree: &Path) -> u64 {
    let mut len = 0;
    for (n, (name, own)) in (1..).zip([
        ("archive/2025/lecture 1", 3 << 20),
        ("archive/2025/lecture 2", (2 << 20) + 77),
        ("archive/summary", 300_001),
        ("this week", 400_000),
        ("next week", 500_000),
        ("draft", 2_000),
    ]) {
        write(&tree.join(name), &bytes(n, own));
        len += own;
    }
    for n in 0..50 {
        write(&tree.join(format!("archive/notes/{n}")), &bytes(n, 4000 + n));
        len += 4000 + n;
    }
    len
}

/// Files below a folder, by their paths from there.
fn files(at: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        match path.symlink_metadata().unwrap() {
            meta if meta.is_dir() => all.extend(files(&path)),
            meta if meta.is_file() => all.push(path),
            _ => {}
        }
    }
    all
}

/// Whether a host has all files of the tree, and perhaps more.
fn has_all(place: &Place, host: &Host) -> bool {
    files(&place.tree()).iter().all(|path| {
        let there = host.mirror("lectures").join(path.strip_prefix(place.tree()).unwrap());
        let time = |path: &Path| path.metadata().unwrap().modified().unwrap();
        fs::read(&there).unwrap() == fs::read(path).unwrap() && time(&there) == time(path)
    })
}

/// Goes on with the job to its end.
fn run(place: &Place) {
    place.ok(&["resume", "lectures"]);
    let (code, said) = place.start(&["run", "lectures"]).ends();
    assert_eq!(code, Some(0), "{said}");
}

/// What came at each of these hosts while something was done.
fn came(hosts: &[Host], work: impl FnOnce()) -> Vec<u64> {
    let before: Vec<u64> = hosts.iter().map(Host::came).collect();
    work();
    hosts.iter().zip(before).map(|(host, before)| host.came() - before).collect()
}

/// A folder and a file with other names, two files that have each other's, and one that was changed as well.
fn with_other_names(hosts: &[Host], options: &[&str], deletes: bool) {
    let place = Place::new();
    let tree = place.tree();
    let len = fill(&tree);
    let all: Vec<&Host> = hosts.iter().collect();
    assert_eq!(place.send(&all, options).ends().0, Some(0));
    let at = |name: &str| tree.join(name);
    fs::rename(at("archive"), at("old lectures")).unwrap();
    fs::rename(at("autumn/01/video"), at("autumn/film")).unwrap();
    for (from, to) in [("this week", "aside"), ("next week", "this week"), ("aside", "next week")] {
        fs::rename(at(from), at(to)).unwrap();
    }
    fs::rename(at("draft"), at("text")).unwrap();
    write(&at("text"), &bytes(6, 2_500));
    let came = came(hosts, || run(&place));
    assert!(hosts.iter().all(|host| has_all(&place, host)));
    assert!(!deletes || hosts.iter().all(|host| place.is_at(host)));
    // The changed file, 32 bytes for each small one, and the list.
    assert!(came.iter().all(|came| *came < 2_500 + 50 * 32 + 20_000), "{came:?} of {len}");
}

#[test]
fn what_has_another_name_is_copied_where_it_is() {
    with_other_names(&[61, 62, 63].map(Host::new), &[], false);
}

#[test]
fn what_has_another_name_is_copied_before_its_former_one_is_deleted() {
    with_other_names(&[64, 65].map(Host::new), &["--delete"], true);
}

#[test]
fn a_host_that_was_off_finds_what_was_renamed_twice_and_another_file_with_its_time_is_replaced() {
    let place = Place::new();
    let tree = place.tree();
    fill(&tree);
    let mut hosts = [66, 67].map(Host::new);
    let all: Vec<&Host> = hosts.iter().collect();
    assert_eq!(place.send(&all, &["--delete"]).ends().0, Some(0));
    hosts[1].stop();
    // Another content of the same length and time.
    let other = hosts[1].mirror("lectures/archive/2025/lecture 2");
    let time = other.metadata().unwrap().modified().unwrap();
    let mut changed = fs::read(&other).unwrap();
    changed[1_500_000] ^= 1;
    fs::write(&other, changed).unwrap();
    fs::File::options().write(true).open(&other).unwrap().set_modified(time).unwrap();
    place.ok(&["resume", "lectures"]);
    for (from, to) in [("archive", "shelf"), ("shelf/2025", "of 2025")] {
        fs::rename(tree.join(from), tree.join(to)).unwrap();
        let mut job = place.start(&["run", "lectures"]);
        job.says("1 of 2 hosts has all of revision");
        job.signal(rustix::process::Signal::INT);
        assert_eq!(job.ends().0, Some(130));
    }
    hosts[1].start();
    let came = came(&hosts, || assert_eq!(place.start(&["run", "lectures"]).ends().0, Some(0)));
    assert!(hosts.iter().all(|host| place.is_at(host)));
    let block = 1 << 20;
    assert!(came[1] > block && came[1] < block + 30_000, "{came:?}");
}
