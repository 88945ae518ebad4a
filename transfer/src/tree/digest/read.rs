//! A block of a file that a walk has told of.

use crate::blocks::{self, BLOCK, Value, hashing};
use crate::tree::scan::{Opener, ScanError, Stamp};
use core::ops::Range;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use thiserror::Error;

/// Why a block cannot be hashed.
#[derive(Debug, Error)]
pub enum BlockError {
    /// The file cannot be opened.
    #[error(transparent)]
    Open(#[from] ScanError),
    /// It cannot be read.
    #[error("cannot read it: {0}")]
    Read(#[from] io::Error),
    /// It is not what the walk saw, or became something else while it was read.
    #[error("it changed while it was read")]
    Changed,
    /// It says that it is empty, and is not, as those that the system makes up while they are read (proc(5)).
    #[error("it holds bytes though it says that it has none: read it into a file first")]
    NotEmpty,
}

/// The value of a block of the file at this path ([`blocks::value`]), as long as its stamp is the one that the walk
/// gave; of an empty file its only one. `data` is where it holds data, `buf` is room for a block.
pub fn read_block(
    opener: &Opener,
    (path, stamp): (&[u8], &Stamp),
    data: Option<&[Range<u64>]>,
    index: u64,
    buf: &mut Vec<u8>,
) -> Result<Value, BlockError> {
    let (file, now) = opener.open(path)?;
    if now != *stamp {
        return Err(BlockError::Changed);
    }
    if stamp.size == 0 {
        return match file.read_at(&mut [0], 0)? {
            0 => Ok(*hashing::whole(&[]).as_bytes()),
            _ => Err(BlockError::NotEmpty),
        };
    }
    let range = blocks::range(index, stamp.size);
    if data.is_some_and(|data| is_hole(data, &range)) {
        return Ok(blocks::zeros(index, stamp.size));
    }
    buf.resize(BLOCK as usize, 0);
    let bytes = &mut buf[..(range.end - range.start) as usize];
    let read = file.read_exact_at(bytes, range.start);
    if !is_still(&file, stamp)? {
        return Err(BlockError::Changed);
    }
    read?;
    Ok(blocks::value(index, bytes, stamp.size))
}

fn is_still(file: &File, stamp: &Stamp) -> io::Result<bool> {
    Ok(Stamp::of(file)? == *stamp)
}

fn is_hole(data: &[Range<u64>], range: &Range<u64>) -> bool {
    let first = data.partition_point(|run| run.end <= range.start);
    data.get(first).is_none_or(|run| run.start >= range.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::entry::Kind;
    use crate::tree::scan::{Found, Options, Walk};
    use std::fs;

    #[test]
    fn a_file_that_changes_between_its_blocks_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let content: Vec<u8> = (0..2 * BLOCK + 5).map(|at| (at % 251) as u8).collect();
        fs::write(&path, &content).unwrap();
        let mut walk = Walk::new(&[&path], Options::default()).unwrap();
        let Some(Found::Item(entry, stamp)) = walk.next() else { panic!() };
        assert!(matches!(entry.kind, Kind::File { .. }));
        let (opener, mut buf) = (walk.opener(), Vec::new());
        let mut read = |index| read_block(&opener, (b"file", &stamp), None, index, &mut buf);
        for index in [1, 0, 2] {
            let range = blocks::range(index, stamp.size);
            let bytes = &content[range.start as usize..range.end as usize];
            assert_eq!(read(index).unwrap(), blocks::value(index, bytes, stamp.size));
        }
        let long_ago = fs::FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH);
        File::open(&path).unwrap().set_times(long_ago).unwrap();
        assert!(matches!(read(2), Err(BlockError::Changed)));
        fs::remove_file(&path).unwrap();
        assert!(matches!(read(2), Err(BlockError::Open(ScanError::Vanished))));
    }

    #[test]
    fn a_block_is_a_hole_if_no_data_stand_in_it() {
        let data = [10..20, 30..40];
        let holes = [0..10, 20..30, 40..50, 12..13, 5..11, 39..41, 0..50];
        let found = holes.map(|range| is_hole(&data, &range));
        assert_eq!(found, [true, true, true, false, false, false, false]);
        assert!(is_hole(&[], &(0..1)));
    }
}
