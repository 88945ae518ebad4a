//! The listener's side of the handshake: answers SYNs, repeats its cached answers, and has no
//! timer. An entry costs a source that has proven nothing a bounded place in a bounded table.

use crate::proto::conn::handshake::{Hello, parse_third, syn_ack};
use crate::proto::conn::state::Input;
use crate::proto::conn::{Conn, Names, Role};
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
        arrival: &Arrival,
        hello: &Hello<'_>,
        local: &Local,
        rng: &mut Rng,
    ) {
        let source = (arrival.from, hello.cid);
        if let Some(half) = self.by_source.get(&source).and_then(|cid| self.by_cid.get(cid)) {
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
        let half =
            HalfOpen { names, descriptor: hello.descriptor, responder, answer: answer.clone() };
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
        let mut conn = Conn::new(Role::Responder, half.names, algorithm, idle_timeout, now);
        conn.keys = Some(keys);
        conn.step(Input::Proof);
        conn.heard(now);
        conn.acks.demand(); // the first sealed datagram tells the initiator that we are there
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
