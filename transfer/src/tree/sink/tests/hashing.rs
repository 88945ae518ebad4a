//! How often bytes are hashed.

use super::*;
use crate::blocks::hashing::hashed;
use crate::tree::layout::{ROW, SMALL};

/// What this thread hashes meanwhile, in bytes.
fn counted<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = hashed();
    let done = work();
    (done, hashed() - before)
}

/// Once where they are read and once where they arrive, whatever the length; on top come the list, and the digests in
/// packs, which the value of a pack is over. The digest of a file follows from the values of its blocks.
#[test]
fn each_byte_is_hashed_once_at_either_end() {
    let lens = [0, 1, 12, 5000, SMALL, SMALL + 1, BLOCK, BLOCK + 1, 3 * BLOCK + 77];
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path(), &lens);
    let mut found = Vec::new();
    walk(dir.path(), &mut found);
    let ((listed, blocks), sent) = counted(|| {
        let listed = listed(dir.path(), found);
        let end = listed.source.progress().span / BLOCK;
        let blocks: Vec<_> = (0..end).map(|block| listed.source.read(block).unwrap()).collect();
        (listed, blocks)
    });
    let packed = lens.iter().filter(|len| (1..=SMALL).contains(*len)).count() as u64;
    let bytes = lens.iter().sum::<u64>();
    let expected = bytes + packed * ROW + listed.source.counts().list_bytes;
    assert_eq!(sent, expected, "{bytes} bytes of files, {packed} in packs");

    for reversed in [false, true] {
        let mut sink = new_sink(Map::default());
        let mut place = 0;
        let ((), taken) = counted(|| {
            while !sink.is_complete() {
                tell(&listed, &mut sink, &mut place).unwrap();
                let mut lacking = sink.declared().lack;
                if reversed {
                    lacking.reverse();
                }
                for range in lacking {
                    for block in range.start / BLOCK..range.end.div_ceil(BLOCK) {
                        let begin = block * BLOCK;
                        let from = range.start.max(begin);
                        let to = range.end.min(begin + BLOCK);
                        let inside = (from - begin) as usize..(to - begin) as usize;
                        sink.put(from, &blocks[block as usize][inside]).unwrap();
                    }
                }
            }
        });
        assert_eq!(taken, expected, "{bytes} bytes of files, {packed} in packs");
        assert_eq!(sink.finish().unwrap().failed, 0);
        check(&listed, &sink.ground, &[]);
    }
    let ((), again) = counted(|| {
        for (number, path) in listed.source.names(&(0..20).collect()).unwrap() {
            let at = dir.path().join(std::ffi::OsStr::from_bytes(&path.path));
            let read = at.is_file() && !at.is_symlink() && at.metadata().unwrap().len() > 0;
            let expected = read.then(|| blake3::hash(&fs::read(&at).unwrap()));
            assert_eq!(listed.source.digest(number), expected, "{}", at.display());
        }
        assert!(listed.source.tree_digest().is_some());
    });
    assert_eq!(again, 0, "the digests are known by then");
}
