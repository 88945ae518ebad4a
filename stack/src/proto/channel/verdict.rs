//! Whether a suspect is slow: a pure function of what has come of going on without waiting for it.

use super::worth::WORTH;
use crate::config::Algorithm;
use crate::proto::send::scoreboard::JUDGED;
use core::time::Duration;

/// Who gets less than this part of what the others get does not keep up.
pub(crate) const KEEPS_UP: f64 = 0.8;
/// What would be chance once in so many judgements is none: e^16 is nine million.
const CHANCE: f64 = 16.0;
/// What the square-root law has for its constant (Mathis, Semke, Mahdavi, Ott 1997).
const MATHIS: f64 = 1.22;
/// CUBIC's law (RFC 9438, 5.1, figure 5, with its C and beta): segments of its window to the fourth are so many times the
/// cube of a round trip in seconds by that of the loss.
const CUBIC: f64 = 1.054;
/// BBR bears so much of loss (draft-ietf-ccwg-bbr, `BBRLossThresh`).
const BBR: f64 = 0.02;

/// What was seen of a member while it was watched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Signs {
    /// Packets of the group that it heard.
    pub(crate) heard: u32,
    /// Packets of which it is known whether it did.
    pub(crate) packets: u32,
    /// Signs of congestion, losses or marks, of which one counts in a round trip.
    pub(crate) events: u32,
}

/// What is to become of a suspect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Verdict {
    /// It is evicted: bytes a second that it took, and that the others got.
    Slow { own: f64, others: f64 },
    /// The group waits for it again.
    KeepsUp,
}

/// Bytes a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates {
    /// That the group made before it was suspected.
    pub(crate) before: f64,
    /// That arrive at the slowest of the others, and at it.
    pub(crate) others: f64,
    pub(crate) own: f64,
}

/// What a flow of its own would have to live with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) algorithm: Algorithm,
    /// Payload of a full segment in bytes.
    pub(crate) segment: f64,
    /// Its round trip without a queue, and with that there is.
    pub(crate) rtt: Duration,
    pub(crate) queued: Duration,
}

/// For how long it has been watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Watched {
    /// Too short to tell.
    Short,
    Long,
    /// Twice as long.
    Longer,
    /// As long as it may be.
    Longest,
}

/// What speaks for and against it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Evidence<'a> {
    pub(crate) rates: Rates,
    pub(crate) signs: Signs,
    /// The same of each of the others.
    pub(crate) among: &'a [Signs],
    /// The longest round trip of these, with the queue that there is.
    pub(crate) among_rtt: Duration,
    /// What it lost may be a membership that was forgotten, which does not last.
    pub(crate) excused: bool,
    pub(crate) way: Way,
    pub(crate) watched: Watched,
}

/// The judgement; `None`: it is not clear yet.
pub(crate) fn judge(e: &Evidence<'_>) -> Option<Verdict> {
    let Rates { before, others, own } = e.rates;
    // Who hears nothing is not slow: that is for others to judge.
    let deaf = e.signs.heard == 0 && e.signs.packets > 0;
    let gains = others > before * WORTH;
    let long = e.watched >= Watched::Long;
    if long && gains && !deaf && !e.excused {
        if own < others * KEEPS_UP {
            return Some(Verdict::Slow { own, others });
        }
        let bearable = |rtt: Duration| e.way.bearable(others / WORTH, rtt);
        let more = || loses_more(e.signs, e.among, bearable(e.way.queued));
        let enough = e.signs.packets >= JUDGED;
        let too_much = || loses_too_much(e.signs, bearable(e.way.rtt), e.expected_by(others));
        if enough && (too_much() || more()) {
            return Some(Verdict::Slow { own: own.min(others / WORTH), others });
        }
    }
    // It was not it that held them.
    let bounded = long && e.among.iter().any(|signs| signs.events > 0);
    let met = bounded || e.watched >= Watched::Longer;
    (!gains && met || e.watched == Watched::Longest).then_some(Verdict::KeepsUp)
}

impl Evidence<'_> {
    /// Signs that it may see, going by the one of the others that sees the most, and one more for chance: what they lose
    /// as well does not last at this rate, if it is too much. Who is farther away than they bears as much less.
    fn expected_by(&self, others: f64) -> f64 {
        let most = self.among.iter().map(|signs| signs.events).max().unwrap_or_default();
        let bearable = |rtt: Duration| self.way.bearable(others / WORTH, rtt);
        let farther = (bearable(self.way.rtt) / bearable(self.among_rtt)).min(1.0);
        f64::from(most + 1) * farther
    }
}

impl Way {
    /// The share of packets with which a sign of congestion may come for a flow to make so many bytes a second.
    fn bearable(&self, rate: f64, rtt: Duration) -> f64 {
        let rtt = rtt.as_secs_f64().max(1e-6);
        let window = (rate * rtt / self.segment.max(1.0)).max(1.0);
        let reno = (MATHIS / window).powi(2);
        match self.algorithm {
            Algorithm::Reno => reno,
            Algorithm::Cubic => reno.max(rtt * (CUBIC / window).powf(4.0 / 3.0)),
            Algorithm::Bbr => BBR,
        }
    }
}

/// Whether so many signs of so many packets are clearly more than is borne, and than as many as are `expected` by what
/// others see (Chernoff's bound for a Poisson variable).
fn loses_too_much(signs: Signs, bearable: f64, expected: f64) -> bool {
    let seen = f64::from(signs.events);
    let expected = expected.max(f64::from(signs.packets) * bearable);
    seen > expected && seen * (seen / expected).ln() - seen + expected > CHANCE
}

