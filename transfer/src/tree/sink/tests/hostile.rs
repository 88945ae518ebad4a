//! Lists that no honest sender writes, and names that are odd but right, down to the file system.

use super::*;
use crate::destination::Root;
use crate::limits::Limits;
use crate::message::Offer;
use crate::tree::below::Below as OnDisk;
use crate::tree::below::tests::holder;

fn found(name: &[u8], kind: Kind) -> Found {
    let meta = Meta { mode: 0o644, ..Meta::default() };
    Found::Entry(Entry { name: name.to_vec(), meta, kind })
}

/// Takes a list, with the bytes of its files from a folder, into another; the reasons of what failed.
fn taken(from: &std::path::Path, list: Vec<Found>, to: &std::path::Path) -> Vec<Why> {
    let listed = listed(from, list);
    let root = Root::open(to).unwrap();
    let (offer, limits) = (Offer::default(), Limits::default());
    let below = OnDisk::new(&root, &offer, &limits, (holder(), &|| false)).unwrap();
    let mut sink = TreeSink::new(below, false);
    carry(&listed, &mut sink, |_| {}).unwrap();
    sink.finish().unwrap();
    sink.failed.into_iter().map(|(_, why)| why).collect()
}

#[test]
fn a_link_that_was_sent_is_neither_written_through_nor_linked_through() {
    let (from, bed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir(bed.path().join("root")).unwrap();
    fs::create_dir(bed.path().join("outside")).unwrap();
    fs::write(bed.path().join("outside/secret"), "secret").unwrap();
    fs::create_dir(from.path().join("dir")).unwrap();
    for path in ["file", "dir/file"] {
        let file = File::create(from.path().join(path)).unwrap();
        std::io::Write::write_all(&mut &file, b"from the sender").unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap(); // as the list says
    }
    let (file, link) = (
        || Kind::File { len: 15, data: None },
        |target: &str| Kind::Symlink { target: target.into() },
    );
    let further = |to: &str| Kind::Link { to: to.into() };
    let list = vec![
        found(b"dir", link("../outside")),
        found(b"secret", link("../outside/secret")),
        found(b"dir", Kind::Dir),
        found(b"file", file()),
        Found::Leave,
        found(b"through", further("dir/secret")),
        found(b"twin", further("secret")),
        found(b"file", file()),
    ];
    let failed = taken(from.path(), list, &bed.path().join("root"));
    assert_eq!(failed.len(), 3, "{failed:?}");
    assert!(failed[0].contains("dir is refused: it is a symbolic link"), "{failed:?}");
    assert!(failed[1].contains("its folder is not in place"), "{failed:?}");
    assert!(failed[2].starts_with("cannot open dir"), "{failed:?}");
    assert_eq!(fs::read_dir(bed.path().join("outside")).unwrap().count(), 1);
    let secret = fs::metadata(bed.path().join("outside/secret")).unwrap();
    assert_eq!((secret.len(), secret.nlink()), (6, 1));
    // What has two names is the link itself.
    let twin = fs::symlink_metadata(bed.path().join("root/twin")).unwrap();
    assert!(twin.is_symlink() && twin.nlink() == 2);
    let file = fs::read(bed.path().join("root/file")).unwrap();
    assert_eq!(file, b"from the sender");
}

#[test]
fn odd_names_arrive_as_they_are() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let long = [b'n'; 255];
    let names: [&[u8]; 8] = [
        b"a\nb",
        b"\x1b[2J\x07",
        b"\xff\xfe",
        &long,
        b" ",
        b"-rf",
        b"\\x41",
        "\u{202e}x".as_bytes(),
    ];
    let deep = (0..15)
        .fold(from.path().to_owned(), |path, _| path.join(std::ffi::OsStr::from_bytes(&long)));
    // 15 of 256 bytes: with the folder's own path still no longer than the system takes.
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "deep").unwrap();
    for name in names.into_iter().filter(|name| name.len() < 255) {
        let dir = from.path().join(std::ffi::OsStr::from_bytes(name));
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
    }
    let mut list = Vec::new();
    walk(from.path(), &mut list);
    assert_eq!(taken(from.path(), list, to.path()), Vec::<Why>::new());
    for name in names.into_iter().filter(|name| name.len() < 255) {
        let path = [name, b"/", name].concat();
        assert_eq!(fs::read(to.path().join(std::ffi::OsStr::from_bytes(&path))).unwrap(), name);
    }
    let there = to.path().join(deep.strip_prefix(from.path()).unwrap());
    assert_eq!(fs::read(there.join("file")).unwrap(), b"deep");
}

#[test]
fn a_list_that_says_a_billion_entries_and_has_three_is_refused() {
    let from = tempfile::tempdir().unwrap();
    let list = [b"a", b"b", b"c"].map(|name| found(name, Kind::Symlink { target: b"x".to_vec() }));
    let listed = listed(from.path(), list.into());
    let mut sink = new_sink(Map::default());
    sink.end(1_000_000_000, 1_000_000).unwrap();
    let refused = carry(&listed, &mut sink, |_| {}).unwrap_err().to_string();
    assert!(refused.contains("end"), "{refused}");
    // Parts that never come take no more memory than as many numbers.
    let mut sink = new_sink(Map::default());
    let told = (0..1_000_000_000).find_map(|block| sink.part(block, 1, [0; 32]).err());
    assert!(told.unwrap().to_string().contains("out of its turn"));
    assert!(sink.regions.len() <= 1 << 16);
}
