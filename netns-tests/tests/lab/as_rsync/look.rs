//! What stands somewhere, entry by entry, and in what two such places differ.

use super::grow::BASE;
use super::text::shown;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Values by their aspects: kind, mode, time, content, target, owner, names.
type Aspects = BTreeMap<&'static str, String>;

/// What stands in a folder, itself as `.` among it, by path.
pub(super) type Tree = BTreeMap<String, Aspects>;

/// Times from here on are those of a copy; seconds since the base, some day in 2020.
const COPIED: i64 = 600_000_000;

/// Looks at all that stands in a folder.
pub(super) fn look(root: &Path) -> Tree {
    let (mut tree, mut open) = (Tree::new(), vec![root.to_owned()]);
    let mut names: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    while let Some(path) = open.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let below = shown(path.strip_prefix(root).unwrap().as_os_str().as_bytes());
        let name = if below.is_empty() { ".".to_owned() } else { below };
        let seconds = meta.mtime() - BASE;
        let time = if seconds >= COPIED {
            "copied".to_owned()
        } else {
            format!("{seconds}.{:09}", meta.mtime_nsec())
        };
        let owner = format!("{}:{}", meta.uid(), meta.gid());
        let mut aspects = Aspects::from([("time", time), ("owner", owner)]);
        if meta.is_symlink() {
            let target = fs::read_link(&path).unwrap();
            aspects.insert("target", shown(target.as_os_str().as_bytes()));
        } else {
            aspects.insert("mode", format!("{:04o}", meta.mode() & 0o7777));
        }
        let kind = match meta.file_type() {
            kind if kind.is_dir() => {
                open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                "folder"
            }
            kind if kind.is_symlink() => "link",
            kind if kind.is_file() => {
                aspects.insert("content", shown(&fs::read(&path).unwrap()));
                "file"
            }
            _ => "special",
        };
        aspects.insert("kind", kind.to_owned());
        if !meta.is_dir() {
            names.entry(meta.ino()).or_default().push(name.clone());
        }
        tree.insert(name, aspects);
    }
    for mut group in names.into_values() {
        group.sort();
        for name in &group {
            tree.get_mut(name).unwrap().insert("names", group.join(","));
        }
    }
    tree
}

/// In what our tree differs from rsync's, as a case has it.
pub(super) fn differences(rsync: &Tree, ours: &Tree) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (name, aspects) in rsync {
        let Some(own) = ours.get(name) else {
            all.insert(format!("- {name} {}", aspects["kind"]));
            continue;
        };
        let keys: BTreeSet<&str> = aspects.keys().chain(own.keys()).copied().collect();
        for key in keys.into_iter().filter(|key| aspects.get(key) != own.get(key)) {
            let value = own.get(key).map_or("none", String::as_str);
            all.insert(format!("~ {name} {key} {value}"));
        }
    }
    let more = ours.iter().filter(|(name, _)| !rsync.contains_key(*name));
    all.extend(more.map(|(name, aspects)| format!("+ {name} {}", aspects["kind"])));
    all
}
