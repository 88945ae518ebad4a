use super::*;
use crate::link::PrivateStream;
use crate::message::{Decoder, ToReceiver, ToSender, encode};
use std::collections::VecDeque;
use std::fs;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex};
use tcpxm::stats::{Arrived, Mode};

fn report(outcome: Result<(), Reason>) -> MemberReport {
    MemberReport {
        key: None,
        addr: ([127, 0, 0, 1], 1).into(),
        outcome: Some(outcome),
        mode: Mode::Multicast,
        mode_reason: None,
        arrived: Arrived::default(),
        undeclared: 0,
        acked: 0,
        duration: Duration::ZERO,
        transitions: Vec::new(),
        restarts: 0,
    }
}

/// A member's private stream in memory, with as much room as a test gives it.
#[derive(Debug, Clone, Default)]
struct Pipe(Arc<(Mutex<PipeState>, Condvar)>);

#[derive(Debug, Default)]
struct PipeState {
    room: usize,
    broken: bool,
    written: Vec<u8>,
    to_read: VecDeque<u8>,
}

impl Pipe {
    fn change(&self, change: impl FnOnce(&mut PipeState)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    fn messages(&self) -> Vec<ToReceiver> {
        let mut decoder = Decoder::default();
        decoder.push(&self.0.0.lock().unwrap().written);
        std::iter::from_fn(|| decoder.take().unwrap()).collect()
    }
}

impl PrivateStream for Pipe {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut state = self.0.0.lock().unwrap();
        let read = buf.len().min(state.to_read.len());
        if read == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buf.iter_mut().zip(state.to_read.drain(..read)).for_each(|(to, from)| *to = from);
        Ok(read)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.0.lock().unwrap();
        let taken = bytes.len().min(state.room);
        if state.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if taken == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.room -= taken;
        state.written.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.try_write(bytes) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let state = self.0.0.lock().unwrap();
                    drop(self.0.1.wait_while(state, |s| s.room == 0 && !s.broken).unwrap());
                }
                done => return done,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Hook = Box<dyn Fn(usize)>;

/// A session that needs what a test says.
struct Fake {
    needs: Mutex<VecDeque<Range<u64>>>,
    got: Mutex<Vec<(u64, Arc<[u8]>)>>,
    pipes: Vec<Pipe>,
    aborted: Mutex<Option<String>>,
    finished: Mutex<bool>,
    /// Called before each need with the number of needs that are left, 0 at the end.
    before_need: Hook,
    /// With so many needs left this member begins again, with this stream.
    renewal: Mutex<Option<(usize, usize, Pipe)>>,
}

impl Fake {
    fn new(needs: impl IntoIterator<Item = Range<u64>>, members: usize) -> Self {
        let roomy = |_| {
            let pipe = Pipe::default();
            pipe.change(|p| p.room = usize::MAX);
            pipe
        };
        Self {
            needs: Mutex::new(needs.into_iter().collect()),
            got: Mutex::default(),
            pipes: (0..members).map(roomy).collect(),
            aborted: Mutex::default(),
            finished: Mutex::new(false),
            before_need: Box::new(|_| ()),
            renewal: Mutex::default(),
        }
    }

    /// Needs every block of `len` bytes once.
    fn whole(len: u64, members: usize) -> Self {
        Self::new((0..blocks::count(len)).map(|i| blocks::range(i, len)), members)
    }
}

impl Outgoing for Fake {
    type Stream = Pipe;

    fn next_call(&self) -> Option<Call<Pipe>> {
        let left = self.needs.lock().unwrap().len();
        if let Some((_, index, pipe)) = self.renewal.lock().unwrap().take_if(|r| r.0 == left) {
            self.pipes[index].change(|p| p.broken = true);
            return Some(Call::Renewed(index, pipe));
        }
        (self.before_need)(left);
        self.needs.lock().unwrap().pop_front().map(Call::Need)
    }

    fn next_call_within(&self, _: Duration) -> io::Result<Option<Call<Pipe>>> {
        Ok(self.next_call())
    }

    fn grow(&self, _: u64) -> Result<(), tcpxm::error::EndError> {
        Ok(())
    }

    fn set_end(&self, _: u64) -> Result<(), tcpxm::error::EndError> {
        Ok(())
    }

    fn supply(&self, offset: u64, bytes: Arc<[u8]>) {
        self.got.lock().unwrap().push((offset, bytes));
    }

    fn finish(&self) {
        *self.finished.lock().unwrap() = true;
    }

    fn wait(&self) -> Vec<MemberReport> {
        self.pipes.iter().map(|_| report(Ok(()))).collect()
    }

    fn sent(&self) -> Sent {
        Sent::default()
    }

    fn abort(&self, why: &str) {
        *self.aborted.lock().unwrap() = Some(why.to_owned());
    }

