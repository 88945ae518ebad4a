//! What the daemon says: a line a session for people, a JSON object a session for programs.

use mcp_cli::say::plain;
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use transfer::message::Report;
use transfer::receive::{Failure, Received};

/// Says something on standard error, with the time.
pub(crate) fn say(what: impl Display) {
    mcp_cli::say::log_line("mcpd", what);
}

/// A number of things, in words: `one` stands for the noun and what is said of it if there is one, else `more`.
pub(crate) fn counted(count: impl Into<u64>, one: &str, more: &str) -> String {
    let count = count.into();
    format!("{count} {}", if count == 1 { one } else { more })
}

/// Lines that wait for a reader, at most.
const WAITING: usize = 1024;
/// Standard output, or standard error, written by a thread of its own: whoever does not read it holds up no session.
#[derive(Debug)]
pub(crate) struct Lines {
    sender: mpsc::SyncSender<String>,
    lost: AtomicU64,
}

/// The writer's end: it has written everything, or nobody reads.
#[derive(Debug)]
pub(crate) struct Written(mpsc::Receiver<()>);

impl Lines {
    /// Starts the thread.
    pub(crate) fn start(mut to: impl Write + Send + 'static) -> io::Result<(Self, Written)> {
        let (sender, lines) = mpsc::sync_channel::<String>(WAITING);
        let (done, written) = mpsc::channel();
        thread::Builder::new().name("output".to_owned()).spawn(move || {
            for line in lines {
                // Who closed it does not want to hear it.
                let _ = to.write_all(format!("{line}\n").as_bytes());
            }
            let _ = done.send(());
        })?;
        Ok((Self { sender, lost: AtomicU64::new(0) }, Written(written)))
    }

    fn print(&self, line: String) {
        if self.sender.try_send(line).is_err() && self.lost.fetch_add(1, Ordering::Relaxed) == 0 {
            say("nobody reads the lines of --json: some are left out");
        }
    }
}

impl Written {
    /// Waits until everything is written, or nobody has read it by then. The lines must have been
    /// dropped.
    pub(crate) fn wait(&self, until: Instant) {
        let _ = self.0.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

/// One finished session.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    from: String,
    status: &'static str,
    /// Below the root; of a failed one what its sender asked for, as far as it has.
    path: Option<String>,
    reason: Option<String>,
    bytes: u64,
    seconds: f64,
    multicast_bytes: u64,
    unicast_bytes: u64,
    repaired_bytes: u64,
    digest: Option<String>,
    /// Entries that were deleted, if any were.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<u64>,
    /// Nothing was changed: these are the entries that would have been made or replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run: Option<u64>,
}

impl Line {
    /// Of what became of a session.
    pub(crate) fn new(
        peer: SocketAddr,
        took: Duration,
        outcome: &Result<Received, Failure>,
    ) -> Self {
        let mut line = Self {
            from: peer.to_string(),
            status: "failed",
            path: None,
            reason: None,
            bytes: 0,
            seconds: took.as_secs_f64(),
            multicast_bytes: 0,
            unicast_bytes: 0,
            repaired_bytes: 0,
            digest: None,
            deleted: None,
            dry_run: None,
        };
        match outcome {
            Err(failure) => {
                line.path = failure.file.as_ref().map(ToString::to_string);
                line.reason = Some(failure.error.to_string());
            }
            Ok(received) => {
                line.path = Some(received.shown.to_string());
                line.bytes = received.report.bytes;
                line.multicast_bytes = received.arrived.multicast;
                line.unicast_bytes = received.arrived.unicast;
                line.repaired_bytes = received.arrived.repaired;
                line.digest = received.digest.map(|digest| digest.to_hex().to_string());
                line.deleted = (received.report.deleted > 0).then_some(received.report.deleted);
                if received.dry {
                    line.dry_run = Some(received.report.arrived);
                    (line.bytes, line.deleted) = (0, None);
                }
                let Report { failed, undeleted, .. } = received.report;
                line.reason = received.failure.clone().map(|first| match (failed, undeleted) {
                    (0, 1) => format!("an entry is not deleted: {first}"),
                    (0, 2..) => format!("{undeleted} entries are not deleted: {first}"),
                    (0 | 1, _) => first,
                    (failed, _) => format!("{failed} entries are not in place, the first: {first}"),
                });
                if line.reason.is_none() {
                    line.status = "ok";
                }
            }
        }
        line
    }

    /// Whether all that was sent is in place.
    pub(crate) fn is_ok(&self) -> bool {
        self.status == "ok"
    }

    /// Shows it: as JSON on standard output if there are `lines`, and in words on standard error
    /// unless it is to be quiet about what went well.
    pub(crate) fn show(&self, lines: Option<&Lines>, quiet: bool) {
        if let (Some(lines), Ok(text)) = (lines, serde_json::to_string(self)) {
            lines.print(text);
        }
        if !quiet || !self.is_ok() {
            say(self.words());
        }
    }

    fn words(&self) -> String {
        let Self { from, bytes, seconds, .. } = self;
        if let (Some(path), Some(entries), None) = (&self.path, self.dry_run, &self.reason) {
            let entries = counted(entries, "entry", "entries");
            let path = plain(path);
            return format!("{path}: a dry run from {from}, {entries} to be made or replaced");
        }
        match (&self.path, &self.reason) {
            (Some(path), None) => format!(
                "{}: {} from {from} in {seconds:.2} seconds, {:.0} Mbit/s, {:.0} % by multicast",
                plain(path),
                counted(*bytes, "byte", "bytes"),
                *bytes as f64 * 8e-6 / seconds.max(1e-6),
                // The list of a tree comes with its bytes, and alone if they are there already.
                (self.multicast_bytes as f64 * 100.0 / (*bytes).max(1) as f64).min(100.0),
            ),
            (path, reason) => {
                let what = path.as_deref().map_or("a session".into(), plain);
                let reason = plain(reason.as_deref().unwrap_or("no reason was given"));
                format!("{what} from {from} failed after {seconds:.2} seconds: {reason}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_all_has_come_by_multicast() {
        let of = |bytes, multicast_bytes| {
            let line = Line {
                from: "h".to_owned(),
                status: "ok",
                path: Some("tree".to_owned()),
                reason: None,
                bytes,
                seconds: 1.0,
                multicast_bytes,
                unicast_bytes: 0,
                repaired_bytes: 0,
                digest: None,
                deleted: None,
                dry_run: None,
            };
            line.words()
        };
        assert!(of(1000, 500).ends_with(" 50 % by multicast"));
        assert!(of(0, 7872).ends_with(" 100 % by multicast"));
    }
}
