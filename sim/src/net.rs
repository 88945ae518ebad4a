//! The network: nodes on a fabric, and the one queue of everything that will happen.

use crate::agenda::Agenda;
use crate::dice::Dice;
use crate::fabric::Fabric;
use crate::fault::{DropRule, Dropping, Fault, Passing, Who};
use crate::link::{Line, Link, Passage, frame_len, packet_len};
use crate::loss::Loss;
use crate::outcome::Traffic;
use crate::pool::{Datagram, Pool, Slot};
use crate::trace::{Fate, Sighting};
use core::time::Duration;
use std::collections::HashMap;
use std::net::SocketAddr;
use tcpxm::proto::event::{Arrival, ReceiverId};
use tcpxm::proto::time::Instant;

/// The ECN bits of a datagram that has met congestion (RFC 3168, 5).
pub(crate) const CE: u8 = 0b11;

/// Called with every datagram that is sent or lost.
pub(crate) type Watcher = Box<dyn FnMut(&Sighting<'_>)>;

/// Something for a node, or for the whole world.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Happening {
    /// A datagram arrives; [`Net::open`] gives its bytes.
    Arrival { node: usize, slot: Slot },
    /// A timer that was set with [`Net::wake`] fires.
    Wake { node: usize },
    /// The system answers a join.
    JoinResult { node: usize, receiver: ReceiverId },
    /// The system says that nobody listens there, to which this node has sent.
    Refused { node: usize, to: SocketAddr },
    /// A fault strikes.
    Strike(Fault),
}

/// How long an ICMP message takes back.
const ICMP_TAKES: Duration = Duration::from_millis(1);

#[derive(Debug)]
enum Step {
    Fabric(Slot),
    Host(Happening),
}

#[derive(Debug)]
struct Port {
    addr: SocketAddr,
    up: Line,
    down: Line,
    /// For group datagrams, if they come down otherwise.
    air: Option<Line>,
    dead: bool,
    /// Nobody listens there; the host says so.
    refuses: bool,
    /// The line is cut.
    cut: bool,
}

/// A datagram was longer than its node's uplink takes (EMSGSIZE).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Links, fabric and faults.
pub(crate) struct Net {
    agenda: Agenda<Step>,
    dice: Dice,
    pool: Pool,
    ports: Vec<Port>,
    by_addr: HashMap<SocketAddr, usize>,
    fabric: Fabric,
    dropping: Dropping,
    listeners: Vec<usize>,
    hasher: blake3::Hasher,
    traffic: Traffic,
    watcher: Option<Watcher>,
}

/// One node's place in the net.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seat {
    pub(crate) addr: SocketAddr,
    pub(crate) up: Link,
    pub(crate) down: Link,
    pub(crate) air: Option<Link>,
    pub(crate) deaf: bool,
}

impl Net {
    pub(crate) fn new(
        seats: &[Seat],
        join_delay: Duration,
        rules: &[DropRule],
        dice: Dice,
    ) -> Self {
        let mut fabric = Fabric::new(seats.len(), join_delay);
        for (node, _) in seats.iter().enumerate().filter(|(_, seat)| seat.deaf) {
            fabric.deafen(node);
        }
        let port = |seat: &Seat| Port {
            addr: seat.addr,
            up: Line::new(seat.up),
            down: Line::new(seat.down),
            air: seat.air.map(Line::new),
            dead: false,
            refuses: false,
            cut: false,
        };
        Self {
            agenda: Agenda::new(),
            dice,
            pool: Pool::default(),
            ports: seats.iter().map(port).collect(),
            by_addr: seats.iter().enumerate().map(|(node, seat)| (seat.addr, node)).collect(),
            fabric,
            dropping: Dropping::new(rules),
            listeners: Vec::new(),
            hasher: blake3::Hasher::new(),
            traffic: Traffic::default(),
            watcher: None,
        }
    }

    pub(crate) fn watch(&mut self, watcher: Watcher) {
        self.watcher = Some(watcher);
    }

    /// The fabric does not prune.
    pub(crate) fn flood(&mut self) {
        self.fabric.flood();
    }

    pub(crate) fn now(&self) -> Instant {
        self.agenda.now()
    }

    pub(crate) fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    pub(crate) fn addr(&self, node: usize) -> SocketAddr {
        self.ports[node].addr
    }

