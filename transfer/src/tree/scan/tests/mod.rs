//! Walks over real folders.

mod attrs;
mod deletes;
mod failures;
mod state;

use super::*;
use crate::tree::entry::Kind;
use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const ALL: Options = Options {
    links: true,
    hard_links: true,
    atimes: true,
    owners: false,
    digests: false,
    chmod: Chmod::NONE,
    chown: crate::tree::owners::Chown::NONE,
    devices: false,
    specials: false,
    xattrs: false,
    acls: false,
    filter: Filter::EMPTY,
    apart: Vec::new(),
    one_file_system: false,
    deletes: false,
    empty: false,
};

/// A folder with these files; a name that ends in a slash is a folder. Parents are made.
fn tree(names: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in names {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if name.ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::write(path, name).unwrap();
        }
    }
    dir
}

/// The folder's path with a slash: what it holds is meant.
fn contents(dir: &TempDir) -> PathBuf {
    dir.path().join("")
}

/// The walk over what a folder holds, after what is told of the folder itself.
fn walk(dir: &TempDir, options: Options) -> Walk {
    let mut walk = Walk::new(&[&contents(dir)], options).unwrap();
    assert!(matches!(walk.next(), Some(Found::Root(..))));
    walk
}

/// A line for each: `a/` enters, `/` leaves, `a -> b` is a symbolic link, `a => b` a further name.
fn show(found: &Found) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match found {
        Found::Root(..) => ".".into(),
        Found::Enter(entry, _) => text(&entry.name) + "/",
        Found::Leave => "/".into(),
        Found::Whole => "whole".into(),
        Found::Doubt(why) => format!("doubt: {why}"),
        Found::Item(entry, _) => match &entry.kind {
            Kind::File { .. } => text(&entry.name),
            Kind::Symlink { target } => format!("{} -> {}", text(&entry.name), text(target)),
            Kind::Link { to } => format!("{} => {}", text(&entry.name), text(to)),
            Kind::Special(device) => format!("{}: {device:?}", text(&entry.name)),
            Kind::Dir => panic!("a folder is entered: {entry:?}"),
        },
        Found::Failed { path, error } => format!("{}: {error}", text(path)),
        Found::Skipped { path, what } => format!("{}: {what:?}", text(path)),
    }
}

fn shown(walk: impl Iterator<Item = Found>) -> Vec<String> {
    walk.map(|found| show(&found)).collect()
}

fn given(dir: &TempDir, sources: &[&str]) -> Result<Vec<String>, SourcesError> {
    let paths: Vec<_> = sources.iter().map(|source| dir.path().join(source)).collect();
    let paths: Vec<_> = paths.iter().map(PathBuf::as_path).collect();
    Walk::new(&paths, ALL).map(shown)
}

#[test]
fn entries_come_in_the_order_of_their_bytes_each_within_its_folder() {
    let dir = tree(&["b/z", "b/a/x", "b.c", "b-", "B", "ü", "empty/", "b/a.x"]);
    fs::write(dir.path().join(OsStr::from_bytes(b"\xff\n\xfe")), b"").unwrap();
    let found = shown(walk(&dir, ALL));
    let right = [
        "B",
        "b/",
        "a/",
        "x",
        "/",
        "a.x",
        "z",
        "/",
        "b-",
        "b.c",
        "empty/",
        "/",
        "ü",
        "\u{fffd}\n\u{fffd}",
    ];
    assert_eq!(found, right);
    let last = walk(&dir, ALL).last();
    assert!(matches!(last, Some(Found::Item(entry, _)) if entry.name == b"\xff\n\xfe"));
}

#[test]
fn odd_names_are_names() {
    let long = "x".repeat(255);
    let names = ["#a", "-r", ";a", " a ", "a\\b", "*", "~", "...", ".mcp-1.part", &long];
    let mut right = names.map(String::from);
    right.sort();
    assert_eq!(shown(walk(&tree(&names), ALL)), right);
}

