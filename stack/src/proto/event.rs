//! What passes between the engine and whoever drives it.

use crate::trust::PublicKey;
use std::net::{IpAddr, SocketAddr};

/// A sending session of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub(crate) u64);

/// A receiving session of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReceiverId(pub(crate) u64);

/// One receiver of a sending session: its place in the list that was connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberId {
    /// The session.
    pub session: SessionId,
    /// Index into the list of addresses.
    pub index: usize,
}

/// Where one read from a socket came from. Several datagrams of one train share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Source address and port.
    pub from: SocketAddr,
    /// The address it was sent to (pktinfo), the group's for group datagrams.
    pub to: Option<IpAddr>,
    /// Interface it came in on, 0 if unknown.
    pub ifindex: u32,
    /// ECN bits (RFC 3168).
    pub ecn: u8,
    /// Length of every datagram in the buffer but the last, which may be shorter (UDP GRO).
    pub stride: usize,
}

/// How full a socket's own receive buffer is, after as much was read as a turn allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketLoad {
    /// Bytes that wait.
    pub queued: usize,
    /// Bytes that can wait.
    pub capacity: usize,
    /// Datagrams found no room since this was last told.
    pub dropped: bool,
}

/// One train: datagrams of one length, but for the last, to one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit {
    /// Destination address and port.
    pub to: SocketAddr,
    /// The address to send from, so that replies leave from the address that was addressed.
    pub from: Option<IpAddr>,
    /// The interface to send through, 0 for the routing table's choice.
    pub ifindex: u32,
    /// Bytes of the buffer in use.
    pub len: usize,
    /// Length of every datagram but the last (UDP GSO); equal to `len` for a single one.
    pub segment_size: usize,
    /// Number of datagrams.
    pub datagrams: usize,
    /// ECN bits of the IP header (RFC 3168, 5): ECT(0) for data, else 0.
    pub ecn: u8,
}

/// What the driver must do for a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Join the group and answer with [`Endpoint::handle_join`](super::endpoint::Endpoint::handle_join).
    Join {
        /// For whom.
        receiver: ReceiverId,
        /// Group address and port.
        group: SocketAddr,
        /// Source to join with, for source-specific multicast.
        source: Option<IpAddr>,
        /// Interface that the SYN came in on, 0 if unknown.
        ifindex: u32,
    },
    /// Leave it and join it again at once, in the same way and on the same socket: its system then reports the
    /// membership, and the group is heard without a gap. That of others who have joined it so is reported with it.
    Refresh {
        /// For whom.
        receiver: ReceiverId,
    },
    /// A sending session has begun to send, or has and another member has answered since: the driver may look whether
    /// its group leaves towards those that have answered ([`Endpoint::answered`](super::endpoint::Endpoint::answered)), and if not, say from where
    /// it does ([`Endpoint::move_group`](super::endpoint::Endpoint::move_group)).
    Begun {
        /// Which.
        session: SessionId,
    },
    /// Its sender asks why the group is not heard: read what this host has counted since the join, and answer with
    /// [`Endpoint::handle_count`](super::endpoint::Endpoint::handle_count).
    Count {
        /// For whom.
        receiver: ReceiverId,
        /// Where the group comes from.
        source: IpAddr,
    },
    /// Leave it again.
    Leave {
        /// For whom.
        receiver: ReceiverId,
    },
}

/// Something changed at one object: look at it again. Each object appears at most once in the
/// queue, so the queue is bounded by the number of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A receiving session waits to be accepted.
    Incoming,
    /// A sending session: its state, room to write, a need, a member's stream or report.
    Session(SessionId),
    /// Members of a sending session begin again, since their hosts were restarted:
    /// [`Endpoint::next_renewed`](super::endpoint::Endpoint::next_renewed) says which.
    Renewed(SessionId),
    /// A receiving session: data, its private stream, its end.
    Receiver(ReceiverId),
    /// Somebody came who may not send here, or found no place.
    Stranger,
}

/// Somebody who may not send to this host, or not so, or not now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stranger {
    /// A SYN that no secret of this host's opens.
    Secret {
        /// Where it came from.
        from: SocketAddr,
    },
    /// A sender whose key is not authorized, or who showed none.
    Key {
        /// Where it is.
        from: SocketAddr,
        /// Its key.
        key: Option<PublicKey>,
    },
    /// There was no place for its handshake: too many are half open, in all or from there.
    Crowded {
        /// Where it came from.
        from: SocketAddr,
    },
    /// Something came to a session's group, and not from its sender.
    Group {
        /// Where it came from.
        from: SocketAddr,
    },
}

/// How far a sending session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// Waiting for receivers to answer.
    Connecting,
    /// Sending.
    Sending,
    /// Everything is written; members are being completed.
    Finishing,
    /// Every member has its outcome.
    Done,
}

/// What a read from a receiving session gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOutcome {
    /// So many bytes, which stand at `offset` of the stream.
    Data {
        /// Stream offset of the first byte.
        offset: u64,
        /// Number of bytes, at least 1.
        len: usize,
    },
    /// Nothing now.
    Empty,
    /// Everything has been read; the stream has this length.
    End {
        /// Length of the stream in bytes.
        len: u64,
    },
}

/// Progress of one private stream's read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlRead {
    /// So many bytes, at least 1.
    Data(usize),
    /// Nothing now.
    Empty,
    /// The peer has closed its side.
    End,
}
