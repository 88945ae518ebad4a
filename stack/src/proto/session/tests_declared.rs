//! Sessions whose receivers declare what they hold, driven by hand: whatever they say, lose and take
//! back, nothing is sent to one alone that it does not lack, and the group carries only what two or
//! more lack, as far as the sender has been told.

use super::tests::{GROUP, LEN, ack, at, establish, new_session, peers, train};
use super::{Session, plan::Target};
use crate::config::{Content, Delivery, Group, SessionConfig};
use crate::error::Reason;
use crate::proto::conn::control::Notice;
use crate::proto::member::mode::Cause;
use crate::proto::member::need::coarse::MOST_RANGES;
use crate::proto::member::need::{Proof, Way};
use crate::proto::rng::Rng;
use crate::proto::time::Instant;
use crate::stats::Arrived;
use crate::wire::{MAX_OFFSET, MAX_RANGES, PAYLOAD_SHORT, RangeList, SpaceAck};
use core::ops::Range;
use core::time::Duration;
use proptest::prelude::*;

/// Bytes of one of the model's pieces: declarations are made of these.
const PIECE: u64 = 64 << 10;
const PIECES: usize = (LEN / PIECE) as usize;

/// What the sender has been told of one piece at one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Has,
    Lacks,
}

#[derive(Debug, Clone)]
enum Op {
    Have(usize, Range<usize>),
    Lack(usize, Range<usize>),
    Again(usize, Range<usize>),
    /// Promoted, or demoted.
    Change(usize, bool),
    /// Trains are sent; of the packets of a member one in so many is lost.
    Send(usize),
    Wait(u64),
}

fn pieces() -> impl Strategy<Value = Range<usize>> {
    (0..PIECES, 1..24usize).prop_map(|(at, n)| at..(at + n).min(PIECES))
}

fn op(members: usize) -> impl Strategy<Value = Op> {
    let who = 0..members;
    prop_oneof![
        2 => (who.clone(), pieces()).prop_map(|(m, r)| Op::Have(m, r)),
        3 => (who.clone(), pieces()).prop_map(|(m, r)| Op::Lack(m, r)),
        1 => (who.clone(), pieces()).prop_map(|(m, r)| Op::Again(m, r)),
        1 => (who, any::<bool>()).prop_map(|(m, up)| Op::Change(m, up)),
        4 => (2..20usize).prop_map(Op::Send),
        2 => (1..700u64).prop_map(Op::Wait),
    ]
}

struct Bench {
    s: Session,
    now: Instant,
    told: Vec<Vec<Told>>,
    /// Packets that were lost, by member: of its own, and of the group's.
    lost: Vec<[Vec<u64>; 2]>,
    /// One packet of so many is lost.
    lose: usize,
    sent: usize,
}

impl Bench {
    fn new(members: usize) -> Self {
        let addr = "239.255.1.2:8737".parse().unwrap();
        let config = SessionConfig {
            group: Some(Group { addr, source: None }),
            delivery: Delivery::Unordered,
            content: Content::Source { len: Some(LEN) },
            declares: true,
            mtu: 0,
            ..SessionConfig::default()
        };
        let peers = peers(members);
        let mut s = new_session(config, &peers, 5).unwrap();
        establish(&mut s);
        s.finish();
        let told = vec![vec![Told::Nothing; PIECES]; members];
        let lost = vec![[Vec::new(), Vec::new()]; members];
        Self { s, now: at(0), told, lost, lose: 7, sent: 0 }
    }

    fn lacks(&self, member: usize, range: &Range<u64>) -> bool {
        let pieces = (range.start / PIECE) as usize..=((range.end - 1) / PIECE) as usize;
        let m = &self.s.members[member];
        pieces.into_iter().all(|piece| self.told[member][piece] == Told::Lacks)
            && m.outcome().is_none()
            && m.need().has_none_of(range.clone())
    }

