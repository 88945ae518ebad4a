use super::*;
use crate::blocks;
use crate::link::PrivateStream;
use crate::message::{Decoder, OfJob, Report, ToReceiver, ToSender, UNREAD_THERE, encode};
use crate::source::Named;
use crate::tree::entry::Time;
use crate::tree::layout::SMALL;
use crate::tree::scan;
use crate::tree::source::TreeSource;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex};
use tcpxm::error::Reason;
use tcpxm::seal::Binding;
use tcpxm::stats::{Arrived, MemberReport, Mode, Sent};

pub(super) fn report(outcome: Result<(), Reason>) -> MemberReport {
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
        waited_percent: None,
        transitions: Vec::new(),
        restarts: 0,
        lost: None,
    }
}

/// A member's private stream in memory, with as much room as a test gives it.
#[derive(Debug, Clone, Default)]
struct Pipe(Arc<(Mutex<PipeState>, Condvar)>);

#[derive(Debug, Default)]
struct PipeState {
    room: usize,
    broken: bool,
    /// Of the association, once there is one.
    binding: Option<Binding>,
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

    fn try_binding(&self) -> io::Result<Binding> {
        self.0.0.lock().unwrap().binding.ok_or_else(|| io::ErrorKind::WouldBlock.into())
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

type Hook = Box<dyn Fn(usize) + Send + Sync>;

/// A session that needs what a test says, as soon as it exists.
struct Fake {
    needs: Mutex<VecDeque<Range<u64>>>,
    /// How far it exists, and whether that is its end.
    grown: (Mutex<(u64, bool)>, Condvar),
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
            grown: (Mutex::default(), Condvar::new()),
            got: Mutex::default(),
            pipes: (0..members).map(roomy).collect(),
            aborted: Mutex::default(),
            finished: Mutex::new(false),
            before_need: Box::new(|_| ()),
            renewal: Mutex::default(),
        }
    }

    /// Needs the list, and every block of a file of `len` bytes once.
    fn whole(len: u64, members: usize) -> Self {
        Self::new((0..=blocks::count(len)).map(|i| i * BLOCK..(i + 1) * BLOCK), members)
    }
}

impl Outgoing for Fake {
    type Stream = Pipe;

    fn next_call_within(&self, _: Duration) -> io::Result<Option<Call<Pipe>>> {
        let left = self.needs.lock().unwrap().len();
        if let Some((_, index, pipe)) = self.renewal.lock().unwrap().take_if(|r| r.0 == left) {
            self.pipes[index].change(|p| p.broken = true);
            return Ok(Some(Call::Renewed(index, pipe)));
        }
        (self.before_need)(left);
        let need = self.needs.lock().unwrap().pop_front();
        let least = need.as_ref().map_or(u64::MAX, |need| need.end);
        let (grown, changed) = &self.grown;
        let waits = |grown: &mut (u64, bool)| grown.0 < least && !grown.1;
        drop(changed.wait_while(grown.lock().unwrap(), waits).unwrap());
        let is_over = self.aborted.lock().unwrap().is_some();
        Ok(need.filter(|_| !is_over).map(Call::Need))
    }

    fn grow(&self, to: u64) -> Result<(), EndError> {
        self.grown.0.lock().unwrap().0 = to;
        self.grown.1.notify_all();
        Ok(())
    }

