//! Parts of the list of a tree, which a receiver takes from a sender that it trusts in nothing.

use crate::input::Input;
use transfer::tree::entry::Kind;
use transfer::tree::manifest::{PartReader, Record};

/// Reads bytes as a part. Whatever is read of it can stand below a root.
pub fn manifest(input: &[u8]) {
    let mut input = Input::new(input);
    let number = u64::from(input.u8() % 4);
    let bytes = input.rest();
    let Ok(mut reader) = PartReader::new(number, bytes) else { return };
    assert!(reader.header().number == number && reader.header().way.iter().all(is_plain));
    let (mut next, mut depth) = (reader.header().first, reader.header().way.len());
    let mut entries = 0;
    while let Ok(Some(record)) = reader.next_record() {
        match record {
            Record::Root(meta) => assert!(reader.owner(meta.uid, meta.gid).is_some()),
            Record::Whole => {}
            Record::Other(name) => assert!((1..=255).contains(&name.len())),
            Record::Leave => depth = depth.checked_sub(1).expect("only what was entered is left"),
            Record::Entry(number, entry, _) => {
                assert_eq!(number, next);
                next = next.checked_add(1).expect("numbers that exist");
                entries += 1;
                assert!(
                    is_plain(&entry.name) && reader.owner(entry.meta.uid, entry.meta.gid).is_some()
                );
                assert!(entry.meta.mode <= 0o7777 && entry.meta.mtime.nanos < 1_000_000_000);
                match entry.kind {
                    Kind::Dir => depth += 1,
                    Kind::Link { to } => {
                        assert!(to.split(|b| *b == b'/').all(|name| is_plain(&name)));
                    }
                    Kind::File { len, data: Some(data) } => {
                        assert!(data.iter().all(|run| run.start < run.end && run.end <= len));
                        assert!(data.windows(2).all(|two| two[0].end < two[1].start));
                    }
                    Kind::File { .. } | Kind::Symlink { .. } | Kind::Special(_) => {}
                }
            }
        }
        assert!(depth <= 128 && entries <= 8192);
    }
    if let Ok(reader) = PartReader::new(number, bytes)
        && let Ok(count) = reader.count()
    {
        assert_eq!(count, entries);
    }
}

/// A name of one component, which is neither this folder nor the one above.
fn is_plain(name: &(impl AsRef<[u8]> + ?Sized)) -> bool {
    let name = name.as_ref();
    !matches!(name, b"" | b"." | b"..") && !name.iter().any(|byte| matches!(byte, 0 | b'/'))
}
