//! Folders and several sources, copied by the program to receivers in this process.

#[path = "common/receiver.rs"]
mod receiver;

use receiver::Receiver;
use rustix::thread::CapabilitySet;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes};
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};
use tcpxm::api::ListenOptions;
use tcpxm::trust::ListenTrust;
use transfer::limits::{Allow, Limits};

/// Runs the program with `--json`; its objects, the last of which is the summary.
fn mcp(args: &[&str], hosts: &[String]) -> (Option<i32>, Vec<Value>, Output) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp"));
    command.args(["--interface", "lo", "--json"]).args(args).args(hosts).stdin(Stdio::null());
    let output = command.env("MCP_STATE_DIR", "/nonexistent/state").output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let objects = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (output.status.code(), objects, output)
}

fn long_ago(path: &Path, secs: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(secs, 123_456_789);
    File::open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

/// A tree of everything that is kept.
fn tree(at: &Path) {
    fs::create_dir_all(at.join("a/b")).unwrap();
    fs::create_dir(at.join("empty")).unwrap();
    for n in 0..40_u32 {
        let path = at.join(["", "a", "a/b"][n as usize % 3]).join(format!("small{n}"));
        fs::write(&path, vec![n as u8; n as usize * 77]).unwrap();
        long_ago(&path, 1_000_000_000 + u64::from(n));
    }
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n >> 3) as u8).collect();
    fs::write(at.join("a/large"), large).unwrap();
    fs::set_permissions(at.join("a/large"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::hard_link(at.join("a/large"), at.join("name of a large one")).unwrap();
    symlink("../nowhere", at.join("a/b/link")).unwrap();
    fs::hard_link(at.join("a/b/link"), at.join("name of a link")).unwrap();
    let sparse = File::create(at.join("sparse")).unwrap();
    sparse.set_len(40 << 20).unwrap();
    sparse.write_all_at(b"data", 20 << 20).unwrap();
    for path in ["a/large", "sparse", "a/b", "a", "empty", ""] {
        long_ago(&at.join(path), 1_100_000_000);
    }
}

/// What is compared of an entry.
type Seen = (u32, u64, i64, i64, u64, Vec<u8>);

fn seen(at: &Path) -> BTreeMap<String, Seen> {
    fn walk(root: &Path, at: &Path, all: &mut BTreeMap<String, Seen>) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let content = if meta.is_dir() {
                walk(root, &path, all);
                Vec::new()
            } else if meta.is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else {
                fs::read(&path).unwrap()
            };
            let links = if meta.is_dir() { 0 } else { meta.nlink() };
            let (secs, nanos) =
                if meta.is_symlink() { (0, 0) } else { (meta.mtime(), meta.mtime_nsec()) };
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            all.insert(name, (meta.mode(), links, secs, nanos, content.len() as u64, content));
        }
    }
    let mut all = BTreeMap::new();
    walk(at, at, &mut all);
    all
}

fn assert_same(a: &Path, b: &Path) {
    let (a, b) = (seen(a), seen(b));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, there) in &a {
        let (mode, links, secs, nanos, len, content) = &b[name];
        let same =
            (mode, links, secs, nanos, len) == (&there.0, &there.1, &there.2, &there.3, &there.4);
        assert!(
            same && *content == there.5,
            "{name}: {:?} {:?}",
            &there.0,
            (mode, links, secs, nanos, len)
        );
    }
}

#[test]
fn a_tree_is_kept_as_it_is_and_what_is_there_is_not_sent_again() {
    let receivers = [Receiver::new(2), Receiver::new(3), Receiver::new(4)];
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path());
    let source = format!("{}/", dir.path().display());
    let hosts: Vec<String> = receivers.iter().map(|r| r.host("new/place")).collect();
    let (code, objects, output) = mcp(&["-a", &source], &hosts);
    assert_eq!(code, Some(0), "{output:?}");
    for (receiver, object) in receivers.iter().zip(&objects) {
        assert_same(dir.path(), &receiver.folder.path().join("new/place"));
        let sparse = fs::metadata(receiver.folder.path().join("new/place/sparse")).unwrap();
        assert!(sparse.blocks() * 512 < 1 << 20, "holes are kept");
        assert_eq!(
            (&object["entries"], &object["failed_entries"]),
            (&Value::from(48), &Value::from(0))
        );
    }
    let first: u64 = objects[0]["bytes"].as_u64().unwrap();

    // One file is another, one is new.
    fs::write(dir.path().join("a/small1"), "changed").unwrap();
    fs::write(dir.path().join("new"), "new").unwrap();
    let (code, objects, output) = mcp(&["-a", &source], &hosts);
    assert_eq!(code, Some(0), "{output:?}");
    for (receiver, object) in receivers.iter().zip(&objects) {
        assert_same(dir.path(), &receiver.folder.path().join("new/place"));
        assert!(object["bytes"].as_u64().unwrap() < first / 20, "{object}");
        assert!(object["unchanged"].as_u64().unwrap() >= 44, "{object}");
    }
}

