//! The operating system's side: sockets, groups, interfaces, the clock and the one thread that
//! drives an [`Endpoint`](crate::proto::endpoint::Endpoint).
//!
//! Nothing else in the crate touches a socket, a clock or a thread, and `unsafe` stands in `sys`
//! alone.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the layer that touches the system"
)]

pub mod channel;
pub mod clock;
mod counters;
pub(crate) mod driver;
pub mod group;
pub mod interface;
pub mod memory;
mod netlink;
pub(crate) mod shared;
pub(crate) mod socket;
mod sys;
mod unreachable;
pub(crate) mod vrf;
pub(crate) mod wake;

pub use group::{Family, check_group, draw_group, is_source_specific, random_group};
