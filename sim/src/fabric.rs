//! The switch in the middle: who hears which group.

use core::time::Duration;
use std::net::{IpAddr, SocketAddr};
use tcpxm::proto::time::Instant;

/// Group memberships, as a switch that listens to IGMP (RFC 3376) or MLD (RFC 3810) knows them.
#[derive(Debug)]
pub(crate) struct Fabric {
    memberships: Vec<Membership>,
    /// Per node: never hears a group.
    deaf: Vec<bool>,
    /// Per node: does not hear a group at the moment.
    cut: Vec<bool>,
    join_delay: Duration,
    /// A membership is forgotten so long after it was reported, if it is at all.
    life: Option<Duration>,
    /// It does not prune: every node has every group on its line.
    floods: bool,
}

#[derive(Debug)]
struct Membership {
    node: usize,
    group: SocketAddr,
    source: Option<IpAddr>,
    from: Instant,
    /// When it was last reported.
    reported: Instant,
}

impl Membership {
    fn lives(&self, now: Instant, life: Option<Duration>) -> bool {
        life.is_none_or(|life| now.since(self.reported) < life)
    }
}

impl Fabric {
    /// A fabric of so many nodes, in which a join takes effect after `join_delay`.
    pub(crate) fn new(nodes: usize, join_delay: Duration) -> Self {
        Self {
            memberships: Vec::new(),
            deaf: vec![false; nodes],
            cut: vec![false; nodes],
            join_delay,
            life: None,
            floods: false,
        }
    }

    /// Groups are sent to every node (RFC 4541, 2.1.2): those that have not joined have them on their lines.
    pub(crate) fn flood(&mut self) {
        self.floods = true;
    }

    /// Group datagrams towards this node vanish for good.
    pub(crate) fn deafen(&mut self, node: usize) {
        self.deaf[node] = true;
    }

    /// Group datagrams towards this node vanish, or no longer do.
    pub(crate) fn cut(&mut self, node: usize, cut: bool) {
        self.cut[node] = cut;
    }

    /// Group datagrams towards all nodes vanish, or no longer do.
    pub(crate) fn cut_all(&mut self, cut: bool) {
        self.cut.fill(cut);
    }

    pub(crate) fn join(
        &mut self,
        now: Instant,
        node: usize,
        group: SocketAddr,
        source: Option<IpAddr>,
    ) {
        self.leave(node, group);
        let from = now + self.join_delay;
        self.memberships.push(Membership { node, group, source, from, reported: now });
    }

    /// A node reports its membership again. One that was forgotten takes effect as a join does.
    pub(crate) fn refresh(&mut self, now: Instant, node: usize, group: SocketAddr) {
        let (life, delay) = (self.life, self.join_delay);
        let of_it = |m: &&mut Membership| m.node == node && m.group == group;
        for m in self.memberships.iter_mut().filter(of_it) {
            if !m.lives(now, life) {
                m.from = now + delay;
            }
            m.reported = now;
        }
    }

    /// Memberships are forgotten so long after they were last reported.
    pub(crate) fn forget_after(&mut self, life: Duration) {
        self.life = Some(life);
    }

    pub(crate) fn leave(&mut self, node: usize, group: SocketAddr) {
        self.memberships.retain(|m| m.node != node || m.group != group);
    }

    /// Writes into `out` every node that hears what `sender`, at `source`, sends to `group`.
    pub(crate) fn listeners(
        &self,
        now: Instant,
        (sender, source): (usize, IpAddr),
        group: SocketAddr,
        out: &mut Vec<usize>,
    ) {
        out.clear();
        let hears = |m: &&Membership| {
            m.group == group
                && m.node != sender
                && m.from <= now
                && m.lives(now, self.life)
                && m.source.is_none_or(|s| s == source)
                && !self.deaf[m.node]
                && !self.cut[m.node]
        };
        out.extend(self.memberships.iter().filter(hears).map(|m| m.node));
    }

