//! The session's decisions, on a session put into a state by hand.

use super::Session;
use super::plan::Target;
use super::transmit::Turn;
use crate::config::{Content, Delivery, Group, GroupWindow, SessionConfig};
use crate::error::ConfigError;
use crate::proto::channel::{Channel, ChannelId};
use crate::proto::conn::emit::Report;
use crate::proto::conn::ids::Ids;
use crate::proto::member::Member;
use crate::proto::member::mode::Cause;
use crate::proto::member::plan::Step;
use crate::proto::rng::Rng;
use crate::proto::time::Instant;
use crate::seal::{Keys, Suite};
use crate::stats::Mode;
use crate::trust::{NoiseKey, SenderTrust};
use crate::wire::{Ack, GroupStatus, PAYLOAD_SHORT, RangeList, SpaceAck};
use core::ops::Range;
use core::time::Duration;

pub(super) const LEN: u64 = 4 << 20;
pub(super) const GROUP: Target = Target::Group(ChannelId(0));
/// Segments that need no probe.
const SEGMENT: u64 = PAYLOAD_SHORT as u64;

pub(super) fn at(ms: u64) -> Instant {
    Instant::from_nanos(1 + ms * 1_000_000)
}

fn config() -> SessionConfig {
    let addr = "239.255.1.2:8737".parse().unwrap();
    SessionConfig {
        group: Some(Group { addr, source: None }),
        delivery: Delivery::Unordered,
        content: Content::Source { len: Some(LEN) },
        mtu: 0,
        ..SessionConfig::default()
    }
}

pub(super) fn peers(n: usize) -> Vec<std::net::SocketAddr> {
    (0..n).map(|n| format!("10.0.0.{}:8737", n + 1).parse().unwrap()).collect()
}

/// A session that has just begun, whose random choices follow from `seed`.
pub(super) fn new_session(
    config: SessionConfig,
    peers: &[std::net::SocketAddr],
    seed: u8,
) -> Result<Session, ConfigError> {
    let mut rng = Rng::new([seed; 32]);
    let peers: Vec<_> = peers.iter().map(|peer| vec![*peer]).collect();
    Session::new(
        at(0),
        config,
        (SenderTrust::Loopback, NoiseKey::drawn(&[seed; 32])),
        &peers,
        4000,
        &mut Ids { rng: &mut rng, taken: &|_| false },
    )
}

/// A started session whose members are established, have joined, and whose bytes are at hand.
fn session(n: usize) -> Session {
    session_of(n, config())
}

fn session_of(n: usize, config: SessionConfig) -> Session {
    let mut s = new_session(config, &peers(n), 3).unwrap();
    establish(&mut s);
    s
}

/// Its members are established and in the group, and its bytes are at hand: it has started.
pub(super) fn establish(s: &mut Session) {
    for m in &mut s.members {
        m.establish(Keys::new(Suite::Xx, ([1; 32], [1; 32]), [0; 32]), 1 << 30);
        m.need_mut().begin_to_wait(at(0), Duration::from_secs(1), u64::MAX);
        m.path_mut().rtt.sample(Duration::from_millis(10));
        m.group_path_mut().rtt.sample(Duration::from_millis(10));
    }
    s.store.want(&(0..LEN.min(s.store.end())));
    while let Some(need) = s.store.next_need() {
        let bytes = vec![0; (need.end - need.start) as usize];
        assert!(s.store.supply(need.start, bytes.into()));
    }
    s.try_start(at(0));
    assert!(s.started);
}

fn all_multicast(s: &mut Session) {
    for index in 0..s.members.len() {
        s.change(at(0), index, Cause::Hears);
        assert_eq!(s.members[index].mode(), Mode::Multicast);
    }
    s.lead_channels(at(0));
}

/// All that a member is to be sent alone.
fn alone(s: &Session, index: usize) -> Vec<Range<u64>> {
    let need = s.members[index].need();
    let mut all = Vec::new();
    let mut from = 0;
    while let Some(range) = need.alone_from(from) {
        from = range.end;
        all.push(range);
    }
    all
}

/// Sends one train and gives the number of its datagrams, and where it went.
pub(super) fn train(s: &mut Session, now: Instant) -> Option<(std::net::SocketAddr, usize)> {
    let mut buf = vec![0; 1 << 16];
    s.channels.iter_mut().for_each(Channel::forget_pace); // how much, not when, matters here
    s.members.iter_mut().for_each(Member::forget_pace);
    s.poll_transmit(now, &mut buf).map(|t| (t.to, t.datagrams))
}

