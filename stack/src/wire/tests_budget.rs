//! How long every kind of datagram gets, at most: it must fit the path, and no answer to an
//! unproven address may be longer than the question.

use super::*;
use crate::config::Group;
use std::net::IpAddr;

const GROUPS: [(&str, &str); 2] =
    [("232.7.7.7:8737", "192.0.2.1"), ("[ff3e::8000:7]:8737", "2001:db8::1")];
/// UDP payload of a 1500-byte packet over IPv4 and over IPv6.
const FULL: [usize; 2] = [1472, 1452];

fn group((addr, source): (&str, &str)) -> Group {
    Group { addr: addr.parse().unwrap(), source: Some(source.parse().unwrap()) }
}

fn descriptor(group: Group) -> Descriptor {
    let features = Features::XM.with(Features::GROUPS).with(Features::UNORDERED);
    let group_from = group.source;
    let group = Some(group);
    let (first_offset, segment_size, group_cid) = (MAX_OFFSET, 1420, 1);
    Descriptor { features, first_offset, segment_size, group_cid, group, group_from }
}

fn header(kind: Kind, tlvs: bool, options: Options) -> Header {
    let encap = Encap { kind, tlvs, repair: false, key_id: 0, offset_high: 0, cid: 1, pn: 1 };
    let (seq, ack) = (Seq(1), Some(Seq(2)));
    let segment = Segment {
        src_port: 1,
        dst_port: 2,
        seq,
        ack,
        window: 3,
        syn: false,
        fin: false,
        rst: false,
        psh: false,
        options,
    };
    Header { encap, segment }
}

fn syn_options(group: IpAddr) -> Options {
    Options {
        mss: Some(1420),
        window_scale: Some(7),
        sack_permitted: true,
        group: Some(group),
        heard: None,
    }
}

/// Length of a datagram with these TLVs and no data; `None` if they do not all fit into `room`.
fn length(header: &Header, tlvs: &[Tlv<'_>], room: usize) -> Option<usize> {
    let mut buf = vec![0; room];
    header.emit(&mut buf);
    let area = room - header.len() - TAG_LEN;
    let mut w = TlvWriter::new(&mut buf[header.len()..][..area]);
    tlvs.iter().all(|tlv| w.push(tlv)).then(|| header.len() + w.finish() + TAG_LEN)
}

/// The most ranges, all as far apart as packet numbers allow: 15 varints of 9 bytes, the others 8.
fn worst_ranges(n: usize) -> Vec<(u64, u64)> {
    let mut varints = (0..).map(|i| if i < 15 { 1_u64 << 56 } else { 1 << 49 });
    let mut high = MAX_PN;
    (0..n)
        .map(|_| {
            let low = high - varints.next().unwrap();
            let range = (low, high);
            high = low - varints.next().unwrap() - 2;
            range
        })
        .collect()
}

fn worst_ack<'a>(unicast: &'a [(u64, u64)], group: &'a [(u64, u64)]) -> Ack<'a> {
    let space = |ranges: &'a [(u64, u64)]| {
        let largest = ranges.first()?.1;
        let (delay_us, ce) = (u32::MAX, u32::MAX);
        let ranges = RangeList::Listed(ranges);
        Some(SpaceAck { largest, delay_us, ce, ranges })
    };
    Ack {
        data_next: MAX_OFFSET,
        data_edge: MAX_OFFSET,
        control_next: MAX_OFFSET,
        control_edge: MAX_OFFSET,
        group_status: GroupStatus::Joined,
        unicast: space(unicast),
        group: space(group),
    }
}

#[test]
fn the_published_sizes() {
    assert_eq!((ENCAP_LEN, TCP_LEN, TAG_LEN, OVERHEAD), (16, 20, 16, 52));
    assert_eq!((PAYLOAD_V4, PAYLOAD_V6, PAYLOAD_SHORT), (1420, 1400, 1148));
    assert_eq!((SHORT_LEN, SYN_LEN), (1200, 1200));
}

#[test]
fn full_segments_fill_the_mtu_exactly() {
    for kind in [Kind::Data, Kind::Group, Kind::Control] {
        let len = header(kind, false, Options::default()).len() + TAG_LEN;
        assert_eq!([len + PAYLOAD_V4, len + PAYLOAD_V6], FULL);
        assert_eq!(len + PAYLOAD_SHORT, SHORT_LEN);
    }
}

