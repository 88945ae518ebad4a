//! Reports at random, many of them nonsense: the sending side never panics, waits for ever, spins, or
//! finds itself without a window.

use super::log::GroupLog;
use super::scoreboard::Scoreboard;
use super::space::{Content, Fired, INITIAL_RTO, SendSpace};
use crate::config::Algorithm;
use crate::proto::rng::Rng;
use crate::proto::time::Instant;
use crate::wire::{RangeList, SpaceAck};
use core::time::Duration;

const MSS: u64 = 1420;
const SEEDS: u8 = 250;
const STEPS: usize = 400;
/// No window gets there by so few steps unless something is wrong.
const ABSURD: u64 = 100 << 20;

struct Dice(Rng);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0.u64() % sides.max(1)
    }

    /// Ranges below `next`, newest first; now and then everything.
    fn ranges(&mut self, next: u64) -> Vec<(u64, u64)> {
        let mut high = (next - 1).saturating_sub(self.roll(8));
        if self.roll(3) == 0 {
            return vec![(0, high)];
        }
        let mut ranges = Vec::new();
        for _ in 0..=self.roll(6) {
            let low = high.saturating_sub(self.roll(12));
            ranges.push((low, high));
            let Some(below) = low.checked_sub(2 + self.roll(6)) else { break };
            high = below;
        }
        ranges
    }

    /// A report with these ranges; the rest of it may be anything.
    fn ack<'a>(&mut self, ranges: &'a [(u64, u64)]) -> SpaceAck<'a> {
        SpaceAck {
            largest: ranges[0].1,
            delay_us: if self.roll(5) == 0 { u32::MAX } else { self.roll(30_000) as u32 },
            ce: if self.roll(4) == 0 { self.roll(1 << 32) as u32 } else { 0 },
            ranges: RangeList::Listed(ranges),
        }
    }
}

fn cases() -> impl Iterator<Item = (u8, Algorithm, Dice)> {
    let all = [Algorithm::Cubic, Algorithm::Reno, Algorithm::Bbr];
    (0..SEEDS)
        .map(move |seed| (seed, all[usize::from(seed) % all.len()], Dice(Rng::new([seed; 32]))))
}

#[test]
fn a_unicast_space_bears_any_reports() {
    for (seed, algorithm, mut dice) in cases() {
        let mut space = SendSpace::new(algorithm, MSS);
        let (mut now, mut data) = (Instant::from_nanos(1), 0);
        for step in 0..STEPS {
            now += Duration::from_micros(dice.roll(20_000));
            match dice.roll(12) {
                0..=4 => {
                    for _ in 0..dice.roll(40) {
                        if space.permits(MSS) {
                            let content = Content { data: data..data + MSS, ..Content::default() };
                            space.on_sent(now, content);
                            data += MSS;
                        }
                    }
                }
                5 => space.on_sent(now, Content { ping: true, ..Content::default() }),
                6 => space.on_sent(now, Content::default()),
                7 => space.on_sent(now, Content { probe: 8920, ..Content::default() }),
                8..=10 if space.next_pn() > 0 => {
                    let ranges = dice.ranges(space.next_pn());
                    let news = space.on_ack(now, &dice.ack(&ranges));
                    space.recycle(news);
                }
                _ => now = space.deadline().map_or(now, |due| now.max(due)),
            }
            for n in 0.. {
                if space.deadline().is_none_or(|at| at > now) {
                    break;
                }
                let (fired, news) = space.on_timer(now);
                space.recycle(news);
                assert_ne!(fired, Fired::Nothing, "seed {seed}, step {step}");
                assert!(n < 10, "seed {seed}, step {step}: time stands still");
            }
            let window = space.path.congestion.window();
            assert!(window > 0 && window < ABSURD, "seed {seed}, step {step}: {window}");
            assert!(space.flight() > 0 || space.permits(MSS), "seed {seed}, step {step}: stuck");
            assert!(space.flight() == 0 || space.deadline().is_some(), "seed {seed}, step {step}");
        }
    }
}

#[test]
fn a_scoreboard_bears_any_reports() {
    for (seed, algorithm, mut dice) in cases() {
        let mut log = GroupLog::default();
        let mut board = Scoreboard::new(algorithm, MSS, INITIAL_RTO, 0);
        let (mut now, mut data) = (Instant::from_nanos(1), 0);
        for step in 0..STEPS {
            now += Duration::from_micros(dice.roll(20_000));
            let mut told = None;
            match dice.roll(13) {
                0..=4 => {
                    for _ in 0..dice.roll(40) {
                        if board.path.permits(MSS) {
                            let pn = log.push(now, data..data + MSS);
                            board.on_sent(now, pn, MSS, dice.roll(10) > 0);
                            data += MSS;
                        }
                    }
                }
                5..=8 if log.next_pn() > 0 => {
                    let ranges = dice.ranges(log.next_pn());
                    let cap = (dice.roll(2) == 0).then(|| 2 * MSS + dice.roll(100 * MSS));
                    told = Some(board.on_ack(now, &dice.ack(&ranges), &log, cap));
                }
                9 => {
                    let delay = Duration::from_millis(dice.roll(30));
                    told = Some(board.find_silent(now, now, delay, &log));
                }
                10 if dice.roll(3) == 0 => board.abandon(&log).for_each(drop),
                11 => {
                    let pn = log.push_probe(now, 8920);
                    board.on_sent(now, pn, 0, true);
                }
                _ => {
                    let base = log.keep_from(board.settled());
                    board.trim(now, base, &log);
                    log.trim(base);
                }
            }
            for n in 0.. {
                if let Some(mut news) = told.take() {
                    if let Some(shown) = news.shown.take() {
                        board.path.congestion.on_report(&shown);
                    }
                    board.recycle(news);
                }
                told = board.on_timer(now, &log);
                if told.is_none() {
                    break;
                }
                assert!(n < 10, "seed {seed}, step {step}: time stands still");
            }
            let window = board.path.congestion.window();
            assert!(window > 0 && window < ABSURD, "seed {seed}, step {step}: {window}");
            assert!(board.waits() || board.flight() == 0, "seed {seed}, step {step}");
        }
    }
}
