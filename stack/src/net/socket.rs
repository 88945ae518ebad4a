//! One UDP socket: trains out by UDP GSO, trains in by UDP GRO and `recvmmsg`, with the address,
//! the interface and the ECN bits of every arrival.

use super::group::Family;
use super::interface::Route;
use super::{sys, unreachable, vrf};
use crate::error::Unreachable;
use crate::proto::event::{Arrival, SocketLoad, Transmit};
use core::cell::Cell;
use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, RawFd};

/// Bytes of a receive buffer, and of a train's. No UDP datagram is longer (RFC 768), and a GRO
/// train is handed over as one; a shorter buffer would cut it without notice.
pub(crate) const BUFFER: usize = 65_536;

/// Reads per system call.
pub(crate) const BATCH: usize = 16;

/// Segments of one GSO train, at most (`UDP_MAX_SEGMENTS` of Linux before 6.9).
const MAX_SEGMENTS: usize = 64;

/// Bytes of one GSO train, at most: below 65,535 less the longest IP and UDP headers.
const MAX_TRAIN: usize = 65_000;

/// Socket receive buffer that is asked for, in bytes. A full group window that arrives while
/// another process has the CPU must fit.
const RECV_BUFFER: usize = 4 << 20;

/// A turn of reads that took this part of a receive buffer is worth the system call that asks for the
/// buffer's state: short datagrams fill a buffer with several times their own bytes.
const ASK_PART: usize = 16;

/// A bound, non-blocking UDP socket.
#[derive(Debug)]
pub(crate) struct UdpSocket {
    io: Socket,
    state: UdpSocketState,
    local: SocketAddr,
    offload: Offload,
    granted: usize,
    /// Datagrams that found no room, when the load was last read.
    drops: Cell<u32>,
    /// Where multicast is sent from; `None` for the system's choice.
    multicast: Option<Route>,
}

/// How far sending a train came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sending {
    /// It is gone (or lost, which the transport must bear anyway).
    Done,
    /// The socket's buffer is full: call again with the same train when it is writable.
    Blocked,
    /// A datagram of this length is too long for the path; what was left of the train was dropped.
    Oversize(usize),
    /// There is no way to the receiver, and why; what was left of the train was dropped.
    Unreachable(Unreachable),
    /// This host has no address to send from to the receiver, now; what was left of the train was dropped.
    NoSource,
}

/// A train and the buffer it stands in.
#[derive(Debug)]
pub(crate) struct Train {
    /// What the engine said about it.
    pub(crate) transmit: Transmit,
    /// The bytes; [`BUFFER`] of them.
    pub(crate) buf: Box<[u8]>,
    /// Bytes that are out already.
    sent: usize,
}

impl Train {
    /// An empty buffer.
    pub(crate) fn new() -> Self {
        let to = SocketAddr::from(([0, 0, 0, 0], 0));
        let transmit =
            Transmit { to, from: None, ifindex: 0, len: 0, segment_size: 0, datagrams: 0, ecn: 0 };
        Self { transmit, buf: vec![0; BUFFER].into_boxed_slice(), sent: 0 }
    }

    /// What the engine wrote into the buffer.
    pub(crate) fn load(&mut self, transmit: Transmit) {
        self.transmit = transmit;
        self.sent = 0;
    }
}

/// Buffers for one `recvmmsg`.
#[derive(Debug)]
pub(crate) struct Batch {
    bytes: Box<[u8]>,
    metas: [RecvMeta; BATCH],
}

impl Batch {
    /// [`BATCH`] buffers of [`BUFFER`] bytes.
    pub(crate) fn new() -> Self {
        let bytes = vec![0; BATCH * BUFFER].into_boxed_slice();
        Self { bytes, metas: [RecvMeta::default(); BATCH] }
    }

    /// The first `count` reads, each with its bytes.
    pub(crate) fn reads(&mut self, count: usize) -> impl Iterator<Item = (Arrival, &mut [u8])> {
        let buffers = self.bytes.chunks_exact_mut(BUFFER);
        self.metas.iter().zip(buffers).take(count).filter(|(meta, _)| meta.len > 0).map(
            |(meta, buffer)| {
                let arrival = Arrival {
                    from: meta.addr,
                    to: meta.dst_ip,
                    ifindex: meta.interface_index.unwrap_or(0),
                    ecn: meta.ecn.map_or(0, |ecn| ecn as u8),
                    stride: meta.stride.clamp(1, meta.len),
                };
                (arrival, &mut buffer[..meta.len])
            },
        )
    }
}

