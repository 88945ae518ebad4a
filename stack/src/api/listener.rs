//! Waiting for senders.

use super::receiver::Receiver;
use super::{misused, seed};
use crate::config::EndpointConfig;
use crate::error::ConfigError;
use crate::net::clock::Clock;
use crate::net::driver::{Driver, Joins};
use crate::net::shared::{Handle, Inner, Key, Shared};
use crate::net::socket::UdpSocket;
use crate::net::vrf;
use crate::proto::endpoint::Endpoint;
use crate::proto::event::{ReceiverId, Stranger};
use crate::proto::time::Instant;
use crate::stats::Crowded;
use crate::trust::ListenTrust;
use core::time::Duration;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::Waker;

/// Ephemeral ports tried until one is free in both families.
const PORT_TRIES: usize = 16;

/// What senders are told that nobody will accept.
const NOBODY: &str = "nobody accepts sessions here any more";

/// How to listen.
#[derive(Debug, Clone)]
pub struct ListenOptions {
    /// Address and UDP port. `[::]` is both families, everything else is the one it belongs to.
    pub addr: SocketAddr,
    /// Who may send.
    pub trust: ListenTrust,
    /// The engine's options. `listen` and `port` are set by [`Listener::bind`], and `recv_buffer`
    /// is lowered to half of the receive buffer that the system grants to the socket, since all that
    /// a peer has in flight at first may stand there at once. From there it grows as far as
    /// `recv_buffer_max` says.
    pub endpoint: EndpointConfig,
    /// Join groups on the interface with this index; `None`: on the one that the SYN came in on.
    pub interface: Option<u32>,
    /// Join no other group than this; senders that offer another one serve this host by unicast.
    pub only_group: Option<SocketAddr>,
}

impl ListenOptions {
    /// Listens on an address, for those who may send, with the defaults.
    pub fn new(addr: SocketAddr, trust: ListenTrust) -> Self {
        let endpoint = EndpointConfig::default();
        Self { addr, trust, endpoint, interface: None, only_group: None }
    }
}

/// Accepts sessions. Those that wait to be accepted when it is dropped are aborted; accepted ones
/// live on.
#[derive(Debug)]
pub struct Listener {
    handle: Handle,
    local: SocketAddr,
    recv_buffer: usize,
}

impl Listener {
    /// Opens the socket and starts the thread that serves it.
    pub fn bind(options: ListenOptions) -> io::Result<Self> {
        let ListenOptions { addr, trust, endpoint: mut config, interface, only_group } = options;
        let sockets = open(interface.and_then(vrf::of).as_deref(), addr)?;
        let local = sockets.first().map_or(addr, UdpSocket::local);
        let granted = sockets.iter().map(UdpSocket::granted);
        let recv_buffer = first_window(config.recv_buffer, granted);
        if let (ListenTrust::Loopback, Some(local)) =
            (&trust, sockets.iter().find(|s| !s.local().ip().is_loopback()))
        {
            return Err(misused(ConfigError::NotLoopback(local.local())));
        }
        config.listen = Some(trust);
        config.port = local.port();
        config.recv_buffer = recv_buffer;
        let endpoint = Endpoint::new(config, seed()?);
        let joins = Joins { interface, only: only_group };
        let handle = Driver::spawn(endpoint, Clock::start(), sockets, joins, None)?;
        Ok(Self { handle, local, recv_buffer })
    }

    /// The address and port that it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Waits for a session.
    pub fn accept(&self) -> io::Result<Receiver> {
        let accepted = self.handle.wait(None, accept)?;
        Ok(self.receiver(accepted?))
    }

    /// Waits for a session for so long, then gives `TimedOut`.
    pub fn accept_timeout(&self, limit: Duration) -> io::Result<Receiver> {
        let accepted = self.handle.wait(Some(limit), accept)?;
        Ok(self.receiver(accepted?))
    }

    /// Takes a session that waits, or gives `WouldBlock`.
    pub fn try_accept(&self) -> io::Result<Receiver> {
        let accepted = accept(&mut self.handle.lock(), self.handle.clock.now());
        let accepted = accepted.unwrap_or_else(|| Err(self.handle.nothing_yet()))?;
        Ok(self.receiver(accepted))
    }

    fn receiver(&self, (id, peer): (ReceiverId, SocketAddr)) -> Receiver {
        Receiver::new(self.handle.clone(), id, peer, self.recv_buffer)
    }

    /// Wakes this task whenever a session waits; `None` removes it.
    pub fn set_waker(&self, waker: Option<Waker>) {
        self.handle.set_waker(Key::Incoming, waker);
    }

    /// SYNs for which there was no place, so far.
    pub fn crowded(&self) -> Crowded {
        self.handle.ask(|engine, _| engine.crowded())
    }

    /// Waits until somebody comes who may not send here, or finds no place, and says who that is.
    /// `NotConnected` once the listener is closed.
    pub fn next_stranger(&self) -> io::Result<Stranger> {
        self.handle.wait(None, |inner, _| {
            if inner.closed.is_some() {
                return Some(Err(closed()));
            }
            inner.endpoint.next_stranger().map(Ok)
        })?
    }

