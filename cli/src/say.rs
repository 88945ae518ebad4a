//! Messages for people: on standard error, one line each.

use crate::options::Common;
use std::fmt::Display;
use std::io::{self, Write};
use std::time::SystemTime;

/// Says something, with the tool's name before it. Who closed standard error does not want to hear
/// it; the work goes on.
pub fn say(tool: &str, what: impl Display) {
    line(format!("{tool}: {what}\n"));
}

/// Says something in a log, where it matters when: the time, UTC, to the second (RFC 3339).
pub fn log_line(tool: &str, what: impl Display) {
    let now = humantime::format_rfc3339_seconds(SystemTime::now());
    line(format!("{now} {tool}: {what}\n"));
}

/// In one write: several processes may share standard error, and their lines are not to mix.
fn line(line: impl AsRef<[u8]>) {
    let _ = io::stderr().write_all(line.as_ref());
}

/// Text that may come from elsewhere, with everything that would steer a terminal escaped.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// Sends what the transport reports to standard error: its errors and warnings, with `-v` also what
/// it found missing in the system, and with `-vv` what it does: answers, joins, changes of mode, ends,
/// and every datagram that was lost here; with `-q` its errors alone.
pub fn log(options: &Common) {
    let level = match options.verbose {
        0 if options.quiet => tracing_subscriber::filter::LevelFilter::ERROR,
        0 => tracing_subscriber::filter::LevelFilter::WARN,
        1 => tracing_subscriber::filter::LevelFilter::INFO,
        _ => tracing_subscriber::filter::LevelFilter::DEBUG,
    };
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr);
    // Set once in a process; a second time it stays as it is. A line that cannot be written is not
    // worth a word about it, which could not be written either.
    let _ = log.with_target(false).log_internal_errors(false).try_init();
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn nothing_steers_a_terminal_and_quotes_stay() {
        assert_eq!(plain("the name \"ä\" is refused"), "the name \"ä\" is refused");
        assert_eq!(plain("a\nb\u{1b}[31m\u{9b}c"), "a\\nb\\u{1b}[31m\\u{9b}c");
        assert_eq!(plain("a\tb\u{7f}\u{85}c"), "a\\tb\\u{7f}\\u{85}c");
    }
}
