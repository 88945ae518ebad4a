//! How fast a channel goes: by the windows of the members that bound it, or as its BBR says.

use super::Channel;
use crate::proto::member::Member;
use crate::proto::send::congestion::Shown;
use crate::proto::send::pace::MAX_TRAIN;
use crate::proto::time::Instant;
use core::time::Duration;

/// Segments of a train of the burst that the group is tried with: 64 are sixteen of them, twice as many as tell a rate.
const TRIED: usize = 4;

impl Channel {
    /// Whether its pace lets a train leave.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.pacer.permits(now)
    }

    /// When its pace lets the next train leave.
    pub(crate) fn next_due(&self) -> Instant {
        self.pacer.next()
    }

    /// So many bytes of payload have left at this pace, in bytes a second.
    pub(crate) fn spend(&mut self, now: Instant, rate: f64, bytes: u64) {
        self.pacer.spend(now, rate, bytes);
    }

    /// Segments of a train, at most. What the group is tried with comes in short ones: a train arrives at once, and
    /// how fast one follows the other tells how fast the group is ([`ways`](crate::proto::member::ways)).
    pub(crate) fn longest_train(&self) -> usize {
        if self.trial.allowance() > 0 { TRIED } else { MAX_TRAIN }
    }

    /// Bytes a second at which it is sent to; `None`: at once.
    pub(crate) fn pacing_rate(&self, members: &[Member]) -> Option<f64> {
        if !members.iter().any(Member::is_multicast) {
            // The trial's first burst leaves at once; its trains as what goes by unicast beside
            // them, or they would find a full queue where the others find room.
            if self.trial.is_bursting() {
                return None;
            }
            let tried = members.iter().filter(|m| m.is_tried());
            return tried.filter_map(Member::pacing_rate).min_by(f64::total_cmp);
        }
        let following = || members.iter().filter(|m| m.is_limiting());
        let Some(bbr) = &self.bbr else {
            let rates = following().filter_map(|m| m.group_path().pacing_rate());
            return rates.min_by(f64::total_cmp);
        };
        let srtt = following().filter_map(|m| m.group_path().rtt.smoothed()).max()?;
        Some(bbr.pacing_rate(srtt))
    }

    /// A member's congestion window for what the group carries, in bytes: its own, or its part of
    /// what the one machine says.
    pub(super) fn window_of(&self, members: &[Member], index: usize) -> u64 {
        match &self.bbr {
            Some(bbr) => bbr.window(index),
            None => members[index].group_path().congestion.window(),
        }
    }

    /// The least congestion window of those who bound it, in bytes; `None`: nobody does.
    pub(crate) fn window(&self, members: &[Member]) -> Option<u64> {
        let limiting = (0..members.len()).filter(|&index| members[index].is_limiting());
        limiting.map(|index| self.window_of(members, index)).min()
    }

    /// A member that does not limit it may grow to twice its window, no further.
    pub(super) fn growth_cap(&self, members: &[Member], index: usize) -> Option<u64> {
        let window = self.window(members)?;
        let m = &members[index];
        let beyond = m.is_multicast() && m.group_path().congestion.window() > window;
        beyond.then_some(window * 2)
    }

    /// Whether every member that bounds it has room for so many more bytes, and the log as well.
    pub(crate) fn permits(&self, members: &[Member], bytes: u64) -> bool {
        let has_room = |index: usize| {
            members[index].group_path().has_room(bytes, self.window_of(members, index))
        };
        let limiting = |index: &usize| members[*index].is_limiting();
        !self.log.is_full() && (0..members.len()).filter(limiting).all(has_room)
    }

    /// What a member's report comes to moves its window, or the one machine.
    pub(super) fn move_window(&mut self, member: &mut Member, index: usize, shown: &Shown) {
        match &mut self.bbr {
            Some(bbr) => bbr.on_report(index, shown),
            None => member.group_path_mut().congestion.on_report(shown),
        }
    }

    #[cfg(test)]
    pub(crate) fn forget_pace(&mut self) {
        self.pacer = crate::proto::send::pace::Pacer::default();
    }

    /// A member's acknowledgements are held back for so long, since its way back is narrow.
    pub(crate) fn expect_acks(&mut self, index: usize, held: Duration) {
        if let Some(bbr) = &mut self.bbr {
            bbr.expect_acks(index, held);
        }
    }

    /// So many members may follow it from now on.
    pub(crate) fn admit(&mut self, members: usize) {
        if let Some(bbr) = &mut self.bbr {
            bbr.grow(members);
        }
    }

    /// Tells the one machine whether a member counts.
    pub(crate) fn count(&mut self, index: usize, counts: bool) {
        if let Some(bbr) = &mut self.bbr {
            bbr.set_active(index, counts);
        }
    }
}
