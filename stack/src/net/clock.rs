//! The only place that reads the clock.

use crate::proto::time::Instant;

/// Maps the monotonic clock to the engine's time, with the moment of its creation as the origin.
#[derive(Debug, Clone, Copy)]
pub struct Clock(std::time::Instant);

impl Clock {
    /// A clock that shows zero now.
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// The time now. 64 bits of nanoseconds last for 584 years.
    pub fn now(&self) -> Instant {
        Instant::from_nanos(self.0.elapsed().as_nanos() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_goes_back() {
        let clock = Clock::start();
        let mut before = Instant::ZERO;
        for _ in 0..1000 {
            let now = clock.now();
            assert!(now >= before);
            before = now;
        }
        assert!(before > Instant::ZERO);
    }
}
