//! The receiving half: the bytes on their way to the application, and what is told to the sender
//! about the datagrams that brought them.

mod ahead;
mod asked;
pub(crate) mod autotune;
pub(crate) mod buffer;
pub(crate) mod declare;
mod elsewhere;
pub(crate) mod group;
pub(crate) mod heard;
pub(crate) mod joins;
mod limits;
pub(crate) mod membership;
mod ordered;
pub(crate) mod pns;
pub(crate) mod pressure;
pub(crate) mod session;
mod source;
mod unordered;
