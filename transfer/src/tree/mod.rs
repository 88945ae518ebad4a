//! Trees of files: what a sender reads of them, what it says of them, and what a receiver makes of that.

pub mod entry;
pub mod scan;
