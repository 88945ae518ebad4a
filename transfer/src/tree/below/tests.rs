//! Where a single file goes, and what is left where it does not.

use super::*;
use crate::blocks;
use crate::tree::entry::{Kind, Time};
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use tempfile::TempDir;

mod capable;
mod extras;
mod meanwhile;
mod moved;
mod owners;
mod resumed;
mod set_id;
mod several_names;
mod unopened;

const NEVER: &dyn Fn() -> bool = &|| false;

fn root() -> (TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    (dir, root)
}

/// Every file and folder below, relative, sorted.
fn tree(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.strip_prefix(dir).unwrap().display().to_string());
            if path.is_dir() && !path.is_symlink() {
                open.push(path);
            }
        }
    }
    found.sort();
    found
}

fn offer(to: &str) -> Offer {
    Offer { to: to.into(), one: Some(b"name".to_vec()), ..Offer::default() }
}

fn entry(len: u64) -> Entry {
    let meta = Meta { mode: 0o666, ..Meta::default() };
    Entry { name: b"name".to_vec(), meta, kind: Kind::File { len, data: None } }
}

/// A session that is there, or over.
enum Session {
    There,
    Over,
}

impl crate::holders::Lives for Session {
    fn silence(&self) -> Option<std::time::Duration> {
        matches!(self, Self::There).then_some(std::time::Duration::ZERO)
    }

    fn ping(&self) {}

    fn end(&self, _: &str) {}
}

pub(crate) fn holder() -> Holder {
    Holder { sender: [7; 32], peer: "10.0.0.1:5".to_owned(), pulse: Box::new(Session::There) }
}

fn below<'a>(root: &Root, to: &str, is_over: &'a dyn Fn() -> bool) -> Result<Below<'a>, Why> {
    Below::new(root, &offer(to), &Limits::default(), (holder(), is_over))
}

/// A file that has all of its bytes.
fn begun(below: &mut Below<'_>, bytes: &[u8]) -> Slot {
    let (here, entry) = (below.here(), entry(bytes.len() as u64));
    assert_eq!(below.look(&entry, None), Ok(Stands::Other));
    let (mut slot, _) = below.begin(&here, &entry).unwrap();
    below.write(&mut slot, bytes, 0).unwrap();
    slot
}

fn put(root: &Root, to: &str, bytes: &[u8]) -> Result<std::path::PathBuf, Why> {
    let mut below = below(root, to, NEVER)?;
    let slot = begun(&mut below, bytes);
    below.keep(slot)?;
    assert_eq!(below.finish(), Ok(Vec::new()));
    Ok(below.shown().below(root.path()))
}

#[test]
fn links_to_folders_are_followed_where_that_is_allowed_and_never_out_of_the_root() {
    let (dir, _) = root();
    let (outside, inside) = (dir.path().join("outside"), dir.path().join("root"));
    fs::create_dir_all(inside.join("a/deep")).unwrap();
    fs::create_dir(&outside).unwrap();
    let absolute = inside.join("a");
    for (target, link) in [
        ("a", "link"),
        ("../a/./deep/", "a/dots"),
        ("link/deep", "chain"),
        ("made", "dangling"),
        ("../outside", "out"),
        ("a/../../outside", "around"),
        ("/", "slash"),
        (absolute.to_str().unwrap(), "absolute"),
        ("loop", "loop"),
    ] {
        symlink(target, inside.join(link)).unwrap();
    }
    fs::write(inside.join("file"), "").unwrap();
    symlink("file", inside.join("to-file")).unwrap();
    let (strict, follow) = (Root::open(&inside).unwrap(), Root::open_with(&inside, true).unwrap());
    for (to, expected) in [
        ("link", "a/name"),
        ("link/x", "a/x"),
        ("link/new/", "a/new/name"),
        ("a/dots/", "a/deep/name"),
        ("chain", "a/deep/name"),
        ("dangling/x", "made/x"),
    ] {
        let why = put(&strict, to, b"bytes").unwrap_err();
        assert!(why.ends_with("is refused: it is a symbolic link"), "{to}: {why}");
        assert_eq!(put(&follow, to, b"bytes"), Ok(inside.join(expected)), "{to}");
        fs::remove_file(inside.join(expected)).unwrap();
    }
    for (to, why) in [
        ("out/x", "leads out of the root folder"),
        ("out", "leads out of the root folder"),
        ("around/", "leads out of the root folder"),
        ("slash/tmp", "leads out of the root folder"),
        ("absolute/x", "leads out of the root folder"),
        ("loop/x", "more than 40 symbolic links"),
        ("to-file", "it is a symbolic link"),
        ("to-file/x", "it is a file"),
        ("link/../x", "it names a folder"),
    ] {
        let said = put(&follow, to, b"bytes").unwrap_err();
        assert!(said.contains(why), "{to}: {said}");
    }
    assert!(tree(&outside).is_empty());
}

