//! TCP-XM: a userspace TCP whose segments travel in UDP, from one sender to many receivers.
//!
//! One protocol control block per receiver, all linked into one multicast session: what is new
//! goes to the group once, what two or more missed goes to it again, what one missed goes to that
//! one alone, and a receiver that the group does not reach is served by unicast, each changing by
//! itself (`TCP-XM` slides 9 to 16).
//!
//! The layers, each importing only those to its left: [`wire`] ← [`seal`] ← [`proto`] ← [`net`] ←
//! [`api`]. The first three touch no socket, clock, thread or lock: time and randomness come in as
//! parameters, so the very same engine runs in the simulator, packet for packet.

pub mod api;
pub mod config;
pub mod error;
pub mod net;
pub mod proto;
pub mod seal;
pub mod stats;
pub mod trust;
pub mod wire;
