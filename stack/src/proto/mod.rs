//! The protocol, without I/O: datagrams and the time go in; datagrams, deadlines and events come
//! out. Same seed, same inputs: same packets, byte for byte.
//!
//! [`endpoint`] is the whole of it behind one set of sockets. Inside: `conn`, one association,
//! either end; `session`, a sending session over many of them, its `channel`s and its `member`s; `send`
//! and `recv`, the halves of the data path that both ends are made of.

pub(crate) mod channel;
pub(crate) mod conn;
pub mod endpoint;
pub mod event;
pub(crate) mod member;
pub(crate) mod ranges;
pub(crate) mod recv;
pub(crate) mod ring;
pub mod rng;
pub(crate) mod send;
pub(crate) mod session;
pub mod time;

#[cfg(test)]
mod tests_document;
#[cfg(test)]
mod tests_vectors;
