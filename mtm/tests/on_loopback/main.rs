//! The command with real sessions over loopback, to receivers in this process.

mod announced;
mod exec;
mod failures;
mod host;
mod job;
mod steering;

use host::Host;
use job::Place;
