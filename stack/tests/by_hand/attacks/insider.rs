//! A receiver written by hand, from the wire's and the seal's public parts: a member that holds the keys of a
//! session and of its group, and does with them what it likes. It answers, and acknowledges all that it gets.

use super::{Attacker, Sort, addr, by_secret, net};
use crate::hand::{App, DELAY, Net, Packet};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use tcpxm::config::SessionConfig;
use tcpxm::seal::exchange::Message;
use tcpxm::seal::{Credentials, KeyChain, Keys, MAX_MESSAGE, Responder, SealKey, Suite};
use tcpxm::trust::{NoiseKey, SenderTrust};
use tcpxm::wire::{
    Ack, Descriptor, Encap, GroupStatus, Header, Kind, Options, Parsed, RangeList, Record, Segment,
    Seq, SpaceAck, TAG_LEN, Tlv, TlvWriter, offset_high, offset_of, split,
};

const CID: u64 = 0x1234_5678_9abc_def0;
const ISS: Seq = Seq(77);

/// A session of this many bytes with three receivers: the last node is a member that keeps all keys that it is
/// told, and everything that comes to the group.
pub(super) fn with_insider(config: SessionConfig, len: u64) -> (Net, App, Rc<RefCell<Insider>>) {
    let trust = by_secret("s");
    let attacker = Attacker::default();
    let insider = Rc::new(RefCell::new(Insider::new(addr(3), &trust.0)));
    let (plan, inside) = (attacker.clone(), insider.clone());
    let path = move |_, n, packet: Packet| {
        if n == 3 || n == 1 && Sort::of(&packet) == Sort::Group {
            for reply in inside.borrow_mut().take(&packet) {
                plan.send(0, DELAY, reply);
            }
        }
        if n == 3 { Vec::new() } else { vec![(DELAY, packet)] }
    };
    let mut net = net(3, &trust.1, Box::new(path));
    net.nodes[3].dead = true;
    attacker.enter(&mut net);
    let app = App::with(&mut net, config, len, trust.0.clone());
    (net, app, insider)
}

/// A key of the group, by its id.
type GroupKey = (u8, [u8; 32]);

pub(super) struct Insider {
    addr: SocketAddr,
    credentials: Credentials,
    responder: Option<(Responder, Vec<u8>)>,
    keys: Option<Keys>,
    peer_cid: u64,
    irs: Seq,
    pn: u64,
    /// The control stream, as far as it has come, and what of it is read.
    records: Vec<u8>,
    read: usize,
    group_keys: Vec<GroupKey>,
    heard: Vec<Packet>,
}

impl Insider {
    pub(super) fn new(addr: SocketAddr, trust: &SenderTrust) -> Self {
        let SenderTrust::Secret(secret) = trust else { panic!("it comes in by a secret") };
        Self {
            addr,
            credentials: Credentials::Secret(secret.clone(), NoiseKey::drawn(&[7; 32])),
            responder: None,
            keys: None,
            peer_cid: 0,
            irs: Seq(0),
            pn: 0,
            records: Vec::new(),
            read: 0,
            group_keys: Vec::new(),
            heard: Vec::new(),
        }
    }

    /// Takes a datagram, its own or one to the group; what it answers.
    pub(super) fn take(&mut self, packet: &Packet) -> Vec<Packet> {
        let (header, head) = Header::parse(&packet.bytes).unwrap();
        match Sort::of(packet) {
            Sort::Syn => {
                let answer = self.answer(&header, head, &packet.bytes);
                vec![self.packet(answer)]
            }
            Sort::Third => {
                let Some((responder, _)) = &mut self.responder else { return Vec::new() };
                let (prefix, message) = message_of(&packet.bytes, head);
                if self.keys.is_none() {
                    self.keys = Some(responder.third(prefix, message).unwrap().0);
                }
                vec![self.report(None, &[])]
            }
            Sort::Group => {
                // What goes to the group is seen at one of its members, and here it counts once.
                if !packet.to.ip().is_multicast()
                    || self.heard.last().is_none_or(|l| l.bytes != packet.bytes)
                {
                    self.heard.push(packet.clone());
                }
                Vec::new()
            }
            Sort::Data | Sort::Control => self.sealed(&header, head, packet.bytes.clone()),
            Sort::SynAck | Sort::Reply => Vec::new(),
        }
    }