#[test]
fn a_folder_is_given_by_name_and_what_it_holds_by_a_slash() {
    let dir = tree(&["d/x", "d/e/y", "f"]);
    assert_eq!(given(&dir, &["d"]).unwrap(), ["d/", "e/", "y", "/", "x", "/"]);
    for source in ["d/", "d//", "d/.", "d/e/.."] {
        assert_eq!(given(&dir, &[source]).unwrap(), [".", "e/", "y", "/", "x"], "{source}");
    }
    assert_eq!(given(&dir, &["f"]).unwrap(), ["f"]);
    assert_eq!(
        given(&dir, &["f", "d/", "d/e"]).unwrap_err().to_string(),
        format!(
            "{0}/d/e and {0}/d/e would both be called e at the receiver: \
         rename one, or copy them one after the other",
            dir.path().display()
        )
    );
    assert_eq!(
        given(&dir, &["f", "d/e/", "d"]).unwrap(),
        [".", "d/", "e/", "y", "/", "x", "/", "f", "y"]
    );
    assert_eq!(given(&dir, &[]).unwrap(), [""; 0]);
}

#[test]
fn the_roots_own_state_is_that_of_the_first_whose_contents_are_meant() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tree(&["a/x", "b/y"]);
    fs::set_permissions(dir.path().join("b"), fs::Permissions::from_mode(0o2750)).unwrap();
    let paths = ["a", "b/", "a/"].map(|source| dir.path().join(source));
    let mut walk = Walk::new(&paths.each_ref().map(PathBuf::as_path), ALL).unwrap();
    let Some(Found::Root(meta, _)) = walk.next() else { panic!("the root comes first") };
    assert_eq!(meta.mode, 0o2750);
    assert_eq!(shown(walk), ["a/", "x", "/", "x", "y"]);
}

#[test]
fn a_link_that_is_a_source_is_followed_and_no_other() {
    let dir = tree(&["real/x", "file"]);
    symlink("real", dir.path().join("to-folder")).unwrap();
    symlink("file", dir.path().join("to-file")).unwrap();
    symlink("..", dir.path().join("real/up")).unwrap();
    symlink("gone", dir.path().join("broken")).unwrap();
    assert_eq!(
        given(&dir, &["to-folder", "to-file"]).unwrap(),
        ["to-file", "to-folder/", "up -> ..", "x", "/"]
    );
    assert_eq!(given(&dir, &["to-folder/"]).unwrap(), [".", "up -> ..", "x"]);
    assert!(matches!(given(&dir, &["file", "broken"]), Err(SourcesError::Open { .. })));
    assert_eq!(shown(walk(&dir, ALL))[..3], ["broken -> gone", "file", "real/"]);
}

#[test]
fn sources_that_cannot_be_sent_are_told_before_anything_is_walked() {
    let dir = tree(&["a/x", "b/x", "c/y", "f"]);
    let same = given(&dir, &["a/x", "c", "b/x"]).unwrap_err();
    let SourcesError::Same { name, first, second } = &same else { panic!("{same}") };
    let paths = (dir.path().join("a/x"), dir.path().join("b/x"));
    assert_eq!((&name[..], first, second), (&b"x"[..], &paths.0, &paths.1));
    for twice in [["a", "a"], ["a/", "b/"], ["a/", "a/x"], ["b/x", "a/"]] {
        assert!(matches!(given(&dir, &twice), Err(SourcesError::Same { .. })), "{twice:?}");
    }
    let absent = given(&dir, &["f", "absent"]).unwrap_err().to_string();
    assert!(absent.starts_with("cannot open ") && absent.contains("/absent: "), "{absent}");
    assert!(matches!(given(&dir, &["f/"]), Err(SourcesError::Open { .. })));
    assert!(matches!(Walk::new(&[Path::new("")], ALL), Err(SourcesError::Open { .. })));
    let device = Walk::new(&[Path::new("/dev/null")], ALL).unwrap_err().to_string();
    assert!(device.starts_with("/dev/null is a socket, a pipe or a device"), "{device}");
}

