//! What a member is sent alone next: a pure function of its state.

use super::Member;
use super::need::Owed;
use crate::proto::send::store::Store;
use crate::stats::Mode;
use core::ops::Range;

/// One data segment to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) range: Range<u64>,
    /// Sent before, to the same receivers.
    pub(crate) repair: bool,
    /// It is the last for now: to be acknowledged at once (PSH).
    pub(crate) push: bool,
}

impl Member {
    /// The next segment to it alone, or `None` if its window, its credit or the data says wait.
    /// `hold`: how much it may have been sent while the group is tried.
    pub(crate) fn step(
        &self,
        store: &Store,
        finishing: bool,
        hold: impl FnOnce() -> Option<u64>,
    ) -> Option<Step> {
        // Who is silent is asked for a sign of life, and sent nothing else.
        if !self.is_served() || !self.is_here() {
            return None;
        }
        let Owed { range: first, repair } = self.need.next_alone(self.segment())?;
        let edge = self.edge();
        let limit = first.end.min(store.end()).min(edge);
        let flying = self.conn.tx().carries_data() && first.end > limit;
        let range = segment_at(store, finishing, self.segment(), first.start, limit, flying)?;
        let len = range.end - range.start;
        if self.mode == Mode::Trial
            && !repair
            && hold().is_some_and(|most| self.need.first_sent() + len > most)
        {
            return None;
        }
        if !self.conn.tx().permits(len) || !store.has(&range) {
            return None;
        }
        let push = range.end == store.end() || range.end == edge || self.conn.tx().probes_tail();
        Some(Step { range, repair, push })
    }

    /// The first byte at or after `from` that it is to be sent, by whichever way: the group stands at
    /// `cursor`, and hands over what nobody else lacks when it comes there.
    pub(crate) fn first_needed_from(&self, from: u64, cursor: u64) -> Option<u64> {
        let ahead = self.follows(cursor).and_then(|at| self.need.lacks_from(from.max(at), true));
        let alone = self.need.first_alone_from(from);
        alone.into_iter().chain(ahead.map(|piece| piece.start)).min()
    }
}

/// A full segment at `start`, or what there is up to `limit`: a short one only at the end of the
/// stream, or when nothing is in flight (the sender's side of RFC 9293, 3.8.6.2.1).
pub(crate) fn segment_at(
    store: &Store,
    finishing: bool,
    segment: u64,
    start: u64,
    limit: u64,
    flying: bool,
) -> Option<Range<u64>> {
    let end = limit.min(start.saturating_add(segment));
    if end <= start {
        return None;
    }
    let short = end - start < segment;
    let last = (finishing || store.is_source()) && end == store.end();
    if short && flying && !last {
        return None;
    }
    Some(start..end)
}
