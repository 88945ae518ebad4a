//! `--stats`: what was listed, read and sent, as rsync's users ask for it.

use serde::Serialize;
use std::io::{self, Write};
use tcpxm::stats::Sent;
use transfer::source::Progress;
use transfer::tree::source::Counts;

/// Figures of a whole copy; in `--json` the summary's `stats`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Stats {
    /// Entries that were listed, by what they are.
    files: u64,
    folders: u64,
    symlinks: u64,
    hard_links: u64,
    specials: u64,
    /// Bytes that the files hold, their holes left out.
    total_bytes: u64,
    /// Files that were read to their end, because a host lacked them, and bytes that were read.
    files_read: u64,
    bytes_read: u64,
    list_bytes: u64,
    /// How long listing took; not there if it has not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    list_seconds: Option<f64>,
    group_bytes_sent: u64,
    unicast_bytes_sent: u64,
    datagrams: u64,
    datagram_bytes: u64,
    /// With `--delete`: entries that were deleted, at all hosts together.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<u64>,
    /// What the hosts have that have all of it, by the bytes of all datagrams; not there if nothing was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    speedup: Option<f64>,
}

impl Stats {
    /// `ok` hosts have all of it.
    pub(crate) fn new(counts: Counts, come: Progress, sent: Sent, ok: usize) -> Self {
        let there = come.len as f64 * ok as f64;
        Self {
            files: counts.files,
            folders: counts.folders,
            symlinks: counts.symlinks,
            hard_links: counts.hard_links,
            specials: counts.specials,
            total_bytes: come.len,
            files_read: counts.read,
            bytes_read: come.read,
            list_bytes: counts.list_bytes,
            list_seconds: counts.listing.map(|time| time.as_secs_f64()),
            group_bytes_sent: sent.group_bytes,
            unicast_bytes_sent: sent.unicast_bytes,
            datagrams: sent.datagrams,
            datagram_bytes: sent.datagram_bytes,
            deleted: None,
            speedup: (sent.datagram_bytes > 0).then(|| there / sent.datagram_bytes as f64),
        }
    }

    /// With what was deleted, if that was asked for.
    pub(crate) fn deleted(self, deleted: Option<u64>) -> Self {
        Self { deleted, ..self }
    }

    /// Writes a few lines for people.
    pub(crate) fn text(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { files, folders, symlinks, hard_links, specials, .. } = self;
        let entries = files + folders + symlinks + hard_links + specials;
        writeln!(
            out,
            "entries listed: {entries} (files: {files}, folders: {folders}, symbolic links: {symlinks}, \
             hard links: {hard_links})"
        )?;
        writeln!(out, "files read: {}", self.files_read)?;
        writeln!(out, "total size of files: {} bytes", self.total_bytes)?;
        writeln!(out, "bytes of files read: {}", self.bytes_read)?;
        writeln!(out, "bytes of the list: {}", self.list_bytes)?;
        if let Some(seconds) = self.list_seconds {
            writeln!(out, "time to list: {seconds:.3} seconds")?;
        }
        if let Some(deleted) = self.deleted {
            writeln!(out, "entries deleted at all hosts: {deleted}")?;
        }
        let (group, unicast) = (self.group_bytes_sent, self.unicast_bytes_sent);
        writeln!(out, "bytes sent to the group: {group}, by unicast: {unicast}")?;
        writeln!(out, "datagrams sent: {}, {} bytes", self.datagrams, self.datagram_bytes)?;
        match self.speedup {
            Some(speedup) => writeln!(out, "speedup: {speedup:.2}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_not_known_is_not_said() {
        let counts = Counts { files: 3, folders: 2, symlinks: 1, read: 2, ..Counts::default() };
        let come = Progress { len: 1000, read: 900, ..Progress::default() };
        let sent = Sent { group_bytes: 950, datagrams: 5, datagram_bytes: 1250, ..Sent::default() };
        let shown = |stats: Stats| {
            let mut out = Vec::new();
            stats.text(&mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let all = Counts { listing: Some(Duration::from_millis(20)), list_bytes: 77, ..counts };
        assert_eq!(
            shown(Stats::new(all, come, sent, 5)),
            "entries listed: 6 (files: 3, folders: 2, symbolic links: 1, hard links: 0)\nfiles read: 2\n\
             total size of files: 1000 bytes\nbytes of files read: 900\nbytes of the list: 77\n\
             time to list: 0.020 seconds\nbytes sent to the group: 950, by unicast: 0\n\
             datagrams sent: 5, 1250 bytes\nspeedup: 4.00\n"
        );
        assert!(
            shown(Stats::new(all, come, sent, 5).deleted(Some(7))).contains("at all hosts: 7\n")
        );
        let few = Stats::new(counts, come, Sent::default(), 5);
        assert!(!shown(few).contains("seconds") && !shown(few).contains("speedup"));
        let json = serde_json::to_string(&few).unwrap();
        assert!(!json.contains("speedup") && json.contains("\"files_read\":2"), "{json}");
    }
}
