//! Whether a copy is what was copied, by others than the program that made it: rsync(1), and the file system.

use crate::shell::find;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

/// What rsync would still have to do: contents, all that is kept, times to the nanosecond, and whatever is there
/// too much. Nothing, if the copy is right.
pub(crate) fn rsync(source: &Path, copy: &Path) -> String {
    rsync_by(source, copy, &["--delete"])
}

/// Likewise by other options as well.
pub(crate) fn rsync_by(source: &Path, copy: &Path, options: &[&str]) -> String {
    let with_slash = |path: &Path| {
        let mut text: OsString = path.into();
        text.push("/");
        text
    };
    let output = Command::new(find("rsync").expect("rsync is missing"))
        .args(["-aHinc", "--modify-window=-1"])
        .args(options)
        .args([with_slash(source), with_slash(copy)])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Where a file holds data, by what its file system says (lseek(2)).
pub(crate) fn data(file: &File, len: u64) -> Vec<Range<u64>> {
    let (mut all, mut at) = (Vec::new(), 0);
    while at < len {
        let start = match seek(file, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => break,
            start => start.unwrap(),
        };
        let end = seek(file, SeekFrom::Hole(start)).unwrap();
        all.push(start..end);
        at = end;
    }
    all
}

/// No file of the copy has data where the source has a hole, none takes more room. How many had holes.
pub(crate) fn holes(source: &Path, copy: &Path) -> usize {
    let (mut open, mut seen, mut sparse) = (vec![source.to_owned()], BTreeSet::new(), 0);
    while let Some(path) = open.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        if !meta.is_file() || !seen.insert(meta.ino()) {
            continue;
        }
        let there = copy.join(path.strip_prefix(source).unwrap());
        let (from, to) = (File::open(&path).unwrap(), File::open(&there).unwrap());
        let (before, after) = (data(&from, meta.len()), data(&to, meta.len()));
        // What the file systems call data comes in their blocks.
        let block = to.metadata().unwrap().blksize();
        let widened = |run: &Range<u64>| run.start / block * block..run.end.next_multiple_of(block);
        let inside = |run: &Range<u64>| {
            before.iter().map(widened).any(|data| data.start <= run.start && run.end <= data.end)
        };
        assert!(after.iter().all(inside), "{}: {before:?}, {after:?}", path.display());
        let room = to.metadata().unwrap().blocks();
        assert!(room <= meta.blocks(), "{}: {room}, {}", path.display(), meta.blocks());
        sparse += usize::from(meta.blocks() * 512 < meta.len());
    }
    sparse
}
