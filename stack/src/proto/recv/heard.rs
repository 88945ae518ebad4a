//! How well a receiver hears the group: the measurement behind option 51.

/// Segments that the measurement looks back on (`TCP-XM` slide 20, `msegrcv128`).
const SEGMENTS: u32 = 128;

/// Of the last 128 segments, how many came by multicast (`TCP-XM` slides 17, 18 and 20).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Heard {
    /// One bit per segment, the newest lowest; set when it came by multicast. The 128 bits are
    /// the window: what is shifted out is forgotten.
    bits: u128,
    counted: u32,
}

impl Heard {
    /// Nothing received yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Counts one data segment, which came by multicast or not.
    pub(crate) fn record(&mut self, multicast: bool) {
        self.bits = self.bits << 1 | u128::from(multicast);
        self.counted = (self.counted + 1).min(SEGMENTS);
    }

    /// Percentage by multicast, 0 to 100, rounded down: of the last 128 segments, or of all so far
    /// while they are fewer; 0 before the first.
    pub(crate) fn percent(&self) -> u8 {
        (self.bits.count_ones() * 100 / self.counted.max(1)) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_the_share_of_the_last_128(segments in prop::collection::vec(any::<bool>(), 0..400)) {
            let mut heard = Heard::new();
            for &s in &segments {
                heard.record(s);
            }
            let last: Vec<_> = segments.iter().rev().take(128).collect();
            let share = last.iter().filter(|s| ***s).count() * 100 / last.len().max(1);
            prop_assert_eq!(usize::from(heard.percent()), share);
        }
    }

    #[test]
    fn full_and_empty() {
        let mut heard = Heard::new();
        assert_eq!(heard.percent(), 0);
        for _ in 0..1000 {
            heard.record(true);
        }
        assert_eq!(heard.percent(), 100);
        for _ in 0..128 {
            heard.record(false);
        }
        assert_eq!(heard.percent(), 0);
    }
}
