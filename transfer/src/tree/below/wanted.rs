//! Whether anybody wants it any more.

use super::Below;
use crate::tree::ground::Why;

/// Whether the session is over is asked for every so many entries: its end is to be noticed within some milliseconds.
const ASKED: u32 = 32;

/// Why an entry is not in place once the session is over.
pub(super) const UNWANTED: &str = "it is not wanted any more";

impl Below<'_> {
    /// Whether nobody wants it any more; asked now and then where many are put one after the other.
    pub(super) fn check_wanted(&mut self) -> Result<(), Why> {
        self.puts = self.puts.wrapping_add(1);
        let is_over = self.puts.is_multiple_of(ASKED) && (self.is_over)();
        if is_over { Err(UNWANTED.to_owned()) } else { Ok(()) }
    }
}
