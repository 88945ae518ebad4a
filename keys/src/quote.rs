//! Paths in messages, such that a remedy can be pasted into a shell.

use std::path::Path;

/// The path as a shell takes it, and nothing in it that steers a terminal.
pub(crate) fn quoted(path: &Path) -> String {
    let text = mcp_cli::say::plain(&path.to_string_lossy());
    let safe = |c: char| c.is_alphanumeric() || "/._-+=:,@%^".contains(c);
    if !text.is_empty() && text.chars().all(safe) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_the_same_path() {
        for (path, shown) in [
            ("/etc/mcp/secret", "/etc/mcp/secret"),
            ("/home/jürgen/a b", "'/home/jürgen/a b'"),
            ("it's", r"'it'\''s'"),
            ("$(reboot)", "'$(reboot)'"),
            ("a\u{1b}[2J", r"'a\u{1b}[2J'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(Path::new(path)), shown);
        }
    }
}
