//! The longest segment that one path carries, found by probing it (RFC 8899, Datagram Packetization
//! Layer Path MTU Discovery).
//!
//! Data begin with segments that every path is taken to carry, so nothing waits for the search. A
//! probe is a datagram without stream bytes: its loss costs nothing, holds nothing up and says
//! nothing of congestion (RFC 8899, 3). When long segments vanish, the short ones are used again
//! at once and the search begins anew: a needless doubt costs one probe.

use crate::proto::time::Instant;
use crate::wire::{IPV4_LEN, IPV6_LEN, MTU, OVERHEAD, PAYLOAD_SHORT, UDP_LEN};
use core::time::Duration;

/// IP packets that are tried, in bytes, beside `BASE_PLPMTU`: RFC 8899 (5.3.2) has an
/// implementation choose sizes that are common. In order: the minimum of IPv6 (RFC 8200, 5); two
/// kinds of encrypted tunnels; VXLAN (RFC 7348); some clouds' networks; IP in IP (RFC 2003); PPP over
/// Ethernet (RFC 2516); Ethernet; the long frames of the same clouds; jumbo frames.
const PACKETS: [usize; 10] = [1280, 1400, 1420, 1450, 1460, 1480, 1492, MTU, 8896, 9000];
/// The place of Ethernet's, which most paths carry, so that it is tried first.
const ETHERNET: usize = 8;
/// Probes of one size that are lost until it counts as too long (`MAX_PROBES`, RFC 8899, 5.1.2).
const MAX_PROBES: u8 = 3;
/// When the search has ended, a longer size is tried again after so long (`PMTU_RAISE_TIMER`,
/// RFC 8899, 5.1.1).
const RAISE_AFTER: Duration = Duration::from_mins(10);
/// So many long packets lost in a row, and not one that arrived in between, put the size in doubt …
const DOUBTFUL: u32 = 8;
/// … and so many of a group's, where a socket's buffer that is full for a moment is one member's
/// trouble, and a shorter segment everybody's.
const DOUBTFUL_GROUP: u32 = 32;
/// Where nothing has ever arrived the base is tried again after so long, at first …
const BASE_AFTER: Duration = Duration::from_millis(100);
/// … then after twice as long each time, at most after so long: nothing says when it is lost, as data may wait.
const BASE_AFTER_MAX: Duration = Duration::from_secs(5);

/// The sizes that one path can have: places in this list are what the search goes by.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    v6: bool,
}

impl Sizes {
    /// Payload of a segment at a place; place 0 is the base.
    fn payload(self, place: usize) -> u64 {
        let ip = if self.v6 { IPV6_LEN } else { IPV4_LEN };
        match place.checked_sub(1) {
            None => PAYLOAD_SHORT as u64,
            Some(n) => (PACKETS[n] - ip - UDP_LEN - OVERHEAD) as u64,
        }
    }

    /// The first place whose payload is longer than `most`.
    fn above(self, most: u64) -> usize {
        (0..=PACKETS.len()).find(|&place| self.payload(place) > most).unwrap_or(PACKETS.len() + 1)
    }

    /// The last place whose payload is not longer than `len`, if there is one.
    fn reached(self, len: u64) -> Option<usize> {
        self.above(len).checked_sub(1)
    }
}

/// The search on one path.
#[derive(Debug)]
pub(crate) struct PathMtu {
    sizes: Sizes,
    /// The longest place that has been shown to pass; `None`: not even the base.
    passes: Option<usize>,
    /// From this place on nothing passes, or is to be tried.
    fails: usize,
    /// No place from here on is ever tried.
    limit: usize,
    /// What is tried first: the most likely.
    guess: usize,
    /// Probes of the present size that were lost, and that size.
    lost: (u8, usize),
    /// A probe with so much payload is on its way.
    flying: Option<u64>,
    /// The system refuses even the base.
    hopeless: bool,
    /// The newest long packet that arrived.
    long_heard: Option<u64>,
    /// The newest packet of all that arrived, and the newest with data that was lost.
    newest_heard: Option<u64>,
    newest_lost: Option<u64>,
    /// Long packets lost in a row, and how many are too many.
    long_lost: u32,
    doubtful: u32,
    /// When a search that has ended begins again.
    raise_at: Option<Instant>,
    /// When the base may be tried once more, and after how long the next time.
    base_at: Instant,
    base_after: Duration,
}

