//! `mcp`: copies a file to many hosts in the time of one, by multicast where the network carries
//! it, by unicast where it must.

#![deny(clippy::print_stderr, clippy::print_stdout)] // a closed pipe must not end in a panic

mod args;
mod demo;
mod exit;
mod say;
mod table;

use args::{Cli, Command};
use clap::Parser;
use exit::Exit;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for and go to stdout; everything else is a usage error.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            let _ = error.print();
            return exit.into();
        }
    };
    let Command::Demo(options) = cli.command;
    let exit = demo::run(&options).unwrap_or_else(|error| {
        say::say(format_args!("{error:#}"));
        Exit::Failed
    });
    exit.into()
}
