//! `mtm`: brings a tree to every host of a list, however long it takes.
//!
//! The way of a job: [`args`] → [`given`] (what it was given, kept for later) → [`place`] (its folder) → [`send`], or
//! [`run`] for all jobs that are open → [`work`] (its rounds: [`look`] at the tree, [`round`]: who gets what in which
//! session, what came of it; [`ear`]: who says hello; [`announcer`]: what all are told)
//! → the ledger. [`steer`] says what is to be done with a job, [`status`] how it stands;
//! [`hook`] is the user's own command.

#![deny(clippy::print_stderr, clippy::print_stdout)] // a closed pipe must not end in a panic

mod announcer;
mod args;
mod ear;
mod given;
mod hook;
mod look;
mod place;
mod round;
mod run;
mod say;
mod send;
mod status;
mod steer;
mod told;
mod work;

use args::{Command, Line};
use mcp_cli::Exit;
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Err(error) = mcp_cli::signals::outlive_limits() {
        say::say(format_args!("cannot block signals: {error}"));
    }
    if let Err(error) = mcp_cli::dumps::forbid() {
        say::say(format_args!("cannot forbid core dumps: {error}"));
    }
    let line = match args::read(&std::env::args_os().collect::<Vec<_>>()) {
        Ok(line) => line,
        Err(error) => {
            // Help and version are asked for and go to stdout; everything else is a usage error.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            let _ = error.print();
            return exit.into();
        }
    };
    let done = match line {
        Line::Send(send, words) => send::run(*send, &words),
        Line::Other(Command::Send(_)) => Ok(Exit::Usage), // is read as a line of its own
        Line::Other(Command::Run(options)) => run::run(&options),
        Line::Other(Command::Status(options)) => status::run(&options),
        Line::Other(Command::Pause(one)) => steer::pause(&one),
        Line::Other(Command::Resume(options)) => steer::resume(&options),
        Line::Other(Command::Cancel(options)) => steer::cancel(&options),
        Line::Other(Command::Verify(one)) => steer::verify(&one),
        Line::Other(Command::Hosts(options)) => steer::hosts(&options),
    };
    done.unwrap_or_else(|error| {
        say::say(mcp_cli::say::plain(&format!("{error:#}")));
        say::exit_of(&error)
    })
    .into()
}
