//! One bit changed on the way, in every field of every sort of datagram, beside the true one or in place of
//! its first copy.

use super::{
    Attacker, LEN, SECOND, Sort, by_keys, by_secret, end, give, group_source, net, patience, play,
};
use crate::hand::{App, DELAY, Net, Packet, Path, outcome};
use core::ops::Range;
use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use tcpxm::config::{EndpointConfig, SessionConfig};
use tcpxm::error::Reason;
use tcpxm::proto::endpoint::Endpoint;
use tcpxm::trust::{ListenTrust, SenderTrust};

/// The fixed fields of both headers, by the bits that they take (docs/wire.md).
const FIELDS: [(&str, Range<usize>); 28] = [
    ("version", 0..3),
    ("tlvs", 3..4),
    ("repair", 4..5),
    ("kind", 5..8),
    ("key id", 8..16),
    ("offset, high", 16..32),
    ("connection id", 32..96),
    ("packet number", 96..128),
    ("source port", 128..144),
    ("destination port", 144..160),
    ("sequence number", 160..192),
    ("acknowledgement number", 192..224),
    ("data offset", 224..228),
    ("reserved", 228..232),
    ("CWR", 232..233),
    ("ECE", 233..234),
    ("URG", 234..235),
    ("ACK", 235..236),
    ("PSH", 236..237),
    ("RST", 237..238),
    ("SYN", 238..239),
    ("FIN", 239..240),
    ("window", 240..256),
    ("checksum", 256..272),
    ("urgent pointer", 272..288),
    // Where these end follows from the datagram.
    ("options", 288..288),
    ("payload", 0..0),
    ("tag", 0..0),
];
const TAG: usize = 16 * 8;

/// The bits of a field in a datagram; none if it has none of it.
fn bits(name: &str, fixed: &Range<usize>, bytes: &[u8]) -> Range<usize> {
    let end = bytes.len() * 8;
    let header = (16 + usize::from(bytes[28] >> 4) * 4) * 8;
    match name {
        "options" => 288..header,
        "payload" => header..end - TAG,
        "tag" => end - TAG..end,
        _ => fixed.clone(),
    }
}

/// The same datagram with one bit of this field changed, another each time.
fn altered(field: &(&str, Range<usize>), packet: &Packet, turn: usize) -> Option<Packet> {
    let bits = bits(field.0, &field.1, &packet.bytes);
    // Steps that are odd come to every bit of a field, and over all of a payload soon.
    let bit = bits.start + (turn * 1237) % bits.len().max(1);
    if bits.is_empty() {
        return None;
    }
    let mut altered = packet.clone();
    altered.bytes[bit / 8] ^= 0x80 >> (bit % 8);
    Some(altered)
}

/// Altered copies fly beside each true datagram, one before it and one behind.
fn beside(field: &'static (&str, Range<usize>), met: &Rc<RefCell<BTreeSet<Sort>>>) -> Path {
    let (met, mut turn) = (Rc::clone(met), 0);
    Box::new(move |_, _, packet| {
        turn += 2;
        let mut out = vec![(DELAY, packet.clone())];
        for (n, delay) in [DELAY / 2, DELAY * 3 / 2].into_iter().enumerate() {
            if let Some(altered) = altered(field, &packet, turn + n) {
                met.borrow_mut().insert(Sort::of(&packet));
                out.push((delay, altered));
            }
        }
        out
    })
}

/// The first of these datagrams to each node is altered.
fn instead(
    field: &'static (&str, Range<usize>),
    sort: Sort,
    turn: usize,
    met: &Rc<RefCell<BTreeSet<Sort>>>,
) -> Path {
    let (met, mut done) = (Rc::clone(met), BTreeSet::new());
    Box::new(move |_, n, packet| {
        if Sort::of(&packet) == sort
            && let Some(altered) = altered(field, &packet, turn)
            && done.insert(n)
        {
            met.borrow_mut().insert(sort);
            return vec![(DELAY, altered)];
        }
        vec![(DELAY, packet)]
    })
}

fn attacked(trust: &(SenderTrust, ListenTrust), path: Path, limit: Duration, what: &str) {
    let mut net = net(2, &trust.1, path);
    let mut app = App::with(&mut net, group_source(LEN), LEN, trust.0.clone());
    play(&mut net, &mut app, limit, &Attacker::default(), what);
}