/// What a turn of reads took from a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Turn {
    /// Nothing was left.
    pub(crate) emptied: bool,
    /// Bytes of datagrams.
    pub(crate) bytes: usize,
}

impl UdpSocket {
    /// Takes a bound socket.
    pub(crate) fn new(io: Socket) -> io::Result<Self> {
        let local = io
            .local_addr()?
            .as_socket()
            .ok_or_else(|| io::Error::other("a UDP socket without an IP address"))?;
        // Sets non-blocking, "do not fragment", GRO, and the control messages of `Arrival`.
        let state = UdpSocketState::new(UdpSockRef::from(&io))?;
        // quinn-udp 0.6.3 also turns receive timestamps on, and then its control buffer of 96 bytes
        // has no room left for the ECN bits of a GRO train. Nobody reads them here.
        sys::no_timestamps(io.as_fd())?;
        if local.is_ipv4() {
            io.set_multicast_all_v4(false)?;
        } else {
            io.set_multicast_all_v6(false)?;
        }
        let granted = ask_recv_buffer(&io)?;
        let offload = Offload { gso: state.max_gso_segments() > 1, lost: 0 };
        Ok(Self { io, state, local, offload, granted, drops: Cell::new(0), multicast: None })
    }

    /// Binds one. An IPv6 socket never takes IPv4: a driver has one socket per family.
    #[cfg(test)]
    pub(crate) fn bind(addr: SocketAddr) -> io::Result<Self> {
        Self::bind_in(None, addr)
    }

    /// Likewise in a VRF, by its device.
    pub(crate) fn bind_in(vrf: Option<&str>, addr: SocketAddr) -> io::Result<Self> {
        let io = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        vrf::enter(&io, vrf)?;
        if addr.is_ipv6() {
            io.set_only_v6(true)?;
        }
        io.bind(&addr.into())?;
        Self::new(io)
    }

    /// Sends multicast through this interface, from this address, with this TTL. This host's own
    /// receivers hear it as well. What was set is read back: an error if the system has it otherwise.
    pub(crate) fn set_multicast(&mut self, route: Route, ttl: u32) -> io::Result<()> {
        let ifindex = route.ifindex;
        let is_set = match route.source {
            IpAddr::V4(source) => {
                sys::set_multicast_if_v4(self.io.as_fd(), ifindex, source)?;
                self.io.set_multicast_ttl_v4(ttl)?;
                self.io.set_multicast_loop_v4(true)?;
                self.io.multicast_if_v4()? == source
            }
            IpAddr::V6(_) => {
                self.io.set_multicast_if_v6(ifindex)?;
                self.io.set_multicast_hops_v6(ttl)?;
                self.io.set_multicast_loop_v6(true)?;
                self.io.multicast_if_v6()? == ifindex
            }
        };
        if !is_set {
            let why = format!("the system does not send multicast from {}", route.source);
            return Err(io::Error::other(why));
        }
        self.multicast = Some(route);
        Ok(())
    }

    /// From now on [`Self::take_error`] gives what ICMP says about datagrams of this socket. For
    /// sockets that open associations: nobody else can make use of it.
    pub(crate) fn keep_errors(&self) -> io::Result<()> {
        sys::keep_errors(self.io.as_fd(), self.local.is_ipv6())
    }

    /// The next receiver that cannot be reached, and why; `None` when nothing more was heard.
    pub(crate) fn take_error(&self) -> Option<(SocketAddr, Unreachable)> {
        loop {
            let (to, error) = sys::take_error(self.io.as_fd()).ok()?;
            let Some((to, icmp)) = to.zip(error.icmp) else { continue };
            if let Some(why) = unreachable::by_icmp(to, error.errno, &icmp) {
                return Some((to, why));
            }
        }
    }

    /// Lets a group's socket be bound to the same port, or nobody any more (socket(7),
    /// `SO_REUSEADDR`, which both must have). Not for longer than that bind takes: any process
    /// could bind this very address as well, and take its datagrams.
    pub(crate) fn share_port(&self, shared: bool) {
        if let Err(e) = self.io.set_reuse_address(shared) {
            tracing::debug!("sharing the port: {e}"); // the bind will say so as well
        }
    }

