//! The run: hosts on the network, and the one loop.

use crate::fault::Fault;
use crate::host::{App, Host, Inbox, Joins, Receiver, ReceiverEnd, Scratch, Sender, SenderEnd};
use crate::net::{Happening, Net, Watcher};
use crate::outcome::{Outcome, ReceiverOutcome};
use crate::pause::{Pause, SENDER};
use crate::scenario::{self, Scenario};
use core::time::Duration;
use std::net::SocketAddr;
use tcpxm::config::EndpointConfig;
use tcpxm::proto::endpoint::Endpoint;
use tcpxm::proto::time::Instant;
use tcpxm::trust::{CidKey, ListenTrust};

/// A run under way.
pub(crate) struct World<'a> {
    scenario: &'a Scenario,
    net: Net,
    /// Node by node; `None` where nobody is.
    hosts: Vec<Option<Host>>,
    /// Hosts whose application still waits for something.
    unfinished: usize,
    scratch: Scratch,
    pause: Pause,
}

impl<'a> World<'a> {
    pub(crate) fn new(scenario: &'a Scenario, watcher: Option<Watcher>) -> Self {
        let seats = scenario.seats();
        let dice = crate::dice::Dice::new(scenario.seed);
        let mut net = Net::new(&seats, scenario.join_delay, &scenario.rules, dice);
        if scenario.floods {
            net.flood();
        }
        if let Some(watcher) = watcher {
            net.watch(watcher);
        }
        for (at, fault) in &scenario.faults {
            net.strike(Instant::ZERO + *at, *fault);
        }
        let all = seats[1..].iter().zip(&scenario.receivers);
        let peers: Vec<SocketAddr> =
            all.filter(|(_, of)| of.joins.is_none()).map(|(seat, _)| seat.addr).collect();
        let mut hosts = vec![Some(sender(scenario, &mut net, &peers))];
        for node in 1..seats.len() {
            hosts.push(receiver(scenario, &mut net, node));
        }
        let unfinished = hosts.iter().flatten().count();
        Self { scenario, net, hosts, unfinished, scratch: Scratch::new(), pause: Pause::default() }
    }

    /// Runs until everyone is finished, nothing is left to happen, or the horizon is reached.
    pub(crate) fn run(mut self) -> Outcome {
        let horizon = Instant::ZERO + self.scenario.horizon;
        self.with_host(0, Host::settle);
        while self.unfinished > 0 && self.net.now() < horizon {
            match self.net.next() {
                None => break,
                Some(Happening::Strike(fault)) => self.strike(fault),
                Some(happening) if self.pause.holds(&happening) => {
                    self.pause.keep(&mut self.net, happening);
                }
                Some(happening) => self.happen(happening),
            }
        }
        self.outcome()
    }