    fn set_end(&self, at: u64) -> Result<(), EndError> {
        self.grown.0.lock().unwrap().1 = true;
        self.grow(at)
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

    fn is_settled(&self) -> bool {
        true
    }

    fn sent(&self) -> Sent {
        Sent::default()
    }

    fn abort(&self, why: &str) {
        *self.aborted.lock().unwrap() = Some(why.to_owned());
        self.needs.lock().unwrap().clear();
        self.grown.0.lock().unwrap().1 = true;
        self.grown.1.notify_all();
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
    dir: tempfile::TempDir,
    data: Vec<u8>,
    source: TreeSource,
}

/// A file with blocks of its own, or none.
fn case(len: u64) -> Case {
    assert!(len == 0 || len > SMALL);
    let dir = tempfile::tempdir().unwrap();
    let data: Vec<u8> = (0..len).map(|i| (i / 7 % 251) as u8).collect();
    let path = dir.path().join("data");
    fs::write(&path, &data).unwrap();
    let source = TreeSource::open(&[&path], scan::Options::default(), dir.path()).unwrap();
    Case { dir, data, source }
}

/// The same offer for more members than any test has.
fn offers() -> Vec<Offer> {
    let one = Some(b"data".to_vec());
    vec![Offer { to: b"in/here".to_vec(), one, ..Offer::default() }; 16]
}

/// Checks that a member was told all of it: the offer first, then the list, the value of each block, and the end.
fn check_told(pipe: &Pipe, case: &Case) {
    let (messages, len) = (pipe.messages(), case.data.len() as u64);
    // As it was asked for, and with the time when the source was opened.
    let begun = Some(case.source.begun());
    let offer = Offer { begun, ..offers().remove(0) };
    assert_eq!(messages.first(), Some(&ToReceiver::Offer(offer)));
    let age = Time::now().as_nanos() - case.source.begun().as_nanos();
    assert!((0..600_000_000_000).contains(&age), "{age}");
    let (mut values, mut parts, mut end) = (Vec::<(u64, blocks::Value)>::new(), 0, None);
    for message in &messages[1..] {
        match message {
            ToReceiver::Part { block, .. } => {
                assert_eq!((*block, parts), (0, 0));
                parts += 1;
            }
            ToReceiver::Values(more) => values.extend(more),
            ToReceiver::End { entries, blocks } => end = Some((*entries, *blocks)),
            other => panic!("{other:?}"),
        }
    }
    let count = blocks::count(len);
    assert_eq!((parts, end), (1, Some((1, count + 1))));
    let expected = (0..count).map(|index| {
        let r = blocks::range(index, len);
        (index + 1, blocks::value(index, &case.data[r.start as usize..r.end as usize], len))
    });
    assert_eq!(values, expected.collect::<Vec<_>>());
}

#[test]
fn everybody_is_told_everything_in_order() {
    for len in [0, BLOCK, 19 * BLOCK + 7] {
        let (case, session) = (case(len), Fake::whole(len, 3));
        let seen = Mutex::new(Vec::new());
        let outcome = send_over(&session, &case.source, (&offers(), None), &|p| {
            seen.lock().unwrap().push(p);
        });
        let digest = (len > 0).then(|| blake3::hash(&case.data));
        assert_eq!(case.source.digest(0), digest);
        assert!(outcome.failure.is_none() && *session.finished.lock().unwrap());
        session.pipes.iter().for_each(|pipe| check_told(pipe, &case));
        let got = session.got.lock().unwrap();
        let got: Vec<u8> = got.iter().skip(1).flat_map(|g| g.1.iter().copied()).collect();
        assert!(got[..len as usize] == case.data && got[len as usize..].iter().all(|b| *b == 0));
        let last = seen.lock().unwrap().last().copied().unwrap();
        assert_eq!((last.entries, last.len, last.read, last.ended), (1, len, len, true));
    }
}

#[test]
fn needs_that_repeat_or_cut_blocks_are_served() {
    let case = case(3 * BLOCK);
    let needs = [1, 2, 3, 1].map(|block| block * BLOCK..(block + 1) * BLOCK);
    let needs = needs.into_iter().chain([BLOCK + 100..3 * BLOCK + 5]).collect::<Vec<_>>();
    let session = Fake::new(needs.clone(), 1);
    let outcome = send_over(&session, &case.source, (&offers(), None), &|_| ());
    assert!(outcome.failure.is_none());
    for ((offset, bytes), need) in session.got.lock().unwrap().iter().zip(&needs) {
        assert_eq!(*offset, need.start);
        let range = (need.start - BLOCK) as usize..(need.end - BLOCK) as usize;
        assert!(bytes[..] == case.data[range]);
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
            // All data went, and the fast ones were told as it went, while the slow one took 7 bytes.
            assert!(fast.messages().len() > 3);
            assert!(waiting.0.0.lock().unwrap().written.len() <= 7);
            waiting.change(|p| p.room = usize::MAX);
            *flag.lock().unwrap() = true;
        }
    });
    send_over(&session, &case.source, (&offers(), None), &|_| ());
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
    let outcome = send_over(&session, &case.source, (&offers(), None), &|_| ());
    assert_eq!(outcome.members.len(), 3);
    check_told(&session.pipes[2], &case);
    assert!(session.pipes[1].messages().is_empty());
}

