use super::*;
use crate::blocks::{self, BLOCK};
use crate::limits::Rate;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

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
        Self { data, end, control, over: None, asked: AtomicBool::new(false), verdict }
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

    fn read_at(&self, buf: &mut [u8]) -> io::Result<ReadOutcome> {
        self.control.data_was_read();
        match (self.data.lock().unwrap().pop_front(), self.end) {
            (Some((offset, bytes)), _) => {
                buf[..bytes.len()].copy_from_slice(&bytes);
                Ok(ReadOutcome::Data { offset, len: bytes.len() })
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

    fn try_read_at(&self, buf: &mut [u8]) -> io::Result<ReadOutcome> {
        self.read_at(buf)
    }

    fn set_waker(&self, _: Option<std::task::Waker>) {}

    fn have(&self, _: &[core::ops::Range<u64>]) -> Result<(), tcpxm::error::DeclareError> {
        Ok(())
    }

    fn lack(&self, _: &[core::ops::Range<u64>]) -> Result<(), tcpxm::error::DeclareError> {
        Ok(())
    }

    fn close(&self, verdict: Result<(), String>) -> Result<(), Reason> {
        *self.verdict.lock().unwrap() = Some(verdict);
        Ok(())
    }
}

fn offer(len: u64) -> ToReceiver {
    ToReceiver::Offer { name: b"out".to_vec(), len, to: Vec::new() }
}

fn said(messages: &[ToReceiver]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        encode(message, &mut bytes).unwrap();
    }
    bytes
}

/// All that an honest sender says of `data`.
fn honest(data: &[u8]) -> Vec<ToReceiver> {
    let len = data.len() as u64;
    let value = |i| {
        let r = blocks::range(i, len);
        blocks::value(i, &data[r.start as usize..r.end as usize], len)
    };
    let values = (0..blocks::count(len)).map(value).collect();
    let root = ToReceiver::Root(*blake3::hash(data).as_bytes());
    vec![offer(len), ToReceiver::Digests { first_block: 0, values }, root]
}

/// `data` in pieces, the last one first.
fn backwards(data: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let pieces = data.chunks(100_000).enumerate();
    pieces.map(|(i, p)| (i as u64 * 100_000, p.to_vec())).rev().collect()
}

fn sample(len: u64) -> Vec<u8> {
    (0..len).map(|i| (i / 3 % 253) as u8).collect()
}

#[test]
fn a_file_in_any_order_is_stored_and_confirmed() {
    for len in [0, 1, BLOCK, 2 * BLOCK + 9] {
        let (dir, data) = (tempfile::tempdir().unwrap(), sample(len));
        let fake = Fake::new(backwards(&data), Ok(len), said(&honest(&data)));
        let received =
            receive_over(&fake, (&Root::open(dir.path()).unwrap(), Limits::default())).unwrap();
        let Taken::File(received) = received else { panic!("{received:?}") };
        assert_eq!((received.digest, received.len), (blake3::hash(&data), len));
        assert_eq!((received.arrived.multicast, &received.path), (5, &dir.path().join("out")));
        assert!(fs::read(received.path).unwrap() == data);
        assert_eq!((fake.verdict(), fake.answers()), (Ok(()), vec![ToSender::Ready]));
    }
}

/// Receives, expects that it fails, that the sender is told the same, and that nothing is left.
fn fails(data: Vec<(u64, Vec<u8>)>, end: Result<u64, io::ErrorKind>, said: Vec<u8>) -> String {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new(data, end, said);
    let error = receive_over(&fake, (&Root::open(dir.path()).unwrap(), Limits::default()))
        .unwrap_err()
        .to_string();
    assert_eq!(fake.verdict(), Err(error.clone()));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    error
}

#[test]
fn a_wrong_byte_or_a_wrong_digest_is_noticed_and_named() {
    let data = sample(3 * BLOCK);
    let len = data.len() as u64;
    let mut wrong = data.clone();
    wrong[2 * BLOCK as usize + 1] ^= 4;
    let block = fails(backwards(&wrong), Ok(len), said(&honest(&data)));
    assert_eq!(block, "digest mismatch in block 2");

    let mut messages = honest(&data);
    messages[2] = ToReceiver::Root([7; 32]);
    let root = fails(backwards(&data), Ok(len), said(&messages));
    assert_eq!(root, "digest mismatch of the whole file");
}

#[test]
fn each_way_to_break_off_has_its_reason() {
    let data = sample(BLOCK + 1);
    let len = data.len() as u64;
    let gone = fails(backwards(&data), Err(io::ErrorKind::ConnectionAborted), said(&honest(&data)));
    assert!(gone.starts_with("the session broke off: "), "{gone}");
    let short = fails(vec![], Ok(7), said(&honest(&data)));
    assert_eq!(short, "the session ended after 7 bytes, offered were 1048577");
    let hole = fails(backwards(&data).split_off(1), Ok(len), said(&honest(&data)));
    assert_eq!(hole, "2 of 2 blocks are missing, the first is block 0");
    let mute = fails(backwards(&data), Ok(len), said(&[offer(len)]));
    assert!(mute.contains("closed its private stream before the file's digest"), "{mute}");
    let silent = fails(vec![], Ok(0), vec![]);
    assert_eq!(silent, mute);
}

#[test]
fn a_destination_that_cannot_take_it_refuses_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new(vec![], Ok(1), said(&honest(b"x")));
    std::fs::create_dir(dir.path().join("out")).unwrap();
    let error = receive_over(&fake, (&Root::open(dir.path()).unwrap(), Limits::default()))
        .unwrap_err()
        .to_string();
    assert_eq!(error, "out is refused: it is a folder");
    assert_eq!(fake.answers(), [ToSender::Refuse(error.clone())]);
    assert_eq!(fake.verdict(), Err(error));

    let name = b"../../etc/passwd".to_vec();
    let evil = fails(vec![], Ok(1), said(&[ToReceiver::Offer { name, len: 1, to: Vec::new() }]));
    assert_eq!(evil, "the name \"../../etc/passwd\" is refused: it contains a slash");
}

