//! SYNs that were answered and not yet proven: a bounded table, for a bounded time.

use crate::proto::conn::Names;
use crate::proto::conn::handshake::SynTag;
use crate::proto::time::Instant;
use crate::seal::Responder;
use crate::wire::Descriptor;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// With so many in the table a SYN must bring a cookie: it proves that its source is where it says.
pub(super) const COOKIE_FROM: usize = 256;
/// Places in all: what brings a cookie may take the rest of them.
const MAX: usize = 4096;
/// Places for one source that has not shown that it is where it says; then it must, too.
const MAX_UNPROVEN: usize = 8;
/// Places for one source.
const MAX_PER_SOURCE: usize = 64;
/// A third message comes a round trip after the answer, or after its repetition: the longest that the
/// initiator waits for one is 2 s (`conn::handshake`).
const LIFE: Duration = Duration::from_secs(5);

/// A SYN that was answered.
#[derive(Debug)]
pub(super) struct HalfOpen {
    pub(super) syn: SynTag,
    /// As they follow from where it came from first.
    pub(super) names: Names,
    pub(super) descriptor: Descriptor,
    pub(super) responder: Responder,
    pub(super) answer: Arc<[u8]>,
    /// Which of the listener's ways in it came by.
    pub(super) door: usize,
    /// A number for its source.
    pub(super) source: u64,
    /// When it was answered, if only once (Karn's rule, RFC 6298, 3).
    pub(super) answered: Option<Instant>,
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Table {
    by_cid: BTreeMap<u64, HalfOpen>,
    by_syn: BTreeMap<SynTag, u64>,
    per_source: BTreeMap<u64, usize>,
    /// In the order of their ages; the oldest is in the table.
    order: VecDeque<(Instant, u64)>,
}

impl Table {
    /// Whether SYNs must bring a cookie now that come from a source with this number.
    pub(super) fn is_crowded_for(&self, source: u64) -> bool {
        let held = self.per_source.get(&source).copied().unwrap_or(0);
        self.by_cid.len() >= COOKIE_FROM || held >= MAX_UNPROVEN
    }

    /// Whether a source with this number may have another place.
    pub(super) fn has_room(&self, source: u64) -> bool {
        self.by_cid.len() < MAX
            && self.per_source.get(&source).is_none_or(|held| *held < MAX_PER_SOURCE)
    }

    /// Whether an id is taken.
    pub(super) fn has(&self, cid: u64) -> bool {
        self.by_cid.contains_key(&cid)
    }

    /// What was answered to this SYN.
    pub(super) fn find_syn(&mut self, syn: &SynTag) -> Option<&mut HalfOpen> {
        self.by_cid.get_mut(self.by_syn.get(syn)?)
    }

    /// By the id that was given to it.
    pub(super) fn find(&mut self, cid: u64) -> Option<&mut HalfOpen> {
        self.by_cid.get_mut(&cid)
    }

    pub(super) fn insert(&mut self, now: Instant, half: HalfOpen) {
        let cid = half.names.local_cid;
        self.order.push_back((now, cid));
        self.by_syn.insert(half.syn, cid);
        *self.per_source.entry(half.source).or_default() += 1;
        self.by_cid.insert(cid, half);
    }

    pub(super) fn remove(&mut self, cid: u64) -> Option<HalfOpen> {
        let half = self.by_cid.remove(&cid)?;
        self.by_syn.remove(&half.syn);
        if let Some(held) = self.per_source.get_mut(&half.source) {
            *held -= 1;
            if *held == 0 {
                self.per_source.remove(&half.source);
            }
        }
        while self.order.front().is_some_and(|(_, cid)| !self.has(*cid)) {
            self.order.pop_front();
        }
        if self.order.is_empty() {
            self.order = VecDeque::new(); // a flood is over: its room is given back
        }
        Some(half)
    }

    /// When the oldest is too old.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.order.front().map(|(at, _)| *at + LIFE)
    }

    /// Drops what is too old.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.deadline().is_some_and(|at| at <= now)
            && let Some((_, cid)) = self.order.front().copied()
        {
            self.remove(cid);
        }
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        debug_assert_eq!(self.by_cid.len(), self.by_syn.len());
        self.by_cid.len()
    }
}