/// Whatever its courier was about to say, and when nothing is needed any more.
#[test]
fn a_member_that_begins_again_is_told_everything_anew() {
    for (left, room) in [(25, usize::MAX), (25, 7), (0, usize::MAX), (0, 7)] {
        let case = case(40 * BLOCK);
        let session = Fake::whole(40 * BLOCK, 3);
        session.pipes[1].change(|p| p.room = room);
        let pipe = Pipe::default();
        pipe.change(|p| {
            p.room = usize::MAX;
            p.to_read.extend(frame(&ToSender::Ready { shown: Vec::new() }));
        });
        *session.renewal.lock().unwrap() = Some((left, 1, pipe.clone()));
        let outcome = send_over(&session, &case.source, (&offers(), None), &|_| ());
        assert!(outcome.failure.is_none());
        check_told(&pipe, &case);
        check_told(&session.pipes[0], &case);
        check_told(&session.pipes[2], &case);
        assert!(outcome.members[1].said.ready, "of the new stream");
    }
}

fn frame(word: &ToSender) -> Vec<u8> {
    let mut frame = Vec::new();
    encode(word, &mut frame).unwrap();
    frame
}

/// A file that changes is not sent on as if it were the same, and is named: its blocks are zeros, which nobody takes.
#[test]
fn a_file_that_changes_is_named_and_none_of_it_is_taken_for_what_it_was() {
    type Change = fn(&std::path::Path);
    let changes: [(Change, &str); 2] = [
        (
            |path| {
                // Even where the time of the change does not show it.
                let before = fs::metadata(path).unwrap().modified().unwrap();
                fs::write(path, vec![9; 2 * BLOCK as usize]).unwrap();
                fs::File::options().write(true).open(path).unwrap().set_modified(before).unwrap();
            },
            "changed while it was read: it has other bytes than before",
        ),
        (
            |path| {
                fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"more").unwrap();
            },
            "changed while it was read",
        ),
    ];
    for (change, why) in changes {
        let case = case(2 * BLOCK);
        let needs = [BLOCK..2 * BLOCK, BLOCK..2 * BLOCK, 2 * BLOCK..3 * BLOCK];
        let mut session = Fake::new(needs, 1);
        let path = case.dir.path().join("data");
        session.before_need = Box::new(move |left| {
            if left == 2 {
                change(&path);
            }
        });
        let said = ToSender::Failed { entry: 0, why: UNREAD_THERE.to_owned() };
        session.pipes[0].change(|p| {
            p.to_read.extend(frame(&said));
            p.to_read.extend(frame(&ToSender::Report(Report { failed: 1, ..Report::default() })));
        });
        let outcome = send_over(&session, &case.source, (&offers(), None), &|_| ());
        assert!(outcome.failure.is_none(), "the others go on");
        assert_eq!(outcome.members[0].failure().as_deref(), Some(why));
        let got = session.got.lock().unwrap();
        assert!(got[1].1.iter().all(|byte| *byte == 0));
        assert_eq!(case.source.digest(0), None);
    }
}

/// A receiver that refuses ends its session at once, and the end may overtake the answer.
#[test]
fn a_receivers_own_reason_reads_the_same_by_whatever_way_it_came() {
    let why = "no room for 5 bytes in the root folder".to_owned();
    let by = |said: Said, reason| {
        let source = case(0).source;
        outcome::of(&source, [(report(Err(reason)), said, true)].into_iter()).0[0].failure()
    };
    let refused = Said { refused: Some(why.clone()), ..Said::default() };
    for (said, reason) in [
        (refused, Reason::Aborted("other words".to_owned())),
        (Said::default(), Reason::Aborted(why.clone())),
        (Said { ready: true, ..Said::default() }, Reason::Verdict(why.clone())),
    ] {
        assert_eq!(by(said, reason), Some(why.clone()));
    }
    let nothing = by(Said::default(), Reason::Aborted(String::new()));
    assert_eq!(nothing.as_deref(), Some("aborted by the peer: "));
}

/// What shows who sends is made for the association with each member, and nothing is said before there is one.
#[test]
fn who_sends_for_a_job_is_shown_over_the_association_with_each() {
    let case = case(BLOCK);
    let mut session = Fake::whole(BLOCK, 3);
    let pipes = session.pipes.clone();
    pipes[0].change(|p| p.binding = Some([10; 32]));
    session.before_need = Box::new(move |left| {
        if left == 1 {
            assert!(pipes[1].messages().is_empty(), "it has not answered");
            pipes[1].change(|p| p.binding = Some([11; 32]));
        }
    });
    let offer = |n| {
        let job = OfJob { id: [n; 16], ..OfJob::default() };
        Offer { job: Some(Box::new(job)), ..Offer::default() }
    };
    let offers = [offer(1), offer(2), Offer::default()];
    let shows = |job: &[u8; 16], binding: &Binding| vec![job[0], binding[0]];
    send_over(&session, &case.source, (&offers, Some(&shows)), &|_| ());
    let offered = session.pipes.iter().map(|pipe| match pipe.messages().remove(0) {
        ToReceiver::Offer(offer) => offer.job.map(|job| job.shown),
        other => panic!("{other:?}"),
    });
    let expected = [Some(vec![1, 10]), Some(vec![2, 11]), None];
    assert_eq!(offered.collect::<Vec<_>>(), expected);
}

