//! A datagram of an association, opened and taken apart.

use super::ack::Urgency;
use super::handshake::{NoAnswer, RoundTrip, parse_hello};
use super::life::{Taken, Which};
use super::migration::NetPath;
use super::state::Input;
use super::{Conn, Names};
use crate::proto::event::Arrival;
use crate::proto::recv::pns::Recorded;
use crate::proto::send::space::News;
use crate::proto::time::Instant;
use crate::seal::Suite;
use crate::trust::PublicKey;
use crate::wire::{
    Ack, Features, Header, Kind, RangeList, Segment, Seq, TAG_LEN, Tlv, offset_of, split,
};
use std::net::SocketAddr;

/// One opened datagram. Everything borrows from the receive buffer.
#[derive(Debug)]
pub(crate) struct Incoming<'a> {
    pub(crate) header: Header,
    pub(crate) pn: u64,
    pub(crate) ack: Option<Ack<'a>>,
    pub(crate) ping: bool,
    pub(crate) abort: Option<&'a str>,
    /// The newest packet number of the group, as its sender says.
    pub(crate) newest: Option<u64>,
    /// It is to be answered where it came from.
    challenge: Option<u64>,
    /// It answers a challenge of ours.
    response: Option<u64>,
    /// Stream offset of the first byte of `body`, in the conversation the kind names.
    pub(crate) offset: u64,
    pub(crate) body: &'a [u8],
}

impl Incoming<'_> {
    /// Whether the peer wants it acknowledged.
    pub(crate) fn eliciting(&self) -> bool {
        !self.body.is_empty() || self.ping || self.header.segment.fin
    }
}

/// How urgent a packet is that is nothing but data.
pub(crate) fn urgency(recorded: Recorded) -> Urgency {
    match recorded {
        Recorded { marked: true, .. } => Urgency::Mark,
        Recorded { gap: true, .. } => Urgency::Gap,
        Recorded { .. } => Urgency::Usual,
    }
}

/// Takes the plaintext of a datagram apart. `None`: malformed, to be dropped.
pub(crate) fn dissect(
    header: Header,
    header_len: usize,
    pn: u64,
    irs: Seq,
    datagram: &[u8],
) -> Option<Incoming<'_>> {
    let payload = &datagram[header_len..datagram.len() - TAG_LEN];
    let offset = offset_of(header.encap.offset_high, header.segment.seq, irs);
    let mut incoming = Incoming {
        header,
        pn,
        ack: None,
        ping: false,
        abort: None,
        newest: None,
        challenge: None,
        response: None,
        offset,
        body: payload,
    };
    if header.encap.tlvs {
        let mut map = None;
        let (tlvs, body) = split(payload).ok()?;
        for tlv in tlvs {
            match tlv.ok()? {
                Tlv::Ack(ack) => incoming.ack = Some(ack),
                Tlv::Ping => incoming.ping = true,
                Tlv::Abort(why) => incoming.abort = Some(why),
                Tlv::Map(bits) => map = Some(bits),
                Tlv::Newest(pn) => incoming.newest = Some(pn),
                Tlv::PathChallenge(token) => incoming.challenge = Some(token),
                Tlv::PathResponse(token) => incoming.response = Some(token),
                _ => {}
            }
        }
        // The map says what the ranges beside it have no room for.
        if let (Some(map), Some(space)) =
            (map, incoming.ack.as_mut().and_then(|a| a.group.as_mut()))
            && map.range_below(None).is_some_and(|(_, high)| high == space.largest)
        {
            space.ranges = RangeList::Map(map);
        }
        incoming.body = body;
    }
    Some(incoming)
}

/// What a SYN-ACK came to.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) features: Features,
    /// Its first flow-control edge.
    pub(crate) edge: u64,
    pub(crate) kind: AnswerKind,
    /// The key that it has shown.
    pub(crate) key: Option<PublicKey>,
}

/// Which answer to our SYN it is.
#[derive(Debug)]
pub(crate) enum AnswerKind {
    /// The first, and the round trip that it shows.
    First(RoundTrip),
    /// The peer had forgotten the answer before: what was sent to that is lost.
    Again(News),
}

