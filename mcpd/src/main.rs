//! `mcpd`: receives files below a folder, from as many senders at a time as come, through one UDP
//! port.
//!
//! One thread waits for sessions ([`serve`]); each session has its own ([`session`]), so that a
//! slow disk or a slow sender holds nobody else up. Another reads the configuration again when it
//! is told to ([`reload`]). What sessions held goes back to the system ([`memory`]). Who may send is
//! decided in [`trust`]; who may not is told of by [`strangers`]. With `--once` one session is all ([`once`]);
//! [`mirrors`] is what mirror jobs need, [`commands`] what they may have run here, each with its [`credential`].
//! [`starter`] is who has started the daemon by a pipe, [`prefix_file`] what others read of files that arrive.

#![deny(clippy::print_stderr, clippy::print_stdout)] // a closed pipe must not end in a panic

mod args;
mod commands;
mod credential;
mod key;
mod mirrors;
mod once;
mod prefix_file;
mod reload;
mod report;
mod serve;
mod session;
mod starter;
mod strangers;
mod sweeping;
mod trust;

use args::Command;
use mcp_cli::{Exit, say, signals};
use std::process::ExitCode;
use tcpxm::net::memory;

fn main() -> ExitCode {
    memory::give_back(); // before there are threads
    if let Err(error) = signals::outlive_limits_and_terminals() {
        report::say(format_args!("cannot block signals: {error}"));
    }
    if let Err(error) = mcp_cli::dumps::forbid() {
        report::say(format_args!("cannot forbid core dumps: {error}"));
    }
    let cli = match args::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for and go to stdout; everything else is a usage error.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            let _ = error.print();
            return exit.into();
        }
    };
    say::log(&cli.common);
    let done = match &cli.command {
        Some(Command::Key(options)) => key::run(options),
        Some(Command::Leases(options)) => mirrors::leases::run(options),
        Some(Command::Credential) => credential::run(),
        None => serve::run(cli),
    };
    let exit = done.unwrap_or_else(|error| {
        report::say(format_args!("{error:#}"));
        Exit::Failed
    });
    exit.into()
}
