//! The command with real sessions over loopback, to receivers in this process.

mod announced;
mod exec;
mod failures;
mod hello;
mod host;
mod hosts;
mod job;
mod keeping;
mod nested;
mod renames;
mod restored;
mod source;
mod steering;

use host::Host;
use job::Place;
