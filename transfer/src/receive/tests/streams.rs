//! A stream, which can be read once: what is handed on of it, and when it is taken for whole.

use super::*;
use crate::pipe::sum::Sum;
use crate::prefix::{Prefix, State, watch};

const LEN: u64 = 3 * BLOCK + 5;
/// Bytes that come at a time, sixteen times for a block.
const PIECE: usize = 1 << 16;

/// What an honest sender says of a stream, and its pieces in their order.
fn honest(data: &[u8], to: &str) -> (Vec<ToReceiver>, Vec<(u64, Vec<u8>)>) {
    let mut sum = Sum::new();
    let blocks = data.chunks(BLOCK as usize).map(|block| sum.push(block));
    let values: Vec<_> = (0..).zip(blocks).collect();
    let offer = Offer { to: to.into(), stream: true, ..Offer::default() };
    let digest = *blake3::hash(data).as_bytes();
    let whole = ToReceiver::Whole { len: data.len() as u64, digest };
    let pieces = (0..).step_by(PIECE).zip(data.chunks(PIECE).map(<[u8]>::to_vec));
    (vec![ToReceiver::Offer(offer), ToReceiver::Values(values), whole], pieces.collect())
}

fn output(fake: &Fake, limits: &Limits) -> (Result<Received, Failure>, Vec<u8>) {
    let mut out = Vec::new();
    let received = copied(receive_over(fake, (Place::Output(&mut out), limits)));
    (received, out)
}

#[test]
fn it_arrives_whole_in_a_file_and_in_standard_output() {
    for len in [0, 1, BLOCK, BLOCK + 1, LEN] {
        let data = sample(len);
        let (messages, pieces) = honest(&data, "-");
        let fake = Fake::new(pieces, Ok(len), said(&messages));
        let (received, out) = output(&fake, &Limits::default());
        let received = received.unwrap();
        assert!(out == data, "{len} bytes");
        assert_eq!((received.digest, received.report.bytes), (Some(blake3::hash(&data)), len));
        assert_eq!((received.shown.to_string(), fake.verdict()), ("-".to_owned(), Ok(())));

        let dir = tempfile::tempdir().unwrap();
        let (messages, pieces) = honest(&data, "a/b");
        let fake = Fake::new(pieces, Ok(len), said(&messages));
        let received = receive_into(&fake, dir.path()).unwrap();
        assert_eq!(received.path, dir.path().join("a/b"));
        assert!(fs::read(received.path).unwrap() == data, "{len} bytes");
        let answers = [ToSender::Ready { shown: Vec::new() }, ToSender::Report(received.report)];
        assert_eq!((fake.verdict(), &fake.answers()[..]), (Ok(()), &answers[..]));
    }
}

/// Nothing of it stays in a folder, and standard output has had the blocks before what is wrong, and no more.
fn fails(
    change: impl Fn(&mut Vec<ToReceiver>, &mut Vec<(u64, Vec<u8>)>),
    end: Result<u64, io::ErrorKind>,
    handed_on: u64,
) -> String {
    let data = sample(LEN);
    let (mut messages, mut pieces) = honest(&data, "file");
    change(&mut messages, &mut pieces);
    let why = broken(&Fake::new(pieces, end, said(&messages)));
    let (mut messages, mut pieces) = honest(&data, "-");
    change(&mut messages, &mut pieces);
    let fake = Fake::new(pieces, end, said(&messages));
    let (received, out) = output(&fake, &Limits::default());
    let failure = received.unwrap_err();
    assert!(failure.begun);
    assert_eq!(fake.verdict(), Err(failure.error.to_string()));
    assert!(out == data[..handed_on as usize], "{why}: {} bytes", out.len());
    why
}

#[test]
fn a_bad_block_is_handed_on_to_nobody() {
    let why = fails(|_, pieces| pieces[33].1[7] ^= 1, Ok(LEN), 2 * BLOCK);
    assert_eq!(why, "digest mismatch in block 2, and a pipe cannot be read again");
    let lie = |messages: &mut Vec<ToReceiver>| match &mut messages[1] {
        ToReceiver::Values(values) => values[1].1[0] ^= 1,
        other => panic!("{other:?}"),
    };
    let why = fails(|messages, _| lie(messages), Ok(LEN), BLOCK);
    assert!(why.contains("block 1"), "{why}");
}

