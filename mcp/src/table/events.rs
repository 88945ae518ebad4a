//! How a host was served, change by change: `events` of `--json`.

use crate::reach::Reach;
use serde::Serialize;
use tcpxm::stats::{MemberReport, Transition};

/// A change of a host's mode; or that it is lost, or there again.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Event {
    /// Since the session began.
    seconds: f64,
    host: String,
    /// What it went to.
    mode: &'static str,
    /// Why, with all that is known of it.
    reason: String,
    /// What it was measured by, where that was how fast it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    rates: Option<Rates>,
}

/// Bits a second.
#[derive(Debug, Clone, Copy, Serialize)]
struct Rates {
    /// What it took by itself.
    own: u64,
    /// What the group brought the others, or it.
    group: u64,
}

/// All of a host's, with the reasons as they are told while the copy runs; `reach` is there if a session was.
pub(crate) fn of(host: &str, report: &MemberReport, reach: Option<&Reach>) -> Vec<Event> {
    let event = |change: &Transition| Event {
        seconds: change.at.as_secs_f64(),
        host: host.to_owned(),
        mode: change.mode.name(),
        reason: reach.map_or_else(|| change.to_string(), |reach| reach.told(change, report)),
        rates: change.reason.as_ref().and_then(|reason| {
            let (own, group) = reason.rates()?;
            Some(Rates { own, group })
        }),
    };
    report.transitions.iter().map(event).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tcpxm::stats::{Mode, ModeReason};

    fn events(reason: Option<ModeReason>) -> String {
        let mut report = super::super::tests::report(1, Mode::Unicast);
        let at = Duration::from_millis(1500);
        report.transitions = vec![Transition { at, mode: Mode::Unicast, why: "few words", reason }];
        serde_json::to_string(&of("n1", &report, None)).unwrap()
    }

    #[test]
    fn each_says_why_and_by_which_rates() {
        let slow = ModeReason::Slow { own: 3_000_000, group: 95_000_000 };
        assert_eq!(
            events(Some(slow)),
            r#"[{"seconds":1.5,"host":"n1","mode":"unicast","reason":"it was slow and left: it took 3.0 Mbit/s, the others 95.0 Mbit/s","rates":{"own":3000000,"group":95000000}}]"#
        );
        let told = events(Some(ModeReason::CannotJoin("no such device".to_owned())));
        assert!(told.contains(r#""reason":"it cannot join the group: no such device"}"#), "{told}");
        assert!(events(None).contains(r#""reason":"few words"}"#));
    }
}
