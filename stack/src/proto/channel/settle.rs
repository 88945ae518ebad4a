//! What comes back from a member of the group's packets, and what follows from it.

use super::{Channel, repair};
use crate::proto::member::Member;
use crate::proto::member::need::{Proof, Way};
use crate::proto::member::ways::Reported;
use crate::proto::send::scoreboard::GroupNews;
use crate::proto::time::Instant;
use crate::wire::SpaceAck;
use core::ops::Range;
use core::time::Duration;

impl Channel {
    /// Takes a member's report of the group space: what is new in it.
    pub(crate) fn on_report(
        &self,
        now: Instant,
        members: &mut [Member],
        index: usize,
        space: &SpaceAck<'_>,
    ) -> GroupNews {
        let cap = self.growth_cap(members, index);
        let m = &mut members[index];
        m.heard_up_to(now, space.largest);
        let news = m.board_mut().on_ack(now, space, &self.log, cap);
        if m.is_multicast() && m.board().flight() == 0 {
            m.ways_mut().idles(now);
        }
        if m.is_tried() {
            m.note_group_flight(now, space.delay_us, self.flown(&news.heard));
        }
        if !news.heard.is_empty() {
            m.probe_answered();
        }
        news
    }

    /// What a report tells of the datagrams that the group is tried with.
    fn flown(&self, heard: &[u64]) -> Reported {
        let none = Reported { packets: 0, bytes: 0, sent: Instant::ZERO, alone: 0 };
        heard.iter().filter_map(|pn| self.log.get(*pn)).fold(none, |told, entry| Reported {
            packets: told.packets + 1,
            bytes: told.bytes + entry.bytes(),
            sent: told.sent.max(entry.at),
            alone: told.alone.max(entry.alone),
        })
    }

    /// A member answered something sent to it alone at `asked`: what it should have reported by now.
    pub(crate) fn on_answer(&self, now: Instant, m: &mut Member, asked: Instant) -> GroupNews {
        let delay = m.ack_delay();
        let news = m.board_mut().find_silent(now, asked, delay, &self.log);
        if !news.missed.is_empty() {
            m.probe_answered(); // it has heard nothing, and said so
        }
        news
    }

    /// What was overtaken long enough ago is lost, when it is time to say so.
    pub(crate) fn on_timer(&self, now: Instant, m: &mut Member) -> Option<GroupNews> {
        m.board_mut().on_timer(now, &self.log)
    }

    /// Applies what is new of a member.
    pub(crate) fn settle(
        &mut self,
        now: Instant,
        members: &mut [Member],
        index: usize,
        mut news: GroupNews,
    ) {
        let missed = !news.missed.is_empty();
        let wait = if missed { repair::wait(members) } else { Duration::ZERO };
        let m = &mut members[index];
        if let Some(shown) = news.shown.take() {
            self.move_window(m, index, &shown);
        }
        for pn in &news.heard {
            if let Some(entry) = self.log.get(*pn) {
                m.on_acked(entry.range.clone(), Proof::Packet(Way::Group, *pn));
                self.cursor.touch(entry.range.end);
            }
        }
        for range in &news.late {
            m.on_acked(range.clone(), Proof::Old);
        }
        for pn in &news.missed {
            let Some(range) = self.log.get(*pn).map(|e| e.range.clone()) else { continue };
            if m.on_group_missed(range.clone()) && !self.repairs.on_owed(now, &range, wait) {
                m.need_mut().serve_alone(range);
            }
        }
        m.board_mut().recycle(news);
    }

    /// A member lacks what the group has passed: a moment is waited for who else does.
    pub(crate) fn owe(
        &mut self,
        now: Instant,
        members: &mut [Member],
        index: usize,
        passed: Vec<Range<u64>>,
    ) {
        let wait = repair::wait(members);
        for range in passed {
            if !self.repairs.on_owed(now, &range, wait) {
                members[index].need_mut().serve_alone(range);
            }
        }
    }

    /// Bytes below `offset` arrived at a member, maybe such as lie ahead.
    pub(crate) fn touch(&mut self, offset: u64) {
        self.cursor.touch(offset);
    }
}

/// A member that follows has seen congestion: whether most have by now, at the same time as far as that can be told.
pub(crate) fn is_crowded(now: Instant, members: &mut [Member], index: usize) -> bool {
    members[index].has_seen_congestion(now);
    let follows = || members.iter().filter(|m| m.binds());
    let together = repair::wait(members) * 2;
    let seen = follows().filter(|m| m.saw_congestion(now, together));
    seen.count() * 2 > follows().count()
}
