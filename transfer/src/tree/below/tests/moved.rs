//! What is taken from under a former name, and what is not.

use super::several_names::set_time;
use super::*;
use crate::message::OfJob;

const MTIME: Time = Time { secs: 1_000_000_000, nanos: 0 };

fn told(name: &str, len: u64) -> Entry {
    let meta = Meta { mode: 0o644, mtime: MTIME, ..Meta::default() };
    Entry { name: name.into(), meta, kind: Kind::File { len, data: None } }
}

fn pair(from: &str, to: &str) -> Pair {
    (from.into(), to.into())
}

/// A tree that goes into `to`, told of these former names.
fn tree_below<'a>(root: &Root, job: Option<&str>, pairs: &[(&str, &str)]) -> Below<'a> {
    let job = job.map(|below| Box::new(OfJob { below: below.into(), ..OfJob::default() }));
    let offer = Offer { to: b"to/".to_vec(), job, ..Offer::default() };
    let mut below = Below::new(root, &offer, &Limits::default(), (holder(), NEVER)).unwrap();
    assert!(below.moved(pairs.iter().map(|(from, to)| pair(from, to)).collect()));
    below
}

#[test]
fn a_file_of_the_same_length_and_time_below_the_place_may_be_it_and_nothing_else() {
    let (dir, root) = root();
    let at = |path: &str| dir.path().join(path);
    fs::create_dir_all(at("to/old/deep")).unwrap();
    for (path, bytes) in [
        ("to/old/deep/f", "there"),
        ("to/old/f", "there"),
        ("to/longer", "longer"),
        ("to/later", "later"),
        ("to/.mcp-0123456789abcdef.partial", "there"),
        ("out", "there"),
    ] {
        fs::write(at(path), bytes).unwrap();
        set_time(&at(path), MTIME);
    }
    set_time(&at("to/later"), Time { secs: MTIME.secs + 1, ..MTIME });
    symlink("old/f", at("to/link")).unwrap();
    symlink("old", at("to/linked")).unwrap();
    fs::create_dir(at("to/fifth")).unwrap();
    let _socket = UnixListener::bind(at("to/socket")).unwrap();
    for (from, to, job, expected) in [
        ("old/f", "f", None, true),
        ("old/deep", "", None, false), // the root of the transfer is no folder with another name
        ("longer", "f", None, false),
        ("later", "f", None, false),
        (".mcp-0123456789abcdef.partial", "f", None, false),
        ("../out", "f", None, false),
        ("/out", "f", None, false),
        ("link", "f", None, false),
        ("linked/f", "f", None, false),
        ("fifth", "f", None, false),
        ("socket", "f", None, false),
        ("nothing", "f", None, false),
        ("f", "f", None, false),
        ("", "f", None, false),
        ("old/f", "f", Some("old"), true),
        ("old/f", "f", Some(""), true),
        ("old/f", "f", Some("ol"), false),
        ("old/f", "f", Some("new"), false),
    ] {
        let case = format!("{from} {to} {job:?}");
        let mut below = tree_below(&root, job, &[(from, to)]);
        let here = below.here();
        assert_eq!(below.is_elsewhere(&here, &told("f", 5)), expected, "{case}");
        let fetched = below.fetch(&here, &told("f", 5));
        assert_eq!(fetched, expected.then(|| b"there".to_vec()), "{case}");
        let (slot, held) = below.begin(&here, &told("f", 5)).unwrap();
        assert_eq!((below.has_elsewhere(&slot), held.is_empty()), (expected, true), "{case}");
        below.discard(slot);
    }
    // What follows from a folder.
    let mut below = tree_below(&root, None, &[("old/deep", "new/deeper"), ("no", "new")]);
    let way = |path: &str| Way { path: path.as_bytes().into(), new: false, free: false };
    fs::create_dir_all(at("to/new/deeper")).unwrap();
    assert!(below.is_elsewhere(&way("to/new/deeper"), &told("f", 5)));
    assert!(!below.is_elsewhere(&way("to/new"), &told("f", 5)));
}

/// Two files that take each other's names: each is what stood there when it was begun.
#[test]
fn what_was_opened_is_brought_whatever_takes_its_name_meanwhile() {
    const LEN: u64 = 2 * blocks::BLOCK + 3;
    let (dir, root) = root();
    fs::create_dir(dir.path().join("to")).unwrap();
    let of = |fill: u8| vec![fill; LEN as usize];
    for (name, fill) in [("a", 1), ("b", 2)] {
        let path = dir.path().join("to").join(name);
        fs::write(&path, of(fill)).unwrap();
        set_time(&path, MTIME);
    }
    let mut below = tree_below(&root, None, &[("a", "b"), ("b", "a")]);
    let here = below.here();
    let slots = ["a", "b"].map(|name| below.begin(&here, &told(name, LEN)).unwrap().0);
    for mut slot in slots {
        below.bring(&mut slot, 0..blocks::BLOCK).unwrap();
        below.bring(&mut slot, blocks::BLOCK..LEN).unwrap();
        assert!(below.bring(&mut slot, LEN..LEN + 1).is_err());
        below.keep(slot).unwrap();
    }
    below.finish().unwrap();
    assert!(fs::read(dir.path().join("to/a")).unwrap() == of(2));
    assert!(fs::read(dir.path().join("to/b")).unwrap() == of(1));
}

#[test]
fn there_is_room_for_so_many_former_names() {
    let (_dir, root) = root();
    let mut below = tree_below(&root, None, &[]);
    let pairs: Vec<Pair> =
        (0..crate::tree::moved::MOST).map(|n| pair("a", &n.to_string())).collect();
    assert!(below.moved(pairs));
    assert!(!below.moved(vec![pair("a", "b")]));
}