#[test]
fn what_members_say_is_heard() {
    let case = case(BLOCK);
    let session = Fake::whole(BLOCK, 3);
    let say = |index: usize, word| session.pipes[index].change(|p| p.to_read.extend(frame(&word)));
    say(0, ToSender::Refuse("no room".to_owned()));
    say(1, ToSender::Ready { shown: Vec::new() });
    say(1, ToSender::Note("owners are not kept".to_owned()));
    say(1, ToSender::Report(Report { arrived: 1, ..Report::default() }));
    let outcome = send_over(&session, &case.source, (&offers(), None), &|_| ());
    assert_eq!(outcome.members[0].failure(), Some("no room".to_owned()));
    assert_eq!((outcome.members[1].said.ready, outcome.members[1].failure()), (true, None));
    assert_eq!(outcome.members[1].said.notes.len(), 1);
    let silent = outcome.members[2].failure().unwrap();
    assert!(silent.contains("did not say what became of it"), "{silent}");
}

/// Whoever has old blocks read again, one after the other, does not keep the others waiting for their last values.
#[test]
fn values_are_told_in_time_while_old_blocks_are_read_again() {
    let case = case(2 * BLOCK);
    let needs = std::iter::repeat_n(BLOCK..2 * BLOCK, 3);
    let mut session = Fake::new(needs, 1);
    let (pipe, told) = (session.pipes[0].clone(), Arc::<AtomicBool>::default());
    let flag = Arc::clone(&told);
    session.before_need = Box::new(move |left| match left {
        1 => {
            let begun = Instant::now();
            while begun.elapsed() < 2 * TICK {
                thread::yield_now();
            }
        }
        0 => {
            let is_value = |word: &ToReceiver| matches!(word, ToReceiver::Values(_));
            flag.store(pipe.messages().iter().any(is_value), Ordering::SeqCst);
        }
        _ => {}
    });
    send_over(&session, &case.source, (&offers(), None), &|_| ());
    assert!(told.load(Ordering::SeqCst));
}

/// Panics where it is to list.
struct Panics(TreeSource);

impl Source for Panics {
    fn list(&self, _: &dyn Grows) -> Result<(), SourceError> {
        panic!("on purpose");
    }

    fn read(&self, block: u64) -> Result<Arc<[u8]>, SourceError> {
        self.0.read(block)
    }

    fn post_value(&self, block: u64) -> Result<(), SourceError> {
        self.0.post_value(block)
    }

    fn board(&self) -> &board::Board {
        self.0.board()
    }

    fn progress(&self) -> Progress {
        self.0.progress()
    }

    fn names(&self, entries: &BTreeSet<u64>) -> Result<BTreeMap<u64, Named>, SourceError> {
        self.0.names(entries)
    }

    fn unlisted(&self) -> Vec<(Vec<u8>, String)> {
        self.0.unlisted()
    }

    fn unlisted_count(&self) -> u64 {
        self.0.unlisted_count()
    }

    fn stop(&self) {
        self.0.stop();
    }
}

#[test]
fn a_listing_that_panics_ends_the_session() {
    let session = Fake::whole(BLOCK, 2);
    let outcome = send_over(&session, &Panics(case(BLOCK).source), (&offers(), None), &|_| ());
    assert!(matches!(outcome.failure, Some(SourceError::Stopped)), "{:?}", outcome.failure);
    let why = session.aborted.lock().unwrap().clone().unwrap();
    assert!(why.contains("fault of this program"), "{why}");
}

/// More than is heard in a turn, said when nothing is needed any more.
#[test]
fn all_that_is_said_is_heard_to_its_end() {
    let case = case(BLOCK);
    let session = Fake::whole(BLOCK, 1);
    session.pipes[0].change(|p| {
        for entry in 0..90_000 {
            p.to_read.extend(frame(&ToSender::Failed { entry, why: "no room".to_owned() }));
        }
        p.to_read.extend(frame(&ToSender::Report(Report { failed: 90_000, ..Report::default() })));
    });
    let outcome = send_over(&session, &case.source, (&offers(), None), &|_| ());
    let member = &outcome.members[0];
    assert_eq!((member.failed_entries(), member.failures().count()), (90_000, 90_000));
}
