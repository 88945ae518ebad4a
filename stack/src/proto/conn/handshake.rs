//! The three messages that open an association: SYN, SYN-ACK, ACK (RFC 9293, 3.5), each with one
//! message of the key exchange in its payload, so that keys cost no round trip.
//!
//! The SYN is padded to 1,200 bytes: it proves that datagrams of that length pass, and the answer,
//! which must not be longer, amplifies nothing (RFC 9000, 8.1, asks for the same). The responder
//! keeps the bytes of its answer and repeats them for a repeated SYN; it has no timer.

use super::Names;
use super::emit::{WINDOW_SHIFT, assemble_bare};
use crate::proto::send::space::INITIAL_RTO;
use crate::proto::time::Instant;
use crate::seal::{Initiator, MAX_MESSAGE, Responder};
use crate::wire::{
    Ack, Descriptor, Encap, GroupStatus, Header, Kind, OVERHEAD, Options, SYN_LEN, Segment, Seq,
    TAG_LEN, Tlv, split,
};
use core::time::Duration;

/// A SYN is repeated after [`INITIAL_RTO`], then each time after twice as long, up to this.
const SYN_INTERVAL_MAX: Duration = Duration::from_secs(2);
/// Room for either answer; what remains unused is cut off.
const ROOM: usize = SYN_LEN + 64;

/// The third handshake message, and its length.
pub(crate) type Third = ([u8; MAX_MESSAGE], usize);

/// What a SYN or a SYN-ACK says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hello<'a> {
    /// The key exchange's message.
    pub(crate) message: &'a [u8],
    /// The id that the other side must put into its datagrams.
    pub(crate) cid: u64,
    pub(crate) descriptor: Descriptor,
    pub(crate) seq: Seq,
    /// The receiver's first flow-control edge (SYN-ACK only).
    pub(crate) edge: Option<u64>,
}

/// Reads a SYN or SYN-ACK. `None`: not one, or malformed.
pub(crate) fn parse_hello<'a>(header: &Header, payload: &'a [u8]) -> Option<Hello<'a>> {
    if !header.encap.tlvs {
        return None;
    }
    let (mut message, mut cid, mut descriptor, mut edge) = (None, None, None, None);
    for tlv in split(payload).ok()?.0 {
        match tlv.ok()? {
            Tlv::Handshake(bytes) => message = Some(bytes),
            Tlv::Cid(id) => cid = Some(id),
            Tlv::Descriptor(d) => descriptor = Some(d),
            Tlv::Ack(ack) => edge = Some(ack.data_edge),
            _ => {}
        }
    }
    Some(Hello {
        message: message?,
        cid: cid?,
        descriptor: descriptor?,
        seq: header.segment.seq,
        edge,
    })
}

/// Reads the third message.
pub(crate) fn parse_third<'a>(header: &Header, payload: &'a [u8]) -> Option<&'a [u8]> {
    if !header.encap.tlvs {
        return None;
    }
    split(payload).ok()?.0.flatten().find_map(|tlv| match tlv {
        Tlv::Handshake(bytes) => Some(bytes),
        _ => None,
    })
}

fn hello_header(names: &Names, ack: Option<Seq>, descriptor: &Descriptor) -> Header {
    Header {
        encap: Encap {
            kind: Kind::Handshake,
            tlvs: true,
            repair: false,
            key_id: 0,
            offset_high: 0,
            cid: names.remote_cid,
            pn: 0,
        },
        segment: Segment {
            src_port: names.port,
            dst_port: names.peer.port(),
            seq: names.iss,
            ack,
            window: u16::MAX,
            syn: true,
            fin: false,
            rst: false,
            psh: false,
            options: Options {
                mss: Some(descriptor.segment_size),
                window_scale: Some(WINDOW_SHIFT),
                sack_permitted: true,
                // TCP-XM slide 13: the group in every SYN, echoed by who can join one.
                group: descriptor.group.map(|g| g.addr.ip()),
                heard: None,
            },
        },
    }
}

fn edge_report(edge: u64) -> Ack<'static> {
    Ack {
        data_next: 0,
        data_edge: edge,
        control_next: 0,
        control_edge: 0,
        group_status: GroupStatus::None,
        unicast: None,
        group: None,
    }
}

