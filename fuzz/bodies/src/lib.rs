//! What the fuzz targets do with an input: a function for each, which panics if something is wrong.
//!
//! cargo-fuzz calls them from `fuzz/fuzz_targets/`, with nightly; `tests/corpora.rs` replays what it has
//! found, with any compiler.

mod datagram;
mod filters;
mod handshake;
mod input;
mod key_files;
mod manifest;
mod tlvs_and_records;

pub use datagram::datagram;
pub use filters::filters;
pub use handshake::handshake;
pub use key_files::key_files;
pub use manifest::manifest;
pub use tlvs_and_records::tlvs_and_records;