    /// Every node that has on its line what `sender` sends to a group, and does not hear it as these do.
    pub(crate) fn bystanders(&self, sender: usize, listeners: &[usize]) -> Vec<usize> {
        let on_line =
            |n: &usize| *n != sender && !self.deaf[*n] && !self.cut[*n] && !listeners.contains(n);
        let nodes = if self.floods { self.deaf.len() } else { 0 };
        (0..nodes).filter(on_line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 7, 0, 1));

    fn group(last: u8) -> SocketAddr {
        SocketAddr::from(([239, 255, 7, last], 8737))
    }

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn heard(fabric: &Fabric, now: Instant, group: SocketAddr) -> Vec<usize> {
        let mut out = vec![99];
        fabric.listeners(now, (0, SOURCE), group, &mut out);
        out
    }

    #[test]
    fn a_join_takes_effect_after_its_delay_and_a_leave_at_once() {
        let mut fabric = Fabric::new(4, Duration::from_millis(5));
        fabric.join(at(10), 2, group(7), None);
        assert_eq!(heard(&fabric, at(14), group(7)), []);
        assert_eq!(heard(&fabric, at(15), group(7)), [2]);
        assert_eq!(heard(&fabric, at(15), group(8)), []);
        fabric.leave(2, group(7));
        assert_eq!(heard(&fabric, at(15), group(7)), []);
    }

    #[test]
    fn only_members_hear_it_never_the_sender_or_those_who_joined_another_source() {
        let mut fabric = Fabric::new(4, Duration::ZERO);
        fabric.join(at(0), 0, group(7), None);
        fabric.join(at(0), 1, group(7), Some(SOURCE));
        fabric.join(at(0), 2, group(7), Some(IpAddr::V4(Ipv4Addr::new(10, 7, 0, 9))));
        fabric.join(at(0), 3, group(7), None);
        fabric.join(at(0), 3, group(7), None); // twice is once
        assert_eq!(heard(&fabric, at(1), group(7)), [1, 3]);
    }

    #[test]
    fn a_switch_that_does_not_prune_sends_groups_to_all() {
        let mut fabric = Fabric::new(4, Duration::ZERO);
        fabric.join(at(0), 2, group(7), None);
        let listeners = heard(&fabric, at(1), group(7));
        assert_eq!(fabric.bystanders(0, &listeners), []);
        fabric.flood();
        assert_eq!(heard(&fabric, at(1), group(7)), [2]);
        assert_eq!(fabric.bystanders(0, &listeners), [1, 3]);
    }

    #[test]
    fn a_membership_that_is_not_reported_is_forgotten() {
        let mut fabric = Fabric::new(3, Duration::from_millis(5));
        fabric.join(at(0), 1, group(7), None);
        fabric.join(at(0), 2, group(7), None);
        fabric.forget_after(Duration::from_millis(100));
        fabric.refresh(at(90), 1, group(7));
        assert_eq!(heard(&fabric, at(99), group(7)), [1, 2]);
        assert_eq!(heard(&fabric, at(100), group(7)), [1]);
        fabric.refresh(at(200), 2, group(7));
        assert_eq!(heard(&fabric, at(204), group(7)), []);
        assert_eq!(heard(&fabric, at(205), group(7)), [2]);
    }

    #[test]
    fn cuts_can_be_healed_and_deafness_cannot() {
        let mut fabric = Fabric::new(4, Duration::ZERO);
        for node in 1..4 {
            fabric.join(at(0), node, group(7), None);
        }
        fabric.deafen(1);
        fabric.cut(2, true);
        assert_eq!(heard(&fabric, at(1), group(7)), [3]);
        fabric.cut_all(true);
        assert_eq!(heard(&fabric, at(1), group(7)), []);
        fabric.cut_all(false);
        assert_eq!(heard(&fabric, at(1), group(7)), [2, 3]);
    }
}
