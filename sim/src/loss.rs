//! How a line loses datagrams.

use crate::dice::Dice;

/// A loss process.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Loss {
    /// None.
    #[default]
    None,
    /// Each datagram by itself, with this probability.
    Random(f64),
    /// In bursts: a two-state chain, stepped once per datagram (Gilbert 1960, Elliott 1963).
    Burst {
        /// Probability of entering a burst.
        p_enter: f64,
        /// Probability of leaving it; a burst is 1 / `p_leave` datagrams long in the mean.
        p_leave: f64,
        /// Probability of loss within a burst; outside of one nothing is lost.
        p_loss_in_burst: f64,
    },
}

impl Loss {
    /// The fraction of datagrams lost in the long run.
    pub fn mean(self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Random(p) => p,
            Self::Burst { p_enter, p_leave, p_loss_in_burst } => {
                if p_enter + p_leave == 0.0 {
                    return 0.0;
                }
                p_loss_in_burst * p_enter / (p_enter + p_leave)
            }
        }
    }
}

/// A loss process under way.
#[derive(Debug)]
pub(crate) struct Losing {
    loss: Loss,
    in_burst: bool,
}

impl Losing {
    pub(crate) fn new(loss: Loss) -> Self {
        Self { loss, in_burst: false }
    }

    /// Whether the next datagram is lost.
    pub(crate) fn next(&mut self, dice: &mut Dice) -> bool {
        match self.loss {
            Loss::None => false,
            Loss::Random(p) => dice.chance(p),
            Loss::Burst { p_enter, p_leave, p_loss_in_burst } => {
                let turns = dice.chance(if self.in_burst { p_leave } else { p_enter });
                self.in_burst ^= turns;
                self.in_burst && dice.chance(p_loss_in_burst)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: usize = 200_000;

    fn run(loss: Loss) -> Vec<bool> {
        let (mut losing, mut dice) = (Losing::new(loss), Dice::new(11));
        (0..COUNT).map(|_| losing.next(&mut dice)).collect()
    }

    fn rate(lost: &[bool]) -> f64 {
        lost.iter().filter(|l| **l).count() as f64 / lost.len() as f64
    }

    /// Of the losses, the fraction that is followed by another.
    fn clustering(lost: &[bool]) -> f64 {
        let pairs = lost.windows(2).filter(|w| w[0] && w[1]).count();
        pairs as f64 / lost.iter().filter(|l| **l).count() as f64
    }

    #[test]
    fn random_loss_has_its_rate_and_no_memory() {
        let lost = run(Loss::Random(0.05));
        // Bernstein: 2 exp(−t² / 2(np(1 − p) + t/3)) < 10⁻⁹ for t = 0.0035 n, n = 200,000, p = 0.05;
        // and for t = 0.02 n of the n > 9,300 losses, each followed by one with p = 0.05
        assert!((rate(&lost) - 0.05).abs() < 0.003_5, "{}", rate(&lost));
        assert!((clustering(&lost) - 0.05).abs() < 0.02, "{}", clustering(&lost));
    }

    #[test]
    fn bursts_have_the_mean_they_state_and_cluster() {
        let loss = Loss::Burst { p_enter: 0.005, p_leave: 0.2, p_loss_in_burst: 0.8 };
        let seen = run(loss);
        // About b = 976 bursts, geometric of mean 5: a variance of b (45 × 0.8² + 5 × 0.16) = 170²
        // losses; 0.006 n = 1,200 are seven times that, 2 Q(7) < 10⁻¹¹. A loss is followed by
        // another with p = 0.8² at least: of more than 2,700, half or fewer with less than
        // exp(−2 × 2700 × 0.14²) < 10⁻⁴⁵ (Hoeffding).
        assert!((rate(&seen) - loss.mean()).abs() < 0.006, "{} {}", rate(&seen), loss.mean());
        assert!(clustering(&seen) > 0.5, "{}", clustering(&seen));
    }

    #[test]
    fn a_perfect_line_loses_nothing() {
        assert!(run(Loss::None).iter().all(|l| !l));
        let still = Loss::Burst { p_enter: 0.0, p_leave: 0.0, p_loss_in_burst: 1.0 };
        assert!(still.mean().abs() < f64::EPSILON && run(still).iter().all(|l| !l));
    }
}
