//! Messages for people.

use std::fmt::Display;
use std::sync::OnceLock;

/// What this program is called, if not `mcp`.
static TOOL: OnceLock<&str> = OnceLock::new();

/// From now on things are said by that name; once in a process.
pub(crate) fn speak_as(tool: &'static str) {
    let _ = TOOL.set(tool); // the first name stays
}

/// Says something on standard error.
pub(crate) fn say(what: impl Display) {
    mcp_cli::say::say(TOOL.get().copied().unwrap_or("mcp"), what);
}