    /// Something for one node.
    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Strike(fault) => self.strike(fault),
            Happening::Wake { node } => self.with_host(node, Host::wake),
            Happening::Arrival { node, slot } => {
                self.with_host(node, |host, net, scratch| host.arrival(net, slot, scratch));
            }
            Happening::JoinResult { node, receiver } => {
                self.with_host(node, |host, net, scratch| host.join_result(net, receiver, scratch));
            }
            Happening::Refused { node, to } => {
                self.with_host(node, |host, net, scratch| host.refused(net, to, scratch));
            }
        }
    }

    /// Lets a living host do something.
    fn with_host(&mut self, node: usize, act: impl FnOnce(&mut Host, &mut Net, &mut Scratch)) {
        if self.net.is_dead(node) {
            return;
        }
        if let Some(host) = &mut self.hosts[node] {
            let before = host.finished();
            act(host, &mut self.net, &mut self.scratch);
            if host.finished() && !before {
                self.unfinished -= 1;
            }
        }
    }

    fn strike(&mut self, fault: Fault) {
        for (node, host) in self.hosts.iter().enumerate() {
            let waits = host.as_ref().is_some_and(|host| !host.finished());
            if fault.kills(node) && waits && !self.net.is_dead(node) {
                self.unfinished -= 1;
            }
        }
        self.net.apply(fault);
        match fault {
            Fault::Restart(receiver) => self.restart(receiver + 1),
            Fault::Stop(receiver) => {
                if let Some(mut host) = self.hosts[receiver + 1].take() {
                    host.leave_all(&mut self.net);
                }
            }
            Fault::Start(receiver) => {
                self.hosts[receiver + 1] =
                    self::receiver(self.scenario, &mut self.net, receiver + 1);
                self.unfinished += 1;
            }
            Fault::Pause => self.pause.begin(),
            Fault::Resume => {
                for happening in self.pause.end() {
                    self.happen(happening);
                }
                self.with_host(SENDER, Host::go_on);
            }
            _ => {}
        }
    }

    /// Another process takes the place of a host's: its system leaves the groups of the one before.
    fn restart(&mut self, node: usize) {
        let Some(host) = &mut self.hosts[node] else { return };
        host.leave_all(&mut self.net);
        self.unfinished += usize::from(host.finished());
        self.hosts[node] = receiver(self.scenario, &mut self.net, node);
    }

    fn outcome(mut self) -> Outcome {
        let now = self.net.now();
        let mut sender: Option<SenderEnd> = None;
        let mut ends = Vec::new();
        for host in &mut self.hosts {
            let Some(host) = host else {
                ends.push(ReceiverEnd::default());
                continue;
            };
            match &mut host.app {
                App::Sender(app) => sender = Some(app.leave(now, &mut host.engine)),
                App::Receiver(app) => ends.push(app.leave(now, &mut host.engine)),
            }
        }
        let sender = sender.expect("node 0 is the sender");
        let drained = ends.iter().enumerate().filter(|(i, _)| self.scenario.survives(*i));
        let completed = drained
            .map(|(_, end)| end.drained)
            .max_by_key(|at| at.map_or(u64::MAX, Instant::as_nanos));
        let (traffic, fingerprint) = self.net.result();
        let receivers = ends.into_iter().zip(sender.reports).map(|(end, report)| ReceiverOutcome {
            verified: end.verified,
            intact: end.intact,
            complaint: end.complaint,
            reached: end.reached.map(since_start),
            begun: end.begun.map(since_start),
            drained: end.drained.map(since_start),
            stall: end.stall,
            marks: end.marks.map(|mark| mark.map(since_start)),
            closed: end.closed,
            arrived: end.arrived,
            report,
        });
        Outcome {
            receivers: receivers.collect(),
            sent: sender.sent,
            supplied: sender.supplied,
            completed: completed.flatten().map(since_start),
            done: sender.at.map(since_start),
            traffic,
            fingerprint: *fingerprint.as_bytes(),
        }
    }
}

fn since_start(at: Instant) -> Duration {
    at.since(Instant::ZERO)
}

fn sender(scenario: &Scenario, net: &mut Net, peers: &[SocketAddr]) -> Host {
    let config = EndpointConfig { port: net.addr(0).port(), ..EndpointConfig::default() };
    let mut engine = Endpoint::new(config, net.dice().seed());
    let mut app = Sender::connect(scenario, Instant::ZERO, &mut engine, peers)
        .unwrap_or_else(|error| panic!("the scenario cannot be: {error}"));
    for (node, receiver) in (1..).zip(&scenario.receivers) {
        if let Some(at) = receiver.joins {
            app.will_add(Instant::ZERO + at, net.addr(node));
        }
    }
    let joins = Joins { refused: true, delay: Duration::ZERO };
    let host = Host::new(0, engine, App::Sender(app), joins);
    host.saying_ecn(scenario.ecn).with_outbox(scenario.outbox)
}

fn receiver(scenario: &Scenario, net: &mut Net, node: usize) -> Option<Host> {
    let plan = scenario.receivers[node - 1];
    if plan.absent {
        net.apply(Fault::Kill(node - 1));
        return None;
    }
    let port = net.addr(node).port();
    let listen = Some(ListenTrust::Secret(vec![scenario::secret()]));
    // What a daemon keeps on its disk.
    let kept = scenario.restarts(node - 1).then(|| CidKey::new([node as u8; 32]));
    let config = EndpointConfig { listen, port, cid_key: kept, ..EndpointConfig::default() };
    let engine = Endpoint::new(config, net.dice().seed());
    let app = Receiver::new(scenario, &plan);
    let joins = Joins { refused: plan.cannot_join, delay: scenario.join_result_delay };
    let inbox = plan.host.map(|(rate, buffer)| Inbox::new(rate, buffer));
    Some(Host::new(node, engine, App::Receiver(Box::new(app)), joins).with_inbox(inbox))
}