#[test]
fn what_a_slash_stands_behind_gives_the_destination_its_mode_and_time() {
    let receiver = Receiver::new(14);
    let (dir, there) = (tempfile::tempdir().unwrap(), receiver.folder.path());
    fs::write(dir.path().join("file"), "file").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o551)).unwrap();
    fs::create_dir(there.join("old")).unwrap();
    fs::set_permissions(there, fs::Permissions::from_mode(0o700)).unwrap();
    let source = format!("{}/", dir.path().display());
    for (options, to, mode) in [
        ("-a", "new/place", Some(0o551)),
        ("-a", "old", Some(0o551)),
        ("-rt", "timed", None),
        // The daemon's own folder stays open, or closed, to whom it was.
        ("-a", "", Some(0o700)),
    ] {
        long_ago(dir.path(), 1_300_000_000);
        assert_eq!(mcp(&[options, &source], &[receiver.host(to)]).0, Some(0), "{to}");
        let meta = fs::metadata(there.join(to)).unwrap();
        assert_eq!((meta.mtime(), meta.mtime_nsec()), (1_300_000_000, 123_456_789), "{to}");
        if let Some(mode) = mode {
            assert_eq!(meta.mode() & 0o7777, mode, "{to}");
        }
        assert_eq!(fs::read_to_string(there.join(to).join("file")).unwrap(), "file");
    }
    // A folder that is named keeps what stands above it as it is.
    fs::create_dir(there.join("above")).unwrap();
    long_ago(&there.join("above"), 1_400_000_000);
    let named = source.trim_end_matches('/');
    assert_eq!(mcp(&["-a", named], &[receiver.host("above")]).0, Some(0));
    assert_ne!(fs::metadata(there.join("above")).unwrap().mode() & 0o7777, 0o551);
}

#[test]
fn an_entry_that_fails_is_named_and_the_others_are_in_place() {
    let receivers = [Receiver::new(5), Receiver::new(6)];
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path());
    let name = dir.path().file_name().unwrap().to_str().unwrap();
    // A folder with something in it where a file is to be, and a file where a folder is.
    fs::create_dir_all(receivers[1].folder.path().join(name).join("small0/full")).unwrap();
    fs::write(receivers[1].folder.path().join(name).join("a"), "in the way").unwrap();
    let source = dir.path().display().to_string();
    let hosts: Vec<String> = receivers.iter().map(|r| r.host("")).collect();
    let (code, objects, output) = mcp(&["-a", &source], &hosts);
    assert_eq!(code, Some(3), "{output:?}");
    assert_same(dir.path(), &receivers[0].folder.path().join(name));
    assert_eq!(
        (&objects[0]["status"], &objects[1]["status"]),
        (&Value::from("ok"), &Value::from("failed"))
    );
    let failures = objects[1]["failures"].as_array().unwrap();
    let reason = |entry: &str| {
        let entry = format!("{name}/{entry}");
        let found = failures.iter().find(|failure| failure["entry"] == entry.as_str());
        found.map(|found| found["reason"].as_str().unwrap().to_owned())
    };
    assert!(reason("small0").unwrap().contains("folder that is not empty"), "{failures:?}");
    assert!(reason("a").unwrap().contains("it is a file"), "{failures:?}");
    assert!(reason("a/b/link").unwrap().contains("its folder"), "{failures:?}");
    assert_eq!(objects[1]["failed_entries"], failures.len());
    assert_eq!(fs::read(receivers[1].folder.path().join(name).join("a")).unwrap(), b"in the way");
    assert!(receivers[1].folder.path().join(name).join("small3").exists());
    assert_eq!(objects[2]["status"], "partial");

    // The same where nobody has all of it: something is in place all the same.
    let (code, objects, _) = mcp(&["-a", &source], &hosts[1..]);
    assert_eq!((code, &objects[1]["status"]), (Some(3), &Value::from("partial")));

    // Nothing but what failed is said.
    let mut quiet = Command::new(env!("CARGO_BIN_EXE_mcp"));
    quiet.args(["--interface", "lo", "-q", "-rpt", &source]).args(&hosts).stdin(Stdio::null());
    let output = quiet.env("MCP_STATE_DIR", "/nonexistent/state").output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    let failed = said.lines().filter(|line| line.contains("entries are not in place"));
    assert!(failed.clone().count() == 1 && said.contains(&hosts[1]), "{said}");
    assert!(!said.contains(&hosts[0]) && !said.contains("left out"), "{said}");
}

