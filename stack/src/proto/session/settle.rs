//! What comes back from a member: its acknowledgements, and what follows from them.

use super::Session;
use crate::config::Algorithm;
use crate::proto::channel::ack_rate;
use crate::proto::channel::eviction::Policy;
use crate::proto::channel::settle::is_crowded;
use crate::proto::member::mode::Cause;
use crate::proto::member::need::Proof;
use crate::proto::send::scoreboard::GroupNews;
use crate::proto::send::space::News;
use crate::proto::time::Instant;
use crate::stats::Mode;
use crate::wire::Ack;

/// What a report, or a timer, has shown of what was sent to a member.
pub(super) enum Told {
    /// Of its own packets.
    Alone(News),
    /// Of its channel's.
    Group(GroupNews),
}

impl Session {
    /// Takes a member's ACK block.
    pub(super) fn on_ack(&mut self, now: Instant, index: usize, ack: &Ack<'_>) {
        let at = self.at(index);
        let m = &mut self.members[index];
        let reached = m.need().high().max(m.need().held_to()).max(at);
        let written = self.store.most().min(reached);
        let status = m.group_status();
        let news = m.on_report(now, ack, at, self.store.is_source());
        let status_changed = m.group_status() != status;
        // An acknowledgement of bytes never sent is ignored (RFC 9293, 3.10.7.4).
        let contiguous = m.need().contiguous();
        if ack.data_next > contiguous && ack.data_next <= written {
            // Of what was taken back it proves nothing, and so of what lies behind not much.
            let to = m.need().first_taken_back().unwrap_or(u64::MAX).min(ack.data_next);
            if contiguous < to {
                m.on_acked(contiguous..to, Proof::Old);
            }
            self.touch(index, ack.data_next);
        }
        if status_changed {
            if let Some(id) = self.members[index].channel() {
                self.members[index].begin_hearing(now, self.channels[id.0].next_pn());
            }
            self.reconsider(index);
        }
        if let (Some(space), Some(news)) = (&ack.unicast, &news) {
            self.members[index].note_unicast_flight(now, space.delay_us, news);
        }
        let asked = news.as_ref().and_then(|news| news.latest_sent);
        if let Some(news) = news {
            self.settle(now, index, Told::Alone(news));
        }
        let Self { members, channels, .. } = self;
        let channel = members[index].channel().map(|id| &channels[id.0]);
        if let (Some(space), Some(channel)) = (&ack.group, channel) {
            let news = channel.on_report(now, members, index, space);
            self.settle(now, index, Told::Group(news));
        }
        let Self { members, channels, .. } = self;
        let channel = members[index].channel().map(|id| &channels[id.0]);
        if let (Some(asked), Some(channel)) = (asked, channel) {
            let news = channel.on_answer(now, &mut members[index], asked);
            self.settle(now, index, Told::Group(news));
        }
        self.fit(index);
        self.release();
        self.changed |= self.store.is_source() && self.is_satisfied();
        // Promotion is judged at each report; what lasts, at each check.
        if self.members[index].mode() == Mode::Trial {
            self.judge(now, index);
        }
        if self.config.algorithm == Algorithm::Bbr {
            self.members[index].thin_acks(now);
        }
        self.tune_acks(index);
    }

    /// Applies what a report, or a timer, has shown.
    pub(super) fn settle(&mut self, now: Instant, index: usize, told: Told) {
        match told {
            Told::Alone(news) => {
                self.watch_line(now, index, &news);
                let highest = self.members[index].settle(news);
                self.touch(index, highest);
            }
            Told::Group(news) => {
                let Self { members, channels, uplink, .. } = self;
                if let Some(id) = members[index].channel() {
                    let congested = news.shown.is_some_and(|shown| shown.congested);
                    channels[id.0].settle(now, members, index, news);
                    if congested && is_crowded(now, members, index) {
                        uplink.is_full(now);
                    }
                }
            }
        }
    }

    /// Of one that has left the group it is watched what it loses beside that, and after it.
    fn watch_line(&mut self, now: Instant, index: usize, news: &News) {
        if !self.members[index].flooded().watches() {
            return;
        }
        let Some(quiet) = self.uplink.quiet(now) else { return };
        let follow = self.members.iter().filter(|m| m.leads());
        let all = follow.map(|m| 1.0 - m.board().hearing().1).min_by(f64::total_cmp);
        self.members[index].note_line(now, news, quiet, all.unwrap_or_default());
    }

    /// Bytes below `offset` arrived at a member, maybe such as its channel has still before it.
    fn touch(&mut self, index: usize, offset: u64) {
        if let Some(id) = self.members[index].channel() {
            self.channels[id.0].touch(offset);
        }
    }

    /// Whether a member hears its channel, or what it needs, has changed.
    pub(super) fn reconsider(&mut self, index: usize) {
        self.read_ahead_of = None;
        if let Some(id) = self.members[index].channel() {
            self.channels[id.0].reconsider();
        }
    }

    /// Judges one member's mode.
    pub(super) fn judge(&mut self, now: Instant, index: usize) {
        let Self { members, channels, store, config, .. } = self;
        let Some(id) = members[index]
            .channel()
            .filter(|_| members[index].is_served() && members[index].is_here())
        else {
            return;
        };
        let channel = &channels[id.0];
        if let Some(cause) = channel.judge(now, members, index, store.end(), config.promotion) {
            self.change(now, index, cause);
        }
    }

    /// Evicts who makes a channel slow.
    pub(super) fn evict(&mut self, now: Instant) {
        for id in 0..self.channels.len() {
            let Self { members, channels, store, config, .. } = self;
            let slow = channels[id].evict(now, members, store, &Policy::of(config));
            for index in slow {
                if let Some(reason) = self.members[index].too_slow(self.config.slow) {
                    self.drop_for(now, index, reason);
                } else {
                    self.uplink.leaves(now);
                    self.change(now, index, Cause::Slow);
                }
            }
        }
    }

    /// Takes the step of modes that `cause` asks for.
    pub(super) fn change(&mut self, now: Instant, index: usize, cause: Cause) {
        let Self { members, channels, began, .. } = self;
        let view = members[index].channel().map(|id| channels[id.0].view());
        members[index].change(now, *began, cause, view.as_ref());
        if cause == Cause::Retry && self.members[index].has_left() {
            self.tell_group(index);
        }
        self.regroup(index);
        self.fit(index);
        self.changed = true;
    }

    /// Who follows a channel has changed.
    pub(super) fn regroup(&mut self, index: usize) {
        self.read_ahead_of = None;
        let Self { members, channels, .. } = self;
        if let Some(id) = members[index].channel() {
            let channel = &mut channels[id.0];
            channel.reconsider();
            channel.elect(members);
            channel.count(index, members[index].is_limiting());
        }
    }

    /// Tells a member how to acknowledge, when that has changed.
    pub(super) fn tune_acks(&mut self, index: usize) {
        let Self { members, channels, .. } = self;
        let channel = members[index].channel().map(|id| &channels[id.0]);
        ack_rate::tune(channel, members, index);
        let held = members[index].hold_acks();
        if let Some(id) = members[index].channel() {
            channels[id.0].expect_acks(index, held);
        }
    }
}
