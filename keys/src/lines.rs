//! The lines of a list of keys that say something: neither blank nor comments.

use thiserror::Error;

/// What no line of a list may be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum TextFault {
    #[error("it is not UTF-8")]
    Encoding,
    #[error("{0:?} is a control character")]
    Control(char),
}

/// Every such line with its number, counted from 1, without blanks around it. A line ends with LF
/// or CR LF; what begins with `#` is a comment and may be anything.
pub(crate) fn numbered(
    bytes: &[u8],
) -> impl Iterator<Item = (usize, Result<&str, TextFault>)> + '_ {
    let lines = bytes.split(|byte| *byte == b'\n').zip(1..);
    lines.map(|(line, number)| (number, line.trim_ascii())).filter_map(|(number, line)| {
        if line.is_empty() || line[0] == b'#' {
            return None;
        }
        Some((number, checked(line)))
    })
}

/// The line as text that can be shown.
fn checked(line: &[u8]) -> Result<&str, TextFault> {
    let text = str::from_utf8(line).map_err(|_| TextFault::Encoding)?;
    match text.chars().find(|c| c.is_control() && *c != '\t') {
        Some(control) => Err(TextFault::Control(control)),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_and_comments_count_and_are_left_out() {
        let bytes = b"a b\r\n\n  # c \xff\n\t\n d\t\r\ne \xff\nf \0\n";
        let found: Vec<_> = numbered(bytes).collect();
        let control = Err(TextFault::Control('\0'));
        let faulty = [(6, Err(TextFault::Encoding)), (7, control)];
        assert_eq!(found[..2], [(1, Ok("a b")), (5, Ok("d"))]);
        assert_eq!(found[2..], faulty);
        assert_eq!(numbered(b"").count(), 0);
    }
}
