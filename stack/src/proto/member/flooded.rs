//! Whether one that has left the group has it on its line all the same: a switch that does not prune (RFC 4541, 2.1.2)
//! sends a group to every port, and leaving it frees nothing.
//!
//! Neither end sees that directly. What shows it is what the member loses of its own packets: much beside the group,
//! and little once that pauses or is over, while those who follow lose little as well. A narrow line of a switch that
//! prunes loses alike at both times, as does a lossy one; a line that all share loses to those who follow as well.

use super::Member;
use crate::proto::send::space::News;
use crate::proto::time::Instant;
use crate::stats::ModeReason;
use core::time::Duration;

/// A switch that prunes still forwards the group for so long after the leave: it asks for others twice, a second each
/// (RFC 3376, 8.8 and 8.9; RFC 3810, 9.8 and 9.9); and a second for what was on its way, and for what that has cost.
const PRUNED: Duration = Duration::from_secs(3);
/// A group that has sent nothing for so long is over: what was lost beside it is known to be.
const OVER: Duration = Duration::from_secs(1);
/// Packets of which it is known at each time whether they were lost, at least: few are sent beside a group that fills
/// the line, and many after it.
const KNOWN: (u32, u32) = (16, 128);
/// Packets lost beside the group, at least: of 16 so many are lost by chance with a probability of 3 × 10⁻⁴ at the most
/// that [`MORE`] leaves room for, 1 of 8 (the binomial distribution's tail), and of 80 with 9 × 10⁻⁴ at 2.5 %.
const MANY: u32 = 8;
/// Share lost beside the group, at least: one for whose sake others would go slower by a quarter, which is why it has
/// left, loses a fifth if the group fills its line; half of that for what its queue hides.
const LOST: f64 = 0.1;
/// So many times what is lost after the group, and by those who follow it.
const MORE: f64 = 4.0;

/// Packets of which it is known whether they were lost.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    lost: u32,
    known: u32,
}

impl Tally {
    fn add(&mut self, lost: usize, arrived: usize) {
        self.lost += lost as u32;
        self.known += (lost + arrived) as u32;
    }

    fn share(self) -> f64 {
        f64::from(self.lost) / f64::from(self.known.max(1))
    }
}

/// What is known of its line since it left.
#[derive(Debug, Default)]
pub(crate) struct Flooded {
    left: Option<Instant>,
    beside: Tally,
    after: Tally,
    /// Sum of what all who follow lost at least, as a share, over the packets beside the group.
    shared: f64,
}

impl Flooded {
    /// It is told to leave.
    pub(super) fn begin(now: Instant) -> Self {
        Self { left: Some(now), ..Self::default() }
    }

    /// It is watched.
    pub(crate) fn watches(&self) -> bool {
        self.left.is_some()
    }

    /// So many of its own packets were lost, and have arrived. The group has been quiet for so long; beside it (`all`)
    /// all who follow lose this share of it at least.
    fn note(&mut self, now: Instant, own: (usize, usize), quiet: Duration, all: Option<f64>) {
        let (lost, arrived) = own;
        let Some(left) = self.left.filter(|left| now.since(*left) >= PRUNED) else { return };
        if quiet >= OVER && now.since(left) >= PRUNED + OVER {
            self.after.add(lost, arrived);
        } else if let Some(all) = all.filter(|_| quiet.is_zero()) {
            self.beside.add(lost, arrived);
            self.shared += all * (lost + arrived) as f64;
        }
    }

    /// Shares lost beside the group and after it, if they show that the group is on its line.
    fn found(&self) -> Option<(f64, f64)> {
        let (beside, after) = (self.beside.share(), self.after.share());
        let (known, others) =
            (self.beside.known, after.max(self.shared / f64::from(self.beside.known.max(1))));
        let is_known = known >= KNOWN.0 && self.beside.lost >= MANY && self.after.known >= KNOWN.1;
        (is_known && beside >= LOST && beside >= others * MORE).then_some((beside, after))
    }
}

impl Member {
    /// What is known of its line since it left the group.
    pub(crate) fn flooded(&self) -> &Flooded {
        &self.flooded
    }

    /// It is known what became of some of its own packets. The group has been quiet for so long, and all who follow it
    /// lose this share of it at least. While it has joined again, what it loses beside the group says nothing.
    pub(crate) fn note_line(&mut self, now: Instant, news: &News, quiet: Duration, all: f64) {
        let all = Some(all).filter(|_| self.has_left());
        let arrived = news.acked.iter().filter(|(_, content)| !content.data.is_empty()).count();
        let lost = news.lost.iter().filter(|content| !content.data.is_empty()).count();
        self.flooded.note(now, (lost, arrived), quiet, all);
    }

    /// Why it has left the group, with what has become known since of its line.
    pub(super) fn on_its_line(&self, reason: &ModeReason) -> Option<ModeReason> {
        let (beside, after) = self.flooded.found()?;
        #[expect(clippy::cast_sign_loss, reason = "a share is not negative")]
        let percent = |share: f64| (share * 100.0).round() as u8;
        let (beside, after) = (percent(beside), percent(after));
        Some(ModeReason::Flooded { left: Box::new(reason.clone()), beside, after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_TIME: Duration = Duration::ZERO;

    /// It left at once: so many of a hundred lost from the fourth second on, beside the group, and after it.
    fn line(beside: usize, all: f64, after: usize) -> Flooded {
        let mut line = Flooded::begin(Instant::ZERO);
        let at = Instant::ZERO + PRUNED;
        line.note(at, (beside, 100 - beside), NO_TIME, Some(all));
        (0..2).for_each(|_| line.note(at + OVER * 2, (after, 100 - after), OVER, Some(0.0)));
        line
    }

    #[test]
    fn what_is_lost_beside_the_group_alone_shows_that_it_is_on_the_line() {
        assert_eq!(line(80, 0.01, 1).found(), Some((0.8, 0.01)));
        assert_eq!(line(10, 0.0, 0).found(), Some((0.1, 0.0)));
        assert_eq!(line(9, 0.0, 0).found(), None, "a window that grows loses as much");
        assert_eq!(line(20, 0.0, 8).found(), None, "its line loses by itself");
        assert_eq!(line(20, 0.08, 0).found(), None, "the line that all share is full");
    }

    #[test]
    fn what_is_lost_before_a_switch_prunes_and_between_says_nothing() {
        let mut line = Flooded::default();
        line.note(Instant::ZERO + PRUNED, (80, 20), NO_TIME, Some(0.0));
        assert!(line.beside.known == 0 && !line.watches(), "it has not left");
        let mut line = Flooded::begin(Instant::ZERO);
        line.note(Instant::ZERO + PRUNED / 2, (80, 20), NO_TIME, Some(0.0));
        line.note(Instant::ZERO + PRUNED, (80, 20), OVER / 2, Some(0.0));
        line.note(Instant::ZERO + PRUNED, (80, 20), NO_TIME, None);
        assert_eq!((line.beside.known, line.after.known), (0, 0));
    }

    #[test]
    fn few_packets_show_nothing() {
        let mut line = Flooded::begin(Instant::ZERO);
        let at = Instant::ZERO + PRUNED;
        line.note(at, (15, 0), NO_TIME, Some(0.0));
        line.note(at + OVER * 2, (0, 128), OVER, Some(0.0));
        assert_eq!(line.found(), None);
        line.note(at, (1, 0), NO_TIME, Some(0.0));
        assert!(line.found().is_some());
    }
}