/// Everything there is to send to the group now; gives the number of segments.
fn drain_group(s: &mut Session, now: Instant) -> usize {
    let mut sent = 0;
    s.lead_channels(now);
    while s.step(now, GROUP).is_some() {
        s.turn = Turn::default();
        let (to, n) = train(s, now).unwrap();
        sent += if to.ip().is_multicast() { n } else { 0 };
    }
    sent
}

/// An ACK of one that is in the group and has room, with these reports.
pub(super) fn ack<'a>(unicast: Option<SpaceAck<'a>>, group: Option<SpaceAck<'a>>) -> Ack<'a> {
    Ack {
        data_next: 0,
        data_edge: 1 << 30,
        control_next: 0,
        control_edge: 0,
        group_status: GroupStatus::Joined,
        unicast,
        group,
    }
}

/// A member's report on the group space.
fn report(s: &mut Session, now: Instant, index: usize, ranges: &[(u64, u64)]) {
    let space =
        SpaceAck { largest: ranges[0].1, delay_us: 0, ce: 0, ranges: RangeList::Listed(ranges) };
    let ack = ack(None, Some(space));
    s.on_ack(now, index, &ack);
}

#[test]
fn nothing_is_sent_before_the_start_and_the_group_carries_what_is_new_after_it() {
    let mut s = session(3);
    s.started = false;
    assert_eq!(s.choose(at(0)), None);
    s.started = true;
    all_multicast(&mut s);
    assert_eq!(s.choose(at(0)), Some(GROUP));
    let step = s.step(at(0), GROUP).unwrap();
    assert_eq!(step, Step { range: 0..SEGMENT, repair: false, push: false });
    assert!((0..3).all(|index| alone(&s, index).is_empty()));
}

#[test]
fn the_group_window_is_the_least_of_its_members_windows() {
    let mut s = session(3);
    all_multicast(&mut s);
    s.members[1].group_path_mut().congestion.raise_to(1 << 20);
    let window = s.members[0].group_path().congestion.window();
    assert_eq!(s.channels[0].window(&s.members), Some(window));
    assert_eq!(drain_group(&mut s, at(1)) as u64, window / SEGMENT);
    // A demoted member limits it no more.
    let at_cursor = s.at(0);
    s.members[0].set_edge(at_cursor);
    s.change(at(2), 0, Cause::Slow);
    s.members[2].group_path_mut().congestion.raise_to(1 << 20);
    assert_eq!(s.channels[0].window(&s.members), Some(1 << 20));
}

#[test]
fn the_least_edge_of_the_followers_bounds_the_group() {
    let mut s = session(2);
    all_multicast(&mut s);
    s.members[1].set_edge(2 * SEGMENT);
    assert_eq!(drain_group(&mut s, at(1)), 2);
    s.members[1].set_edge(2 * SEGMENT + 10);
    assert!(s.step(at(1), GROUP).is_none(), "no silly window");
}

#[test]
fn two_who_miss_the_same_get_it_by_the_group_and_one_alone_by_unicast() {
    for missing in [1, 2] {
        let mut s = session(3);
        all_multicast(&mut s);
        drain_group(&mut s, at(1));
        for index in 0..3 {
            let lost = index < missing;
            let ranges: &[(u64, u64)] = if lost { &[(1, 9)] } else { &[(0, 9)] };
            report(&mut s, at(11), index, ranges);
        }
        assert!(s.step(at(11), Target::Member(0)).is_none(), "waits for others' reports");
        let due = s.channels[0].deadline(at(11), false).unwrap();
        s.refresh(due);
        let step = Some(Step { range: 0..SEGMENT, repair: true, push: false });
        let (group, alone) = (s.step(due, GROUP), alone(&s, 0));
        if missing == 2 {
            assert_eq!((group, alone), (step, vec![]));
        } else {
            assert_eq!(alone, [0..SEGMENT]);
            assert_eq!(s.step(due, Target::Member(0)), step);
        }
    }
}

#[test]
fn a_demoted_member_is_owed_exactly_what_it_does_not_have() {
    let mut s = session(2);
    all_multicast(&mut s);
    drain_group(&mut s, at(1));
    report(&mut s, at(11), 0, &[(5, 9), (0, 1)]);
    s.change(at(12), 0, Cause::TimedOut);
    assert_eq!(alone(&s, 0), [2 * SEGMENT..5 * SEGMENT, s.at(0)..u64::MAX]);
    assert_eq!(s.members[0].board().flight(), 0);
    assert!(!s.members[0].retries(at(1011), None) && s.members[0].retries(at(1012), None));
    s.change(at(1013), 0, Cause::Retry);
    s.change(at(1020), 0, Cause::Hears);
    assert_eq!(alone(&s, 0), [2 * SEGMENT..5 * SEGMENT]);
}

