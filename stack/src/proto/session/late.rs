//! Receivers that come late: such as are added while the session runs, and such as have not answered in time and are
//! asked on. Both begin like any other; what the group has passed goes to them alone, within the share of unicast.

use super::{MAX_MEMBERS, Session};
use crate::error::AddError;
use crate::proto::conn::ids::Ids;
use crate::proto::event::SessionState;
use crate::proto::member::Member;
use crate::proto::member::candidates::Candidates;
use crate::proto::time::Instant;
use std::net::SocketAddr;

impl Session {
    /// Adds a receiver of these addresses, best first: its place.
    pub(crate) fn add_member(
        &mut self,
        now: Instant,
        addrs: &[SocketAddr],
        ids: &mut Ids<'_>,
    ) -> Result<usize, AddError> {
        let first = self.check_added(addrs)?;
        let mut member = self.new_member(now, (first, first), None, ids);
        let limit = self.config.connect_timeout;
        member.may_be_at(Candidates::behind_first(now, addrs, limit));
        if self.finishing {
            member.conn_mut().close_data();
        }
        if self.store.is_ended() {
            member.need_mut().cut(self.store.end());
        }
        let index = self.members.len();
        self.members.push(member);
        self.channels.iter_mut().for_each(|channel| channel.admit(index + 1));
        self.regroup(index);
        self.fit(index);
        self.changed = true;
        Ok(index)
    }

    /// The first address, if nothing is wrong.
    fn check_added(&self, addrs: &[SocketAddr]) -> Result<SocketAddr, AddError> {
        if !self.store.is_source() {
            return Err(AddError::Stream);
        }
        if self.forgotten || self.state() == SessionState::Done {
            return Err(AddError::Over);
        }
        if self.members.len() >= MAX_MEMBERS {
            return Err(AddError::TooMany(MAX_MEMBERS));
        }
        let served = |addr: &&SocketAddr| {
            let at = |m: &&Member| m.addr() == **addr || m.is_sought_at(**addr);
            self.members.iter().filter(|m| !m.is_gone()).any(|m| at(&m))
        };
        let twice = addrs.iter().enumerate().find(|(n, addr)| addrs[..*n].contains(addr));
        let twice = twice.map(|(_, addr)| addr).or_else(|| addrs.iter().find(served));
        match (addrs.first(), twice) {
            (None, _) => Err(AddError::NoAddress),
            (_, Some(twice)) => Err(AddError::Twice(*twice)),
            (Some(first), None) => Ok(*first),
        }
    }

    /// Whether one that has not answered by the end of its time is asked on: as long as others are served, or waited for
    /// that are lost.
    pub(super) fn asks_on(&self) -> bool {
        self.config.late_join && self.members.iter().any(Member::is_served)
    }

    /// Whether this one is asked on, and the session does not last for it.
    pub(super) fn is_only_asked(&self, now: Instant, m: &Member) -> bool {
        self.config.late_join && m.is_opening() && !self.is_awaited(now, m)
    }

    /// Whether this member's answer is still waited for, before sending begins.
    pub(super) fn is_awaited(&self, now: Instant, m: &Member) -> bool {
        m.is_opening() && now < m.began() + self.config.connect_timeout
    }

    /// Nobody is served any more: who has had its time to answer is not asked on.
    pub(super) fn end_unanswered(&mut self, now: Instant) {
        if !self.config.late_join || self.asks_on() {
            return;
        }
        for index in 0..self.members.len() {
            if self.is_only_asked(now, &self.members[index]) {
                let reason = self.members[index].give_up(self.config.connect_timeout);
                self.end_one(now, index, Err(reason));
            }
        }
    }
}
