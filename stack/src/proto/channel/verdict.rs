//! Whether a suspect is slow: a pure function of what has come of going on without waiting for it.

use super::worth::WORTH;
use crate::config::Algorithm;
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

/// What speaks for and against it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Evidence<'a> {
    /// Bytes a second that the group made before it was suspected.
    pub(crate) before: f64,
    /// Bytes a second that arrive at the slowest of the others, and at it.
    pub(crate) others: f64,
    pub(crate) own: f64,
    pub(crate) signs: Signs,
    /// The same of each of the others.
    pub(crate) among: &'a [Signs],
    /// What it lost may be a membership that was forgotten, which does not last.
    pub(crate) excused: bool,
    /// Payload of a full segment in bytes, and its round trip without a queue, and with that there is.
    pub(crate) segment: f64,
    pub(crate) rtt: Duration,
    pub(crate) queued: Duration,
    pub(crate) algorithm: Algorithm,
    /// It has been watched for long enough to tell, for twice as long, and for as long as it may be.
    pub(crate) long: bool,
    pub(crate) longer: bool,
    pub(crate) longest: bool,
}

/// The judgement; `None`: it is not clear yet.
pub(crate) fn judge(e: &Evidence<'_>) -> Option<Verdict> {
    // Who hears nothing is not slow: that is for others to judge.
    let deaf = e.signs.heard == 0 && e.signs.packets > 0;
    let gains = e.others > e.before * WORTH;
    if e.long && gains && !deaf && !e.excused {
        if e.own < e.others * KEEPS_UP {
            return Some(Verdict::Slow { own: e.own, others: e.others });
        }
        let bearable = |rtt: Duration| bearable(e.others / WORTH, rtt, e);
        let more = || loses_more(e.signs, e.among, bearable(e.queued));
        if loses_too_much(e.signs, bearable(e.rtt)) || more() {
            let own = e.own.min(e.others / WORTH);
            return Some(Verdict::Slow { own, others: e.others });
        }
    }
    // It was not it that held them.
    let met = e.long && e.among.iter().any(|signs| signs.events > 0) || e.longer;
    (!gains && met || e.longest).then_some(Verdict::KeepsUp)
}

/// The share of packets with which a sign of congestion may come for a flow of its own to make so many bytes a second.
fn bearable(rate: f64, rtt: Duration, e: &Evidence<'_>) -> f64 {
    let rtt = rtt.as_secs_f64().max(1e-6);
    let window = (rate * rtt / e.segment.max(1.0)).max(1.0);
    let reno = (MATHIS / window).powi(2);
    match e.algorithm {
        Algorithm::Reno => reno,
        Algorithm::Cubic => reno.max(rtt * (CUBIC / window).powf(4.0 / 3.0)),
        Algorithm::Bbr => BBR,
    }
}

/// Whether so many signs of so many packets are clearly more than is borne (Chernoff's bound for a Poisson variable).
fn loses_too_much(signs: Signs, bearable: f64) -> bool {
    let (seen, expected) = (f64::from(signs.events), f64::from(signs.packets) * bearable);
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

    fn evidence(among: &[Signs]) -> Evidence<'_> {
        Evidence {
            before: LINE / 10.0,
            others: LINE,
            own: LINE,
            signs: signs(5000, 0),
            among,
            excused: false,
            segment: 1420.0,
            rtt: Duration::from_millis(20),
            queued: Duration::from_millis(20),
            algorithm: Algorithm::Cubic,
            long: true,
            longer: false,
            longest: false,
        }
    }

    fn is_slow(e: &Evidence<'_>) -> Option<bool> {
        judge(e).map(|verdict| verdict != Verdict::KeepsUp)
    }

    #[test]
    fn who_does_not_keep_up_is_slow_if_the_others_gain() {
        let e = evidence(&[]);
        assert_eq!(is_slow(&Evidence { own: LINE * 0.79, ..e }), Some(true));
        assert_eq!(is_slow(&Evidence { own: LINE * 0.79, long: false, ..e }), None);
        let nothing = Evidence { before: LINE * 0.9, own: LINE * 0.5, ..e };
        assert_eq!(is_slow(&nothing), None, "the others do not, yet");
        assert_eq!(is_slow(&Evidence { longer: true, ..nothing }), Some(false), "nor later");
        let bounded = [signs(5000, 1)];
        assert_eq!(is_slow(&Evidence { among: &bounded, ..nothing }), Some(false));
        let deaf = Signs { heard: 0, packets: 500, events: 20 };
        assert_eq!(is_slow(&Evidence { own: 0.0, signs: deaf, ..e }), None, "it hears nothing");
        assert_eq!(is_slow(&Evidence { own: 0.0, excused: true, ..e }), None);
        assert_eq!(is_slow(&e), None);
        assert_eq!(is_slow(&Evidence { longest: true, ..e }), Some(false));
    }

    #[test]
    fn who_loses_more_is_slow_unless_it_may_be_chance() {
        let three = [signs(5000, 0); 3];
        let e = evidence(&three);
        // A tenth of the line would bear nine of 1200. One of four: the twelfth sign is chance with 4^-12.
        let tenth = Evidence { others: LINE / 10.0, before: LINE / 20.0, ..e };
        assert_eq!(is_slow(&Evidence { signs: signs(1200, 11), ..tenth }), None);
        assert_eq!(is_slow(&Evidence { signs: signs(1200, 12), ..tenth }), Some(true));
        // All of it bears none.
        assert_eq!(is_slow(&Evidence { signs: signs(1200, 6), ..e }), Some(true));
        let alike = [signs(1200, 12); 3];
        let (others, before) = (LINE / 25.0, LINE / 40.0); // as losses of one in a hundred let them
        let equal = Evidence { among: &alike, signs: signs(1200, 12), others, before, ..e };
        assert_eq!(is_slow(&equal), None);
        // On a line that carries so many packets that one loss in ten thousand is borne.
        let far = Evidence { others: LINE / 100.0, before: LINE / 1000.0, own: LINE, ..e };
        assert_eq!(is_slow(&Evidence { signs: signs(1200, 12), ..far }), None);
        // It loses no more than they do, and is much farther away.
        assert_eq!(is_slow(&Evidence { rtt: Duration::from_millis(300), ..equal }), Some(true));
        let bbr = Evidence { algorithm: Algorithm::Bbr, ..e };
        assert_eq!(is_slow(&Evidence { signs: signs(1200, 12), ..bbr }), None);
        assert_eq!(is_slow(&Evidence { signs: signs(1200, 60), ..bbr }), Some(true));
    }

    #[test]
    fn laws_of_windows_meet_their_rates() {
        let e = evidence(&[]);
        let reno = bearable(LINE, e.rtt, &Evidence { algorithm: Algorithm::Reno, ..e });
        // 176 segments: (1.22 / 176)^2.
        assert!((reno / 4.8e-5 - 1.0).abs() < 0.01, "{reno}");
        let rtt = Duration::from_millis(200);
        let cubic = bearable(LINE, rtt, &e);
        // 1760 segments: 0.2 (1.054 / 1760)^(4/3).
        assert!((cubic / 1.0e-5 - 1.0).abs() < 0.02, "{cubic}");
    }
}
