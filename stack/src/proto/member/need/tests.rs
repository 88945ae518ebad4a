//! The need against a model that keeps one state a byte.

use super::{Need, Owed, Proof, Way};
use core::ops::Range;
use proptest::prelude::*;

const SPAN: u64 = 48;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Byte {
    Has,
    Undeclared,
    Unsent,
    Again,
    Shared,
    /// On its way, or ahead of the group's cursor.
    Other,
}

fn state(need: &Need, at: u64) -> Byte {
    let spared = need.spared.as_ref().map_or(need.has.contains(at), |set| set.contains(at));
    assert_eq!(spared, need.has.contains(at) || need.undeclared.contains(at), "byte {at}");
    let sets = [
        (&need.has, Byte::Has),
        (&need.undeclared, Byte::Undeclared),
        (&need.unsent, Byte::Unsent),
        (&need.again, Byte::Again),
        (&need.shared, Byte::Shared),
    ];
    let mut found = sets.iter().filter(|(set, _)| set.contains(at)).map(|(_, state)| *state);
    let first = found.next();
    assert_eq!(found.next(), None, "byte {at} is {first:?} as well");
    first.unwrap_or(Byte::Other)
}

#[derive(Debug, Clone)]
enum Op {
    Have(Range<u64>),
    Lack(Range<u64>),
    TakeBack(Range<u64>),
    Acked(Range<u64>),
    Lost(Range<u64>),
    Missed(Range<u64>),
    Carried(Range<u64>),
    Alone(Range<u64>),
    Hand(Range<u64>),
    SendAlone(u64),
    Follow,
    Unfollow,
    /// So many ranges are kept.
    Limit(usize),
}

fn range() -> impl Strategy<Value = Range<u64>> {
    (0..SPAN, 1..12u64).prop_map(|(at, len)| at..(at + len).min(SPAN))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        range().prop_map(Op::Have),
        range().prop_map(Op::Lack),
        range().prop_map(Op::TakeBack),
        range().prop_map(Op::Acked),
        range().prop_map(Op::Lost),
        range().prop_map(Op::Missed),
        range().prop_map(Op::Carried),
        range().prop_map(Op::Alone),
        range().prop_map(Op::Hand),
        (1..9u64).prop_map(Op::SendAlone),
        Just(Op::Follow),
        Just(Op::Unfollow),
        (1..8usize).prop_map(Op::Limit),
    ]
}

/// What an operation makes of a byte.
fn expected(op: &Op, at: u64, was: Byte, cursor: Option<u64>) -> Byte {
    use Byte::{Again, Has, Other, Shared, Undeclared, Unsent};
    let owed = |alone| match cursor {
        None => alone,
        Some(cursor) if at < cursor => Shared,
        Some(_) => Other,
    };
    let inside = |range: &Range<u64>| range.contains(&at);
    match op {
        Op::Have(r) | Op::Acked(r) if inside(r) => Has,
        Op::Lack(r) if inside(r) && was == Undeclared => owed(Unsent),
        Op::TakeBack(r) if inside(r) && was == Has => owed(Again),
        Op::Lost(r) if inside(r) && was == Other => Again,
        Op::Missed(r) if inside(r) && was == Other => Shared,
        Op::Carried(r) if inside(r) && was == Shared => Other,
        Op::Alone(r) if inside(r) && was == Shared => Again,
        Op::Hand(r) if inside(r) && was == Other => Unsent,
        _ => was,
    }
}

/// Keeps so many ranges at most, and looks at what that has made of all bytes.
fn is_coarser(
    need: &mut Need,
    most: usize,
    before: &[Byte],
    cursor: Option<u64>,
) -> Result<(), TestCaseError> {
    need.coarsen(cursor, most);
    let (mut at, mut other) = (0, 0);
    for was in before {
        let is = state(need, at);
        let lacks = if at < cursor.unwrap_or(u64::MAX) { Byte::Unsent } else { Byte::Other };
        let right = match was {
            Byte::Has | Byte::Undeclared => is == *was || is == lacks,
            Byte::Unsent | Byte::Again | Byte::Shared => is == Byte::Unsent,
            Byte::Other => is == *was,
        };
        prop_assert!(right, "byte {} was {:?} and is {:?}", at, was, is);
        (at, other) = (at + 1, other + usize::from(is == Byte::Other));
    }
    // What is on its way, or ahead of the cursor, may part what is to be sent, and what was taken back.
    prop_assert!(need.ranges() <= most + 4 + other, "{:?}", need);
    Ok(())
}

