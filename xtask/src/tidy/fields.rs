//! Types of the stack keep their fields to themselves: an open field may be written from anywhere,
//! so that what must hold between two of them is nobody's duty.

use super::repo::Repo;
use super::{Finding, source};

/// Where it is looked.
const STACK: &str = "stack/src/";
/// Open fields (`pub`, `pub(crate)` and the like) of one type.
const OPEN: usize = 10;

/// Types of which no field is open, each with its file: what must hold between theirs is much.
const CLOSED: [(&str, &str); 4] = [
    ("stack/src/proto/conn/mod.rs", "Conn"),
    ("stack/src/proto/conn/life.rs", "Answered"),
    ("stack/src/proto/member/mod.rs", "Member"),
    ("stack/src/proto/channel/mod.rs", "Channel"),
];

/// Plain data, which has nothing to hide, with the reason.
const PLAIN: [(&str, &str); 4] = [
    ("stack/src/config.rs", "options are set field by field, by whoever makes a session"),
    ("stack/src/stats.rs", "counts and reports, which say what became of something"),
    ("stack/src/proto/member/mode.rs", "evidence, which a function without a state judges"),
    ("stack/src/proto/send/congestion/mod.rs", "a report, of what a path has shown its window"),
];

/// Looks at every source of the stack that is no test.
pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    judge(repo, &PLAIN)
}

fn judge(repo: &Repo, plain: &[(&str, &str)]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in repo.rust() {
        let is_plain = plain.iter().any(|(file, _)| *file == path);
        if !path.starts_with(STACK) || is_test(path) || is_plain {
            continue;
        }
        for Type { name, line, open } in types(&source::split(text).code) {
            let most = if CLOSED.contains(&(path, &name)) { 0 } else { OPEN };
            if open > most {
                let why = format!("`{name}` has {open} open fields, at most {most}");
                found.push(Finding::new(path, line, why));
            }
        }
    }
    found
}

/// Whether a file holds tests alone.
fn is_test(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.starts_with("tests") || name.ends_with("_tests.rs") || path.contains("/tests/")
}

/// A struct, and how many of its fields can be used outside of its module.
#[derive(Debug, PartialEq, Eq)]
struct Type {
    name: String,
    line: usize,
    open: usize,
}

/// Every struct of the code (a view without comments and strings) before its tests.
fn types(code: &str) -> Vec<Type> {
    let code = code.split("#[cfg(test)]\nmod ").next().unwrap_or(code);
    let mut found = Vec::new();
    for (at, word) in code.match_indices("struct") {
        let whole = |c: Option<char>| !c.is_some_and(source::is_ident);
        let after = &code[at + word.len()..];
        if !whole(code[..at].chars().next_back()) || !whole(after.chars().next()) {
            continue;
        }
        let name: String =
            after.trim_start().chars().take_while(|c| source::is_ident(*c)).collect();
        let line = 1 + code[..at].matches('\n').count();
        found.push(Type { name, line, open: open_fields(after) });
    }
    found
}

/// Open fields of the struct whose name begins this code: the words `pub` directly within its
/// first braces or parentheses. Those within a field's type, as in a tuple, are none.
fn open_fields(code: &str) -> usize {
    let (mut depth, mut open, mut word) = (0_usize, 0, String::new());
    for c in code.chars() {
        if source::is_ident(c) {
            word.push(c);
            continue;
        }
        open += usize::from(depth == 1 && word == "pub");
        word.clear();
        match c {
            '{' | '(' => depth += 1,
            '}' | ')' if depth <= 1 => return open,
            '}' | ')' => depth -= 1,
            ';' if depth == 0 => return open,
            _ => {}
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(code: &str) -> Vec<(String, usize, usize)> {
        types(&source::split(code).code).into_iter().map(|t| (t.name, t.line, t.open)).collect()
    }

    #[test]
    fn open_fields_are_counted_and_others_not() {
        let code = "\npub struct A<T: Fn(u8)> {\n    /// pub\n    pub a: u8,\n    pub(crate) b: (u8, u8),\n    pub(super) c: T,\n    d: u8,\n    publ: u8,\n}\n";
        assert_eq!(counted(code)[0].0, "A");
        let code = "struct A { pub a: u8, pub(crate) b: [(u8, u8); 2], pub(in x) c: u8, d: u8 }";
        assert_eq!(counted(code), [("A".into(), 1, 3)]);
        assert_eq!(
            counted("struct B(pub u8, u8);\nstruct C;"),
            [("B".into(), 1, 1), ("C".into(), 2, 0)]
        );
        assert_eq!(counted("pub fn f(my_struct: u8, structs: u8) {}"), []);
        assert_eq!(counted("let s = \"struct A { pub a: u8 }\"; // struct B"), []);
        assert_eq!(counted("#[cfg(test)]\nmod tests { struct A { pub a: u8 } }"), []);
    }

    /// A struct with so many open fields.
    fn open(n: usize) -> String {
        let field = |n: usize| format!("    pub(crate) f{n}: u8,\n");
        let fields = (0..n).map(field).collect::<Vec<_>>().concat();
        format!("pub(crate) struct S {{\n{fields}    own: u8,\n}}\n")
    }

    fn found(path: &str, n: usize) -> Vec<String> {
        let repo = Repo::of(&[(path, &open(n))]);
        judge(&repo, &[("stack/src/config.rs", "options")]).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn the_limit_holds_in_the_stack_but_for_plain_data_and_tests() {
        let at = "stack/src/proto/a.rs";
        assert_eq!(found(at, OPEN), [""; 0]);
        let over = format!("{at}:1: `S` has 11 open fields, at most 10");
        assert_eq!(found(at, OPEN + 1), [over]);
        for elsewhere in ["stack/src/config.rs", "sim/src/a.rs", "stack/src/a/tests.rs"] {
            assert_eq!(found(elsewhere, OPEN + 1), [""; 0], "{elsewhere}");
        }
    }

    #[test]
    fn some_types_have_no_open_field_at_all() {
        for (path, name) in CLOSED {
            let found = |code: &str| judge(&Repo::of(&[(path, code)]), &PLAIN).len();
            assert_eq!(found(&format!("struct {name} {{ a: u8 }}")), 0);
            assert_eq!(found(&format!("struct {name} {{ a: u8, pub(crate) b: u8 }}")), 1);
            assert_eq!(found("struct Other { pub(crate) b: u8 }"), 0);
        }
    }

    #[test]
    fn every_type_that_is_to_be_closed_is_there() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (path, name) in CLOSED {
            let text = std::fs::read_to_string(root.join(path)).expect("the file is there");
            assert!(types(&source::split(&text).code).iter().any(|t| t.name == name), "{name}");
        }
    }
}
