//! Errors, sorted by whose fault they are: the caller's, the peer's, or the network's.

use crate::trust::PublicKey;
use core::time::Duration;
use std::net::IpAddr;
use thiserror::Error;

/// The caller asked for something that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A session needs at least one receiver.
    #[error("no receiver given")]
    NoReceiver,
    /// More receivers than a session can hold.
    #[error("{0} receivers given, at most {1} can be served")]
    TooManyReceivers(usize, usize),
    /// The same address twice.
    #[error("{0} is given twice")]
    Twice(std::net::SocketAddr),
    /// Not a group that may be used: not multicast, link-local, or well known.
    #[error("{0} cannot be used as a group: {1}")]
    Group(std::net::IpAddr, &'static str),
    /// The stream would be longer than a 48-bit offset can say.
    #[error("{0} bytes are more than the 2^48 - 1 that one session can carry")]
    TooLong(u64),
    /// Receivers are asked what they hold of a stream, which is read once: what they come to lack
    /// late could not be sent.
    #[error(
        "receivers can declare what they hold of a source that can be read again, not of a stream"
    )]
    Declarations,
    /// Receivers join late what can be read again.
    #[error(
        "receivers can join late where a source can be read again, not a stream: its beginning is gone"
    )]
    LateJoin,
    /// Only receivers on this host may be sent to without a secret or keys.
    #[error("{0} is another host: without a secret or keys only this one may be sent to")]
    NotLoopback(std::net::SocketAddr),
    /// A buffer too small for a single segment.
    #[error("a buffer of {0} bytes cannot hold one segment")]
    SmallBuffer(usize),
}

/// A receiver cannot be added to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AddError {
    /// The session carries a stream, of which only what not everybody has yet is held.
    #[error("a stream is read once: who joins late could not be sent its beginning")]
    Stream,
    /// Every receiver has its outcome.
    #[error("the session is over")]
    Over,
    /// It has so many receivers already.
    #[error("a session can serve {0} receivers at most")]
    TooMany(usize),
    /// It has no address.
    #[error("no address given")]
    NoAddress,
    /// Another receiver is there.
    #[error("{0} is served already")]
    Twice(std::net::SocketAddr),
    /// Only receivers on this host may be sent to without a secret or keys.
    #[error("{0} is another host: without a secret or keys only this one may be sent to")]
    NotLoopback(std::net::SocketAddr),
}

/// A source cannot end there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EndError {
    /// The session carries a stream, which ends where it was finished.
    #[error("a stream ends where it is finished: there is no other end to set")]
    Stream,
    /// Its end is known already.
    #[error("the source ends after {0} bytes, as was said before")]
    Known(u64),
    /// Bytes beyond have been supplied.
    #[error("{0} bytes of the source have been supplied: it cannot be shorter")]
    Supplied(u64),
    /// More of it was said to exist.
    #[error("{0} bytes of the source were said to exist: there cannot be fewer")]
    Grown(u64),
    /// The source would be longer than a 48-bit offset can say.
    #[error("{0} bytes are more than the 2^48 - 1 that one session can carry")]
    TooLong(u64),
    /// There is no such session.
    #[error("the session has been given up")]
    Session,
}

/// A receiver cannot say that of what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeclareError {
    /// What is read in order cannot be held in parts.
    #[error("only a session of unordered delivery takes declarations")]
    Ordered,
    /// A range without bytes.
    #[error("the range at {0} is empty")]
    Empty(u64),
    /// It is longer than the session.
    #[error("the session ends before {0}")]
    BeyondEnd(u64),
    /// The verdict was given.
    #[error("the session has been closed by this side")]
    Closed,
    /// The session is over.
    #[error("{0}")]
    Over(Reason),
}