#[test]
fn what_is_neither_file_nor_folder_is_left_out_by_name() {
    let dir = tree(&["d/file"]);
    mknodat(CWD, dir.path().join("d/pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let _socket = UnixListener::bind(dir.path().join("d/socket")).unwrap();
    symlink("file", dir.path().join("d/link")).unwrap();
    let right = ["d/", "file", "d/link: Symlink", "d/pipe: Special", "d/socket: Special", "/"];
    assert_eq!(shown(walk(&dir, Options::default())), right);
    let kept = shown(walk(&dir, Options { links: true, ..Options::default() }));
    assert_eq!(kept[2], "link -> file");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_entry_comes_once(names in prop::collection::vec("[ab]{1,2}(/[ab.]c){0,3}", 0..30)) {
        let dir = tempfile::tempdir().unwrap();
        for name in &names {
            // Some are in the way of others.
            let path = dir.path().join(name);
            let _ = fs::create_dir_all(path.parent().unwrap()).and_then(|()| fs::write(path, b""));
        }
        let (mut at, mut found) = (Vec::new(), Vec::new());
        for item in walk(&dir, ALL) {
            match item {
                Found::Enter(entry, _) => {
                    at.push(String::from_utf8(entry.name).unwrap());
                    found.push(at.join("/") + "/");
                }
                Found::Leave => prop_assert!(at.pop().is_some()),
                Found::Item(entry, _) => {
                    at.push(String::from_utf8(entry.name).unwrap());
                    found.push(at.join("/"));
                    at.pop();
                }
                other => prop_assert!(false, "{}", show(&other)),
            }
        }
        prop_assert_eq!(at, [""; 0]);
        let mut right = Vec::new();
        collect(dir.path(), "", &mut right);
        prop_assert_eq!(found, right);
    }
}

/// All below a folder by the standard library, folders with a slash.
fn collect(dir: &Path, above: &str, into: &mut Vec<String>) {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for name in names {
        let path = dir.join(&name);
        let is_dir = path.is_dir();
        let name = format!("{above}{name}{}", if is_dir { "/" } else { "" });
        into.push(name.clone());
        if is_dir {
            collect(&path, &name, into);
        }
    }
}

/// All, with what these rules leave out.
fn without(rules: &[&str]) -> Options {
    let mut filter = Filter::EMPTY;
    for rule in rules {
        filter.rule(rule.as_bytes(), false, &|_| unreachable!("no rule names a file")).unwrap();
    }
    Options { filter, ..ALL }
}

#[test]
fn what_a_rule_leaves_out_is_not_looked_at() {
    let dir = tree(&["a/x.o", "a/x.c", "b/x.c", "cache/big", "x.o", "y/cache"]);
    let _socket = UnixListener::bind(dir.path().join("socket.o")).unwrap();
    let found = shown(walk(&dir, without(&["- *.o", "- cache/", "- /b"])));
    let left = |path: &str| format!("{path}: ByRule");
    assert_eq!(
        found,
        [
            "a/".to_owned(),
            "x.c".to_owned(),
            left("a/x.o"),
            "/".to_owned(),
            left("b"),
            left("cache"),
            left("socket.o"),
            left("x.o"),
            "y/".to_owned(),
            "cache".to_owned(),
            "/".to_owned(),
        ]
    );
    // What fails when it is looked at does not, if it is left out.
    let folders: PathBuf = std::iter::repeat_n("d", MAX_FOLDERS + 1).collect();
    fs::create_dir_all(dir.path().join(folders)).unwrap();
    let fails = |options| walk(&dir, options).any(|found| matches!(found, Found::Failed { .. }));
    assert!(fails(ALL) && !fails(without(&["- d"])));
}

#[test]
fn a_source_that_a_rule_leaves_out_is_told() {
    let dir = tree(&["s/x", "s/y", "f"]);
    let of = |sources: &[&str], rules: &[&str]| {
        let paths: Vec<_> = sources.iter().map(|source| dir.path().join(source)).collect();
        let paths: Vec<_> = paths.iter().map(PathBuf::as_path).collect();
        shown(Walk::new(&paths, without(rules)).unwrap())
    };
    assert_eq!(of(&["s", "f"], &["- *"]), ["f: SourceByRule", "s: SourceByRule"]);
    assert_eq!(of(&["s/"], &["- *"]), [".", "x: ByRule", "y: ByRule"]);
    // Paths begin with the name of what was given.
    assert_eq!(of(&["s"], &["- /s/x"]), ["s/", "x: ByRule".replace('x', "s/x").as_str(), "y", "/"]);
    assert_eq!(of(&["s/"], &["- /s/x"]), [".", "x", "y"]);
    // A link that is followed is what it leads to.
    symlink("s", dir.path().join("link")).unwrap();
    assert_eq!(of(&["link"], &["- link/"]), ["link: SourceByRule"]);
}

#[test]
fn of_a_folder_only_what_is_listed_is_sent() {
    let dir = tree(&["dir/f", "dir/sub/g", "p/q/x", "p/q/y", "p/r", "top", "other/"]);
    symlink("p", dir.path().join("link")).unwrap();
    let of = |list: &str, recursive, rules: &[&str]| {
        let listed = FilesFrom::parse(list.as_bytes(), false, recursive).unwrap();
        shown(Walk::listed(dir.path(), listed, without(rules)).unwrap())
    };
    assert_eq!(of("dir\np/q/x", false, &[]), ["dir/", "/", "p/", "q/", "x", "/", "/"]);
    assert_eq!(of("dir/", false, &[]), ["dir/", "f", "sub/", "/", "/"]);
    assert_eq!(of("dir", true, &[]), ["dir/", "f", "sub/", "g", "/", "/"]);
    assert_eq!(of("", false, &[]), [""; 0]);
    let all = [".", "dir/", "/", "link -> p", "other/", "/", "p/", "/", "top"];
    assert_eq!(of("./", false, &[]), all);
    // What is listed can be left out by a rule; the folders above it are not.
    assert_eq!(
        of("top\np/q/x", false, &["- top", "- p/"]),
        ["p/", "q/", "x", "/", "/", "top: ByRule"]
    );
    let both = of("p\np/q/x", false, &["- p"]);
    assert_eq!(both, ["p/", "q/", "x", "/", "/"], "listed itself, and on the way");
    // What stands in it is not taken with it then, by name or by -r.
    for (list, recursive) in [("p/\np/r", false), ("p\np/r", true), ("dir/../p/\np/r", false)] {
        let list = list.replace("dir/../", "./");
        let found = of(&list, recursive, &["- p"]);
        let root = found.iter().take_while(|line| *line == ".").count();
        let below: Vec<_> = found[root..].iter().map(String::as_str).collect();
        assert_eq!(below, ["p/", "r", "/"], "{list} {recursive}");
    }
    // Further down it is the same: `q` is below what -r takes, and on the way.
    assert_eq!(
        of("p\np/q/x", true, &["- q"]),
        ["p/", "q/", "x", "/", "r", "/"],
        "on the way in what -r takes"
    );
    let (missing, no_folder) = (ScanError::Missing, ScanError::NoFolder);
    assert_eq!(
        of("none\nnone/x\ntop\ntop/x\nlink/q/x\np/none/x", false, &[]),
        [
            format!("link: {no_folder}"),
            format!("none: {missing}"),
            "p/".into(),
            format!("p/none: {missing}"),
            "/".into(),
            "top".into(),
            format!("top: {no_folder}"),
        ]
    );
}
