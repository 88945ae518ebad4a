//! Receivers that hold a part of the stream before it is sent, and what that leaves to be sent.

use crate::dice::Dice;
use crate::scenario::Scenario;
use core::ops::Range;
use core::time::Duration;

/// What a receiver holds at the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Holding {
    /// Nothing.
    #[default]
    Nothing,
    /// All bytes below.
    Below(u64),
    /// All but the bytes from one offset to another.
    Outside(u64, u64),
    /// All but so many bytes, which lie scattered over so many places, evenly.
    AllBut {
        /// Bytes that it lacks.
        bytes: u64,
        /// Places at which they lie.
        places: u64,
    },
    /// Ranges drawn with this seed: about half of the stream, in about so many pieces.
    Drawn {
        /// Seed.
        seed: u64,
        /// Pieces.
        pieces: u64,
    },
}

impl Holding {
    /// Its ranges in a stream of `len` bytes, in order, none touching another.
    pub fn ranges(self, len: u64) -> Vec<Range<u64>> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Below(end) => vec![0..end.min(len)],
            Self::Outside(start, end) => {
                [0..start.min(len), end..len].into_iter().filter(|r| r.start < r.end).collect()
            }
            Self::AllBut { bytes, places } => {
                let (each, gap) = (len / places, bytes / places);
                let held =
                    |n: u64| n * each + gap..if n + 1 == places { len } else { (n + 1) * each };
                (0..places).map(held).collect()
            }
            Self::Drawn { seed, pieces } => {
                let mut dice = Dice::new(seed);
                let most = (len / pieces.max(1)).max(2);
                let most = Duration::from_nanos(most - 1);
                let mut draw = |at: u64| at + 1 + dice.below(most).as_nanos() as u64;
                let (mut all, mut at) = (Vec::new(), 0);
                while at < len {
                    let start = draw(at);
                    let end = draw(start).min(len);
                    if start < end {
                        all.push(start..end);
                    }
                    at = end.max(start);
                }
                all
            }
        }
    }
}

/// What of the stream receivers take back once they have all of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TakenBack {
    /// Blocks, spread over the stream.
    pub blocks: u64,
    /// Bytes of each.
    pub len: u64,
}

impl TakenBack {
    /// Their ranges in a stream of `len` bytes.
    pub fn ranges(self, len: u64) -> Vec<Range<u64>> {
        let start = |n: u64| n * (len / self.blocks);
        (0..self.blocks).map(|n| start(n)..(start(n) + self.len).min(len)).collect()
    }
}

/// What one receiver does with declarations.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Declares {
    pub(crate) holding: Holding,
    /// The second half of what it holds and lacks is said so long after the first.
    pub(crate) late: Option<Duration>,
    pub(crate) taken_back: Option<TakenBack>,
}

/// What a session with declarations has to send at the least, in bytes of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lacking {
    /// Lacked by two or more.
    pub shared: u64,
    /// Lacked by one, for each.
    pub alone: u64,
}

/// What the receivers of a scenario lack, what they take back included.
pub fn lacking(scenario: &Scenario) -> Lacking {
    let len = scenario.bytes;
    let mut edges: Vec<(u64, i64)> = Vec::new();
    let mut alone = 0;
    for receiver in &scenario.receivers {
        let mut at = 0;
        for held in receiver.declares.holding.ranges(len) {
            edges.extend([(at, 1), (held.start, -1)]);
            at = held.end;
        }
        edges.extend([(at, 1), (len, -1)]);
        let again = receiver.declares.taken_back.unwrap_or_default();
        alone += again.blocks * again.len;
    }
    edges.sort_unstable();
    let (mut count, mut from, mut shared) = (0, 0, 0);
    for (at, step) in edges {
        match count {
            0 => {}
            1 => alone += at - from,
            _ => shared += at - from,
        }
        (from, count) = (at, count + step);
    }
    Lacking { shared, alone }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_counted_once_if_it_is_shared() {
        let scenario = Scenario::new(1)
            .receivers(3)
            .bytes(1000)
            .holding(0, Holding::Below(500))
            .holding(1, Holding::AllBut { bytes: 100, places: 10 });
        // Of the first half 50 bytes are lacked by two, 450 by the last alone.
        assert_eq!(lacking(&scenario), Lacking { shared: 550, alone: 450 });
    }

    #[test]
    fn a_holding_is_ranges_in_order() {
        for holding in [
            Holding::AllBut { bytes: 671_000, places: 1000 },
            Holding::Drawn { seed: 3, pieces: 50 },
        ] {
            let ranges = holding.ranges(64 << 20);
            assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start), "{holding:?}");
            assert!(ranges.iter().all(|range| range.start < range.end && range.end <= 64 << 20));
        }
        let held: u64 = Holding::AllBut { bytes: 671_000, places: 1000 }
            .ranges(64 << 20)
            .iter()
            .map(|r| r.end - r.start)
            .sum();
        assert_eq!((64 << 20) - held, 671_000);
    }
}
