//! What comes through groups: opened once, and handed to every receiver here that follows the group with
//! the same key. Connection ids are chosen by senders, so that of one group may be another's as well.

use super::Endpoint;
use crate::config::Group;
use crate::proto::event::{Action, Arrival, ReceiverId, Stranger};
use crate::proto::recv::group::{GroupRx, Unwanted};
use crate::proto::recv::joins::Move;
use crate::proto::recv::session::Receiving;
use crate::proto::time::Instant;
use crate::wire::Header;
use std::collections::BTreeMap;

/// Who follows the group whose datagrams carry a connection id.
#[derive(Debug, Default)]
pub(super) struct Groups {
    by_cid: BTreeMap<u64, Vec<ReceiverId>>,
    // Room that is used for one datagram and kept for the next.
    /// Who wants it, and its whole packet number there.
    wanting: Vec<(ReceiverId, u64)>,
    /// Who takes it with the key that opened it.
    taking: Vec<ReceiverId>,
    /// As it came, while several keys are tried on it: a failed one destroys it.
    copy: Vec<u8>,
}

impl Groups {
    pub(super) fn add(&mut self, cid: u64, id: ReceiverId) {
        self.by_cid.entry(cid).or_default().push(id);
    }

    pub(super) fn remove(&mut self, cid: u64, id: ReceiverId) {
        if let Some(list) = self.by_cid.get_mut(&cid) {
            list.retain(|receiver| *receiver != id);
            if list.is_empty() {
                self.by_cid.remove(&cid);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_cid.len()
    }
}

/// The system is to join a receiver's group, on the interface that its SYN came in on.
pub(super) fn join(id: ReceiverId, receiver: &mut Receiving) -> Option<Action> {
    let Group { addr, source } = receiver.ask_to_join()?;
    let ifindex = receiver.conn.names().ifindex;
    Some(Action::Join { receiver: id, group: addr, source, ifindex })
}

impl Endpoint {
    /// The next group that its sender has announced anew: it is left, and then joined. Or that it wants to be left.
    pub(super) fn next_move(&mut self) -> Option<Action> {
        let now = self.now;
        let mut all = self.receivers.iter_mut();
        let (id, next, receiver) = all.find_map(|(id, r)| Some((*id, r.take_move(now)?, r)))?;
        if let Some(pace) = receiver.group.as_mut().and_then(GroupRx::learnt) {
            self.paces.learn(receiver.conn.names().ifindex, pace);
        }
        if next == Move::Anew {
            self.joins.extend(join(id, receiver));
        }
        Some(Action::Leave { receiver: id })
    }

    pub(super) fn on_group(
        &mut self,
        now: Instant,
        (arrival, ce): (&Arrival, bool),
        (header, header_len): (Header, usize),
        datagram: &mut [u8],
    ) {
        let Self { groups, receivers, listener, .. } = self;
        let Groups { by_cid, wanting, taking, copy } = groups;
        let Some(list) = by_cid.get(&header.encap.cid) else { return };
        wanting.clear();
        for id in list {
            let Some(group) = receivers.get_mut(id).and_then(|r| r.group.as_mut()) else {
                continue;
            };
            match group.wants(now, arrival.from.ip(), &header) {
                Ok(pn) => wanting.push((*id, pn)),
                Err(Unwanted::Foreign) => {
                    if let Some(listener) = listener {
                        listener.tell(Stranger::Group { from: arrival.from });
                    }
                }
                Err(Unwanted::Unusable) => {}
            }
        }
        let mut copied = false;
        while let Some((id, pn)) = wanting.first().copied() {
            let key_of = |id| {
                let receiver: Option<&Receiving> = receivers.get(&id);
                receiver.and_then(|r| r.group.as_ref()?.key(now, header.encap.key_id))
            };
            let Some(key) = key_of(id) else { return };
            // All who have the same key take it with this one.
            taking.clear();
            wanting.retain(|(other, other_pn)| {
                let same = *other_pn == pn && key_of(*other).is_some_and(|other| other.is(key));
                if same {
                    taking.push(*other);
                }
                !same
            });
            if copied {
                datagram.copy_from_slice(copy);
            } else if !wanting.is_empty() {
                copy.clear();
                copy.extend_from_slice(datagram);
                copied = true;
            }
            if key.key().open(pn, datagram, header_len).is_err() {
                continue;
            }
            for id in &*taking {
                if let Some(receiver) = receivers.get_mut(id) {
                    receiver.on_group(now, (header, header_len), pn, datagram, ce);
                }
            }
        }
    }
}
