//! Which association a datagram belongs to: by connection id, never by ports (they may be rewritten
//! on the way).

use super::listen::{Local, Proven};
use super::{Endpoint, Owner, groups};
use crate::proto::conn::Conn;
use crate::proto::conn::handshake::parse_hello;
use crate::proto::event::{Arrival, ReceiverId, Stranger};
use crate::proto::recv::session::Receiving;
use crate::proto::time::Instant;
use crate::wire::{Features, Header, Kind, Reply, SYN_LEN, Said, VERSION, frozen_syn};
use zeroize::Zeroize;

/// Congestion experienced (RFC 3168, 5).
const CE: u8 = 0b11;

/// Why a SYN is refused.
const CROWDED: &str = "too many sessions wait to be accepted";

impl Endpoint {
    /// Takes one datagram.
    pub(super) fn dispatch(&mut self, now: Instant, arrival: &Arrival, datagram: &mut [u8]) {
        let Ok((header, header_len)) = Header::parse(datagram) else {
            return self.on_other(now, arrival, datagram);
        };
        let ce = arrival.ecn & CE == CE;
        match header.encap.kind {
            Kind::Handshake => self.on_handshake(now, arrival, (&header, header_len), datagram),
            Kind::Data => self.on_unicast(now, arrival, header, header_len, datagram, ce),
            Kind::Control => {
                self.on_unicast(now, arrival, header, header_len, datagram, ce);
                datagram.zeroize(); // opened in place: a key may stand in what is not read over for long
            }
            Kind::Group => self.on_group(now, (arrival, ce), (header, header_len), datagram),
        }
    }

    /// Takes what is no datagram of an association: a reply, or a SYN of another version.
    fn on_other(&mut self, now: Instant, arrival: &Arrival, datagram: &[u8]) {
        if let Some(Ok(reply)) = Reply::parse(datagram) {
            return self.on_reply(now, arrival, &reply, datagram);
        }
        if let (Some((version, cid)), Some(listener)) = (frozen_syn(datagram), &mut self.listener)
            && version != VERSION
            && let Some(door) = listener.door(arrival, datagram)
        {
            listener.on_other_version(now, arrival, cid, datagram, door);
        }
    }

    fn on_unicast(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        header: Header,
        header_len: usize,
        datagram: &mut [u8],
        ce: bool,
    ) {
        let Self { owners, sessions, receivers, listener, rng, .. } = self;
        let (cid, len) = (header.encap.cid, datagram.len());
        let (from, cut) = ((arrival, ce), (header, header_len));
        let datagram = (datagram, || rng.u64());
        match owners.get(&cid) {
            Some(Owner::Member(id, index)) => {
                if let Some(session) = sessions.get_mut(id) {
                    session.on_unicast(now, *index, from, cut, datagram);
                }
            }
            Some(Owner::Receiver(id)) => {
                if let Some(receiver) = receivers.get_mut(id) {
                    receiver.on_unicast(now, from, cut, datagram);
                }
            }
            None => {
                if let Some(listener) = listener {
                    listener.on_unknown(now, arrival, cid, len);
                }
            }
        }
    }

    fn on_handshake(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        header: (&Header, usize),
        datagram: &[u8],
    ) {
        match (header.0.segment.syn, header.0.segment.ack) {
            (true, None) => self.on_syn(now, arrival, header, datagram),
            (true, Some(_)) => {
                if let Some(Owner::Member(id, index)) = self.owners.get(&header.0.encap.cid)
                    && let Some(session) = self.sessions.get_mut(id)
                {
                    session.on_syn_ack(now, *index, arrival, header, datagram);
                }
            }
            (false, _) => self.on_third(now, arrival, header, datagram),
        }
    }

