//! The protocol, without I/O: datagrams and the time go in; datagrams, deadlines and events come
//! out. Same seed, same inputs: same packets, byte for byte.

pub mod endpoint;
pub mod event;
pub mod rng;
pub mod time;