    /// What may be sent next, and whether it may be.
    fn check(&mut self) -> Result<(), TestCaseError> {
        self.s.refresh(self.now);
        self.s.lead_channels(self.now);
        if let Some(step) = self.s.step(self.now, GROUP) {
            for at in step.range.clone() {
                let byte = at..at + 1;
                let lacking = (0..self.told.len()).filter(|m| self.lacks(*m, &byte)).count();
                prop_assert!(lacking >= 2, "{:?} to the group: {} lack byte {}", step, lacking, at);
            }
        }
        for member in 0..self.told.len() {
            if let Some(step) = self.s.step(self.now, Target::Member(member)) {
                prop_assert!(self.lacks(member, &step.range), "{:?} to {} alone", step, member);
            }
        }
        Ok(())
    }

    fn notice(&mut self, member: usize, notice: Notice) {
        if self.s.members[member].outcome().is_none() {
            self.s.on_notice(self.now, member, notice);
        }
    }

    fn tell(&mut self, member: usize, pieces: &Range<usize>, of: &[Told], is: Told) {
        for piece in pieces.clone() {
            if of.contains(&self.told[member][piece]) {
                self.told[member][piece] = is;
            }
        }
    }

    /// Everything that can leave now leaves, and is reported or lost.
    fn send(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..400 {
            self.check()?;
            let by_unicast: Vec<u64> =
                self.s.members.iter().map(|m| m.conn().tx().next_pn()).collect();
            let by_group = self.s.channels[0].next_pn();
            if train(&mut self.s, self.now).is_none() {
                break;
            }
            self.report(&by_unicast, by_group);
        }
        Ok(())
    }

    /// The receivers' answers to what has just left: reports, but for what is lost.
    fn report(&mut self, by_unicast: &[u64], by_group: u64) {
        for (member, own) in by_unicast.iter().enumerate() {
            if self.s.members[member].outcome().is_some() {
                continue;
            }
            let next = [self.s.members[member].conn().tx().next_pn(), self.s.channels[0].next_pn()];
            for (space, from) in [*own, by_group].into_iter().enumerate() {
                for pn in from..next[space] {
                    self.sent += 1;
                    if self.sent.is_multiple_of(self.lose) {
                        self.lost[member][space].push(pn);
                    }
                }
            }
            let heard = [0, 1].map(|space| heard(next[space], &self.lost[member][space]));
            let [unicast, group] = [0, 1].map(|space| {
                let ranges: &[(u64, u64)] = &heard[space];
                let &(_, largest) = ranges.first()?;
                Some(SpaceAck { largest, delay_us: 0, ce: 0, ranges: RangeList::Listed(ranges) })
            });
            let ack = ack(unicast, group);
            self.s.members[member].conn_mut().lives(self.now);
            self.s.on_ack(self.now, member, &ack);
        }
        for (member, told) in self.told.iter_mut().enumerate() {
            for (piece, told) in told.iter_mut().enumerate() {
                let start = piece as u64 * PIECE;
                if self.s.members[member].need().has(start..start + PIECE) {
                    *told = Told::Has;
                }
            }
        }
    }

    /// Time passes, and timers fire.
    fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        for member in 0..self.told.len() {
            self.s.members[member].conn_mut().lives(self.now);
        }
        self.s.on_timer(self.now);
    }
}