    pub(crate) fn is_dead(&self, node: usize) -> bool {
        self.ports[node].dead
    }

    /// Counters, and the hash over (time, from, to, bytes) of every datagram sent.
    pub(crate) fn result(&self) -> (Traffic, blake3::Hash) {
        let queues = self.ports.iter().flat_map(|p| [p.up.max_queue(), p.down.max_queue()]);
        let max_queue = queues.max().unwrap_or(0);
        (Traffic { max_queue, ..self.traffic }, self.hasher.finalize())
    }

    pub(crate) fn wake(&mut self, node: usize, at: Instant) {
        self.agenda.enter(at, Step::Host(Happening::Wake { node }));
    }

    pub(crate) fn strike(&mut self, at: Instant, fault: Fault) {
        self.agenda.enter(at, Step::Host(Happening::Strike(fault)));
    }

    /// Enters a membership; the system answers after `result_delay`, the fabric later.
    pub(crate) fn join(
        &mut self,
        node: usize,
        receiver: ReceiverId,
        group: (SocketAddr, Option<std::net::IpAddr>),
        result_delay: Duration,
    ) {
        let now = self.now();
        self.fabric.join(now, node, group.0, group.1);
        self.join_result(node, receiver, result_delay);
    }

    /// Only the system's answer, for a join that fails.
    pub(crate) fn join_result(&mut self, node: usize, receiver: ReceiverId, delay: Duration) {
        let at = self.now() + delay;
        self.agenda.enter(at, Step::Host(Happening::JoinResult { node, receiver }));
    }

    /// A membership is reported again.
    pub(crate) fn refresh(&mut self, node: usize, group: SocketAddr) {
        self.fabric.refresh(self.agenda.now(), node, group);
    }

    pub(crate) fn leave(&mut self, node: usize, group: SocketAddr) {
        self.fabric.leave(node, group);
    }

    /// Lets a fault take effect on the network.
    pub(crate) fn apply(&mut self, fault: Fault) {
        match fault {
            Fault::CutGroup(Who::All) => self.fabric.cut_all(true),
            Fault::RestoreGroup(Who::All) => self.fabric.cut_all(false),
            Fault::CutGroup(Who::Receiver(i)) => self.fabric.cut(i + 1, true),
            Fault::RestoreGroup(Who::Receiver(i)) => self.fabric.cut(i + 1, false),
            Fault::Forget(life) => self.fabric.forget_after(life),
            Fault::Lose(i, permille) => {
                self.ports[i + 1].down.lose(Loss::Random(f64::from(permille) / 1000.0));
            }
            Fault::Narrow(Who::All, mtu) => {
                self.ports.iter_mut().skip(1).for_each(|port| port.down.narrow(mtu));
            }
            Fault::Narrow(Who::Receiver(i), mtu) => self.ports[i + 1].down.narrow(mtu),
            Fault::Kill(i) => self.ports[i + 1].dead = true,
            Fault::Stop(i) => self.ports[i + 1].refuses = true,
            Fault::Start(i) => self.ports[i + 1].refuses = false,
            Fault::Cut(who) => self.cut(who, true),
            Fault::Mend(who) => self.cut(who, false),
            Fault::Rebind(node) => self.rebind(node),
            Fault::Restart(_) | Fault::Pause | Fault::Resume => {} // the network is as before
        }
    }

    fn rebind(&mut self, node: usize) {
        let before = self.ports[node].addr;
        let mut addr = before;
        while self.by_addr.contains_key(&addr) {
            addr.set_port(addr.port() + 1);
        }
        self.by_addr.remove(&before);
        self.by_addr.insert(addr, node);
        self.ports[node].addr = addr;
    }

    fn cut(&mut self, who: Who, cut: bool) {
        match who {
            Who::All => self.ports.iter_mut().skip(1).for_each(|port| port.cut = cut),
            Who::Receiver(i) => self.ports[i + 1].cut = cut,
        }
    }

    /// Sends a train: `bytes` cut into datagrams of `segment` bytes, each by itself on the line,
    /// with these ECN bits.
    pub(crate) fn send(
        &mut self,
        from: usize,
        to: SocketAddr,
        (bytes, ecn): (&[u8], u8),
        segment: usize,
    ) -> Result<(), TooLong> {
        let mtu = self.ports[from].up.mtu();
        if packet_len(bytes.len().min(segment), to.is_ipv6()) > mtu {
            return Err(TooLong);
        }
        for datagram in bytes.chunks(segment) {
            self.send_one(from, to, (datagram, ecn));
        }
        Ok(())
    }

