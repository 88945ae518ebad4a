//! The listener's side of the handshake: answers SYNs, repeats its cached answers, and has no
//! timer. An entry costs a source that has proven nothing a bounded place in a bounded table.

use crate::proto::conn::handshake::{Hello, parse_third, syn_ack};
use crate::proto::conn::{Conn, Names};
use crate::proto::event::Arrival;
use crate::proto::rng::Rng;
use crate::proto::time::Instant;
use crate::seal::Responder;
use crate::wire::{Descriptor, Features, Header, Seq};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Unproven SYNs that are remembered; the oldest makes room.
const MAX_HALF_OPEN: usize = 1024;
/// Answers that wait to be sent; more SYNs than this in one batch go unanswered and are repeated.
const MAX_REPLIES: usize = 256;

/// One datagram that answers another outside of any association.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) to: SocketAddr,
    pub(crate) from: Option<IpAddr>,
    pub(crate) ifindex: u32,
    pub(crate) bytes: Arc<[u8]>,
}

#[derive(Debug)]
struct HalfOpen {
    names: Names,
    descriptor: Descriptor,
    responder: Responder,
    answer: Arc<[u8]>,
    /// When it was answered, if only once (Karn's rule, RFC 6298, 3).
    answered: Option<Instant>,
}

/// SYNs answered and not yet proven.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    by_cid: BTreeMap<u64, HalfOpen>,
    by_source: BTreeMap<(SocketAddr, u64), u64>,
    order: VecDeque<u64>,
    replies: VecDeque<Reply>,
}

/// What the listener adds to a SYN to answer it.
pub(crate) struct Local {
    pub(crate) port: u16,
    /// The data's first flow-control edge.
    pub(crate) edge: u64,
}

impl Listener {
    /// Answers a SYN, with the same bytes if it is a repeated one.
    pub(crate) fn on_syn(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        hello: &Hello<'_>,
        local: &Local,
        rng: &mut Rng,
    ) {
        let source = (arrival.from, hello.cid);
        let known = self.by_source.get(&source);
        if let Some(half) = known.and_then(|cid| self.by_cid.get_mut(cid)) {
            half.answered = None;
            let answer = half.answer.clone();
            self.reply(arrival, answer);
            return;
        }
        let Ok(responder) = Responder::new(rng.bytes32(), hello.message) else { return };
        let names = Names {
            peer: arrival.from,
            local: arrival.to,
            ifindex: arrival.ifindex,
            port: local.port,
            local_cid: rng.u64(),
            remote_cid: hello.cid,
            iss: Seq(rng.u32()),
            irs: hello.seq,
        };
        let descriptor = answer_to(&hello.descriptor);
        let answer: Arc<[u8]> = syn_ack(&names, &descriptor, &responder, local.edge).into();
        self.evict();
        self.order.push_back(names.local_cid);
        self.by_source.insert(source, names.local_cid);
        let (descriptor, answered) = (hello.descriptor, Some(now));
        let half = HalfOpen { names, descriptor, responder, answer: answer.clone(), answered };
        self.by_cid.insert(half.names.local_cid, half);
        self.reply(arrival, answer);
    }

    fn reply(&mut self, arrival: &Arrival, bytes: Arc<[u8]>) {
        if self.replies.len() < MAX_REPLIES {
            let (to, from, ifindex) = (arrival.from, arrival.to, arrival.ifindex);
            self.replies.push_back(Reply { to, from, ifindex, bytes });
        }
    }

    /// Refuses a SYN with an unsealed hint.
    pub(crate) fn refuse(&mut self, arrival: &Arrival, bytes: Arc<[u8]>) {
        self.reply(arrival, bytes);
    }

    fn evict(&mut self) {
        while self.order.len() >= MAX_HALF_OPEN {
            let Some(cid) = self.order.pop_front() else { return };
            self.remove(cid);
        }
    }

