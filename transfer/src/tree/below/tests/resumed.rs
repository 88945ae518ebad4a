//! What a partial file is a part of.

use super::*;

const LEN: u64 = 3 * blocks::BLOCK;
const MTIME: Time = Time { secs: 1_234_567_890, nanos: 5 };

/// A file as a sender tells it.
fn told(name: &str, len: u64, mtime: Time) -> Entry {
    let meta = Meta { mode: 0o644, mtime, ..Meta::default() };
    Entry { name: name.into(), meta, kind: Kind::File { len, data: None } }
}

/// Begins to write an entry to a destination, and notes its first block if that is wanted. Gives what was held of it.
fn begin(root: &Root, to: &str, entry: &Entry, note: bool) -> Held {
    let offer = Offer { resume: true, ..offer(to) };
    let mut below = Below::new(root, &offer, &Limits::default(), (holder(), NEVER)).unwrap();
    let here = below.here();
    let (mut slot, held) = below.begin(&here, entry).unwrap();
    if note {
        below.write(&mut slot, &vec![7; blocks::BLOCK as usize], 0).unwrap();
        below.note(&mut slot, 0, &[7; 32]).unwrap();
    }
    held
}

/// Name, length and time of the source are compared, and the destination: where one of them is another, nothing of
/// what was left counts.
#[test]
fn what_was_left_of_another_file_is_not_gone_on_with() {
    let later = Time { secs: MTIME.secs + 1, ..MTIME };
    let by_a_nanosecond = Time { nanos: MTIME.nanos + 1, ..MTIME };
    for (what, to, entry, goes_on) in [
        ("nothing", "out", told("name", LEN, MTIME), true),
        ("its name", "out", told("other", LEN, MTIME), false),
        ("its length by a byte", "out", told("name", LEN - 1, MTIME), false),
        ("its length by a block", "out", told("name", LEN + blocks::BLOCK, MTIME), false),
        ("its time", "out", told("name", LEN, later), false),
        ("its time by a nanosecond", "out", told("name", LEN, by_a_nanosecond), false),
        ("its destination", "place", told("name", LEN, MTIME), false),
    ] {
        let (_dir, root) = root();
        assert!(begin(&root, "out", &told("name", LEN, MTIME), true).is_empty());
        let expected = if goes_on { Held::from([(0, [7; 32])]) } else { Held::new() };
        assert_eq!(begin(&root, to, &entry, false), expected, "{what} is another");
    }
}
