mod of_jobs;
mod streams;

use super::*;
use crate::blocks::BLOCK;
use crate::limits::Rate;
use crate::send::board::Next;
use crate::source::{Grows, Source, SourceError};
use crate::tree::layout::SMALL;
use crate::tree::scan;
use crate::tree::source::TreeSource;
use core::ops::Range;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;
use tcpxm::proto::event::ReadOutcome;

/// The private stream.
#[derive(Debug, Clone, Default)]
struct Script(Arc<(Mutex<Spoken>, Condvar)>);

#[derive(Debug, Default)]
struct Spoken {
    /// What the sender says: there from the start,
    said: VecDeque<u8>,
    /// or once data has been read for the first time.
    later: Option<Vec<u8>>,
    answers: Vec<u8>,
}

impl Script {
    fn data_was_read(&self) {
        let (spoken, changed) = &*self.0;
        let mut spoken = spoken.lock().unwrap();
        let later = spoken.later.take();
        spoken.said.extend(later.into_iter().flatten());
        changed.notify_all();
    }
}

impl Read for Script {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (spoken, changed) = &*self.0;
        let silent = |spoken: &mut Spoken| spoken.said.is_empty() && spoken.later.is_some();
        changed.wait_while(spoken.lock().unwrap(), silent).unwrap().said.read(buf)
    }
}

impl Write for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.0.lock().unwrap().answers.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Fake {
    data: Mutex<VecDeque<(u64, Vec<u8>)>>,
    /// What was declared to be lacking, and how much that must be before the data end: nothing else is sent. `None`:
    /// all is, whatever was declared.
    lacking: Mutex<Vec<Range<u64>>>,
    wants: Option<u64>,
    /// After the data: the length of the stream, or how it broke off.
    end: Result<u64, io::ErrorKind>,
    control: Script,
    /// Why it is over, though not yet when that is asked for the first time.
    over: Option<Reason>,
    asked: AtomicBool,
    verdict: Mutex<Option<Result<(), String>>>,
}

impl Fake {
    fn new(data: Vec<(u64, Vec<u8>)>, end: Result<u64, io::ErrorKind>, said: Vec<u8>) -> Self {
        let control = Script::default();
        control.0.0.lock().unwrap().said = said.into();
        let (data, verdict) = (Mutex::new(data.into()), Mutex::default());
        let (lacking, wants) = (Mutex::default(), None);
        Self {
            data,
            lacking,
            wants,
            end,
            control,
            over: None,
            asked: AtomicBool::new(false),
            verdict,
        }
    }

    /// Of what an honest sender says and sends.
    fn of((messages, pieces): (Vec<ToReceiver>, Vec<(u64, Vec<u8>)>), wants: u64) -> Self {
        let wants = Some(wants + part(&messages));
        Self { wants, ..Self::new(pieces, Ok(u64::MAX), said(&messages)) }
    }

    fn verdict(&self) -> Result<(), String> {
        self.verdict.lock().unwrap().clone().expect("a verdict is always given")
    }

    fn answers(&self) -> Vec<ToSender> {
        let mut decoder = Decoder::default();
        decoder.push(&self.control.0.0.lock().unwrap().answers);
        std::iter::from_fn(|| decoder.take().unwrap()).collect()
    }
}

impl Incoming for Fake {
    fn over(&self) -> Option<Reason> {
        self.over.clone().filter(|_| self.asked.swap(true, Ordering::SeqCst))
    }

    type Control = Script;

    fn try_read_at(&self, buf: &mut [u8]) -> io::Result<ReadOutcome> {
        self.control.data_was_read();
        let mut data = self.data.lock().unwrap();
        let lacking = self.lacking.lock().unwrap();
        let is_lacking = |(at, bytes): &(u64, Vec<u8>)| {
            lacking.iter().any(|range| range.start < at + bytes.len() as u64 && *at < range.end)
        };
        let next = match self.wants {
            None => data.pop_front(),
            Some(_) => data.iter().position(is_lacking).and_then(|index| data.remove(index)),
        };
        let asked: u64 = lacking.iter().map(|range| range.end - range.start).sum();
        match (next, self.end) {
            (Some((offset, bytes)), _) => {
                buf[..bytes.len()].copy_from_slice(&bytes);
                Ok(ReadOutcome::Data { offset, len: bytes.len() })
            }
            (None, _) if self.wants.is_some_and(|wants| asked < wants) => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            (None, Ok(len)) => Ok(ReadOutcome::End { len }),
            (None, Err(kind)) => Err(kind.into()),
        }
    }

