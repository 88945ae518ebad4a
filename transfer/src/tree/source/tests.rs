//! What a source says of itself, without a session.

use super::super::layout::MAX_LEN;
use super::super::spool::Spool;
use super::*;
use crate::tree::entry::Time;
use crate::tree::scan::holes;
use rustix::fs::FallocateFlags;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::time::Duration;

struct Below(PathBuf);

impl Open for Below {
    fn open(&self, path: &[u8]) -> io::Result<File> {
        File::open(self.0.join(std::ffi::OsStr::from_bytes(path)))
    }
}

/// A session that takes whatever comes.
#[derive(Default)]
struct Grown {
    to: Mutex<Vec<u64>>,
}

impl Grows for Grown {
    fn grow(&self, to: u64) -> Result<(), SourceError> {
        self.to.lock().unwrap().push(to);
        Ok(())
    }

    fn end(&self, _: u64) -> Result<(), SourceError> {
        Ok(())
    }

    fn is_over(&self) -> bool {
        false
    }
}

fn file(name: &str, len: u64, mtime: Time) -> Found {
    let meta = Meta { mtime, ..Meta::default() };
    Found::Entry(Entry { name: name.into(), meta, kind: Kind::File { len, data: None } })
}

fn source(dir: &Path, found: impl Iterator<Item = Found> + Send + 'static) -> TreeSource {
    TreeSource::new(Box::new(Below(dir.to_owned())), Box::new(found), dir).unwrap()
}

/// A file of this length, made on disk, as it is found.
fn made(dir: &Path, name: &str, len: u64, byte: u8) -> Found {
    let path = dir.join(name);
    fs::write(&path, vec![byte; usize::try_from(len).unwrap()]).unwrap();
    let meta = fs::metadata(&path).unwrap();
    file(name, len, Time { secs: meta.mtime(), nanos: meta.mtime_nsec().try_into().unwrap() })
}

/// Of two files that stood under one name nothing is put together, even where length and time are the same.
#[test]
fn a_file_that_is_replaced_between_two_looks_is_not_sent_as_a_mixture() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["a", "b", "c", "d", "e"];
    let found: Vec<_> = names.iter().map(|name| made(dir.path(), name, 2 * BLOCK, b'1')).collect();
    let source = source(dir.path(), found.into_iter());
    source.list(&Grown::default()).unwrap();
    // The first blocks of all: the file that was opened first is not open any more.
    for file in 0..5 {
        assert_eq!(source.read(1 + 2 * file).unwrap()[..3], *b"111");
    }
    let (old, new) = (dir.path().join("a"), dir.path().join("new"));
    fs::write(&new, vec![b'2'; 2 * BLOCK as usize]).unwrap();
    let time = fs::metadata(&old).unwrap().modified().unwrap();
    File::options().write(true).open(&new).unwrap().set_modified(time).unwrap();
    fs::rename(&new, &old).unwrap();
    assert!(source.read(2).unwrap().iter().all(|byte| *byte == 0));
    let told = source.names(&BTreeSet::from([0])).unwrap();
    assert_eq!(told[&0].unread.as_deref(), Some("changed while it was read"));
    assert_eq!(source.digest(0), None);
    // The others are what they were.
    assert_eq!(source.read(4).unwrap()[..3], *b"111");
    assert_eq!(source.digest(1), Some(blake3::hash(&vec![b'1'; 2 * BLOCK as usize])));
}

#[test]
fn what_does_not_fit_a_session_is_named_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let small = made(dir.path(), "d", 10, b'd');
    let time = Time::default();
    let found = ["a", "b", "c"].map(|name| file(name, MAX_LEN, time)).into_iter().chain([small]);
    let source = source(dir.path(), found);
    let session = Grown::default();
    source.list(&session).unwrap();
    let unlisted = source.unlisted();
    let names: Vec<_> = unlisted.iter().map(|(path, _)| &path[..]).collect();
    assert_eq!((names, source.unlisted_count()), (vec![&b"b"[..], b"c"], 2));
    assert!(unlisted[0].1.contains("does not fit"), "{unlisted:?}");
    assert_eq!(source.progress().entries, 2);
    assert!(session.to.lock().unwrap().iter().all(|to| *to < 1 << 48));
}

