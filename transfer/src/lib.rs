//! Files over a TCP-XM session; what `mcp`, `mcpd` and the mirror and image tools share.
//!
//! A file is cut into [`blocks`] of 1 MiB. The sender reads each block once from its [`source`],
//! when the session asks for it; the block's digest trails the data on each member's private
//! stream ([`message`]). A receiver puts segments into its [`sink`] in the order in which they
//! arrive, hashes each block once when it is whole, and gives the file its name only after the
//! digests of all blocks and of the file have matched. [`send`] and [`mod@receive`] tie the parts to
//! a session.

pub mod blocks;
pub mod destination;
pub mod limits;
mod link;
pub mod message;
pub mod place;
pub mod receive;
pub mod send;
pub mod sink;
pub mod source;
pub mod sweep;
pub mod tree;

pub use receive::{receive, receive_file};
pub use send::send_file;
