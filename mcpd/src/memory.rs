//! What was freed goes back to the system.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Where glibc takes the bound from, see mallopt(3), `M_MMAP_THRESHOLD`.
const VARIABLE: &str = "MALLOC_MMAP_THRESHOLD_";
/// The bound that it begins with, in bytes.
const BOUND: &str = "131072";

/// Memory above a bound is a mapping of its own in glibc, and goes back to the system when it is freed. By itself
/// glibc raises that bound to what was freed last, 32 MiB at most: then buffers of sessions that are over stay in
/// its arenas below whatever small thing is in use, tens of megabytes after a hundred sessions. A bound that is
/// given stays. The daemon's large buffers live as long as their sessions, so that nothing is mapped again and
/// again.
///
/// A running program can give it by mallopt(3) alone, which is `unsafe` code; so it is started once more, as the
/// same process. A variable that is set already is left as it is; where it cannot be started, or the system's
/// library is another, all is as before.
pub(crate) fn is_given_back() {
    let mut args = env::args_os();
    let (None, Ok(program), Some(name)) = (env::var_os(VARIABLE), env::current_exe(), args.next())
    else {
        return;
    };
    let _ = Command::new(program).arg0(name).args(args).env(VARIABLE, BOUND).exec(); // else it goes on
}
