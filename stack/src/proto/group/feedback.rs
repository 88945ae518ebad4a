//! What comes back from a member: acknowledgements, and what follows from them.

use super::Session;
use super::member::{GroupView, Member};
use super::mode::{self, Cause, Evidence, Losses};
use super::need::{Proof, Way};
use super::plan;
use super::repair;
use crate::config::Promotion;
use crate::proto::send::scoreboard::{JUDGED, Period};
use crate::proto::send::space::News;
use crate::proto::time::Instant;
use crate::stats::Mode;
use crate::wire::{Ack, GroupStatus};
use core::time::Duration;

/// TCP-XM slide 16: "typically after 75K unicast data".
pub(crate) const PUBLISHED_BYTES: u64 = 75 << 10;
/// 75 KiB are 54 segments of 1,420 bytes, so of the 128 that option 51 speaks of about 40 % can
/// have been multicast by then (the published threshold is not known; this one gives 75K).
pub(crate) const PUBLISHED_PERCENT: u8 = 40;
/// The least length of a judgement.
pub(crate) const PERIOD_MIN: Duration = Duration::from_millis(500);
/// Whom its own window slows down goes by unicast, on the same line, if the others then gain more than
/// this part of its rate: one part pays for the unicast, a quarter is what it must be worth.
pub(crate) const WORTH: f64 = 1.25;
/// In round trips.
pub(crate) const PERIOD_RTTS: u32 = 10;

impl Session {
    /// Takes a member's ACK block.
    pub(crate) fn on_ack(&mut self, now: Instant, index: usize, ack: &Ack<'_>) {
        let written = self.store.end().min(self.high_water(index));
        let cap = self.growth_cap(index);
        let source = self.store.is_source();
        let m = &mut self.members[index];
        if ack.data_edge > m.edge {
            m.edge = ack.data_edge;
            m.widest = m.widest.max(m.edge.saturating_sub(m.need.high().max(self.cursor.at())));
            if !source {
                // Slow, but its window moves, and a ring waits for it whichever way it is served.
                m.watch.closed = Duration::ZERO;
            }
        }
        m.conn.control.on_report(ack.control_next, ack.control_edge);
        if ack.unicast.is_some_and(|space| space.largest >= m.last_report) {
            m.last_report = ack.unicast.map_or(0, |space| space.largest);
            if m.group_status != ack.group_status {
                m.group_status = ack.group_status; // a report that was overtaken says nothing new
                self.cursor.reconsider();
            }
        }
        // An acknowledgement of bytes never sent is ignored (RFC 9293, 3.10.7.4).
        if ack.data_next > m.need.contiguous() && ack.data_next <= written {
            m.on_acked(0..ack.data_next, Proof::Old);
            self.cursor.touch(ack.data_next);
        }
        let mut asked = None;
        if let Some(space) = &ack.unicast {
            m.conn.tx.on_ack(now, space);
            asked = m.conn.tx.news.latest_sent;
            self.cursor.touch(apply_news(m));
        }
        let m = &mut self.members[index];
        if let Some(space) = &ack.group {
            m.board.on_ack(now, space, &self.log, cap);
            if !m.board.heard.is_empty() {
                m.probe_answered();
            }
            self.apply_board(now, index);
        }
        if let Some(asked) = asked {
            let m = &mut self.members[index];
            let delay = m.ack_delay();
            m.board.find_silent(now, asked, delay, &self.log);
            self.apply_board(now, index);
        }
        self.fit(index);
        self.release();
        self.changed |= self.store.is_source() && self.is_satisfied();
        // Promotion is judged at each report; what lasts, at each check.
        if self.members[index].mode == Mode::Trial {
            self.judge(now, index);
        }
        self.tune_acks(index);
    }

    /// The end of what this member can have of the stream: what was sent to it, and what it declared.
    fn high_water(&self, index: usize) -> u64 {
        let need = &self.members[index].need;
        need.high().max(need.held_to()).max(self.cursor.at())
    }

