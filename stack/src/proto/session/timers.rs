//! A session's timers: connect time-outs, the start rule, repairs, probes, retries, judgement.

use super::Session;
use super::settle::Told;
use crate::error::Reason;
use crate::proto::channel::Channel;
use crate::proto::member::Member;
use crate::proto::member::mode::Cause;
use crate::proto::member::retry::Followed;
use crate::proto::send::space::{Fired, News};
use crate::proto::time::Instant;
use core::time::Duration;

/// Troubles that last are looked for so often, while anything is in flight to the group.
const CHECK_EVERY: Duration = Duration::from_millis(50);

impl Session {
    /// When [`Self::on_timer`] has something to do next.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        let mut at: Option<Instant> = None;
        let mut consider = |t: Option<Instant>| {
            if let Some(t) = t
                && at.is_none_or(|a| t < a)
            {
                at = Some(t);
            }
        };
        for (index, m) in self.members.iter().enumerate() {
            if let Some(repeat) = m.conn().opening_deadline() {
                consider(Some(repeat));
                let ends = Some(m.began() + self.config.connect_timeout);
                consider(ends.filter(|at| *at > now || !self.asks_on()));
                consider(m.fails_at());
                consider(m.attempts_deadline());
            } else {
                let log = self.channel_of(index).map(Channel::log);
                consider(m.deadline(now, log, self.config.idle_timeout));
            }
        }
        let waits = self.config.least_answers == 0;
        if !self.started && waits && self.members.iter().any(Member::is_served) {
            consider(self.first_answer.map(|t| t + self.config.start_wait));
        }
        // Also when nothing is in flight: a closed window may be why.
        let end = self.store.end();
        let unsent = self.channels.iter().any(|channel| channel.is_unfinished(end));
        if self.members.iter().any(|m| m.is_multicast() && (unsent || m.board().waits())) {
            consider(Some(self.next_check));
        }
        for channel in &self.channels {
            consider(channel.deadline(now, self.started));
        }
        consider(self.gives_up_at(now));
        consider(self.pace.deadline(now));
        consider(self.paced_until);
        at
    }

    /// Fires what is due.
    pub(crate) fn on_timer(&mut self, now: Instant) {
        self.wake(now);
        for index in 0..self.members.len() {
            self.member_timers(now, index);
        }
        self.try_start(now);
        let Self { members, channels, .. } = self;
        for channel in channels {
            channel.settle_repairs(now, members);
        }
        if now >= self.next_check {
            self.next_check = now + CHECK_EVERY;
            self.part(now);
            self.evict(now);
            self.free_ring(now);
            for index in 0..self.members.len() {
                self.judge(now, index);
            }
            let most = self.config.rate.map(|rate| rate as f64 / 8.0);
            let Self { members, channels, store, .. } = self;
            for channel in channels {
                channel.note_waits(now, members, store.end(), most);
                channel.elect(members);
                channel.trim(now, members);
            }
        }
        self.give_up_lost(now);
        self.refresh(now);
    }

    /// What must be up to date before anything is sent.
    pub(crate) fn refresh(&mut self, now: Instant) {
        let Self { members, channels, started, .. } = self;
        for channel in channels.iter_mut().filter(|_| *started) {
            channel.refresh(now, members);
        }
        self.tell(now);
    }

    fn member_timers(&mut self, now: Instant, index: usize) {
        let (connect, asks_on) = (self.config.connect_timeout, self.asks_on());
        let m = &mut self.members[index];
        let began = m.began();
        if m.is_opening() {
            if now >= began + connect && !asks_on || m.fails_at().is_some_and(|at| at <= now) {
                let reason = m.give_up(connect);
                self.end_member(now, index, Err(reason));
            }
            return;
        }
        match m.conn_mut().on_timer(now) {
            Ok((Fired::Nothing, _)) => {}
            Ok((Fired::Probe, _)) => m.probe_tail(self.store.end()),
            Ok((Fired::Reordering, news)) => self.on_timer_losses(now, index, news),
            Ok((Fired::Timeout, news)) => {
                // Not later: who cannot be reached is known when that time is over.
                if now < began + connect {
                    m.conn_mut().begin_again();
                }
                // Some filters drop what they do not know: of a path that has never carried data
                // nothing is asked but to carry it (RFC 8311, 4.2.2, and 9000, 13.4.2).
                self.ecn &= m.need().arrived() > 0;
                self.on_timer_losses(now, index, news);
            }
            Err(reason) => {
                let reason = m.take_stranger().unwrap_or(reason);
                if m.outcome().is_none() {
                    m.conn_mut().abort("it heard nothing from this host for too long"); // should it still be there
                } else {
                    m.conn_mut().drop_dead();
                }
                self.end_member(now, index, Err(reason));
                return;
            }
        }
        if self.members[index].is_served() {
            self.served_timers(now, index);
        }
    }

    fn served_timers(&mut self, now: Instant, index: usize) {
        if self.members[index].has_forgotten(now) {
            return self.end_forgotten(now, index); // or it begins again
        }
        self.look_for(now, index);
        let (at, idle) = (self.at(index), self.config.idle_timeout);
        let segment = self.channel_of(index).map_or(0, Channel::segment);
        let m = &mut self.members[index];
        let owed = m.is_owed(self.store.end(), segment.max(m.segment()), at);
        if m.is_stalled(now, owed, idle) {
            m.conn_mut().abort("no byte was acknowledged");
            self.end_member(now, index, Err(Reason::Stalled(idle)));
            return;
        }
        let Self { members, channels, .. } = self;
        let channel = members[index].channel().map(|id| &channels[id.0]);
        if let Some(news) = channel.and_then(|channel| channel.on_timer(now, &mut members[index])) {
            self.settle(now, index, Told::Group(news));
            self.fit(index);
        }
        let Self { members, channels, .. } = self;
        let m = &mut members[index];
        m.ask(now, m.channel().map(|id| channels[id.0].log()));
        if !m.may_retry(now) {
            return;
        }
        let others = Followed::by(members);
        if members[index].retries(now, others) {
            self.change(now, index, Cause::Retry);
        }
    }

    /// Contents that a timer gave up for lost.
    fn on_timer_losses(&mut self, now: Instant, index: usize, news: News) {
        self.settle(now, index, Told::Alone(news));
        self.fit(index);
    }
}
