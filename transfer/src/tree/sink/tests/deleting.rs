//! What of a folder goes that the list does not have.

use super::*;
use crate::destination::Root;
use crate::limits::Limits;
use crate::message::{Delete, Offer};
use crate::place::folding::{Ask, Folds};
use crate::tree::below::Below as OnDisk;
use crate::tree::below::tests::holder;

fn entry(name: &str, kind: Kind) -> Found {
    Found::Entry(Entry { name: name.into(), meta: Meta { mode: 0o755, ..Meta::default() }, kind })
}

fn link(name: &str) -> Found {
    entry(name, Kind::Symlink { target: b"x".to_vec() })
}

/// What became of it, what was told of it, and what could not be deleted.
type Ended = (Report, Vec<String>, Vec<(Vec<u8>, Why)>);

/// Copies what was found into `in`, where names fold as it is said, or not.
fn copied(
    to: &std::path::Path,
    found: Vec<Found>,
    folds: Folds,
    word: Option<Result<u64, String>>,
) -> Ended {
    copied_beside(to, found, (folds, word), &Limits::default())
}

/// The same where others may be writing.
fn copied_beside(
    to: &std::path::Path,
    found: Vec<Found>,
    (folds, word): (Folds, Option<Result<u64, String>>),
    limits: &Limits,
) -> Ended {
    let listed = listed(to, found);
    let root = Root::open(to).unwrap();
    let offer = Offer { to: "in".into(), ..Offer::default() };
    let ask = match folds {
        Folds::Nothing => Ask { folds: |_, _| Some(Folds::Nothing), ..Ask::SYSTEM },
        Folds::ByInode => Ask { folds: |_, _| Some(Folds::ByInode), ..Ask::SYSTEM },
        Folds::ByLook => Ask { folds: |_, _| None, ..Ask::SYSTEM },
    };
    let below = OnDisk::new(&root, &offer, limits, (holder(), &|| false)).unwrap();
    let sink = TreeSink::new(below.folding(ask), false);
    let mut sink = sink.deleting(Some(Delete::default()), true);
    carry(&listed, &mut sink, |_| {}).unwrap();
    if let Some(word) = word {
        sink.extras(word).unwrap();
    }
    let report = sink.finish().unwrap();
    (report, sink.notes(), sink.undeleted())
}

fn stands(to: &std::path::Path) -> Vec<String> {
    let names = fs::read_dir(to.join("in")).unwrap();
    let mut names: Vec<_> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn with(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("in")).unwrap();
    for name in files {
        fs::write(dir.path().join("in").join(name), name).unwrap();
    }
    dir
}

#[test]
fn only_after_the_senders_word_and_only_where_the_list_is_whole() {
    let lists = || [vec![Found::Whole, link("b")], vec![link("b")]];
    for (whole, (word, gone)) in [
        (true, (Some(Ok(0)), 2)),
        (true, (Some(Ok(1)), 0)), // a rule is missing
        (true, (Some(Err("the source is empty".to_owned())), 0)),
        (true, (None, 0)),
        (false, (Some(Ok(0)), 0)),
    ] {
        let to = with(&["a", "b", "c"]);
        let found = lists().into_iter().nth(usize::from(!whole)).unwrap();
        let (report, notes, undeleted) = copied(to.path(), found, Folds::Nothing, word.clone());
        assert_eq!((report.deleted, report.undeleted, undeleted.len()), (gone, 0, 0), "{word:?}");
        assert_eq!(stands(to.path()).len(), 3 - gone as usize, "{word:?}");
        let is_told = whole && gone == 0;
        let told = notes.iter().filter(|note| note.starts_with("nothing is deleted: ")).count();
        assert_eq!(told, usize::from(is_told), "{notes:?}");
    }
}

