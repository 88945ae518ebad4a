//! File systems that fold, each by a rule of its own, over a folder of an ordinary one.

use super::*;
use crate::place::beneath::Beneath;
use ask::Seen;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use unicode_normalization::UnicodeNormalization;

/// What has this name by a rule.
fn look_by(rule: fn(&str) -> String, folder: &Folder, name: &OsStr) -> Option<Seen> {
    let path = PathBuf::from(format!("/proc/self/fd/{}", folder.fd().as_raw_fd()));
    let wanted = rule(&name.to_string_lossy());
    let mut paths = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: &PathBuf| rule(&path.file_name().unwrap().to_string_lossy()) == wanted;
    paths.find(named).and_then(|path| Seen::at(&path))
}

/// Character by character, as exFAT and NTFS.
fn upper(name: &str) -> String {
    let one = |c: char| if c.to_uppercase().len() == 1 { c.to_uppercase().next() } else { None };
    name.chars().map(|c| one(c).unwrap_or(c)).collect()
}

/// Canonical decomposition and full case folding, as ext4, f2fs and tmpfs.
fn full(name: &str) -> String {
    name.nfd().flat_map(char::to_uppercase).nfd().collect()
}

/// ASCII alone and no dots at an end, as FAT with utf8=1; long names have short ones as well.
fn short(name: &str) -> String {
    let name = name.trim_end_matches('.').to_ascii_uppercase();
    if name == "LONGFI~1.TXT" { "LONGFILENAME.TXT".to_owned() } else { name }
}

const EXFAT: Ask = Ask {
    folds: |_, _| Some(Folds::ByInode),
    look: |folder, name| Ok(look_by(upper, folder, name)),
};
const EXT4: Ask = Ask {
    folds: |_, _| Some(Folds::ByInode),
    look: |folder, name| Ok(look_by(full, folder, name)),
};
const FAT: Ask = Ask {
    folds: |_, _| Some(Folds::ByInode),
    look: |folder, name| Ok(look_by(short, folder, name)),
};

struct Ground {
    dir: TempDir,
    folder: Arc<Folder>,
    taken: Taken,
}

impl Ground {
    /// A folder in which these stand, and which was made for the tree or not.
    fn new(ask: Ask, stand: &[&str], new: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in stand {
            fs::write(dir.path().join(name), name).unwrap();
        }
        let beneath = Beneath::new(File::open(dir.path()).unwrap().into());
        let folder = Arc::new(Folder::open(&beneath, b"", new).unwrap());
        Self { dir, folder, taken: Taken::asking(ask) }
    }

    fn claim(&mut self, name: &str) -> Result<Claim, String> {
        let claim = self.taken.claim(&self.folder, OsStr::new(name));
        claim.map_err(|error| error.to_string())
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }
}

const FREE: Result<Claim, String> = Ok(Claim { free: true, compared: true });
const REPLACES: Result<Claim, String> = Ok(Claim::REPLACES);

fn together(first: &str, second: &str) -> String {
    format!(
        "{first} and {second} are one name on this file system, which folds case: rename one of them"
    )
}

#[test]
fn what_a_file_system_keeps_apart_is_kept() {
    let pairs = [("ß", "SS"), ("\u{212a}", "k"), ("é", "e\u{301}"), ("a", "a."), ("b", "b ")];
    for (first, second) in pairs {
        // Whether they stand there or not, both or one.
        for stand in [&[][..], &[first], &[second], &[first, second]] {
            let mut ground = Ground::new(EXFAT, stand, false);
            for name in [first, second] {
                let expected = if stand.contains(&name) { REPLACES } else { FREE };
                assert_eq!(ground.claim(name), expected, "{name} of {first} {second}, {stand:?}");
                fs::write(ground.path().join(name), "placed").unwrap();
            }
        }
    }
}

#[test]
fn the_second_of_two_that_are_one_is_refused_before_it_replaces_the_first() {
    let pairs = [
        (EXFAT, "x", "X"),
        (EXFAT, "ärger", "ÄRGER"),
        (EXT4, "é", "e\u{301}"),
        (EXT4, "straße", "STRASSE"),
        (EXT4, "É", "e\u{301}"),
        (FAT, "a", "A."),
        (FAT, "a..", "a."),
        (FAT, "longfilename.txt", "LONGFI~1.TXT"), // no rule over names tells of it
    ];
    for (ask, first, second) in pairs {
        for (ask, placed) in [(ask, true), (ask, false)] {
            for stand in [None, Some(first), Some(second)] {
                let mut ground = Ground::new(ask, stand.as_slice(), false);
                let one = ground.claim(first);
                let at = format!("{first} {second}, {stand:?} stands, placed: {placed}: {one:?}");
                if one.is_err() {
                    // What stands there cannot be told from an entry, so that it stays.
                    assert!(stand == Some(second) && first.starts_with("long"), "{at}");
                    continue;
                }
                assert_eq!(one, if stand.is_some() { REPLACES } else { FREE }, "{at}");
                if placed {
                    // As a rename does: the name stays as it was spelled.
                    let name = stand.unwrap_or(first);
                    fs::write(ground.path().join(name), "placed").unwrap();
                }
                match ground.claim(second) {
                    Err(why) => assert!(
                        why == together(first, second) || why.contains("something stands there"),
                        "{at}: {why}"
                    ),
                    // Neither stands there: who is placed first has the name, and the other finds it taken.
                    claim => assert!(claim == FREE && stand.is_none() && !placed, "{at} {claim:?}"),
                }
            }
        }
    }
}

