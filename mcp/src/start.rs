//! A copy from its options on: what is wrong before anything is sent ends it here, with a word for people
//! and with `--json` an object for programs.

use crate::args;
use crate::copy;
use crate::hosts::Target;
use crate::plan::{PlanError, plan};
use crate::retry;
use crate::say::say;
use crate::table::{self, Summary};
use crate::trust::{self, Ground, TrustError};
use anyhow::Result;
use mcp_cli::parse::is_asked;
use mcp_cli::say::plain;
use mcp_cli::{Common, Exit};
use std::io;
use std::sync::Arc;

/// Runs a copy.
pub(crate) fn run(mut options: args::Copy) -> Exit {
    let common = &options.common;
    let ground = match ground(&options) {
        Ok(ground) => Arc::new(ground),
        Err(error) => {
            let exit = match error {
                TrustError::Usage(_) => Exit::Usage,
                TrustError::Here(_) => Exit::Failed,
            };
            return failed(exit, &error.to_string(), &[], common);
        }
    };
    let plan = match plan(&options) {
        Ok(plan) => plan,
        Err(error) => {
            let exit = match error {
                PlanError::Usage(_) => Exit::Usage,
                PlanError::Here(_) => Exit::Failed,
            };
            return failed(exit, &error.to_string(), &[], common);
        }
    };
    options.settle(&plan);
    let targets = plan.targets.clone();
    let done = retry::begin(&options, &targets).and_then(|()| copy::run(&options, plan, &ground));
    done.unwrap_or_else(|error| {
        retry::all(&options, &targets);
        failed(Exit::Failed, &format!("{error:#}"), &targets, &options.common)
    })
}

/// Whom to trust; with `--ssh` those who get a secret.
fn ground(options: &args::Copy) -> Result<Ground, TrustError> {
    if !options.ssh {
        return trust::ground(options);
    }
    // A secret that the environment names is for other copies, and so is what it says of plaintext.
    if options.typed.has("insecure-plaintext") {
        let why = "--ssh draws a secret for each copy: --insecure-plaintext has no use with it";
        return Err(TrustError::Usage(why));
    }
    Ok(Ground::Started)
}

/// The end of what has no results: with `--json` a summary alone, of which none of these hosts has anything.
pub(crate) fn failed(exit: Exit, why: &str, targets: &[Target], common: &Common) -> Exit {
    say(plain(why));
    if common.json {
        let hosts: Vec<_> = targets.iter().map(|target| target.text.as_str()).collect();
        print_summary(&hosts, why);
    }
    exit
}

/// The same for a command line that was not understood, which is already told: whether objects were asked for is
/// looked up in its words, the variable and the configuration file.
pub(crate) fn not_understood(error: &clap::Error) {
    let args: Vec<_> = std::env::args_os().collect();
    if is_asked(&args, args::PREFIX, "json") {
        let text = error.to_string();
        let why = text.lines().next().unwrap_or_default();
        let why = why.strip_prefix("error: ").unwrap_or(why);
        print_summary(&[], why);
    }
}

/// A summary alone, of which none of these hosts has anything. Whoever has closed the pipe has heard it on standard
/// error.
fn print_summary(hosts: &[&str], why: &str) {
    let summary = Summary::without_results(hosts, why);
    let _ = table::show_json(&mut io::stdout().lock(), &summary);
}

/// The same for what returns an error.
pub(crate) fn ended(done: Result<Exit>, common: &Common) -> Exit {
    done.unwrap_or_else(|error| failed(Exit::Failed, &format!("{error:#}"), &[], common))
}