#[test]
fn an_end_that_was_not_told_is_none() {
    // The session's end alone says nothing: whoever holds the group's key can forge it.
    let why = fails(|_, pieces| pieces.truncate(16), Ok(BLOCK), BLOCK);
    assert!(why.contains("ended elsewhere"), "{why}");
    let why = fails(|_, pieces| pieces.truncate(20), Ok(20 * PIECE as u64), BLOCK);
    assert!(why.contains("block 1"), "{why}");
    let reset = Err(io::ErrorKind::ConnectionReset);
    let why = fails(|_, pieces| pieces.truncate(40), reset, 2 * BLOCK);
    assert!(why.contains("broke off"), "{why}");
    let why = fails(|messages, _| drop(messages.pop()), Ok(LEN), LEN);
    assert!(why.contains("without the digest"), "{why}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let swap = |_: &mut Vec<ToReceiver>, pieces: &mut Vec<(u64, Vec<u8>)>| pieces.swap(17, 18);
    assert!(fails(swap, Ok(LEN), BLOCK).contains("out of their order"));
    assert!(fails(|_, _| (), Ok(LEN + 1), 3 * BLOCK).contains("out of their order"));
    let twice = |messages: &mut Vec<ToReceiver>, _: &mut Vec<_>| {
        let values = messages[1].clone();
        messages.insert(2, values);
    };
    assert!(fails(twice, Ok(LEN), LEN).contains("out of its turn"));
    let tree = |messages: &mut Vec<ToReceiver>, _: &mut Vec<_>| {
        messages.insert(1, ToReceiver::End { entries: 1, blocks: 1 });
    };
    assert!(fails(tree, Ok(LEN), 0).contains("a list of entries"));
}

#[test]
fn paths_without_a_name_and_of_another_kind_of_daemon_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("folder")).unwrap();
    let data = sample(9);
    for (to, why) in [
        ("", "the root folder is a folder"),
        ("folder", "folder is a folder"),
        ("folder/", "folder is a folder"),
        ("new/", "new is a folder"),
        ("-", "the PATH - is standard output"),
        ("../x", "the name \"..\" is refused"),
    ] {
        let (messages, pieces) = honest(&data, to);
        let fake = Fake::new(pieces, Ok(9), said(&messages));
        let failure = receive_into(&fake, dir.path()).unwrap_err();
        assert!(failure.error.to_string().contains(why), "{to}: {failure}");
        assert!(!failure.begun);
        assert_eq!(fake.answers(), [ToSender::Refuse(failure.error.to_string())]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "{to}");
    }
    for to in ["x", "./-"] {
        let (messages, pieces) = honest(&data, to);
        let fake = Fake::new(pieces, Ok(9), said(&messages));
        let (received, out) = output(&fake, &Limits::default());
        assert!(!received.unwrap_err().begun && out.is_empty(), "{to}");
    }
    let (messages, pieces) = honest(&data, "./-");
    let received = receive_into(&Fake::new(pieces, Ok(9), said(&messages)), dir.path()).unwrap();
    assert_eq!(received.path, dir.path().join("-"));
}

#[test]
fn a_limit_of_size_holds_for_what_has_no_length_yet() {
    let data = sample(LEN);
    let limits = Limits { size: Some(BLOCK + 1), ..Limits::default() };
    let (messages, pieces) = honest(&data, "-");
    let (received, out) = output(&Fake::new(pieces, Ok(LEN), said(&messages)), &limits);
    let why = received.unwrap_err().to_string();
    assert!(why.contains("more than 1048577 bytes"), "{why}");
    assert_eq!(out.len() as u64, BLOCK);
}

/// What is told of a stream in the end, to whoever reads it meanwhile.
fn told_of(change: impl Fn(&mut Vec<(u64, Vec<u8>)>)) -> (Prefix, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let (messages, mut pieces) = honest(&sample(LEN), "a/b");
    change(&mut pieces);
    let (prefixes, mut changes) = watch(Duration::ZERO);
    let limits = Limits { prefixes: Some(prefixes), ..Limits::default() };
    let fake = Fake::new(pieces, Ok(LEN), said(&messages));
    let _ = receive_over(&fake, (Place::Below(&root), &limits));
    drop(limits);
    let mut files = changes.next().unwrap();
    assert_eq!((files.len(), changes.next()), (1, None));
    (files.remove(0), dir.path().join("a/b"))
}

#[test]
fn its_length_is_told_with_its_end_and_its_blocks_as_they_come() {
    let (file, path) = told_of(|_| ());
    assert_eq!(*file.path, *path);
    assert_eq!(file.partial.parent(), path.parent());
    assert_eq!((file.len, file.verified, file.state), (Some(LEN), LEN, State::Complete));
    let (file, _) = told_of(|pieces| pieces[33].1[7] ^= 1);
    assert_eq!((file.len, file.verified, file.state), (None, 2 * BLOCK, State::Failed));
}

/// Takes so many bytes, then its reader is gone.
struct Closed(usize);

impl Write for Closed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        if taken == 0 { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(taken) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_has_gone_is_told_to_the_sender() {
    let (messages, pieces) = honest(&sample(LEN), "-");
    let fake = Fake::new(pieces, Ok(LEN), said(&messages));
    let place = Place::Output(&mut Closed(10));
    assert!(receive_over(&fake, (place, &Limits::default())).is_err());
    assert_eq!(fake.verdict(), Err("who reads its standard output has closed it".to_owned()));
}