    fn control(&self) -> Script {
        self.control.clone()
    }

    fn arrived(&self) -> Arrived {
        Arrived { multicast: 5, ..Arrived::default() }
    }

    fn again(&self, range: Range<u64>) -> Result<(), tcpxm::error::DeclareError> {
        self.lack(&[range])
    }

    fn sender(&self) -> [u8; 32] {
        [7; 32]
    }

    fn key(&self) -> Option<tcpxm::trust::PublicKey> {
        None
    }

    fn binding(&self) -> tcpxm::seal::Binding {
        [0; 32]
    }

    fn peer(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], 1).into()
    }

    fn pulse(&self) -> Box<dyn crate::holders::Lives> {
        Box::new(Gone)
    }

    fn set_waker(&self, _: Option<std::task::Waker>) {}

    fn have(&self, _: &[Range<u64>]) -> Result<(), tcpxm::error::DeclareError> {
        Ok(())
    }

    fn lack(&self, ranges: &[Range<u64>]) -> Result<(), tcpxm::error::DeclareError> {
        self.lacking.lock().unwrap().extend_from_slice(ranges);
        Ok(())
    }

    fn close(&self, verdict: Result<(), String>) -> Result<(), Reason> {
        *self.verdict.lock().unwrap() = Some(verdict);
        Ok(())
    }
}

/// A session that is over.
struct Gone;

impl crate::holders::Lives for Gone {
    fn silence(&self) -> Option<Duration> {
        None
    }

    fn ping(&self) {}

    fn end(&self, _: &str) {}
}

fn offer() -> ToReceiver {
    ToReceiver::Offer(Offer { one: Some(b"out".to_vec()), ..Offer::default() })
}

fn said(messages: &[ToReceiver]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        encode(message, &mut bytes).unwrap();
    }
    bytes
}

/// A session that grows as it is told.
struct Grown;

impl Grows for Grown {
    fn grow(&self, _: u64) -> Result<(), SourceError> {
        Ok(())
    }

    fn end(&self, _: u64) -> Result<(), SourceError> {
        Ok(())
    }

    fn is_over(&self) -> bool {
        false
    }
}

/// What an honest sender says of a file that holds `data`, and the session's bytes, the last pieces first.
fn honest(data: &[u8]) -> (Vec<ToReceiver>, Vec<(u64, Vec<u8>)>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    fs::write(&path, data).unwrap();
    let source = TreeSource::open(&[&path], scan::Options::default(), dir.path()).unwrap();
    source.list(&Grown).unwrap();
    let count = source.progress().span / BLOCK;
    let mut pieces = Vec::new();
    for block in 0..count {
        let bytes = source.read(block).unwrap();
        let cut = bytes.chunks(100_000).enumerate();
        pieces.extend(cut.map(|(i, p)| (block * BLOCK + i as u64 * 100_000, p.to_vec())));
    }
    pieces.reverse();
    source.board().flush();
    let (mut messages, mut place) = (vec![offer()], 0);
    while let Next::Say(message, next) = source.board().next(place) {
        (place, messages) = (next, [messages, vec![message]].concat());
    }
    (messages, pieces)
}

/// Bytes of the list's only part.
fn part(messages: &[ToReceiver]) -> u64 {
    let lens = messages.iter().filter_map(|message| match message {
        ToReceiver::Part { len, .. } => Some(u64::from(*len)),
        _ => None,
    });
    lens.sum()
}

fn sample(len: u64) -> Vec<u8> {
    (0..len).map(|i| (i / 3 % 253) as u8).collect()
}

fn receive_into(fake: &Fake, dir: &std::path::Path) -> Result<Received, Failure> {
    copied(receive_over(fake, (Place::Below(&Root::open(dir).unwrap()), &Limits::default())))
}

