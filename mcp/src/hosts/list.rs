//! Lists of hosts: how one is read, and how a host is written such that a list is read as it was meant.

use super::{ESCAPE, ends_a_path};

/// Stands before a text in UTF-8 where other systems have written it; it says nothing.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads a list of hosts, each with its line: one or several a line, between blanks. `#` at a line's
/// start or behind a blank begins a comment. A byte order mark says nothing, wherever lists were put
/// together. A blank that is meant, in a path, stands behind a backslash, and so does a line's end.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (Option<usize>, &str)> {
    Words { rest: text, line: 1, at_start: true }
}

struct Words<'a> {
    rest: &'a str,
    /// In which `rest` begins, counted from 1.
    line: usize,
    /// Nothing of that line has been read.
    at_start: bool,
}

impl<'a> Words<'a> {
    /// Takes so many bytes off.
    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(len);
        self.line += taken.matches('\n').count();
        self.at_start = taken.ends_with('\n');
        self.rest = rest;
        taken
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = (Option<usize>, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.rest.chars().next()? {
                BYTE_ORDER_MARK if self.at_start => {
                    self.rest = &self.rest[BYTE_ORDER_MARK.len_utf8()..];
                }
                blank if blank.is_whitespace() => drop(self.take(blank.len_utf8())),
                '#' => drop(self.take(self.rest.find('\n').unwrap_or(self.rest.len()))),
                _ => {
                    let line = self.line;
                    let word = self.take(end_of_word(self.rest));
                    return Some((Some(line), word));
                }
            }
        }
    }
}

/// Where the first blank stands that no backslash makes a part of a path.
fn end_of_word(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().find(|(_, c)| {
        let plain = !std::mem::take(&mut escaped);
        escaped = *c == ESCAPE && plain;
        c.is_whitespace() && plain
    });
    end.map_or(text.len(), |(at, _)| at)
}

/// A host as it was typed, such that it can stand in a list, and between commas: an argument has blanks
/// that the shell was told of, and its end may be a backslash.
pub(crate) fn as_listed(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text.chars().peekable());
    while let Some(c) = rest.next() {
        if c == ESCAPE {
            out.push(c);
            match rest.next_if(|next| *next == ESCAPE || ends_a_path(*next)) {
                Some(meant) => out.push(meant),
                None if rest.peek().is_none() => out.push(ESCAPE),
                None => {}
            }
            continue;
        }
        if c.is_whitespace() {
            out.push(ESCAPE);
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<(usize, &str)> {
        lines(text).map(|(line, word)| (line.unwrap(), word)).collect()
    }

    #[test]
    fn a_comment_begins_where_a_word_would() {
        assert_eq!(words("#a\nb#c #d e\n  # f\ng"), [(2, "b#c"), (4, "g")]);
        assert_eq!(words("a:x\\ #b #c\n#"), [(1, "a:x\\ #b")]);
        assert_eq!(words("a,#b"), [(1, "a,#b")]);
    }

    #[test]
    fn lines_end_as_other_systems_end_them() {
        assert_eq!(words("a\r\n# b\r\nc \r\n\r\nd"), [(1, "a"), (3, "c"), (5, "d")]);
        assert_eq!(words("\u{feff}a\n\u{feff} b\n"), [(1, "a"), (2, "b")]);
        assert_eq!(words("\u{feff}\n\u{feff}#a"), []);
    }

    #[test]
    fn a_blank_behind_a_backslash_belongs_to_its_word() {
        assert_eq!(
            words("a:b\\ c d\ne:f\\\ng h"),
            [(1, "a:b\\ c"), (1, "d"), (2, "e:f\\\ng"), (3, "h")]
        );
        assert_eq!(words("a:b\\\\ c"), [(1, "a:b\\\\"), (1, "c")]);
    }

    #[test]
    fn what_is_typed_is_listed_as_it_was_meant() {
        for (typed, listed) in [
            ("a", "a"),
            ("a:9:b\\,c", "a:9:b\\,c"),
            ("a:b c", "a:b\\ c"),
            ("a:b\\ c", "a:b\\ c"),
            ("a:b\\\\", "a:b\\\\"),
            ("a:b\\", "a:b\\\\"),
            ("a:\\b", "a:\\b"),
            ("a:b\n", "a:b\\\n"),
            ("[fd77::1]:x", "[fd77::1]:x"),
        ] {
            assert_eq!(as_listed(typed), listed, "{typed:?}");
        }
    }
}