/// Whether it is more than is borne, and it sees clearly more signs than its equals would: each sign is as likely one of
/// its own as of any of the others (Chernoff's bound for a binomial variable).
fn loses_more(signs: Signs, among: &[Signs], bearable: f64) -> bool {
    let own = f64::from(signs.events);
    let all = own + among.iter().map(|signs| f64::from(signs.events)).sum::<f64>();
    let (share, fair) = (own / all.max(1.0), 1.0 / (among.len() as f64 + 1.0));
    if own <= f64::from(signs.packets) * bearable || share <= fair {
        return false;
    }
    let part = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    all * (part(share, fair) + part(1.0 - share, 1.0 - fair)) > CHANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 100 Mbit/s and 20 ms.
    const LINE: f64 = 12.5e6;

    fn signs(packets: u32, events: u32) -> Signs {
        Signs { heard: packets - events, packets, events }
    }

    fn rates(before: f64, others: f64, own: f64) -> Rates {
        Rates { before: LINE * before, others: LINE * others, own: LINE * own }
    }

    fn evidence(among: &[Signs]) -> Evidence<'_> {
        let rtt = Duration::from_millis(20);
        Evidence {
            rates: rates(0.1, 1.0, 1.0),
            signs: signs(5000, 0),
            among,
            among_rtt: rtt,
            excused: false,
            way: Way { algorithm: Algorithm::Cubic, segment: 1420.0, rtt, queued: rtt },
            watched: Watched::Long,
        }
    }

    fn is_slow(e: &Evidence<'_>) -> Option<bool> {
        judge(e).map(|verdict| verdict != Verdict::KeepsUp)
    }

    #[test]
    fn who_does_not_keep_up_is_slow_if_the_others_gain() {
        let e = evidence(&[]);
        let behind = Evidence { rates: rates(0.1, 1.0, 0.79), ..e };
        assert_eq!(is_slow(&behind), Some(true));
        assert_eq!(is_slow(&Evidence { watched: Watched::Short, ..behind }), None);
        assert_eq!(is_slow(&Evidence { excused: true, ..behind }), None);
        let deaf = Signs { heard: 0, packets: 500, events: 20 };
        assert_eq!(is_slow(&Evidence { signs: deaf, ..behind }), None, "it hears nothing");
        let nothing = Evidence { rates: rates(0.9, 1.0, 0.5), ..e };
        assert_eq!(is_slow(&nothing), None, "the others do not gain, yet");
        let later = Evidence { watched: Watched::Longer, ..nothing };
        assert_eq!(is_slow(&later), Some(false), "nor later");
        let bounded = [signs(5000, 1)];
        assert_eq!(is_slow(&Evidence { among: &bounded, ..nothing }), Some(false));
        assert_eq!(is_slow(&e), None);
        assert_eq!(is_slow(&Evidence { watched: Watched::Longest, ..e }), Some(false));
    }

    #[test]
    fn who_loses_more_is_slow_unless_it_may_be_chance() {
        let three = [signs(5000, 0); 3];
        let e = evidence(&three);
        let losing =
            |e: Evidence<'_>, events| is_slow(&Evidence { signs: signs(1200, events), ..e });
        let early = Signs { heard: 0, packets: 0, events: 1 };
        let early = Evidence { signs: early, watched: Watched::Long, ..e };
        assert_eq!(is_slow(&early), None, "it is of what was sent before");
        // A tenth of the line would bear nine of 1200. One of four: the twelfth sign is chance with 4^-12.
        let tenth = Evidence { rates: rates(0.05, 0.1, 0.1), ..e };
        assert_eq!((losing(tenth, 11), losing(tenth, 12)), (None, Some(true)));
        // All of it bears none; of the others nobody sees any, where one might be chance.
        assert_eq!((losing(e, 10), losing(e, 11)), (None, Some(true)));
        // What they see as well is more than any of them could bear for long: it is no worse for that.
        let eight = [5, 5, 4, 4, 6, 5, 4].map(|events| signs(5700, events));
        let sinking = Evidence { among: &eight, rates: rates(0.23, 0.75, 0.75), ..e };
        let seen = |events| is_slow(&Evidence { signs: signs(5700, events), ..sinking });
        assert_eq!((seen(10), seen(20), seen(30)), (None, None, Some(true)));
        // As losses of one in a hundred let them.
        let alike = [signs(1200, 12); 3];
        let equal = Evidence { among: &alike, rates: rates(0.025, 0.04, 0.04), ..e };
        assert_eq!(losing(equal, 12), None);
        // It loses no more than they do, and is much farther away.
        let far = Way { rtt: Duration::from_millis(300), ..e.way };
        assert_eq!(losing(Evidence { way: far, ..equal }, 12), Some(true));
        let bbr = Evidence { way: Way { algorithm: Algorithm::Bbr, ..e.way }, ..e };
        assert_eq!((losing(bbr, 12), losing(bbr, 60)), (None, Some(true)));
    }

    #[test]
    fn laws_of_windows_meet_their_rates() {
        let way = evidence(&[]).way;
        let reno = Way { algorithm: Algorithm::Reno, ..way }.bearable(LINE, way.rtt);
        // 176 segments: (1.22 / 176)^2.
        assert!((reno / 4.8e-5 - 1.0).abs() < 0.01, "{reno}");
        let cubic = way.bearable(LINE, Duration::from_millis(200));
        // 1760 segments: 0.2 (1.054 / 1760)^(4/3).
        assert!((cubic / 1.0e-5 - 1.0).abs() < 0.02, "{cubic}");
    }
}