/// What one try has changed is not forgotten for the next one.
#[test]
fn all_tries_of_a_host_are_told() {
    let allow = Allow { delete: true, ..Allow::default() };
    let listen = ListenOptions::new(([127, 0, 0, 15], 0).into(), ListenTrust::Loopback);
    let receiver = Receiver::within(listen, Limits { allow, ..Limits::default() }, || {});
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        fs::write(dir.path().join(name), name).unwrap();
    }
    let there = receiver.folder.path().join("to");
    fs::create_dir_all(there.join("b/full")).unwrap();
    fs::write(there.join("old"), "old").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp"));
    command.args(["--interface", "lo", "--json", "-ai", "--delete", "--retry", "1"]);
    command.args(["--filter", "P full"]); // else the folder went for the file
    command.arg(format!("{}/", dir.path().display())).arg(receiver.host("to"));
    command.env("MCP_STATE_DIR", "/nonexistent/state").stdin(Stdio::null());
    let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(running.stderr.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains("trying 1 host again")));
    fs::remove_dir_all(there.join("b")).unwrap();
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?} {:?}", said.collect::<Vec<_>>());
    let text = String::from_utf8(output.stdout).unwrap();
    let row: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((&row["tries"], &row["deleted"]), (&2.into(), &1.into()), "{row:#}");
    let changes = row["changes"].as_array().unwrap().iter();
    let names: Vec<_> = changes.map(|change| change["entry"].as_str().unwrap()).collect();
    assert!(["a", "b", "old"].iter().all(|name| names.contains(name)), "{row:#}");
    assert_eq!(names.iter().filter(|name| **name == "a").count(), 1, "{row:#}");
}

/// A file below `dir` whose owner is not this process', or where only root can make one, one of root's.
fn of_somebody_else(dir: &Path) -> PathBuf {
    let path = dir.join("of somebody else");
    fs::write(&path, "theirs").unwrap();
    match chown(&path, Some(12_345), None) {
        Ok(()) => path,
        Err(_) => "/etc/passwd".into(), // passwd(5)
    }
}

/// What a receiver allows is asked of its system, and what that refuses is not left out: the entry fails.
#[test]
fn what_is_allowed_and_the_system_refuses_fails_that_entry() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    for name in ["a", "z"] {
        fs::write(source.join(name), name).unwrap();
    }
    let theirs = of_somebody_else(dir.path());
    let limits =
        || Limits { allow: Allow { owner: true, ..Allow::default() }, ..Limits::default() };
    // Of this thread alone, and of those that it starts (capabilities(7)).
    let may_not_chown = || {
        let mut sets = rustix::thread::capabilities(None).unwrap();
        for set in [&mut sets.effective, &mut sets.permitted, &mut sets.inheritable] {
            set.remove(CapabilitySet::CHOWN);
        }
        rustix::thread::set_capabilities(None, sets).unwrap();
    };
    let listen = |last| ListenOptions::new(([127, 0, 0, last], 0).into(), ListenTrust::Loopback);
    let receiver = Receiver::within(listen(7), limits(), may_not_chown);
    let names = [&source, &theirs].map(|path| path.display().to_string());
    let hosts = [receiver.host("")];
    let (code, objects, output) = mcp(&["-s", &names[0], "-s", &names[1], "-a"], &hosts);
    assert_eq!(code, Some(3), "{output:?}");
    let host = &objects[0];
    assert_eq!((&host["failed_entries"], &host["entries"]), (&1.into(), &3.into()), "{host:#}");
    let failure = &host["failures"][0];
    let name = theirs.file_name().unwrap().to_str().unwrap();
    assert_eq!(failure["entry"], name);
    let why = failure["reason"].as_str().unwrap();
    assert!(why.contains("owner") && why.contains("Operation not permitted"), "{why}");
    assert!(!host["notes"].to_string().contains("owners"), "it is not left out: {host:#}");
    let there = |name: &str| fs::read(receiver.folder.path().join(name)).ok();
    assert_eq!((there("source/a"), there("source/z")), (Some(b"a".into()), Some(b"z".into())));
    assert_eq!(there(name), None, "nothing has its name that is not what was asked for");
}

