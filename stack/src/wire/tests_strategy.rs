//! Arbitrary values of every type on the wire, for the property tests.

use super::*;
use crate::config::Group;
use crate::stats::{Arrived, Counters};
use core::ops::Range;
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(crate) fn group_addr() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (224..240_u8, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| Ipv4Addr::new(a, b, c, d).into()),
        any::<[u8; 15]>().prop_map(|tail| {
            let mut octets = [0xff; 16];
            octets[1..].copy_from_slice(&tail);
            Ipv6Addr::from(octets).into()
        }),
    ]
}

fn group() -> impl Strategy<Value = Group> {
    (group_addr(), any::<u16>(), any::<Option<[u8; 16]>>()).prop_map(|(ip, port, source)| Group {
        addr: SocketAddr::new(ip, port),
        source: source.map(|s| match ip {
            IpAddr::V4(_) => Ipv4Addr::new(s[0], s[1], s[2], s[3]).into(),
            IpAddr::V6(_) => Ipv6Addr::from(s).into(),
        }),
    })
}

pub(crate) fn options() -> impl Strategy<Value = Options> {
    (
        any::<Option<u16>>(),
        proptest::option::of(0..=14_u8),
        any::<bool>(),
        proptest::option::of(group_addr()),
        proptest::option::of(0..=100_u8),
    )
        .prop_map(|(mss, window_scale, sack_permitted, group, heard)| Options {
            mss,
            window_scale,
            sack_permitted,
            group,
            heard,
        })
}

fn encap() -> impl Strategy<Value = Encap> {
    let kind = prop::sample::select(vec![Kind::Handshake, Kind::Data, Kind::Control, Kind::Group]);
    (kind, any::<(bool, bool, u8, u16, u64, u32)>()).prop_map(
        |(kind, (tlvs, repair, key_id, offset_high, cid, pn))| Encap {
            kind,
            tlvs,
            repair,
            key_id,
            offset_high,
            cid,
            pn,
        },
    )
}

fn segment() -> impl Strategy<Value = Segment> {
    (any::<(u16, u16, u32, Option<u32>, u16)>(), any::<(bool, bool, bool, bool)>(), options())
        .prop_map(|((src_port, dst_port, seq, ack, window), (syn, fin, rst, psh), options)| {
            Segment {
                src_port,
                dst_port,
                seq: Seq(seq),
                ack: ack.map(Seq),
                window,
                syn,
                fin,
                rst,
                psh,
                options,
            }
        })
}

pub(crate) fn header() -> impl Strategy<Value = Header> {
    (encap(), segment()).prop_map(|(encap, segment)| Header { encap, segment })
}

/// Ranges of any sizes, a short distance or a long one apart; newest first.
fn ranges(max: usize) -> impl Strategy<Value = Vec<(u64, u64)>> {
    let step = (any::<u64>(), 4..64_u32).prop_map(|(v, shift)| v >> shift);
    (0..=MAX_PN, vec((step.clone(), step), 1..=max)).prop_map(|(largest, steps)| {
        let mut out = Vec::new();
        let mut high = Some(largest);
        for (length, gap) in steps {
            let Some(h) = high else { break };
            let low = h.saturating_sub(length);
            out.push((low, h));
            high = low.checked_sub(2).and_then(|h| h.checked_sub(gap));
        }
        out
    })
}

/// What an ACK borrows its ranges from.
#[derive(Debug, Clone)]
pub(crate) struct OwnedAck {
    numbers: (u64, u64, u64, u64),
    status: GroupStatus,
    unicast: Option<OwnedSpace>,
    group: Option<OwnedSpace>,
}

#[derive(Debug, Clone)]
struct OwnedSpace {
    numbers: (u32, u32),
    ranges: Vec<(u64, u64)>,
}

impl OwnedSpace {
    fn borrow(&self) -> SpaceAck<'_> {
        let (delay_us, ce) = self.numbers;
        let ranges = RangeList::Listed(&self.ranges);
        SpaceAck { largest: self.ranges[0].1, delay_us, ce, ranges }
    }
}

impl OwnedAck {
    pub(crate) fn borrow(&self) -> Ack<'_> {
        let (data_next, data_edge, control_next, control_edge) = self.numbers;
        Ack {
            data_next,
            data_edge,
            control_next,
            control_edge,
            group_status: self.status,
            unicast: self.unicast.as_ref().map(OwnedSpace::borrow),
            group: self.group.as_ref().map(OwnedSpace::borrow),
        }
    }
}