    fn drop_member(&self, index: usize, _: &str) {
        self.pipes[index].change(|state| state.broken = true);
    }

    fn members(&self) -> usize {
        self.pipes.len()
    }

    fn member(&self, index: usize) -> Pipe {
        self.pipes[index].clone()
    }
}

struct Case {
    _dir: tempfile::TempDir,
    data: Vec<u8>,
    source: Source,
}

fn case(len: u64) -> Case {
    let dir = tempfile::tempdir().unwrap();
    let data: Vec<u8> = (0..len).map(|i| (i / 7 % 251) as u8).collect();
    fs::write(dir.path().join("data"), &data).unwrap();
    let source = Source::open(&dir.path().join("data")).unwrap();
    Case { _dir: dir, data, source }
}

/// The same path for more members than any test has.
fn paths() -> Vec<Vec<u8>> {
    vec![b"in/here".to_vec(); 16]
}

/// Checks that a member was told the whole file, in the right order.
fn check_told(pipe: &Pipe, case: &Case) {
    let (messages, len) = (pipe.messages(), case.data.len() as u64);
    let offer = ToReceiver::Offer { name: b"data".to_vec(), len, to: b"in/here".to_vec() };
    assert_eq!(messages.first(), Some(&offer));
    let root = ToReceiver::Root(*blake3::hash(&case.data).as_bytes());
    assert_eq!(messages.last(), Some(&root));
    let mut next = 0;
    for message in &messages[1..messages.len() - 1] {
        let ToReceiver::Digests { first_block, values } = message else { panic!("{message:?}") };
        assert_eq!(*first_block, next);
        for value in values {
            let r = blocks::range(next, len);
            let bytes = &case.data[r.start as usize..r.end as usize];
            assert_eq!(*value, blocks::value(next, bytes, len));
            next += 1;
        }
    }
    assert_eq!(next, blocks::count(len));
}

#[test]
fn everybody_is_told_everything_in_order() {
    for len in [0, 1, BLOCK, 19 * BLOCK + 7] {
        let (case, session) = (case(len), Fake::whole(len, 3));
        let seen = Mutex::new(Vec::new());
        let outcome = send_over(&session, &case.source, &paths(), &|p| {
            seen.lock().unwrap().push(p);
        });
        assert_eq!(outcome.digest, Some(blake3::hash(&case.data)));
        assert!(outcome.failure.is_none() && *session.finished.lock().unwrap());
        session.pipes.iter().for_each(|pipe| check_told(pipe, &case));
        let got: Vec<u8> =
            session.got.lock().unwrap().iter().flat_map(|g| g.1.iter().copied()).collect();
        assert!(got == case.data);
        assert_eq!(seen.lock().unwrap().last().map_or(0, |p| p.read), len);
    }
}

#[test]
fn needs_that_repeat_or_cut_blocks_are_served() {
    let case = case(3 * BLOCK);
    let needs = [0..BLOCK, BLOCK..2 * BLOCK, 2 * BLOCK..3 * BLOCK, 0..BLOCK, 100..2 * BLOCK + 5];
    let session = Fake::new(needs.clone(), 1);
    let outcome = send_over(&session, &case.source, &paths(), &|_| ());
    assert!(outcome.failure.is_none());
    for ((offset, bytes), need) in session.got.lock().unwrap().iter().zip(&needs) {
        assert_eq!(*offset, need.start);
        assert!(bytes[..] == case.data[need.start as usize..need.end as usize]);
    }
    assert_eq!(session.got.lock().unwrap().len(), needs.len());
    check_told(&session.pipes[0], &case);
}

#[test]
fn a_slow_member_holds_nobody_up_and_gets_everything_late() {
    let case = case(40 * BLOCK);
    let mut session = Fake::whole(40 * BLOCK, 3);
    let slow = session.pipes[1].clone();
    let fast = session.pipes[2].clone();
    slow.change(|p| p.room = 7);
    let (opened, waiting) = (Arc::new(Mutex::new(false)), slow.clone());
    let flag = opened.clone();
    session.before_need = Box::new(move |left| {
        if left == 0 {
            // All data went, and the fast ones were told all, while the slow one took 7 bytes.
            assert!(matches!(fast.messages().last(), Some(ToReceiver::Root(_))));
            assert!(waiting.0.0.lock().unwrap().written.len() <= 7);
            waiting.change(|p| p.room = usize::MAX);
            *flag.lock().unwrap() = true;
        }
    });
    send_over(&session, &case.source, &paths(), &|_| ());
    assert!(*opened.lock().unwrap());
    session.pipes.iter().for_each(|pipe| check_told(pipe, &case));
}

#[test]
fn a_dead_member_costs_the_others_nothing() {
    let case = case(20 * BLOCK);
    let mut session = Fake::whole(20 * BLOCK, 3);
    let (blocked, broken) = (session.pipes[0].clone(), session.pipes[1].clone());
    blocked.change(|p| p.room = 0);
    broken.change(|p| p.broken = true);
    session.before_need = Box::new(move |left| {
        if left == 3 {
            blocked.change(|p| p.broken = true); // as when it is found to be silent
        }
    });
    let outcome = send_over(&session, &case.source, &paths(), &|_| ());
    assert_eq!(outcome.members.len(), 3);
    check_told(&session.pipes[2], &case);
    assert!(session.pipes[1].messages().is_empty());
}

/// Whatever its courier was about to say, and when nothing is needed of the file any more.
#[test]
fn a_member_that_begins_again_is_told_everything_anew() {
    for (left, room) in [(25, usize::MAX), (25, 7), (0, usize::MAX), (0, 7)] {
        let case = case(40 * BLOCK);
        let session = Fake::whole(40 * BLOCK, 3);
        session.pipes[1].change(|p| p.room = room);
        let pipe = Pipe::default();
        pipe.change(|p| {
            p.room = usize::MAX;
            let mut frame = Vec::new();
            encode(&ToSender::Ready, &mut frame).unwrap();
            p.to_read.extend(frame);
        });
        *session.renewal.lock().unwrap() = Some((left, 1, pipe.clone()));
        let outcome = send_over(&session, &case.source, &paths(), &|_| ());
        assert!(outcome.failure.is_none());
        check_told(&pipe, &case);
        check_told(&session.pipes[0], &case);
        check_told(&session.pipes[2], &case);
        assert_eq!(outcome.members[1].answer, Answer::Ready, "of the new stream");
    }
}

#[test]
fn a_source_that_changes_ends_the_session_for_all_and_is_named() {
    let case = case(2 * BLOCK);
    let mut session = Fake::new([0..BLOCK, 0..BLOCK, BLOCK..2 * BLOCK], 1);
    let path = case.source.path().to_owned();
    session.before_need = Box::new(move |left| {
        if left == 2 {
            // Even where the time of the change does not show it.
            let before = fs::metadata(&path).unwrap().modified().unwrap();
            fs::write(&path, vec![9; 2 * BLOCK as usize]).unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
        }
    });
    let outcome = send_over(&session, &case.source, &paths(), &|_| ());
    assert!(matches!(outcome.failure, Some(SourceError::Rewritten { block: 0, .. })));
    let aborted = session.aborted.lock().unwrap().clone().unwrap();
    assert!(aborted.contains("data changed while it was read"), "{aborted}");
    assert_eq!(outcome.digest, None);
    let messages = session.pipes[0].messages();
    assert!(matches!(messages[..], [ToReceiver::Offer { .. }]), "{messages:?}");
}

#[test]
fn a_source_that_grows_at_its_end_is_noticed() {
    let case = case(2 * BLOCK);
    let mut session = Fake::whole(2 * BLOCK, 1);
    let path = case.source.path().to_owned();
    session.before_need = Box::new(move |left| {
        if left == 1 {
            fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"more").unwrap();
        }
    });
    let outcome = send_over(&session, &case.source, &paths(), &|_| ());
    assert!(matches!(outcome.failure, Some(SourceError::Resized { .. })));
}

