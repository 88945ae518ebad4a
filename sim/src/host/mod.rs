//! Hosts: each an engine, driven as its contract says, and an application on top.

mod coverage;
mod inbox;
mod receiver;
mod sender;

pub(crate) use inbox::Inbox;
pub(crate) use receiver::{MARKS, Receiver, ReceiverEnd};
pub(crate) use sender::{Sender, SenderEnd};

use crate::net::Net;
use crate::pool::Slot;
use core::time::Duration;
use std::net::SocketAddr;
use tcpxm::error::Unreachable;
use tcpxm::proto::endpoint::Endpoint;
use tcpxm::proto::event::{Action, Event, ReceiverId};
use tcpxm::proto::time::Instant;
use tcpxm::stats::Counters;

/// Longest train that a driver offers room for, bytes: the most that UDP segmentation offload takes.
const TRAIN: usize = 65_507;
/// So many rounds at one moment are taken for a loop that would never end.
const MAX_ROUNDS: u32 = 100_000;

/// A host whose socket is full wakes no sooner than after so long, as its driver does.
const BLOCKED: Duration = Duration::from_millis(1);

/// The application on a host.
#[derive(Debug)]
pub(crate) enum App {
    Sender(Sender),
    Receiver(Box<Receiver>),
}

/// How the host's system answers joins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Joins {
    pub(crate) refused: bool,
    pub(crate) delay: Duration,
}

/// One engine with its application.
pub(crate) struct Host {
    node: usize,
    pub(crate) engine: Endpoint,
    pub(crate) app: App,
    joins: Joins,
    joined: Vec<(ReceiverId, SocketAddr)>,
    /// What waits in its socket, if it is slow to take it.
    inbox: Option<Inbox>,
    /// So many bytes may wait in its socket and the queue of its interface together, if that is bounded; more can be
    /// sent when half of it has left, as on Linux (`sock_writeable`).
    outbox: Option<usize>,
    /// They do.
    blocked: bool,
    /// Its system sets the ECN bits that the engine asks for.
    says_ecn: bool,
    /// The timer event that counts; others in the queue are stale.
    armed: Option<Instant>,
    /// Rounds at the moment `round.0`.
    rounds: (Instant, u32),
}

/// Buffers that all hosts share, one after the other.
pub(crate) struct Scratch(Vec<u8>);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(vec![0; TRAIN])
    }
}

impl Host {
    pub(crate) fn new(node: usize, engine: Endpoint, app: App, joins: Joins) -> Self {
        let rounds = (Instant::ZERO, 0);
        Self {
            node,
            engine,
            app,
            joins,
            joined: Vec::new(),
            inbox: None,
            outbox: None,
            blocked: false,
            says_ecn: true,
            armed: None,
            rounds,
        }
    }

    /// The same with a system that sets ECN bits, or does not.
    pub(crate) fn saying_ecn(self, says_ecn: bool) -> Self {
        Self { says_ecn, ..self }
    }

    /// The same with a socket that is emptied slowly.
    pub(crate) fn with_inbox(self, inbox: Option<Inbox>) -> Self {
        Self { inbox, ..self }
    }

    /// The same with a socket for what is sent that holds so many bytes.
    pub(crate) fn with_outbox(self, outbox: Option<usize>) -> Self {
        Self { outbox, ..self }
    }

    /// A datagram has arrived.
    pub(crate) fn arrival(&mut self, net: &mut Net, slot: Slot, scratch: &mut Scratch) {
        if let Some(inbox) = &mut self.inbox {
            if !inbox.put(net.now(), slot, net.len(slot)) {
                net.overflow(slot);
            }
            return self.arm(net);
        }
        self.take(net, slot, scratch);
        self.fire_if_due(net.now());
        self.settle(net, scratch);
    }

    fn take(&mut self, net: &mut Net, slot: Slot, scratch: &mut Scratch) {
        if let App::Receiver(receiver) = &mut self.app {
            receiver.reached(net.now());
        }
        let arrival = net.open(slot, &mut scratch.0);
        self.engine.handle_datagram(net.now(), &arrival, &mut scratch.0[..arrival.stride]);
    }

    /// A timer event has come up. It may be stale: the deadline has moved since.
    pub(crate) fn wake(&mut self, net: &mut Net, scratch: &mut Scratch) {
        let now = net.now();
        if self.armed != Some(now) {
            return;
        }
        self.armed = None;
        while let Some(slot) = self.inbox.as_mut().and_then(|inbox| inbox.next(now)) {
            self.take(net, slot, scratch);
        }
        if let Some(load) = self.inbox.as_mut().and_then(Inbox::load) {
            self.engine.handle_load(now, &load);
        }
        self.fire_if_due(now);
        match &mut self.app {
            App::Sender(sender) => sender.wake(now, &mut self.engine),
            App::Receiver(receiver) => receiver.wake(now, &mut self.engine),
        }
        self.settle(net, scratch);
    }

    /// The system has answered a join.
    pub(crate) fn join_result(
        &mut self,
        net: &mut Net,
        receiver: ReceiverId,
        scratch: &mut Scratch,
    ) {
        let result = if self.joins.refused { Err("not permitted".to_owned()) } else { Ok(()) };
        self.engine.handle_join(net.now(), receiver, result);
        self.fire_if_due(net.now());
        self.settle(net, scratch);
    }

    /// The system says that nobody listens there.
    pub(crate) fn refused(&mut self, net: &mut Net, to: SocketAddr, scratch: &mut Scratch) {
        let why = Unreachable::Port(to.port());
        self.engine.handle_unreachable(net.now(), to, why);
        self.fire_if_due(net.now());
        self.settle(net, scratch);
    }

