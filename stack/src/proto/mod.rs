//! The protocol, without I/O: datagrams and the time go in; datagrams, deadlines and events come
//! out. Same seed, same inputs: same packets, byte for byte.
//!
//! [`endpoint`] is the whole of it behind one set of sockets. Inside: `conn`, one association,
//! either end; `group`, a sending session over many of them; `send` and `recv`, the halves of the
//! data path that both are made of.

pub(crate) mod conn;
pub mod endpoint;
pub mod event;
pub(crate) mod group;
pub(crate) mod ranges;
pub(crate) mod recv;
pub mod rng;
pub(crate) mod send;
pub mod time;

#[cfg(test)]
mod tests_document;