/// With `-u` what is newer there stays as it is, which is told once; what is older is replaced.
#[test]
fn what_is_newer_there_stays_if_that_is_asked_for() {
    let receiver = Receiver::new(8);
    let dir = tempfile::tempdir().unwrap();
    let (source, there) = (dir.path().join("source"), receiver.folder.path().join("source"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&there).unwrap();
    // Of the source's time those there are a second behind or ahead.
    for (name, secs) in [("older", 999), ("newer", 1001), ("newest", 5000)] {
        for (path, bytes, secs) in [(&source, "source", 1000), (&there, "there", secs)] {
            fs::write(path.join(name), bytes).unwrap();
            long_ago(&path.join(name), secs);
        }
    }
    fs::write(source.join("missing"), "source").unwrap();
    let source = source.display().to_string();
    let hosts = [receiver.host("")];
    let names = ["older", "newer", "newest", "missing"];
    let found = || names.map(|name| fs::read_to_string(there.join(name)).unwrap());
    let (code, objects, output) = mcp(&["-a", "-u", &source], &hosts);
    assert_eq!(code, Some(0), "{output:?}");
    assert_eq!(found(), ["source", "there", "there", "source"]);
    assert_eq!(objects[0]["unchanged"], 3, "the folder among them: {}", objects[0]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.matches("newer").count(), 1, "{said}");

    let (code, _, output) = mcp(&["-a", &source], &hosts);
    assert_eq!(code, Some(0), "{output:?}");
    assert_eq!(found(), ["source"; 4]);
}

#[test]
fn names_that_are_no_text_are_told_apart_and_stats_are_what_was_done() {
    let receiver = Receiver::new(13);
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    fs::create_dir(&from).unwrap();
    for name in [&b"\xe4"[..], b"\xf6"] {
        fs::write(from.join(OsStr::from_bytes(name)), "text").unwrap();
        fs::create_dir_all(
            receiver.folder.path().join("from").join(OsStr::from_bytes(name)).join("x"),
        )
        .unwrap();
    }
    fs::write(from.join("good"), "good").unwrap();
    symlink("good", from.join("link")).unwrap();
    let source = from.display().to_string();
    let (code, objects, output) = mcp(&["--stats", &source], &[receiver.host("")]);
    assert_eq!(code, Some(3), "{output:?}");
    let failures = objects[0]["failures"].as_array().unwrap();
    let names: Vec<_> = failures.iter().map(|failed| failed["entry"].as_str().unwrap()).collect();
    assert_eq!(names, ["from/\\xe4", "from/\\xf6"]);
    let stats = &objects[1]["stats"];
    for (name, count) in [("files", 3), ("folders", 1), ("symlinks", 0), ("total_bytes", 12)] {
        assert_eq!(stats[name], count, "{name}: {stats}");
    }
    assert_eq!(objects[1]["omitted_symlinks"], 1);
    assert!(stats["list_bytes"].as_u64().unwrap() > 0 && stats["list_seconds"].is_f64(), "{stats}");
    assert_eq!(stats["datagram_bytes"], objects[1]["datagram_bytes"]);
}

#[test]
fn several_sources_and_single_files_go_where_they_are_to() {
    let receiver = Receiver::new(7);
    let dir = tempfile::tempdir().unwrap();
    for name in ["one", "two"] {
        fs::write(dir.path().join(name), name).unwrap();
        long_ago(&dir.path().join(name), 1_200_000_000);
    }
    fs::create_dir(dir.path().join("folder")).unwrap();
    fs::write(dir.path().join("folder/three"), "three").unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let host = [receiver.host("to")];
    let args = ["-s", &at("one"), "-s", &at("two"), "-s", &at("folder")];
    assert_eq!(mcp(&args, &host).0, Some(0));
    for (name, content) in [("one", "one"), ("two", "two"), ("folder/three", "three")] {
        assert_eq!(
            fs::read_to_string(receiver.folder.path().join("to").join(name)).unwrap(),
            content
        );
    }
    // One file: a folder that stands takes it, else the path is its name.
    assert_eq!(mcp(&["-t", &at("one")], &[receiver.host("to/folder")]).0, Some(0));
    assert_eq!(mcp(&["-t", &at("one")], &[receiver.host("to/other")]).0, Some(0));
    assert_eq!(mcp(&["-t", &at("two")], &[receiver.host("into/")]).0, Some(0));
    for name in ["to/folder/one", "to/other", "into/two"] {
        let meta = fs::metadata(receiver.folder.path().join(name)).unwrap();
        assert_eq!((meta.mtime(), meta.mtime_nsec()), (1_200_000_000, 123_456_789), "{name}");
    }
    // The destination of a folder is made first, so that one that is not there does not become that folder itself.
    assert_eq!(mcp(&["-a", &at("folder")], &[receiver.host("not/yet")]).0, Some(0));
    assert!(receiver.folder.path().join("not/yet/folder/three").is_file());
    // Nothing but a folder, and what is not there.
    fs::create_dir(dir.path().join("bare")).unwrap();
    assert_eq!(mcp(&[&at("bare")], &[receiver.host("")]).0, Some(0));
    assert!(receiver.folder.path().join("bare").is_dir());
    let (code, objects, output) = mcp(&["-a", &at("missing")], &[receiver.host("")]);
    assert_eq!((code, &objects[0]["status"]), (Some(1), &Value::from("failed")), "{output:?}");
}

/// What `mcp digest` prints of these paths.
fn digests(args: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_mcp")).arg("digest").args(args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split_once("  ").unwrap().0.to_owned()).collect()
}

#[test]
fn a_copy_tells_the_digest_that_both_ends_can_compute() {
    let receivers = [Receiver::new(8), Receiver::new(9)];
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("folder");
    tree(&from);
    fs::write(from.join("nothing"), "").unwrap();
    File::create(from.join("hole")).unwrap().set_len(3 << 20).unwrap();
    let source = from.display().to_string();
    let slash = format!("{source}/");
    let there =
        |receiver: &Receiver, below: &str| receiver.folder.path().join(below).display().to_string();
    let told = |args: &[&str], to: &str| {
        let hosts: Vec<String> = receivers.iter().map(|r| r.host(to)).collect();
        let (code, objects, output) = mcp(args, &hosts);
        assert_eq!(code, Some(0), "{output:?}");
        assert_eq!(objects[0]["digest"], objects[1]["digest"]);
        objects[0]["digest"].as_str().map(str::to_owned)
    };
    let whole = digests(&[&source]).remove(0);
    assert_eq!(told(&["-a", &source], "named/").as_ref(), Some(&whole));
    assert_eq!(told(&["-a", &slash], "contents").as_ref(), Some(&whole));
    for receiver in &receivers {
        let paths = [there(receiver, "named/folder"), there(receiver, "contents")];
        assert_eq!(digests(&[&paths[0], &paths[1]]), [&whole[..]; 2]);
    }
    // Nothing was kept, and links were left out.
    let without = digests(&["--no-links", &source]).remove(0);
    assert_ne!(without, whole);
    assert_eq!(told(&[&source], "bare/").as_ref(), Some(&without));
    assert_eq!(digests(&[&there(&receivers[0], "bare/folder")]), [without]);

    // A single file, and several sources.
    let (large, small) = (from.join("a/large"), from.join("small3"));
    let (large, small) = (large.display().to_string(), small.display().to_string());
    let file = blake3::hash(&fs::read(&large).unwrap()).to_hex().to_string();
    assert_eq!(told(&["-t", &large], "file").as_ref(), Some(&file));
    let several = told(&["-s", &large, "-s", &small], "several").unwrap();
    assert_eq!(digests(&[&there(&receivers[1], "several")]), [several]);

    // What a host has already is not read, so nobody knows its digest.
    assert_eq!(told(&["-a", &source], "named/"), None);
}

#[test]
fn a_host_that_lacks_an_entry_has_no_digest() {
    let receivers = [Receiver::new(10), Receiver::new(11)];
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("one"), "one").unwrap();
    fs::write(dir.path().join("two"), "two").unwrap();
    fs::create_dir_all(receivers[1].folder.path().join("two/full")).unwrap();
    let source = format!("{}/", dir.path().display());
    let hosts: Vec<String> = receivers.iter().map(|r| r.host("")).collect();
    let (code, objects, output) = mcp(&[&source], &hosts);
    assert_eq!(code, Some(3), "{output:?}");
    assert_eq!(objects[0]["digest"], digests(&[&source])[0].as_str());
    assert_eq!(objects[1]["digest"], Value::Null);
}