impl PathMtu {
    /// A unicast path, of which the handshake has shown that the base passes. No segment gets a
    /// payload of more than `most` bytes, but for the base.
    pub(crate) fn unicast(v6: bool, most: u64) -> Self {
        Self { passes: Some(0), doubtful: DOUBTFUL, ..Self::group(v6, most) }
    }

    /// A path that is never searched: of a side that sends no data.
    pub(crate) fn unsearched() -> Self {
        Self::unicast(false, 0)
    }

    /// A member's way from the group, of which nothing is known.
    pub(crate) fn group(v6: bool, most: u64) -> Self {
        let sizes = Sizes { v6 };
        let limit = sizes.above(most).max(1);
        Self {
            sizes,
            passes: None,
            fails: limit,
            limit,
            guess: ETHERNET,
            lost: (0, 0),
            flying: None,
            hopeless: false,
            long_heard: None,
            newest_heard: None,
            newest_lost: None,
            long_lost: 0,
            doubtful: DOUBTFUL_GROUP,
            raise_at: None,
            base_at: Instant::ZERO,
            base_after: BASE_AFTER,
        }
    }

    /// Payload of a full segment, in bytes.
    pub(crate) fn segment(&self) -> u64 {
        self.sizes.payload(self.passes.unwrap_or(0))
    }

    /// Whether there is nothing to do, nor will be soon.
    pub(crate) fn is_settled(&self) -> bool {
        self.flying.is_some() || self.limit <= 1
    }

    /// Data were lost, and nothing has arrived that was sent after them: the path may be gone for all lengths.
    fn is_silent(&self) -> bool {
        self.newest_lost > self.newest_heard
    }

    /// Whether anything has arrived there.
    pub(crate) fn is_heard(&self) -> bool {
        self.passes.is_some()
    }

    /// The place that is tried next (RFC 8899, 5.3): the likely one, then the longest, then the
    /// middle of what is left.
    fn candidate(&self) -> Option<usize> {
        let Some(low) = self.passes else { return Some(0) };
        if low + 1 >= self.fails {
            return None;
        }
        Some(if (low + 1..self.fails).contains(&self.guess) {
            self.guess
        } else if low >= ETHERNET {
            self.fails - 1
        } else {
            usize::midpoint(low + 1, self.fails - 1)
        })
    }

    /// Payload length of the probe that should leave now, if one should: one at a time.
    pub(crate) fn wanted(&mut self, now: Instant) -> Option<u64> {
        if self.flying.is_some() || self.hopeless || self.passes.is_some() && self.is_silent() {
            return None;
        }
        if self.passes.is_none() {
            if now < self.base_at {
                return None;
            }
            self.base_at = now + self.base_after;
            self.base_after = (self.base_after * 2).min(BASE_AFTER_MAX);
        }
        if let Some(place) = self.candidate() {
            return Some(self.sizes.payload(place));
        }
        let raise_at = *self.raise_at.get_or_insert(now + RAISE_AFTER);
        if now >= raise_at {
            self.raise_at = None;
            self.fails = self.limit;
        }
        None
    }

    /// A probe leaves.
    pub(crate) fn on_probe(&mut self, len: u64) {
        self.flying = Some(len);
    }

    /// What became of a probe with so much payload is known.
    fn landed(&mut self, len: u64) {
        if self.flying == Some(len) {
            self.flying = None;
        }
    }

    /// The packet `pn` with so much payload, or a probe as long, has arrived.
    pub(crate) fn passed(&mut self, pn: u64, len: u64, probe: bool) {
        self.hopeless = false;
        self.newest_heard = self.newest_heard.max(Some(pn));
        if probe {
            self.landed(len);
        }
        if len > PAYLOAD_SHORT as u64 {
            self.long_lost = 0;
            self.long_heard = self.long_heard.max(Some(pn));
        }
        if self.passes.is_none() || len > self.segment() {
            let place = self.sizes.reached(len);
            self.passes = self.passes.max(place);
            // What passes after all is not too long (RFC 8899, 4.4: the path may have changed).
            self.fails = self.fails.max(place.map_or(0, |place| place + 1)).min(self.limit);
            self.lost = (0, 0);
        }
    }