/// With at most `max` ranges in each space.
pub(crate) fn ack(max: usize) -> impl Strategy<Value = OwnedAck> {
    let space = || {
        (any::<(u32, u32)>(), ranges(max))
            .prop_map(|(numbers, ranges)| OwnedSpace { numbers, ranges })
    };
    let status = prop::sample::select(vec![
        GroupStatus::None,
        GroupStatus::Joining,
        GroupStatus::Joined,
        GroupStatus::Cannot,
    ]);
    let spaces = (proptest::option::of(space()), proptest::option::of(space()));
    (any::<(u64, u64, u64, u64)>(), status, spaces).prop_map(
        |(numbers, status, (unicast, group))| OwnedAck { numbers, status, unicast, group },
    )
}

/// An address of a group's family.
fn sent_from(group: Group) -> IpAddr {
    match group.addr {
        SocketAddr::V4(_) => IpAddr::from([192, 0, 2, 7]),
        SocketAddr::V6(_) => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7]),
    }
}

pub(crate) fn descriptor() -> impl Strategy<Value = Descriptor> {
    let from = |group: Option<Group>, known: bool| group.filter(|_| known).map(sent_from);
    (any::<(u32, u16, u64, bool)>(), 0..=MAX_OFFSET, proptest::option::of(group())).prop_map(
        move |((features, segment_size, group_cid, known), first_offset, group)| Descriptor {
            features: Features(features),
            first_offset,
            segment_size,
            group_cid,
            group,
            group_from: from(group, known),
        },
    )
}

/// What a TLV borrows from.
#[derive(Debug, Clone)]
pub(crate) enum OwnedTlv {
    Pad(usize),
    Handshake(Vec<u8>),
    Cid(u64),
    Descriptor(Descriptor),
    Ack(OwnedAck),
    Ping,
    Abort(String),
    Map(u64, Vec<u8>),
    Newest(u64),
    PathChallenge(u64),
    PathResponse(u64),
}

impl OwnedTlv {
    pub(crate) fn borrow(&self) -> Tlv<'_> {
        match self {
            Self::Pad(n) => Tlv::Pad(*n),
            Self::Handshake(message) => Tlv::Handshake(message),
            Self::Cid(cid) => Tlv::Cid(*cid),
            Self::Descriptor(d) => Tlv::Descriptor(*d),
            Self::Ack(ack) => Tlv::Ack(ack.borrow()),
            Self::Ping => Tlv::Ping,
            Self::Abort(why) => Tlv::Abort(why),
            Self::Map(first, bits) => Tlv::Map(PnMap { first: *first, bits }),
            Self::Newest(pn) => Tlv::Newest(*pn),
            Self::PathChallenge(token) => Tlv::PathChallenge(*token),
            Self::PathResponse(token) => Tlv::PathResponse(*token),
        }
    }
}

pub(crate) fn tlv() -> impl Strategy<Value = OwnedTlv> {
    prop_oneof![
        (0..300_usize).prop_map(OwnedTlv::Pad),
        vec(any::<u8>(), 0..=tlv::MAX_HANDSHAKE).prop_map(OwnedTlv::Handshake),
        any::<u64>().prop_map(OwnedTlv::Cid),
        descriptor().prop_map(OwnedTlv::Descriptor),
        ack(MAX_RANGES / 2).prop_map(OwnedTlv::Ack),
        Just(OwnedTlv::Ping),
        text(tlv::MAX_REASON).prop_map(OwnedTlv::Abort),
        (0..1_u64 << 59, vec(any::<u8>(), 0..=tlv::MAX_MAP))
            .prop_map(|(first, bits)| OwnedTlv::Map(first, bits)),
        (0..1_u64 << 60).prop_map(OwnedTlv::Newest),
        any::<u64>().prop_map(OwnedTlv::PathChallenge),
        any::<u64>().prop_map(OwnedTlv::PathResponse),
    ]
}

/// Text of at most `limit` bytes, often with characters of several bytes.
fn text(limit: usize) -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..limit / 2).prop_map(move |chars| {
        let mut text = String::new();
        for c in chars {
            if text.len() + c.len_utf8() <= limit {
                text.push(c);
            }
        }
        text
    })
}

