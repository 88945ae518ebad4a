//! smoltcp's own TCP socket over the simulator's lines, to compare with: one sender, one receiver,
//! the same rate, delay, queue and loss.

use crate::dice::Dice;
use crate::link::{Line, Passage};
use crate::loss::Loss;
use crate::throughput::Cell;
use core::time::Duration;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer};
use smoltcp::time::Instant as Time;
use smoltcp::wire::{HardwareAddress, IpCidr, Ipv4Address};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use tcpxm::proto::time::Instant;

/// Buffers of each end: several products of rate and round trip.
const BUFFER: usize = 4 << 20;
const PORT: u16 = 5001;
/// Longest IP packet.
const MTU: usize = 1500;
/// Ethernet around an IP packet: as for our own datagrams.
const ETHERNET: usize = 38;
/// Measured after the first seconds, and for so long.
const MEASURED: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(40));

/// What a host has received and not looked at, and sent and not put on the line.
#[derive(Debug, Default)]
struct Card {
    inward: VecDeque<Vec<u8>>,
    outward: Vec<Vec<u8>>,
}

struct Inward(Vec<u8>);
struct Outward<'a>(&'a mut Vec<Vec<u8>>);

impl RxToken for Inward {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

impl TxToken for Outward<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let mut packet = vec![0; len];
        let result = fill(&mut packet);
        self.0.push(packet);
        result
    }
}

impl Device for Card {
    type RxToken<'a> = Inward;
    type TxToken<'a> = Outward<'a>;

    fn receive(&mut self, _: Time) -> Option<(Inward, Outward<'_>)> {
        self.inward.pop_front().map(|packet| (Inward(packet), Outward(&mut self.outward)))
    }

    fn transmit(&mut self, _: Time) -> Option<Outward<'_>> {
        Some(Outward(&mut self.outward))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

struct Host {
    card: Card,
    interface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
}

impl Host {
    fn new(number: u8) -> Self {
        let mut card = Card::default();
        let config = Config::new(HardwareAddress::Ip);
        let mut interface = Interface::new(config, &mut card, Time::ZERO);
        interface.update_ip_addrs(|addrs| {
            // there is room for one
            let _ = addrs.push(IpCidr::new(address(number).into(), 24));
        });
        let buffer = || SocketBuffer::new(vec![0; BUFFER]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.set_congestion_control(CongestionControl::Cubic);
        let mut sockets = SocketSet::new(Vec::new());
        let socket = sockets.add(socket);
        Self { card, interface, sockets, socket }
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.socket)
    }

    fn poll(&mut self, now: Instant) {
        self.interface.poll(time(now), &mut self.card, &mut self.sockets);
    }

    /// When it wants to be polled again, if nothing comes before.
    fn wakes_at(&mut self, now: Instant) -> Option<Instant> {
        let at = self.interface.poll_at(time(now), &self.sockets)?;
        let nanos = u64::try_from(at.total_micros()).unwrap_or_default() * 1000;
        // Its clock counts microseconds: a moment within the present one is the next.
        Some(Instant::from_nanos(nanos).max(now + Duration::from_micros(1)))
    }
}

fn address(number: u8) -> Ipv4Address {
    Ipv4Address::new(10, 7, 0, number)
}

fn time(now: Instant) -> Time {
    Time::from_micros(i64::try_from(now.as_nanos() / 1000).unwrap_or(i64::MAX))
}

/// The share of the line that it fills, as a cell's: payload over what our full segments carry.
///
/// # Panics
///
/// Never: both ends are set up with addresses that are valid.
pub fn measure(cell: &Cell, seed: u64) -> f64 {
    let mut hosts = [Host::new(1), Host::new(2)];
    let listening = hosts[1].socket().listen(PORT);
    assert!(listening.is_ok(), "a fresh socket listens on any port");
    let Host { interface, sockets, socket, .. } = &mut hosts[0];
    let sending = sockets.get_mut::<Socket<'_>>(*socket);
    let connecting = sending.connect(interface.context(), (address(2), PORT), 40_000);
    assert!(connecting.is_ok(), "a fresh socket connects to any address");
    let lossy = if cell.loss == 0 { Loss::None } else { Loss::Random(cell.p()) };
    // Up and down, as in the fabric; the way back loses nothing.
    let mut lines = [
        [Line::new(cell.line()), Line::new(cell.line().losing(lossy))],
        [Line::new(cell.line()), Line::new(cell.line())],
    ];
    let (mut dice, mut agenda, mut serial) = (Dice::new(seed), BinaryHeap::new(), 0_u64);
    let (mut now, mut counted) = (Instant::ZERO, 0_u64);
    let (begin, end) = (Instant::ZERO + MEASURED.0, Instant::ZERO + MEASURED.0 + MEASURED.1);
    while now < end {
        for (number, host) in hosts.iter_mut().enumerate() {
            host.poll(now);
            counted += run(host, number == 0, now >= begin);
            host.poll(now);
            for packet in host.card.outward.drain(..) {
                let frame = packet.len() + ETHERNET;
                let [up, down] = &mut lines[number];
                let Passage::Arrives(at, _) = up.send(now, frame, &mut dice) else { continue };
                serial += 1;
                // The second line is taken when the packet is there; packets keep their order.
                let Passage::Arrives(at, _) = down.send(at, frame, &mut dice) else { continue };
                agenda.push(Reverse((at, serial, 1 - number, packet)));
            }
        }
        let mut next: Option<Instant> = agenda.peek().map(|Reverse((at, ..))| *at);
        for host in &mut hosts {
            next = next.into_iter().chain(host.wakes_at(now)).min();
        }
        let Some(at) = next else { break };
        now = now.max(at);
        while agenda.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
            if let Some(Reverse((_, _, to, packet))) = agenda.pop() {
                hosts[to].card.inward.push_back(packet);
            }
        }
    }
    counted as f64 / MEASURED.1.as_secs_f64() / cell.capacity()
}

/// The applications: one always has something to send, the other takes all; gives what it took.
fn run(host: &mut Host, sends: bool, counts: bool) -> u64 {
    let socket = host.socket();
    if sends {
        // Until it is connected nothing is taken, and that is no error here.
        let _ = socket.send(|room| (room.len(), ()));
        return 0;
    }
    let mut taken = 0;
    while let Ok(len @ 1..) = socket.recv(|bytes| (bytes.len(), bytes.len())) {
        taken += len as u64;
    }
    if counts { taken } else { 0 }
}

#[cfg(test)]
mod tests {
    use crate::throughput::grid;

    #[test]
    fn it_fills_a_line_without_loss_and_suffers_from_loss() {
        let of = |name: &str| {
            let cell = grid().into_iter().find(|cell| cell.to_string() == name);
            super::measure(&cell.unwrap(), 1)
        };
        let (plain, lossy) = (of("100M/20ms/0%/1/cubic"), of("100M/20ms/1%/1/cubic"));
        assert!(plain > 0.8 && lossy < 0.2, "{plain} {lossy}");
    }
}
