//! Congestion avoidance of Reno (RFC 5681).

/// State of congestion avoidance.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reno {
    /// Bytes acknowledged since the window last grew (RFC 3465, 2.1).
    acked: u64,
}

impl Reno {
    /// The window after `acked` more bytes: one segment more per window acknowledged (RFC 5681,
    /// 3.1; counted in bytes, RFC 3465, 2.1).
    pub(super) fn grow(&mut self, acked: u64, window: u64, mss: u64) -> u64 {
        self.acked = self.acked.saturating_add(acked);
        if self.acked < window {
            return window;
        }
        // A count kept from a larger window is worth one segment, not several.
        self.acked = (self.acked - window).min(window);
        window.saturating_add(mss)
    }

    /// What is left of `bytes` after a loss: half (RFC 5681, 3.1, equation 4).
    pub(super) fn lose(&mut self, bytes: u64) -> u64 {
        self.acked = 0;
        bytes / 2
    }
}

#[cfg(test)]
mod tests {
    use crate::proto::send::congestion::loss_based::LossBased;
    use crate::proto::time::Instant;
    use core::time::Duration;

    #[test]
    fn one_segment_more_per_round_trip() {
        const MSS: u64 = 1000;
        let mut c = LossBased::reno(MSS);
        c.raise_to(100 * MSS);
        c.on_loss(Instant::ZERO);
        for round in 0..50 {
            assert_eq!(c.window(), (50 + round) * MSS);
            let mut left = c.window();
            while left > 0 {
                let acked = left.min(2 * MSS);
                c.on_ack(Instant::ZERO, acked, Duration::ZERO, None);
                left -= acked;
            }
        }
    }
}