    fn packet(&self, bytes: Vec<u8>) -> Packet {
        Packet { to: addr(0), from: self.addr, bytes }
    }

    /// The SYN-ACK: always the same.
    fn answer(&mut self, header: &Header, head: usize, syn: &[u8]) -> Vec<u8> {
        if let Some((_, answer)) = &self.responder {
            return answer.clone();
        }
        (self.peer_cid, self.irs) = (header.encap.cid, header.segment.seq);
        let len = self.credentials.message_len(Message::Second);
        let segment = Segment {
            ack: Some(Seq::of_offset(self.irs, 0)),
            seq: ISS,
            options: Options::default(),
            ..header.segment
        };
        let header = Header { encap: Encap { cid: self.peer_cid, ..header.encap }, segment };
        let nothing = [0; MAX_MESSAGE];
        let tlvs = [
            Tlv::Cid(CID),
            Tlv::Descriptor(descriptor_of(syn, head)),
            Tlv::Ack(self.everything(None)),
            Tlv::Handshake(&nothing[..len]),
        ];
        let mut bytes = datagram(&header, &tlvs, &[]);
        let at = bytes.len() - TAG_LEN - len;
        let mut message = [0; MAX_MESSAGE];
        let first = message_of(syn, head);
        let made = Responder::answer(&self.credentials, [9; 32], first, &bytes[..at], &mut message);
        let (responder, _) = made.unwrap();
        bytes[at..at + len].copy_from_slice(&message[..len]);
        self.responder = Some((responder, bytes.clone()));
        bytes
    }