    /// The socket itself, for options and memberships.
    pub(crate) fn io(&self) -> &Socket {
        &self.io
    }

    /// For a poll.
    pub(crate) fn fd(&self) -> RawFd {
        self.io.as_raw_fd()
    }

    /// Address and port it is bound to.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Its family.
    pub(crate) fn family(&self) -> Family {
        Family::of(self.local.ip())
    }

    /// Receive buffer in bytes, in the sense of what one asks for: the kernel keeps twice as much
    /// for its own bookkeeping (socket(7), `SO_RCVBUF`).
    pub(crate) fn granted(&self) -> usize {
        self.granted
    }

    /// How full its receive buffer is after a turn of reads, in the same sense, and whether anything
    /// found no room there. `None` if the turn was too small to ask, or the kernel does not say.
    ///
    /// Also a turn that emptied the socket may have found it full: with GRO a few reads take more
    /// than all of a small buffer.
    pub(crate) fn load_after(&self, turn: Turn) -> Option<SocketLoad> {
        if turn.emptied && turn.bytes < self.granted / ASK_PART {
            return None;
        }
        self.load()
    }

    fn load(&self) -> Option<SocketLoad> {
        let memory = sys::memory(self.io.as_fd()).ok()?;
        let dropped = self.drops.replace(memory.drops) != memory.drops;
        Some(SocketLoad { queued: memory.used / 2, capacity: memory.limit / 2, dropped })
    }

    /// Datagrams that have found no room in its receive buffer so far, of all trains one each; `None` if the system
    /// does not say.
    pub(crate) fn overflows(&self) -> Option<u64> {
        sys::memory(self.io.as_fd()).ok().map(|memory| u64::from(memory.drops))
    }

    /// Datagrams that the system would not send: no buffer, no route, a filter.
    #[cfg(test)]
    pub(crate) fn lost(&self) -> u64 {
        self.offload.lost
    }

    /// Reads up to `batches` batches, hands each with the number of its reads to `take`, and says what
    /// that came to.
    pub(crate) fn read_turn(
        &self,
        batch: &mut Batch,
        batches: usize,
        mut take: impl FnMut(&mut Batch, usize),
    ) -> Turn {
        let mut turn = Turn::default();
        for _ in 0..batches {
            match self.recv(batch) {
                Ok(count) => {
                    turn.bytes += batch.metas[..count].iter().map(|meta| meta.len).sum::<usize>();
                    take(batch, count);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    turn.emptied = true;
                    break;
                }
                // An error that was pending (an ICMP message) is taken by reporting it.
                Err(e) => tracing::debug!("receiving: {e}"),
            }
        }
        turn
    }