/// The bytes of a SYN-ACK: never longer than the SYN it answers.
pub(crate) fn syn_ack(
    names: &Names,
    descriptor: &Descriptor,
    responder: &Responder,
    edge: u64,
) -> Vec<u8> {
    let header = hello_header(names, Some(Seq::of_offset(names.irs, 0)), descriptor);
    let mut message = [0; MAX_MESSAGE];
    let n = responder.second(&mut message);
    let tlvs = [
        Tlv::Handshake(&message[..n]),
        Tlv::Cid(names.local_cid),
        Tlv::Descriptor(*descriptor),
        Tlv::Ack(edge_report(edge)),
    ];
    let mut buf = vec![0; ROOM];
    let len = assemble_bare(&mut buf, header, &tlvs, None);
    debug_assert!(len <= SYN_LEN);
    buf.truncate(len);
    buf
}

/// The initiator's side while it waits for the SYN-ACK, and until that is proven.
#[derive(Debug)]
pub(crate) struct Opening {
    /// As it was before any answer: another one may have to be taken.
    exchange: Initiator,
    syn: Vec<u8>,
    interval: Duration,
    next_at: Instant,
    sent_at: Option<Instant>,
    repeated: bool,
    /// It was answered, and the SYN is due all the same.
    again: bool,
}

impl Opening {
    pub(crate) fn new(
        now: Instant,
        names: &Names,
        descriptor: &Descriptor,
        random: [u8; 32],
    ) -> Self {
        let exchange = Initiator::new(random);
        Self {
            syn: syn(names, descriptor, &exchange),
            exchange,
            interval: INITIAL_RTO,
            next_at: now,
            sent_at: None,
            repeated: false,
            again: false,
        }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.next_at
    }

    /// The SYN, if it is due.
    pub(crate) fn emit(&mut self, now: Instant, buf: &mut [u8]) -> Option<usize> {
        if now < self.next_at {
            return None;
        }
        if self.sent_at.is_some() {
            self.repeated = true;
            self.interval = (self.interval * 2).min(SYN_INTERVAL_MAX);
        }
        self.sent_at.get_or_insert(now);
        self.next_at = now + self.interval;
        buf[..self.syn.len()].copy_from_slice(&self.syn);
        Some(self.syn.len())
    }

    /// The third message stays unanswered: the responder may have forgotten what it is about.
    pub(crate) fn begin_again(&mut self) {
        self.again = true;
    }

    /// The SYN, if it is to begin again.
    pub(crate) fn emit_again(&mut self, buf: &mut [u8]) -> Option<usize> {
        if !core::mem::take(&mut self.again) {
            return None;
        }
        self.repeated = true;
        buf[..self.syn.len()].copy_from_slice(&self.syn);
        Some(self.syn.len())
    }

    /// Takes message two: the keys, message three, and a round trip unless the SYN was repeated
    /// (Karn's rule, RFC 6298, 3). `None`: not an answer to our SYN.
    pub(crate) fn on_answer(&self, now: Instant, hello: &Hello<'_>) -> Option<Opened> {
        let mut exchange = self.exchange.clone();
        exchange.second(hello.message).ok()?;
        let mut message = [0; MAX_MESSAGE];
        let len = exchange.third(&mut message)?;
        let keys = exchange.keys()?;
        let rtt = self.sent_at.filter(|_| !self.repeated).map(|at| now.since(at));
        Some(Opened { keys, third: (message, len), rtt })
    }
}

/// What a good answer gives the initiator.
pub(crate) struct Opened {
    pub(crate) keys: crate::seal::Keys,
    pub(crate) third: Third,
    pub(crate) rtt: Option<Duration>,
}

