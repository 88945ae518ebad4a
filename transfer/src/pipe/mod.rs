//! A stream of bytes that can be read once, and whose end is learned late: standard input, and what goes to standard
//! output.
//!
//! The session's bytes are the stream's own, in order, held in its ring until every member has them: the slowest one
//! holds up the others. It is cut into blocks of 1 MiB, of which the last may be shorter. The value of each goes ahead
//! on every member's private stream (`sum`), and what a receiver hands on is a block that matches it. At the end the
//! stream's length and BLAKE3 are told, without which no receiver takes it for whole. Nothing can be read again: a
//! member that lacks something, or has something wrong, fails.

pub mod input;
pub(crate) mod land;
pub mod output;
pub(crate) mod sum;
pub(crate) mod take;
mod told;

mod send;

pub use send::send;

/// Bytes that are held for members that do not have them yet: 1 Gbit/s over 100 ms are 12.5 MB.
pub(crate) const RING: usize = 16 << 20;

/// The PATH that means standard output. A file of this name is `./-`.
pub const OUTPUT: &[u8] = b"-";
