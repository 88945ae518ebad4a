use super::*;
use crate::destination::Root;
use proptest::prelude::*;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

fn create(folder: &Path, name: &[u8], len: u64) -> Result<FileSink, SinkError> {
    FileSink::create(Root::open(folder).unwrap().place(b"", name)?, len)
}

fn pattern(len: u64) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn entries(folder: &Path) -> Vec<OsString> {
    fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect()
}

/// Cuts `data` into pieces of `cut` bytes.
fn pieces(data: &[u8], cut: usize) -> Vec<(u64, &[u8])> {
    data.chunks(cut).enumerate().map(|(i, c)| ((i * cut) as u64, c)).collect()
}

#[test]
fn takes_files_of_every_length() {
    for len in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7] {
        let (dir, data) = (tempfile::tempdir().unwrap(), pattern(len));
        let mut sink = create(dir.path(), b"out", len).unwrap();
        for (offset, piece) in pieces(&data, 300_000) {
            sink.put(offset, piece).unwrap();
        }
        let Finished { digest: hash, path, .. } = sink.finish(blake3::hash(&data)).unwrap();
        assert_eq!((hash, path), (blake3::hash(&data), dir.path().join("out")));
        assert_eq!(entries(dir.path()), ["out"]);
        assert!(fs::read(dir.path().join("out")).unwrap() == data, "{len} bytes");
    }
}

#[test]
fn more_open_blocks_than_buffers_are_spilled_and_still_right() {
    let blocks = MAX_OPEN as u64 + 8;
    let (dir, data) = (tempfile::tempdir().unwrap(), pattern(blocks * BLOCK - 5));
    let mut sink = create(dir.path(), b"out", data.len() as u64).unwrap();
    // Column by column, so that all blocks are incomplete until the last column.
    let cut = BLOCK as usize / 4;
    for column in 0..4 {
        for block in 0..blocks as usize {
            let start = block * BLOCK as usize + column * cut;
            sink.put(start as u64, &data[start..data.len().min(start + cut)]).unwrap();
            assert!(sink.open.len() <= MAX_OPEN);
            assert!(sink.open.len() + sink.spare.len() <= MAX_OPEN, "buffers are used again");
        }
        if column == 0 {
            assert_eq!(sink.spilled.len(), 8);
            assert!(sink.spilled.contains_key(&0), "the one that rested longest goes first");
        }
    }
    let Finished { digest: hash, path, .. } = sink.finish(blake3::hash(&data)).unwrap();
    assert_eq!(hash, blake3::hash(&data));
    assert!(fs::read(path).unwrap() == data);
}

#[test]
fn a_wrong_block_is_named_whether_its_digest_comes_first_or_last() {
    let (dir, data) = (tempfile::tempdir().unwrap(), pattern(2 * BLOCK));
    let mut wrong = data[BLOCK as usize..].to_vec();
    wrong[77] ^= 1;
    let right = blocks::value(1, &data[BLOCK as usize..], 2 * BLOCK);

    let mut sink = create(dir.path(), b"out", 2 * BLOCK).unwrap();
    sink.expect(1, right).unwrap();
    let first = sink.put(BLOCK, &wrong).unwrap_err();
    assert_eq!(first.to_string(), "digest mismatch in block 1");

    let mut sink = create(dir.path(), b"out", 2 * BLOCK).unwrap();
    sink.put(BLOCK, &wrong).unwrap();
    assert!(matches!(sink.expect(1, right), Err(SinkError::Block { block: 1 })));
    assert!(matches!(sink.expect(2, right), Err(SinkError::Beyond { .. })));
}

