//! The sending half: the bytes to send, what became of each datagram, and how fast each member may
//! be sent to.

pub(crate) mod congestion;
pub(crate) mod delivery;
pub(crate) mod log;
pub(crate) mod mtu;
pub(crate) mod pace;
pub(crate) mod path;
pub(crate) mod rack;
pub(crate) mod rtt;
pub(crate) mod scoreboard;
mod source;
pub(crate) mod space;
pub(crate) mod store;

#[cfg(test)]
mod tests_hostile;
