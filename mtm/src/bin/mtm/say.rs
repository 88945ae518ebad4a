//! Messages for people, and the exit code that an error stands for.

use mcp::mirror::Fault;
use mcp_cli::Exit;
use std::fmt::Display;

/// What the program is called.
pub(crate) const TOOL: &str = "mtm";

/// Says something on standard error.
pub(crate) fn say(what: impl Display) {
    mcp_cli::say::say(TOOL, what);
}

/// What the program ends with after an error.
pub(crate) fn exit_of(error: &anyhow::Error) -> Exit {
    match error.downcast_ref::<Fault>() {
        Some(Fault::Usage(_)) => Exit::Usage,
        Some(Fault::Here(_)) | None => Exit::Failed,
    }
}