#[test]
fn a_failure_leaves_the_old_file_and_nothing_else() {
    let (dir, data) = (tempfile::tempdir().unwrap(), pattern(BLOCK + 9));
    fs::write(dir.path().join("out"), b"old").unwrap();
    let root = blake3::hash(&data);

    let mut sink = create(dir.path(), b"out", data.len() as u64).unwrap();
    sink.put(BLOCK, &data[BLOCK as usize..]).unwrap();
    assert_eq!(entries(dir.path()).len(), 2, "the temporary file stands beside it");
    let missing = sink.finish(root).unwrap_err();
    assert!(matches!(missing, SinkError::Missing { missing: 1, count: 2, first: 0 }), "{missing}");

    let mut sink = create(dir.path(), b"out", data.len() as u64).unwrap();
    sink.put(0, &data).unwrap();
    assert!(matches!(sink.finish(blake3::hash(b"another")), Err(SinkError::Root)));

    drop(create(dir.path(), b"out", 5).unwrap());
    assert_eq!(entries(dir.path()), ["out"]);
    assert_eq!(fs::read(dir.path().join("out")).unwrap(), b"old");

    let mut sink = create(dir.path(), b"out", data.len() as u64).unwrap();
    sink.put(0, &data).unwrap();
    sink.finish(root).unwrap();
    assert!(fs::read(dir.path().join("out")).unwrap() == data, "only success replaces it");
}

#[test]
fn a_folder_in_the_place_of_the_file_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("out")).unwrap();
    let error = create(dir.path(), b"out", 0).unwrap_err();
    assert_eq!(error.to_string(), "out is refused: it is a folder");
    assert_eq!(entries(dir.path()), ["out"]);
}

#[test]
fn only_plain_names_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let long = [b'x'; 256];
    for name in [&b""[..], b".", b"..", b"a/b", b"/etc", b"../x", b"a\0b", &long] {
        let error = create(dir.path(), name, 0).unwrap_err();
        assert!(matches!(error, SinkError::Name { .. }), "{error}");
    }
    for name in [&b"..."[..], b"a b", b"-x", b"\xff\xfe", &long[..255]] {
        create(dir.path(), name, 0).unwrap().finish(blake3::hash(b"")).unwrap();
    }
    assert_eq!(entries(dir.path()).len(), 5);
}

#[test]
fn a_file_that_cannot_fit_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let full = create(dir.path(), b"out", MAX_LEN).unwrap_err();
    assert!(matches!(full, SinkError::Full { .. }), "{full}");
    assert!(full.to_string().starts_with("no room for 281474976710655 bytes in "), "{full}");
    assert!(matches!(create(dir.path(), b"out", 1 << 48), Err(SinkError::TooLong(_))));
    assert!(entries(dir.path()).is_empty());
    let root = Root::open(dir.path()).unwrap();
    let place = root.place(b"", b"out").unwrap();
    dir.close().unwrap();
    let gone = FileSink::create(place, 1).unwrap_err().to_string();
    assert!(gone.starts_with("cannot create a file in the root folder: "), "{gone}");
}

#[test]
fn bytes_beyond_the_end_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = create(dir.path(), b"out", 10).unwrap();
    assert!(matches!(sink.put(8, &[0; 3]), Err(SinkError::Beyond { len: 10 })));
    assert!(matches!(sink.put(u64::MAX, &[0; 3]), Err(SinkError::Beyond { .. })));
    sink.put(10, &[]).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn pieces_in_any_order_with_repetitions_give_the_file(
        len in 1..3 * BLOCK,
        cut in 90_000..1_500_000usize,
        keys in prop::collection::vec(any::<u32>(), 40),
    ) {
        let (dir, data) = (tempfile::tempdir().unwrap(), pattern(len));
        let mut all = pieces(&data, cut);
        let again = all.iter().copied().step_by(3).collect::<Vec<_>>();
        all.extend(again);
        let mut keyed: Vec<_> = keys.iter().cycle().zip(all).collect();
        keyed.sort_by_key(|(key, _)| **key);
        let mut sink = create(dir.path(), b"out", len).unwrap();
        for (_, (offset, piece)) in keyed {
            sink.put(offset, piece).unwrap();
        }
        let Finished { digest: hash, path, .. } = sink.finish(blake3::hash(&data)).unwrap();
        prop_assert_eq!(hash, blake3::hash(&data));
        prop_assert!(fs::read(path).unwrap() == data);
    }
}