    fn remove(&mut self, cid: u64) -> Option<HalfOpen> {
        let half = self.by_cid.remove(&cid)?;
        self.by_source.remove(&(half.names.peer, half.names.remote_cid));
        Some(half)
    }

    /// Takes the third message; with a good proof the association is established.
    pub(crate) fn on_third(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        header: &Header,
        payload: &[u8],
        idle_timeout: Duration,
    ) -> Option<(Conn, Descriptor)> {
        let half = self.by_cid.get(&header.encap.cid)?;
        // RFC 9293, 3.10.7.4: in SYN-RECEIVED the ACK must be of our SYN.
        if half.names.peer != arrival.from
            || header.segment.ack != Some(Seq::of_offset(half.names.iss, 0))
        {
            return None;
        }
        let keys = half.responder.third(parse_third(header, payload)?).ok()?;
        let half = self.remove(header.encap.cid)?;
        self.order.retain(|cid| *cid != header.encap.cid);
        let algorithm = crate::config::Algorithm::default();
        let mut conn = Conn::accept(half.names, keys, algorithm, idle_timeout, now);
        if let Some(answered) = half.answered {
            conn.path_mut().rtt.sample(now.since(answered));
        }
        Some((conn, half.descriptor))
    }

    pub(crate) fn pop_reply(&mut self) -> Option<Reply> {
        self.replies.pop_front()
    }
}

/// What we say of ourselves: all that was offered and we know. The group is echoed, as option 50
/// is: whoever echoes it will try to join.
fn answer_to(offer: &Descriptor) -> Descriptor {
    let mut features = Features::XM;
    for known in [Features::GROUPS, Features::UNORDERED, Features::STREAM] {
        if offer.features.contains(known) {
            features = features.with(known);
        }
    }
    Descriptor { features, ..*offer }
}

#[cfg(test)]
mod tests {
    use super::{Listener, Local, MAX_HALF_OPEN, MAX_REPLIES};
    use crate::proto::conn::handshake::Hello;
    use crate::proto::event::Arrival;
    use crate::proto::rng::Rng;
    use crate::proto::time::Instant;
    use crate::wire::{Descriptor, Features, Seq};

    fn syn(listener: &mut Listener, rng: &mut Rng, cid: u64) {
        let descriptor = Descriptor {
            features: Features::XM,
            first_offset: 0,
            segment_size: 1420,
            group_cid: 0,
            group: None,
        };
        let hello = Hello { message: &[7; 32], cid, descriptor, seq: Seq(1), edge: None };
        let from = "10.0.0.1:1".parse().unwrap();
        let arrival = Arrival { from, to: None, ifindex: 0, ecn: 0, stride: 0 };
        listener.on_syn(Instant::ZERO, &arrival, &hello, &Local { port: 1, edge: 1 }, rng);
    }

    #[test]
    fn a_flood_of_syns_fills_a_bounded_table_and_a_bounded_queue() {
        let (mut listener, mut rng) = (Listener::default(), Rng::new([1; 32]));
        for cid in 0..2 * MAX_HALF_OPEN as u64 {
            syn(&mut listener, &mut rng, cid);
        }
        let sizes = [listener.by_cid.len(), listener.by_source.len(), listener.order.len()];
        assert_eq!(sizes, [MAX_HALF_OPEN; 3]);
        assert_eq!(std::iter::from_fn(|| listener.pop_reply()).count(), MAX_REPLIES);
        let oldest = ("10.0.0.1:1".parse().unwrap(), 0);
        assert!(!listener.by_source.contains_key(&oldest), "the oldest made room");
    }

    #[test]
    fn a_repeated_syn_gets_the_same_bytes_and_no_second_place() {
        let (mut listener, mut rng) = (Listener::default(), Rng::new([1; 32]));
        syn(&mut listener, &mut rng, 5);
        let first = listener.pop_reply().unwrap().bytes;
        syn(&mut listener, &mut rng, 5);
        assert_eq!(listener.pop_reply().unwrap().bytes, first);
        assert_eq!(listener.by_cid.len(), 1);
    }
}
