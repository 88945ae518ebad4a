//! Files and functions that fit into a head.

use super::repo::Repo;
use super::{Finding, source};

/// Lines of one source, its tests included.
const FILE_LINES: usize = 600;
/// Lines of one function, from its `fn` to its closing brace.
const FUNCTION_LINES: usize = 70;

/// Looks at every source.
pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in repo.rust() {
        let lines = text.lines().count();
        if lines > FILE_LINES {
            let why = format!("{lines} lines, at most {FILE_LINES}: split it by duty");
            found.push(Finding::new(path, lines, why));
        }
        for function in functions(&source::split(text).code) {
            if function.lines > FUNCTION_LINES {
                let Function { name, line, lines } = function;
                let why = format!("`{name}` has {lines} lines, at most {FUNCTION_LINES}");
                found.push(Finding::new(path, line, why));
            }
        }
    }
    found
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
struct Function {
    name: String,
    line: usize,
    lines: usize,
}

/// Every function of the code (a view without comments and strings), nested ones too.
fn functions(code: &str) -> Vec<Function> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn") {
        let before = code[..at].chars().next_back();
        let after = &code[at + 2..];
        let name: String =
            after.trim_start().chars().take_while(|c| source::is_ident(*c)).collect();
        // `fn` as a part of a word, or a function pointer's type.
        let is_word =
            !before.is_some_and(source::is_ident) && after.starts_with(|c: char| c.is_whitespace());
        if !is_word || name.is_empty() {
            continue;
        }
        if let Some(end) = body_start(bytes, at).and_then(|open| closing(bytes, open)) {
            let line = 1 + count_lines(&code[..at]);
            let lines = 1 + count_lines(&code[at..end]);
            found.push(Function { name, line, lines });
        }
    }
    found
}

/// The brace that opens the body; `None` if a `;` comes first, outside of brackets.
fn body_start(bytes: &[u8], from: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in bytes.iter().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'{' if depth == 0 => return Some(at),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The brace that closes the one at `open`.
fn closing(bytes: &[u8], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in bytes.iter().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Line ends in a stretch.
fn count_lines(text: &str) -> usize {
    text.matches('\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(text: &str) -> Vec<(String, usize, usize)> {
        functions(&source::split(text).code)
            .into_iter()
            .map(|f| (f.name, f.line, f.lines))
            .collect()
    }

    #[test]
    fn counts_from_fn_to_the_closing_brace() {
        let text = "\npub fn a<'x>(\n    b: [u8; 2],\n) -> u8 {\n    if c { '}' } else { \"}\" } // }\n}\n";
        assert_eq!(sizes(text), [("a".to_owned(), 2, 5)]);
        assert_eq!(sizes("fn a() {}\nfn b() {\n}"), [("a".into(), 1, 1), ("b".into(), 2, 2)]);
    }

    #[test]
    fn only_functions_with_bodies_count() {
        assert_eq!(sizes("trait T { fn a(&self); }\ntype F = fn(u8) -> u8;\nlet fnord = 1;"), []);
    }

    #[test]
    fn nested_ones_count_by_themselves() {
        let found = sizes("fn a() {\n    fn b() {\n    }\n}");
        assert_eq!(found, [("a".into(), 1, 4), ("b".into(), 2, 2)]);
    }

    #[test]
    fn the_limits_hold() {
        let of_lines = |n: usize| format!("fn long() {{\n{}}}\n", "x();\n".repeat(n - 2));
        let findings = |text: &str| check(&Repo::of(&[("a.rs", text)]));
        assert_eq!(findings(&of_lines(FUNCTION_LINES)), []);
        let over = findings(&of_lines(FUNCTION_LINES + 1));
        assert_eq!(over.len(), 1);
        assert_eq!(over[0].to_string(), "a.rs:1: `long` has 71 lines, at most 70");
        assert_eq!(findings(&"//\n".repeat(FILE_LINES)), []);
        assert_eq!(findings(&"//\n".repeat(FILE_LINES + 1)).len(), 1);
    }
}