    /// Bytes that wait to leave a node.
    pub(crate) fn queued(&self, node: usize) -> usize {
        self.ports[node].up.queued(self.now())
    }

    fn send_one(&mut self, from: usize, to: SocketAddr, (bytes, ecn): (&[u8], u8)) {
        let now = self.now();
        self.hash(now, from, to, bytes);
        self.traffic.sent += 1;
        let passing = Passing { from, to: self.by_addr.get(&to).copied(), bytes };
        if let Some(what) = self.dropping.strikes(&passing) {
            self.traffic.lost += 1;
            return self.see(from, to, bytes, Fate::Struck(what));
        }
        if self.ports[from].cut {
            self.traffic.lost += 1;
            return self.see(from, to, bytes, Fate::LostUp);
        }
        let frame = frame_len(bytes.len(), to.is_ipv6());
        let line = &mut self.ports[from].up;
        let congested = line.congested(now);
        if congested && ecn == 0 {
            self.traffic.early_dropped += 1;
            return self.see(from, to, bytes, Fate::DroppedUp);
        }
        match line.send(now, frame, &mut self.dice) {
            Passage::TailDropped => {
                self.traffic.tail_dropped += 1;
                self.see(from, to, bytes, Fate::DroppedUp);
            }
            Passage::Lost => {
                self.traffic.lost += 1;
                self.see(from, to, bytes, Fate::LostUp);
            }
            Passage::Arrives(first, second) => {
                self.see(from, to, bytes, Fate::Sent);
                self.traffic.marked += u64::from(congested);
                let slot = self.pool.put(from, to, bytes, if congested { CE } else { ecn });
                self.agenda.enter(first, Step::Fabric(slot));
                if let Some(second) = second {
                    self.traffic.duplicated += 1;
                    self.pool.hold(slot);
                    self.agenda.enter(second, Step::Fabric(slot));
                }
            }
        }
    }

    fn hash(&mut self, now: Instant, from: usize, to: SocketAddr, bytes: &[u8]) {
        let mut head = [0; 34];
        head[..8].copy_from_slice(&now.as_nanos().to_le_bytes());
        head[8..12].copy_from_slice(&(from as u32).to_le_bytes());
        match to.ip() {
            std::net::IpAddr::V4(ip) => head[12..16].copy_from_slice(&ip.octets()),
            std::net::IpAddr::V6(ip) => head[12..28].copy_from_slice(&ip.octets()),
        }
        head[28..30].copy_from_slice(&to.port().to_le_bytes());
        head[30..].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.hasher.update(&head).update(bytes);
    }

    fn see(&mut self, from: usize, to: SocketAddr, bytes: &[u8], fate: Fate) {
        if let Some(watcher) = &mut self.watcher {
            watcher(&Sighting { at: self.agenda.now(), from, to, bytes, fate });
        }
    }

    fn see_slot(&mut self, slot: Slot, fate: Fate) {
        if let Some(watcher) = &mut self.watcher {
            let Datagram { from, to, bytes, .. } = self.pool.get(slot);
            watcher(&Sighting { at: self.agenda.now(), from: *from, to: *to, bytes, fate });
        }
    }

    /// What happens next; `None` when nothing will ever happen again.
    pub(crate) fn next(&mut self) -> Option<Happening> {
        loop {
            match self.agenda.next()? {
                Step::Fabric(slot) => self.replicate(slot),
                Step::Host(Happening::Arrival { node, slot }) if self.ports[node].dead => {
                    self.traffic.vanished += 1;
                    self.see_slot(slot, Fate::Vanished);
                    self.pool.release(slot);
                }
                Step::Host(Happening::Arrival { node, slot }) if self.ports[node].refuses => {
                    self.refuse(slot);
                }
                Step::Host(happening) => return Some(happening),
            }
        }
    }