#[test]
fn while_the_group_is_tried_all_together_get_little_by_unicast() {
    for n in [2, 4, 32] {
        let mut s = session(n);
        for m in &mut s.members {
            m.path_mut().congestion.raise_to(1 << 20);
        }
        let mut segments = 0;
        while let Some((to, datagrams)) = train(&mut s, at(1)) {
            segments += if to.ip().is_multicast() { 0 } else { datagrams };
        }
        assert!(segments <= 128 + 1, "{segments} segments to {n}");
        assert!(segments >= 2 * n.min(64), "{segments} segments to {n}");
        // Not for ever: a group that nobody hears must not hold unicast back.
        assert!((0..n).all(|i| s.step(at(1), Target::Member(i)).is_none()));
        assert!(s.step(at(300), Target::Member(0)).is_some());
    }
}

#[test]
fn the_fin_waits_for_the_last_byte_and_goes_by_unicast() {
    let mut s = session(2);
    all_multicast(&mut s);
    s.finish();
    let mut buf = vec![0; 2000];
    assert!(s.members[0].conn().is_data_fin_due());
    drain_group(&mut s, at(1));
    assert!(s.members[0].conn().is_data_fin_due(), "bytes are left");
    s.channels[0].pass(LEN);
    for _ in 0..2 {
        let (to, _) = train(&mut s, at(2)).unwrap();
        assert!(s.members.iter().any(|m| m.addr() == to));
    }
    assert!(s.members.iter().all(|m| !m.conn().is_data_fin_due()));
    let conn = s.members[0].conn_mut();
    assert!(conn.emit_control(at(2), &mut buf, &Report::default(), Some(LEN)).is_none());
}

#[test]
fn a_report_of_what_was_never_sent_changes_nothing() {
    let mut s = session(2);
    all_multicast(&mut s);
    drain_group(&mut s, at(1));
    report(&mut s, at(2), 0, &[(900, 1000)]);
    assert_eq!(s.members[0].need().held(), 0);
    // Who was sent something by another that is not true says the rest all the same.
    report(&mut s, at(2), 1, &[(0, 1000)]);
    assert_eq!(s.members[1].need().held(), s.channels[0].at());
    let ack = Ack {
        data_next: LEN,
        data_edge: u64::MAX,
        control_next: u64::MAX,
        control_edge: 0,
        group_status: GroupStatus::Joined,
        unicast: None,
        group: None,
    };
    s.on_ack(at(3), 0, &ack);
    assert_eq!(s.members[0].need().held(), 0, "an acknowledgement beyond what was sent");
}

#[test]
fn a_session_that_cannot_be_is_refused() {
    let new = |config: SessionConfig, peers: &[std::net::SocketAddr]| {
        new_session(config, peers, 0).map(|_| ())
    };
    assert_eq!(new(config(), &[]), Err(ConfigError::NoReceiver));
    let twice = [peers(1), peers(1)].concat();
    assert_eq!(new(config(), &twice), Err(ConfigError::Twice(twice[0])));
    let many = super::MAX_MEMBERS + 1;
    let all: Vec<_> = (0..many).map(|n| ([10, 1, (n >> 8) as u8, n as u8], 1).into()).collect();
    assert!(matches!(new(config(), &all), Err(ConfigError::TooManyReceivers(..))));
    let long = SessionConfig { content: Content::Source { len: Some(1 << 48) }, ..config() };
    assert_eq!(new(long, &peers(1)), Err(ConfigError::TooLong(1 << 48)));
    let small = SessionConfig { content: Content::Stream { ring: 10 }, ..config() };
    assert_eq!(new(small, &peers(1)), Err(ConfigError::SmallBuffer(10)));
}

#[test]
fn an_acker_is_followed_by_one_that_is_clearly_worse_and_by_no_newcomer() {
    let mut s = session_of(3, SessionConfig { group_window: GroupWindow::Acker, ..config() });
    for m in &mut s.members {
        (0..40).for_each(|_| m.group_path_mut().rtt.sample(Duration::from_millis(10)));
    }
    all_multicast(&mut s);
    let acker = |s: &Session| s.members.iter().position(Member::is_limiting);
    assert_eq!(acker(&s), Some(0));
    s.change(at(1), 1, Cause::HearsLittle);
    s.change(at(1), 1, Cause::Retry);
    s.members[1].group_path_mut().rtt.sample(Duration::from_millis(12));
    s.change(at(1), 1, Cause::Hears);
    assert_eq!(acker(&s), Some(0), "a little worse");
    (0..40).for_each(|_| s.members[2].group_path_mut().rtt.sample(Duration::from_millis(30)));
    s.regroup(0);
    assert_eq!(acker(&s), Some(2));
    s.change(at(2), 2, Cause::Slow);
    assert_eq!(s.members.iter().filter(|m| m.is_limiting()).count(), 1, "another at once");
}
