//! Renames, by device and inode: what stands under another name than before. Receivers that hold it under the former one
//! copy it there, and none of its bytes are sent; they verify it by its digest, so that a file of the same length and
//! time that was given the number of a removed one, or file systems that make numbers up (FAT), cost a reading at most.

use crate::ledger::{Entry, Found, Kind};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// What stood under a name that is free now, or has come to be another file's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// That name.
    pub path: PathBuf,
    /// A file or a directory: nothing else has bytes.
    pub kind: Kind,
    /// Its bytes; of a file.
    pub size: u64,
    /// When its content was changed, in nanoseconds since 1970.
    pub mtime: i64,
    /// Device and inode.
    pub node: (u64, u64),
    /// The revision of the tree since which it does not stand there.
    pub left: u32,
}

impl Former {
    /// What was found there before this revision.
    pub fn new(found: Found, left: u32) -> Self {
        let Found { path, kind, size, mtime, node, .. } = found;
        Self { path, kind, size, mtime, node, left }
    }

    /// Whether it is what was found under another name. A directory may hold something else by now, a file may not.
    fn is(&self, found: &Found) -> bool {
        let same = match found.kind {
            Kind::File => (self.size, self.mtime) == (found.size, found.mtime),
            Kind::Directory => true,
            Kind::Link | Kind::Other => false,
        };
        same && self.kind == found.kind && self.node == found.node && self.path != found.path
    }
}

/// Which of these stand in the tree, under another name than their former one, which is not theirs any more.
pub fn standing(former: &[Former], tree: &[Found]) -> Vec<bool> {
    let mut stands = vec![(false, true); former.len()];
    let by_node = by_node(former);
    for found in tree {
        for at in by_node.get(&found.node).into_iter().flatten() {
            let (one, (moved, free)) = (&former[*at], &mut stands[*at]);
            *moved |= one.is(found);
            *free &= one.path != found.path;
        }
    }
    stands.into_iter().map(|(moved, free)| moved && free).collect()
}

/// A former name of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    /// What it was called.
    pub from: PathBuf,
    /// What it is called.
    pub to: PathBuf,
    /// Its number.
    pub entry: u32,
    /// It is a directory.
    pub directory: bool,
    /// The revision of the tree since which it is not called so any more.
    pub left: u32,
}

/// All former names of the entries that are there.
pub fn of<'a>(former: &[Former], entries: impl Iterator<Item = &'a Entry>) -> Vec<Rename> {
    let by_node = by_node(former);
    let mut all = Vec::new();
    for entry in entries.filter(|entry| !entry.gone && !by_node.is_empty()) {
        let known = by_node.get(&entry.found.node).into_iter().flatten();
        let known = known.map(|at| &former[*at]).filter(|one| one.is(&entry.found));
        all.extend(known.map(|one| Rename {
            from: one.path.clone(),
            to: entry.found.path.clone(),
            entry: entry.number,
            directory: entry.found.kind == Kind::Directory,
            left: one.left,
        }));
    }
    all
}

/// What receivers of a session are told: pairs of former name and name, of the entries that are planned for it, and that
/// have left their former names after the revision of which all these receivers had everything. A receiver may be at any
/// revision since, so all former names are told; the oldest one first, which is that at who is furthest behind.
/// Directories come before files: where there is no room for all they tell the most. What follows from the pair of a
/// directory is left out: it has the same name below that.
pub fn told(
    renames: &[Rename],
    since: u32,
    is_planned: impl Fn(u32) -> bool,
) -> Vec<(&Path, &Path)> {
    let mut planned: Vec<&Rename> =
        renames.iter().filter(|one| one.left > since && is_planned(one.entry)).collect();
    planned.sort_by_key(|one| (!one.directory, one.left));
    let pairs: Vec<(&Path, &Path)> =
        planned.into_iter().map(|one| (one.from.as_path(), one.to.as_path())).collect();
    let known: HashSet<(&Path, &Path)> = pairs.iter().copied().collect();
    pairs.iter().copied().filter(|pair| !follows(*pair, |above| known.contains(&above))).collect()
}

/// Whether a pair follows from that of a folder above: what is below it has the same name there.
fn follows<'a>(
    (mut from, mut to): (&'a Path, &'a Path),
    is_known: impl Fn((&'a Path, &'a Path)) -> bool,
) -> bool {
    while from.file_name() == to.file_name() {
        let Some(above) = from.parent().zip(to.parent()) else { return false };
        if is_known(above) {
            return true;
        }
        (from, to) = above;
    }
    false
}

/// Which of these former names follow from that of a folder, as long as nothing in it gets another name: with the name
/// that the folder has in the tree, and told to as many receivers.
pub fn following(former: &[Former], tree: &[Found]) -> Vec<bool> {
    let by_node = by_node(former);
    let mut pairs = Vec::new();
    for found in tree {
        let known = by_node.get(&found.node).into_iter().flatten();
        let known = known.filter(|at| former[**at].is(found));
        pairs.extend(known.map(|at| (*at, (former[*at].path.as_path(), found.path.as_path()))));
    }
    let folders = pairs.iter().filter(|(at, _)| former[*at].kind == Kind::Directory);
    let folders: HashMap<(&Path, &Path), u32> =
        folders.map(|(at, pair)| (*pair, former[*at].left)).collect();
    // One that stands under several names follows if all of them do.
    let mut all = vec![true; former.len()];
    for (at, pair) in pairs {
        let is_told = |above| folders.get(&above).is_some_and(|left| *left >= former[at].left);
        all[at] &= follows(pair, is_told);
    }
    all
}

fn by_node(former: &[Former]) -> HashMap<(u64, u64), Vec<usize>> {
    let mut all: HashMap<(u64, u64), Vec<usize>> = HashMap::with_capacity(former.len());
    for (at, one) in former.iter().enumerate() {
        all.entry(one.node).or_default().push(at);
    }
    all
}

#[cfg(test)]
mod tests;
