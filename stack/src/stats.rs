//! Counters and reports: per session, member and direction.

use crate::error::Reason;
use core::time::Duration;
use std::net::SocketAddr;

/// How a member's data travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// By unicast while the group is tried.
    Trial,
    /// By the group.
    Multicast,
    /// By unicast: hears no group, or none is used.
    Unicast,
    /// Not served any more; the reason stands in the report.
    Gone,
}

impl Mode {
    /// The lower-case word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trial => "trial",
            Self::Multicast => "multicast",
            Self::Unicast => "unicast",
            Self::Gone => "gone",
        }
    }
}

/// Bytes of the session as they first arrived at one receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Arrived {
    /// First heard through the group.
    pub multicast: u64,
    /// First heard by unicast.
    pub unicast: u64,
    /// Of both, those that came as a repair of something sent before.
    pub repaired: u64,
    /// Bytes that had arrived already.
    pub duplicate: u64,
}

impl Arrived {
    /// All distinct bytes that arrived.
    pub fn total(&self) -> u64 {
        self.multicast + self.unicast
    }
}

/// What a session sent, over all members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sent {
    /// Stream bytes sent to the group, repairs included.
    pub group_bytes: u64,
    /// Stream bytes sent by unicast to single members, repairs included.
    pub unicast_bytes: u64,
    /// Of both, stream bytes sent again.
    pub repaired_bytes: u64,
    /// Datagrams of all kinds.
    pub datagrams: u64,
    /// Bytes of all datagrams, UDP payload, without UDP and IP headers.
    pub datagram_bytes: u64,
}

/// One change of a member's mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// Since the session began.
    pub at: Duration,
    /// The mode it went to.
    pub mode: Mode,
    /// Why, in a few words.
    pub why: &'static str,
}

/// What became of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberReport {
    /// The address that was connected to.
    pub addr: SocketAddr,
    /// `None` while it is served; then the receiver's verdict or the reason of its failure.
    pub outcome: Option<Result<(), Reason>>,
    /// Last mode before the end.
    pub mode: Mode,
    /// As the receiver counted it; all zero until its verdict has arrived.
    pub arrived: Arrived,
    /// Bytes of the stream known to have arrived.
    pub acked: u64,
    /// From the first SYN to the verdict, or until now.
    pub duration: Duration,
    /// Every change of mode.
    pub transitions: Vec<Transition>,
}
