//! `mcpd key`: this host's key.

use crate::args::Key;
use crate::report::say;
use anyhow::{Context, Result};
use mcp_cli::Exit;
use mcp_keys::key::{self, Whose};
use mcp_keys::places::{self, Environment};
use std::io::{self, Write};

/// Shows it, and makes it if there is none.
pub(crate) fn run(options: &Key) -> Result<Exit> {
    let environment = Environment::of_process();
    let state = environment.state_dir(options.common.state_dir.as_deref())?;
    let path = places::host_identity(&state);
    let shown = key::identity(Whose::Host, &path, &key::owner(&environment))?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}", shown.output.as_str()).context("cannot print the key")?;
    if !options.common.quiet {
        shown.notes.iter().for_each(say);
    }
    Ok(Exit::Ok)
}