#[test]
fn a_file_is_replaced_that_stands_there_in_another_spelling() {
    for (ask, stands, name) in [(EXT4, "é", "e\u{301}"), (EXFAT, "Ä", "ä"), (FAT, "a", "A.")] {
        let mut ground = Ground::new(ask, &[stands, "other"], false);
        assert_eq!(ground.claim(name), REPLACES, "{stands} {name}");
        // And by one entry alone.
        assert_eq!(ground.claim(stands), Err(together(name, stands)));
    }
}

#[test]
fn behind_fuse_a_file_is_known_by_all_else_that_is_told_of_it() {
    const FUSE: Ask = Ask {
        folds: |_, _| Some(Folds::ByLook),
        look: |folder, name| {
            let seen = look_by(upper, folder, name);
            Ok(seen.map(|seen| {
                seen.numbered(name.as_encoded_bytes().iter().map(|b| u64::from(*b)).sum())
            }))
        },
    };
    let mut ground = Ground::new(FUSE, &["Ä", "other"], false);
    assert_eq!(ground.claim("ä"), REPLACES);
    assert_eq!(ground.claim("Ä"), Err(together("ä", "Ä")));
    let inodes = Ask { folds: |_, _| Some(Folds::ByInode), ..FUSE };
    let mut ground = Ground::new(inodes, &["Ä", "other"], false);
    assert!(ground.claim("ä").is_err(), "elsewhere another number is another file");
}

#[test]
fn in_a_folder_that_was_made_for_the_tree_what_stands_is_an_entry() {
    let mut ground = Ground::new(FAT, &[], true);
    assert_eq!(ground.claim("longfilename.txt"), FREE);
    fs::create_dir(ground.path().join("longfilename.txt")).unwrap();
    let why = ground.claim("LONGFI~1.TXT").unwrap_err();
    assert!(why.starts_with("LONGFI~1.TXT is refused: something stands there"), "{why}");
}

/// What another session has brought is replaced, what an entry of the same tree has is not.
#[test]
fn in_a_folder_that_was_made_for_the_tree_another_session_may_have_been_quicker() {
    for name in ["Name", "Ä"] {
        let mut ground = Ground::new(EXT4, &[name], true);
        assert_eq!(ground.claim(name), REPLACES, "{name}");
        let mut ground = Ground::new(EXT4, &[name], true);
        let why = ground.claim(&name.to_lowercase()).unwrap_err();
        assert!(why.contains("something stands there"), "{why}");
    }
}

#[test]
fn a_folder_below_has_names_of_its_own_and_one_that_is_new_is_not_asked() {
    let mut ground = Ground::new(EXFAT, &["x"], false);
    assert_eq!(ground.claim("x"), REPLACES);
    ground.taken.enter(true);
    ground.taken.ask.folds = |_, _| unreachable!("it folds as the one above does");
    assert_eq!(ground.claim("X"), REPLACES);
    ground.taken.leave();
    assert_eq!(ground.claim("X"), Err(together("x", "X")));
}

#[test]
fn where_nothing_folds_nothing_is_remembered() {
    let mut ground = Ground::new(Ask::SYSTEM, &["x", "X"], false);
    for name in ["x", "X", "x", "new"] {
        assert_eq!(ground.claim(name), REPLACES);
    }
    assert!(ground.taken.names.is_empty());
}

#[test]
fn a_folder_in_which_nothing_can_be_made_is_asked_by_the_names_of_its_folders() {
    const UNKNOWN: Ask = Ask { folds: |_, _| None, look: EXFAT.look };
    let mut ground = Ground::new(UNKNOWN, &[], false);
    fs::create_dir(ground.path().join("D")).unwrap();
    assert_eq!(ground.claim("D"), REPLACES);
    assert_eq!(ground.claim("d"), Err(together("D", "d")));
    let mut ground = Ground::new(Ask { look: Ask::SYSTEM.look, ..UNKNOWN }, &[], false);
    for name in ["D", "d"] {
        fs::create_dir(ground.path().join(name)).unwrap();
        assert_eq!(ground.claim(name), REPLACES);
    }
}

#[test]
fn more_names_than_are_compared_are_refused() {
    let mut ground = Ground::new(EXFAT, &[], false);
    for dots in 0..=names::MAX_ALIKE {
        assert_eq!(ground.claim(&format!("a{}", ".".repeat(dots))), FREE);
    }
    assert!(ground.claim("A").unwrap_err().contains("too many names"));
    assert_eq!(ground.claim("b"), FREE);
}