    /// A datagram has reached a host where nobody listens. Nothing is said of one to a group (RFC 1122, 3.2.2).
    fn refuse(&mut self, slot: Slot) {
        self.traffic.vanished += 1;
        self.see_slot(slot, Fate::Vanished);
        let Datagram { from: node, to, .. } = *self.pool.get(slot);
        if !to.ip().is_multicast() {
            let at = self.now() + ICMP_TAKES;
            self.agenda.enter(at, Step::Host(Happening::Refused { node, to }));
        }
        self.pool.release(slot);
    }

    /// A datagram has reached the fabric: on to the downlink of everyone it is for.
    fn replicate(&mut self, slot: Slot) {
        let (now, datagram) = (self.now(), self.pool.get(slot));
        let (from, to, len) = (datagram.from, datagram.to, datagram.bytes.len());
        let mut listeners = core::mem::take(&mut self.listeners);
        if to.ip().is_multicast() {
            let source = (from, self.ports[from].addr.ip());
            self.fabric.listeners(now, source, to, &mut listeners);
            for node in self.fabric.bystanders(from, &listeners) {
                // It takes its time on the line, and the host drops it.
                let frame = frame_len(len, to.is_ipv6());
                let _ = self.ports[node].down.send(now, frame, &mut self.dice);
            }
        } else {
            listeners.clear();
            listeners.extend(self.by_addr.get(&to));
        }
        if listeners.is_empty() {
            self.traffic.vanished += 1;
            self.see_slot(slot, Fate::Vanished);
        }
        for node in &listeners {
            self.down(*node, slot, len, to.is_ipv6());
        }
        self.listeners = listeners;
        self.pool.release(slot);
    }

    fn down(&mut self, node: usize, slot: Slot, len: usize, v6: bool) {
        let now = self.now();
        let group = self.pool.get(slot).to.ip().is_multicast();
        let port = &mut self.ports[node];
        let cut = port.cut;
        let line = port.air.as_mut().filter(|_| group).unwrap_or(&mut port.down);
        if cut || packet_len(len, v6) > line.mtu() {
            self.traffic.lost += 1;
            return self.see_slot(slot, Fate::LostDown(node));
        }
        let congested = line.congested(now);
        if congested && self.pool.get(slot).ecn == 0 {
            self.traffic.early_dropped += 1;
            return self.see_slot(slot, Fate::DroppedDown(node));
        }
        match line.send(now, frame_len(len, v6), &mut self.dice) {
            Passage::TailDropped => {
                self.traffic.tail_dropped += 1;
                self.see_slot(slot, Fate::DroppedDown(node));
            }
            Passage::Lost => {
                self.traffic.lost += 1;
                self.see_slot(slot, Fate::LostDown(node));
            }
            Passage::Arrives(first, second) => {
                // a copy of its own: what is marked for one is not marked for the others
                let own = if congested { self.pool.copy(slot, CE) } else { slot };
                self.traffic.marked += u64::from(congested);
                for at in [Some(first), second].into_iter().flatten() {
                    self.pool.hold(own);
                    self.agenda.enter(at, Step::Host(Happening::Arrival { node, slot: own }));
                }
                if congested {
                    self.pool.release(own);
                }
                self.traffic.duplicated += u64::from(second.is_some());
            }
        }
    }

    /// Copies a datagram that has arrived into `buf`, which the engine may write into; gives how it
    /// arrived.
    pub(crate) fn open(&mut self, slot: Slot, buf: &mut [u8]) -> Arrival {
        let Datagram { from, to, bytes, ecn, .. } = self.pool.get(slot);
        let (from, to, stride, ecn) = (self.ports[*from].addr, to.ip(), bytes.len(), *ecn);
        buf[..stride].copy_from_slice(bytes);
        self.pool.release(slot);
        self.traffic.delivered += 1;
        // interface 1: a host has one
        Arrival { from, to: Some(to), ifindex: 1, ecn, stride }
    }

    /// Bytes of a datagram that has arrived.
    pub(crate) fn len(&self, slot: Slot) -> usize {
        self.pool.get(slot).bytes.len()
    }

    /// A datagram that has arrived finds no room in its socket.
    pub(crate) fn overflow(&mut self, slot: Slot) {
        self.traffic.overflown += 1;
        self.pool.release(slot);
    }

    #[cfg(test)]
    fn under_way(&self) -> usize {
        self.pool.in_use()
    }
}

#[cfg(test)]
mod tests;