#[test]
fn nothing_is_deleted_while_another_session_writes_below_the_folder() {
    let (to, limits) = (with(&["a", "b", "c"]), Limits::default());
    let root = Root::open(to.path()).unwrap();
    fs::create_dir(to.path().join("in/deep")).unwrap();
    for (folder, kept) in [("in/deep", true), ("", true), ("elsewhere", false)] {
        let offer = Offer { to: folder.into(), ..Offer::default() };
        let other = OnDisk::new(&root, &offer, &limits, (holder(), &|| false)).unwrap();
        let found = || vec![Found::Whole, link("b")];
        let how = || (Folds::Nothing, Some(Ok(0)));
        let (report, notes, _) = copied_beside(to.path(), found(), how(), &limits);
        let why = "nothing is deleted: another session is writing below this folder";
        assert_eq!(notes, if kept { vec![why.to_owned()] } else { vec![] }, "{folder}");
        assert_eq!(report.deleted, if kept { 0 } else { 3 }, "{folder}");
        drop(other);
    }
}

/// By whichever spelling it stands there: it was just put there.
#[test]
fn another_spelling_of_what_was_listed_is_not_deleted() {
    let to = with(&["extra"]);
    // What folds here has one inode by each of its spellings, as on a file system that does.
    fs::write(to.path().join("in/READ"), "").unwrap();
    fs::hard_link(to.path().join("in/READ"), to.path().join("in/other")).unwrap();
    let found = vec![Found::Whole, Found::Other(b"READ".to_vec())];
    let (report, _, _) = copied(to.path(), found, Folds::ByInode, Some(Ok(0)));
    assert_eq!((report.deleted, stands(to.path())), (1, vec!["READ".into(), "other".into()]));
    let found = vec![Found::Whole, Found::Other(b"READ".to_vec())];
    let (report, _, _) = copied(to.path(), found, Folds::Nothing, Some(Ok(0)));
    assert_eq!((report.deleted, stands(to.path())), (1, vec!["READ".into()]));
    // Where that cannot be told nothing goes.
    let to = with(&["extra"]);
    let found = vec![Found::Whole, Found::Other(b"READ".to_vec())];
    let (report, notes, _) = copied(to.path(), found, Folds::ByLook, Some(Ok(0)));
    assert_eq!((report.deleted, stands(to.path()).len()), (0, 1));
    assert!(notes[0].contains("folds names"), "{notes:?}");
}

/// Nothing is deleted by a list of which the end is not known to be one.
#[test]
fn a_list_in_disorder_deletes_nothing() {
    for found in [
        vec![Found::Whole, Found::Other(b"c".to_vec()), Found::Other(b"b".to_vec())],
        vec![Found::Other(b"b".to_vec()), Found::Whole],
        vec![Found::Whole, Found::Other(b"b".to_vec()), Found::Other(b"b".to_vec())],
    ] {
        let to = with(&["a", "b", "c"]);
        let (report, _, undeleted) = copied(to.path(), found, Folds::Nothing, Some(Ok(0)));
        assert_eq!((report.deleted, stands(to.path()).len()), (0, 3));
        assert!(undeleted[0].0.is_empty(), "{undeleted:?}");
        assert!(undeleted[0].1.starts_with("the list cannot be read again"), "{undeleted:?}");
    }
}

#[test]
fn what_is_said_where_nothing_is_to_be_deleted_is_an_error() {
    let mut sink = TreeSink::new(Map::default(), false);
    assert!(matches!(sink.rules(Vec::new()), Err(SinkError::Protocol(_))));
    assert!(matches!(sink.extras(Ok(0)), Err(SinkError::Protocol(_))));
    let mut sink = sink.deleting(Some(Delete::default()), true);
    sink.extras(Ok(0)).unwrap();
    assert!(matches!(sink.extras(Ok(0)), Err(SinkError::Protocol(_))));
}

/// More names than a part has, in folders one in the other: what stands there beside them goes, and nothing else.
#[test]
fn a_list_of_many_parts_is_read_again_as_one() {
    let to = with(&["0", "zz"]);
    let name = |n: u32| format!("m{n:05}");
    let mut found = vec![Found::Whole];
    fs::create_dir(to.path().join("in/deep")).unwrap();
    fs::write(to.path().join("in/deep/extra"), "").unwrap();
    found.extend([entry("deep", Kind::Dir), Found::Whole]);
    found.extend((0..9000).map(|n| link(&name(n))));
    found.push(Found::Leave);
    found.extend((0..9000).map(|n| link(&name(n))));
    let (report, notes, _) = copied(to.path(), found, Folds::Nothing, Some(Ok(0)));
    assert_eq!((report.deleted, report.failed, notes.len()), (3, 0, 0));
    assert_eq!(stands(to.path()).len(), 9001);
    assert_eq!(fs::read_dir(to.path().join("in/deep")).unwrap().count(), 9000);
}

