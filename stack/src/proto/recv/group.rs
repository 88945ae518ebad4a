//! The group of a session, as its receiver sees it: where it comes from, the keys that open it, and which of
//! its packets arrived.

use super::asked::Asked;
use super::membership::{Membership, Pace};
use super::pns::{PnTracker, Recorded};
use super::source::{Elsewhere, Source};
use crate::config::Group;
use crate::proto::time::Instant;
use crate::seal::GroupKey;
use crate::stats::Foreign;
use crate::wire::{Descriptor, GroupStatus, Header, expand_pn};
use core::time::Duration;
use std::net::IpAddr;

/// A packet whose number is further ahead of the newest that the sender has told of than this is not opened:
/// whoever holds the group's key could otherwise spoil, with one number or step by step, how all later ones
/// are completed. What was heard counts for nothing there: the sender says by its own association what the
/// newest is, four times as often (docs/protocol.md).
pub(crate) const AHEAD: u64 = 1 << 16;
/// The key before the last opens nothing so many overlaps after the last was told, whether or not that has
/// opened anything: the sender uses the last after one, whoever has acknowledged it, and what is late comes
/// within another.
const OVERLAPS: u32 = 2;

/// The keys at hand: the last that control brought, and the one before for as long as it is valid.
#[derive(Debug, Default)]
struct Keys {
    now: Option<GroupKey>,
    before: Option<GroupKey>,
    /// How long the one before opens what is late, once the last has opened something.
    overlap: Duration,
    before_until: Instant,
    /// The last has opened something.
    used: bool,
}

impl Keys {
    fn take(&mut self, now: Instant, key: GroupKey, overlap: Duration) {
        if self.now.as_ref().is_some_and(|last| last.is(&key)) {
            return;
        }
        self.before = self.now.replace(key);
        (self.overlap, self.used) = (overlap, false);
        self.before_until = now + overlap * OVERLAPS;
    }

    fn find(&self, now: Instant, id: u8) -> Option<&GroupKey> {
        let before = self.before.as_ref().filter(|_| now < self.before_until);
        self.now.iter().chain(before).find(|key| key.id() == id)
    }

    /// The key with this id has opened a datagram.
    fn opened(&mut self, now: Instant, id: u8) {
        if !self.used && self.now.as_ref().is_some_and(|key| key.id() == id) {
            self.used = true;
            self.before_until = self.before_until.min(now + self.overlap);
        }
        self.forget(now);
    }

    /// When the one before is to be forgotten.
    fn deadline(&self) -> Option<Instant> {
        self.before.as_ref().map(|_| self.before_until)
    }

    /// Forgets the one before if its time is over: overwritten, it reads nothing for who gets at this memory.
    fn forget(&mut self, now: Instant) {
        self.before.take_if(|_| now >= self.before_until);
    }
}

/// Why a datagram is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unwanted {
    /// It does not come from the session's sender.
    Foreign,
    /// It came before, or too far ahead, or its key is not known, or the sender is just moving its group.
    Unusable,
}

/// The group of a session.
#[derive(Debug)]
pub(crate) struct GroupRx {
    group: Group,
    cid: u64,
    source: Source,
    keys: Keys,
    /// Once the system has joined it.
    membership: Option<Membership>,
    /// What the one before had learnt, and nobody knows.
    learnt: Option<Pace>,
    asked: Asked,
    status: GroupStatus,
    tracker: PnTracker,
    /// The newest packet number that the sender has told of.
    newest: u64,
    /// Largest packet number in the last report.
    told: u64,
}

impl GroupRx {
    /// The group that a descriptor offers, if it does; `peer` is where the sender's other datagrams come
    /// from.
    pub(crate) fn offered(descriptor: &Descriptor, peer: IpAddr) -> Option<Self> {
        let group = descriptor.group?;
        Some(Self {
            group,
            cid: descriptor.group_cid,
            source: Source::new(group.source.or(descriptor.group_from), peer),
            keys: Keys::default(),
            membership: None,
            learnt: None,
            asked: Asked::default(),
            status: GroupStatus::Joining,
            tracker: PnTracker::new(),
            newest: 0,
            told: 0,
        })
    }

    /// The sender has announced the group anew: it is another one now, or comes from elsewhere, or is to be joined
    /// after it was left. Its keys and its packet numbers go on. Whether that changes anything: then it is to be left,
    /// and joined.
    pub(crate) fn announced(
        &mut self,
        now: Instant,
        (group, told): (Group, Option<IpAddr>),
        peer: IpAddr,
    ) -> bool {
        let was = (self.group, self.source.addr());
        self.group = group;
        self.source.announced(now, group.source.or(told), peer);
        let left = self.status == GroupStatus::None;
        let changed = left || (self.group, self.source.addr()) != was;
        if changed {
            self.learnt = self.learnt();
            (self.membership, self.status) = (None, GroupStatus::Joining);
        }
        changed
    }

