//! A source whose reader goes where it likes, in small blocks.

use super::*;
use proptest::prelude::*;

/// Blocks of 64 bytes, so that many of them are cheap.
const SHIFT: u32 = 6;
const SIZE: u64 = 1 << SHIFT;

fn byte(offset: u64) -> u8 {
    (offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

fn bytes(range: Range<u64>) -> Arc<[u8]> {
    range.map(byte).collect()
}

fn answer(source: &mut Source) -> usize {
    let mut answered = 0;
    while let Some(need) = source.next_need() {
        assert!(source.supply(need.start, bytes(need.clone())));
        answered += 1;
    }
    answered
}

/// Reads one piece and checks it; false if it is not here.
fn read(source: &mut Source, offset: u64, n: usize) -> bool {
    let mut out = vec![0; n];
    let got = source.read(offset, &mut out).is_ok();
    if got {
        assert_eq!(out[..], *bytes(offset..offset + n as u64));
    }
    got
}

/// Reads from `at` on in pieces of `n`, asking again as long as it has to; gives the misses.
fn step(source: &mut Source, at: &mut u64, n: u64) -> usize {
    let n = n.min(source.len() - *at);
    let mut misses = 0;
    while !read(source, *at, n as usize) {
        misses += 1;
        assert!(misses < 10, "stuck");
        answer(source);
    }
    *at += n;
    misses
}

#[test]
fn one_that_grows_is_not_read_beyond() {
    let mut source = Source::with_shift(None, SHIFT);
    assert_eq!(source.grow(2 * SIZE), Ok(()));
    assert_eq!(source.read(SIZE, &mut [0; 8]), Err(NotAtHand));
    assert_eq!((source.next_need(), source.next_need()), (Some(SIZE..2 * SIZE), None));
    assert!(source.supply(SIZE, bytes(SIZE..2 * SIZE)));
    assert_eq!(source.read(SIZE, &mut [0; 8]), Ok(()));
    assert_eq!(source.next_need(), None, "nothing is read ahead of what exists");
    assert_eq!(source.grow(SIZE), Err(EndError::Supplied(2 * SIZE)));
    assert_eq!(source.grow(4 * SIZE), Ok(()));
    assert_eq!(source.grow(3 * SIZE), Err(EndError::Grown(4 * SIZE)));
    assert_eq!(source.set_end(3 * SIZE), Err(EndError::Grown(4 * SIZE)));
    assert_eq!(source.read(SIZE, &mut [0; 8]), Ok(()));
    assert_eq!(source.next_need(), Some(2 * SIZE..3 * SIZE));
    assert_eq!(source.set_end(4 * SIZE), Ok(()));
    assert_eq!(source.grow(5 * SIZE), Err(EndError::Known(4 * SIZE)));
    assert!(source.is_ended());
}

#[test]
fn a_sequential_reader_misses_once() {
    let mut source = Source::with_shift(500 * SIZE + 7, SHIFT);
    let (mut at, mut misses, mut answered) = (0, 0, 0);
    while at < source.len() {
        misses += step(&mut source, &mut at, 17);
        answered += answer(&mut source);
        assert!(source.taken() <= CACHE_BLOCKS);
    }
    assert_eq!(misses, 1);
    assert_eq!(answered + 1 + READ_AHEAD as usize, 501, "no block was asked for twice");
}

#[test]
fn sequential_readers_apart_do_not_push_each_other_out() {
    for readers in [2, 8, 16, 28] {
        let mut source = Source::with_shift(4000 * SIZE, SHIFT);
        let mut at: Vec<u64> = (0..readers).map(|r| r * 100 * SIZE).collect();
        let mut answered = 0;
        for _ in 0..50 * SIZE / 16 {
            for at in &mut at {
                step(&mut source, at, 16);
                answered += answer(&mut source);
            }
        }
        // 50 blocks each; what they wait for at the end comes on top.
        let most = readers as usize * (50 + 2 + READ_AHEAD as usize);
        assert!(answered <= most, "{readers}: {answered} of {most}");
    }
}

/// They take turns, and who misses something goes on with the next turn.
#[test]
fn more_readers_than_places_wait_for_each_other() {
    for readers in [33, 40, 64] {
        let mut source = Source::with_shift(3000 * SIZE, SHIFT);
        let mut at: Vec<u64> = (0..readers).map(|r| r * 12 * SIZE).collect();
        let ends: Vec<u64> = at.iter().map(|at| at + 10 * SIZE).collect();
        let (mut answered, mut turns) = (0, 0);
        while at.iter().zip(&ends).any(|(at, end)| at < end) {
            for (at, end) in at.iter_mut().zip(&ends) {
                if *at < *end && read(&mut source, *at, 16) {
                    *at += 16;
                }
                answered += answer(&mut source);
            }
            turns += 1;
            assert!(turns < 10_000, "{readers} are stuck");
        }
        // 10 blocks each, and what is read ahead at their ends and may be dropped.
        let most = readers as usize * (10 + 2 * READ_AHEAD as usize);
        assert!(answered <= most, "{readers}: {answered} of {most} in {turns} turns");
    }
}

#[test]
fn what_is_missing_now_is_asked_for_first() {
    let mut source = Source::with_shift(100 * SIZE, SHIFT);
    assert!(!read(&mut source, 0, 8));
    assert!(!read(&mut source, 50 * SIZE, 8));
    assert!(!read(&mut source, 2 * SIZE, 8));
    let order: Vec<u64> =
        core::iter::from_fn(|| source.next_need()).map(|n| n.start / SIZE).collect();
    assert_eq!(order, [0, 50, 2, 1, 3, 4, 51, 52, 53, 54, 5, 6]);
    assert!(!read(&mut source, 0, 8));
    assert!(!source.has_need(), "each once");
}

#[test]
fn what_is_not_needed_is_not_read_ahead() {
    let mut source = Source::with_shift(100 * SIZE + 5, SHIFT);
    source.ahead = Ahead::Needed(None);
    let blocks = |source: &mut Source| -> Vec<u64> {
        core::iter::from_fn(|| source.next_need()).map(|need| need.start / SIZE).collect()
    };
    assert!(!read(&mut source, SIZE, 8));
    assert_eq!(blocks(&mut source), [1], "it is for another to say what is read ahead");
    assert_eq!((source.take_passed(), source.take_passed()), (Some(1), None));
    // Something in the middle of every tenth block, and what lies beyond the end.
    let tenth = |at: u64| {
        let of = |n: u64| n * 10 * SIZE + 9..n * 10 * SIZE + 12;
        (0..100).map(of).find(|piece| piece.end > at).map(|piece| piece.start.max(at))
    };
    assert!(source.read_ahead(1, tenth));
    assert_eq!(blocks(&mut source), [10, 20, 30, 40]);
    assert!(source.read_ahead(1, tenth) && !source.has_need(), "each once");
    assert!(source.read_ahead(85, tenth));
    assert_eq!(blocks(&mut source), [90], "the end comes before what is needed of the last block");
    assert!(source.read_ahead(2, Some));
    assert_eq!(blocks(&mut source), [3, 4, 5, 6]);
    assert!(source.read_ahead(97, |_| None) && !source.has_need());
    assert!(!(0..9).all(|n| source.read_ahead(44 + 4 * n, Some)), "there is no room for all");
}

#[test]
fn only_what_was_asked_for_is_taken() {
    let mut source = Source::with_shift(SIZE + 5, SHIFT);
    assert!(!source.supply(0, bytes(0..SIZE)), "not wanted");
    assert!(!read(&mut source, 0, 8));
    assert!(!source.supply(0, bytes(0..SIZE)), "not asked for");
    assert_eq!(source.next_need(), Some(0..SIZE));
    assert_eq!(source.next_need(), Some(SIZE..SIZE + 5));
    assert!(!source.supply(1, bytes(1..SIZE + 1)));
    assert!(!source.supply(0, bytes(0..SIZE - 1)));
    assert!(source.supply(0, bytes(0..SIZE)));
    assert!(!source.supply(0, bytes(0..SIZE)), "again");
    assert!(!read(&mut source, SIZE - 2, 4));
    assert!(!source.supply(SIZE, bytes(SIZE..2 * SIZE)));
    assert!(source.supply(SIZE, bytes(SIZE..SIZE + 5)));
    assert!(read(&mut source, SIZE - 2, 4), "over the boundary");
    assert!(!read(&mut source, SIZE, 6), "beyond the end");
    assert!(!read(&mut source, u64::MAX, 6));
    assert!(!source.has_need());
}

#[test]
fn readers_that_never_come_back_do_not_lock_it_up() {
    let mut source = Source::with_shift(10_000 * SIZE, SHIFT);
    for i in 0..200 {
        assert!(!read(&mut source, i * 10 * SIZE, 8));
        answer(&mut source);
        assert!(source.taken() <= CACHE_BLOCKS);
    }
    let mut at = 5000 * SIZE;
    for _ in 0..100 {
        step(&mut source, &mut at, 64);
    }
}

#[test]
fn what_was_supplied_waits_for_its_reader() {
    let mut source = Source::with_shift(2000 * SIZE, SHIFT);
    let slow = [1000, 1200, 1400].map(|block| block * SIZE);
    for at in slow {
        assert!(!read(&mut source, at, 8));
    }
    answer(&mut source);
    let mut at = 0;
    while at < 500 * SIZE {
        step(&mut source, &mut at, 16);
        answer(&mut source);
    }
    for at in slow {
        assert!(read(&mut source, at, 8));
    }
}

#[test]
fn an_empty_source_wants_nothing() {
    let mut source = Source::with_shift(0, SHIFT);
    assert!(read(&mut source, 0, 0) && !read(&mut source, 0, 1));
    assert!(!source.has_need());
}

#[test]
fn an_end_that_becomes_known_drops_what_lies_beyond() {
    let mut source = Source::with_shift(None, SHIFT);
    assert!(!read(&mut source, 0, 8));
    assert_eq!(source.next_need(), Some(0..SIZE));
    assert_eq!(source.next_need(), Some(SIZE..2 * SIZE));
    assert!(source.supply(0, bytes(0..SIZE)));
    assert_eq!(source.set_end(SIZE - 1), Err(EndError::Supplied(SIZE)));
    assert_eq!(source.set_end(u64::MAX), Err(EndError::TooLong(u64::MAX)));
    assert!(!source.is_ended());
    assert_eq!(source.set_end(SIZE + 3), Ok(()));
    assert_eq!((source.set_end(SIZE + 3), source.len()), (Ok(()), SIZE + 3));
    assert_eq!(source.set_end(SIZE + 4), Err(EndError::Known(SIZE + 3)));
    assert!(!source.supply(SIZE, bytes(SIZE..2 * SIZE)), "longer than it is");
    assert!(source.supply(SIZE, bytes(SIZE..SIZE + 3)));
    assert!(read(&mut source, SIZE - 2, 5));
    assert!(!source.has_need(), "nothing lies beyond");
}

#[test]
fn an_end_right_after_a_block_takes_the_next_one_back() {
    let mut source = Source::with_shift(None, SHIFT);
    assert!(!read(&mut source, 0, 8));
    assert_eq!(source.next_need(), Some(0..SIZE));
    assert_eq!(source.next_need(), Some(SIZE..2 * SIZE));
    assert!(source.supply(0, bytes(0..SIZE)));
    assert_eq!(source.set_end(SIZE), Ok(()));
    assert!(!source.supply(SIZE, bytes(SIZE..SIZE)));
    assert_eq!(source.taken(), 1);
}

proptest! {
    #[test]
    fn bounded_and_right_whatever_is_read(
        len in 1..80 * SIZE,
        ops in prop::collection::vec((0..80 * SIZE, 1..150usize, 0..4usize), 1..300),
    ) {
        let mut source = Source::with_shift(len, SHIFT);
        let mut asked: Vec<Range<u64>> = Vec::new();
        for (at, n, answers) in ops {
            let at = at % len;
            let n = n.min((len - at) as usize);
            let there = (at >> SHIFT..=(at + n as u64 - 1) >> SHIFT)
                .all(|b| source.slots.iter().any(|s| s.index == b));
            prop_assert_eq!(read(&mut source, at, n), there);
            while let Some(need) = source.next_need() {
                prop_assert!(need.start % SIZE == 0 && need.end == (need.start + SIZE).min(len));
                prop_assert!(!asked.contains(&need));
                prop_assert!(source.slots.iter().all(|s| s.index << SHIFT != need.start));
                asked.push(need);
            }
            for _ in 0..answers.min(asked.len()) {
                let need = asked.swap_remove(at as usize % asked.len());
                prop_assert!(source.supply(need.start, bytes(need)));
            }
            prop_assert!(source.taken() <= CACHE_BLOCKS);
        }
        let mut at = 0;
        for need in asked {
            prop_assert!(source.supply(need.start, bytes(need)));
        }
        while at < len {
            step(&mut source, &mut at, 100);
        }
    }
}