    /// The packet `pn` with so much payload, or a probe, was overtaken and is lost. Time-outs say
    /// nothing of a probe, nor does a silence: the path may be gone for all lengths.
    pub(crate) fn lost(&mut self, pn: u64, len: u64, probe: bool) {
        if probe {
            self.probe_lost(len);
            return;
        }
        self.newest_lost = self.newest_lost.max(Some(pn));
        if len > PAYLOAD_SHORT as u64 && Some(pn) > self.long_heard {
            self.long_lost += 1;
            if self.long_lost >= self.doubtful {
                self.doubt();
            }
        }
    }

    fn probe_lost(&mut self, len: u64) {
        self.landed(len);
        if self.is_silent() {
            return;
        }
        let open = |place: &usize| Some(*place) > self.passes && *place < self.fails;
        // That the base is lost says nothing of lengths: the group does not reach there, or not yet.
        let Some(place) = self.sizes.reached(len).filter(|place| *place > 0 && open(place)) else {
            return;
        };
        let before = if self.lost.1 == place { self.lost.0 } else { 0 };
        self.lost = (before + 1, place);
        if before + 1 >= MAX_PROBES {
            self.fails_at(place);
        }
    }

    /// Everything on its way is given up, the longest with so much payload: a probe among it is sent
    /// again.
    pub(crate) fn timed_out(&mut self, longest: u64) {
        self.flying = None;
        if longest > PAYLOAD_SHORT as u64 {
            self.doubt();
        }
    }

    /// The system refuses datagrams with so much payload (EMSGSIZE): no probe is needed to know.
    pub(crate) fn refused(&mut self, len: u64) {
        self.landed(len);
        let place = self.sizes.above(len.saturating_sub(1));
        self.hopeless = place == 0 && self.passes.is_none();
        self.fails_at(place);
    }

    fn fails_at(&mut self, place: usize) {
        self.fails = self.fails.min(place.max(1)); // the base is never given up: less there is not
        self.passes = self.passes.map(|low| if low < self.fails { low } else { 0 });
        self.raise_at = None;
    }

