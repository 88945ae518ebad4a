//! What others do to the tree below the root while it is written into.

use super::*;
use std::os::unix::fs::MetadataExt;

/// What a tree is to have kept of its entries.
fn tree_offer() -> Offer {
    let keep = crate::message::Keep { perms: true, times: true, ..Default::default() };
    Offer { to: "".into(), keep, ..Offer::default() }
}

fn named(name: &str, kind: Kind) -> Entry {
    let mtime = Time { secs: 1_000_000_000, nanos: 0 };
    let meta = Meta { mode: 0o755, mtime, ..Meta::default() };
    Entry { name: name.into(), meta, kind }
}

fn small(name: &str) -> Entry {
    named(name, Kind::File { len: 3, data: None })
}

fn is_moved(put: Result<impl std::fmt::Debug, Why>, what: &str) {
    let why = put.expect_err(what);
    assert!(why.contains("moved or replaced"), "{what}: {why}");
}

/// However something is put into a folder, nothing is once it was moved away: it may be out of the root by then. What
/// stands in it is left alone as well.
#[test]
fn a_folder_that_is_moved_away_gets_nothing() {
    let (dir, root) = root();
    let outside = tempfile::tempdir().unwrap();
    let mut below =
        Below::new(&root, &tree_offer(), &Limits::default(), (holder(), NEVER)).unwrap();
    below.enter(0, &named("dir", Kind::Dir)).unwrap();
    let way = below.here();
    for put in below.files(&[(&way, &small("before"), b"one"), (&way, &small("other"), b"two")]) {
        put.unwrap();
    }
    below.leave();
    // It was not made for the tree any more, so that what stands in it is looked at.
    let mut below =
        Below::new(&root, &tree_offer(), &Limits::default(), (holder(), NEVER)).unwrap();
    below.enter(0, &named("dir", Kind::Dir)).unwrap();
    let way = below.here();
    below.files(&[(&way, &small("other"), b"two")]).remove(0).unwrap();
    fs::rename(dir.path().join("dir"), outside.path().join("dir")).unwrap();
    fs::create_dir(dir.path().join("dir")).unwrap();

    for put in below.files(&[(&way, &small("a"), b"one"), (&way, &small("b"), b"two")]) {
        is_moved(put, "small files");
    }
    is_moved(below.begin(&way, &small("large")).map(drop), "a large file");
    is_moved(below.symlink(&named("s", Kind::Symlink { target: "x".into() }), b"x"), "a link");
    fs::write(dir.path().join("first"), b"first").unwrap();
    is_moved(below.link(&way, &small("l"), b"first"), "another name");
    let mut closed = small("other");
    closed.meta.mode = 0o600;
    is_moved(below.look(&closed, None), "what is set on a file");
    is_moved(below.enter(1, &named("sub", Kind::Dir)), "a folder");
    let mode = fs::metadata(outside.path().join("dir/other")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o755);
    assert_eq!(tree(outside.path()), ["dir", "dir/before", "dir/other"]);
    assert_eq!(tree(dir.path()), ["dir", "first"]);
}

/// Puts something in a folder that goes when the disk has been waited for, which is before it is asked whether the
/// session is over: it does not get its name.
fn goes_while_it_is_put(put: impl Fn(&mut Below<'_>, &Way) -> bool) {
    let (dir, root) = root();
    let outside = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("dir"), outside.path().join("dir"));
    let moves = || {
        fs::rename(&from, &to).unwrap();
        false
    };
    let offer = Offer { sync: Sync::File, ..tree_offer() };
    let mut below = Below::new(&root, &offer, &Limits::default(), (holder(), &moves)).unwrap();
    below.enter(0, &named("dir", Kind::Dir)).unwrap();
    let way = below.here();
    assert!(!put(&mut below, &way));
    assert_eq!((tree(dir.path()), tree(outside.path())), (Vec::new(), vec!["dir".to_owned()]));
}

