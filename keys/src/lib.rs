//! The files in which secrets and keys stand, for `mcp` and `mcpd`: where they are ([`places`]),
//! how they are read without trusting what others can change ([`private`]), and what is in them: a
//! [`secret_file`] that all hosts share, or the [`identity_file`] of a user or host with
//! [`authorized_keys`] (who may send) and [`known_hosts`] (who is sent to); and what a daemon has
//! [`drawn`] for itself. [`key`] is what `mcp key` and `mcpd key` do.
//!
//! A file with a fault is an error that names the file, the line and the remedy; nothing of it is
//! used. No message repeats a secret.

#![deny(clippy::print_stderr, clippy::print_stdout)] // what is printed is the programs' to say

pub mod authorized_keys;
pub mod drawn;
mod encoding;
pub mod host_name;
pub mod identity_file;
pub mod key;
pub mod known_hosts;
pub mod lines;
pub mod new_file;
pub mod places;
pub mod private;
mod quote;
pub mod secret_file;

pub use authorized_keys::{AuthorizedKeys, Permit};
pub use drawn::Drawn;
pub use host_name::HostName;
pub use known_hosts::KnownHosts;
pub use places::Environment;
pub use secret_file::Secrets;

#[cfg(test)]
mod tests_document;