/// Folders `a` with a file, `b` with two and `c` with a folder and a file in that.
fn in_the_way() -> tempfile::TempDir {
    let to = with(&["extra"]);
    for folder in ["a", "b", "c/deep"] {
        fs::create_dir_all(to.path().join("in").join(folder)).unwrap();
    }
    for file in ["a/1", "b/1", "b/2.o", "c/deep/1"] {
        fs::write(to.path().join("in").join(file), file).unwrap();
    }
    to
}

/// Copies a link `a`, an empty file `b` and a file `c`.
fn copied_over(
    to: &std::path::Path,
    whole: bool,
    (max, allowed): (Option<u64>, bool),
    rules: &[&str],
) -> (TreeSink<OnDisk<'static>>, Report) {
    let from = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("x", from.path().join("a")).unwrap();
    fs::write(from.path().join("b"), "").unwrap();
    fs::write(from.path().join("c"), "sent\n").unwrap();
    let mut found = Vec::new();
    walk(from.path(), &mut found);
    if whole {
        found.insert(0, Found::Whole);
    }
    let listed = listed(from.path(), found);
    let (root, limits) = (Root::open(to).unwrap(), Limits::default());
    let offer = Offer { to: "in".into(), ..Offer::default() };
    let below = OnDisk::new(&root, &offer, &limits, (holder(), &|| false)).unwrap();
    let ask = Ask { folds: |_, _| Some(Folds::Nothing), ..Ask::SYSTEM };
    let sink = TreeSink::new(below.folding(ask), false);
    let asked = Delete { max, ..Delete::default() };
    let mut sink = sink.deleting(Some(asked), allowed);
    let mut filter = crate::filter::Filter::default();
    for rule in rules {
        let none = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        filter.rule(rule.as_bytes(), false, &none).unwrap();
    }
    let told: Vec<_> = filter.told().collect();
    let count = told.len() as u64;
    sink.rules(told).unwrap();
    carry(&listed, &mut sink, |_| {}).unwrap();
    sink.extras(Ok(count)).unwrap();
    let report = sink.finish().unwrap();
    (sink, report)
}

/// As rsync does it with `--delete`: what is in the folder is not at the source.
#[test]
fn a_folder_goes_for_what_has_its_name_at_the_source() {
    let to = in_the_way();
    let (mut sink, report) = copied_over(to.path(), true, (None, true), &[]);
    assert_eq!((report.failed, report.arrived), (0, 3), "{:?}", sink.failures());
    assert_eq!((report.deleted, report.spared), (9, false), "with the extra file");
    assert_eq!(fs::read_link(to.path().join("in/a")).unwrap(), std::path::Path::new("x"));
    assert_eq!(stands(to.path()), ["a", "b", "c"]);
    assert_eq!(fs::metadata(to.path().join("in/c")).unwrap().len(), 5);
}

#[test]
fn a_folder_stays_of_which_not_all_may_go() {
    for (whole, bound, rules, failed, deleted) in [
        (false, (None, true), &[][..], 3, 0),
        (true, (None, false), &[], 3, 0),
        (true, (Some(2), true), &[], 2, 2),
        (true, (Some(5), true), &[], 1, 5),
        (true, (None, true), &["- *.o"], 1, 5),
        (true, (None, true), &["P /*/deep/"], 1, 5),
    ] {
        let to = in_the_way();
        let (_, report) = copied_over(to.path(), whole, bound, rules);
        let case = (whole, bound, rules);
        assert_eq!((report.failed, report.deleted), (failed, deleted), "{case:?}");
        let left = ["a/1", "b/1", "b/2.o", "c/deep/1"].map(|path| to.path().join("in").join(path));
        // Whole or not at all.
        let of = |name: usize| left[name].exists();
        assert_eq!(of(1), of(2), "{case:?}");
        let standing = [of(0), of(1), of(3)].into_iter().filter(|stands| *stands).count();
        assert_eq!(standing as u64, failed, "{case:?}");
        assert!(to.path().join("in/extra").exists(), "nothing else goes then: {case:?}");
    }
}
