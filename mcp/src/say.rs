//! Messages for people: on standard error, one line each.

use std::fmt::Display;
use std::io::{self, Write};

/// Says something. Who closed standard error does not want to hear it; the copy goes on.
pub(crate) fn say(what: impl Display) {
    let _ = writeln!(io::stderr(), "mcp: {what}");
}
