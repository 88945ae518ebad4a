//! How a receiver puts the entries of a tree below its root: directories, files, links and what is told of them.
//!
//! Every step is taken relative to a descriptor of a directory that was reached from the root without following a
//! symbolic link: whatever names are sent and whatever somebody does to the tree meanwhile, nothing outside of the
//! root is reached.

pub mod attrs;
pub mod beneath;
pub mod dirs;
mod error;
pub mod folding;
pub mod ids;
mod inherited;
pub mod meta;
pub mod nodes;
pub mod partial;
pub(crate) mod removal;
pub mod room;
pub mod temporary;

pub use error::PlaceError;
pub(crate) use error::what;

#[cfg(test)]
mod tests;