fn syn(names: &Names, descriptor: &Descriptor, exchange: &Initiator) -> Vec<u8> {
    let header = hello_header(names, None, descriptor);
    let mut message = [0; MAX_MESSAGE];
    let n = exchange.first(&mut message);
    let mut tlvs = vec![
        Tlv::Handshake(&message[..n]),
        Tlv::Cid(names.local_cid),
        Tlv::Descriptor(*descriptor),
    ];
    let mut buf = vec![0; ROOM];
    let bare = assemble_bare(&mut buf, header, &tlvs, None);
    // Three bytes of type and length go with the padding.
    tlvs.push(Tlv::Pad(SYN_LEN.saturating_sub(bare + 3)));
    let len = assemble_bare(&mut buf, header, &tlvs, None);
    buf.truncate(len);
    buf
}

/// The names that the initiator's conn starts with: the peer's half is not known yet.
pub(crate) fn blank_names(peer: std::net::SocketAddr, port: u16, cid: u64, iss: Seq) -> Names {
    Names { peer, local: None, ifindex: 0, port, local_cid: cid, remote_cid: 0, iss, irs: Seq(0) }
}

const _: () = assert!(OVERHEAD + TAG_LEN < SYN_LEN);

#[cfg(test)]
mod tests {
    use super::{Opening, blank_names, parse_hello, parse_third, syn_ack};
    use crate::config::Group;
    use crate::proto::time::Instant;
    use crate::seal::Responder;
    use crate::wire::{Descriptor, Features, Header, Kind, SYN_LEN, Seq, TAG_LEN};
    use core::time::Duration;

    fn descriptor(group: &str, source: Option<&str>) -> Descriptor {
        Descriptor {
            features: Features::XM.with(Features::GROUPS),
            first_offset: 0,
            segment_size: 1400,
            group_cid: 9,
            group: Some(Group {
                addr: group.parse().unwrap(),
                source: source.map(|s| s.parse().unwrap()),
            }),
        }
    }

    #[test]
    fn a_syn_is_padded_and_its_answer_is_not_longer() {
        for d in [
            descriptor("239.255.1.2:8737", None),
            descriptor("[ff35::1:2]:8737", Some("2001:db8::1")),
        ] {
            let names = blank_names("[::1]:8737".parse().unwrap(), 4000, 1, Seq(u32::MAX));
            let mut opening = Opening::new(Instant::ZERO, &names, &d, [1; 32]);
            let mut buf = [0; 2000];
            let len = opening.emit(Instant::ZERO, &mut buf).unwrap();
            assert_eq!(len, SYN_LEN);
            let (header, at) = Header::parse(&buf[..len]).unwrap();
            assert!(header.segment.syn && header.encap.kind == Kind::Handshake);
            let hello = parse_hello(&header, &buf[at..len - TAG_LEN]).unwrap();
            assert_eq!((hello.cid, hello.descriptor), (1, d));
            let responder = Responder::new([2; 32], hello.message).unwrap();
            let answer = syn_ack(&names, &d, &responder, 77);
            assert!(answer.len() <= len);
            let (header, at) = Header::parse(&answer).unwrap();
            let hello = parse_hello(&header, &answer[at..answer.len() - TAG_LEN]).unwrap();
            assert_eq!(hello.edge, Some(77));
            let rtt = Duration::from_millis(3);
            let opened = opening.on_answer(Instant::ZERO + rtt, &hello).unwrap();
            assert_eq!(opened.rtt, Some(rtt));
            assert!(responder.third(&opened.third.0[..opened.third.1]).is_ok());
            assert!(parse_third(&header, b"").is_none());
        }
    }

    #[test]
    fn a_repeated_syn_gives_no_round_trip_and_backs_off() {
        let d = descriptor("239.255.1.2:8737", None);
        let names = blank_names("127.0.0.1:1".parse().unwrap(), 4000, 1, Seq(5));
        let mut opening = Opening::new(Instant::ZERO, &names, &d, [1; 32]);
        let mut buf = [0; 2000];
        let mut last = Instant::ZERO;
        let mut gaps = Vec::new();
        for _ in 0..6 {
            let at = opening.deadline();
            gaps.push(at.since(last));
            last = at;
            assert!(opening.emit(at, &mut buf).is_some());
            assert!(opening.emit(at, &mut buf).is_none());
        }
        assert_eq!(gaps[2], gaps[1] * 2);
        assert_eq!(gaps[5], super::SYN_INTERVAL_MAX);
    }
}
