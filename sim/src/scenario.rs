//! The description of a run, which reads like a sentence.

use crate::expect::Expect;
use crate::fault::{DropRule, Fault, Who};
use crate::holding::{Declares, Holding, TakenBack};
use crate::link::Link;
use crate::loss::Loss;
use crate::net::{Seat, Watcher};
use crate::outcome::Outcome;
use crate::trace::Sighting;
use crate::world::World;
use core::time::Duration;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tcpxm::config::{Content, Delivery, Group, SessionConfig};
use tcpxm::trust::Secret;

/// The project's port, at which receivers listen and to which the group sends.
const PORT: u16 = 8737;
/// The sender's port.
const SENDER_PORT: u16 = 40_000;

/// One sender, its receivers, the lines between them, and what goes wrong.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub(crate) seed: u64,
    pub(crate) receivers: Vec<Receiver>,
    pub(crate) bytes: u64,
    pub(crate) link: Link,
    pub(crate) back: Option<Link>,
    pub(crate) home: Option<Link>,
    /// How group datagrams come down to receivers, if not as all others.
    pub(crate) air: Option<Link>,
    pub(crate) shared_loss: Loss,
    pub(crate) independent_loss: Loss,
    pub(crate) v6: bool,
    pub(crate) ecn: bool,
    /// What the sender's socket holds in bytes, if that is bounded.
    pub(crate) outbox: Option<usize>,
    pub(crate) session: SessionConfig,
    /// The switch does not prune.
    pub(crate) floods: bool,
    pub(crate) join_delay: Duration,
    pub(crate) join_result_delay: Duration,
    pub(crate) faults: Vec<(Duration, Fault)>,
    pub(crate) rules: Vec<DropRule>,
    pub(crate) stall: Duration,
    pub(crate) min_share: Option<f64>,
    pub(crate) horizon: Duration,
    pub(crate) expect: Expect,
}

/// What is special about one receiver.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Receiver {
    /// Nobody is at its address.
    pub(crate) absent: bool,
    /// Group datagrams vanish on the way to it.
    pub(crate) deaf: bool,
    /// Its system refuses to join.
    pub(crate) cannot_join: bool,
    /// Its application reads so many bytes a second, at most.
    pub(crate) reads: Option<u64>,
    /// Its application reads nothing from the one time to the other.
    pub(crate) rests: Option<(Duration, Duration)>,
    /// Its host takes so many bytes a second from its socket, whose buffer holds so many.
    pub(crate) host: Option<(u64, usize)>,
    /// It is added to the session so late.
    pub(crate) joins: Option<Duration>,
    /// The session drops it.
    pub(crate) dropped: bool,
    /// Its downlink, if it is not like the others'.
    pub(crate) downlink: Option<Link>,
    /// What it says of what it holds.
    pub(crate) declares: Declares,
}

