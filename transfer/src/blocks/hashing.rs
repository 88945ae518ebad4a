//! Where bytes enter BLAKE3: the one place, so that a test can count how often each does (`transfer/clippy.toml`).

#![allow(clippy::disallowed_methods, reason = "this is the place")]

use super::Value;
use blake3::hazmat::HasherExt;
use blake3::{Hash, Hasher};

/// The digest of these bytes by themselves.
pub(crate) fn whole(bytes: &[u8]) -> Hash {
    count(bytes);
    blake3::hash(bytes)
}

/// The digest of a path, a name or a key: of nothing that is copied.
pub(crate) fn of_name(bytes: &[u8]) -> Hash {
    blake3::hash(bytes)
}

/// The chaining value of these bytes, which are one subtree of more and begin so many bytes behind its beginning.
pub(super) fn subtree(bytes: &[u8], begin: u64) -> Value {
    count(bytes);
    let mut hasher = Hasher::new();
    hasher.set_input_offset(begin);
    hasher.update(bytes).finalize_non_root()
}

#[cfg(not(test))]
fn count(_: &[u8]) {}

#[cfg(test)]
std::thread_local! {
    static HASHED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
fn count(bytes: &[u8]) {
    HASHED.set(HASHED.get() + bytes.len() as u64);
}

/// Bytes that this thread has hashed so far.
#[cfg(test)]
pub(crate) fn hashed() -> u64 {
    HASHED.get()
}
