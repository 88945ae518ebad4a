use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use transfer::tree::moved::{Moved, bounded};

fn found(path: &str, node: u64, kind: Kind) -> Found {
    let (size, mtime) = if kind == Kind::File { (node * 10, 5) } else { (0, 7) };
    let (ctime, mode, uid, gid) = (1, 0o644, 0, 0);
    let (node, mount) = ((1, node), None);
    Found { path: path.into(), kind, size, mtime, ctime, mode, uid, gid, node, mount }
}

fn entries(tree: &[Found]) -> Vec<Entry> {
    let entry = |(number, found): (u32, &Found)| Entry {
        number,
        found: found.clone(),
        version: 2,
        gone: false,
    };
    (0..).zip(tree).map(entry).collect()
}

/// Pairs, in the order of their names.
fn pairs(told: &[(&Path, &Path)]) -> Vec<(String, String)> {
    let text = |path: &Path| path.display().to_string();
    let mut pairs: Vec<_> = told.iter().map(|(from, to)| (text(from), text(to))).collect();
    pairs.sort();
    pairs
}

fn own(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect()
}

#[test]
fn a_renamed_folder_is_one_pair_whatever_it_holds() {
    use Kind::{Directory, File};
    let old = [
        found("top/a", 1, Directory),
        found("top/a/in", 2, Directory),
        found("top/a/in/f", 3, File),
        found("top/a/g", 4, File),
        found("top/a/h", 5, File),
    ];
    let tree = [
        found("top", 9, Directory),
        found("top/b", 1, Directory),
        found("top/b/in", 2, Directory),
        found("top/b/in/f", 3, File),
        found("top/b/other", 4, File), // renamed as well
        Found { mtime: 6, ..found("top/b/h", 5, File) }, // written to as well
    ];
    let former: Vec<Former> = old.map(|found| Former::new(found, 2)).into();
    assert_eq!(standing(&former, &tree), [true, true, true, true, false]);
    let renames = of(&former, entries(&tree).iter());
    let all = told(&renames, 1, |_| true);
    assert_eq!(pairs(&all), own(&[("top/a", "top/b"), ("top/a/g", "top/b/other")]));
    // Of a folder that is not planned nothing is told, so what it holds is.
    let some = told(&renames, 1, |entry| entry != 1);
    let expected = [("top/a/g", "top/b/other"), ("top/a/in", "top/b/in")];
    assert_eq!(pairs(&some), own(&expected));
    assert!(told(&renames, 2, |_| true).is_empty(), "all of them have had it under its new name");
}

#[test]
fn what_a_folder_holds_follows_from_its_former_name() {
    use Kind::{Directory, File};
    let former = [
        Former::new(found("a", 1, Directory), 2),
        Former::new(found("a/in", 2, Directory), 2),
        Former::new(found("a/in/f", 101, File), 2),
        Former::new(found("a/g", 102, File), 2),
        Former::new(found("a/h", 103, File), 3), // later than the folder
        Former::new(found("a/two", 104, File), 2),
        Former::new(found("x", 105, File), 2),
    ];
    let tree = [
        found("b", 1, Directory),
        found("b/in", 2, Directory),
        found("b/in/f", 101, File),
        found("b/other", 102, File),
        found("b/h", 103, File),
        found("b/two", 104, File),
        found("b/2", 104, File),
        found("y", 105, File),
    ];
    let all = following(&former, &tree);
    assert_eq!(all, [false, true, true, false, false, false, false]);
    // Also where nothing is known of a folder between.
    let some = [former[0].clone(), former[2].clone()];
    assert_eq!(following(&some, &tree), [false, true]);
    let renames = of(&some, entries(&tree).iter());
    assert_eq!(pairs(&told(&renames, 1, |_| true)), own(&[("a", "b")]));
}

