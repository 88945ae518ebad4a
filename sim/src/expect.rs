//! What a scenario asks of its runs beyond what all are held to.

use crate::outcome::Outcome;
use crate::scenario::Scenario;
use core::time::Duration;
use tcpxm::stats::{Mode, Transition};

/// UDP and IP headers of a datagram, IPv4 and IPv6.
const BELOW: [u64; 2] = [28, 48];

/// What is asked; nothing unless it is said.
#[derive(Debug, Clone, Default)]
pub struct Expect {
    /// Nobody leaves the group since it does not keep up with the others.
    pub no_eviction: bool,
    /// So long no surviving receiver waits for its next byte, at most.
    pub stall: Option<Duration>,
    /// So many bytes leave the sender for each byte of the stream, at most, UDP and IP headers included.
    pub uplink: Option<f64>,
    /// All survivors have everything by then.
    pub within: Option<Duration>,
    /// All but this receiver have everything by then.
    pub others: Option<(usize, Duration)>,
    /// What went to the group was so many times the stream, at most.
    pub group: Option<f64>,
    /// So many bytes are read from the source, at most.
    pub supplied: Option<u64>,
    /// Whoever has left the group follows it again.
    pub comes_back: bool,
}

impl Expect {
    /// What is not as it was to be.
    pub(crate) fn faults(&self, scenario: &Scenario, outcome: &Outcome) -> Vec<String> {
        let mut faults = Vec::new();
        for (i, r) in outcome.receivers.iter().enumerate() {
            let transitions = &r.report.transitions;
            let evicted = transitions.iter().find(|t| is_eviction(t));
            if let Some(evicted) = evicted.filter(|_| self.no_eviction) {
                faults.push(format!("receiver {i}: it was evicted: {evicted:?}"));
            }
            let survives = scenario.survives(i);
            if self.stall.is_some_and(|most| survives && r.stall > most) {
                faults.push(format!("receiver {i}: nothing came for {:?}", r.stall));
            }
            let left = transitions.iter().rposition(|t| t.mode == Mode::Unicast);
            let back = transitions.iter().rposition(|t| t.mode == Mode::Multicast);
            if self.comes_back && survives && left.is_some() && left > back {
                faults.push(format!("receiver {i}: it did not come back: {transitions:?}"));
            }
        }
        if let Some((worse, most)) = self.others {
            let others = outcome.receivers.iter().enumerate().filter(|(i, _)| *i != worse);
            for (i, r) in others.filter(|(_, r)| r.drained.is_none_or(|at| at > most)) {
                faults.push(format!("receiver {i}: it had everything at {:?}", r.drained));
            }
        }
        let group = outcome.sent.group_bytes as f64 / scenario.bytes as f64;
        if let Some(most) = self.group.filter(|most| group > *most) {
            faults.push(format!("{group:.3} of the stream went to the group, above {most:.3}"));
        }
        if let Some(most) = self.supplied.filter(|most| outcome.supplied > *most) {
            faults
                .push(format!("{} bytes of the source were read, above {most}", outcome.supplied));
        }
        let below = BELOW[usize::from(scenario.v6)] * outcome.sent.datagrams;
        let uplink = (outcome.sent.datagram_bytes + below) as f64 / scenario.bytes as f64;
        if let Some(most) = self.uplink.filter(|most| uplink > *most) {
            faults.push(format!("{uplink:.3} of the stream left the sender, more than {most:.3}"));
        }
        if self.within.is_some_and(|most| outcome.completed.is_none_or(|time| time > most)) {
            faults.push(format!("completed after {:?}", outcome.completed));
        }
        faults
    }
}

fn is_eviction(transition: &Transition) -> bool {
    transition.why == "does not keep up with the others"
}