impl Scenario {
    /// One receiver and 8 MiB of a file over a LAN. The seed decides everything that is random.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            receivers: vec![Receiver::default()],
            bytes: 8 << 20,
            link: Link::lan(),
            back: None,
            home: None,
            air: None,
            shared_loss: Loss::None,
            independent_loss: Loss::None,
            v6: false,
            ecn: true,
            outbox: None,
            session: SessionConfig {
                group: Some(Group { addr: group(false), source: None }),
                delivery: Delivery::Unordered,
                content: Content::Source { len: Some(0) },
                ..SessionConfig::default()
            },
            floods: false,
            join_delay: Duration::from_millis(2),
            join_result_delay: Duration::from_micros(100),
            faults: Vec::new(),
            rules: Vec::new(),
            stall: Duration::ZERO,
            min_share: None,
            horizon: Duration::from_mins(2),
            expect: Expect::default(),
        }
    }

    /// The same with another seed.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// So many receivers; call it before saying anything about one of them.
    #[must_use]
    pub fn receivers(self, count: usize) -> Self {
        Self { receivers: vec![Receiver::default(); count], ..self }
    }

    /// Length of the stream.
    #[must_use]
    pub fn bytes(self, bytes: u64) -> Self {
        Self { bytes, ..self }
    }

    /// Every line, in both directions.
    #[must_use]
    pub fn link(self, link: Link) -> Self {
        Self { link, ..self }
    }

    /// Every receiver's uplink, if it is not like the other lines.
    #[must_use]
    pub fn back(self, link: Link) -> Self {
        Self { back: Some(link), ..self }
    }

    /// The sender's downlink, which all acknowledgements share, if it is not like the other lines.
    #[must_use]
    pub fn home(self, link: Link) -> Self {
        Self { home: Some(link), ..self }
    }

    /// Access points: group datagrams come down to receivers by this link, which is slow, and the others by
    /// that one.
    #[must_use]
    pub fn air(mut self, group: Link, others: Link) -> Self {
        self.air = Some(group);
        self.receivers.iter_mut().for_each(|receiver| receiver.downlink = Some(others));
        self
    }

    /// Random loss on the sender's uplink: a group datagram is lost to all.
    #[must_use]
    pub fn shared_loss(self, p: f64) -> Self {
        Self { shared_loss: Loss::Random(p), ..self }
    }

    /// Random loss on each receiver's downlink: each loses others.
    #[must_use]
    pub fn independent_loss(self, p: f64) -> Self {
        Self { independent_loss: Loss::Random(p), ..self }
    }

    /// Any loss on each receiver's downlink.
    #[must_use]
    pub fn downlink_loss(self, loss: Loss) -> Self {
        Self { independent_loss: loss, ..self }
    }

    /// IPv6 addresses.
    #[must_use]
    pub fn v6(mut self) -> Self {
        self.v6 = true;
        self.session.group = self.session.group.map(|g| Group { addr: group(true), ..g });
        self
    }

    /// No group is offered.
    #[must_use]
    pub fn without_group(self) -> Self {
        self.session(|session| session.group = None)
    }

    /// A stream, delivered in order, through a ring of so many bytes.
    #[must_use]
    pub fn stream(self, ring: usize) -> Self {
        self.session(|session| {
            session.content = Content::Stream { ring };
            session.delivery = Delivery::Ordered;
        })
    }

    /// Ordered or unordered delivery.
    #[must_use]
    pub fn delivery(self, delivery: Delivery) -> Self {
        self.session(|session| session.delivery = delivery)
    }

    /// Any change of the session's configuration.
    #[must_use]
    pub fn session(mut self, change: impl FnOnce(&mut SessionConfig)) -> Self {
        change(&mut self.session);
        self
    }

    /// Nobody is at this receiver's address.
    #[must_use]
    pub fn absent(mut self, receiver: usize) -> Self {
        self.receivers[receiver].absent = true;
        self
    }

    /// This receiver, and all behind it, is added to the session so late.
    #[must_use]
    pub fn joining(mut self, receiver: usize, at: Duration) -> Self {
        self.receivers[receiver..].iter_mut().for_each(|receiver| receiver.joins = Some(at));
        self
    }

    /// The session drops this receiver.
    #[must_use]
    pub fn dropping(mut self, receiver: usize) -> Self {
        self.receivers[receiver].dropped = true;
        self
    }

    /// This receiver hears no group, though it can join.
    #[must_use]
    pub fn deaf(mut self, receiver: usize) -> Self {
        self.receivers[receiver].deaf = true;
        self
    }

    /// This receiver's system refuses to join.
    #[must_use]
    pub fn cannot_join(mut self, receiver: usize) -> Self {
        self.receivers[receiver].cannot_join = true;
        self
    }

    /// This receiver's application reads at most so many bytes a second.
    #[must_use]
    pub fn slow_reader(mut self, receiver: usize, bytes_per_second: u64) -> Self {
        self.receivers[receiver].reads = Some(bytes_per_second);
        self
    }

    /// This receiver's application reads nothing from the one time to the other.
    #[must_use]
    pub fn resting(mut self, receiver: usize, from: Duration, until: Duration) -> Self {
        self.receivers[receiver].rests = Some((from, until));
        self
    }

    /// This receiver's host takes at most so many bytes a second from its socket, whose buffer holds
    /// so many; what finds no room is dropped.
    #[must_use]
    pub fn slow_host(mut self, receiver: usize, bytes_per_second: u64, buffer: usize) -> Self {
        self.receivers[receiver].host = Some((bytes_per_second, buffer));
        self
    }

    /// The sender's system does not set the ECN bits: queues that would mark drop.
    #[must_use]
    pub fn without_ecn(self) -> Self {
        Self { ecn: false, ..self }
    }

    /// The sender's socket holds so many bytes until they are on its line; then it waits, and nothing is dropped.
    #[must_use]
    pub fn outbox(self, bytes: usize) -> Self {
        Self { outbox: Some(bytes), ..self }
    }

    /// Receivers are asked what they hold; this one holds that.
    #[must_use]
    pub fn holding(mut self, receiver: usize, holding: Holding) -> Self {
        self.receivers[receiver].declares.holding = holding;
        self.session(|session| session.declares = true)
    }

    /// This receiver says the second half of what it holds and lacks so long after the first.
    #[must_use]
    pub fn declaring_late(mut self, receiver: usize, late: Duration) -> Self {
        self.receivers[receiver].declares.late = Some(late);
        self
    }

    /// This receiver takes blocks back once it has everything.
    #[must_use]
    pub fn taking_back(mut self, receiver: usize, blocks: u64, len: u64) -> Self {
        self.receivers[receiver].declares.taken_back = Some(TakenBack { blocks, len });
        self
    }

    /// This receiver's downlink, if it is not like the others'.
    #[must_use]
    pub fn downlink(mut self, receiver: usize, link: Link) -> Self {
        self.receivers[receiver].downlink = Some(link);
        self
    }

    /// The switch sends groups to every port, joined or not.
    #[must_use]
    pub fn flooding(self) -> Self {
        Self { floods: true, ..self }
    }

    /// A join takes effect in the fabric after so long.
    #[must_use]
    pub fn join_delay(self, join_delay: Duration) -> Self {
        Self { join_delay, ..self }
    }

    /// A fault at a stated time.
    #[must_use]
    pub fn at(mut self, time: Duration, fault: Fault) -> Self {
        self.faults.push((time, fault));
        self
    }

    /// Loses certain datagrams.
    #[must_use]
    pub fn losing(mut self, rule: DropRule) -> Self {
        self.rules.push(rule);
        self
    }

    /// What the faults may cost, by the protocol's own timers; the model adds it.
    #[must_use]
    pub fn costing(self, stall: Duration) -> Self {
        Self { stall, ..self }
    }

    /// The run is broken off after so long.
    #[must_use]
    pub fn horizon(self, horizon: Duration) -> Self {
        Self { horizon, ..self }
    }

    /// The least group share to accept, where the model's own expectation does not hold.
    #[must_use]
    pub fn min_share(self, share: f64) -> Self {
        Self { min_share: Some(share), ..self }
    }

    /// What is asked of it beyond what all are held to.
    #[must_use]
    pub fn expect(mut self, change: impl FnOnce(&mut Expect)) -> Self {
        change(&mut self.expect);
        self
    }

    /// Bytes that are to arrive at this receiver: what it does not hold, and again what it takes back.
    pub(crate) fn due(&self, receiver: usize) -> u64 {
        let declares = self.receivers[receiver].declares;
        let held: u64 = declares.holding.ranges(self.bytes).iter().map(|r| r.end - r.start).sum();
        let again = declares.taken_back.unwrap_or_default();
        self.bytes - held + again.blocks * again.len
    }

    /// Whether this receiver is to get everything.
    pub fn survives(&self, receiver: usize) -> bool {
        let strikes = |wanted| self.faults.iter().any(|(_, fault)| *fault == wanted);
        let stopped = strikes(Fault::Stop(receiver)) && !strikes(Fault::Start(receiver));
        let killed = strikes(Fault::Kill(receiver)) || stopped;
        let Receiver { absent, dropped, .. } = self.receivers[receiver];
        !killed && !absent && !dropped
    }

    /// Whether this receiver is started anew in the middle.
    pub(crate) fn restarts(&self, receiver: usize) -> bool {
        let anew = [Fault::Restart(receiver), Fault::Start(receiver)];
        self.faults.iter().any(|(_, fault)| anew.contains(fault))
    }

    /// Whether this receiver has to catch up with the others: it comes late, is started anew, or was cut off or worse
    /// than they are for a while, by itself.
    pub(crate) fn catches_up(&self, receiver: usize) -> bool {
        let who = Who::Receiver(receiver);
        let over = [Fault::Mend(who), Fault::RestoreGroup(who), Fault::Lose(receiver, 0)];
        let is_over = self.faults.iter().any(|(_, fault)| over.contains(fault));
        self.receivers[receiver].joins.is_some() || self.restarts(receiver) || is_over
    }

    /// Runs it.
    pub fn run(&self) -> Outcome {
        World::new(self, None).run()
    }

    /// Runs it and shows `watcher` every datagram that is sent or lost.
    pub fn run_watched(&self, watcher: impl FnMut(&Sighting<'_>) + 'static) -> Outcome {
        let watcher: Watcher = Box::new(watcher);
        World::new(self, Some(watcher)).run()
    }

    /// Address and lines of every node, the sender first.
    pub(crate) fn seats(&self) -> Vec<Seat> {
        let up = match self.shared_loss {
            Loss::None => self.link,
            loss => self.link.losing(loss),
        };
        let addr = self.addr(0, SENDER_PORT);
        let down = self.home.unwrap_or(self.link);
        let mut seats = vec![Seat { addr, up, down, air: None, deaf: false }];
        for (i, receiver) in self.receivers.iter().enumerate() {
            let addr = self.addr(i + 1, PORT);
            seats.push(Seat {
                addr,
                up: self.back.unwrap_or(self.link),
                down: self.down(receiver),
                air: self.air,
                deaf: receiver.deaf,
            });
        }
        seats
    }

    /// The downlink of a receiver.
    pub(crate) fn down(&self, receiver: &Receiver) -> Link {
        match (receiver.downlink, self.independent_loss) {
            (Some(link), _) => link,
            (None, Loss::None) => self.link,
            (None, loss) => self.link.losing(loss),
        }
    }

    fn addr(&self, node: usize, port: u16) -> SocketAddr {
        let host = node as u16 + 1;
        if self.v6 {
            return (Ipv6Addr::new(0xfd07, 0, 0, 0, 0, 0, 0, host), port).into();
        }
        let [high, low] = host.to_be_bytes();
        (Ipv4Addr::new(10, 7, high, low), port).into()
    }
}

