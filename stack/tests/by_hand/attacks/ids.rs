//! Connection ids are chosen by whoever they are given to, or by senders: two may choose the same.

use super::{CID, SECOND, Sort, addr, by_secret, end, group_source};
use crate::hand::{Net, Packet, Path};
use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use tcpxm::config::SessionConfig;
use tcpxm::proto::endpoint::Endpoint;
use tcpxm::proto::event::{MemberId, ReadOutcome, ReceiverId, SessionId, SessionState};
use tcpxm::proto::time::Instant;
use tcpxm::stats::MemberReport;

const LEN: u64 = 400_000;
/// The two senders; nodes 2 and 3 receive from both.
const SENDERS: [usize; 2] = [0, 1];

/// What each of the senders sends.
fn byte(sender: usize, offset: u64) -> u8 {
    crate::hand::byte(offset ^ (sender as u64) << 40)
}

/// What a receiver has of one session: the sender's node, by its address.
struct Copy {
    id: ReceiverId,
    sender: usize,
    got: u64,
}

fn feed(net: &mut Net, sender: usize, session: SessionId) {
    let now = net.now;
    let endpoint = &mut net.nodes[sender].endpoint;
    while let Some(need) = endpoint.next_need(session) {
        let bytes: Vec<u8> = (need.start..need.end).map(|at| byte(sender, at)).collect();
        endpoint.supply(now, session, need.start, bytes.into());
    }
}

fn read(endpoint: &mut Endpoint, now: Instant, copies: &mut Vec<Copy>) {
    while let Some(id) = endpoint.accept() {
        let peer = endpoint.peer(id).unwrap();
        let sender = SENDERS.into_iter().find(|n| addr(*n) == peer).unwrap();
        copies.push(Copy { id, sender, got: 0 });
    }
    let mut buf = vec![0; 1 << 16];
    for Copy { id, sender, got } in copies {
        while let Ok(ReadOutcome::Data { offset, len }) = endpoint.read(now, *id, &mut buf) {
            let right = (offset..).zip(&buf[..len]).all(|(at, b)| *b == byte(*sender, at));
            assert!(right, "bytes at {offset} are not those of sender {sender}");
            *got += len as u64;
        }
        if endpoint.closed(*id).is_none() && *got == LEN {
            endpoint.close(now, *id, Ok(()));
        }
    }
}

/// All ids that the datagrams of these sorts carry, by sender.
type Ids = Rc<RefCell<[BTreeSet<(Sort, [u8; 8])>; 2]>>;

fn watched() -> (Ids, Path) {
    let ids = Ids::default();
    let seen = Rc::clone(&ids);
    let path: Path = Box::new(move |_, _, packet: Packet| {
        let sender = SENDERS.into_iter().find(|n| addr(*n) == packet.from);
        let sort = Sort::of(&packet);
        if let (Some(sender), Sort::Syn | Sort::Group) = (sender, sort) {
            seen.borrow_mut()[sender].insert((sort, packet.bytes[CID].try_into().unwrap()));
        }
        vec![(crate::hand::DELAY, packet)]
    });
    (ids, path)
}

/// Both have the same randomness, so that all of their ids are the same, and their groups' keys as well.
#[test]
fn two_senders_that_choose_the_same_ids_do_not_disturb_each_other() {
    let trust = by_secret("s");
    let (ids, path) = watched();
    let ends = (0..4).map(|n| {
        let (addr, endpoint) = end(if n < 2 { 0 } else { n }, 0, &trust.1);
        (if n < 2 { super::addr(n) } else { addr }, endpoint)
    });
    let mut net = Net::of(ends, path);
    let sessions = SENDERS.map(|n| {
        let config = SessionConfig { group_from: Some(addr(n).ip()), ..group_source(LEN) };
        let endpoint = &mut net.nodes[n].endpoint;
        let peers = [addr(2), addr(3)];
        let session = endpoint.connect(net.now, config, trust.0.clone(), &peers).unwrap();
        endpoint.finish(net.now, session);
        session
    });
    let mut copies = [Vec::new(), Vec::new()];
    let done = net.run(SECOND * 5, |net| {
        let now = net.now;
        for (n, session) in sessions.iter().enumerate() {
            feed(net, n, *session);
        }
        for (n, copies) in copies.iter_mut().enumerate() {
            read(&mut net.nodes[n + 2].endpoint, now, copies);
        }
        SENDERS
            .iter()
            .any(|n| net.nodes[*n].endpoint.session_state(sessions[*n]) != SessionState::Done)
    });
    assert!(done);
    let ids = ids.borrow();
    assert!(ids[0] == ids[1] && ids[0].len() == 3, "the same ids: {ids:?}");
    for n in SENDERS {
        for index in 0..2 {
            let member = MemberId { session: sessions[n], index };
            let report = net.nodes[n].endpoint.report(net.now, member).unwrap();
            let MemberReport { outcome, arrived, .. } = report;
            assert_eq!(outcome, Some(Ok(())));
            assert!(arrived.multicast > LEN / 4, "both groups were heard: {arrived:?}");
        }
    }
    assert!(net.now.since(Instant::from_nanos(1)) < Duration::from_secs(3));
}