#[test]
fn messages_without_sense_are_refused() {
    let root = ToReceiver::Root([0; 32]);
    let beyond = |first_block| ToReceiver::Digests { first_block, values: vec![[0; 32]; 2] };
    let told = |messages: &[ToReceiver]| fails(vec![], Ok(5), said(messages));
    assert!(told(std::slice::from_ref(&root)).contains("the first message is not an offer"));
    assert!(told(&[offer(5), offer(5)]).contains("a second offer"));
    assert!(told(&[offer(5), beyond(0)]).contains("beyond the end"));
    assert!(told(&[offer(5), beyond(u64::MAX)]).contains("beyond the end"));
    // Whether it is still read depends on how far the data has come; it must never be stored.
    assert!(!told(&[offer(5), root.clone(), root]).is_empty());
    let garbage = fails(vec![], Ok(5), vec![0xff; 64]);
    assert!(garbage.contains("which no message has"), "{garbage}");
}

#[test]
fn who_waits_for_its_rate_hears_of_the_end_and_of_what_is_said() {
    let over = Reason::Cancelled("the daemon is shutting down".to_owned());
    let beyond = ToReceiver::Digests { first_block: 7, values: vec![[0; 32]] };
    for (over, more, why) in
        [(Some(over), None, "the daemon is shutting down"), (None, Some(beyond), "beyond the end")]
    {
        let dir = tempfile::tempdir().unwrap();
        let mut fake = Fake::new(vec![(0, vec![7])], Ok(20), said(&[offer(20)]));
        fake.over = over;
        // Not before the first byte was read: then it is waited for alone that can hear of it.
        fake.control.0.0.lock().unwrap().later = more.map(|message| said(&[message]));
        // Another session has just taken 20 bytes, at a byte a second: so long this one waits for its turn.
        let rate = Arc::new(Rate::new(Some(8)));
        rate.took(20, Instant::now());
        let limits = Limits { rate: Some(rate), ..Limits::default() };
        let begin = Instant::now();
        let failure = receive_over(&fake, (&Root::open(dir.path()).unwrap(), limits)).unwrap_err();
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
        offered in prop::option::of(0..u64::MAX),
        data in prop::collection::vec(
            (any::<u64>(), prop::collection::vec(any::<u8>(), 1..50)), 0..5),
    ) {
        let mut control = offered.map(|len| said(&[offer(len)])).unwrap_or_default();
        control.extend(bytes);
        fails(data, Ok(1), control);
    }
}
