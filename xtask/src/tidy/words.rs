//! Words that have no place in the sources, and `unsafe` where it may stand.

use super::repo::Repo;
use super::{Finding, source};

/// The only folder with `unsafe`.
const UNSAFE_HOME: &str = "stack/src/net/";
/// In code, blanks aside: the word, and what is said about it.
const IN_CODE: [(&str, &str); 5] = [
    ("todo!(", "unfinished work is not kept in the tree"),
    ("unimplemented!(", "unfinished work is not kept in the tree"),
    ("dbg!(", "left over from a search for a fault"),
    ("#[ignore", "a test runs or is removed"),
    ("allow(dead_code", "remove what nothing uses"),
];
/// In comments.
const IN_COMMENTS: [(&str, &str); 4] = [
    ("TODO", "unfinished work is not kept in the tree"),
    ("FIXME", "unfinished work is not kept in the tree"),
    ("XXX", "unfinished work is not kept in the tree"),
    ("```ignore", "an example in the documentation is compiled"),
];

/// Looks at every source.
pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in repo.rust() {
        let views = source::split(text);
        let comments: Vec<&str> = views.comments.lines().collect();
        let code: Vec<&str> = views.code.lines().collect();
        for (index, line) in code.iter().enumerate() {
            let dense: String = line.split_whitespace().collect();
            found.extend(matches(path, index + 1, &dense, &IN_CODE));
            if has_word(line, "unsafe")
                && let Some(why) = unsafe_fault(path, &code, &comments, index)
            {
                found.push(Finding::new(path, index + 1, why));
            }
        }
        for (index, line) in comments.iter().enumerate() {
            found.extend(matches(path, index + 1, line, &IN_COMMENTS));
        }
    }
    found
}

/// What of `words` stands in the line.
fn matches(path: &str, line: usize, text: &str, words: &[(&str, &str)]) -> Vec<Finding> {
    words
        .iter()
        .filter(|(word, _)| text.contains(word))
        .map(|(word, why)| Finding::new(path, line, format!("`{word}`: {why}")))
        .collect()
}

/// Whether an identifier stands in the line, not as a part of another.
fn has_word(line: &str, word: &str) -> bool {
    line.split(|c| !source::is_ident(c)).any(|part| part == word)
}

/// What is wrong with the `unsafe` in line `at`, if anything.
fn unsafe_fault(path: &str, code: &[&str], comments: &[&str], at: usize) -> Option<String> {
    if !path.starts_with(UNSAFE_HOME) {
        return Some(format!("`unsafe` stands only below {UNSAFE_HOME}"));
    }
    // A declaration states what it asks of its callers; a block, why it may.
    let begins = if code[at].contains("unsafe fn") { "/// # Safety" } else { "// SAFETY:" };
    // Upwards over attributes and the lines of one comment.
    let reason = (0..at)
        .rev()
        .take_while(|&line| {
            let attribute = code[line].trim_start().starts_with("#[");
            attribute || (code[line].trim().is_empty() && !comments[line].trim().is_empty())
        })
        .any(|line| comments[line].trim_start().starts_with(begins));
    (!reason).then(|| format!("`unsafe` without a `{begins}` comment directly above it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<Finding> {
        check(&Repo::of(&[(path, text)]))
    }

    #[test]
    fn unfinished_work_is_found() {
        for text in [
            "fn f() { todo!() }",
            "unimplemented!(\"x\")",
            "dbg!(x)",
            "#[ignore]",
            "# [ ignore = \"slow\" ]",
            "#[allow(dead_code)]",
            "// TODO: later",
            "/* FIXME */",
            "/// ```ignore",
        ] {
            let findings = found("a/b.rs", &format!("\n{text}\n"));
            assert_eq!(findings.len(), 1, "{text}");
            assert_eq!(findings[0].line, 2, "{text}");
        }
    }

    #[test]
    fn strings_and_near_misses_are_not() {
        let text =
            "f(\"todo!() TODO\"); // todo!( is a macro, gitignore, dbg!(\nlet unsafe_code = 1;";
        assert_eq!(found("a/b.rs", text), []);
    }

    #[test]
    fn unsafe_needs_its_place_and_its_reason() {
        let with = "// SAFETY: the socket is open,\n// and ours.\n#[cold]\nlet n = unsafe { f() };";
        assert_eq!(found("stack/src/net/socket.rs", with), []);
        assert_eq!(found("stack/src/wire/seq.rs", with).len(), 1);
        let declared = "/// # Safety\n///\n/// `p` is valid.\nunsafe fn f(p: *const u8) {}";
        assert_eq!(found("stack/src/net/socket.rs", declared), []);
        for without in [
            "// SAFETY: yes\nunsafe fn f() {}",
            "let n = unsafe { f() };",
            "// SAFETY: yes\n\nlet n = unsafe { f() };",
            "// SAFETY: yes\ng();\nlet n = unsafe { f() };",
            "// it is safe\nlet n = unsafe { f() };",
        ] {
            assert_eq!(found("stack/src/net/socket.rs", without).len(), 1, "{without}");
        }
    }
}