/// Why nothing can be delivered to a receiver, as the system or the network says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unreachable {
    /// ICMP port unreachable. Firewalls say it as well: it is what `reject` means where nothing else is asked for
    /// (nft(8), iptables-extensions(8)).
    #[error("port {0}: nobody listens, or a firewall rejects it; start the receiver there")]
    Port(u16),
    /// Somebody on the way, or the host itself, says by ICMP that this is administratively prohibited.
    #[error(
        "a firewall forbids udp port {port} there{} {said}): open that port",
        by.map_or_else(|| " (ICMP:".to_owned(), |by| format!(" ({by} says:"))
    )]
    Forbidden {
        /// The UDP port that was sent to.
        port: u16,
        /// Who says it.
        by: Option<IpAddr>,
        /// What it says, in the words of the standard.
        said: &'static str,
    },
    /// The system here refuses to send to this UDP port.
    #[error("a firewall or a route of this host forbids it to send to udp port {0} there")]
    ForbiddenHere(u16),
    /// No route leads to the host, or it does not answer to its neighbours.
    #[error("no route to host")]
    Host,
    /// No route leads to its network.
    #[error("network is unreachable")]
    Network,
    /// This host has no socket of its family: IPv6, or IPv4.
    #[error("this host has no {}", if *v6 { "IPv6" } else { "IPv4" })]
    NoFamily {
        /// It is IPv6.
        v6: bool,
    },
}

/// Why a member is taken to be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Lost {
    /// It answered nothing for so long.
    #[error("nothing heard for {0:?}")]
    Silent(Duration),
    /// It cannot be reached any more, the system or the network says.
    #[error("{0}")]
    Unreachable(Unreachable),
    /// It knows nothing of the session any more, and does not begin again.
    #[error("it knows nothing of the session any more")]
    Unknown,
}

/// Why a member did not get everything, or a receiver not the whole session.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Reason {
    /// None of its addresses has answered; what is known of each.
    #[error("{0}")]
    NoAddress(String),
    /// No answer to any SYN.
    #[error("no answer within {0:?}")]
    NeverAnswered(Duration),
    /// It answered that it will not take the session.
    #[error("refused: {0}")]
    Refused(String),
    /// It cannot be reached, the system or the network says.
    #[error("{0}")]
    Unreachable(Unreachable),
    /// It was there, then nothing more was heard.
    #[error("nothing heard for {0:?}")]
    Silent(Duration),
    /// It was there, was lost, and had not come back when nobody else was left.
    #[error("{why}; lost {:.1} s after the beginning", since.as_secs_f64())]
    Lost {
        /// When it was last heard, since the session began.
        since: Duration,
        /// Why it is taken to be lost.
        why: Lost,
    },
    /// It was restarted, knows nothing of the session any more, and could not begin again, for this reason.
    #[error("it was restarted in the middle: {0}")]
    Forgotten(&'static str),
    /// It answers, but no byte sent to it arrives.
    #[error("none of the bytes sent to it arrived for {0:?}")]
    Stalled(Duration),
    /// It ended the session before the end.
    #[error("aborted by the peer: {0}")]
    Aborted(String),
    /// It received everything and says that it could not use it.
    #[error("{0}")]
    Verdict(String),
    /// It answered after the stream's first bytes had been given up.
    #[error("answered too late: the beginning of the stream is gone")]
    TooLate,
    /// It made the group slow, and took less than the session wants of each
    /// ([`Slow::Drop`](crate::config::Slow::Drop)).
    #[error(
        "dropped: {:.1} Mbit/s, less than the limit of {:.1} Mbit/s",
        *own as f64 / 1e6,
        *below as f64 / 1e6
    )]
    TooSlow {
        /// What it took, in bits a second.
        own: u64,
        /// The limit.
        below: u64,
    },
    /// It took bytes back, or lacked them late, that the stream has given up: it is read once.
    #[error("asked again for bytes of a stream that is read once, and they are gone")]
    CannotRepeat,
    /// It speaks another version of the protocol.
    #[error(
        "it speaks version {theirs} of the protocol, this host version {ours}: {}",
        if theirs > ours { "a newer program is needed here" } else { "a newer program is needed there" }
    )]
    Version {
        /// The version spoken there.
        theirs: u8,
        /// The version spoken here.
        ours: u8,
    },
    /// It showed another key than the one that is known of it.
    #[error("its key has changed: known is {}, it shows {}", known.fingerprint(), shown.fingerprint())]
    HostKeyChanged {
        /// What is known of it.
        known: PublicKey,
        /// What it showed.
        shown: PublicKey,
    },
    /// It showed a key, but none is known of it, and none is taken on trust.
    #[error("its key is not known here: it shows {}", .0.fingerprint())]
    HostKeyUnknown(PublicKey),
    /// It showed no key, so nobody knows who it is.
    #[error("it has no key to show who it is")]
    NoHostKey,
    /// It broke the protocol.
    #[error("protocol violation: {0}")]
    Protocol(&'static str),
    /// Ended by this side.
    #[error("cancelled: {0}")]
    Cancelled(String),
}
