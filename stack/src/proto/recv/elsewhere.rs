//! A sender whose address changes: its session follows it.

use super::session::Receiving;
use crate::proto::conn::migration::NetPath;
use crate::proto::event::Arrival;
use crate::proto::time::Instant;
use crate::wire::Header;

impl Receiving {
    /// Takes a unicast datagram; `token` draws a challenge, if one is needed.
    pub(crate) fn on_unicast(
        &mut self,
        now: Instant,
        (arrival, ce): (&Arrival, bool),
        cut: (Header, usize),
        (datagram, token): (&mut [u8], impl FnOnce() -> u64),
    ) {
        let way = arrival.into();
        let Some(incoming) = self.conn.open(arrival.from, cut, datagram) else { return };
        // Also where the handshake came from may be false: somebody may have repeated it from elsewhere.
        if let Some(way) = self.conn.came_by(now, way, &incoming, token) {
            let news = self.conn.migrate(now, way);
            self.settle(news);
            if let Some(group) = &mut self.group {
                group.moved(way.peer.ip());
            }
        }
        self.on_datagram(now, &incoming, ce);
    }

    /// What the sender is asked, or answered, by another way than the usual one.
    pub(crate) fn emit_aside(&mut self, now: Instant, buf: &mut [u8]) -> Option<(NetPath, usize)> {
        let (way, len) = self.conn.emit_aside(now, buf)?;
        self.sent.datagrams += 1;
        self.sent.datagram_bytes += len as u64;
        Some((way, len))
    }
}
