//! The paths a source names (`a::b::c`), with the trees of `use` written out.

use super::source::is_ident;

/// A path of at least two segments; a glob's last one is `*`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) line: usize,
    pub(super) segments: Vec<String>,
}

/// The few tokens that paths are made of.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    Ident(String),
    Separator,
    Open,
    Close,
    Comma,
    Other(char),
}

/// Every path in `code` (a view without comments and strings).
pub(super) fn named(code: &str) -> Vec<Named> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let goes_on = at >= 2
            && tokens[at - 1].1 == Token::Separator
            && matches!(tokens[at - 2].1, Token::Ident(_) | Token::Other('>'));
        at = match tokens[at].1 {
            Token::Ident(_) if !goes_on => tree(&tokens, at, &[], &mut found),
            _ => at + 1,
        };
    }
    found
}

/// Takes the tree that begins at `at` below `prefix`; gives the place after it.
fn tree(
    tokens: &[(usize, Token)],
    mut at: usize,
    prefix: &[String],
    found: &mut Vec<Named>,
) -> usize {
    let mut segments = prefix.to_vec();
    let line = tokens[at].0;
    loop {
        match tokens.get(at).map(|t| &t.1) {
            Some(Token::Ident(name)) => {
                segments.push(name.clone());
                at += 1;
            }
            Some(Token::Other('*')) if at > 0 && ends_a_use(&tokens[at - 1].1) => {
                segments.push("*".to_owned());
                at += 1;
                break;
            }
            Some(Token::Open) => return group(tokens, at + 1, &segments, found),
            _ => break,
        }
        if tokens.get(at).map(|t| &t.1) != Some(&Token::Separator) {
            break;
        }
        at += 1;
    }
    if segments.last().is_some_and(|last| last == "self") && segments.len() > 1 {
        segments.pop();
    }
    if segments.len() > 1 {
        found.push(Named { line, segments });
    }
    at
}

/// A `*` is a glob only after `::`, `{` or a comma within braces.
fn ends_a_use(before: &Token) -> bool {
    matches!(before, Token::Separator | Token::Open | Token::Comma)
}

/// Takes the members of a `{…}` up to its end.
fn group(
    tokens: &[(usize, Token)],
    mut at: usize,
    prefix: &[String],
    found: &mut Vec<Named>,
) -> usize {
    while let Some((_, token)) = tokens.get(at) {
        at = match token {
            Token::Close => return at + 1,
            Token::Ident(name) if name == "as" => at + 2, // a new name for the one before
            Token::Ident(_) | Token::Other('*') => tree(tokens, at, prefix, found),
            _ => at + 1,
        };
    }
    at
}

/// Cuts the code up, each token with its line.
fn tokens(code: &str) -> Vec<(usize, Token)> {
    let mut out = Vec::new();
    for (index, text) in code.lines().enumerate() {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let len = if is_ident(c) {
                rest.find(|c| !is_ident(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                c.len_utf8()
            };
            let token = match c {
                c if is_ident(c) => Some(Token::Ident(rest[..len].to_owned())),
                ':' if len == 2 => Some(Token::Separator),
                '{' => Some(Token::Open),
                '}' => Some(Token::Close),
                ',' => Some(Token::Comma),
                c if c.is_whitespace() => None,
                c => Some(Token::Other(c)),
            };
            out.extend(token.map(|token| (index + 1, token)));
            rest = &rest[len..];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(code: &str) -> Vec<String> {
        named(code).into_iter().map(|n| n.segments.join("::")).collect()
    }

    #[test]
    fn trees_are_written_out() {
        assert_eq!(
            joined("use std::{net::{IpAddr, UdpSocket as U}, thread, time::{self, Instant}};"),
            [
                "std::net::IpAddr",
                "std::net::UdpSocket",
                "std::thread",
                "std::time",
                "std::time::Instant"
            ]
        );
        assert_eq!(joined("use crate::{wire::*, net};"), ["crate::wire::*", "crate::net"]);
        assert_eq!(joined("use a::{*, b};"), ["a::*", "a::b"]);
    }

    #[test]
    fn paths_in_expressions_and_types_count() {
        assert_eq!(
            joined("let x: Vec<crate::net::Clock> = ::std::thread::spawn(y * a::b);"),
            ["crate::net::Clock", "std::thread::spawn", "a::b"]
        );
        assert_eq!(joined("match a { B::C { d } => Vec::<u8>::new() }"), ["B::C"]);
    }

    #[test]
    fn each_has_its_line() {
        let found = named("use a::{\n    b,\n    c::d,\n};\ne::f();");
        let lines: Vec<usize> = found.iter().map(|n| n.line).collect();
        assert_eq!(lines, [2, 3, 5]);
    }

    #[test]
    fn unfinished_code_ends() {
        for code in ["use a::{b", "a::", "::", "use a::{b as", "{", "use a::{*"] {
            named(code);
        }
    }
}
