//! What was freed goes back to the system.

use super::sys;
use std::ffi::c_int;

/// The bound that glibc begins with, in bytes (mallopt(3), `M_MMAP_THRESHOLD`).
const BOUND: c_int = 128 << 10;

/// Has large buffers of sessions that are over go back to the system: for a program in which sessions come and
/// go. To be called before other threads are started. Where the system's library is not glibc it does nothing.
///
/// Memory above a bound is a mapping of its own in glibc, and goes back when it is freed. By itself glibc raises
/// that bound to what was freed last, 32 MiB at most: then buffers stay in its arenas below whatever small thing
/// is in use, 40 to 80 MB after waves of a hundred sessions. A bound that is given stays.
pub fn give_back() {
    sys::map_alone_above(BOUND);
}
