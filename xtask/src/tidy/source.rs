//! Splits a Rust source into its code and its comments, so that no check is misled by a string.

/// Two copies of a source, of the same lines: one with only the code, one with only the comments.
/// Everything else, strings and character literals too, is blank in each.
#[derive(Debug, Default)]
pub(super) struct Views {
    pub(super) code: String,
    pub(super) comments: String,
}

/// What a stretch of the source is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// Makes both views.
pub(super) fn split(text: &str) -> Views {
    let chars: Vec<char> = text.chars().collect();
    let mut views = Views::default();
    let mut at = 0;
    while at < chars.len() {
        let (kind, end) = stretch(&chars, at);
        // An unterminated literal or comment ends with the file.
        let end = end.clamp(at + 1, chars.len());
        for &c in &chars[at..end] {
            let blank = if c == '\n' { '\n' } else { ' ' };
            views.code.push(if kind == Kind::Code { c } else { blank });
            views.comments.push(if kind == Kind::Comment { c } else { blank });
        }
        at = end;
    }
    views
}

/// The kind of what begins at `at`, and where it ends.
fn stretch(chars: &[char], at: usize) -> (Kind, usize) {
    let next = chars.get(at + 1).copied();
    match chars[at] {
        '/' if next == Some('/') => {
            let len = chars[at..].iter().position(|&c| c == '\n').unwrap_or(chars.len() - at);
            (Kind::Comment, at + len)
        }
        '/' if next == Some('*') => (Kind::Comment, block_comment_end(chars, at)),
        '"' => (Kind::Literal, quoted_end(chars, at, '"')),
        '\'' => match (next, chars.get(at + 2)) {
            (Some('\\'), _) => (Kind::Literal, quoted_end(chars, at, '\'')),
            (Some(_), Some('\'')) => (Kind::Literal, at + 3),
            _ => (Kind::Code, at + 1), // a lifetime
        },
        c if is_ident(c) => {
            let len = chars[at..].iter().position(|&c| !is_ident(c)).unwrap_or(chars.len() - at);
            let word: String = chars[at..at + len].iter().collect();
            match word.as_str() {
                "r" | "br" | "cr" => raw_end(chars, at + len)
                    .map_or((Kind::Code, at + len), |end| (Kind::Literal, end)),
                _ => (Kind::Code, at + len),
            }
        }
        _ => (Kind::Code, at + 1),
    }
}

/// Whether `c` can stand in an identifier.
pub(super) fn is_ident(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// The end of a block comment; they nest.
fn block_comment_end(chars: &[char], begin: usize) -> usize {
    let (mut at, mut depth) = (begin + 2, 1);
    while at < chars.len() && depth > 0 {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (at, depth) = (at + 2, depth + 1),
            ('*', Some('/')) => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    at
}

/// The end of a literal with escapes.
fn quoted_end(chars: &[char], begin: usize, quote: char) -> usize {
    let mut at = begin + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// The end of a raw string whose hashes begin at `begin`; `None` if it is a raw identifier.
fn raw_end(chars: &[char], begin: usize) -> Option<usize> {
    let hashes = chars[begin..].iter().take_while(|&&c| c == '#').count();
    if chars.get(begin + hashes) != Some(&'"') {
        return None;
    }
    let mut at = begin + hashes + 1;
    while at < chars.len() {
        let closed = chars[at] == '"'
            && chars[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes;
        if closed {
            return Some(at + 1 + hashes);
        }
        at += 1;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both views with runs of blanks made one.
    fn squeezed(text: &str) -> (String, String) {
        let views = split(text);
        let squeeze = |s: &str| s.split_whitespace().collect::<Vec<_>>().join(" ");
        (squeeze(&views.code), squeeze(&views.comments))
    }

    #[test]
    fn comments_and_code_are_told_apart() {
        assert_eq!(squeezed("a // b\nc"), ("a c".into(), "// b".into()));
        assert_eq!(squeezed("a /* b /* c */ d */ e"), ("a e".into(), "/* b /* c */ d */".into()));
        assert_eq!(squeezed("a / b"), ("a / b".into(), String::new()));
    }

    #[test]
    fn literals_are_in_neither() {
        assert_eq!(squeezed(r#"a("// \" b"); c"#).0, "a( ); c");
        assert_eq!(squeezed("a(r##\"{ \"# // \"##); c").0, "a( ); c");
        assert_eq!(squeezed("m('{', b'}', '\\'', '\\u{7d}') {}").0, "m( , b , , ) {}");
        assert_eq!(squeezed(r#"a(b"x", c"y")"#).0, "a(b , c )");
    }

    #[test]
    fn lifetimes_and_raw_identifiers_are_code() {
        assert_eq!(squeezed("fn f<'a>(x: &'a str) {}").0, "fn f<'a>(x: &'a str) {}");
        assert_eq!(squeezed("r#type r").0, "r#type r");
    }

    #[test]
    fn lines_stay_where_they_are() {
        let text = "a\n\"b\nc\" /* d\n e */ f\n// g\n";
        let views = split(text);
        for view in [&views.code, &views.comments] {
            assert_eq!(view.lines().count(), text.lines().count());
        }
        assert_eq!(views.code.lines().nth(3).unwrap().trim(), "f");
    }

    #[test]
    fn unfinished_sources_end() {
        for text in ["\"a", "/* a", "r#\"a", "'\\", "'", "\"\\", "r#", "//"] {
            assert_eq!(split(text).code.chars().count(), text.chars().count(), "{text}");
        }
    }
}
