//! What an application may choose, with units in the names or the types.

use crate::trust::{CidKey, ListenTrust};
use core::time::Duration;
use std::net::{IpAddr, SocketAddr};

/// How the bytes of a session are handed to the receiving application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// In order, as TCP does: for streams.
    #[default]
    Ordered,
    /// Each segment on arrival, with its offset: for files, which are written in place.
    Unordered,
}

/// The congestion control algorithm of every member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// CUBIC (RFC 9438).
    #[default]
    Cubic,
    /// Reno (RFC 5681).
    Reno,
    /// BBR, version 3 (draft-ietf-ccwg-bbr).
    Bbr,
}

/// Whose congestion windows bound what goes to the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupWindow {
    /// Every member's: the least of them counts. Of more than 200 members, those of the sixteen that
    /// would get the least by themselves.
    #[default]
    Least,
    /// That of the one member that would get the least by itself, as pgmcc does. Faster where members
    /// lose independently of each other, harder on those who are not followed.
    Acker,
}

/// What it takes for a member in trial to be served by the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Promotion {
    /// At least 90 % of at least 32 group packets, counted from the first after JOINED.
    #[default]
    Probe,
    /// The published rule: after 75 KiB by unicast, when option 51 reports that the group is heard
    /// (`TCP-XM` slides 16 and 17).
    After75K,
}

/// A multicast group and, for source-specific multicast (RFC 4607), the source it is joined with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// Group address and UDP port.
    pub addr: SocketAddr,
    /// The sender's address if the group is source-specific, else `None` (any source).
    pub source: Option<IpAddr>,
}

/// Where the bytes of a session come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Written once by the application, held in a ring of so many bytes until every member
    /// acknowledged them. A slow member can hold the stream back.
    Stream {
        /// Size of the ring in bytes.
        ring: usize,
    },
    /// Asked for by the engine, range by range, as often as it needs (a file).
    Source {
        /// Length in bytes; `None` while it is not known
        /// (`Sender::set_end`).
        len: Option<u64>,
    },
}

/// What becomes of a receiver that follows the group and makes it slow: by its line, its losses, or as it reads slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Slow {
    /// It leaves the group, and gets the rest alone, if the others then go clearly faster. The ring of a stream waits for
    /// it all the same: who reads slowly stays, and the others stall when the ring is full.
    #[default]
    Leave,
    /// The group goes at the pace of the slowest (TCP-XM, slide 21).
    Keep,
    /// As [`Self::Leave`]; and one that was found to be slow, and takes less than this, is dropped from the session. Of
    /// a stream that is also who has the full ring wait for a second, by whichever way it is served.
    Drop {
        /// Bits a second of the session's bytes.
        below: u64,
    },
}

