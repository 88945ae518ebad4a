//! A list of what is sent of a folder, as `--files-from` gives it.
//!
//! The rules are rsync(1)'s: a path that is listed is sent with the folders above it; of a folder that is listed
//! only itself, with a `/` behind it also what stands in it, and with `-r` all below it.

use crate::tree::scan::PATH_MAX;
use core::ops::Range;
use std::sync::Arc;
use thiserror::Error;

/// What of an entry is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Take {
    /// Itself.
    Itself,
    /// And what stands in it, of that again itself.
    Children,
    /// And all below it.
    All,
}

/// Paths below a folder, each with what is sent of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FilesFrom {
    /// In the order of a walk: by components. Shared: a list may be as long as the memory that it is read into.
    picks: Arc<[(Box<[u8]>, Take)]>,
}

/// What a list says of one folder, or of what stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// `None`: only something below it is listed.
    take: Option<Take>,
    /// It is listed itself.
    listed: bool,
    /// What is listed below it.
    below: Range<usize>,
    /// Bytes of its path, with the slash behind it.
    above: usize,
}

/// A line of a list that is no path below the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("line {line}: {why}")]
pub struct FilesFromError {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub why: &'static str,
}

impl FilesFrom {
    /// Reads a list: a path a line, or each up to a zero byte if `from0`. `recursive`: of folders all is sent.
    ///
    /// Lines that begin with `#` or `;` are comments, and a carriage return at a line's end belongs to it.
    pub fn parse(text: &[u8], from0: bool, recursive: bool) -> Result<Self, FilesFromError> {
        let end = if from0 { b'\0' } else { b'\n' };
        let mut picks = Vec::new();
        for (number, line) in text.split(|byte| *byte == end).enumerate() {
            let line = if from0 { line } else { line.strip_suffix(b"\r").unwrap_or(line) };
            if matches!(line, [] | [b'#' | b';', ..]) {
                continue;
            }
            let pick = pick(line, recursive);
            picks.push(pick.map_err(|why| FilesFromError { line: number + 1, why })?);
            // As find(1) tells paths: the folder that they are below is one of those above what is listed.
            if line.starts_with(b"./") {
                picks.push((Box::default(), Take::Itself));
            }
        }
        // Of a path that is listed twice what is sent more of comes first, and stays.
        picks.sort_unstable_by(|(a, takes_a), (b, takes_b)| {
            by_component(a).cmp(by_component(b)).then(takes_b.cmp(takes_a))
        });
        picks.dedup_by(|later, first| later.0 == first.0);
        Ok(Self { picks: picks.into() })
    }

    /// Of these paths themselves alone, whatever their names are, with the folders above them; an empty one is the folder
    /// that they are below. A path that has `..` in it, or is too long, is left out.
    pub fn of<'a>(paths: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let below = |path: &&[u8]| pick(path, false).is_ok();
        let paths = paths.into_iter().filter(below);
        let mut picks: Vec<_> = paths.map(|path| (Box::from(path), Take::Itself)).collect();
        picks.sort_unstable_by(|(a, _), (b, _)| by_component(a).cmp(by_component(b)));
        picks.dedup();
        Self { picks: picks.into() }
    }

    /// Whether what stands in the folder itself is sent, listed or not.
    pub fn takes_root(&self) -> bool {
        self.root().takes_all_names()
    }

    /// Of the folder that all of them are below.
    pub(super) fn root(&self) -> Part {
        let itself = self.picks.first().filter(|(path, _)| path.is_empty());
        let begin = usize::from(itself.is_some());
        let (take, listed) = (itself.map(|(_, take)| *take), itself.is_some());
        Part { take, listed, below: begin..self.picks.len(), above: 0 }
    }

    /// Of what is called so in a folder of which it says `part`.
    pub(super) fn child(&self, part: &Part, name: &[u8]) -> Part {
        let picks = &self.picks[part.below.clone()];
        let own = |(path, _): &(Box<[u8]>, Take)| component(&path[part.above..]).cmp(name);
        let begin = part.below.start + picks.partition_point(|pick| own(pick).is_lt());
        let end = part.below.start + picks.partition_point(|pick| own(pick).is_le());
        let exact = self.picks[begin..end].first();
        let exact = exact.filter(|(path, _)| path[part.above..] == *name).map(|(_, take)| *take);
        let inherited = match part.take {
            Some(Take::All) => Some(Take::All),
            Some(Take::Children) => Some(Take::Itself),
            Some(Take::Itself) | None => None,
        };
        Part {
            take: exact.max(inherited),
            listed: exact.is_some(),
            below: begin + usize::from(exact.is_some())..end,
            above: part.above + name.len() + 1,
        }
    }

    /// What is listed in a folder, each name once, in the order of a walk by components.
    pub(super) fn names(&self, part: &Part) -> impl Iterator<Item = &[u8]> {
        let mut last = None;
        let names = self.picks[part.below.clone()].iter();
        names.filter_map(move |(path, _)| {
            let name = component(&path[part.above..]);
            (last.replace(name) != Some(name)).then_some(name)
        })
    }
}

impl Part {
    /// Whether it is sent for something below it alone.
    pub(super) fn is_on_the_way(&self) -> bool {
        self.take.is_none()
    }