/// The newest ranges of packets below `next` that are not lost, as an ACK has them.
fn heard(next: u64, lost: &[u64]) -> Vec<(u64, u64)> {
    let mut ranges = Vec::new();
    let mut end = next;
    for pn in lost.iter().rev().chain(&[u64::MAX]) {
        let low = if *pn == u64::MAX { 0 } else { pn + 1 };
        if low < end {
            ranges.push((low, end - 1));
        }
        if ranges.len() == MAX_RANGES || *pn == u64::MAX {
            break;
        }
        end = *pn;
    }
    ranges
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn nobody_is_sent_what_it_does_not_lack(
        members in 2..5usize,
        ops in prop::collection::vec(op(4), 1..40),
    ) {
        let mut bench = Bench::new(members);
        for op in ops {
            match op {
                Op::Have(m, r) if m < members => {
                    let ranges = vec![r.start as u64 * PIECE..r.end as u64 * PIECE];
                    bench.notice(m, Notice::Have(ranges));
                    bench.tell(m, &r, &[Told::Nothing, Told::Lacks], Told::Has);
                }
                Op::Lack(m, r) if m < members => {
                    let ranges = vec![r.start as u64 * PIECE..r.end as u64 * PIECE];
                    bench.notice(m, Notice::Lack(ranges));
                    bench.tell(m, &r, &[Told::Nothing], Told::Lacks);
                }
                Op::Again(m, r) if m < members => {
                    let ranges = vec![r.start as u64 * PIECE..r.end as u64 * PIECE];
                    bench.notice(m, Notice::Again(ranges));
                    bench.tell(m, &r, &[Told::Nothing, Told::Has], Told::Lacks);
                }
                Op::Change(m, up) if m < members => {
                    let cause = if up { Cause::Hears } else { Cause::HearsLittle };
                    bench.s.change(bench.now, m, cause);
                    if !up {
                        bench.s.change(bench.now, m, Cause::Retry);
                    }
                }
                Op::Send(lose) => {
                    bench.lose = lose;
                    bench.send()?;
                }
                Op::Wait(ms) => bench.wait(ms),
                _ => {}
            }
            bench.check()?;
        }
        // In the end everybody says what it lacks, nothing is lost, and all end whole.
        for m in 0..members {
            bench.notice(m, Notice::Lack(vec![0..MAX_OFFSET]));
            bench.tell(m, &(0..PIECES), &[Told::Nothing], Told::Lacks);
        }
        bench.lose = usize::MAX;
        for _ in 0..200 {
            bench.wait(200);
            bench.send()?;
        }
        for (n, m) in bench.s.members.iter().enumerate() {
            prop_assert!(m.outcome().is_none(), "{}: {:?}", n, m.outcome());
            prop_assert!(m.need().is_met(LEN), "{}: {:?}", n, m.need());
        }
    }
}

#[test]
fn a_stream_that_is_read_once_cannot_be_asked_again() {
    let config =
        SessionConfig { content: Content::Stream { ring: 1 << 16 }, ..SessionConfig::default() };
    let mut s = new_session(config, &peers(1), 1).unwrap();
    establish(&mut s);
    s.write(&vec![7; 1 << 16]);
    while train(&mut s, at(1)).is_some() {}
    s.members[0].on_acked(0..30_000, Proof::Packet(Way::Unicast, u64::MAX));
    s.release();
    s.on_notice(at(2), 0, Notice::Again(vec![10_000..20_000]));
    assert_eq!(s.members[0].outcome(), Some(&Err(Reason::CannotRepeat)));
}

/// A million blocks of 1 MiB, of which each of eight members needs one in a hundred, at random.
#[test]
fn a_million_blocks_scattered_take_a_mebibyte_a_member() {
    const BLOCKS: u64 = 1_000_000;
    const BLOCK: u64 = 1 << 20;
    let config = SessionConfig {
        content: Content::Source { len: Some(BLOCKS * BLOCK) },
        declares: true,
        ..SessionConfig::default()
    };
    let mut s = new_session(config, &peers(8), 1).unwrap();
    establish(&mut s);
    let mut rng = Rng::new([9; 32]);
    for member in 0..8 {
        let needed: std::collections::BTreeSet<u64> =
            (0..BLOCKS / 100).map(|_| rng.u64() % BLOCKS).collect();
        let mut from = 0;
        let mut held = Vec::new();
        for block in &needed {
            if from < *block {
                held.push(from * BLOCK..block * BLOCK);
            }
            from = block + 1;
        }
        held.push(from * BLOCK..BLOCKS * BLOCK);
        // As records bring them: some thousands at a time, then what is lacking in one range.
        for ranges in held.chunks(4000) {
            s.on_notice(at(1), member, Notice::Have(ranges.to_vec()));
        }
        s.on_notice(at(1), member, Notice::Lack(vec![0..MAX_OFFSET]));
        let need = s.members[member].need();
        assert_eq!(need.alone_below(BLOCKS * BLOCK), needed.len() as u64 * BLOCK);
        let bytes = need.footprint();
        assert!(bytes <= 1 << 20, "member {member}: {bytes} bytes");
    }
}

