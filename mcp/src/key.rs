//! `mcp key`: this user's key, or a secret for all hosts.

use crate::args::Key;
use crate::say::say;
use anyhow::{Context, Result};
use mcp_cli::Exit;
use mcp_keys::key::{self, Shown, Whose};
use mcp_keys::places::{self, Environment};
use std::io::{self, Write};

/// Makes and shows what is asked for.
pub(crate) fn run(options: &Key) -> Result<Exit> {
    let shown = match &options.secret {
        Some(Some(path)) => key::secret_file(path)?,
        Some(None) => key::secret()?,
        None => {
            let environment = Environment::of_process();
            let state = environment.state_dir(options.common.state_dir.as_deref())?;
            key::identity(Whose::User, &places::identity(&state), &key::owner(&environment))?
        }
    };
    show(&shown, options.common.quiet)
}

fn show(shown: &Shown, quiet: bool) -> Result<Exit> {
    if !shown.output.is_empty() {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", shown.output.as_str()).context("cannot print the key")?;
    }
    if !quiet {
        shown.notes.iter().for_each(say);
    }
    Ok(Exit::Ok)
}
