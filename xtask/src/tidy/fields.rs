//! Types of the stack keep their fields to themselves: an open field may be written from anywhere,
//! so that what must hold between two of them is nobody's duty.

use super::repo::Repo;
use super::{Finding, source};

/// Where it is looked.
const STACK: &str = "stack/src/";
/// Open fields (`pub`, `pub(crate)` and the like) of one type.
const OPEN: usize = 12;

/// Plain data, which has nothing to hide, with the reason.
const PLAIN: [(&str, &str); 1] =
    [("stack/src/config.rs", "options are set field by field, by whoever makes a session")];

/// What had more than [`OPEN`] when this was first counted, by file and type. A number only sinks;
/// with the last line this list goes, and what reads it.
const STILL_OPEN: &[(&str, &str, usize)] = &[
    ("stack/src/proto/conn/mod.rs", "Conn", 18),
    ("stack/src/proto/group/member.rs", "Member", 30),
    ("stack/src/proto/group/mod.rs", "Session", 28),
    ("stack/src/proto/send/congestion/mod.rs", "Shown", 13),
];

/// Looks at every source of the stack that is no test.
pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    judge(repo, &PLAIN, STILL_OPEN)
}

fn judge(repo: &Repo, plain: &[(&str, &str)], still: &[(&str, &str, usize)]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut stale: Vec<_> = still.iter().collect();
    for (path, text) in repo.rust() {
        let is_plain = plain.iter().any(|(file, _)| *file == path);
        if !path.starts_with(STACK) || is_test(path) || is_plain {
            continue;
        }
        for Type { name, line, open } in types(&source::split(text).code) {
            let listed = still.iter().find(|(file, ty, _)| (*file, *ty) == (path, name.as_str()));
            let allowed = listed.map_or(OPEN, |(_, _, allowed)| *allowed);
            stale.retain(|(file, ty, _)| (*file, *ty) != (path, name.as_str()));
            if open > allowed {
                let why = format!("`{name}` has {open} open fields, at most {allowed}");
                found.push(Finding::new(path, line, why));
            } else if listed.is_some() && open < allowed {
                let now = if open <= OPEN { "nothing".to_owned() } else { open.to_string() };
                let why = format!("`{name}` has {open} open fields: let the list say {now}");
                found.push(Finding::new(path, line, why));
            }
        }
    }
    let gone = |(path, name, _): &&(&str, &str, usize)| {
        Finding::new(path, 1, format!("there is no `{name}` any more: remove it from the list"))
    };
    found.extend(stale.iter().map(gone));
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
        let fields: String = (0..n).map(|n| format!("    pub(crate) f{n}: u8,\n")).collect();
        format!("pub(crate) struct S {{\n{fields}    own: u8,\n}}\n")
    }

    fn found(path: &str, n: usize, still: &[(&str, &str, usize)]) -> Vec<String> {
        let repo = Repo::of(&[(path, &open(n))]);
        let plain = [("stack/src/config.rs", "options")];
        judge(&repo, &plain, still).into_iter().map(|f| f.to_string()).collect()
    }

    #[test]
    fn the_limit_holds_in_the_stack_but_for_plain_data_and_tests() {
        let at = "stack/src/proto/a.rs";
        assert_eq!(found(at, OPEN, &[]), [""; 0]);
        let over = format!("{at}:1: `S` has 13 open fields, at most 12");
        assert_eq!(found(at, OPEN + 1, &[]), [over]);
        for elsewhere in ["stack/src/config.rs", "sim/src/a.rs", "stack/src/a/tests.rs"] {
            assert_eq!(found(elsewhere, OPEN + 1, &[]), [""; 0], "{elsewhere}");
        }
    }

    #[test]
    fn what_is_listed_may_only_shrink() {
        let at = "stack/src/proto/a.rs";
        let still = [(at, "S", 20)];
        assert_eq!(found(at, 20, &still), [""; 0]);
        assert!(found(at, 21, &still)[0].contains("21 open fields, at most 20"));
        assert!(found(at, 19, &still)[0].contains("let the list say 19"));
        assert!(found(at, OPEN, &still)[0].contains("let the list say nothing"));
        assert!(found("stack/src/proto/b.rs", 1, &still)[0].contains("no `S` any more"));
    }
}