/// The group of all scenarios: administratively scoped (RFC 2365), site-local in IPv6 (RFC 4291).
fn group(v6: bool) -> SocketAddr {
    if v6 {
        return (Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 7, 7), PORT).into();
    }
    (Ipv4Addr::new(239, 255, 7, 7), PORT).into()
}

/// The secret that all hosts share: every scenario is sealed.
pub(crate) fn secret() -> Arc<Secret> {
    // The line is long enough, so this cannot fail.
    let line = b"the secret of the simulator's hosts";
    Arc::new(Secret::from_line(line).unwrap_or_else(|error| panic!("{error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_stand_on_the_lines_they_belong_to() {
        let scenario = Scenario::new(1).receivers(3).shared_loss(0.01).independent_loss(0.02);
        let other = Link::lan().rate(1_000_000);
        let seats = scenario.downlink(1, other).seats();
        assert_eq!(seats[0].up.loss, Loss::Random(0.01));
        assert_eq!((seats[0].down.loss, seats[1].up.loss), (Loss::None, Loss::None));
        assert_eq!(seats[1].down.loss, Loss::Random(0.02));
        assert_eq!(seats[2].down, other);
    }

    #[test]
    fn every_node_has_its_own_address_of_the_family_asked_for() {
        for scenario in [Scenario::new(1).receivers(300), Scenario::new(1).v6().receivers(300)] {
            let mut addrs: Vec<_> = scenario.seats().iter().map(|seat| seat.addr).collect();
            assert!(addrs.iter().all(|addr| addr.is_ipv6() == scenario.v6));
            assert_eq!(scenario.session.group.map(|g| g.addr.is_ipv6()), Some(scenario.v6));
            addrs.sort_unstable();
            addrs.dedup();
            assert_eq!(addrs.len(), 301);
        }
    }

    #[test]
    fn the_dead_and_the_absent_do_not_survive() {
        let kill = Fault::Kill(1);
        let scenario = Scenario::new(1).receivers(3).absent(0).at(Duration::ZERO, kill);
        assert_eq!([0, 1, 2].map(|i| scenario.survives(i)), [false, false, true]);
    }
}
