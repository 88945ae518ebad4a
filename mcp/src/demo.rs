//! `mcp demo`: the whole way of a file, on loopback, in one process.
//!
//! The receivers are the ones that a daemon runs, each with its own socket and its own driver;
//! nothing but the process is shared.

mod interrupt;
mod receivers;

use crate::args::{self, PORT};
use crate::exit::Exit;
use crate::table::{self, HostRow, Summary};
use anyhow::{Context, Result, bail};
use interrupt::Watch;
use receivers::Receivers;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use tcpxm::api::{Sender, SenderOptions};
use tcpxm::config::{Content, Delivery, Group, SessionConfig};
use transfer::send::Outcome;
use transfer::source::Source;

/// The sender's address.
const SENDER: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Runs the demo; an error is one of this side.
pub(crate) fn run(options: &args::Demo) -> Result<Exit> {
    let path = match &options.file {
        Some(path) => path.clone(),
        None => std::env::current_exe().context("cannot find this program's own file")?,
    };
    let source = Source::open(&path)?;
    let watch = Watch::start()?;
    let result = copy_and_show(options, &source, &watch);
    if watch.check().is_err() {
        eprintln!("mcp: interrupted, nothing is left behind");
        return Ok(Exit::Interrupted);
    }
    result
}

/// One copy, from the receivers' start to the table.
fn copy_and_show(options: &args::Demo, source: &Source, watch: &Arc<Watch>) -> Result<Exit> {
    let start = Instant::now();
    let receivers = Receivers::start(watch)?;
    let sender = connect(options.group, source.len(), receivers.addrs())?;
    let sender = Arc::new(sender);
    watch.guard(&sender);
    eprintln!("mcp: copying {} to {} receivers", source.path().display(), sender.members());
    let outcome = transfer::send_file(&sender, source, &|_| ());
    let seconds = start.elapsed().as_secs_f64();
    let copies = receivers.finish();
    watch.check()?;
    if let Some(failure) = outcome.failure {
        return Err(failure.into());
    }
    let rows = verify(source, &outcome, &copies.paths, watch)?;
    let summary = Summary::new(&rows, source.len(), seconds, outcome.sent, copies.answered);
    let out = &mut io::stdout().lock();
    let shown = if options.json {
        table::json(out, &rows, &summary)
    } else {
        table::text(out, &rows, &summary)
    };
    shown.context("cannot write the result")?;
    Ok(Exit::of(summary.ok, summary.hosts))
}

/// Opens the session. A group that the transport does not use at all (link-local, well known)
/// can be joined by nobody: then all are served by unicast from the start.
fn connect(group: Option<SocketAddr>, len: u64, addrs: &[SocketAddr]) -> Result<Sender> {
    let group = group.map_or_else(random_group, Ok)?;
    let interface = Some(loopback()?);
    let options = |group| SenderOptions {
        session: SessionConfig {
            group,
            delivery: Delivery::Unordered,
            content: Content::Source { len },
            ..SessionConfig::default()
        },
        interface,
        bind: Some((SENDER, 0).into()),
        ..SenderOptions::default()
    };
    let source = is_source_specific(group.ip()).then_some(IpAddr::V4(SENDER));
    match Sender::connect(options(Some(Group { addr: group, source })), addrs) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            eprintln!("mcp: {error}; going on by unicast");
            Sender::connect(options(None), addrs)
        }
        connected => connected,
    }
    .context("cannot open the session")
}

/// A group of the administratively scoped range, 239.255.0.0/16 (RFC 2365, section 6.1).
fn random_group() -> Result<SocketAddr> {
    let mut last = [0; 2];
    getrandom::fill(&mut last).map_err(io::Error::other).context("cannot choose a group")?;
    Ok((Ipv4Addr::new(239, 255, last[0], last[1]), PORT).into())
}

/// Whether the group belongs to source-specific multicast (RFC 4607, section 1).
fn is_source_specific(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => group.octets()[0] == 232,
        IpAddr::V6(group) => group.segments()[0] & 0xfff0 == 0xff30 && group.segments()[1] == 0,
    }
}

/// Index of the loopback interface.
fn loopback() -> Result<u32> {
    let socket = UdpSocket::bind((SENDER, 0)).context("cannot open a socket on loopback")?;
    let index = rustix::net::netdevice::name_to_index(&socket, "lo");
    index.map_err(io::Error::from).context("cannot find the loopback interface lo")
}

/// Reads every copy back and compares it with the source, trusting no digest of the transfer.
fn verify(
    source: &Source,
    outcome: &Outcome,
    paths: &[Result<PathBuf, String>],
    watch: &Watch,
) -> Result<Vec<HostRow>> {
    let original = digest(source.path(), watch)?;
    if outcome.digest.is_some_and(|sent| sent != original) {
        bail!("{} changed while it was copied", source.path().display());
    }
    let mut rows = Vec::new();
    for (member, copy) in outcome.members.iter().zip(paths) {
        let result = match (member.failure(), copy) {
            (Some(why), _) => Err(why),
            (None, Err(why)) => Err(why.clone()),
            (None, Ok(path)) => match digest(path, watch)? {
                found if found == original => Ok(found.to_hex().to_string()),
                found => Err(format!("its copy has the digest {found}, not {original}")),
            },
        };
        rows.push(HostRow::new(&member.report, result));
    }
    Ok(rows)
}

/// BLAKE3 of a file, read from beginning to end.
fn digest(path: &Path, watch: &Watch) -> Result<blake3::Hash> {
    let failed = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(failed)?;
    let (mut hasher, mut buf) = (blake3::Hasher::new(), vec![0; 1 << 20]);
    loop {
        watch.check()?;
        match file.read(&mut buf).with_context(failed)? {
            0 => return Ok(hasher.finalize()),
            read => hasher.update(&buf[..read]),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_groups_are_told_apart() {
        let specific = |text: &str| is_source_specific(text.parse().unwrap());
        assert!(specific("232.1.2.3") && specific("ff3e::8000:1"));
        assert!(!specific("239.255.1.2") && !specific("ff15::1") && !specific("ff3e:20::1"));
        let group = random_group().unwrap();
        assert!(group.to_string().starts_with("239.255.") && group.port() == PORT);
    }
}
