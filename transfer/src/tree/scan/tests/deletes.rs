//! What a walk says for receivers that delete.

use super::*;

fn deletes() -> Options {
    Options { deletes: true, ..ALL }
}

fn walked(dir: &TempDir, sources: &[&str], meanwhile: impl FnOnce()) -> Vec<String> {
    let paths: Vec<_> =
        sources.iter().map(|path| format!("{}/{path}", dir.path().display())).collect();
    let paths: Vec<_> = paths.iter().map(Path::new).collect();
    let walk = Walk::new(&paths, deletes()).unwrap();
    meanwhile();
    let found = shown(walk);
    found.iter().map(|line| line.replace(dir.path().to_str().unwrap(), "")).collect()
}

#[test]
fn folders_that_are_told_whole_are_named_as_such() {
    let dir = tree(&["s/a/x", "s/e/", "t"]);
    let contents = [".", "whole", "a/", "whole", "x", "/", "e/", "whole", "/"];
    assert_eq!(walked(&dir, &["s/"], || {}), contents);
    let named = ["s/", "whole", "a/", "whole", "x", "/", "e/", "whole", "/", "/", "t"];
    assert_eq!(walked(&dir, &["s", "t"], || {}), named);
    // Nothing is said to those who do not ask.
    let found = shown(Walk::new(&[&dir.path().join("s")], ALL).unwrap());
    assert!(!found.contains(&"whole".to_owned()), "{found:?}");
}

#[test]
fn a_folder_that_is_for_nobody_else_is_left_out_by_whatever_name() {
    let dir = tree(&["s/a/x", "s/keys/k", "s/z"]);
    let stamp = Stamp::at(&dir.path().join("s/keys")).unwrap();
    let options = || Options { apart: vec![(stamp.dev, stamp.ino)], ..deletes() };
    let walked = |source: &str| {
        let walk = Walk::new(&[&dir.path().join(source)], options()).unwrap();
        shown(walk)
    };
    assert_eq!(walked("s/."), [".", "whole", "a/", "whole", "x", "/", "keys: Apart", "z"]);
    fs::rename(dir.path().join("s/keys"), dir.path().join("s/a/b")).unwrap();
    let named = ["s/", "whole", "a/", "whole", "s/a/b: Apart", "x", "/", "z", "/"];
    assert_eq!(walked("s"), named);
}

#[test]
fn of_a_list_those_are_whole_of_which_all_names_are_told() {
    let dir = tree(&["a/b/x", "a/y", "z"]);
    for (list, recursive, whole) in
        [("a", false, 0), ("a/", false, 1), ("a/b/x", true, 0), ("a", true, 2), ("./", true, 3)]
    {
        let listed = FilesFrom::parse(list.as_bytes(), false, recursive).unwrap();
        let found = shown(Walk::listed(dir.path(), listed, deletes()).unwrap());
        let count = found.iter().filter(|line| *line == "whole").count();
        assert_eq!(count, whole, "{list} {recursive}: {found:?}");
    }
}

#[test]
fn a_folder_that_a_rule_leaves_out_is_not_whole_if_it_is_on_the_way() {
    let dir = tree(&["a/x", "a/secret", "z"]);
    for (list, recursive) in [("a/\na/x", false), ("a\na/x", true)] {
        let listed = FilesFrom::parse(list.as_bytes(), false, recursive).unwrap();
        let of = |options| shown(Walk::listed(dir.path(), listed.clone(), options).unwrap());
        let filter = without(&["- a"]).filter;
        assert_eq!(of(Options { filter, ..deletes() }), ["a/", "x", "/"], "{list}");
        assert_eq!(of(deletes()), ["a/", "whole", "secret", "x", "/"], "{list}");
    }
}

