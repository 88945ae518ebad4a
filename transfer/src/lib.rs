//! Files and trees of files over a TCP-XM session; what `mcp`, `mcpd` and the mirror and image tools share.
//!
//! What is sent is a [`source`]: a list of entries that grows, and blocks of 1 MiB ([`blocks`]). The sender reads each
//! block once, when the session asks for it; its value trails the data on each member's private stream ([`message`]).
//! A receiver has a [`sink`], which says what it lacks, takes pieces in the order in which they arrive, and gives a
//! file its name only after its digest has matched. [`tree`] is the source and the sink for files and folders.
//! [`pipe`] is what can be read once, as standard input, and needs none of that; [`talk`] carries words alone, and
//! [`jobs`] is what mirror jobs are to a receiver. [`session`] opens what carries them, [`mod@send`] and [`mod@receive`] tie the parts to it.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests hash by themselves, to compare")
)]

pub mod blocks;
pub mod destination;
pub mod filter;
pub mod holders;
pub mod jobs;
pub mod limits;
mod link;
pub mod message;
pub mod pipe;
pub mod place;
pub mod prefix;
pub mod receive;
pub mod send;
pub mod session;
pub mod shown;
pub mod sink;
pub mod source;
pub mod sweep;
pub mod talk;
mod threads;
pub mod tree;
#[cfg(test)]
mod untried;
mod xattr;

pub use receive::{receive, receive_or_hear, receive_to};
pub use send::{send, send_for_job};
