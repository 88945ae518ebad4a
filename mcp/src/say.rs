//! Messages for people.

use std::fmt::Display;

/// Says something on standard error.
pub(crate) fn say(what: impl Display) {
    mcp_cli::say::say("mcp", what);
}