#[test]
fn another_folder_under_the_name_of_a_source_is_a_doubt() {
    for source in ["s", "s/"] {
        let dir = tree(&["s/x", "other/y"]);
        let swap = || {
            fs::rename(dir.path().join("s"), dir.path().join("moved")).unwrap();
            fs::rename(dir.path().join("other"), dir.path().join("s")).unwrap();
        };
        let found = walked(&dir, &[source], swap);
        let last = found.last().unwrap();
        assert_eq!(last, &format!("doubt: /{source} is another folder by now, or none"));
        // And one that is gone.
        let gone = || fs::remove_dir_all(dir.path().join("s")).unwrap();
        let found = walked(&dir, &[source], gone);
        assert!(found.last().unwrap().ends_with("by now, or none"), "{found:?}");
    }
}

#[test]
fn an_empty_folder_that_a_list_names_is_a_doubt() {
    let dir = tree(&["mnt/disk/", "mnt/other/x", "full/e/", "left/x.o"]);
    for (list, recursive, bare) in [
        ("mnt/disk", true, Some("mnt/disk is empty")),
        ("mnt/other/\nmnt/disk/", false, Some("mnt/disk is empty")),
        ("left", true, Some("left has nothing that is sent")),
        ("mnt/disk", false, None), // nothing in it counts
        ("full", true, None),
        ("full\nfull/e", true, None), // it comes with a folder that is not empty
    ] {
        let mut filter = Filter::default();
        filter.exclude(b"*.o").unwrap();
        let listed = FilesFrom::parse(list.as_bytes(), false, recursive).unwrap();
        let walk = Walk::listed(dir.path(), listed, Options { filter, ..deletes() }).unwrap();
        let found = shown(walk);
        let doubt = bare.map(|bare| format!("doubt: {bare}, as where a disk is not mounted"));
        let told = found.last().filter(|last| last.starts_with("doubt"));
        assert_eq!(told, doubt.as_ref(), "{list} {recursive}: {found:?}");
    }
}

#[test]
fn an_empty_source_is_a_doubt_and_an_empty_folder_in_it_is_none() {
    let dir = tree(&["e/", "s/e/"]);
    for (sources, empty) in [(&["e"][..], "/e"), (&["e/"], "/e/"), (&["s", "e"], "/e")] {
        let found = walked(&dir, sources, || {});
        let doubt = format!("doubt: {empty} is empty, as where a disk is not mounted");
        assert_eq!(found.last(), Some(&doubt));
    }
    assert!(!walked(&dir, &["s"], || {}).iter().any(|line| line.contains("doubt")));
    // Nor does one say anything of which nothing is sent.
    let dir = tree(&["s/lost+found/x", "s/a.o", "t/x"]);
    for (sources, bare) in [(&["s/"][..], Some("/s/")), (&["t", "s"], Some("/s")), (&["t"], None)] {
        let mut filter = Filter::default();
        for rule in [&b"lost+found"[..], b"*.o"] {
            filter.exclude(rule).unwrap();
        }
        let paths: Vec<_> =
            sources.iter().map(|path| format!("{}/{path}", dir.path().display())).collect();
        let paths: Vec<_> = paths.iter().map(Path::new).collect();
        let found = shown(Walk::new(&paths, Options { filter, ..deletes() }).unwrap());
        let doubt = bare.map(|bare| {
            let path = format!("{}{bare}", dir.path().display());
            format!("doubt: {path} has nothing that is sent, as where a disk is not mounted")
        });
        let told = found.last().filter(|last| last.starts_with("doubt"));
        assert_eq!(told, doubt.as_ref(), "{sources:?}");
    }
    let dir = tree(&["e/", "s/e/"]);
    // One that a rule leaves out says nothing of what is in it.
    let mut filter = Filter::default();
    filter.exclude(b"/e").unwrap();
    let sources = ["s", "e"].map(|name| dir.path().join(name));
    let sources = sources.each_ref().map(PathBuf::as_path);
    let found = shown(Walk::new(&sources, Options { filter, ..deletes() }).unwrap());
    assert!(!found.iter().any(|line| line.contains("doubt")), "{found:?}");
}