    /// It is left, as the sender wants, until that announces it again.
    pub(crate) fn leave(&mut self) {
        self.learnt = self.learnt();
        (self.membership, self.status) = (None, GroupStatus::None);
    }

    /// The sender's other datagrams come from here.
    pub(crate) fn moved(&mut self, peer: IpAddr) {
        self.source.moved(peer);
    }

    pub(crate) fn group(&self) -> Group {
        self.group
    }

    pub(crate) fn cid(&self) -> u64 {
        self.cid
    }

    pub(crate) fn status(&self) -> GroupStatus {
        self.status
    }

    pub(crate) fn set_status(&mut self, status: GroupStatus) {
        self.status = status;
    }

    pub(crate) fn tracker(&self) -> &PnTracker {
        &self.tracker
    }

    /// What came to it from elsewhere.
    pub(crate) fn foreign(&self) -> Foreign {
        self.source.foreign()
    }

    /// More of its packets than the last report named: how many ranges of them.
    pub(crate) fn unsaid(&self) -> usize {
        self.tracker.ranges_above(self.told)
    }

    /// A report has named all of them.
    pub(crate) fn said(&mut self) {
        self.told = self.tracker.largest().unwrap_or(0);
    }

    /// Control brought a key.
    pub(crate) fn take_key(&mut self, now: Instant, key: GroupKey, overlap: Duration) {
        self.keys.take(now, key, overlap);
    }

    /// When [`Self::on_timer`] is due; the sender was last heard by unicast at `word`.
    pub(crate) fn deadline(&self, word: Instant) -> Option<Instant> {
        let membership = self.membership.as_ref().and_then(|m| m.deadline(word));
        self.keys.deadline().into_iter().chain(membership).min()
    }

    /// A key that was replaced goes when its time is over, whatever else comes; and the membership may have to
    /// be reported again.
    pub(crate) fn on_timer(&mut self, now: Instant, word: Instant) {
        self.keys.forget(now);
        if let Some(membership) = &mut self.membership {
            membership.on_timer(now, word);
        }
    }

    /// The system has joined the group, on an interface where memberships are reported so often.
    pub(crate) fn joined(&mut self, now: Instant, pace: Pace) {
        self.membership = Some(Membership::begin(now, pace));
    }

    /// The interface that it is joined on may have lost its membership.
    pub(crate) fn on_link(&mut self, now: Instant) {
        if let Some(membership) = &mut self.membership {
            membership.link(now);
        }
    }

    /// Whether the system is to leave it and join it at once, to report the membership.
    pub(crate) fn is_report_due(&self) -> bool {
        self.membership.as_ref().is_some_and(Membership::is_due)
    }

    /// The system reports the membership.
    pub(crate) fn report(&mut self, now: Instant) {
        if let Some(membership) = &mut self.membership {
            membership.report(now, self.newest);
        }
    }

    /// How often memberships are to be reported on its interface, if it has learnt that.
    pub(crate) fn learnt(&mut self) -> Option<Pace> {
        let learnt = self.membership.as_mut().and_then(Membership::learnt);
        learnt.or(self.learnt.take())
    }

    /// The sender asks what this host has counted lately, if it has joined.
    pub(crate) fn on_question(&mut self, now: Instant) {
        if self.membership.is_some() {
            self.asked.ask(now);
        }
    }

    /// Whether that is to be answered now, which is told once, and where the group comes from.
    pub(crate) fn takes_question(&mut self) -> Option<IpAddr> {
        self.asked.take().then_some(self.source.addr())
    }

    /// Whether it can be heard and opened, and that is not said yet; then it is.
    pub(crate) fn becomes_joined(&mut self) -> bool {
        let now = self.membership.is_some()
            && self.keys.now.is_some()
            && self.status == GroupStatus::Joining;
        if now {
            self.status = GroupStatus::Joined;
        }
        now
    }

    /// The sender says by its own association which packet number is the newest.
    pub(crate) fn newest_is(&mut self, now: Instant, pn: u64) {
        self.newest = self.newest.max(pn);
        if let Some(membership) = &mut self.membership {
            membership.told(now, self.newest);
        }
    }

