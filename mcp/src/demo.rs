//! `mcp demo`: the whole way of a file, on loopback, in one process.
//!
//! The receivers are the ones that a daemon runs, each with its own socket and its own driver;
//! nothing but the process is shared.

mod interrupt;
mod receivers;

use crate::args;
use crate::say::say;
use crate::table::{self, HostRow, Summary};
use anyhow::{Context, Result, bail};
use interrupt::Watch;
use mcp_cli::say::plain;
use mcp_cli::{Exit, values::PORT};
use receivers::Receivers;
use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use tcpxm::api::{Sender, SenderOptions};
use tcpxm::config::{Group, SessionConfig};
use tcpxm::net::interface::index_of;
use tcpxm::net::{Family, draw_group};
use tcpxm::stats::Sent;
use tcpxm::trust::SenderTrust;
use transfer::message::{Offer, Sync};
use transfer::send::Delivered;
use transfer::session::{Opened, open_session};
use transfer::source::Source;
use transfer::tree::scan;
use transfer::tree::source::TreeSource;

/// The sender's address.
const SENDER: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Runs the demo; an error is one of this side.
pub(crate) fn run(options: &args::Demo) -> Result<Exit> {
    let path = match &options.file {
        Some(path) => path.clone(),
        None => std::env::current_exe().context("cannot find this program's own file")?,
    };
    let source = TreeSource::open(&[&path], scan::Options::default(), &std::env::temp_dir())?;
    let Some(name) = source.single_file() else {
        bail!("{} is a folder: the demo copies a file", path.display());
    };
    let watch = Watch::start()?;
    match copy_and_show(options, (&source, &path, name), &watch) {
        // A signal after the result was shown changes nothing about it.
        Err(_) if watch.check().is_err() => {
            say("interrupted, nothing is left behind");
            Ok(Exit::Interrupted)
        }
        result => result,
    }
}

/// One copy, from the receivers' start to the table.
fn copy_and_show(
    options: &args::Demo,
    (source, path, name): (&TreeSource, &Path, Vec<u8>),
    watch: &Arc<Watch>,
) -> Result<Exit> {
    let start = Instant::now();
    let receivers = Receivers::start(watch)?;
    let sender = connect(options.common.group, receivers.addrs())?;
    let sender = Arc::new(sender);
    watch.guard(&sender);
    // A name may hold what would steer a terminal.
    let shown = path.display().to_string();
    say(format_args!("copying {} to {} receivers", plain(&shown), sender.members()));
    let offer = Offer { one: Some(name), sync: Sync::File, ..Offer::default() };
    let outcome = transfer::send(&sender, source, &vec![offer; sender.members()], &|_| ());
    let seconds = start.elapsed().as_secs_f64();
    let copies = receivers.finish();
    watch.check()?;
    if let Some(failure) = outcome.failure {
        return Err(failure.into());
    }
    let rows = verify((source, path), &outcome.members, &copies.paths, watch)?;
    let sent = both_ways(outcome.sent, copies.answered);
    let summary = Summary::new(&rows, source.progress().len, seconds, sent);
    let shown = table::show(&mut io::stdout().lock(), &rows, &summary, &options.common);
    shown.context("cannot write the result")?;
    Ok(summary.exit)
}

/// All datagrams of the demo: here the receivers' are known as well.
fn both_ways(sent: Sent, answered: Sent) -> Sent {
    Sent {
        datagrams: sent.datagrams + answered.datagrams,
        datagram_bytes: sent.datagram_bytes + answered.datagram_bytes,
        ..sent
    }
}

/// Opens the session. A group that the transport does not use at all (link-local, well known)
/// can be joined by nobody: then all are served by unicast from the start.
fn connect(group: Option<SocketAddr>, addrs: &[SocketAddr]) -> Result<Sender> {
    let group = match group {
        Some(group) => group,
        None => (draw_group(Family::V4, false).context("cannot choose a group")?, PORT).into(),
    };
    let interface = Some(index_of("lo").context("cannot find the loopback interface lo")?);
    let session = SessionConfig {
        group: Some(Group { addr: group, source: None }),
        ..SessionConfig::default()
    };
    let bind = Some((SENDER, 0).into());
    let options =
        SenderOptions { session, interface, bind, ..SenderOptions::new(SenderTrust::Loopback) };
    let peers: Vec<_> = addrs.iter().map(|addr| vec![*addr]).collect();
    let Opened { sender, refused } =
        open_session(options, &peers).context("cannot open the session")?;
    if let Some(why) = refused {
        say(format_args!("the group {group} cannot be used: {why}; going on by unicast"));
    }
    Ok(sender)
}

/// Reads every copy back and compares it with the source, trusting no digest of the transfer.
fn verify(
    (source, path): (&TreeSource, &Path),
    members: &[Delivered],
    paths: &[Result<PathBuf, String>],
    watch: &Watch,
) -> Result<Vec<HostRow>> {
    let original = digest(path, watch)?;
    if source.digest(0).is_some_and(|sent| sent != original) {
        bail!("{} changed while it was copied", path.display());
    }
    let mut rows = Vec::new();
    for (member, copy) in members.iter().zip(paths) {
        let result = match (member.failure(), copy) {
            (Some(why), _) => Err(why),
            (None, Err(why)) => Err(why.clone()),
            (None, Ok(path)) => match digest(path, watch) {
                Ok(found) if found == original => Ok(found.to_hex().to_string()),
                Ok(found) => Err(format!("its copy has the digest {found}, not {original}")),
                Err(error) => Err(format!("{error:#}")),
            },
        };
        let host = member.report.addr.ip().to_string();
        let why = member.report.mode_reason.as_ref().map(ToString::to_string);
        rows.push(HostRow::new(host, &member.report, why, result.map(Some), None));
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
