//! Buffers of the datagrams under way. One buffer serves all copies of a group datagram, and is
//! used again afterwards: a run moves millions of datagrams and allocates a few hundred times.

use std::net::SocketAddr;

/// A datagram in the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(u32);

/// A datagram under way.
#[derive(Debug)]
pub(crate) struct Datagram {
    /// Index of the node that sent it.
    pub(crate) from: usize,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
    /// The ECN bits of its IP header (RFC 3168, 5).
    pub(crate) ecn: u8,
    holders: u32,
}

/// All datagrams under way.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    slots: Vec<Datagram>,
    free: Vec<Slot>,
}

impl Pool {
    /// Takes a copy of `bytes`, held once.
    pub(crate) fn put(&mut self, from: usize, to: SocketAddr, bytes: &[u8], ecn: u8) -> Slot {
        if let Some(slot) = self.free.pop() {
            let datagram = &mut self.slots[slot.0 as usize];
            (datagram.from, datagram.to, datagram.holders) = (from, to, 1);
            datagram.ecn = ecn;
            datagram.bytes.clear();
            datagram.bytes.extend_from_slice(bytes);
            return slot;
        }
        self.slots.push(Datagram { from, to, bytes: bytes.to_vec(), ecn, holders: 1 });
        Slot(self.slots.len() as u32 - 1)
    }

    /// Another one with the same bytes and other ECN bits, held once.
    pub(crate) fn copy(&mut self, slot: Slot, ecn: u8) -> Slot {
        let Datagram { from, to, bytes, .. } = &mut self.slots[slot.0 as usize];
        let (from, to, own) = (*from, *to, core::mem::take(bytes));
        let copy = self.put(from, to, &own, ecn);
        self.slots[slot.0 as usize].bytes = own;
        copy
    }

    pub(crate) fn get(&self, slot: Slot) -> &Datagram {
        &self.slots[slot.0 as usize]
    }

    /// One more event will look at it.
    pub(crate) fn hold(&mut self, slot: Slot) {
        self.slots[slot.0 as usize].holders += 1;
    }

    /// One event fewer will look at it; after the last one the buffer is free.
    pub(crate) fn release(&mut self, slot: Slot) {
        let datagram = &mut self.slots[slot.0 as usize];
        datagram.holders -= 1;
        if datagram.holders == 0 {
            self.free.push(slot);
        }
    }

    /// Number of datagrams under way.
    #[cfg(test)]
    pub(crate) fn in_use(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_buffer_is_used_again_after_its_last_holder_let_go() {
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let mut pool = Pool::default();
        let a = pool.put(0, to, b"first", 0);
        pool.hold(a);
        pool.release(a);
        let b = pool.put(1, to, b"second", 0);
        assert_ne!(a, b, "still held once");
        pool.release(a);
        let c = pool.put(2, to, b"third", 0);
        assert_eq!(a, c);
        assert_eq!((pool.get(c).from, pool.get(c).bytes.as_slice()), (2, b"third".as_slice()));
        assert_eq!(pool.get(b).bytes, b"second");
        assert_eq!(pool.in_use(), 2);
        let marked = pool.copy(b, 3);
        assert_eq!(pool.get(b).bytes, pool.get(marked).bytes);
        assert_eq!((pool.get(b).ecn, pool.get(marked).ecn, pool.in_use()), (0, 3, 3));
    }
}