    /// Long packets may be swallowed (RFC 8899, 4.3: a black hole): the base until the size that
    /// was in use has passed once more.
    pub(crate) fn doubt(&mut self) {
        self.long_lost = 0;
        if let Some(low) = self.passes.filter(|low| *low > 0) {
            self.guess = low;
            self.passes = Some(0);
            self.lost = (0, 0);
            self.raise_at = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BASE_AFTER_MAX, DOUBTFUL_GROUP, MAX_PROBES, PACKETS, PathMtu, RAISE_AFTER};
    use crate::proto::time::Instant;
    use crate::wire::{PAYLOAD_SHORT, PAYLOAD_V4, PAYLOAD_V6};
    use core::time::Duration;

    const NOW: Instant = Instant::from_nanos(1);

    /// Probes the path until the search ends: the probes it took.
    fn search(mtu: &mut PathMtu, carries: u64) -> usize {
        let mut probes = 0;
        while let Some(len) = mtu.wanted(NOW) {
            mtu.on_probe(len);
            assert_eq!(mtu.wanted(NOW), None, "one at a time");
            if len <= carries {
                mtu.passed(0, len, true);
            } else {
                mtu.lost(0, len, true);
            }
            probes += 1;
            assert!(probes < 50);
        }
        probes
    }

    fn path() -> PathMtu {
        PathMtu::unicast(false, u64::MAX)
    }

    #[test]
    fn the_base_serves_until_the_likely_size_has_passed() {
        for (v6, full) in [(false, PAYLOAD_V4), (true, PAYLOAD_V6)] {
            let mut mtu = PathMtu::unicast(v6, full as u64);
            assert_eq!(mtu.segment(), PAYLOAD_SHORT as u64);
            assert_eq!(mtu.wanted(NOW), Some(full as u64));
            assert_eq!(search(&mut mtu, full as u64), 1);
            assert_eq!(mtu.segment(), full as u64);
        }
    }

    #[test]
    fn every_size_is_found_with_few_probes() {
        for packet in PACKETS {
            let carries = packet as u64 - 80;
            let mut mtu = path();
            let probes = search(&mut mtu, carries);
            assert_eq!(mtu.segment(), carries, "{packet}");
            assert!(probes <= 11, "{packet}: {probes}");
        }
        let mut mtu = path();
        assert!(search(&mut mtu, 1190) <= 12);
        assert_eq!(mtu.segment(), PAYLOAD_SHORT as u64);
    }

    #[test]
    fn a_lost_probe_is_repeated_and_a_time_out_says_nothing_of_it() {
        let mut mtu = path();
        for _ in 1..MAX_PROBES {
            mtu.on_probe(1420);
            mtu.lost(0, 1420, true);
            assert_eq!(mtu.wanted(NOW), Some(1420));
        }
        for _ in 0..10 {
            mtu.on_probe(1420);
            mtu.timed_out(0);
            assert_eq!(mtu.wanted(NOW), Some(1420));
        }
        mtu.lost(0, 1420, true);
        assert_ne!(mtu.wanted(NOW), Some(1420));
    }

    #[test]
    fn long_packets_that_vanish_make_way_for_short_ones_until_a_probe_has_passed() {
        let mut mtu = path();
        search(&mut mtu, 1420);
        let mut next = 0;
        let mut pn = || {
            next += 1;
            next
        };
        for n in 0..7 {
            mtu.lost(pn(), 1420, false);
            assert_eq!(mtu.segment(), 1420, "{n}");
        }
        mtu.passed(pn(), 1420, false);
        (0..7).for_each(|_| mtu.lost(pn(), 1420, false));
        assert_eq!(mtu.segment(), 1420, "one has arrived in between");
        mtu.lost(pn(), 1420, false);
        assert_eq!(mtu.segment(), PAYLOAD_SHORT as u64);
        assert_eq!(mtu.wanted(NOW), None, "it may be gone for all lengths");
        mtu.passed(pn(), PAYLOAD_SHORT as u64, false);
        assert_eq!(mtu.wanted(NOW), Some(1420), "what was in use is tried first");
        assert!(search(&mut mtu, 1370) > 1);
        assert_eq!(mtu.segment(), 1370);
    }

    #[test]
    fn a_refusal_by_the_system_needs_no_second_probe() {
        let mut mtu = path();
        assert_eq!(mtu.wanted(NOW), Some(1420));
        mtu.refused(1420);
        assert_eq!(mtu.wanted(NOW).map(|len| len < 1420), Some(true));
        search(&mut mtu, 1400);
        assert_eq!(mtu.segment(), 1400);
        mtu.refused(1400); // the interface's own MTU has become shorter
        assert_eq!(mtu.segment(), PAYLOAD_SHORT as u64);
        mtu.refused(PAYLOAD_SHORT as u64);
        assert_eq!(mtu.segment(), PAYLOAD_SHORT as u64, "shorter there is not");
    }

    #[test]
    fn what_did_not_pass_is_tried_again_after_ten_minutes() {
        let mut mtu = path();
        search(&mut mtu, 1370);
        assert_eq!(mtu.wanted(NOW), None);
        assert_eq!(mtu.wanted(NOW + RAISE_AFTER / 2), None);
        assert_eq!(mtu.wanted(NOW + RAISE_AFTER), None);
        assert_eq!(mtu.wanted(NOW + RAISE_AFTER), Some(1420));
    }

    #[test]
    fn a_group_of_which_nothing_was_heard_is_tried_with_the_base() {
        let mut mtu = PathMtu::group(false, u64::MAX);
        assert!(!mtu.is_heard());
        for n in 0..5 {
            let later = NOW + BASE_AFTER_MAX * n;
            assert_eq!(mtu.wanted(later), Some(PAYLOAD_SHORT as u64), "its tree may still grow");
            mtu.on_probe(PAYLOAD_SHORT as u64);
            mtu.lost(0, PAYLOAD_SHORT as u64, true);
        }
        mtu.passed(1, 1148, false);
        assert_eq!(mtu.wanted(NOW), Some(1420));
        mtu.passed(2, 1420, false);
        assert_eq!((mtu.is_heard(), mtu.segment()), (true, 1420), "long data are proof as well");
    }

    /// A stream may wait before it is known whether a member hears the group.
    #[test]
    fn where_nothing_has_arrived_the_base_is_tried_ever_more_seldom() {
        let mut mtu = PathMtu::group(false, 1420);
        let mut tried = Vec::new();
        for ms in 0..20_000_u32 {
            if let Some(len) = mtu.wanted(NOW + Duration::from_millis(1) * ms) {
                assert_eq!(len, PAYLOAD_SHORT as u64);
                mtu.on_probe(len);
                mtu.lost(tried.len() as u64, len, true);
                tried.push(ms);
            }
        }
        assert_eq!(tried, [0, 100, 300, 700, 1500, 3100, 6300, 11_300, 16_300]);
    }

    /// A switch has forgotten a member of the group: what it loses then has any length.
    #[test]
    fn a_silence_says_nothing_of_lengths() {
        let mut mtu = PathMtu::group(false, 1420);
        mtu.passed(0, PAYLOAD_SHORT as u64, false);
        search(&mut mtu, 1420);
        mtu.passed(1, 1420, false);
        (2..2 + u64::from(DOUBTFUL_GROUP)).for_each(|pn| mtu.lost(pn, 1420, false));
        assert_eq!(mtu.segment(), PAYLOAD_SHORT as u64, "lengths may be why");
        // A probe that was on its way does not count, and no other one follows while that lasts.
        for pn in (100..200).step_by(2) {
            mtu.on_probe(1420);
            mtu.lost(pn, PAYLOAD_SHORT as u64, false);
            mtu.lost(pn + 1, 1420, true);
            assert_eq!(mtu.wanted(NOW), None);
        }
        mtu.passed(99, PAYLOAD_SHORT as u64, false);
        assert_eq!(mtu.wanted(NOW), None, "it was sent before");
        mtu.passed(200, PAYLOAD_SHORT as u64, false);
        assert_eq!(search(&mut mtu, 1420), 1, "that took one probe");
        assert_eq!(mtu.segment(), 1420);
        // Where short ones arrive it is the length.
        (201..300).for_each(|pn| mtu.lost(pn, 1420, false));
        mtu.passed(300, PAYLOAD_SHORT as u64, false);
        search(&mut mtu, 1280 - 80);
        assert_eq!(mtu.segment(), 1200);
    }

    #[test]
    fn losses_with_long_arrivals_after_them_put_nothing_in_doubt() {
        let mut mtu = path();
        search(&mut mtu, 1420);
        mtu.passed(1000, 1420, false); // as a report is taken: arrivals first, then losses
        (0..100).for_each(|n| mtu.lost(n * 10, 1420, false));
        assert_eq!(mtu.segment(), 1420);
    }

    #[test]
    fn a_path_that_ended_at_the_base_is_tried_again_as_well() {
        let mut mtu = path();
        search(&mut mtu, 1148);
        assert!(!mtu.is_settled());
        assert_eq!(mtu.wanted(NOW + RAISE_AFTER), None);
        assert_eq!(mtu.wanted(NOW + RAISE_AFTER), Some(1420));
        assert!(PathMtu::unsearched().is_settled());
    }

    #[test]
    fn a_refused_probe_is_not_taken_for_the_next() {
        let mut mtu = path();
        mtu.on_probe(1420);
        mtu.refused(1420);
        let next = mtu.wanted(NOW).unwrap();
        mtu.on_probe(next);
        mtu.lost(0, 1420, true); // the one that never left
        assert_eq!(mtu.wanted(NOW), None, "the next is still on its way");
        mtu.passed(1, next, true);
        assert_eq!(mtu.segment(), next);
    }

    #[test]
    fn where_the_system_refuses_even_the_base_nothing_is_tried() {
        let mut mtu = PathMtu::group(false, u64::MAX);
        mtu.refused(PAYLOAD_SHORT as u64);
        assert_eq!(mtu.wanted(NOW), None);
    }
}