#[test]
fn of_what_cannot_be_listed_the_first_are_kept_and_all_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let found = (0..100_010_u32).map(|n| Found::Failed(n.to_string().into(), String::new()));
    let source = source(dir.path(), found);
    source.list(&Grown::default()).unwrap();
    assert_eq!((source.unlisted().len(), source.unlisted_count()), (100_000, 100_010));
}

/// What was found before is told, though what comes now is left out.
#[test]
fn a_part_ends_in_time_also_where_nothing_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let late = std::iter::from_fn(|| {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(150) {
            std::hint::spin_loop();
        }
        Some(Found::LeftOut(Skipped::Symlink))
    });
    let found = std::iter::once(made(dir.path(), "a", 10, b'a')).chain(late.take(1));
    let source = source(dir.path(), found);
    source.list(&Grown::default()).unwrap();
    let state = source.lock();
    assert_eq!((state.outline.len(), state.entries_of(0), state.entries_of(1)), (2, 0..1, 1..1));
    drop(state);
    assert_eq!(source.omitted(), Omitted { symlinks: 1, ..Omitted::default() });
}

#[test]
fn a_full_folder_for_what_is_put_aside_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let source = source(dir.path(), [made(dir.path(), "a", 10, b'a')].into_iter());
    source.list(&Grown::default()).unwrap();
    source.lock().rows = Spool::full();
    let error = source.read(1).unwrap_err();
    assert!(matches!(error, SourceError::Spool { .. }), "{error:?}");
    let (error, folder) = (error.to_string(), dir.path().display().to_string());
    assert!(error.contains(&folder) && error.contains("TMPDIR"), "{error}");
}

#[test]
fn what_is_listed_and_read_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let entry =
        |name: &str, kind| Found::Entry(Entry { name: name.into(), meta: Meta::default(), kind });
    let found = vec![
        made(dir.path(), "a", 10, b'a'),
        made(dir.path(), "b", 2 * BLOCK, b'b'),
        entry("c", Kind::Dir),
        Found::Leave,
        entry("d", Kind::Link { to: b"a".to_vec() }),
        entry("e", Kind::Symlink { target: b"a".to_vec() }),
    ];
    let source = source(dir.path(), found.into_iter());
    source.list(&Grown::default()).unwrap();
    for block in [1, 1, 2, 2, 3, 3] {
        source.read(block).unwrap();
    }
    let counts = source.counts();
    let kinds = (counts.files, counts.folders, counts.symlinks, counts.hard_links);
    assert_eq!((kinds, counts.read), ((2, 1, 1, 1), 2));
    assert!(counts.list_bytes > 20 && counts.listing.is_some(), "{counts:?}");
}

/// Room that was taken and not written to is a hole until somebody reads it, on ext4 and xfs: a file that says now that
/// it holds more than before has not changed.
#[test]
fn a_file_whose_holes_have_been_read_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (path, len) = (dir.path().join("f"), 4 * BLOCK + 5);
    let opened = File::create(&path).unwrap();
    rustix::fs::fallocate(&opened, FallocateFlags::empty(), 0, 2 * BLOCK).unwrap();
    opened.set_len(len).unwrap();
    opened.write_all_at(b"data", BLOCK + 7).unwrap();
    opened.sync_all().unwrap();
    let meta = opened.metadata().unwrap();
    let mtime = Time { secs: meta.mtime(), nanos: meta.mtime_nsec().try_into().unwrap() };
    let opened = File::open(&path).unwrap();
    let data = holes::data(opened.as_fd(), len);
    let bytes = fs::read(&path).unwrap();
    let after = holes::data(opened.as_fd(), len);
    eprintln!("{data:?} before it was read, {after:?} after");
    let kind = Kind::File { len, data };
    let entry = Entry { name: b"f".to_vec(), meta: Meta { mtime, ..Meta::default() }, kind };
    let source = source(dir.path(), [Found::Entry(entry)].into_iter());
    source.list(&Grown::default()).unwrap();
    let read = source.read(2).unwrap();
    assert_eq!((&read[7..11], read[..7].iter().all(|b| *b == 0)), (&b"data"[..], true));
    for block in [1, 3, 4, 5] {
        source.read(block).unwrap();
    }
    assert!(source.names(&BTreeSet::from([0])).unwrap()[&0].unread.is_none());
    assert_eq!(source.digest(0), Some(blake3::hash(&bytes)));
}
