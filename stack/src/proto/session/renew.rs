//! A member whose host went down in the middle, and is there again, knows nothing of the session any more. It
//! begins again at its place, as a new one: another handshake, and it needs all of the bytes. What stays is its
//! history.

use super::Session;
use crate::error::Reason;
use crate::proto::conn::ids::Ids;
use crate::proto::time::Instant;

/// A host, or what receives there, may crash or be killed so often within a session and be started again. One
/// that goes down with each try would be sent the beginning for ever, which the others pay for. What is ended in
/// good order says so to its senders, and does not begin again.
pub(crate) const MAX_RESTARTS: u32 = 4;

/// Why a member cannot begin again.
const GONE: &str = "the beginning of the stream, which it needs again, is gone";
const OFTEN: &str = "that happened too often";

/// A member's connection ids change: by which it was found, and by which it is from now on.
pub(crate) struct Renamed {
    /// Its place.
    pub(crate) index: usize,
    pub(crate) was: Option<u64>,
    pub(crate) is: Option<u64>,
}

impl Session {
    /// A member has shown that it knows nothing of the session any more: ends it, unless it can begin
    /// again.
    pub(super) fn end_forgotten(&mut self, now: Instant, index: usize) {
        let why = if self.store.base() > 0 {
            GONE
        } else if self.members[index].restarts() >= MAX_RESTARTS {
            OFTEN
        } else {
            return;
        };
        self.members[index].conn_mut().drop_dead();
        self.end_member(now, index, Err(Reason::Forgotten(why)));
    }

    /// Goes on with the next question whether a member has forgotten the session, if one is due, and lets
    /// the member begin again if it has; tries the next address of one that has not answered. Whoever calls this
    /// has the ids that a new association needs.
    pub(crate) fn renew(&mut self, now: Instant, ids: &mut Ids<'_>) -> Option<Renamed> {
        (0..self.members.len()).find_map(|index| self.renew_member(now, index, ids))
    }

    fn renew_member(&mut self, now: Instant, index: usize, ids: &mut Ids<'_>) -> Option<Renamed> {
        let m = &mut self.members[index];
        if let Some(addr) = m.next_address(now) {
            let attempt = self.new_attempt(now, addr, ids);
            let is = Some(attempt.cid());
            self.members[index].try_beside(attempt);
            return Some(Renamed { index, was: None, is });
        }
        if let Some(was) = m.end_question(now) {
            return Some(Renamed { index, was: Some(was), is: None });
        }
        if m.wants_syn(now) {
            // Who has moved is trusted as who it was: else whoever is at its address now could take its place.
            let (at, key) = ((m.addr(), m.conn().names().trusted_as), m.key());
            let fresh = self.new_member(now, at, key, ids);
            let is = Some(fresh.conn().names().local_cid);
            let was = self.members[index].question(now, fresh);
            return Some(Renamed { index, was, is });
        }
        if m.has_forgotten(now) {
            let was = Some(m.conn().names().local_cid);
            self.begin_again(now, index);
            return Some(Renamed { index, was, is: None });
        }
        None
    }

    /// Puts what has been answered meanwhile in the place of a member that has forgotten the session.
    fn begin_again(&mut self, now: Instant, index: usize) {
        let board = self.new_board(); // the group has gone on since the question was asked
        let Some((mut fresh, features)) = self.members[index].take_fresh() else { return };
        fresh.hears_from(board);
        if self.finishing {
            fresh.conn_mut().close_data();
        }
        if self.store.is_source() && self.store.is_ended() {
            fresh.need_mut().cut(self.store.end());
        }
        core::mem::swap(&mut fresh, &mut self.members[index]);
        self.members[index].succeed(now, self.began, fresh);
        self.regroup(index);
        self.fit(index);
        if !self.renewed.contains(&index) {
            self.renewed.push_back(index);
        }
        self.renewal_told = false;
        self.begin(now, index, features);
    }

    /// The next member that has begun again since this was last asked.
    pub(crate) fn next_renewed(&mut self) -> Option<usize> {
        self.renewed.pop_front()
    }

    /// Whether there is one that the application was not told of; told once.
    pub(crate) fn take_renewal(&mut self) -> bool {
        !self.renewed.is_empty() && !core::mem::replace(&mut self.renewal_told, true)
    }
}