fn copies_beside_the_true_ones(trust: &(SenderTrust, ListenTrust)) {
    let limit = patience(trust, 2);
    for field in &FIELDS {
        let met = Rc::default();
        attacked(trust, beside(field, &met), limit, field.0);
        let met = met.borrow();
        // Segments to a group, and most others, have no options.
        let all = Sort::USUAL.iter().all(|sort| met.contains(sort));
        assert!(all || field.0 == "options" && met.contains(&Sort::SynAck), "{}: {met:?}", field.0);
    }
}

#[test]
fn a_bit_of_any_field_beside_the_true_datagrams_with_a_secret() {
    copies_beside_the_true_ones(&by_secret("s"));
}

#[test]
fn a_bit_of_any_field_beside_the_true_datagrams_with_keys() {
    copies_beside_the_true_ones(&by_keys());
}

#[test]
fn a_bit_of_any_field_in_place_of_the_first_datagram_of_each_sort() {
    let trust = by_secret("s");
    let limit = patience(&trust, 2);
    for sort in Sort::USUAL {
        for (turn, field) in FIELDS.iter().enumerate() {
            let met = Rc::default();
            let what = format!("{}, {sort:?}", field.0);
            attacked(&trust, instead(field, sort, turn, &met), limit, &what);
            assert!(field.0 == "options" || met.borrow().contains(&sort), "{what}");
        }
    }
}

/// As many half-open handshakes as it takes until SYNs must bring a cookie.
fn crowd(net: &mut Net, trust: &SenderTrust) {
    let mut others = end(0, 99, &ListenTrust::Loopback).1;
    let peer = net.nodes[1].addr;
    for n in 0..=255 {
        others.connect(net.now, SessionConfig::default(), trust.clone(), &[peer]).unwrap();
        let mut buf = vec![0; 1 << 16];
        while let Some(t) = others.poll_transmit(net.now, &mut buf) {
            give(net, 1, ([10, 9, n, 1], 5).into(), &buf[..t.len]);
        }
    }
    assert_eq!(net.nodes[1].endpoint.held().half_open, 256);
}

/// The fields of a cookie reply, by the names that their places have in other datagrams: its cookie begins
/// where the ports of those stand, its MAC behind their sequence numbers.
const OF_COOKIES: [&str; 9] = [
    "version",
    "tlvs",
    "kind",
    "key id",
    "connection id",
    "packet number",
    "destination port",
    "acknowledgement number",
    "tag",
];

#[test]
fn a_bit_of_a_cookie() {
    let trust = by_secret("s");
    let limit = patience(&trust, 1) + SECOND;
    for field in FIELDS.iter().filter(|field| OF_COOKIES.contains(&field.0)) {
        let met = Rc::default();
        let mut net = net(1, &trust.1, beside(field, &met));
        crowd(&mut net, &trust.0);
        let mut app = App::with(&mut net, group_source(LEN), LEN, trust.0.clone());
        play(&mut net, &mut app, limit, &Attacker::default(), field.0);
        assert!(met.borrow().contains(&Sort::Reply), "{}: no cookie was asked for", field.0);
    }
}

/// A refusal says what it says, whatever is said beside it.
#[test]
fn a_bit_of_a_refusal() {
    for trust in [by_secret("s"), by_keys()] {
        for field in FIELDS.iter().filter(|field| field.0 != "options") {
            let met = Rc::default();
            let mut net = net(1, &trust.1, beside(field, &met));
            let config = EndpointConfig {
                listen: Some(trust.1.clone()),
                port: 8737,
                backlog: 0,
                ..EndpointConfig::default()
            };
            net.nodes[1].endpoint = Endpoint::new(config, [7; 32]);
            let config = SessionConfig { connect_timeout: SECOND * 2, ..group_source(LEN) };
            let mut app = App::with(&mut net, config, LEN, trust.0.clone());
            assert!(app.finish(&mut net, SECOND * 3));
            let why = "too many sessions wait to be accepted".to_owned();
            assert_eq!(outcome(&net, &app, 0), Some(Err(Reason::Refused(why))), "{}", field.0);
            assert!(met.borrow().contains(&Sort::Reply));
        }
    }
}
