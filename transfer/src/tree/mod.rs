//! Trees of files: what a sender reads of them, what it says of them, and what a receiver makes of that.

pub mod attrs;
pub(crate) mod below;
pub mod change;
pub mod digest;
pub mod entry;
pub(crate) mod extras;
pub mod files;
mod gather;
pub(crate) mod ground;
pub mod layout;
pub mod lister;
pub mod manifest;
pub mod moved;
pub mod outline;
pub mod owners;
pub(crate) mod records;

pub mod scan;
pub mod sink;
pub mod source;
pub mod spool;
