//! `mcp`: copies a file to many hosts in the time of one, by multicast where the network carries
//! it, by unicast where it must.
//!
//! The way of a copy: [`args`] → [`start`] → [`trust`] → [`plan`] (hosts, ranges; [`slips`]: what was meant
//! otherwise; [`pipes`]: what is a stream) → [`resolve`], or [`ssh`] → [`copy`] (the session, with [`progress`] beside
//! it, and [`reach`]: what is said about the group; [`tries`]: once more for those that failed) → [`table`] → [`retry`].
//! [`mirror`] is what a mirror job has of all that.

#![allow(
    rustdoc::private_intra_doc_links,
    reason = "this page is the map for who reads the source"
)]
#![deny(clippy::print_stderr, clippy::print_stdout)] // a closed pipe must not end in a panic

pub mod mirror;
pub mod nested;

mod args;
mod clusters;
mod copy;
mod deletion;
mod demo;
mod digest;
mod elsewhere;
mod firewall;
mod fold;
mod hosts;
mod itemized;
mod kept;
mod key;
mod late;
mod payload;
mod pipes;
mod plain_words;
mod plan;
mod progress;
mod reach;
mod resolve;
mod retry;
mod rules;
mod say;
mod seats;
mod slips;
mod slow;
mod ssh;
mod standard_input;
mod start;
mod stats;
mod table;
mod tries;
mod trust;

use args::{Cli, Command};
use mcp_cli::Exit;
use std::process::ExitCode;

/// The program, from its command line to its exit code.
pub fn main() -> ExitCode {
    if let Err(error) = mcp_cli::signals::outlive_limits() {
        say::say(format_args!("cannot block signals: {error}"));
    }
    if let Err(error) = mcp_cli::dumps::forbid() {
        say::say(format_args!("cannot forbid core dumps: {error}"));
    }
    let cli = match args::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for and go to stdout; everything else is a usage error.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            let _ = error.print();
            if exit == Exit::Usage {
                start::not_understood(&error);
            }
            return exit.into();
        }
    };
    run(cli).into()
}

fn run(cli: Cli) -> Exit {
    match cli.command {
        Some(Command::Demo(options)) => {
            mcp_cli::say::log(&options.common);
            start::ended(demo::run(&options), &options.common)
        }
        Some(Command::Key(options)) => key::run(&options).unwrap_or_else(|error| {
            say::say(format_args!("{error:#}"));
            Exit::Failed
        }),
        Some(Command::Digest(options)) => digest::run(&options).unwrap_or_else(|error| {
            say::say(format_args!("{error:#}"));
            Exit::Failed
        }),
        None => {
            mcp_cli::say::log(&cli.copy.common);
            start::run(cli.copy)
        }
    }
}
