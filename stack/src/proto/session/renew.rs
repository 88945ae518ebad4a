//! A member whose host was restarted in the middle knows nothing of the session any more. It begins again
//! at its place, as a new one: another handshake, and it needs all of the bytes. What stays is its history.

use super::Session;
use crate::error::Reason;
use crate::proto::conn::ids::Ids;
use crate::proto::time::Instant;

/// A host may be restarted so often within a session: an upgrade, and a few crashes. One that goes down
/// with each try would be sent the beginning for ever, which the others pay for.
pub(crate) const MAX_RESTARTS: u32 = 4;

/// Why a member cannot begin again.
const GONE: &str = "the beginning of the stream, which it needs again, is gone";
const OFTEN: &str = "that happened too often";

/// A member that begins again.
pub(crate) struct Renewed {
    /// Its place.
    pub(crate) index: usize,
    /// The connection ids by which it was found, and by which it is from now on.
    pub(crate) was: u64,
    pub(crate) is: u64,
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

    /// Lets the next member begin again that has to, if there is one: whoever calls this has the ids that a
    /// new association needs.
    pub(crate) fn renew(&mut self, now: Instant, ids: &mut Ids<'_>) -> Option<Renewed> {
        let index = self.members.iter().position(|m| m.has_forgotten(now))?;
        let before = &self.members[index];
        let was = before.conn().names().local_cid;
        let mut fresh = self.new_member(now, before.addr(), before.key(), ids);
        let is = fresh.conn().names().local_cid;
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
        Some(Renewed { index, was, is })
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