    /// A member that does not limit the group may grow to twice the group window, no further.
    fn growth_cap(&self, index: usize) -> Option<u64> {
        let m = &self.members[index];
        let window = plan::group_window(self)?;
        (m.is_multicast() && m.board.path.congestion.window() > window).then_some(window * 2)
    }

    pub(super) fn apply_board(&mut self, now: Instant, index: usize) {
        let missed = !self.members[index].board.missed.is_empty();
        let wait = if missed { repair::wait(&self.members) } else { Duration::ZERO };
        let Self { members, log, repairs, group_bbr, cursor, .. } = self;
        let m = &mut members[index];
        if let Some(shown) = m.board.shown.take() {
            match group_bbr {
                Some(bbr) => bbr.on_report(index, &shown),
                None => m.board.path.congestion.on_report(&shown),
            }
        }
        for n in 0..m.board.heard.len() {
            let pn = m.board.heard[n];
            if let Some(entry) = log.get(pn) {
                m.on_acked(entry.range.clone(), Proof::Packet(Way::Group, pn));
                cursor.touch(entry.range.end);
            }
        }
        for n in 0..m.board.late_heard.len() {
            m.on_acked(m.board.late_heard[n].clone(), Proof::Old);
        }
        for n in 0..m.board.missed.len() {
            let pn = m.board.missed[n];
            let Some(range) = log.get(pn).map(|e| e.range.clone()) else { continue };
            if m.on_group_missed(range.clone()) && !repairs.on_owed(now, &range, wait) {
                m.need.serve_alone(range);
            }
        }
    }

    /// Contents that a timer gave up for lost.
    pub(crate) fn on_timer_losses(&mut self, index: usize) {
        let highest = apply_news(&mut self.members[index]);
        self.cursor.touch(highest);
        self.fit(index);
    }

    /// Judges one member's mode.
    pub(crate) fn judge(&mut self, now: Instant, index: usize) {
        if self.group.is_none() || !self.members[index].is_served() {
            return;
        }
        if self.members[index].group_status == GroupStatus::Cannot {
            self.change(now, index, Cause::CannotJoin);
            return;
        }
        let evidence = self.evidence(now, index);
        if let Some(cause) = mode::judge(&evidence) {
            self.change(now, index, cause);
        }
    }

    pub(crate) fn change(&mut self, now: Instant, index: usize, cause: Cause) {
        let view = GroupView { log: &self.log, cursor: self.cursor.at() };
        self.members[index].change(now, self.began, cause, &view);
        self.cursor.reconsider();
        self.elect();
        self.follow(index);
        self.fit(index);
        self.changed = true;
    }

    /// Tells the group's machine whether a member counts.
    pub(crate) fn follow(&mut self, index: usize) {
        if let Some(bbr) = &mut self.group_bbr {
            bbr.set_active(index, self.members[index].is_limiting());
        }
    }

    fn evidence(&mut self, now: Instant, index: usize) -> Evidence {
        let losses = self.losses(now, index);
        let m = &mut self.members[index];
        m.watch.measure(now, m.need.held());
        let (blocked, has_room) = (self.is_blocking(index), self.has_room(index));
        let published = self.published(index);
        let m = &mut self.members[index];
        let period = period(m);
        let hearing = m.board.hearing();
        let deaf_for = lasting(&mut m.watch.deaf, now, mode::is_deaf(hearing));
        let closed_for = m.watch.hold(now, blocked);
        let silent_for = m
            .board
            .oldest_out()
            .and_then(|pn| self.log.get(pn))
            .map_or(Duration::ZERO, |entry| now.since(entry.at.max(m.conn.last_heard)));
        Evidence {
            mode: m.mode,
            hearing,
            unicast_loss: m.conn.tx.loss(),
            deaf_for,
            losses,
            timed_out: m.conn.tx.often_timed_out(now),
            closed_for,
            has_room,
            silent_for,
            patience: (m.conn.tx.path.rtt.rto() + m.ack_delay()) * 2,
            period,
            published,
        }
    }