proptest! {
    #[test]
    fn every_byte_is_in_one_state_and_moves_as_the_table_says(
        declares in any::<bool>(),
        follows in any::<bool>(),
        cursor in 0..SPAN,
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let mut need = Need::new(declares);
        let mut follows = follows;
        if follows {
            need.follow(cursor, core::iter::empty());
        }
        for (n, op) in ops.into_iter().enumerate() {
            let place = follows.then_some(cursor);
            let before: Vec<Byte> = (0..SPAN).map(|at| state(&need, at)).collect();
            match &op {
                Op::Have(r) => need.have(r.clone()),
                Op::Lack(r) => need.lack(r.clone(), place).into_iter().for_each(drop),
                Op::TakeBack(r) => {
                    let next = (n as u64, n as u64);
                    need.take_back(r.clone(), place, next).into_iter().for_each(drop);
                }
                Op::Acked(r) => need.acked(r.clone(), Proof::Packet(Way::Group, n as u64)),
                Op::Lost(r) => need.lost_alone(r.clone()),
                Op::Missed(r) => drop(need.missed(r.clone())),
                Op::Carried(r) => need.carried(r.clone()),
                Op::Alone(r) => need.serve_alone(r.clone()),
                Op::Hand(r) => need.hand(r.clone()),
                Op::SendAlone(most) => {
                    if let Some(Owed { range, repair }) = need.next_alone(u64::MAX).filter(|o| o.range.start < SPAN) {
                        let first = before.iter().position(|b| matches!(b, Byte::Unsent | Byte::Again));
                        prop_assert_eq!(Some(range.start as usize), first);
                        prop_assert_eq!(repair, before[range.start as usize] == Byte::Again);
                        let range = range.start..range.end.min(range.start + most).min(SPAN);
                        need.sent_alone(range.clone());
                        for at in range {
                            prop_assert_eq!(state(&need, at), Byte::Other);
                        }
                    }
                    continue;
                }
                Op::Follow => {
                    need.follow(cursor, core::iter::empty());
                    follows = true;
                    prop_assert!((cursor..SPAN).all(|at| !matches!(state(&need, at), Byte::Unsent | Byte::Again)));
                    continue;
                }
                Op::Limit(most) => {
                    is_coarser(&mut need, *most, &before, place)?;
                    continue;
                }
                Op::Unfollow => {
                    need.unfollow(cursor, core::iter::empty());
                    follows = false;
                    prop_assert!((cursor..SPAN).all(|at| state(&need, at) != Byte::Other));
                    prop_assert!((0..SPAN).all(|at| state(&need, at) != Byte::Shared));
                    continue;
                }
            }
            for at in 0..SPAN {
                let want = expected(&op, at, before[at as usize], place);
                prop_assert_eq!(state(&need, at), want, "byte {} after {:?}", at, op);
            }
            // What is known of it, asked in the ways that the session asks.
            let lacks = (0..SPAN).find(|at| state(&need, *at) == Byte::Other || state(&need, *at) == Byte::Shared);
            let found = need.lacks_from(0, true).map(|r| r.start).filter(|at| *at < SPAN);
            prop_assert_eq!(found, lacks);
            let held = (0..SPAN).take_while(|at| state(&need, *at) == Byte::Has).count() as u64;
            prop_assert_eq!(need.contiguous(), held);
        }
    }
}

#[test]
fn a_report_that_was_on_the_way_does_not_prove_what_was_taken_back() {
    let mut need = Need::new(false);
    need.sent_alone(0..100);
    need.acked(0..100, Proof::Packet(Way::Unicast, 0));
    // A second packet with the same bytes was sent before they were taken back.
    assert_eq!(need.take_back(20..40, None, (2, 0)), []);
    assert_eq!(need.next_alone(u64::MAX), Some(Owed { range: 20..40, repair: true }));
    need.acked(0..100, Proof::Packet(Way::Unicast, 1));
    need.acked(0..100, Proof::Old);
    assert!(!need.is_met(100));
    need.sent_alone(20..40);
    need.acked(20..40, Proof::Packet(Way::Unicast, 2));
    assert!(need.is_met(100));
    assert!(need.is_met_by(120, 100) && !need.is_met_by(119, 100), "20 bytes arrived twice");
}

#[test]
fn what_is_taken_back_before_its_report_came_is_sent_again() {
    let mut need = Need::new(false);
    need.sent_alone(0..100);
    // Its acknowledgement is still on the way when it says that the bytes were wrong.
    need.take_back(0..100, None, (1, 0));
    need.acked(0..100, Proof::Packet(Way::Unicast, 0));
    assert_eq!(need.next_alone(u64::MAX).map(|owed| owed.range.start), Some(0));
    assert!(!need.is_met(1));
}

#[test]
fn undeclared_bytes_are_not_sent_and_hold_the_group_for_a_time() {
    use crate::proto::time::Instant;
    let at = |ms: u64| Instant::from_nanos(1 + ms * 1_000_000);
    let mut need = Need::new(true);
    need.begin_to_wait(at(0), core::time::Duration::from_secs(1), u64::MAX);
    assert_eq!(need.next_alone(u64::MAX), None);
    assert_eq!(need.lacks_from(0, false), None);
    assert_eq!(need.awaited_from(at(0), 5), Some(5));
    need.have(0..10);
    assert_eq!(need.awaited_from(at(0), 5), Some(10));
    assert_eq!(need.awaited_from(at(1000), 5), None);
    assert_eq!(need.lack(0..30, None), []);
    assert_eq!(need.next_alone(u64::MAX), Some(Owed { range: 10..30, repair: false }));
    assert_eq!(need.lack(20..u64::MAX, Some(50)), [30..50]);
    assert_eq!(need.shared_from(0), Some(30..50));
    assert_eq!(need.waits_until(), None);
    assert!(need.is_met_by(20, 30));
}