    /// From now on others may send: sessions of those who may not any more end, with the reason for both
    /// ends. [`ListenTrust::Loopback`] only where nothing else is listened on.
    pub fn set_trust(&self, trust: ListenTrust) -> io::Result<()> {
        if matches!(trust, ListenTrust::Loopback) && !self.local.ip().is_loopback() {
            return Err(misused(ConfigError::NotLoopback(self.local)));
        }
        self.handle.ask(|engine, now| engine.set_trust(now, trust));
        self.handle.wake.wake();
        Ok(())
    }

    /// Something to end the waiting with, from another thread.
    pub fn closer(&self) -> Closer {
        Closer(self.handle.uncounted())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        close(&self.handle, NOBODY, None);
    }
}

/// Ends a [`Listener`]'s waiting. It does not keep it alive.
#[derive(Debug, Clone)]
pub struct Closer(Arc<Shared>);

impl Closer {
    /// From now on accepting fails with `NotConnected`, also where it waits already. Sessions that
    /// nobody has accepted are aborted; accepted ones live on.
    pub fn close(&self) {
        close(&self.0, NOBODY, None);
    }

    /// The same, with `why` for the senders of sessions that nobody has accepted; and after `within`
    /// everything ends, whatever is still to be sent: the sockets are closed, though there be
    /// receivers, and what waits for one fails. Until then verdicts are sent and repeated, and
    /// whoever comes is told `why`, or refused with it when there are no handles any more.
    pub fn shut_down(&self, why: &str, within: Duration) {
        close(&self.0, why, Some(within));
    }

    /// Waits until all is said and the sockets are closed: when the last handle is gone and nothing is left
    /// to be sent, and at the latest `within` after [`Self::shut_down`]. So a program ends when its other
    /// threads may be the last to drop their handles. For a thread that holds none, if only
    /// [`Self::close`] was called, and not for a waker: that runs on the thread which is waited for.
    pub fn wait_closed(&self) {
        let _ = self.0.wait(None, |_, _| None::<()>); // its error is the driver's end
    }
}

fn close(shared: &Shared, why: &str, within: Option<Duration>) {
    let now = shared.clock.now();
    let waker = {
        let mut inner = shared.lock();
        // Who said it first has told it to some already.
        inner.closed.get_or_insert_with(|| why.to_owned());
        if let Some(within) = within {
            inner.end_by = inner.end_by.into_iter().chain([now + within]).min();
        }
        inner.turn_away(now);
        inner.wakers.remove(&Key::Incoming)
    };
    shared.changed();
    shared.wake.wake();
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn accept(inner: &mut Inner, _now: Instant) -> Option<io::Result<(ReceiverId, SocketAddr)>> {
    if inner.closed.is_some() {
        return Some(Err(closed()));
    }
    let id = inner.endpoint.accept()?;
    Some(Ok((id, inner.endpoint.peer(id)?)))
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the listener was closed")
}

/// What a peer may have in flight at first, all of which may stand in a socket at once: no more than half of the least
/// receive buffer, since the system counts its own bookkeeping there as well (socket(7), `SO_RCVBUF`).
fn first_window(asked: usize, granted: impl Iterator<Item = usize>) -> usize {
    asked.min(granted.min().unwrap_or(0) / 2)
}

/// One socket, or for `[::]` one per family on the same port; in a VRF by its device.
fn open(vrf: Option<&str>, addr: SocketAddr) -> io::Result<Vec<UdpSocket>> {
    let both = addr.is_ipv6() && addr.ip().is_unspecified();
    let mut last = None;
    for _ in 0..PORT_TRIES {
        let first = UdpSocket::bind_in(vrf, addr)?;
        if !both {
            return Ok(vec![first]);
        }
        let port = first.local().port();
        match UdpSocket::bind_in(vrf, (Ipv4Addr::UNSPECIFIED, port).into()) {
            Ok(second) => return Ok(vec![first, second]),
            // Another port may be free in both.
            Err(e) if addr.port() == 0 && e.kind() == io::ErrorKind::AddrInUse => last = Some(e),
            Err(e) => return Err(e),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_grants_bounds_the_first_window() {
        let of = |granted: &[usize]| first_window(2 << 20, granted.iter().copied());
        assert_eq!(of(&[4 << 20, 8 << 20]), 2 << 20);
        // Linux without a word about net.core.rmem_max, for who may not go beyond it.
        assert_eq!(of(&[4 << 20, 212_992]), 106_496);
        assert_eq!(of(&[]), 0);
        assert_eq!(first_window(64 << 10, [212_992].into_iter()), 64 << 10);
    }

    #[test]
    fn a_listener_has_the_window_that_its_sockets_allow() {
        let options = |asked| {
            let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let mut options = ListenOptions::new(any, ListenTrust::Loopback);
            options.endpoint.recv_buffer = asked;
            options
        };
        let granted = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap().granted();
        for (asked, window) in [(usize::MAX, granted / 2), (20_000, 20_000.min(granted / 2))] {
            assert_eq!(Listener::bind(options(asked)).unwrap().recv_buffer, window);
        }
    }
}
