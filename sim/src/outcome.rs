//! What became of a run.

use crate::host::MARKS;
use core::fmt;
use core::time::Duration;
use tcpxm::error::Reason;
use tcpxm::stats::{Arrived, MemberReport, Mode, ModeReason, Sent};

/// What the network did. Datagrams, unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Sent by all nodes.
    pub sent: u64,
    /// Arrived; a group datagram arrives once per member.
    pub delivered: u64,
    /// Lost on a line or by a rule.
    pub lost: u64,
    /// Dropped by a full queue.
    pub tail_dropped: u64,
    /// Dropped by a queue that would have marked them, if they could be.
    pub early_dropped: u64,
    /// Marked by a queue as having met congestion.
    pub marked: u64,
    /// Found no room in a receiver's socket.
    pub overflown: u64,
    /// Copies that a line made.
    pub duplicated: u64,
    /// Went where nobody was.
    pub vanished: u64,
    /// The most bytes that ever waited at one line.
    pub max_queue: usize,
}

/// One receiver's side, and what the sender says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverOutcome {
    /// Bytes that arrived and were right.
    pub verified: u64,
    /// Every byte arrived right and exactly once, and the end of the stream was seen.
    pub intact: bool,
    /// What its host found wrong, first finding only.
    pub complaint: Option<String>,
    /// When the first SYN reached it.
    pub reached: Option<Duration>,
    /// When its session began.
    pub begun: Option<Duration>,
    /// When the whole stream had been read and the verdict was given.
    pub drained: Option<Duration>,
    /// When 40 % and 90 % of the stream had been read.
    pub marks: [Option<Duration>; 2],
    /// The longest time, from when its session began until it had everything, in which it read nothing.
    pub stall: Duration,
    /// How its session ended; `None` if it did not.
    pub closed: Option<Result<(), Reason>>,
    /// How its bytes arrived, as it counted them; `None` if it has accepted no session.
    pub arrived: Option<Arrived>,
    /// The sender's report.
    pub report: MemberReport,
}

impl ReceiverOutcome {
    /// Bytes per second between its two marks, of a stream of `bytes` bytes: what it gets when the
    /// session is neither at its beginning nor at its end. 0 if it never got so far.
    pub fn steady_rate(&self, bytes: u64) -> f64 {
        let [Some(early), Some(late)] = self.marks else { return 0.0 };
        let share = (MARKS[1] - MARKS[0]) as f64 / 100.0;
        bytes as f64 * share / late.saturating_sub(early).as_secs_f64()
    }

    /// The modes it went through, in order.
    pub fn modes(&self) -> Vec<Mode> {
        self.report.transitions.iter().map(|t| t.mode).collect()
    }

    /// Whether it is said that the group is on its line though it has left it.
    pub fn is_flooded(&self) -> bool {
        matches!(self.report.mode_reason, Some(ModeReason::Flooded { .. }))
    }

    /// Whether these modes occur in this order, others in between or not.
    pub fn went_through(&self, modes: &[Mode]) -> bool {
        let mut went = self.report.transitions.iter().map(|t| t.mode);
        modes.iter().all(|wanted| went.any(|mode| mode == *wanted))
    }
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Receiver by receiver.
    pub receivers: Vec<ReceiverOutcome>,
    /// What the sender's session sent.
    pub sent: Sent,
    /// Bytes of the source that it asked its application for.
    pub supplied: u64,
    /// When the last receiver that was to survive had everything; `None` if one never had.
    pub completed: Option<Duration>,
    /// When every member had its outcome at the sender; `None` if it never was so.
    pub done: Option<Duration>,
    /// What the network did.
    pub traffic: Traffic,
    /// Hash over (time, from, to, bytes) of every datagram sent: equal for equal runs only.
    pub fingerprint: [u8; 32],
}

impl Outcome {
    /// The fingerprint, in hexadecimal digits.
    pub fn fingerprint_hex(&self) -> String {
        blake3::Hash::from_bytes(self.fingerprint).to_hex().to_string()
    }

    /// Of the stream bytes sent, the fraction that went by the group.
    pub fn group_share(&self) -> f64 {
        let all = self.sent.group_bytes + self.sent.unicast_bytes;
        if all == 0 { 0.0 } else { self.sent.group_bytes as f64 / all as f64 }
    }
}

/// Seconds, or a dash.
fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |t| format!("{:.3}", t.as_secs_f64()))
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<24} {:<9} {:>10} {:>10} {:>9} {:>9} {:>9} {:>8}  outcome",
            "receiver",
            "mode",
            "verified",
            "multicast",
            "unicast",
            "repaired",
            "duplicate",
            "seconds"
        )?;
        for r in &self.receivers {
            let a = r.arrived.unwrap_or_default();
            write!(f, "{:<24} {:<9} {:>10} ", r.report.addr, r.report.mode.name(), r.verified)?;
            write!(
                f,
                "{:>10} {:>9} {:>9} {:>9} ",
                a.multicast, a.unicast, a.repaired, a.duplicate
            )?;
            write!(f, "{:>8}  ", seconds(r.drained))?;
            match (&r.report.outcome, &r.complaint) {
                (_, Some(complaint)) => writeln!(f, "WRONG: {complaint}")?,
                (Some(Ok(())), None) => writeln!(f, "ok")?,
                (Some(Err(reason)), None) => writeln!(f, "failed: {reason}")?,
                (None, None) => writeln!(f, "unfinished")?,
            }
            for t in &r.report.transitions {
                writeln!(f, "    {:>9.3} s  {:<9} {}", t.at.as_secs_f64(), t.mode.name(), t.why)?;
            }
        }
        let s = self.sent;
        writeln!(
            f,
            "sent: {} by group, {} by unicast (group share {:.1} %), {} again; {} datagrams, {} bytes",
            s.group_bytes,
            s.unicast_bytes,
            self.group_share() * 100.0,
            s.repaired_bytes,
            s.datagrams,
            s.datagram_bytes
        )?;
        writeln!(f, "asked of the source: {} bytes", self.supplied)?;
        let t = self.traffic;
        writeln!(
            f,
            "network: {} sent, {} delivered, {} lost, {} tail-dropped, {} early-dropped, {} marked, {} overflown, {} duplicated, {} vanished; longest queue {} B",
            t.sent,
            t.delivered,
            t.lost,
            t.tail_dropped,
            t.early_dropped,
            t.marked,
            t.overflown,
            t.duplicated,
            t.vanished,
            t.max_queue
        )?;
        let (completed, done) = (seconds(self.completed), seconds(self.done));
        let stall = seconds(self.receivers.iter().map(|r| r.stall).max());
        writeln!(f, "completed {completed} s, done {done} s, longest stall of one {stall} s")?;
        write!(f, "fingerprint {}", self.fingerprint_hex())
    }
}
