//! Sequence numbers, stream offsets and packet numbers: 32 bits on the wire, 64 inside.
//!
//! All arithmetic wraps or saturates explicitly. smoltcp's own sequence number type is not used:
//! its subtraction panics on a negative distance, which any peer can provoke.

/// A sequence number: a position modulo 2^32 (RFC 9293, 3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Seq(pub u32);

/// The largest offset of a stream byte: its 32 low bits travel in the sequence number, its 16 high
/// bits in the encapsulation header.
pub const MAX_OFFSET: u64 = (1 << 48) - 1;

/// The largest packet number. At a million packets a second it lasts 36,000 years, and 64 ranges
/// of such numbers always fit into a short datagram (see [`super::ack`]).
pub const MAX_PN: u64 = (1 << 60) - 1;

impl Seq {
    /// The sequence number of the stream byte at `offset`. The SYN takes the initial sequence
    /// number `isn` itself, so byte 0 comes one after it (RFC 9293, 3.4).
    pub fn of_offset(isn: Self, offset: u64) -> Self {
        Self(isn.0.wrapping_add(1).wrapping_add(offset as u32))
    }
}

/// The stream offset of the byte numbered `seq`, from its 16 high bits and the initial sequence
/// number. Exact, and at most [`MAX_OFFSET`]: nothing is guessed from what arrived before.
pub fn offset_of(offset_high: u16, seq: Seq, isn: Seq) -> u64 {
    let low = seq.0.wrapping_sub(isn.0).wrapping_sub(1);
    u64::from(offset_high) << 32 | u64::from(low)
}

/// Bits 47 to 32 of a stream offset that is at most [`MAX_OFFSET`].
pub fn offset_high(offset: u64) -> u16 {
    debug_assert!(offset <= MAX_OFFSET, "stream offset beyond 2^48 - 1");
    (offset >> 32) as u16
}

/// The packet number whose low 32 bits are `low` and which is closest to the one after `largest`,
/// the largest received so far (RFC 9000, appendix A.3, for 32 bits).
pub fn expand_pn(low: u32, largest: u64) -> u64 {
    const WINDOW: u64 = 1 << 32;
    const HALF: u64 = WINDOW / 2;
    let expected = largest.saturating_add(1);
    let candidate = expected & !(WINDOW - 1) | u64::from(low);
    if expected.saturating_sub(candidate) >= HALF {
        // One window up, unless that does not exist in 64 bits.
        candidate.checked_add(WINDOW).unwrap_or(candidate)
    } else if candidate.saturating_sub(expected) > HALF {
        // One window down, unless it is the first one.
        candidate.checked_sub(WINDOW).unwrap_or(candidate)
    } else {
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn offsets_across_the_wrap_of_the_sequence_number() {
        let isn = Seq(u32::MAX - 1);
        assert_eq!(Seq::of_offset(isn, 0), Seq(u32::MAX));
        assert_eq!(Seq::of_offset(isn, 1), Seq(0));
        assert_eq!(Seq::of_offset(isn, 1 << 32), Seq(u32::MAX), "the same 32 bits again");
        assert_eq!(offset_of(0, Seq(0), isn), 1);
        assert_eq!(offset_of(1, Seq(u32::MAX), isn), 1 << 32);
        assert_eq!(offset_of(u16::MAX, isn, isn), MAX_OFFSET);
    }

    #[test]
    fn packet_numbers_across_wraps() {
        assert_eq!(expand_pn(0, 0), 0);
        assert_eq!(expand_pn(0, 0xffff_ffff), 1 << 32);
        assert_eq!(expand_pn(0xffff_ffff, 1 << 32), 0xffff_ffff, "an old one, below the wrap");
        assert_eq!(expand_pn(5, 0xffff_fff0), (1 << 32) + 5, "a new one, above the wrap");
        assert_eq!(expand_pn(0xffff_ffff, 3), 0xffff_ffff, "nothing lies below the first window");
        // RFC 9000's own example (A.3), whose two bytes have become four.
        assert_eq!(expand_pn(0xa82f_9b32, 0xa82f_30ea), 0xa82f_9b32);
        // Exactly half a window away: up, as in the RFC's "candidate <= expected - half".
        assert_eq!(expand_pn(1, (1 << 32) + (1 << 31)), (2 << 32) + 1);
        assert_eq!(expand_pn(2, (1 << 32) + (1 << 31)), (1 << 32) + 2);
    }

    proptest! {
        #[test]
        fn an_offset_survives(isn: u32, offset in 0..=MAX_OFFSET) {
            let seq = Seq::of_offset(Seq(isn), offset);
            prop_assert_eq!(offset_of(offset_high(offset), seq, Seq(isn)), offset);
        }

        #[test]
        fn a_packet_number_within_half_a_window_survives(
            largest in 0..MAX_PN,
            ahead in 0..1_u64 << 31,
            behind in 0..(1_u64 << 31) - 1,
        ) {
            let up = largest + 1 + ahead;
            prop_assert_eq!(expand_pn(up as u32, largest), up);
            let down = (largest + 1).saturating_sub(behind);
            prop_assert_eq!(expand_pn(down as u32, largest), down);
        }

        #[test]
        fn no_other_packet_number_is_closer(low: u32, largest in 0..MAX_PN) {
            let pn = expand_pn(low, largest);
            prop_assert_eq!(pn as u32, low);
            let distance = pn.abs_diff(largest + 1);
            prop_assert!((pn + (1 << 32)).abs_diff(largest + 1) >= distance);
            if let Some(below) = pn.checked_sub(1 << 32) {
                prop_assert!(below.abs_diff(largest + 1) >= distance);
            }
        }

        #[test]
        fn no_packet_number_overflows(low: u32, back in 0..=u64::from(u32::MAX)) {
            prop_assert_eq!(expand_pn(low, u64::MAX - back) as u32, low);
        }
    }
}
