//! What a rule's pattern matches: rsync(1), "PATTERN MATCHING RULES".

use super::glob::Glob;
use super::steps::Steps;

/// A pattern over paths from the root of the transfer.
///
/// - A `/` at its begin ties it to the root. Else it matches at the end of a path, of so many components as it has.
/// - Without a `/` within it and without `**` it is looked for in the last component alone.
/// - A `/` at its end lets it match folders only.
/// - `/***` at its end means the folder and all below it, `/**` all below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    folders_only: bool,
    place: Place,
    what: What,
    /// It ends in `***`: a folder is looked at as if its path ended in `/`.
    folders_end_in_slash: bool,
}

/// Bytes of a path that are looked through in the time of a wildcard's step.
const PER_STEP: u64 = 16;

/// Which part of a path has to match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// All of it.
    Whole,
    /// All of it, behind a `/`: the pattern begins with `**`, which may take that.
    WholeBehindSlash,
    /// The last components of it, so many.
    Last(usize),
    /// All of it, or what is behind any of its `/`.
    Anywhere,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Bytes(Box<[u8]>),
    Glob(Glob),
}

impl Pattern {
    /// Every sequence of bytes is a pattern.
    pub(super) fn new(text: &[u8]) -> Self {
        let wild = Glob::has_wildcards(text);
        let stars = wild && text.windows(2).any(|two| two == b"**");
        let starts_with_stars = wild && text.starts_with(b"**");
        let (folders_only, pattern) = match text {
            [pattern @ .., b'/'] if !pattern.is_empty() => (true, pattern),
            pattern => (false, pattern),
        };
        let folders_end_in_slash = stars && pattern.ends_with(b"***");
        let (place, pattern) = match pattern {
            [b'/', pattern @ ..] => (Place::Whole, pattern),
            pattern if starts_with_stars => (Place::WholeBehindSlash, pattern),
            pattern if stars => (Place::Anywhere, pattern),
            pattern => (Place::Last(components(pattern)), pattern),
        };
        let what = if wild { What::Glob(Glob::new(pattern)) } else { What::Bytes(pattern.into()) };
        Self { folders_only, place, what, folders_end_in_slash }
    }

    /// Whether it matches the entry at this path, which begins and ends without `/`. Once the steps are used up it says
    /// nothing.
    pub(super) fn matches(&self, path: &[u8], folder: bool, steps: &Steps) -> bool {
        steps.take(1 + path.len() as u64 / PER_STEP);
        if self.folders_only && !folder {
            return false;
        }
        let slash = self.folders_end_in_slash && folder;
        match self.place {
            Place::Whole => self.is(b"", path, slash, steps),
            Place::WholeBehindSlash => self.is(b"/", path, slash, steps),
            Place::Last(count) => {
                last(path, count).is_some_and(|path| self.is(b"", path, slash, steps))
            }
            Place::Anywhere => {
                let behind = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
                let begins = core::iter::once(0).chain(behind.map(|(at, _)| at + 1));
                begins.into_iter().any(|begin| self.is(b"", &path[begin..], slash, steps))
            }
        }
    }

    fn is(&self, before: &'static [u8], path: &[u8], slash: bool, steps: &Steps) -> bool {
        match &self.what {
            What::Bytes(bytes) => **bytes == *path,
            What::Glob(glob) => {
                let end = if slash { &b"/"[..] } else { b"" };
                glob.matches(before.iter().chain(path).chain(end).copied(), steps)
            }
        }
    }
}

fn components(path: &[u8]) -> usize {
    path.split(|byte| *byte == b'/').count()
}

/// So many components from the end of a path, if it has them.
fn last(path: &[u8], count: usize) -> Option<&[u8]> {
    let Some(before) = components(path).checked_sub(count)?.checked_sub(1) else {
        return Some(path);
    };
    let mut slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.nth(before).map(|(at, _)| &path[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(pattern: &str, path: &str) -> bool {
        match path.strip_suffix('/') {
            Some(path) => {
                Pattern::new(pattern.as_bytes()).matches(path.as_bytes(), true, &Steps::endless())
            }
            None => {
                Pattern::new(pattern.as_bytes()).matches(path.as_bytes(), false, &Steps::endless())
            }
        }
    }

    /// What rsync 3.2.7 and 3.5.0 did.
    #[test]
    fn patterns_match_where_they_say() {
        for (pattern, path) in [
            ("x", "x"),
            ("x", "a/b/x"),
            ("/x", "x"),
            ("a/x", "a/x"),
            ("a/x", "b/a/x"),
            ("x/", "a/x/"),
            ("/a*x", "abx"),
            ("a**x", "a/x"),
            ("*/x", "a/x"),
            ("*/x", "a/b/x"),
            ("a/*x", "a/x"),
            ("/a/*/x", "a/b/x"),
            ("**x", "ax"),
            ("**x", "a/b/qx"),
            ("**/x", "x"),
            ("**/x", "a/x"),
            ("**/x", "a/b/x"),
            ("/**/x", "a/x"),
            ("/**/x", "a/b/x"),
            ("/a/**", "a/b/c"),
            ("/a/***", "a/"),
            ("/a/***", "a/b/c"),
            ("a/***", "q/a/"),
            ("*/***/", "q/a/"),
            ("a/**", "c/a/x"),
            (r"a\b", r"a\b"),
            (r"a\*", "a*"),
            ("*", ".x"),
            ("foo/bar", "q/foo/bar"),
        ] {
            assert!(is(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("x", "ax"),
            ("/x", "a/x"),
            ("a/x", "ba/x"),
            ("x/", "x"),
            ("/a*x", "a/x"),
            ("a/*x", "a/b/x"),
            ("/a/*/x", "a/x"),
            ("/a/*/x", "q/a/b/x"),
            ("**/x", "qx"),
            ("/**/x", "x"),
            ("/**/x", "qx"),
            ("/a/**", "a/"),
            ("/a/***", "b/"),
            ("/", "a"),
            ("foo/bar", "bar"),
        ] {
            assert!(!is(pattern, path), "{pattern} {path}");
        }
    }
}