#[test]
fn all_former_names_are_told_the_oldest_one_first_and_swaps_are_two() {
    use Kind::{File, Link};
    let former = [
        Former::new(found("b", 1, File), 3),
        Former::new(found("a", 1, File), 2),
        Former::new(found("x", 7, File), 3),
        Former::new(found("y", 8, File), 3),
        Former::new(found("kept", 4, File), 3),
        Former::new(found("link", 5, Link), 3),
        Former::new(found("reused", 6, File), 3),
    ];
    let tree = [
        found("c", 1, File),
        found("x", 8, File),
        found("y", 7, File),
        found("kept", 4, File),
        found("kept too", 4, File), // another name of it
        found("link 2", 5, Link),
        Found { size: 1, ..found("another", 6, File) },
    ];
    assert_eq!(standing(&former, &tree), [true, true, true, true, false, false, false]);
    let renames = of(&former[..4], entries(&tree).iter());
    let all = told(&renames, 0, |_| true);
    assert_eq!(pairs(&all), own(&[("a", "c"), ("b", "c"), ("x", "y"), ("y", "x")]));
    let to_c: Vec<_> = all.iter().filter(|(_, to)| *to == Path::new("c")).collect();
    assert_eq!(to_c[0].0, Path::new("a"));
}

/// Names of a tree: which node each path leads to; those of files are above 100.
type Names = BTreeMap<String, u64>;

/// A folder or file gets another name.
fn rename(names: &Names, from: &str, to: &str) -> Names {
    let below = |path: &str| {
        let rest = path.strip_prefix(from)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| format!("{to}{rest}"))
    };
    let renamed =
        |(path, node): (&String, &u64)| (below(path).unwrap_or_else(|| path.clone()), *node);
    names.iter().map(renamed).collect()
}

fn tree(names: &Names) -> Vec<Found> {
    let kind = |node: u64| if node > 100 { Kind::File } else { Kind::Directory };
    names.iter().map(|(path, node)| found(path, *node, kind(*node))).collect()
}

proptest! {
    /// However often folders and files are renamed, a receiver that has the tree of any revision finds each file of the
    /// newest one by what it is told.
    #[test]
    fn a_receiver_of_any_revision_finds_every_file(
        steps in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4_u32), 1..8),
        at in any::<prop::sample::Index>(),
    ) {
        let begin = ["a", "a/b", "a/b/c", "d", "d/e"].iter().zip(1..).chain(
            ["a/1", "a/b/2", "a/b/c/3", "d/4", "d/e/5", "6"].iter().zip(101..));
        let mut revisions = vec![begin.map(|(path, node)| ((*path).to_owned(), node)).collect::<Names>()];
        let mut former: Vec<Former> = Vec::new();
        for (from, folder, name) in steps {
            let names = revisions.last().unwrap();
            let paths: Vec<&String> = names.keys().collect();
            let folders: Vec<&str> = names.iter().filter(|(_, node)| **node <= 100)
                .map(|(path, _)| path.as_str()).chain([""]).collect();
            let (from, folder) = (paths[from.index(paths.len())].clone(), folders[folder.index(folders.len())]);
            let to = if folder.is_empty() { format!("n{name}") } else { format!("{folder}/n{name}") };
            if names.contains_key(&to) || to.starts_with(&from) {
                continue;
            }
            let next = rename(names, &from, &to);
            let left = u32::try_from(revisions.len()).unwrap() + 1;
            former.extend(tree(names).into_iter()
                .filter(|old| next.get(old.path.to_str().unwrap()) != Some(&old.node.1))
                .map(|old| Former::new(old, left)));
            let stands = standing(&former, &tree(&next));
            former = former.into_iter().zip(stands).filter_map(|(one, stands)| stands.then_some(one)).collect();
            revisions.push(next);
        }
        let (had, now) = (at.index(revisions.len()), revisions.last().unwrap());
        let newest = entries(&tree(now));
        let renames = of(&former, newest.iter());
        let since = u32::try_from(had).unwrap() + 1;
        let all = told(&renames, since, |_| true);
        let bytes = |path: &Path| path.to_str().unwrap().as_bytes().to_vec();
        let mut moved = Moved::default();
        for pair in bounded(all.iter().map(|(from, to)| (bytes(from), bytes(to)))) {
            prop_assert!(moved.add(pair));
        }
        for (path, node) in now.iter().filter(|(_, node)| **node > 100) {
            let has = |path: &str| revisions[had].get(path) == Some(node);
            let before = moved.before(path.as_bytes()).map(|from| String::from_utf8(from).unwrap());
            prop_assert!(has(path) || before.into_iter().any(|from| has(&from)), "{path}");
        }
    }
}