#[test]
fn a_full_segment_is_at_least_92_percent_of_ethernet() {
    // UDP 8, IPv4 20; preamble 8, header 14, FCS 4, gap 12 (IEEE 802.3).
    let on_the_cable = FULL[0] + 8 + 20 + 8 + 14 + 4 + 12;
    assert!(PAYLOAD_V4 * 100 >= 92 * on_the_cable);
}

#[test]
fn a_syn_is_padded_and_its_answer_is_no_longer() {
    for g in GROUPS.map(group) {
        let options = syn_options(g.addr.ip());
        let message = [0; tlv::MAX_HANDSHAKE];
        let tlvs = [Tlv::Handshake(&message), Tlv::Cid(1), Tlv::Descriptor(descriptor(g))];
        let mut syn = header(Kind::Handshake, true, options);
        syn.segment.syn = true;
        let bare = length(&syn, &tlvs, SYN_LEN).unwrap();
        let pad = Tlv::Pad(SYN_LEN - bare - tlv::TLV_HEAD);
        let [a, b, c] = tlvs;
        assert_eq!(length(&syn, &[a, b, c, pad], SYN_LEN), Some(SYN_LEN));
        // A SYN-ACK has the same parts, and a refusal only a reason.
        assert!(bare <= SYN_LEN);
        let reason = "x".repeat(2 * tlv::MAX_REASON);
        let mut buf = [0; Reply::MAX_LEN];
        assert_eq!(Reply::new(1, Said::Refused(&reason)).emit(&mut buf), Reply::MAX_LEN);
        const { assert!(Reply::MAX_LEN <= SYN_LEN) };
    }
}

#[test]
fn the_third_message_travels_with_the_longest_ack() {
    let (u, g) = (worst_ranges(1), worst_ranges(1));
    let message = [0; tlv::MAX_HANDSHAKE];
    for group in GROUPS.map(group) {
        let tlvs = [
            Tlv::Handshake(&message),
            Tlv::Cid(1),
            Tlv::Descriptor(descriptor(group)),
            Tlv::Ack(worst_ack(&u, &g)),
            Tlv::Ping,
        ];
        let header = header(Kind::Handshake, true, Options::default());
        assert!(length(&header, &tlvs, SHORT_LEN).is_some());
    }
}

#[test]
fn an_ack_with_64_of_the_worst_ranges_fits_a_short_datagram() {
    let options = Options { heard: Some(100), ..Options::default() };
    for kind in [Kind::Data, Kind::Control] {
        for (unicast, group) in [(64, 0), (0, 64), (32, 32), (1, 63), (63, 1)] {
            let (u, g) = (worst_ranges(unicast), worst_ranges(group));
            let ack = worst_ack(&u, &g);
            let mut buf = [0; Ack::MAX_LEN];
            let len = ack.emit(&mut buf).unwrap();
            assert_eq!(Ack::parse(&buf[..len]), Ok(ack), "all {unicast} + {group} are there");
            let header = header(kind, true, options);
            assert!(length(&header, &[Tlv::Ping, Tlv::Ack(ack)], SHORT_LEN).is_some());
            assert!(header.len() + 2 + 3 + Ack::MAX_LEN + TAG_LEN <= SHORT_LEN);
        }
    }
    let (u, g) = (worst_ranges(32), worst_ranges(32));
    let longest = worst_ack(&u, &g).emit(&mut [0; Ack::MAX_LEN]);
    assert_eq!(longest, Some(Ack::MAX_LEN), "the bound is tight");
}

#[test]
fn an_abort_fits_beside_an_ack() {
    let reason = "x".repeat(tlv::MAX_REASON);
    let (u, g) = (worst_ranges(32), worst_ranges(32));
    let tlvs = [Tlv::Abort(&reason), Tlv::Ack(worst_ack(&u, &g))];
    let header = header(Kind::Control, true, Options::default());
    let len = length(&header, &tlvs, SHORT_LEN).unwrap();
    assert!(len <= SHORT_LEN, "the ACK gave way with its oldest ranges");
}