    fn on_syn(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        (header, header_len): (&Header, usize),
        datagram: &[u8],
    ) {
        let Self {
            listener, closing, owners, owners_by_syn, receivers, incoming, config, rng, ..
        } = self;
        let Some(listener) = listener else { return };
        // A short SYN would make the answer an amplification.
        if datagram.len() < SYN_LEN {
            return;
        }
        let Some(door) = listener.door(arrival, datagram) else { return };
        let Some(hello) = parse_hello(header, header_len, datagram) else { return };
        if !hello.descriptor.features.contains(Features::XM) {
            return;
        }
        if let Some(id) = owners_by_syn.get(&hello.tag()) {
            if let Some(receiver) = receivers.get_mut(id) {
                receiver.conn.demand_ack(); // as for a repeated third message
            }
            return;
        }
        let crowded = (incoming.len() >= config.backlog).then_some(CROWDED);
        // Who was answered already gets the same answer, and is told when it has proven itself.
        if let Some(why) = closing.as_deref().or(crowded)
            && !listener.has_answered(&hello)
        {
            listener.refuse(now, arrival, (hello.cid, why), datagram, door);
            return;
        }
        let taken = |id| owners.contains_key(&id);
        let local = Local { port: config.port, edge: config.recv_buffer as u64, taken: &taken };
        listener.on_syn(now, arrival, (&hello, datagram, door), &local, rng);
    }

    fn on_third(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        header: (&Header, usize),
        datagram: &[u8],
    ) {
        if let Some(Owner::Receiver(id)) = self.owners.get(&header.0.encap.cid) {
            // A repeated third message: our first sealed datagram got lost.
            if let Some(receiver) = self.receivers.get_mut(id)
                && receiver.conn.names().peer == arrival.from
            {
                receiver.conn.demand_ack();
            }
            return;
        }
        if self.incoming.len() >= self.config.backlog {
            return; // it repeats the message with its next flight
        }
        let Some(listener) = &mut self.listener else { return };
        if let Some(proven) = listener.on_third(now, arrival, header, datagram) {
            self.establish(now, proven);
        }
    }

    fn establish(&mut self, now: Instant, proven: Proven) {
        let Some(listener) = &mut self.listener else { return };
        let Proven { names, descriptor, keys, pass, rtt } = proven;
        let admitted = listener.admit(&pass);
        if admitted.is_err() {
            listener.tell(Stranger::Key { from: names.peer, key: pass.key() });
        }
        let id = ReceiverId(self.next_id);
        self.next_id += 1;
        self.owners.insert(names.local_cid, Owner::Receiver(id));
        self.owners_by_syn.insert(*pass.syn(), id);
        let capacity = (self.config.recv_buffer, self.config.recv_buffer_max);
        let algorithm = crate::config::Algorithm::default();
        let mut conn = Conn::accept(names, keys, algorithm, self.config.idle_timeout, now);
        if let Some(rtt) = rtt {
            conn.path_mut().rtt.sample(rtt);
        }
        let mut receiver = Receiving::new(conn, &descriptor, pass, capacity);
        if let Err(why) = admitted {
            // It is told so, sealed, and nothing else is done for it.
            receiver.turn_away(&why);
            self.receivers.insert(id, receiver);
            return;
        }
        // Only a proven sender makes us join anything.
        if let Some(group) = &receiver.group {
            self.groups.add(group.cid(), id);
        }
        self.joins.extend(groups::join(id, &mut receiver));
        self.receivers.insert(id, receiver);
        self.share_credit();
        self.incoming.push_back(id);
        self.incoming_changed = true;
    }

    fn on_reply(&mut self, now: Instant, arrival: &Arrival, reply: &Reply<'_>, bytes: &[u8]) {
        if reply.said == Said::Unknown {
            return self.on_unknown(now, arrival, reply.cid, bytes);
        }
        if let Some(Owner::Member(id, index)) = self.owners.get(&reply.cid)
            && let Some(session) = self.sessions.get_mut(id)
        {
            session.on_reply(now, *index, arrival.from, (reply, bytes));
        }
    }

    /// A receiver says that it does not know this connection id of its own any more.
    fn on_unknown(&mut self, now: Instant, arrival: &Arrival, cid: u64, bytes: &[u8]) {
        for session in self.sessions.values_mut() {
            session.on_unknown(now, arrival.from, (cid, bytes));
        }
    }
}