impl Conn {
    /// Takes a SYN-ACK; `None` if it is none to our SYN, or says nothing new.
    pub(crate) fn on_syn_ack(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        (header, header_len): (&Header, usize),
        datagram: &[u8],
    ) -> Result<Answer, NoAnswer> {
        let hello = parse_hello(header, header_len, datagram).ok_or(NoAnswer::Unrelated)?;
        // RFC 9293, 3.10.7.3: in SYN-SENT only the acknowledgement of our very SYN counts.
        let ours = Seq::of_offset(self.names.iss, 0);
        if header.segment.ack != Some(ours) || arrival.from != self.names.peer {
            return Err(NoAnswer::Unrelated);
        }
        if !self.life.is_opening() && hello.cid == self.names.remote_cid {
            self.life.repeat_third(); // the peer repeats its answer: the third message was lost
            return Err(NoAnswer::Unrelated);
        }
        let names = Names {
            remote_cid: hello.cid,
            irs: hello.seq,
            local: arrival.to,
            ifindex: arrival.ifindex,
            ..self.names.clone()
        };
        let Taken { which, key } = self.life.on_answer(now, &names, &hello)?;
        let (features, edge) = (hello.descriptor.features, hello.edge.unwrap_or(0));
        self.names = names;
        self.last_heard = now;
        let kind = match which {
            Which::First(rtt) => {
                self.step(Input::SynAck);
                match rtt {
                    RoundTrip::Sample(rtt) => self.tx.path.rtt.sample(rtt),
                    RoundTrip::AtLeast(rtt) => self.tx.path.rtt.suppose(rtt),
                }
                AnswerKind::First(rtt)
            }
            Which::Another => AnswerKind::Again(self.tx.begin_again(now)),
        };
        Ok(Answer { features, edge, kind, key })
    }

    /// Opens a unicast datagram addressed to this association. `None`: a duplicate, a forgery, or
    /// malformed.
    pub(crate) fn open<'a>(
        &mut self,
        from: SocketAddr,
        (header, header_len): (Header, usize),
        datagram: &'a mut [u8],
    ) -> Option<Incoming<'a>> {
        if self.suite() == Some(Suite::Null) && from != self.names.peer {
            return None; // anybody could have made it
        }
        let pn = crate::wire::expand_pn(header.encap.pn, self.rx.largest().unwrap_or(0));
        if !self.rx.is_new(pn) {
            return None;
        }
        self.life.keys_mut()?.rx().open(pn, datagram, header_len).ok()?;
        dissect(header, header_len, pn, self.names.irs, datagram)
    }

    /// An opened datagram, not booked yet, came by this way: gives another one to the peer than the usual, if that is
    /// proven now. A challenge of ours, if one is needed, is drawn from `token`.
    pub(crate) fn came_by(
        &mut self,
        now: Instant,
        way: NetPath,
        incoming: &Incoming<'_>,
        token: impl FnOnce() -> u64,
    ) -> Option<NetPath> {
        let is_usual = way.peer == self.names.peer;
        if self.suite() == Some(Suite::Null) {
            return None; // everybody could answer
        }
        if let Some(token) = incoming.challenge {
            self.migration.challenged(way, token);
        }
        if let Some(way) = incoming.response.and_then(|token| self.migration.answered(token)) {
            return Some(way);
        }
        // What was overtaken shows where the peer was, not where it is (RFC 9000, 9.3).
        let is_newest = self.rx.largest().is_none_or(|largest| incoming.pn > largest);
        match (is_usual, is_newest) {
            (true, true) => self.migration.stays(),
            (false, true) => self.migration.came_by(now, way, token()),
            (_, false) => {}
        }
        None
    }

    /// Takes the bytes and the FIN of a control datagram; `false` if they could not be kept, and
    /// the datagram must not be acknowledged.
    pub(crate) fn accept_control(&mut self, incoming: &Incoming<'_>) -> bool {
        debug_assert_eq!(incoming.header.encap.kind, Kind::Control);
        if !self.control.accept(incoming.offset, incoming.body) {
            return false;
        }
        !incoming.header.segment.fin
            || self.control.set_end(incoming.offset + incoming.body.len() as u64)
    }

    /// Books a datagram that was taken: liveness, duplicate detection, the acknowledgement owed.
    pub(crate) fn book(&mut self, now: Instant, incoming: &Incoming<'_>, ce: bool) {
        self.heard(now);
        let eliciting = incoming.eliciting();
        let recorded = self.rx.record(now, incoming.pn, ce, eliciting);
        if eliciting {
            let Segment { fin, psh, .. } = incoming.header.segment;
            let pushed = psh && incoming.header.encap.kind == Kind::Data;
            let urgency =
                if incoming.ping || fin || pushed { Urgency::AtOnce } else { urgency(recorded) };
            self.acks.on_packet(now, urgency);
        }
    }

    /// A datagram of the peer's came through the group: it lives, though that proves no keys.
    pub(crate) fn on_group_packet(&mut self, now: Instant, recorded: Recorded) {
        self.lives(now);
        self.acks.on_packet(now, urgency(recorded));
    }

    /// Something authentic came from the peer.
    fn heard(&mut self, now: Instant) {
        self.last_heard = now;
        self.life.on_proof();
    }

    /// The peer ended the association at once.
    pub(crate) fn on_reset(&mut self) {
        self.end();
        self.abort_due = None;
    }
}

#[cfg(test)]
mod tests;
