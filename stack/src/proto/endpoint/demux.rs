//! Which association a datagram belongs to: by connection id, never by ports (they may be rewritten
//! on the way).

use super::listen::Local;
use super::{Endpoint, Owner};
use crate::proto::conn::Conn;
use crate::proto::conn::emit::assemble_bare;
use crate::proto::conn::handshake::parse_hello;
use crate::proto::event::{Action, Arrival, ReceiverId};
use crate::proto::recv::session::Receiving;
use crate::proto::time::Instant;
use crate::wire::{
    Descriptor, Encap, Features, Header, Kind, Options, SYN_LEN, Segment, Seq, TAG_LEN, Tlv, split,
};

/// Congestion experienced (RFC 3168, 5).
const CE: u8 = 0b11;

impl Endpoint {
    /// Takes one datagram.
    pub(super) fn dispatch(&mut self, now: Instant, arrival: &Arrival, datagram: &mut [u8]) {
        let Ok((header, header_len)) = Header::parse(datagram) else { return };
        let ce = arrival.ecn & CE == CE;
        match header.encap.kind {
            Kind::Handshake => self.on_handshake(now, arrival, &header, header_len, datagram),
            Kind::Data | Kind::Control => {
                self.on_unicast(now, arrival, header, header_len, datagram, ce);
            }
            Kind::Group => {
                let Some(list) = self.groups.get(&header.encap.cid) else { return };
                for id in list {
                    if let Some(receiver) = self.receivers.get_mut(id) {
                        receiver.on_group(now, header, header_len, datagram, ce);
                    }
                }
            }
            Kind::Refusal => self.on_refusal(&header, header_len, datagram),
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
        match self.owners.get(&header.encap.cid) {
            Some(Owner::Member(id, index)) => {
                let Some(session) = self.sessions.get_mut(id) else { return };
                session.on_unicast(now, *index, (arrival.from, ce), (header, header_len), datagram);
            }
            Some(Owner::Receiver(id)) => {
                let Some(receiver) = self.receivers.get_mut(id) else { return };
                if receiver.conn.names().peer != arrival.from {
                    return;
                }
                if let Some(incoming) = receiver.conn.open(header, header_len, datagram) {
                    receiver.on_datagram(now, &incoming, ce);
                }
            }
            None => {}
        }
    }

    fn on_handshake(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        header: &Header,
        header_len: usize,
        datagram: &[u8],
    ) {
        let payload = &datagram[header_len..datagram.len() - TAG_LEN];
        match (header.segment.syn, header.segment.ack) {
            (true, None) => self.on_syn(now, arrival, header, payload, datagram.len()),
            (true, Some(_)) => {
                if let Some(Owner::Member(id, index)) = self.owners.get(&header.encap.cid)
                    && let Some(session) = self.sessions.get_mut(id)
                {
                    session.on_syn_ack(now, *index, arrival, header, header_len, datagram);
                }
            }
            (false, _) => self.on_third(now, arrival, header, payload),
        }
    }

    fn on_syn(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        header: &Header,
        payload: &[u8],
        len: usize,
    ) {
        // A short SYN would make the answer an amplification.
        if !self.config.listen || len < SYN_LEN {
            return;
        }
        let Some(hello) = parse_hello(header, payload) else { return };
        if !hello.descriptor.features.contains(Features::XM) {
            return;
        }
        let known = |r: &&mut Receiving| {
            r.conn.names().remote_cid == hello.cid && r.conn.names().peer == arrival.from
        };
        if let Some(receiver) = self.receivers.values_mut().find(known) {
            receiver.conn.demand_ack(); // as for a repeated third message
            return;
        }
        if self.incoming.len() >= self.config.backlog {
            let bytes = refusal(
                hello.cid,
                self.config.port,
                arrival,
                "too many sessions wait to be accepted",
            );
            self.listener.refuse(arrival, bytes.into());
            return;
        }
        let local = Local { port: self.config.port, edge: self.config.recv_buffer as u64 };
        self.listener.on_syn(now, arrival, &hello, &local, &mut self.rng);
    }

    fn on_third(&mut self, now: Instant, arrival: &Arrival, header: &Header, payload: &[u8]) {
        if let Some(Owner::Receiver(id)) = self.owners.get(&header.encap.cid) {
            // A repeated third message: our first sealed datagram got lost.
            if let Some(receiver) = self.receivers.get_mut(id) {
                receiver.conn.demand_ack();
            }
            return;
        }
        if self.incoming.len() >= self.config.backlog {
            return; // it repeats the message with its next flight
        }
        let idle = self.config.idle_timeout;
        let proven = self.listener.on_third(now, arrival, header, payload, idle);
        if let Some((conn, descriptor)) = proven {
            self.establish(conn, &descriptor);
        }
    }

    fn establish(&mut self, conn: Conn, descriptor: &Descriptor) {
        let id = ReceiverId(self.next_id);
        self.next_id += 1;
        self.owners.insert(conn.names().local_cid, Owner::Receiver(id));
        let ifindex = conn.names().ifindex;
        let capacity = (self.config.recv_buffer, self.config.recv_buffer_max);
        let receiver = Receiving::new(conn, descriptor, capacity);
        // Only a proven sender makes us join anything.
        if let Some(group) = &receiver.group {
            self.groups.entry(group.cid).or_default().push(id);
            let (source, group) = (group.group.source, group.group.addr);
            self.joins.push_back(Action::Join { receiver: id, group, source, ifindex });
        }
        self.receivers.insert(id, receiver);
        self.share_credit();
        self.incoming.push_back(id);
        self.incoming_changed = true;
    }

    fn on_refusal(&mut self, header: &Header, header_len: usize, datagram: &[u8]) {
        let Some(Owner::Member(id, index)) = self.owners.get(&header.encap.cid) else { return };
        let Ok((tlvs, _)) = split(&datagram[header_len..datagram.len() - TAG_LEN]) else { return };
        let why = tlvs.flatten().find_map(|tlv| match tlv {
            Tlv::Abort(why) => Some(why),
            _ => None,
        });
        if let (Some(why), Some(session)) = (why, self.sessions.get_mut(id)) {
            session.on_refusal(*index, why);
        }
    }
}

/// An unsealed refusal: much shorter than the SYN it answers.
fn refusal(cid: u64, port: u16, arrival: &Arrival, why: &str) -> Vec<u8> {
    let header = Header {
        encap: Encap {
            kind: Kind::Refusal,
            tlvs: true,
            repair: false,
            key_id: 0,
            offset_high: 0,
            cid,
            pn: 0,
        },
        segment: Segment {
            src_port: port,
            dst_port: arrival.from.port(),
            seq: Seq(0),
            ack: None,
            window: 0,
            syn: false,
            fin: false,
            rst: true,
            psh: false,
            options: Options::default(),
        },
    };
    let mut buf = vec![0; SYN_LEN];
    let len = assemble_bare(&mut buf, header, &[Tlv::Abort(why)], None);
    buf.truncate(len);
    buf
}
