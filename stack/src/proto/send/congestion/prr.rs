//! How a reduced window is reached: by sending in proportion to what arrives, not by a silence
//! (Proportional Rate Reduction, RFC 9937).

/// One recovery.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prr {
    /// Bytes in flight when it began (`RecoverFS`).
    flight: u64,
    /// Bytes delivered since (`prr_delivered`).
    delivered: u64,
    /// Bytes sent since (`prr_out`).
    out: u64,
}

impl Prr {
    /// Begins with so many bytes in flight.
    pub(super) fn new(flight: u64) -> Self {
        Self { flight: flight.max(1), delivered: 0, out: 0 }
    }

    pub(super) fn on_sent(&mut self, bytes: u64) {
        self.out = self.out.saturating_add(bytes);
    }

    /// The window after a report of `acked` bytes, with `flight` bytes still out, on the way to
    /// `threshold`; `more_lost`: the report showed further losses.
    pub(super) fn on_ack(
        &mut self,
        acked: u64,
        more_lost: bool,
        flight: u64,
        threshold: u64,
        mss: u64,
    ) -> u64 {
        self.delivered = self.delivered.saturating_add(acked);
        let mut allowed = if flight > threshold {
            // In proportion (RFC 9937, 6.2).
            let part = u128::from(self.delivered) * u128::from(threshold);
            let part = part.div_ceil(u128::from(self.flight));
            u64::try_from(part).unwrap_or(u64::MAX).saturating_sub(self.out)
        } else {
            // Losses took more than the reduction asked for: one for one (conservative), and like
            // slow start while no further loss shows (RFC 9937, 6.2: `SafeACK`).
            let bound = self.delivered.saturating_sub(self.out).max(acked);
            let bound = if acked > 0 && !more_lost { bound.saturating_add(mss) } else { bound };
            bound.min(threshold - flight)
        };
        if self.out == 0 {
            allowed = allowed.max(mss); // the first retransmission never waits (RFC 9937, 6.2)
        }
        flight.saturating_add(allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MSS: u64 = 1000;

    /// One loss of a hundred: by the end of the recovery the window is the threshold, and every
    /// ten deliveries let seven segments go.
    #[test]
    fn a_single_loss_is_reached_in_proportion() {
        let (mut prr, mut flight) = (Prr::new(97 * MSS), 96 * MSS);
        let mut sent = 0;
        for n in 0..95 {
            flight -= MSS;
            let window = prr.on_ack(MSS, false, flight, 70 * MSS, MSS);
            while flight + MSS <= window {
                prr.on_sent(MSS);
                flight += MSS;
                sent += 1;
            }
            assert!(sent <= n * 72 / 100 + 3, "{sent} after {n}");
        }
        assert!((69..=71).contains(&(flight / MSS)), "{}", flight / MSS);
    }

    #[test]
    fn heavy_loss_sends_what_arrives_and_not_more_while_it_lasts() {
        let mut prr = Prr::new(100 * MSS);
        // 60 of 100 lost at once
        assert_eq!(prr.on_ack(3 * MSS, true, 37 * MSS, 70 * MSS, MSS), 40 * MSS);
        prr.on_sent(3 * MSS);
        assert_eq!(prr.on_ack(MSS, true, 39 * MSS, 70 * MSS, MSS), 40 * MSS);
        prr.on_sent(MSS);
        assert_eq!(prr.on_ack(MSS, false, 39 * MSS, 70 * MSS, MSS), 41 * MSS, "and one more");
    }

    proptest! {
        #[test]
        fn never_above_the_threshold_unless_the_flight_is(
            flight: u32, at: u32, threshold: u32, acked: u32, out: u32, more_lost: bool,
        ) {
            let mut prr = Prr::new(flight.into());
            prr.on_sent(out.into());
            let (flight, threshold) = (u64::from(at), u64::from(threshold));
            let window = prr.on_ack(acked.into(), more_lost, flight, threshold, MSS);
            prop_assert!(window >= flight);
            prop_assert!(flight > threshold || window <= threshold.max(flight + MSS));
        }
    }
}
