//! Counters and reports: per session, member and direction.

mod lost;

pub use lost::{Counters, Lost};

use crate::error::Reason;
use crate::trust::PublicKey;
use core::fmt;
use core::time::Duration;
use std::net::{IpAddr, SocketAddr};

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

/// One change of a member's mode; or that it is lost, or there again, while it is served by unicast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// Since the session began.
    pub at: Duration,
    /// The mode it went to.
    pub mode: Mode,
    /// Why, in a few words.
    pub why: &'static str,
    /// Why the group does not serve it from then on, with what was counted or measured for that; `None` if it does,
    /// or is tried, or if that is as before.
    pub reason: Option<ModeReason>,
}

impl fmt::Display for Transition {
    /// Why, with all that is known of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => reason.fmt(f),
            None => f.write_str(self.why),
        }
    }
}

/// Why a member is not served by the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModeReason {
    /// The session has no group.
    NoGroup,
    /// There is no second receiver that the group would serve with it.
    Alone,
    /// The group cannot be used from here; in words, why.
    Unusable(String),
    /// It has never answered, so it was not served at all.
    NotServed,
    /// It cannot join the group; in its own words, why.
    CannotJoin(String),
    /// It ended before it was clear whether it hears the group.
    Unclear(Hearing),
    /// It heard too little of what the group carried.
    HearsLittle(Hearing),
    /// Three repeated retransmission time-outs within ten seconds.
    TimedOut,
    /// It did not keep up with the others.
    Slow {
        /// What it took, in bits a second.
        own: u64,
        /// What the group brought the others without waiting for it.
        group: u64,
    },
    /// Unicast was faster than the group.
    Slower {
        /// What the group brought, in bits a second.
        group: u64,
        /// What unicast brought.
        unicast: u64,
    },
    /// It has left the group, which is on its line all the same: its switch does not prune. Beside the group, and after
    /// that, it lost so much of what it was sent alone.
    Flooded {
        /// Why it has left.
        left: Box<ModeReason>,
        /// Percent lost beside the group.
        beside: u8,
        /// Percent lost after it.
        after: u8,
    },
    /// It answered nothing.
    Silent,
    /// It had not acknowledged the group's new key by the time that it was used.
    NoKey,
    /// It is lost: nothing has come from it for so long that nobody counts on it. It may return, as long as the session
    /// lasts, and then what had been found before holds again.
    Lost {
        /// When it was last heard, since the session began.
        since: Duration,
    },
}

impl ModeReason {
    /// What the member was measured to take otherwise than the group, and what the group brought, in bits a second; of
    /// reasons that are about rates.
    pub fn rates(&self) -> Option<(u64, u64)> {
        match self {
            Self::Slow { own, group } | Self::Slower { unicast: own, group } => {
                Some((*own, *group))
            }
            Self::Flooded { left, .. } => left.rates(),
            _ => None,
        }
    }

    /// Whether it is known that the group does not reach the member, as far as it was tried.
    pub fn is_deaf(&self) -> bool {
        matches!(self, Self::HearsLittle(hearing) | Self::Unclear(hearing) if hearing.is_nothing())
    }
}