#[test]
fn a_file_in_any_order_is_stored_and_confirmed() {
    for len in [0, 1, SMALL, BLOCK, 20 * BLOCK + 9] {
        let (dir, data) = (tempfile::tempdir().unwrap(), sample(len));
        let packed = if len > 0 && len <= SMALL { 32 } else { 0 };
        let fake = Fake::of(honest(&data), len + packed);
        let received = receive_into(&fake, dir.path()).unwrap();
        assert_eq!((received.digest, received.report.arrived), (Some(blake3::hash(&data)), 1));
        assert_eq!((received.arrived.multicast, &received.path), (5, &dir.path().join("out")));
        assert_eq!((received.failure, received.report.bytes), (None, len));
        assert!(fs::read(received.path).unwrap() == data);
        let answers = [ToSender::Ready { shown: Vec::new() }, ToSender::Report(received.report)];
        assert_eq!((fake.verdict(), &fake.answers()[..]), (Ok(()), &answers[..]));
    }
}

/// Receives, expects that it fails, that the sender is told the same, and that nothing is left.
fn fails(data: Vec<(u64, Vec<u8>)>, end: Result<u64, io::ErrorKind>, said: Vec<u8>) -> String {
    broken(&Fake::new(data, end, said))
}

fn broken(fake: &Fake) -> String {
    let dir = tempfile::tempdir().unwrap();
    let error = receive_into(fake, dir.path()).unwrap_err().to_string();
    assert_eq!(fake.verdict(), Err(error.clone()));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    error
}

#[test]
fn a_wrong_byte_or_a_wrong_value_is_noticed_and_named() {
    let (messages, pieces) = honest(&sample(3 * BLOCK));
    let mut wrong = pieces.clone();
    wrong[0].1[1] ^= 4;
    let mut lied = messages.clone();
    for message in &mut lied {
        if let ToReceiver::Values(values) = message {
            values.last_mut().unwrap().1[0] ^= 1;
        }
    }
    for (pieces, messages) in [(wrong, messages.clone()), (pieces.clone(), lied)] {
        let dir = tempfile::tempdir().unwrap();
        let fake = Fake::of((messages, pieces), 3 * BLOCK);
        let received = receive_into(&fake, dir.path()).unwrap();
        assert_eq!(received.failure.as_deref(), Some("digest mismatch in block 2"));
        assert_eq!((received.report.arrived, received.report.failed), (0, 1));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(fake.answers().contains(&ToSender::Failed {
            entry: 0,
            why: "digest mismatch in block 2".to_owned()
        }));
    }
    // Nothing of a list is acted upon before its digest has matched.
    let mut listed = pieces;
    let of_list = listed.iter_mut().find(|(at, _)| *at == 0).unwrap();
    of_list.1[3] ^= 1;
    let fake = Fake::of((messages, listed), 0);
    let why = broken(&fake);
    assert_eq!(why, "digest mismatch in the list of entries, part 0");
}

#[test]
fn each_way_to_break_off_has_its_reason() {
    let (messages, pieces) = honest(&sample(BLOCK + 1));
    let gone = |pieces: &[(u64, Vec<u8>)]| {
        fails(pieces.to_vec(), Err(io::ErrorKind::ConnectionAborted), said(&messages))
    };
    assert!(gone(&pieces[1..]).starts_with("the session broke off: "));
    let short = fails(pieces[1..].to_vec(), Ok(7), said(&messages));
    assert_eq!(short, "protocol violation: the tree has ended without all of its list");
    let mute = fails(pieces, Ok(u64::MAX), said(&messages[..1]));
    assert_eq!(mute, short);
    let silent = fails(vec![], Ok(0), vec![]);
    assert!(silent.contains("closed its private stream before its offer"), "{silent}");
}