/// One session: one byte sequence to a list of receivers.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// The group to try, or `None` for unicast to all.
    pub group: Option<Group>,
    /// The address that the group's datagrams leave from: receivers take them from no other. `None`: the
    /// source of the group, or else the address that the other datagrams come from.
    pub group_from: Option<IpAddr>,
    /// Ordered or unordered delivery, the same at every receiver.
    pub delivery: Delivery,
    /// Stream or seekable source.
    pub content: Content,
    /// Congestion control.
    pub algorithm: Algorithm,
    /// Whose windows bound the group's.
    pub group_window: GroupWindow,
    /// What becomes of one that makes the group slow.
    pub slow: Slow,
    /// As many stay on the group as long as they hear it, however slow.
    pub least_group: usize,
    /// Rule for the step from trial to multicast.
    pub promotion: Promotion,
    /// Most that the session sends, to the group and to all members together, in bits per second
    /// with the headers of UDP and IP; `None`: what the receivers and the network can take.
    pub rate: Option<u64>,
    /// Part of what is sent that goes to receivers alone which do not follow the group, in percent, while that is served
    /// and the line is full: 0 gives them nothing until it pauses, from 100 on they come before it. Of a source only: a
    /// ring waits for all.
    pub unicast_share: u8,
    /// Longest IP packet to send, in bytes. Longer ones than 1228 (IPv4) or 1248 (IPv6) are sent only
    /// where probes of their length have passed (RFC 8899, `MAX_PLPMTU`).
    pub mtu: usize,
    /// A receiver that has not answered for so long fails.
    pub connect_timeout: Duration,
    /// One whose host says three times that it cannot be reached, or that nobody listens there, fails
    /// at once. If not, that is what its failure says when `connect_timeout` is over: it may be
    /// starting just now.
    pub give_up_refused: bool,
    /// Sending begins when all have answered, or so long after the first did.
    pub start_wait: Duration,
    /// Sending begins as soon as so many have answered, and not with fewer: if that becomes impossible the session
    /// ends. 0: as `start_wait` says.
    pub least_answers: usize,
    /// Receivers that have not answered within `connect_timeout` are asked on, every 2 s, as long as others are served;
    /// and a group is kept though there is one receiver only, for those that are added (`Sender::add_member`). Of a
    /// source only.
    pub late_join: bool,
    /// Receivers are asked what they hold: nothing is sent to one that it has not declared to lack.
    /// Of a source only. How long an application takes for that is its own affair, for it may have to
    /// read a file of any size before: its receiver is waited for without a limit, as long as it answers.
    /// Nobody else waits for longer than `declare_wait`. `MemberReport::undeclared` shows who is waited
    /// for, and `Sender::drop_member` ends that.
    pub declares: bool,
    /// The group waits for undeclared bytes of a receiver for so long, at most: from its first answer
    /// on, and later whenever nothing else is to be carried. Then it goes on without it, and what
    /// that lacks is sent once it says so (docs/protocol.md, Declarations). That is no limit
    /// for declarations: the receiver keeps its place in the session until it says something, ends, or
    /// answers nothing for `idle_timeout`.
    pub declare_wait: Duration,
    /// A member from which nothing was heard for so long, though it was asked, is gone: of a source it is lost, and may
    /// return until the session ends.
    pub idle_timeout: Duration,
    /// When only lost members are left, the session waits for them for so long, and then ends.
    pub wait_lost: Duration,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            group: None,
            group_from: None,
            delivery: Delivery::default(),
            content: Content::Stream { ring: 4 << 20 },
            algorithm: Algorithm::default(),
            group_window: GroupWindow::default(),
            slow: Slow::default(),
            least_group: 1,
            promotion: Promotion::default(),
            rate: None,
            unicast_share: 5,
            mtu: 9000, // jumbo frames
            connect_timeout: Duration::from_secs(10),
            give_up_refused: true,
            start_wait: Duration::from_secs(1),
            least_answers: 0,
            late_join: false,
            declares: false,
            declare_wait: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(10),
            wait_lost: Duration::ZERO,
        }
    }
}

/// One endpoint: everything behind one set of sockets.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// Who may send to it; `None`: SYNs are not answered.
    pub listen: Option<ListenTrust>,
    /// The connection ids that it gives to senders are made with this: an endpoint that has the same key as
    /// one before, on the same host, recognizes the ids that that one gave, and says that it knows nothing
    /// of them any more. `None`: a random one.
    pub cid_key: Option<CidKey>,
    /// The UDP port written into the inner TCP headers as the source (never compared by a peer).
    pub port: u16,
    /// Receive buffer of one session's data at its beginning, in bytes. It bounds what the peer may
    /// have in flight at first, so it should not exceed what the socket's own buffer can hold.
    pub recv_buffer: usize,
    /// The buffer grows to four times what arrives within a round trip, to this number of bytes at
    /// most, also beyond the socket's own buffer: on a long path most of what is in flight is on
    /// its way. Where the socket fills nevertheless, the peer gets less credit.
    pub recv_buffer_max: usize,
    /// Established receivers that wait to be accepted, at most; further ones are refused.
    pub backlog: usize,
    /// A sender from which nothing was heard for so long is gone. One that stands still for a while (Ctrl-Z, a suspended
    /// machine) goes on with a session that is half done, as does one whose network was away.
    pub idle_timeout: Duration,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            listen: None,
            cid_key: None,
            port: 0,
            recv_buffer: 2 << 20,
            recv_buffer_max: 32 << 20, // 1 Gbit/s over 100 ms is 12.5 MB
            backlog: 128,
            idle_timeout: Duration::from_mins(1),
        }
    }
}