#[test]
fn a_folder_that_goes_while_files_are_written_has_none_of_them() {
    goes_while_it_is_put(|below, way| {
        let put = below.files(&[(way, &small("a"), b"one"), (way, &small("b"), b"two")]);
        put.iter().any(Result::is_ok)
    });
}

#[test]
fn a_folder_that_goes_while_the_disk_is_waited_for_has_no_file() {
    goes_while_it_is_put(|below, way| {
        let (mut slot, _) = below.begin(way, &small("large")).unwrap();
        below.write(&mut slot, b"one", 0).unwrap();
        below.keep(slot).is_ok()
    });
}

/// Two sessions bring the same tree: the folder is new for one, and the other is quicker with what is in it.
#[test]
fn another_session_may_put_the_same_names_into_a_folder_that_was_made() {
    let (dir, root) = root();
    let limits = Limits::default();
    let below = || Below::new(&root, &tree_offer(), &limits, (holder(), NEVER)).unwrap();
    let (mut first, mut second) = (below(), below());
    for below in [&mut first, &mut second] {
        below.enter(0, &named("dir", Kind::Dir)).unwrap();
    }
    let (link, target) = (named("link", Kind::Symlink { target: "x".into() }), b"x");
    for (below, bytes) in [(&mut second, b"two"), (&mut first, b"one")] {
        let way = below.here();
        below.files(&[(&way, &small("Name"), bytes)]).remove(0).unwrap();
        below.symlink(&link, target).unwrap();
        assert_eq!(fs::read(dir.path().join("dir/Name")).unwrap(), bytes);
        let inode = |name: &str| fs::metadata(dir.path().join("dir").join(name)).unwrap().ino();
        // Also where it is the very same already.
        for stands in [Stands::Other, Stands::Same] {
            assert_eq!(below.link(&way, &small("hard"), b"dir/Name"), Ok(stands));
            assert_eq!(inode("hard"), inode("Name"));
        }
    }
    assert_eq!(tree(dir.path()), ["dir", "dir/Name", "dir/hard", "dir/link"]);
}

/// A session whose sender was killed lives on for some seconds: what it was told of folders, and what it removes from them
/// then, changes nothing of what a later copy has been told of them, which may be over by then.
#[test]
fn a_session_that_is_broken_off_late_leaves_folders_as_a_later_one_has_set_them() {
    let (dir, root) = root();
    let limits = Limits::default();
    let session = || Below::new(&root, &tree_offer(), &limits, (holder(), NEVER)).unwrap();
    let told = |name: &str, secs, mode| {
        let mut entry = named(name, Kind::Dir);
        (entry.meta.mtime.secs, entry.meta.mode) = (secs, mode);
        entry
    };
    let mut left = session();
    left.root(&told("", 1_000, 0o755).meta).unwrap();
    left.enter(0, &told("dir", 1_000, 0o750)).unwrap();
    let (slot, _) = left.begin(&left.here(), &small("large")).unwrap();
    left.leave();
    left.enter(1, &told("own", 1_000, 0o750)).unwrap();
    left.leave();

    let mut later = session();
    later.root(&told("", 2_000, 0o755).meta).unwrap();
    later.enter(0, &told("dir", 2_000, 0o700)).unwrap();
    let way = later.here();
    later.files(&[(&way, &small("small"), b"one")]).remove(0).unwrap();
    later.leave();
    later.finish().unwrap();
    drop(later);
    let of = |path: &str| {
        let meta = fs::metadata(dir.path().join(path)).unwrap();
        (meta.mtime(), meta.mode() & 0o777)
    };
    assert_eq!(of("dir"), (2_000, 0o700));
    // What it has begun goes first, as in the sink.
    drop(slot);
    drop(left);
    assert_eq!((of("dir"), of("").0), ((2_000, 0o700), 2_000));
    assert_eq!(of("own"), (1_000, 0o750), "of that no other was told");
    assert_eq!(tree(dir.path()), ["dir", "dir/small", "own"]);
}