#[test]
fn a_destination_that_cannot_take_it_refuses_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new(vec![], Ok(1), said(&honest(b"x").0));
    fs::create_dir(dir.path().join("out")).unwrap();
    let error = receive_into(&fake, dir.path()).unwrap_err().to_string();
    assert_eq!(error, "out is refused: it is a folder");
    assert_eq!(fake.answers(), [ToSender::Refuse(error.clone())]);
    assert_eq!(fake.verdict(), Err(error));

    let one = Some(b"../../etc/passwd".to_vec());
    let evil = ToReceiver::Offer(Offer { one, ..Offer::default() });
    let evil = fails(vec![], Ok(1), said(&[evil]));
    assert_eq!(evil, "the name \"../../etc/passwd\" is refused: it contains a slash");
}

#[test]
fn messages_without_sense_are_refused() {
    let end = || ToReceiver::End { entries: 0, blocks: 0 };
    let told = |messages: &[ToReceiver]| fails(vec![], Ok(5), said(messages));
    assert!(told(&[end()]).contains("the first message is not an offer"));
    assert!(told(&[offer(), offer()]).contains("a second offer"));
    assert!(told(&[offer(), end(), end()]).contains("a second end"));
    let part = |len| ToReceiver::Part { block: 0, len, digest: [0; 32] };
    assert!(told(&[offer(), part(0)]).contains("a part without bytes"));
    assert!(told(&[offer(), part(u32::MAX)]).contains("a part without bytes"));
    let garbage = fails(vec![], Ok(5), vec![0xff; 64]);
    assert!(garbage.contains("which no message has"), "{garbage}");
}

#[test]
fn who_waits_for_its_rate_hears_of_the_end_and_of_what_is_said() {
    let over = Reason::Cancelled("the daemon is shutting down".to_owned());
    for (over, more, why) in
        [(Some(over), None, "the daemon is shutting down"), (None, Some(offer()), "a second offer")]
    {
        let dir = tempfile::tempdir().unwrap();
        let mut fake = Fake::new(vec![(0, vec![7])], Ok(20), said(&[offer()]));
        fake.over = over;
        // Not before the first byte was read: then it is waited for alone that can hear of it.
        fake.control.0.0.lock().unwrap().later = more.map(|message| said(&[message]));
        // Another session has just taken 20 bytes, at a byte a second: so long this one waits for its turn.
        let rate = Arc::new(Rate::new(Some(8)));
        rate.took(20, Instant::now());
        let limits = Limits { rate: Some(rate), ..Limits::default() };
        let begin = Instant::now();
        let failure =
            receive_over(&fake, (Place::Below(&Root::open(dir.path()).unwrap()), &limits))
                .unwrap_err();
        assert!(failure.to_string().contains(why), "{failure}");
        assert!(begin.elapsed() < Duration::from_secs(5), "it took {:?}", begin.elapsed());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn hostile_bytes_never_leave_a_file(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        offered in any::<bool>(),
        data in prop::collection::vec(
            (0..1_u64 << 48, prop::collection::vec(any::<u8>(), 1..50)), 0..5),
    ) {
        let mut control = if offered { said(&[offer()]) } else { Vec::new() };
        control.extend(bytes);
        fails(data, Ok(1), control);
    }
}

/// The thread that takes the data rests where there is nothing to do: each message wakes it, though the session has
/// done so before the message was read.
#[test]
fn who_rests_is_woken_by_each_message() {
    struct OneByOne(mpsc::Receiver<Vec<u8>>);
    impl std::io::Read for OneByOne {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let Ok(bytes) = self.0.recv() else { return Ok(0) };
            buf[..bytes.len()].copy_from_slice(&bytes);
            Ok(bytes.len())
        }
    }
    const LONG: Duration = Duration::from_secs(10);
    let (speak, control) = mpsc::channel();
    let messages = super::hear(OneByOne(control)).unwrap();
    let begin = std::time::Instant::now();
    for blocks in 0..3 {
        let end = ToReceiver::End { entries: 1, blocks };
        speak.send(said(std::slice::from_ref(&end))).unwrap();
        let mut heard = None;
        while heard.is_none() && begin.elapsed() < LONG {
            std::thread::park_timeout(LONG);
            heard = messages.try_recv().ok();
        }
        assert_eq!(heard.unwrap().unwrap(), end);
    }
    assert!(begin.elapsed() < LONG, "nobody has woken it");
}