/// What a record borrows from.
#[derive(Debug, Clone)]
pub(crate) enum OwnedRecord {
    App(Vec<u8>),
    Credit(u64),
    GroupKey(u8, u32, [u8; 32]),
    Joined,
    CannotJoin(String),
    Leave,
    Verdict(bool, Arrived, String),
    AckPolicy(u16, u32),
    Ranges(u8, Vec<Range<u64>>),
    Join(Group, Option<IpAddr>),
    Count,
    Counted(Counters),
}

impl OwnedRecord {
    pub(crate) fn borrow(&self) -> Record<'_> {
        match self {
            Self::App(bytes) => Record::App(bytes),
            Self::Credit(credit) => Record::Credit(*credit),
            Self::GroupKey(id, overlap_ms, key) => {
                Record::GroupKey { id: *id, key: *key, overlap_ms: *overlap_ms }
            }
            Self::Joined => Record::Joined,
            Self::CannotJoin(why) => Record::CannotJoin(why),
            Self::Leave => Record::Leave,
            Self::Count => Record::Count,
            Self::Counted(counters) => Record::Counted(*counters),
            Self::AckPolicy(every, delay_us) => {
                Record::AckPolicy { every: *every, delay_us: *delay_us }
            }
            Self::Ranges(kind, ranges) => match kind % 3 {
                0 => Record::Have(OffsetList::Listed(ranges)),
                1 => Record::Lack(OffsetList::Listed(ranges)),
                _ => Record::Again(OffsetList::Listed(ranges)),
            },
            Self::Join(group, from) => Record::Join { group: *group, from: *from },
            Self::Verdict(ok, arrived, reason) => {
                Record::Verdict { ok: *ok, arrived: *arrived, reason }
            }
        }
    }
}

fn counters() -> impl Strategy<Value = Counters> {
    let count = || any::<u64>().prop_map(|count| (count < u64::MAX / 2).then_some(count));
    (count(), count(), count(), any::<bool>()).prop_map(
        |(reverse_path, buffer, interface, other_way)| Counters {
            reverse_path,
            buffer,
            interface,
            other_way,
        },
    )
}

fn arrived() -> impl Strategy<Value = Arrived> {
    (0..=MAX_OFFSET, 0..=MAX_OFFSET, 0..=MAX_OFFSET, any::<u64>()).prop_map(
        |(multicast, unicast, repaired, duplicate)| Arrived {
            multicast,
            unicast,
            repaired,
            duplicate,
        },
    )
}

/// Ranges of the stream in units of any size, a short distance or a long one apart, lowest first.
pub(crate) fn offset_ranges() -> impl Strategy<Value = Vec<Range<u64>>> {
    let step = (any::<u64>(), 16..64_u32).prop_map(|(v, shift)| v >> shift);
    (0..30_u32, vec((step.clone(), step), 0..200)).prop_map(|(unit, steps)| {
        let (mut out, mut end) = (Vec::new(), 0_u64);
        for (gap, length) in steps {
            let gap = gap.saturating_add(u64::from(end > 0)).saturating_mul(1 << unit);
            let start = end.saturating_add(gap);
            end = start.saturating_add((length + 1).saturating_mul(1 << unit)).min(MAX_OFFSET);
            if start >= end {
                break;
            }
            out.push(start..end);
        }
        out
    })
}

pub(crate) fn record() -> impl Strategy<Value = OwnedRecord> {
    prop_oneof![
        vec(any::<u8>(), 0..2000).prop_map(OwnedRecord::App),
        any::<u64>().prop_map(OwnedRecord::Credit),
        any::<(u8, u32, [u8; 32])>()
            .prop_map(|(id, overlap, key)| OwnedRecord::GroupKey(id, overlap, key)),
        Just(OwnedRecord::Joined),
        text(record::MAX_JOIN_REASON).prop_map(OwnedRecord::CannotJoin),
        Just(OwnedRecord::Leave),
        Just(OwnedRecord::Count),
        counters().prop_map(OwnedRecord::Counted),
        (any::<bool>(), arrived(), text(record::MAX_VERDICT_REASON))
            .prop_map(|(ok, arrived, why)| OwnedRecord::Verdict(ok, arrived, why)),
        (1..=u16::MAX, any::<u32>()).prop_map(|(every, us)| OwnedRecord::AckPolicy(every, us)),
        (any::<u8>(), offset_ranges()).prop_map(|(kind, list)| OwnedRecord::Ranges(kind, list)),
        (group(), any::<bool>())
            .prop_map(|(group, known)| OwnedRecord::Join(group, known.then(|| sent_from(group)))),
    ]
}
