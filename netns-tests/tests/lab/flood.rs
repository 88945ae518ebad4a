//! SYNs from sources that do not exist: this program itself, started again in a host, sends them.

use crate::network::Lab;
use crate::shell::find;
use etherparse::PacketBuilder;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tcpxm::config::{EndpointConfig, SessionConfig};
use tcpxm::proto::endpoint::Endpoint;
use tcpxm::proto::rng::Rng;
use tcpxm::proto::time;
use tcpxm::seal::FrameKey;
use tcpxm::trust::SenderTrust;

/// The first word of the command line of such a process.
const ROLE: &str = "--flood";
/// Where in an IPv4 packet its source stands, where its payload begins behind UDP's header, and where in the
/// payload the initiator's connection id stands.
const SOURCE: usize = 12;
const PORT: usize = 20;
const PAYLOAD: usize = 28;
const CID: core::ops::Range<usize> = PAYLOAD + 4..PAYLOAD + 12;
/// Sources of a flood: a network that is for such tests (RFC 2544, C.2.2).
const NETWORK: u32 = 0xc612_0000;
const NETWORK_BITS: u32 = 17;
/// Packets at once; then it is looked how late it is.
const BURST: u32 = 50;
/// A raw IP socket that takes whole packets, header and all (raw(7)).
const IPPROTO_RAW: i32 = 255;

/// A running flood; it ends by itself, or when this is dropped.
pub(crate) struct Flood(Child);

impl Flood {
    /// From one host to these, so many SYNs a second to all of them together, for at most so long.
    pub(crate) fn start(lab: &Lab, from: usize, to: &[usize], rate: u32, lasts: Duration) -> Self {
        let mut command = Command::new(find("ip").unwrap());
        command.args(["netns", "exec", &lab.ns(from)]).arg(std::env::current_exe().unwrap());
        command.args([ROLE, &rate.to_string(), &lasts.as_secs().to_string()]);
        command.args(to.iter().map(|host| format!("{}:8737", lab.v4(*host))));
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }

    /// Ends it; whether it went on until now.
    pub(crate) fn end(mut self) -> bool {
        let went_on = self.0.try_wait().unwrap().is_none();
        let _ = self.0.kill();
        let _ = self.0.wait();
        went_on
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Plays the part that the command line gives; `false` if it gives none.
pub(crate) fn play() -> bool {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [role, rate, seconds, to @ ..] = &args[..] else { return false };
    if role != ROLE {
        return false;
    }
    let rate: u32 = rate.parse().unwrap();
    let until = Instant::now() + Duration::from_secs(seconds.parse().unwrap());
    let to: Vec<SocketAddrV4> = to.iter().map(|addr| addr.parse().unwrap()).collect();
    flood(rate, until, &to);
    true
}

fn flood(rate: u32, until: Instant, to: &[SocketAddrV4]) {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(IPPROTO_RAW))).unwrap();
    let mut packets: Vec<(SockAddr, Vec<u8>)> =
        to.iter().map(|addr| (SocketAddr::V4(*addr).into(), packet(*addr))).collect();
    let (key, mut rng) = (FrameKey::open(), Rng::new([7; 32]));
    let (begin, mut sent) = (Instant::now(), 0_u32);
    while Instant::now() < until {
        for _ in 0..BURST {
            let which = sent as usize % packets.len();
            let (addr, packet) = &mut packets[which];
            let source = NETWORK | rng.u32() & ((1 << NETWORK_BITS) - 1);
            packet[SOURCE..SOURCE + 4].copy_from_slice(&source.to_be_bytes());
            packet[PORT..PORT + 2].copy_from_slice(&(rng.u32() as u16 | 1024).to_be_bytes());
            packet[CID].copy_from_slice(&rng.u64().to_be_bytes());
            key.sign_syn(&mut packet[PAYLOAD..]);
            // A full queue loses it; the next may pass.
            let _ = socket.send_to(packet, addr);
            sent += 1;
        }
        let due = begin + Duration::from_secs(1) * sent / rate;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

/// A true SYN, as a sender with a key of its own makes it, in an IPv4 packet.
fn packet(to: SocketAddrV4) -> Vec<u8> {
    let mut sender = Endpoint::new(EndpointConfig::default(), [5; 32]);
    let now = time::Instant::ZERO;
    sender.connect(now, SessionConfig::default(), SenderTrust::Loopback, &[to.into()]).unwrap();
    let mut buf = vec![0; 2048];
    let len = sender.poll_transmit(now, &mut buf).unwrap().len;
    let from = Ipv4Addr::UNSPECIFIED.octets();
    let builder = PacketBuilder::ipv4(from, to.ip().octets(), 4).udp(1024, to.port());
    let mut packet = Vec::new();
    builder.write(&mut packet, &buf[..len]).unwrap();
    packet[PAYLOAD - 2..PAYLOAD].fill(0); // no checksum, for what follows changes (RFC 768)
    packet
}