    /// The same of what a rule leaves out: it is sent for what is listed below it alone.
    pub(super) fn on_the_way(self) -> Self {
        Self { take: None, ..self }
    }

    /// Whether it is listed itself.
    pub(super) fn is_listed(&self) -> bool {
        self.listed
    }

    /// Whether what stands in it is sent, listed or not.
    pub(super) fn takes_all_names(&self) -> bool {
        self.take >= Some(Take::Children)
    }

    /// Whether anything below it is listed.
    pub(super) fn has_more(&self) -> bool {
        !self.below.is_empty()
    }
}

/// A path as it is compared: components first, since no name has a zero byte.
fn by_component(path: &[u8]) -> impl Iterator<Item = u8> {
    path.iter().map(|byte| if *byte == b'/' { 0 } else { *byte })
}

fn component(path: &[u8]) -> &[u8] {
    path.split(|byte| *byte == b'/').next().unwrap_or_default()
}

fn pick(line: &[u8], recursive: bool) -> Result<(Box<[u8]>, Take), &'static str> {
    let mut parts = Vec::new();
    for part in line.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err("a path with .. may lead out of the folder"),
            part => parts.push(part),
        }
    }
    let path = parts.join(&b'/');
    if path.len() > PATH_MAX {
        return Err("the path is longer than 4096 bytes");
    }
    let take = match line {
        _ if recursive => Take::All,
        [.., b'/'] | b"." | [.., b'/', b'.'] => Take::Children,
        _ => Take::Itself,
    };
    Ok((path.into(), take))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All paths that would be sent, of a tree that has every path of two letters to a depth of three.
    fn taken(list: &str, recursive: bool) -> Vec<String> {
        fn walk(listed: &FilesFrom, part: &Part, path: &str, taken: &mut Vec<String>) {
            let depth = path.split('/').count();
            let mut names: Vec<&[u8]> = listed.names(part).collect();
            if part.takes_all_names() && depth < 4 {
                names.extend([&b"a"[..], b"b"]);
            }
            names.sort_unstable();
            names.dedup();
            for name in names {
                let path = format!("{path}/{}", str::from_utf8(name).unwrap());
                let part = listed.child(part, name);
                taken.push(path.clone());
                walk(listed, &part, &path, taken);
            }
        }
        let listed = FilesFrom::parse(list.as_bytes(), false, recursive).unwrap();
        let mut taken = Vec::new();
        walk(&listed, &listed.root(), "", &mut taken);
        taken
    }

    #[test]
    fn of_a_folder_as_much_is_sent_as_the_list_says() {
        assert_eq!(taken("a", false), ["/a"]);
        assert_eq!(taken("a/", false), ["/a", "/a/a", "/a/b"]);
        assert_eq!(taken("b/a", false), ["/b", "/b/a"]);
        assert_eq!(taken(".", false), ["/a", "/b"]);
        assert_eq!(taken("a", true).len(), 1 + 2 + 4);
        assert_eq!(
            taken("a/\na/c/x\na-\n", false),
            ["/a", "/a/a", "/a/b", "/a/c", "/a/c/x", "/a-"]
        );
        // The same path more than once: the most counts.
        assert_eq!(taken("a\na/\na", false), ["/a", "/a/a", "/a/b"]);
        assert_eq!(
            taken("/a//./b/../x\n".replace("/..", "").as_str(), false),
            ["/a", "/a/b", "/a/b/x"]
        );
        assert_eq!(taken("# a\n;b\n\n./#a\na \r\n", false), ["/#a", "/a "]);
    }

    #[test]
    fn the_folder_itself_is_sent_with_what_begins_with_a_point() {
        let sent = |list: &[u8]| {
            let root = FilesFrom::parse(list, false, false).unwrap().root();
            (!root.is_on_the_way(), root.takes_all_names())
        };
        assert_eq!(sent(b"a\na/./b\n.a\n"), (false, false));
        assert_eq!(sent(b"a\n./b\n"), (true, false));
        assert_eq!(sent(b"./b\n./\n"), (true, true));
        assert_eq!(taken("./b\na", false), ["/a", "/b"]);
    }

    #[test]
    fn of_paths_themselves_no_name_means_anything_else() {
        let paths = [&b"a/b"[..], b"#c", b"", b"a/b", b"../x", b";\n"];
        let listed = FilesFrom::of(paths);
        let root = listed.root();
        assert!(!root.is_on_the_way() && !root.takes_all_names());
        assert_eq!(listed.names(&root).collect::<Vec<_>>(), [&b"#c"[..], b";\n", b"a"]);
        let below = listed.child(&root, b"a");
        assert!(below.is_on_the_way() && listed.names(&below).eq([b"b"]));
        assert!(!listed.child(&below, b"b").takes_all_names());
    }

    #[test]
    fn lines_that_are_no_paths_are_told() {
        let wrong = |text: &[u8]| FilesFrom::parse(text, false, false).unwrap_err().line;
        assert_eq!(wrong(b"a\n\n../b"), 3);
        assert_eq!(wrong(b"a/../b"), 1);
        assert_eq!(wrong(&vec![b'x'; 4097]), 1);
        let zeros = FilesFrom::parse(b"a\nb\0c\r\0", true, false).unwrap();
        assert_eq!(zeros.names(&zeros.root()).collect::<Vec<_>>(), [&b"a\nb"[..], b"c\r"]);
    }
}
