//! When a receiver that could not be served is tried again, if it does not come by itself.

use core::time::Duration;

/// It is tried so often at first, so that one that has come back begins to get what it lacks within ten seconds, with what
/// a session needs to begin …
pub const FIRST_WAIT: Duration = Duration::from_secs(9);
/// … for so long, in which most hosts that are only started anew are back …
pub const FIRST_TIME: Duration = Duration::from_secs(600);
/// … and then ever more seldom, but at least so often: a host that has never been told of its master cannot say that
/// it is there.
pub const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// A wait is shorter by at most this part, by chance: what went wrong for many at once is not tried at once by all.
pub const JITTER: f64 = 0.25;

/// How long to wait before the next try of a receiver that could not be served since `away`; `draw` is a random number
/// from 0 to 1. After [`FIRST_TIME`] the wait doubles each time that `away` does.
pub fn wait(away: Duration, draw: f64) -> Duration {
    let times = away.as_secs_f64() / FIRST_TIME.as_secs_f64();
    let longest = LONGEST_WAIT.as_secs_f64();
    let doubled = if times < 1.0 { 0.0 } else { times.log2().floor() + 1.0 };
    let wait = (FIRST_WAIT.as_secs_f64() * doubled.exp2()).min(longest);
    let draw = if draw.is_nan() { 0.0 } else { draw.clamp(0.0, 1.0) };
    Duration::from_secs_f64(wait * (1.0 - JITTER * draw))
}

/// A random number from 0 to 1; 0 where the system gives none.
pub fn draw() -> f64 {
    f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_host_is_tried_often_at_first_and_never_forgotten() {
        let at = |minutes| wait(MINUTE * minutes, 0.0).as_secs();
        assert_eq!([0, 9, 10, 19, 20, 40, 80].map(at), [9, 9, 18, 18, 36, 72, 144]);
        assert_eq!([160, 320, 60 * 24 * 365].map(at), [288, 300, 300], "also after a year");
        assert_eq!(wait(Duration::MAX, 0.0), LONGEST_WAIT);
    }

    #[test]
    fn chance_only_shortens_a_wait_and_by_a_quarter_at_most() {
        for away in [Duration::ZERO, MINUTE * 15, MINUTE * 10_000] {
            let longest = wait(away, 0.0);
            assert_eq!(wait(away, 1.0), longest.mul_f64(0.75));
            assert!(wait(away, 0.5) < longest);
        }
    }
}