/// A session of members that lack only such bytes as `lacks` gives for each, all following the group;
/// everything is sent, and nothing lost. Datagrams of data to the group, and to each.
fn served(lacks: &[&dyn Fn(u64) -> bool], block: u64) -> (Vec<usize>, Bench) {
    let mut bench = Bench::new(lacks.len());
    bench.lose = usize::MAX;
    for (m, lacks) in lacks.iter().enumerate() {
        bench.s.change(bench.now, m, Cause::Hears);
        let held = (0..LEN.div_ceil(block)).filter(|n| !lacks(*n));
        let held: Vec<_> = held.map(|n| n * block..((n + 1) * block).min(LEN)).collect();
        for ranges in held.chunks(4000) {
            bench.notice(m, Notice::Have(ranges.to_vec()));
        }
    }
    for m in 0..lacks.len() {
        bench.notice(m, Notice::Lack(vec![0..MAX_OFFSET]));
    }
    let mut datagrams = vec![0; lacks.len() + 1];
    let peers = peers(lacks.len());
    for _ in 0..20_000 {
        let own: Vec<u64> = bench.s.members.iter().map(|m| m.conn().tx().next_pn()).collect();
        let by_group = bench.s.channels[0].next_pn();
        let Some((to, n)) = train(&mut bench.s, bench.now) else { break };
        datagrams[peers.iter().position(|peer| *peer == to).map_or(0, |m| m + 1)] += n;
        bench.report(&own, by_group);
    }
    assert!(bench.s.members.iter().all(|m| m.need().is_met(LEN)), "{datagrams:?}");
    (datagrams, bench)
}

/// Full segments that so many bytes take, and a tenth more.
fn segments(bytes: u64) -> usize {
    (bytes / PAYLOAD_SHORT as u64) as usize * 11 / 10
}

#[test]
fn scattered_bytes_that_one_lacks_do_not_shorten_anothers_segments() {
    let (datagrams, bench) = served(&[&|_| true, &|n| n % 1000 == 0], 1);
    assert!(datagrams[1] <= segments(LEN) && datagrams[0] < 10, "{datagrams:?}");
    assert!(bench.s.sent().unicast_bytes <= LEN + LEN / 1000 + 1, "{:?}", bench.s.sent());
}

#[test]
fn pieces_that_different_members_lack_are_carried_as_one() {
    let lacks: [&dyn Fn(u64) -> bool; 3] = [&|_| true, &|n| n % 2 == 0, &|n| n % 2 == 1];
    let (datagrams, bench) = served(&lacks, 500);
    assert!(datagrams[0] <= segments(LEN), "{datagrams:?}");
    assert_eq!(bench.s.sent().group_bytes, LEN);
}

/// Blocks of 4 KiB, of which each of three members lacks one half, scattered.
#[test]
fn scattered_blocks_go_in_nearly_full_segments() {
    let drawn = |member: u64, n: u64| {
        (n.wrapping_mul(3) + member).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 0
    };
    let lacks: [&dyn Fn(u64) -> bool; 3] = [&|n| drawn(0, n), &|n| drawn(1, n), &|n| drawn(2, n)];
    let (datagrams, bench) = served(&lacks, 4096);
    let sent = bench.s.sent();
    let mean = |bytes: u64, datagrams: usize| bytes / datagrams as u64;
    let to_group = mean(sent.group_bytes, datagrams[0]);
    let alone = mean(sent.unicast_bytes, datagrams[1..].iter().sum());
    assert!(
        to_group.min(alone) > PAYLOAD_SHORT as u64 * 85 / 100,
        "{to_group} {alone} {datagrams:?}"
    );
}

