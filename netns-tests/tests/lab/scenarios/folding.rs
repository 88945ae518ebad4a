//! Names that are one on some file systems.

use super::trees::ALLOW;
use crate::copy::copy;
use crate::daemon::Daemon;
use crate::network::Lab;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder whose file system folds names, where this machine has one: a mounted exFAT or NTFS, a folder of ext4 with
/// the flag `casefold`. Without it the receiver's is an ordinary one, that keeps them all.
const VARIABLE: &str = "FOLDING_FOLDER";
/// Most folding file systems take some of these pairs for one name, none takes all.
const PAIRS: [(&str, &str); 12] = [
    ("a", "A"),
    ("L", "l"),
    ("é", "e\u{301}"),
    ("É1", "é1"),
    ("ß", "SS"),
    ("\u{212a}", "k"),
    ("ς", "Σ"),
    ("ǅ", "ǆ"),
    ("ÿ", "Ÿ"),
    ("x", "x."),
    ("b\u{200d}", "b"),
    ("longfilename.txt", "LONGFI~1.TXT"),
];

/// Below which the receiver's root stands.
fn ground(lab: &Lab) -> PathBuf {
    std::env::var_os(VARIABLE).map_or_else(|| lab.dir.path().to_owned(), PathBuf::from)
}

/// What each file holds: its path, and of one pair more than a batch of small ones takes.
fn content(path: &str) -> String {
    path.repeat(if path.ends_with(['L', 'l']) { 400_000 } else { 1 })
}

/// Writes them all; the paths of the files.
fn write(source: &Path) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for folder in ["", "new/", "old/"] {
        fs::create_dir_all(source.join(folder)).unwrap();
        for name in PAIRS.iter().flat_map(|(one, other)| [one, other]) {
            let path = format!("{folder}{name}");
            fs::write(source.join(&path), content(&path)).unwrap();
            all.insert(path);
        }
    }
    for folder in ["D", "d"] {
        fs::create_dir(source.join(folder)).unwrap();
        let path = format!("{folder}/in");
        fs::write(source.join(&path), content(&path)).unwrap();
        all.insert(path);
    }
    all
}

/// Whatever folds there: each entry is in place with its own bytes, or is told as one that is not.
pub(super) fn nothing_replaces_another_entry_without_a_word() {
    let lab = Lab::bridge(1);
    let root = tempfile::tempdir_in(ground(&lab)).unwrap();
    let secret = lab.secret().display().to_string();
    let trust = ["--secret-file", &secret, ALLOW[0], ALLOW[1]];
    let _daemon = Daemon::start_trusting(&lab, 1, root.path(), &[], &trust);
    let source = lab.dir.path().join("source");
    let all = write(&source);
    fs::create_dir_all(root.path().join("to/old")).unwrap();
    // The first puts them there, the others find them.
    let mut told = Vec::new();
    for _ in 0..3 {
        let args = ["-a", &format!("{}/", source.display()), &format!("{}:to/", lab.v4(1))];
        let done = copy(&lab, &args);
        let failures = done.hosts[0]["failures"].as_array().cloned().unwrap_or_default();
        let failed: BTreeSet<String> =
            failures.iter().map(|entry| entry["entry"].as_str().unwrap().to_owned()).collect();
        for entry in &failures {
            let why = entry["reason"].as_str().unwrap();
            let is_known = ["are one name", "takes for the same", "its folder is not in place"];
            assert!(is_known.iter().any(|known| why.contains(known)), "{entry}");
        }
        for path in all.iter().filter(|path| !failed.contains(*path)) {
            let there = fs::read_to_string(root.path().join("to").join(path));
            assert!(there.is_ok_and(|there| there == content(path)), "{path} of {failed:?}");
        }
        told.push(failed);
    }
    eprintln!("not in place: {:?}", told[0]);
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0].is_empty(), std::env::var_os(VARIABLE).is_none());
}
