//! The program `mcp`; what it does is in its library, which mirror jobs share.

use std::process::ExitCode;

fn main() -> ExitCode {
    mcp::main()
}