    /// Its process has stood still: what timers are due fire now.
    pub(crate) fn go_on(&mut self, net: &mut Net, scratch: &mut Scratch) {
        self.armed = None;
        self.fire_if_due(net.now());
        self.settle(net, scratch);
    }

    fn fire_if_due(&mut self, now: Instant) {
        if self.engine.poll_timeout().is_some_and(|at| at <= now) {
            self.engine.handle_timeout(now);
        }
    }

    /// The rest of the contract, after any input: transmits, actions and events until there are no
    /// more, since what the application does on an event may cause new ones; then the timer.
    pub(crate) fn settle(&mut self, net: &mut Net, scratch: &mut Scratch) {
        loop {
            self.count_round(net.now());
            self.transmit(net, scratch);
            while let Some(action) = self.engine.poll_action() {
                self.act(net, &action);
            }
            let mut seen = false;
            while let Some(event) = self.engine.poll_event() {
                seen = true;
                self.tell(net.now(), event);
            }
            if !seen {
                break;
            }
        }
        self.arm(net);
    }

    fn transmit(&mut self, net: &mut Net, scratch: &mut Scratch) {
        let own = net.addr(self.node);
        while !self.is_blocked(net) {
            let Some(t) = self.engine.poll_transmit(net.now(), &mut scratch.0) else { break };
            self.count_round(net.now());
            assert!(t.len > 0 && t.segment_size > 0 && t.len <= TRAIN, "not a train: {t:?}");
            assert_eq!(t.datagrams, t.len.div_ceil(t.segment_size), "datagrams of {t:?}");
            assert!(t.from.is_none_or(|ip| ip == own.ip()), "{t:?} does not leave from {own}");
            let ecn = if self.says_ecn { t.ecn } else { 0 };
            if net.send(self.node, t.to, (&scratch.0[..t.len], ecn), t.segment_size).is_err() {
                let len = t.segment_size.min(t.len);
                self.engine.handle_oversize(net.now(), t.to, len);
            }
        }
    }

    /// Whether what would be sent now finds no room.
    fn is_blocked(&mut self, net: &Net) -> bool {
        let Some(room) = self.outbox else { return false };
        let room = if self.blocked { room / 2 } else { room };
        self.blocked = net.queued(self.node) >= room;
        self.blocked
    }

    fn act(&mut self, net: &mut Net, action: &Action) {
        match *action {
            Action::Join { receiver, .. } if self.joins.refused => {
                net.join_result(self.node, receiver, self.joins.delay);
            }
            Action::Join { receiver, group, source, .. } => {
                self.joined.push((receiver, group));
                net.join(self.node, receiver, (group, source), self.joins.delay);
            }
            Action::Refresh { receiver } => {
                let group = self.joined.iter().find(|(r, _)| *r == receiver);
                if let Some((_, group)) = group {
                    net.refresh(self.node, *group);
                }
            }
            Action::Begun { .. } => {}
            // No host here counts what it drops.
            Action::Count { receiver, .. } => {
                self.engine.handle_count(net.now(), receiver, Counters::default());
            }
            Action::Leave { receiver } => {
                let Some(i) = self.joined.iter().position(|(r, _)| *r == receiver) else { return };
                let (_, group) = self.joined.swap_remove(i);
                if !self.joined.iter().any(|(_, g)| *g == group) {
                    net.leave(self.node, group);
                }
            }
        }
    }

    fn tell(&mut self, now: Instant, event: Event) {
        match (&mut self.app, event) {
            // It says nothing on the private streams that would have to be said again.
            (App::Sender(sender), Event::Session(_) | Event::Renewed(_)) => {
                sender.look(now, &mut self.engine);
            }
            (App::Receiver(receiver), Event::Incoming) => receiver.accept(now, &mut self.engine),
            (App::Receiver(receiver), Event::Receiver(id)) => {
                receiver.look(now, &mut self.engine, id);
            }
            (app, event) => panic!("{event:?} cannot happen to {app:?}"),
        }
    }

    /// Its process is gone: the system leaves the groups that it had joined.
    pub(crate) fn leave_all(&mut self, net: &mut Net) {
        for (_, group) in self.joined.drain(..) {
            net.leave(self.node, group);
        }
    }

    /// Sets the timer to the earlier of the engine's deadline and the application's.
    fn arm(&mut self, net: &mut Net) {
        let app = match &self.app {
            App::Sender(sender) => sender.wakes_at(),
            App::Receiver(receiver) => receiver.wakes_at(),
        };
        let inbox = self.inbox.as_ref().and_then(Inbox::due);
        let deadline = [self.engine.poll_timeout(), app, inbox].into_iter().flatten().min();
        let least = if self.blocked { net.now() + BLOCKED } else { net.now() };
        let Some(deadline) = deadline.map(|at| at.max(least)) else { return };
        if self.armed.is_none_or(|armed| deadline < armed) {
            self.armed = Some(deadline);
            net.wake(self.node, deadline);
        }
    }

    /// Whether the application has nothing more to wait for.
    pub(crate) fn finished(&self) -> bool {
        match &self.app {
            App::Sender(sender) => sender.end().is_some(),
            App::Receiver(receiver) => receiver.finished(),
        }
    }

    /// Time stands still in an engine that always has one more thing to do: say so.
    fn count_round(&mut self, now: Instant) {
        let count = if self.rounds.0 == now { self.rounds.1 + 1 } else { 0 };
        self.rounds = (now, count);
        assert!(count < MAX_ROUNDS, "node {} never comes to rest at {now:?}", self.node);
    }
}
