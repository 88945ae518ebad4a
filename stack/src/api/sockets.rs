//! The sockets of a sender: one for each family that it sends to, opened once a receiver of that is named.

use crate::net::group::Family;
use crate::net::shared::Handle;
use crate::net::socket::UdpSocket;
use core::fmt;
use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Opens a socket at this address.
type Bind = Box<dyn Fn(SocketAddr) -> io::Result<UdpSocket> + Send + Sync>;

/// What opens them.
pub(super) struct Opener {
    bind: Bind,
    /// The address and port that were asked for.
    local: Option<SocketAddr>,
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("local", &self.local).finish_non_exhaustive()
    }
}

impl Opener {
    pub(super) fn new(
        bind: impl Fn(SocketAddr) -> io::Result<UdpSocket> + Send + Sync + 'static,
        local: Option<SocketAddr>,
    ) -> Self {
        Self { bind: Box::new(bind), local }
    }

    /// One socket per family of these addresses but for those that it has, on the port of these if that is possible. Of
    /// a family that this host does not have there is none, which fails the receivers of that family alone.
    pub(super) fn open(
        &self,
        addrs: &[SocketAddr],
        has: &BTreeSet<Family>,
        mut port: Option<u16>,
    ) -> io::Result<Vec<UdpSocket>> {
        let is_needed = |family: &Family| {
            !has.contains(family) && addrs.iter().any(|addr| Family::of(addr.ip()) == *family)
        };
        let mut families = [Family::V4, Family::V6];
        if self.local.is_some_and(|addr| addr.is_ipv6()) {
            families.reverse();
        }
        let mut sockets = Vec::new();
        for family in families.into_iter().filter(is_needed) {
            let any: IpAddr = match family {
                Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
                Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
            };
            let ip = self.local.map(|addr| addr.ip()).filter(|ip| Family::of(*ip) == family);
            let ip = ip.unwrap_or(any);
            let wanted = port.or(self.local.map(|addr| addr.port())).unwrap_or(0);
            let socket = match (self.bind)((ip, wanted).into()) {
                // The other family's free port may be taken in this one; no peer compares them.
                Err(e) if e.kind() == ErrorKind::AddrInUse && port.is_some() => {
                    (self.bind)((ip, 0).into())?
                }
                Err(e) if e.raw_os_error() == Some(libc::EAFNOSUPPORT) => continue,
                other => other?,
            };
            socket.keep_errors()?;
            port = Some(socket.local().port());
            sockets.push(socket);
        }
        Ok(sockets)
    }

    /// Opens what a receiver at these addresses needs beside what a running sender has at this port: its driver takes
    /// them before anything is sent there.
    pub(super) fn open_further(
        &self,
        handle: &Handle,
        port: u16,
        addrs: &[SocketAddr],
    ) -> io::Result<()> {
        let has = handle.lock().families.clone();
        let opened = self.open(addrs, &has, Some(port).filter(|port| *port != 0))?;
        let mut inner = handle.lock();
        for socket in opened {
            // Unless another thread was faster.
            if inner.families.insert(socket.family()) {
                inner.opened.push(socket);
            }
        }
        Ok(())
    }
}