#[test]
fn a_folder_that_another_session_is_in_stays() {
    let (dir, root) = root();
    let limits = Limits::default();
    let below = || Below::new(&root, &offer("new/deep/"), &limits, (holder(), NEVER)).unwrap();
    let first = below();
    let mut second = below();
    drop(first);
    let slot = begun(&mut second, b"bytes");
    second.keep(slot).unwrap();
    assert_eq!(second.finish(), Ok(Vec::new()));
    drop(second);
    assert_eq!(tree(dir.path()), ["new", "new/deep", "new/deep/name"]);
    // With nobody in it, one that was made goes again.
    drop(Below::new(&root, &offer("more/deep/"), &limits, (holder(), NEVER)).unwrap());
    assert!(!dir.path().join("more").exists());
}

#[test]
fn sessions_that_come_and_go_never_lose_a_folder_under_one_that_writes() {
    let (dir, root) = root();
    let limits = Limits::default();
    let come_and_go = || {
        for _ in 0..300 {
            let mut below =
                Below::new(&root, &offer("new/deep/"), &limits, (holder(), NEVER)).unwrap();
            drop(begun(&mut below, b"bytes")); // fails where its folder is gone
        }
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(come_and_go))));
    assert!(tree(dir.path()).is_empty(), "the last one takes the folders with it");
}