    /// Reads up to [`BATCH`] times; `WouldBlock` when there is nothing.
    pub(crate) fn recv(&self, batch: &mut Batch) -> io::Result<usize> {
        let mut buffers = batch.bytes.chunks_exact_mut(BUFFER);
        let mut slices: [IoSliceMut<'_>; BATCH] =
            core::array::from_fn(|_| IoSliceMut::new(buffers.next().unwrap_or_default()));
        self.state.recv(UdpSockRef::from(&self.io), &mut slices, &mut batch.metas)
    }

    /// Sends a train, or the part of it that is left.
    pub(crate) fn send(&mut self, train: &mut Train) -> Sending {
        let mut offload = core::mem::take(&mut self.offload);
        let sending = offload.send(train, |train, piece| self.send_piece(train, piece));
        self.offload = offload;
        sending
    }

    fn send_piece(&self, train: &Train, piece: usize) -> io::Result<()> {
        let transmit = &train.transmit;
        let multicast = transmit.to.ip().is_multicast();
        let bytes = &train.buf[train.sent..train.sent + piece];
        let group_from = self.multicast.filter(|_| multicast);
        if let Some(Route { ifindex, source: IpAddr::V6(source) }) = group_from
            && source.is_unicast_link_local()
        {
            let segment = Some(transmit.segment_size).filter(|size| *size < piece);
            let out = sys::Leaving { to: transmit.to, source, ifindex, ecn: transmit.ecn, segment };
            return sys::send_from(self.io.as_fd(), &out, bytes);
        }
        let src_ip = if multicast {
            group_from.map(|route| route.source)
        } else {
            // A group's address is nothing to send from.
            transmit.from.filter(|from| {
                Family::of(*from) == self.family() && !from.is_multicast() && !from.is_unspecified()
            })
        };
        let out = quinn_udp::Transmit {
            destination: scoped(transmit.to, transmit.ifindex),
            ecn: quinn_udp::EcnCodepoint::from_bits(transmit.ecn),
            contents: bytes,
            segment_size: Some(transmit.segment_size),
            src_ip,
        };
        self.state.try_send(UdpSockRef::from(&self.io), &out)
    }
}

/// How trains are cut for the system, and what it made of them.
#[derive(Debug, Default)]
struct Offload {
    /// Trains go out whole; else datagram by datagram.
    gso: bool,
    /// Datagrams that the system would not send.
    lost: u64,
}

impl Offload {
    /// Sends what is left of a train in pieces, each by `attempt`.
    fn send(
        &mut self,
        train: &mut Train,
        mut attempt: impl FnMut(&Train, usize) -> io::Result<()>,
    ) -> Sending {
        let size = train.transmit.segment_size.max(1);
        let (mut single, mut repeated) = (false, 0);
        let to = train.transmit.to;
        while train.sent < train.transmit.len {
            let left = train.transmit.len - train.sent;
            let many = self.gso && !single;
            let at_once = if many { MAX_SEGMENTS.min(MAX_TRAIN / size).max(1) } else { 1 };
            let piece = left.min(at_once * size);
            match attempt(train, piece) {
                Ok(()) => {
                    if single {
                        // One by one it works: the device cannot segment.
                        tracing::info!(%to, "sends without GSO from now on");
                        self.gso = false;
                        single = false;
                    }
                    train.sent += piece;
                    repeated = 0;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Sending::Blocked,
                Err(e) => match e.raw_os_error() {
                    // It may be what ICMP said about an earlier datagram, to somebody else: then
                    // telling it was all that went wrong.
                    Some(errno) if repeated < unreachable::repeats(to, errno) => repeated += 1,
                    Some(libc::EMSGSIZE) => return Sending::Oversize(size.min(left)),
                    // Either GSO is at fault or the datagrams are: one alone will tell.
                    Some(libc::EIO | libc::EINVAL) if piece > size => single = true,
                    _ => {
                        // If one alone fails as well, so does the piece that it began.
                        let gone = left.min(if single { MAX_SEGMENTS * size } else { piece });
                        (single, repeated) = (false, 0);
                        self.lose(train, gone, &e);
                        // A group is not one receiver that could be given up.
                        if to.ip().is_multicast() {
                            continue;
                        }
                        if e.kind() == io::ErrorKind::AddrNotAvailable {
                            return Sending::NoSource;
                        }
                        if let Some(why) =
                            e.raw_os_error().and_then(|no| unreachable::by_errno(to, no))
                        {
                            return Sending::Unreachable(why);
                        }
                    }
                },
            }
        }
        Sending::Done
    }

    fn lose(&mut self, train: &mut Train, bytes: usize, why: &io::Error) {
        train.sent += bytes;
        self.lost += bytes.div_ceil(train.transmit.segment_size.max(1)) as u64;
        tracing::debug!(to = %train.transmit.to, lost = self.lost, "not sent: {why}");
    }
}

/// A link-local address means something on one link only (RFC 4007, 6): the interface goes with it.
fn scoped(to: SocketAddr, ifindex: u32) -> SocketAddr {
    match to {
        SocketAddr::V6(v6) if v6.scope_id() == 0 && v6.ip().is_unicast_link_local() => {
            SocketAddrV6::new(*v6.ip(), v6.port(), v6.flowinfo(), ifindex).into()
        }
        _ => to,
    }
}

fn ask_recv_buffer(io: &Socket) -> io::Result<usize> {
    if sys::force_recv_buffer(io.as_fd(), RECV_BUFFER).is_err() {
        // Gives less than asked for without an error: up to net.core.rmem_max.
        io.set_recv_buffer_size(RECV_BUFFER)?;
    }
    Ok(io.recv_buffer_size()? / 2)
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