impl fmt::Display for ModeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGroup => f.write_str("no group is used"),
            Self::Alone => f.write_str("no other receiver could be served by the group with it"),
            Self::Unusable(why) => write!(f, "the group cannot be used: {why}"),
            Self::NotServed => f.write_str("it has never answered"),
            Self::CannotJoin(why) => write!(f, "it cannot join the group: {why}"),
            Self::Unclear(Hearing { lost: Some(lost), .. })
            | Self::HearsLittle(Hearing { lost: Some(lost), .. })
                if self.is_deaf() =>
            {
                write!(f, "joined, and hears nothing: {lost}")
            }
            Self::Unclear(hearing) if hearing.is_nothing() => {
                write!(f, "until its end it heard {hearing}")
            }
            Self::Unclear(_) => {
                f.write_str("it ended before the group had been tried for long enough")
            }
            Self::HearsLittle(hearing) => match hearing.lost {
                None | Some(Lost::Before) => write!(f, "it hears {hearing}"),
                Some(lost) => write!(f, "it hears {hearing}: {lost}"),
            },
            Self::TimedOut => f.write_str("three time-outs in ten seconds"),
            Self::Slow { own, group } => {
                let mega = |bits: &u64| *bits as f64 / 1e6;
                let (own, group) = (mega(own), mega(group));
                write!(
                    f,
                    "it was slow and left: it took {own:.1} Mbit/s, the others {group:.1} Mbit/s"
                )
            }
            Self::Slower { group, unicast } => {
                let mega = |bits: &u64| *bits as f64 / 1e6;
                let (group, unicast) = (mega(group), mega(unicast));
                write!(f, "the group is slower: {group:.1} Mbit/s, by unicast {unicast:.1} Mbit/s")
            }
            Self::Flooded { left, beside, after } => write!(
                f,
                "{left}; its switch does not prune, so the group still fills its line: it lost {beside} % of what it \
                 was sent beside the group, {after} % after that, and finishes after the others"
            ),
            Self::Silent => f.write_str("it answered nothing for a while"),
            Self::NoKey => f.write_str("it had not taken the group's new key in time"),
            Self::Lost { since } => {
                let since = since.as_secs_f64();
                write!(f, "it is lost, last heard {since:.1} s after the beginning")
            }
        }
    }
}

/// What came to a session's group and was not its sender's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Foreign {
    /// Datagrams, all dropped.
    pub count: u64,
    /// Where the last came from.
    pub last: Option<IpAddr>,
}

/// SYNs that a listener neither answered nor asked for a cookie, since it had no place for another
/// handshake; whoever sent one sends it again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Crowded {
    /// SYNs.
    pub count: u64,
    /// Where the last came from.
    pub last: Option<IpAddr>,
}

/// How much of the group a member hears: of its last packets, 128 at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hearing {
    /// Packets that it is known to have heard.
    pub heard: u32,
    /// Packets of which that is known, either way.
    pub of: u32,
    /// What became of the others, if its host has said what it has counted.
    pub lost: Option<Lost>,
}

impl Hearing {
    /// Packets enough to judge by (as many as a promotion needs), and none of them heard.
    fn is_nothing(self) -> bool {
        self.heard == 0 && self.of >= LEAST
    }
}

/// So many packets must be known of for a judgement.
pub(crate) const LEAST: u32 = 32;

impl fmt::Display for Hearing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.heard, self.of) {
            (0, _) => f.write_str("none of the group's packets"),
            (heard, of) => write!(f, "{} % of the group's packets", heard * 100 / of.max(1)),
        }
    }
}

/// What became of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberReport {
    /// The key that it has shown, if it has one.
    pub key: Option<PublicKey>,
    /// The address that was connected to.
    pub addr: SocketAddr,
    /// `None` while it is served; then the receiver's verdict or the reason of its failure.
    pub outcome: Option<Result<(), Reason>>,
    /// How often its host was restarted within the session: each time it began again. What it has
    /// (`acked`, `undeclared`, `arrived`) is counted from the last time on; `duration` and `transitions`
    /// go on.
    pub restarts: u32,
    /// When it was last heard, since the session began, if it is lost: it may return as long as it has no outcome.
    pub lost: Option<Duration>,
    /// Last mode before the end.
    pub mode: Mode,
    /// Why that is not the group; `None` if it is.
    pub mode_reason: Option<ModeReason>,
    /// As the receiver counted it; all zero until its verdict has arrived.
    pub arrived: Arrived,
    /// Bytes of the stream known to have arrived.
    pub acked: u64,
    /// Bytes of which it has said neither that it holds nor that it lacks them, where that is asked
    /// ([`SessionConfig::declares`](crate::config::SessionConfig::declares)): as long as there are any
    /// the session waits for it. 0 once it has its outcome. Of a source of unknown length it is counted up
    /// to the longest that could be.
    pub undeclared: u64,
    /// For which share of the time the group has waited for it, in percent: of the time in which two or more followed
    /// the group and there was something to carry, that in which its congestion window over its round trip allowed
    /// the least and was in use, or it had no room. `None` if there was no such time.
    pub waited_percent: Option<u8>,
    /// From the first SYN to the verdict, or until now.
    pub duration: Duration,
    /// Every change of mode, and each time that it was lost or came back.
    pub transitions: Vec<Transition>,
}
