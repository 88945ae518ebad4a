//! A session's timers: connect time-outs, the start rule, repairs, probes, retries, judgement.

use super::Session;
use super::member::Member;
use super::mode::Cause;
use crate::error::Reason;
use crate::proto::send::log::LIMIT;
use crate::proto::send::space::Fired;
use crate::proto::time::Instant;
use crate::stats::Mode;
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
        for m in &self.members {
            if let Some(opening) = &m.opening {
                consider(Some(opening.deadline()));
                consider(Some(self.began + self.config.connect_timeout));
                continue;
            }
            consider(m.conn.deadline());
            if m.is_served() {
                consider(m.stalled.map(|since| since + self.config.idle_timeout));
                consider(m.retry_at);
                consider(m.persist.map(|persist| persist.at));
                consider(m.probe_at(&self.log));
                consider(m.board.deadline());
                consider(m.need.waits_until().filter(|at| *at > now));
            }
        }
        if !self.started && self.members.iter().any(Member::is_served) {
            consider(self.first_answer.map(|t| t + self.config.start_wait));
        }
        // Also when nothing is in flight: a closed window may be why.
        let unsent = self.cursor.at() < self.store.end();
        if self.members.iter().any(|m| m.is_multicast() && (unsent || m.board.waits())) {
            consider(Some(self.next_check));
        }
        consider(self.repairs.deadline());
        consider(self.pace.deadline(now));
        consider(self.paced_until);
        if self.started {
            consider(self.trial.deadline(now));
        }
        at
    }

    /// Fires what is due.
    pub(crate) fn on_timer(&mut self, now: Instant) {
        for index in 0..self.members.len() {
            self.member_timers(now, index);
        }
        self.try_start(now);
        self.repairs.settle(now, &mut self.members);
        if now >= self.next_check {
            self.next_check = now + CHECK_EVERY;
            for index in 0..self.members.len() {
                self.judge(now, index);
            }
            self.elect();
            self.trim_log(now);
        }
        self.refresh(now);
    }

    /// What must be up to date before anything is sent.
    pub(crate) fn refresh(&mut self, now: Instant) {
        if self.started && self.group.is_some() {
            self.repairs.settle(now, &mut self.members);
            self.repairs.prune(&mut self.members);
            self.trial.update(now, &self.members);
        }
    }

    fn member_timers(&mut self, now: Instant, index: usize) {
        let m = &mut self.members[index];
        if m.opening.is_some() {
            if now >= self.began + self.config.connect_timeout {
                let never = Reason::NeverAnswered(self.config.connect_timeout);
                let reason = m.hint.take().unwrap_or(never);
                m.conn.drop_dead();
                self.end_member(now, index, Err(reason));
            }
            return;
        }
        match m.conn.on_timer(now) {
            Ok(Fired::Nothing) => {}
            Ok(Fired::Probe) => m.probe_tail(self.store.end()),
            Ok(Fired::Reordering) => self.on_timer_losses(index),
            Ok(Fired::Timeout) => {
                // Not later: who cannot be reached is known when that time is over.
                let may = now < self.began + self.config.connect_timeout;
                if let Some(opening) = m.unproven.as_mut().filter(|_| may) {
                    opening.begin_again();
                }
                // Some filters drop what they do not know: of a path that has never carried data
                // nothing is asked but to carry it (RFC 8311, 4.2.2, and 9000, 13.4.2).
                self.ecn &= m.need.held() > 0;
                self.on_timer_losses(index);
            }
            Err(reason) => {
                if m.outcome.is_none() {
                    m.conn.abort("nothing was heard of this end"); // should it still be there
                } else {
                    m.conn.drop_dead();
                }
                self.end_member(now, index, Err(reason));
                return;
            }
        }
        let m = &mut self.members[index];
        if !m.is_served() {
            return;
        }
        // RFC 9293, 3.8.3: data that is not acknowledged at all ends the connection, even if the
        // peer answers otherwise. A closed window is no such case: nothing is on its way then.
        if m.is_owed(self.store.end(), self.segment.max(m.segment()), self.cursor.at()) {
            let since = *m.stalled.get_or_insert(now);
            // Bytes that waited for their turn here, for a rate or a source, are not its fault.
            let asked = now.since(m.served) < self.config.idle_timeout / 2;
            if now.since(since) >= self.config.idle_timeout && !asked {
                m.stalled = Some(now);
            } else if now.since(since) >= self.config.idle_timeout {
                m.conn.abort("no byte was acknowledged");
                self.end_member(now, index, Err(Reason::Stalled(self.config.idle_timeout)));
                return;
            }
        } else {
            m.stalled = None;
        }
        if self.members[index].board.on_timer(now, &self.log) {
            self.apply_board(now, index);
            self.fit(index);
        }
        let m = &mut self.members[index];
        m.probe_window(now);
        if m.probe_at(&self.log).is_some_and(|at| at <= now) {
            m.probe(now);
        }
        if m.mode == Mode::Unicast && m.retry_at.is_some_and(|at| at <= now) {
            m.retry_at = None;
            self.change(now, index, Cause::Retry);
        }
    }

    /// Gives up log entries that every member has settled.
    pub(crate) fn trim_log(&mut self, now: Instant) {
        let next = self.log.next_pn();
        let alone = self.members.iter_mut().filter(|m| !m.is_multicast());
        for m in alone.filter(|m| next - m.board.settled() > LIMIT as u64 / 4) {
            m.board.abandon(&self.log).for_each(drop);
        }
        let served = self.members.iter().filter(|m| m.mode != Mode::Gone);
        let settled = served.map(|m| m.board.settled()).min().unwrap_or(self.log.next_pn());
        let base = self.log.keep_from(settled);
        for m in self.members.iter_mut().filter(|m| m.mode != Mode::Gone) {
            m.board.trim(now, base, &self.log);
        }
        self.log.trim(base);
    }
}