    /// Whether a datagram may be this session's and is new, before it is opened: then its whole packet
    /// number.
    pub(crate) fn wants(
        &mut self,
        now: Instant,
        from: IpAddr,
        header: &Header,
    ) -> Result<u64, Unwanted> {
        self.source.check(now, from).map_err(|elsewhere| match elsewhere {
            Elsewhere::Foreign => Unwanted::Foreign,
            Elsewhere::Moving => Unwanted::Unusable,
        })?;
        let pn = expand_pn(header.encap.pn, self.tracker.largest().unwrap_or(0).max(self.newest));
        let usable = pn <= self.newest + AHEAD
            && self.tracker.is_new(pn)
            && self.key(now, header.encap.key_id).is_some();
        if usable { Ok(pn) } else { Err(Unwanted::Unusable) }
    }

    /// The key with this id, if it is valid.
    pub(crate) fn key(&self, now: Instant, id: u8) -> Option<&GroupKey> {
        self.keys.find(now, id)
    }

    /// A datagram was opened, and what it carried was taken.
    pub(crate) fn record(&mut self, now: Instant, pn: u64, key_id: u8, ce: bool) -> Recorded {
        self.keys.opened(now, key_id);
        if let Some(membership) = &mut self.membership {
            membership.heard(now, pn);
        }
        self.tracker.record(now, pn, ce, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::Suite;
    use crate::wire::{Encap, Features, Kind, Options, Segment, Seq};

    const SENDER: &str = "192.0.2.1";

    fn group() -> GroupRx {
        let descriptor = Descriptor {
            features: Features::XM.with(Features::GROUPS),
            first_offset: 0,
            segment_size: 1420,
            group_cid: 9,
            group: Some(Group { addr: "239.255.1.2:8737".parse().unwrap(), source: None }),
            group_from: None,
        };
        GroupRx::offered(&descriptor, SENDER.parse().unwrap()).unwrap()
    }

    fn header(key_id: u8, pn: u64) -> Header {
        let encap = Encap {
            kind: Kind::Group,
            tlvs: false,
            repair: false,
            key_id,
            offset_high: 0,
            cid: 9,
            pn: pn as u32,
        };
        let segment = Segment {
            src_port: 1,
            dst_port: 2,
            seq: Seq(1),
            ack: None,
            window: 0,
            syn: false,
            fin: false,
            rst: false,
            psh: false,
            options: Options::default(),
        };
        Header { encap, segment }
    }

    fn wants(group: &mut GroupRx, at: Instant, from: &str, key_id: u8, pn: u64) -> Option<u64> {
        group.wants(at, from.parse().unwrap(), &header(key_id, pn)).ok()
    }

    fn key(id: u8) -> GroupKey {
        GroupKey::new(Suite::Xx, id, [id; 32])
    }

    #[test]
    fn only_the_sender_is_heard_and_others_are_counted() {
        let (mut group, t) = (group(), Instant::ZERO);
        group.take_key(t, key(1), Duration::ZERO);
        assert_eq!(wants(&mut group, t, SENDER, 1, 5), Some(5));
        assert_eq!(wants(&mut group, t, "::ffff:192.0.2.1", 1, 5), Some(5));
        assert_eq!(wants(&mut group, t, "192.0.2.66", 1, 5), None);
        assert_eq!(group.foreign().count, 1);
        assert_eq!(group.foreign().last, Some("192.0.2.66".parse().unwrap()));
    }

    #[test]
    fn a_number_far_ahead_needs_the_senders_word() {
        let (mut group, t) = (group(), Instant::ZERO);
        group.take_key(t, key(1), Duration::ZERO);
        assert_eq!(wants(&mut group, t, SENDER, 1, AHEAD), Some(AHEAD));
        assert_eq!(wants(&mut group, t, SENDER, 1, AHEAD + 1), None);
        group.record(t, AHEAD, 1, false);
        assert_eq!(wants(&mut group, t, SENDER, 1, AHEAD + 1), None, "what was heard is no word");
        group.newest_is(t, 7);
        assert_eq!(wants(&mut group, t, SENDER, 1, 7 + AHEAD), Some(7 + AHEAD));
        assert_eq!(wants(&mut group, t, SENDER, 1, 8 + AHEAD), None);
        group.newest_is(t, 1 << 33);
        assert_eq!(wants(&mut group, t, SENDER, 1, (1 << 33) + 5), Some((1 << 33) + 5));
        group.newest_is(t, 5);
        assert_eq!(
            wants(&mut group, t, SENDER, 1, (1 << 33) + 5),
            Some((1 << 33) + 5),
            "no way back"
        );
        group.record(t, (1 << 33) + 5, 1, false);
        assert_eq!(wants(&mut group, t, SENDER, 1, (1 << 33) + 5), None, "seen");
    }

    #[test]
    fn numbers_go_on_where_their_32_bits_wrap() {
        let (mut group, t) = (group(), Instant::ZERO);
        group.take_key(t, key(1), Duration::ZERO);
        let wrap = 1_u64 << 32;
        group.newest_is(t, wrap - 3);
        for pn in wrap - 2..wrap + 3 {
            assert_eq!(wants(&mut group, t, SENDER, 1, pn), Some(pn));
            group.record(t, pn, 1, false);
            assert_eq!(wants(&mut group, t, SENDER, 1, pn), None, "{pn} comes once more");
        }
    }

    #[test]
    fn two_keys_live_for_the_overlap() {
        let (mut group, t) = (group(), Instant::ZERO);
        let overlap = Duration::from_millis(300);
        assert_eq!(wants(&mut group, t, SENDER, 1, 1), None, "no key yet");
        group.take_key(t, key(1), overlap);
        group.record(t, 1, 1, false);
        let told = t + Duration::from_secs(9);
        assert_eq!(wants(&mut group, told, SENDER, 1, 2), Some(2), "there is no other");
        group.take_key(told, key(2), overlap);
        let late = told + overlap / 2;
        group.take_key(late, key(2), overlap); // the same again changes nothing
        assert_eq!(wants(&mut group, late, SENDER, 1, 2), Some(2), "the new one is not in use");
        group.record(late, 3, 2, false);
        assert_eq!(wants(&mut group, late, SENDER, 1, 2), Some(2));
        assert_eq!(wants(&mut group, late + overlap, SENDER, 1, 2), None, "stale");
        assert_eq!(wants(&mut group, late + overlap, SENDER, 2, 4), Some(4));
    }

    /// Somebody who was shut out, or who is on the way, may see to it that nothing else comes.
    #[test]
    fn the_old_key_ends_though_the_new_one_opens_nothing() {
        let (mut group, t) = (group(), Instant::ZERO);
        let overlap = Duration::from_millis(300);
        group.take_key(t, key(1), overlap);
        group.take_key(t, key(2), overlap);
        let end = t + 2 * overlap;
        let before = end.since(t).saturating_sub(Duration::from_millis(1));
        assert_eq!(wants(&mut group, t + before, SENDER, 1, 2), Some(2));
        assert_eq!(wants(&mut group, end, SENDER, 1, 2), None);
        group.record(t + before, 3, 2, false);
        assert_eq!(wants(&mut group, end, SENDER, 1, 2), None, "and no datagram makes it last");
        // It is forgotten when it is over, and not only when another datagram comes.
        assert_eq!(group.deadline(t), Some(end));
        group.on_timer(t + before, t);
        assert!(group.keys.before.is_some());
        group.on_timer(end, t);
        assert!(group.keys.before.is_none() && group.deadline(t).is_none());
    }

    #[test]
    fn who_has_left_joins_again_when_it_is_announced() {
        let (mut group, t) = (group(), Instant::ZERO);
        let (same, peer) = (group.group(), SENDER.parse().unwrap());
        group.take_key(t, key(1), Duration::ZERO);
        group.joined(t, Pace::default());
        assert!(group.becomes_joined());
        group.leave();
        assert_eq!(group.status(), GroupStatus::None);
        group.joined(t, Pace::default());
        assert!(!group.becomes_joined(), "an answer that came late");
        assert!(group.announced(t, (same, None), peer));
        assert_eq!(group.status(), GroupStatus::Joining);
        group.joined(t, Pace::default());
        assert!(group.becomes_joined());
        assert!(!group.announced(t, (same, None), peer));
    }

    #[test]
    fn announced_anew_it_is_joined_anew_and_its_numbers_go_on() {
        let (mut group, t) = (group(), Instant::ZERO);
        let (before, peer) = (group.group(), SENDER.parse().unwrap());
        assert!(!group.announced(t, (before, None), peer), "it is that already");
        group.take_key(t, key(1), Duration::ZERO);
        group.joined(t, Pace::default());
        assert!(group.becomes_joined());
        group.record(t, 5, 1, false);
        let from: IpAddr = "198.51.100.1".parse().unwrap();
        assert!(group.announced(t, (before, Some(from)), peer));
        assert_eq!(group.status(), GroupStatus::Joining);
        assert!(!group.becomes_joined(), "the system has not joined it");
        assert_eq!(wants(&mut group, t, SENDER, 1, 6), None);
        assert_eq!(wants(&mut group, t, "198.51.100.1", 1, 5), None, "it came before");
        assert_eq!(wants(&mut group, t, "198.51.100.1", 1, 6), Some(6));
        group.moved("192.0.2.66".parse().unwrap());
        assert_eq!(wants(&mut group, t, "198.51.100.1", 1, 6), Some(6), "it is said from where");
        group.joined(t, Pace::default());
        assert!(group.becomes_joined());
    }
}
