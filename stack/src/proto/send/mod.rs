//! The sending half: the bytes to send, what became of each datagram, and how fast each member may
//! be sent to.

pub mod congestion;
pub(crate) mod log;
pub mod rtt;
pub(crate) mod scoreboard;
mod source;
pub(crate) mod space;
pub mod store;
