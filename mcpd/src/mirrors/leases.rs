//! `mcpd leases`: which places belong to mirror jobs, and that one does not any more.

use super::now;
use crate::args::Leases;
use crate::report::say;
use anyhow::{Context, Result, bail};
use mcp_cli::Exit;
use mcp_cli::say::plain;
use mcp_keys::places::{self, Environment};
use mtm::held::{self, Held, Known};
use serde::Serialize;
use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

/// A place in a line of JSON.
#[derive(Debug, Serialize)]
struct Line<'a> {
    place: String,
    /// Its id.
    job: String,
    name: &'a str,
    host: &'a str,
    /// The newest revision of which all was in place.
    complete: Option<u32>,
    /// When its master was heard last.
    heard: String,
}

/// Shows them, or drops one.
pub(crate) fn run(options: &Leases) -> Result<Exit> {
    let state = Environment::of_process().state_dir(options.state_dir.as_deref())?;
    let path = places::mirrors(&state);
    if !path.exists() {
        if let Some(place) = &options.drop {
            bail!("no job has {}", place.display());
        }
        return Ok(Exit::Ok);
    }
    let mut held = Held::open(&path)?;
    if let Some(place) = &options.drop {
        let place = std::path::absolute(place).context("the place")?;
        let dropped = match held.drop_lease(&place)? {
            0 => held.drop_lease(&held::real(&place))?,
            dropped => dropped,
        };
        if dropped == 0 {
            bail!("no job has {}", place.display());
        }
        if !options.quiet {
            say(format_args!("{dropped} dropped"));
        }
        return Ok(Exit::Ok);
    }
    let now = now();
    let mut out = io::BufWriter::new(io::stdout().lock());
    for known in held.all(now)? {
        let written =
            if options.json { json(&known, &mut out) } else { text(&known, now, &mut out) };
        written.context("cannot print")?;
    }
    out.flush().context("cannot print")?;
    Ok(Exit::Ok)
}

fn text(known: &Known, now: u64, out: &mut impl Write) -> io::Result<()> {
    let ago = Duration::from_secs(now.saturating_sub(known.heard) / 1000);
    let has =
        known.complete.map_or("incomplete".to_owned(), |revision| format!("revision {revision}"));
    writeln!(
        out,
        "{}\t{}\t{}\t{has}\theard {} s ago",
        plain(&known.place.display().to_string()),
        plain(&known.name),
        plain(&known.host),
        ago.as_secs()
    )
}

fn json(known: &Known, out: &mut impl Write) -> io::Result<()> {
    let heard = UNIX_EPOCH.checked_add(Duration::from_millis(known.heard)).unwrap_or(UNIX_EPOCH);
    let line = Line {
        place: known.place.display().to_string(),
        job: format!("{:032x}", u128::from_be_bytes(known.job)),
        name: &known.name,
        host: &known.host,
        complete: known.complete.map(|revision| revision.number),
        heard: humantime::format_rfc3339_seconds(heard).to_string(),
    };
    serde_json::to_writer(&mut *out, &line)?;
    writeln!(out)
}