    /// Loss over the period that has just ended, if one has.
    fn losses(&mut self, now: Instant, index: usize) -> Option<Losses> {
        let m = &self.members[index];
        let packets = m.board.period.total();
        if now.since(m.watch.period) < period(m) || packets < JUDGED {
            return None;
        }
        let own = m.board.period.loss();
        let others = median_loss(&self.members, index);
        let m = &mut self.members[index];
        m.watch.last_loss = own;
        m.watch.period = now;
        m.board.period = Period::default();
        others.map(|others| Losses { own, others, packets })
    }

    /// Whether this member's window holds the group, while at least half of the others have read what
    /// came, and would gain. Who is as slow as most others is not what holds them.
    fn is_blocking(&self, index: usize) -> bool {
        let m = &self.members[index];
        if !m.is_multicast()
            || self.cursor.run().start >= self.store.end()
            || self.reaches(m, self.segment)
        {
            return false;
        }
        let others = || {
            let all = self.members.iter().enumerate();
            all.filter(|(n, o)| *n != index && o.is_multicast()).map(|(_, o)| o)
        };
        let free = || others().filter(|o| self.reaches(o, (o.widest / 2).max(self.segment)));
        let shown = free().map(|o| o.watch.best).min_by(f64::total_cmp);
        let gains = shown.is_some_and(|shown| shown - m.watch.rate > m.watch.rate * WORTH);
        gains && free().count() * 2 >= others().count()
    }

    /// Whether a member has room for the group's next segment, if there is anybody who would have to
    /// wait for it.
    fn has_room(&self, index: usize) -> bool {
        let led = self.members.iter().any(Member::is_multicast);
        !led || self.reaches(&self.members[index], self.segment)
    }

    /// Whether a member's window reaches so many bytes beyond the group's next one, or to the end; who
    /// lacks nothing of them needs no room.
    fn reaches(&self, m: &Member, bytes: u64) -> bool {
        let next = self.cursor.next(bytes, self.store.end());
        m.edge >= next.end || m.has_all_of(next)
    }

    fn published(&self, index: usize) -> Option<bool> {
        let m = &self.members[index];
        (self.config.promotion == Promotion::After75K).then(|| {
            m.is_tried() && m.need.sent() >= PUBLISHED_BYTES && m.heard_percent >= PUBLISHED_PERCENT
        })
    }
}

/// The least length of a judgement of this member.
fn period(m: &Member) -> Duration {
    (m.board.path.rtt.smoothed().unwrap_or_default() * PERIOD_RTTS).max(PERIOD_MIN)
}

fn lasting(since: &mut Option<Instant>, now: Instant, holds: bool) -> Duration {
    if holds {
        now.since(*since.get_or_insert(now))
    } else {
        *since = None;
        Duration::ZERO
    }
}

/// Median loss of the other multicast members, if there are any.
fn median_loss(members: &[Member], index: usize) -> Option<f64> {
    let mut losses: Vec<f64> = members
        .iter()
        .enumerate()
        .filter(|(n, m)| *n != index && m.mode == Mode::Multicast)
        .map(|(_, m)| {
            if m.board.period.total() >= JUDGED { m.board.period.loss() } else { m.watch.last_loss }
        })
        .collect();
    if losses.is_empty() {
        return None;
    }
    let middle = losses.len() / 2;
    Some(*losses.select_nth_unstable_by(middle, f64::total_cmp).1)
}

/// Applies what the unicast space learnt to the member; the end of the highest bytes that arrived.
fn apply_news(m: &mut Member) -> u64 {
    let news: News = core::mem::take(&mut m.conn.tx.news);
    let mut highest = 0;
    for (pn, content) in &news.acked {
        m.conn.content_acked(content);
        if !content.data.is_empty() {
            m.on_acked(content.data.clone(), Proof::Packet(Way::Unicast, *pn));
            highest = highest.max(content.data.end);
        }
    }
    for content in &news.lost {
        m.conn.content_lost(content);
        if !content.data.is_empty() {
            m.need.lost_alone(content.data.clone());
        }
    }
    m.conn.tx.news = news; // its buffers are used again
    highest
}