#[test]
fn a_path_means_what_it_means_to_scp() {
    for (to, expected) in [
        ("", "name"),
        ("/", "name"),
        (".", "name"),
        ("folder", "folder/name"),
        ("folder/", "folder/name"),
        ("/folder", "folder/name"),
        ("folder/.", "folder/name"),
        ("other", "other"),
        ("/other", "other"),
        ("./other", "other"),
        ("folder//other", "folder/other"),
        ("new/", "new/name"),
        ("new/deep/other", "new/deep/other"),
        ("-rf", "-rf"),
        ("a b\n", "a b\n"),
    ] {
        let (dir, root) = root();
        fs::create_dir(dir.path().join("folder")).unwrap();
        let path = put(&root, to, b"bytes").unwrap();
        assert_eq!(path, dir.path().join(expected), "{to:?}");
        assert_eq!(fs::read(&path).unwrap(), b"bytes");
        let left: Vec<_> = tree(dir.path()).into_iter().filter(|p| p.contains(".mcp")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn nothing_leads_out_of_the_root() {
    let (dir, root) = root();
    let temporary = "a/.mcp-1-0123456789abcdef.part";
    let long = "x/".repeat(200);
    for to in ["..", "../x", "a/../../x", "/..", "a/..", "x\0y", temporary, &long] {
        let why = below(&root, to, NEVER).err().unwrap();
        assert!(why.contains("is refused"), "{to:?}: {why}");
        assert!(tree(dir.path()).is_empty(), "{to:?}");
    }
}

#[test]
fn what_is_no_file_is_refused_and_left_alone() {
    let (dir, root) = root();
    let at = |name: &str| dir.path().join(name);
    rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    fs::write(at("file"), b"old").unwrap();
    symlink("file", at("link")).unwrap();
    fs::create_dir_all(at("folder/name")).unwrap();
    symlink("folder", at("linked")).unwrap();
    let before = tree(dir.path());
    for (to, why) in [
        ("pipe", "pipe is refused: it is a pipe"),
        ("socket", "socket is refused: it is a socket"),
        ("link", "link is refused: it is a symbolic link"),
        ("folder", "folder/name is refused: it is a folder"),
        ("linked", "linked is refused: it is a symbolic link"),
        ("linked/", "linked is refused: it is a symbolic link"),
        ("linked/x", "linked is refused: it is a symbolic link"),
        ("file/", "file is refused: it is a file"),
        ("file/x", "file is refused: it is a file"),
        ("pipe/x", "pipe is refused: it is a pipe"),
    ] {
        assert_eq!(below(&root, to, NEVER).err().as_deref(), Some(why), "{to}");
    }
    assert_eq!(tree(dir.path()), before);
    assert_eq!(fs::read(at("file")).unwrap(), b"old");
}

/// Between the offer and the end, something comes to stand at the destination.
#[test]
fn what_came_to_stand_there_meanwhile_is_not_replaced() {
    type Change = fn(&Path);
    let changes: [(&str, Change, &str); 2] = [
        (
            "out",
            |at| {
                fs::create_dir_all(at.join("out/full")).unwrap();
            },
            "a folder that is not empty",
        ),
        (
            "dir/out",
            |at| {
                fs::remove_dir_all(at.join("dir")).unwrap();
                symlink("/tmp", at.join("dir")).unwrap();
            },
            "cannot open dir: ",
        ),
    ];
    for (to, change, what) in changes {
        let (dir, root) = root();
        let mut below = below(&root, to, NEVER).unwrap();
        let slot = begun(&mut below, b"new");
        change(dir.path());
        let why = below.keep(slot).unwrap_err();
        assert!(why.contains(what), "{why}");
        assert!(!tree(dir.path()).iter().any(|name| name.contains(".mcp")));
    }
}

#[test]
fn folders_that_were_made_for_a_file_go_again_without_it() {
    let (dir, root) = root();
    let mut other = below(&root, "a/b/c", NEVER).unwrap();
    drop(begun(&mut other, b"x"));
    drop(other);
    assert!(tree(dir.path()).is_empty());
    fs::create_dir(dir.path().join("a")).unwrap();
    drop(below(&root, "a/b/c", NEVER).unwrap());
    assert_eq!(tree(dir.path()), ["a"], "what was there stays");
    put(&root, "a/b/c", b"1").unwrap();
    assert_eq!(tree(dir.path()), ["a", "a/b", "a/b/c"]);
}

/// Whoever moves the folder takes what is open in it along: it is neither reached nor reported.
#[test]
fn a_folder_that_is_moved_away_gets_no_file() {
    let (dir, root) = root();
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("dir")).unwrap();
    let mut below = below(&root, "dir/out", NEVER).unwrap();
    let slot = begun(&mut below, b"new");
    fs::rename(dir.path().join("dir"), outside.path().join("dir")).unwrap();
    fs::create_dir(dir.path().join("dir")).unwrap();
    let why = below.keep(slot).unwrap_err();
    assert!(why.contains("moved or replaced"), "{why}");
    assert_eq!(
        (tree(dir.path()), tree(outside.path())),
        (vec!["dir".to_owned()], vec!["dir".to_owned()])
    );
}

/// The sender was told that it has failed: the old file stays.
#[test]
fn what_is_not_wanted_any_more_replaces_nothing() {
    let (dir, root) = root();
    fs::write(dir.path().join("out"), b"old").unwrap();
    let mut below = below(&root, "out", &|| true).unwrap();
    let slot = begun(&mut below, b"new");
    let why = below.keep(slot).unwrap_err();
    assert!(why.contains("not wanted any more"), "{why}");
    assert_eq!(fs::read(dir.path().join("out")).unwrap(), b"old");
    assert_eq!(tree(dir.path()), ["out"]);
}

#[test]
fn two_to_the_same_path_are_never_mixed() {
    let (dir, root) = root();
    let mut belows = [0, 1].map(|_| below(&root, "same", NEVER).unwrap());
    let slots = [&b"first"[..], b"second"].into_iter().zip(&mut belows);
    let slots: Vec<_> = slots.map(|(bytes, below)| (begun(below, bytes), bytes)).collect();
    for ((slot, bytes), below) in slots.into_iter().zip(&mut belows) {
        below.keep(slot).unwrap();
        assert_eq!(fs::read(dir.path().join("same")).unwrap(), bytes);
    }
    assert_eq!(tree(dir.path()), ["same"]);
}

#[test]
fn nobody_else_reads_a_file_before_it_is_whole() {
    let (dir, root) = root();
    let mut below = below(&root, "out", NEVER).unwrap();
    let slot = begun(&mut below, b"new");
    let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
    assert_eq!(mode(&tree(dir.path())[0]) & 0o777, 0o600);
    below.keep(slot).unwrap();
    assert_eq!(mode("out") & 0o777, 0o666 & !umask());
}

/// What a session that breaks off leaves is gone on with by the next of the same sender, and by no other.
#[test]
fn what_is_left_is_gone_on_with() {
    let (dir, root) = root();
    let offer = Offer { resume: true, ..offer("new/out") };
    let (len, entry) = (3 * blocks::BLOCK, entry(3 * blocks::BLOCK));
    let bytes = vec![7; len as usize];
    let begin = |sender: u8| {
        let holder = Holder { sender: [sender; 32], ..holder() };
        let mut below = Below::new(&root, &offer, &Limits::default(), (holder, NEVER)).unwrap();
        let here = below.here();
        let (slot, held) = below.begin(&here, &entry).unwrap();
        (below, slot, held)
    };
    let (mut below, mut slot, held) = begin(1);
    assert!(held.is_empty());
    below.write(&mut slot, &bytes[..blocks::BLOCK as usize], 0).unwrap();
    let value = blocks::value(0, &bytes[..blocks::BLOCK as usize], len);
    below.note(&mut slot, 0, &value).unwrap();
    drop(slot);
    drop(below);
    assert_eq!(tree(dir.path()).len(), 3, "the folder, the partial file and its state");
    let (mut below, mut slot, held) = begin(1);
    assert_eq!(held, Held::from([(0, value)]));
    let mut there = vec![0; blocks::BLOCK as usize];
    below.read(&mut slot, &mut there, 0).unwrap();
    assert!(there == bytes[..blocks::BLOCK as usize]);
    below.write(&mut slot, &bytes[blocks::BLOCK as usize..], blocks::BLOCK).unwrap();
    below.keep(slot).unwrap();
    assert_eq!(tree(dir.path()), ["new", "new/out"]);
    assert!(fs::read(dir.path().join("new/out")).unwrap() == bytes);

    let (mut below, mut slot, _) = begin(1);
    below.note(&mut slot, 0, &value).unwrap();
    drop(slot);
    let (_, slot, held) = begin(2);
    assert!(held.is_empty(), "another sender's");
    drop(slot);
    assert_eq!(tree(dir.path()), ["new", "new/out"]);
}

/// A killed sender's session that runs late: a later copy may be through already, and would take nothing over.
#[test]
fn who_is_over_before_its_first_file_leaves_nothing() {
    let (dir, root) = root();
    let offer = Offer { resume: true, ..offer("out") };
    let holder = Holder { pulse: Box::new(Session::Over), ..holder() };
    let mut below = Below::new(&root, &offer, &Limits::default(), (holder, NEVER)).unwrap();
    let here = below.here();
    let begun = below.begin(&here, &entry(3 * blocks::BLOCK)).map(|_| ());
    assert_eq!(begun.unwrap_err(), UNWANTED);
    drop(below);
    assert!(tree(dir.path()).is_empty());
}

/// Nobody would ever go on with it, and its room may be just what is missing.
#[test]
fn who_begins_anew_leaves_nothing_of_what_was_left() {
    let (dir, root) = root();
    let entry = entry(3 * blocks::BLOCK);
    for resume in [true, false] {
        let offer = Offer { resume, ..offer("") };
        let mut below = Below::new(&root, &offer, &Limits::default(), (holder(), NEVER)).unwrap();
        let here = below.here();
        let (mut slot, held) = below.begin(&here, &entry).unwrap();
        assert!(held.is_empty());
        below.note(&mut slot, 0, &[0; 32]).unwrap();
        assert_eq!(tree(dir.path()).len(), if resume { 2 } else { 1 });
    }
    assert!(tree(dir.path()).is_empty());
}

/// Also where names fold, and nothing stands under the name.
#[test]
fn who_begins_anew_leaves_nothing_where_names_fold() {
    use crate::place::folding::{Ask, Folds};
    let ask = Ask { folds: |_, _| Some(Folds::ByInode), ..Ask::SYSTEM };
    let (dir, root) = root();
    let entry = entry(3 * blocks::BLOCK);
    for resume in [true, false] {
        let offer = Offer { resume, ..offer("") };
        let below = Below::new(&root, &offer, &Limits::default(), (holder(), NEVER)).unwrap();
        let mut below = below.folding(ask);
        below.claim(&entry).unwrap();
        assert!(below.free);
        let here = below.here();
        let (mut slot, _) = below.begin(&here, &entry).unwrap();
        below.note(&mut slot, 0, &[0; 32]).unwrap();
        assert_eq!(tree(dir.path()).len(), if resume { 2 } else { 1 });
    }
    assert!(tree(dir.path()).is_empty());
}

/// The number that chown(2) takes for none: what is told of the owner would be left out without a word.
#[test]
fn an_owner_that_nobody_can_be_fails() {
    let (_dir, root) = root();
    let limits = Limits {
        allow: crate::limits::Allow { owner: true, ..Default::default() },
        ..Limits::default()
    };
    let keep = crate::message::Keep { owner: true, group: true, ..Default::default() };
    let offer = Offer { keep, ..offer("") };
    let mut below = Below::new(&root, &offer, &limits, (holder(), NEVER)).unwrap();
    for (uid, gid) in [(u32::MAX, 0), (0, u32::MAX)] {
        let owner = Owner { uid, gid, user: Vec::new(), group: Vec::new() };
        let why = below.owner(&owner).unwrap_err();
        assert!(why.contains("4294967295"), "{why}");
    }
}

/// `-c` goes by digests whatever the times, `-u` by which is newer.
#[test]
fn files_are_compared_as_it_was_asked_for() {
    let (dir, root) = root();
    fs::write(dir.path().join("name"), b"there").unwrap();
    let there = fs::metadata(dir.path().join("name")).unwrap();
    let old = Time { secs: 5, nanos: 0 };
    let stands = |update, check, told: &[u8], mtime| {
        let offer = Offer {
            check,
            update,
            keep: crate::message::Keep { times: true, ..Default::default() },
            ..offer("")
        };
        let mut below = Below::new(&root, &offer, &Limits::default(), (holder(), NEVER)).unwrap();
        let meta = Meta { mode: 0o644, mtime, ..Meta::default() };
        let kind = Kind::File { len: told.len() as u64, data: None };
        let digest = *blake3::hash(told).as_bytes();
        below.look(&Entry { name: b"name".to_vec(), meta, kind }, Some(&digest)).unwrap()
    };
    for check in [Check::Quick, Check::Digest, Check::None] {
        assert_eq!(stands(true, check, b"newer", old), Stands::Same, "{check:?}");
    }
    assert_eq!(stands(false, Check::Quick, b"there", old), Stands::Other);
    assert_eq!(stands(false, Check::Digest, b"other", old), Stands::Other);
    assert_eq!(stands(false, Check::Digest, b"there", old), Stands::Same);
    assert_eq!(fs::metadata(dir.path().join("name")).unwrap().mtime(), 5, "its time is kept");
    assert_ne!(there.mtime(), 5);
    let late = Time { secs: 6, nanos: 0 };
    for check in [Check::Quick, Check::Digest, Check::None] {
        assert_eq!(stands(true, check, b"newer", late), Stands::Other, "{check:?}");
    }
    assert_eq!(stands(false, Check::None, b"there", old), Stands::Other);
}

/// A file that is written to through a mapping may keep its time, and a copy of one that was changed within a second
/// may have the same second: length and second do not say that bytes are the same.
#[test]
fn what_a_time_does_not_show_is_found_by_its_nanoseconds_or_by_a_digest() {
    let (dir, root) = root();
    let path = dir.path().join("name");
    let now = std::time::SystemTime::now();
    let stands = |check, mtime: std::time::SystemTime, nanos_apart: u32, mode| {
        fs::write(&path, b"there").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(mtime).unwrap();
        let found = fs::metadata(&path).unwrap();
        let nanos = u32::try_from(found.mtime_nsec()).unwrap() ^ nanos_apart;
        let keep = crate::message::Keep { perms: true, times: true, ..Default::default() };
        let offer = Offer { keep, check, ..offer("") };
        let mut below = Below::new(&root, &offer, &Limits::default(), (holder(), NEVER)).unwrap();
        let (uid, gid) = (found.uid(), found.gid());
        let mtime = Time { secs: found.mtime(), nanos };
        let meta = Meta { mode, mtime, uid, gid, ..Meta::default() };
        let kind = Kind::File { len: 5, data: None };
        let entry = Entry { name: b"name".to_vec(), meta, kind };
        let digest = *blake3::hash(b"other").as_bytes();
        let whether = below.look(&entry, (check == Check::Digest).then_some(&digest)).unwrap();
        (whether, fs::metadata(&path).unwrap().mode() & 0o7777)
    };
    let long_ago = now - std::time::Duration::from_secs(1000);
    assert_eq!(stands(Check::Quick, long_ago, 0, 0o600), (Stands::Same, 0o600), "the mode is set");
    assert_eq!(stands(Check::Digest, long_ago, 0, 0o600), (Stands::Other, 0o644));
    // Where the file system tells nanoseconds apart, as nearly all do.
    let tried = tempfile::tempfile_in(dir.path()).unwrap();
    if Granularity::of(&tried).unwrap().step == 1 {
        assert_eq!(stands(Check::Quick, long_ago, 1, 0o600), (Stands::Other, 0o644));
    }
    // It may have been written to since, also by a clock that is ahead; what lies years ahead was set.
    assert_eq!(stands(Check::Quick, now, 0, 0o600), (Stands::Other, 0o644));
    let ahead = |seconds| now + std::time::Duration::from_secs(seconds);
    assert_eq!(stands(Check::Quick, ahead(60), 0, 0o600), (Stands::Other, 0o644));
    assert_eq!(stands(Check::Quick, ahead(5 * 365 * 86_400), 0, 0o600), (Stands::Same, 0o600));
}

/// The sender's clock is days ahead of this one: what it has modified lately is as doubtful.
#[test]
fn what_was_modified_lately_by_the_sender_s_clock_is_not_taken_for_the_same_by_its_time() {
    let (dir, root) = root();
    let path = dir.path().join("name");
    let now = Time::now();
    let stands = |begun: Option<Time>, mtime: Time| {
        fs::write(&path, b"there").unwrap();
        several_names::set_time(&path, mtime);
        let found = fs::metadata(&path).unwrap();
        let keep = crate::message::Keep { times: true, ..Default::default() };
        let offer = Offer { keep, begun, ..offer("") };
        let mut below = Below::new(&root, &offer, &Limits::default(), (holder(), NEVER)).unwrap();
        let nanos = u32::try_from(found.mtime_nsec()).unwrap();
        let mtime = Time { secs: found.mtime(), nanos };
        let meta = Meta { mode: 0o644, mtime, ..Meta::default() };
        let entry = Entry { name: b"name".to_vec(), meta, kind: Kind::File { len: 5, data: None } };
        below.look(&entry, None).unwrap()
    };
    for days in [-900, -3, 3, 900] {
        let there = Time { secs: now.secs + days * 86_400, ..now };
        let at = |secs| Time { secs: there.secs + secs, ..there };
        for (secs, expected) in [
            (-3, Stands::Same),
            (-1, Stands::Other),
            (0, Stands::Other),
            (80_000, Stands::Other),
            (90_000, Stands::Same),
        ] {
            assert_eq!(stands(Some(there), at(secs)), expected, "{days} {secs}");
            assert_eq!(stands(None, at(secs)), Stands::Same, "{days} {secs}: by this clock alone");
        }
    }
    for secs in [i64::MIN, i64::MAX] {
        assert_eq!(
            stands(Some(Time { secs, nanos: u32::MAX }), Time { secs: 5, nanos: 0 }),
            Stands::Same
        );
    }
}

/// What stands there is a TiB of holes, which takes minutes to be hashed; its sender is killed after a few blocks.
#[test]
fn hashing_what_stands_there_ends_with_the_session() {
    let (dir, root) = root();
    let long = 1 << 40;
    File::create(dir.path().join("name")).unwrap().set_len(long).unwrap();
    let asked = std::cell::Cell::new(0);
    let is_over = || asked.replace(asked.get() + 1) >= 3;
    let offer = Offer { check: Check::Digest, ..offer("") };
    let mut below = Below::new(&root, &offer, &Limits::default(), (holder(), &is_over)).unwrap();
    let looked = below.look(&entry(long), Some(&[7; 32]));
    assert_eq!(looked, Err("it is not wanted any more".to_owned()));
    assert_eq!(tree(dir.path()), ["name"], "nothing is begun in its place");
}