/// A receiver that refuses ends its session at once, and the end may overtake the answer.
#[test]
fn a_receivers_own_reason_reads_the_same_by_whatever_way_it_came() {
    let why = "no room for 5 bytes in the root folder".to_owned();
    let by = |answer, reason| Delivered { answer, report: report(Err(reason)) }.failure();
    for (answer, reason) in [
        (Answer::Refused(why.clone()), Reason::Aborted("other words".to_owned())),
        (Answer::None, Reason::Aborted(why.clone())),
        (Answer::Ready, Reason::Verdict(why.clone())),
    ] {
        assert_eq!(by(answer, reason), Some(why.clone()));
    }
    let nothing = by(Answer::None, Reason::Aborted(String::new()));
    assert_eq!(nothing.as_deref(), Some("aborted by the peer: "));
}

#[test]
fn answers_are_heard() {
    let case = case(1);
    let session = Fake::whole(1, 3);
    let say = |index: usize, bytes: &[u8]| session.pipes[index].change(|p| p.to_read.extend(bytes));
    let mut frame = Vec::new();
    encode(&ToSender::Refuse("no room".to_owned()), &mut frame).unwrap();
    say(0, &frame);
    frame.clear();
    encode(&ToSender::Ready, &mut frame).unwrap();
    say(1, &frame);
    let outcome = send_over(&session, &case.source, &paths(), &|_| ());
    assert_eq!(outcome.members[0].failure(), Some("no room".to_owned()));
    assert_eq!((&outcome.members[1].answer, outcome.members[1].failure()), (&Answer::Ready, None));
    assert_eq!(outcome.members[2].answer, Answer::None);
}