    fn everything<'a>(&self, unicast: Option<SpaceAck<'a>>) -> Ack<'a> {
        Ack {
            data_next: 0,
            data_edge: 1 << 40,
            control_next: self.records.len() as u64,
            control_edge: 1 << 30,
            group_status: GroupStatus::Joining,
            unicast,
            group: None,
        }
    }

    /// Takes a sealed datagram; all that want it are acknowledged.
    fn sealed(&mut self, header: &Header, head: usize, mut bytes: Vec<u8>) -> Vec<Packet> {
        let Some(keys) = &mut self.keys else { return Vec::new() };
        // So few are sent that their numbers are short.
        let pn = u64::from(header.encap.pn);
        if keys.rx().open(pn, &mut bytes, head).is_err() {
            return Vec::new();
        }
        let payload = &bytes[head..bytes.len() - TAG_LEN];
        let (tlvs, body) = if header.encap.tlvs {
            let (tlvs, body) = split(payload).unwrap();
            (Some(tlvs), body)
        } else {
            (None, payload)
        };
        let ping = tlvs.is_some_and(|mut tlvs| tlvs.any(|tlv| tlv == Ok(Tlv::Ping)));
        if header.encap.kind == Kind::Control {
            let offset = offset_of(header.encap.offset_high, header.segment.seq, self.irs);
            if offset == self.records.len() as u64 {
                self.records.extend(body);
            }
            self.read_records();
        }
        if body.is_empty() && !ping && !header.segment.fin {
            return Vec::new();
        }
        vec![self.report(Some(pn), &[])]
    }

    fn read_records(&mut self) {
        loop {
            let consumed = match Record::parse(&self.records[self.read..]).unwrap() {
                Parsed::Incomplete => return,
                Parsed::Unknown { consumed } => consumed,
                Parsed::Record { record, consumed } => {
                    if let Record::GroupKey { id, key, .. } = record {
                        self.group_keys.push((id, key));
                    }
                    consumed
                }
            };
            self.read += consumed;
        }
    }

    /// A datagram of control: it acknowledges everything up to this packet.
    fn report(&mut self, pn: Option<u64>, body: &[u8]) -> Packet {
        let ranges = pn.map(|pn| [(0, pn)]);
        let unicast = ranges.as_ref().map(|ranges| SpaceAck {
            largest: ranges[0].1,
            delay_us: 0,
            ce: 0,
            ranges: RangeList::Listed(ranges),
        });
        let header = Header {
            encap: Encap {
                kind: Kind::Control,
                tlvs: true,
                repair: false,
                key_id: 0,
                offset_high: 0,
                cid: self.peer_cid,
                pn: self.pn as u32,
            },
            segment: Segment {
                src_port: 8737,
                dst_port: 8737,
                seq: Seq::of_offset(ISS, 0),
                ack: Some(Seq::of_offset(self.irs, 0)),
                window: u16::MAX,
                syn: false,
                fin: false,
                rst: false,
                psh: false,
                options: Options::default(),
            },
        };
        let mut bytes = datagram(&header, &[Tlv::Ack(self.everything(unicast))], body);
        let pn = self.pn;
        self.pn += 1;
        let tx: &mut KeyChain = self.keys.as_mut().unwrap().tx();
        tx.seal(pn, &mut bytes, header.len());
        self.packet(bytes)
    }

    // What it can do with the group's keys.

    pub(super) fn heard(&self) -> usize {
        self.heard.len()
    }

    pub(super) fn forget_heard(&mut self) {
        self.heard.clear();
    }

    /// How many of the datagrams that it heard some key opens that it was told.
    pub(super) fn opened(&self) -> usize {
        self.heard.iter().filter(|packet| self.opens(packet)).count()
    }

    /// Whether it can open all that it heard.
    pub(super) fn opens_all(&self) -> bool {
        self.opened() == self.heard()
    }

    fn opens(&self, packet: &Packet) -> bool {
        let (header, head) = Header::parse(&packet.bytes).unwrap();
        self.group_keys.iter().any(|(_, key)| {
            let key = SealKey::new(Suite::XxPsk0, key);
            let pn = u64::from(header.encap.pn);
            key.open(pn, &mut packet.bytes.clone(), head).is_ok()
        })
    }

    /// A datagram to the group as its sender would send it, by the newest key that it was told: so many bytes
    /// of the stream further than the last that was heard, so many numbers later.
    pub(super) fn forge(&self, bytes_on: u64, numbers_on: u64, body: &[u8]) -> Option<Packet> {
        let last = self.heard.last()?;
        let (mut header, _) = Header::parse(&last.bytes).unwrap();
        let (id, key) = self.group_keys.last()?;
        let offset = offset_of(header.encap.offset_high, header.segment.seq, self.irs) + bytes_on;
        let pn = u64::from(header.encap.pn) + numbers_on;
        header.encap = Encap {
            key_id: *id,
            pn: pn as u32,
            offset_high: offset_high(offset),
            tlvs: body.is_empty(),
            ..header.encap
        };
        header.segment.seq = Seq::of_offset(self.irs, offset);
        let tlvs: &[Tlv<'_>] = if body.is_empty() { &[Tlv::Ping] } else { &[] };
        let mut bytes = datagram(&header, tlvs, body);
        SealKey::new(Suite::XxPsk0, key).seal(pn, &mut bytes, header.len());
        Some(Packet { bytes, ..last.clone() })
    }
}

/// A datagram before it is sealed.
fn datagram(header: &Header, tlvs: &[Tlv<'_>], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 2000];
    header.emit(&mut bytes);
    let mut at = header.len();
    if !tlvs.is_empty() {
        let mut writer = TlvWriter::new(&mut bytes[at..]);
        assert!(tlvs.iter().all(|tlv| writer.push(tlv)));
        at += writer.finish();
    }
    bytes[at..at + body.len()].copy_from_slice(body);
    bytes.truncate(at + body.len() + TAG_LEN);
    bytes
}

fn descriptor_of(syn: &[u8], head: usize) -> Descriptor {
    let (mut tlvs, _) = split(&syn[head..]).unwrap();
    let found = tlvs.find_map(|tlv| match tlv {
        Ok(Tlv::Descriptor(descriptor)) => Some(descriptor),
        _ => None,
    });
    found.unwrap()
}

/// A datagram up to its handshake message, and that.
fn message_of(bytes: &[u8], head: usize) -> (&[u8], &[u8]) {
    let (mut tlvs, _) = split(&bytes[head..]).unwrap();
    let found = tlvs.find_map(|tlv| match tlv {
        Ok(Tlv::Handshake(message)) => Some(message),
        _ => None,
    });
    let message = found.unwrap();
    let at = message.as_ptr() as usize - bytes.as_ptr() as usize;
    (&bytes[..at], message)
}