/// One says that it holds every other of a hundred and fifty thousand pieces, and more than once takes all
/// of it back: what is kept of it stays within its bound, and it ends whole.
#[test]
fn more_ranges_than_can_be_kept_cost_nothing_but_bytes() {
    const PIECES: u64 = 150_000;
    const STEP: u64 = LEN / PIECES;
    let mut bench = Bench::new(2);
    bench.lose = usize::MAX;
    bench.notice(0, Notice::Lack(vec![0..MAX_OFFSET]));
    // The later ones are longer.
    let held = |n: u64| n * STEP..n * STEP + 1 + n * (STEP - 2) / PIECES;
    let all: Vec<Range<u64>> = (0..PIECES).map(held).collect();
    let declare = |bench: &mut Bench| {
        for ranges in all.chunks(4000) {
            bench.notice(1, Notice::Have(ranges.to_vec()));
            let need = bench.s.members[1].need();
            assert!(need.ranges() <= MOST_RANGES && need.footprint() < 12 << 20, "{need:?}");
        }
    };
    declare(&mut bench);
    bench.notice(1, Notice::Lack(vec![0..MAX_OFFSET]));
    assert_eq!(bench.s.members[1].outcome(), None);
    let (need, bytes) = (bench.s.members[1].need(), |r: &Range<u64>| r.end - r.start);
    let longer: u64 = all[all.len() / 2..].iter().map(bytes).sum();
    assert!(
        need.held() >= longer * 9 / 10,
        "{} of {longer}: the longer ones are kept",
        need.held()
    );
    for _ in 0..3 {
        bench.notice(1, Notice::Again(vec![0..LEN]));
        declare(&mut bench);
    }
    for ranges in all.chunks(4000) {
        bench.notice(1, Notice::Again(ranges.to_vec()));
        assert!(bench.s.members[1].need().ranges() <= MOST_RANGES);
    }
    for _ in 0..100 {
        bench.wait(200);
        for _ in 0..4000 {
            let own: Vec<u64> = bench.s.members.iter().map(|m| m.conn().tx().next_pn()).collect();
            let by_group = bench.s.channels[0].next_pn();
            if train(&mut bench.s, bench.now).is_none() {
                break;
            }
            bench.report(&own, by_group);
        }
    }
    assert!(bench.s.members.iter().all(|m| m.need().is_met(LEN)));
}

#[test]
fn of_one_that_has_its_outcome_nothing_that_it_says_changes_the_report() {
    let mut bench = Bench::new(2);
    let arrived = Arrived { unicast: LEN, ..Arrived::default() };
    let verdict = |ok, arrived| Notice::Verdict { ok, arrived, reason: "said so".to_owned() };
    bench.s.on_notice(at(1), 0, Notice::CannotJoin("no interface".to_owned()));
    bench.s.on_notice(at(1), 0, verdict(true, arrived));
    let before = bench.s.report(at(1), 0);
    assert_eq!((before.outcome.clone(), before.arrived), (Some(Ok(())), arrived));
    let footprint = bench.s.members[0].need().footprint();
    for notice in [
        Notice::Have(vec![5..9, 20..30]),
        Notice::Lack(vec![0..LEN]),
        Notice::Again(vec![0..LEN]),
        Notice::Joined,
        Notice::CannotJoin("another reason".to_owned()),
        verdict(false, Arrived::default()),
    ] {
        bench.s.on_notice(at(1), 0, notice);
    }
    assert_eq!(bench.s.report(at(1), 0), before);
    assert_eq!(bench.s.members[0].need().footprint(), footprint);
}

#[test]
fn what_one_holds_of_something_longer_counts_for_nothing() {
    let mut bench = Bench::new(2);
    bench.notice(0, Notice::Have(vec![0..LEN / 2, LEN..4 * LEN]));
    assert_eq!(bench.s.report(bench.now, 0).acked, LEN / 2);
    bench.notice(0, Notice::Lack(vec![0..MAX_OFFSET]));
    assert!(!bench.s.members[0].need().is_met_by(LEN / 2 - 1, LEN));
    assert!(bench.s.members[0].need().is_met_by(LEN / 2, LEN));
}

/// What parts bytes that are on their way cannot be forgotten: whoever says so much of them ends.
#[test]
fn ranges_between_bytes_in_flight_are_bounded() {
    let mut bench = Bench::new(2);
    let many = 1 + MOST_RANGES as u64;
    bench.notice(0, Notice::Lack(vec![0..MAX_OFFSET]));
    bench.s.members[0].need_mut().sent_alone(0..2 * many + 2);
    let pieces: Vec<_> = (0..many).map(|n| 2 * n + 1..2 * n + 2).collect();
    for ranges in pieces.chunks(4000) {
        bench.notice(0, Notice::Have(ranges.to_vec()));
    }
    let outcome = bench.s.report(bench.now, 0).outcome;
    assert!(matches!(outcome, Some(Err(Reason::Protocol(_)))), "{outcome:?}");
}
