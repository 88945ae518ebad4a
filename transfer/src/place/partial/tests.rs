use super::*;
use crate::place::beneath::Beneath;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

const LEN: u64 = 5 * blocks::BLOCK;

fn folder(dir: &Path) -> Arc<Folder> {
    let root = crate::destination::Root::open(dir).unwrap();
    Arc::new(Folder::open(&Beneath::new(root.again().unwrap()), b"", false).unwrap())
}

fn open(folder: &Arc<Folder>, key: u8) -> Partial {
    Partial::open(folder, OsStr::new("name"), [key; 32], LEN).unwrap()
}

fn left(dir: &Path) -> Vec<String> {
    let mut left: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    left
}

#[test]
fn what_was_noted_is_there_again_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let Partial { mut temporary, mut journal, held } = open(&folder, 1);
    assert!(held.is_empty());
    temporary.file().set_len(LEN).unwrap();
    for index in [3, 1] {
        journal.note(&mut temporary, index, &[index as u8; 32]).unwrap();
    }
    assert!(matches!(
        Partial::open(&folder, OsStr::new("name"), [1; 32], LEN),
        Err(Busy::Held(inode)) if inode == temporary.inode().unwrap()
    ));
    drop((temporary, journal));
    let names = left(dir.path());
    assert!(names.len() == 2 && names.iter().all(|name| is_partial(name.as_bytes())), "{names:?}");
    let partial = dir.path().join(&names[0]);
    assert_eq!(fs::metadata(&partial).unwrap().len(), 4 * blocks::BLOCK, "no more than is there");
    let mode = fs::metadata(&partial).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // A record that is not whole, or not right, ends what counts.
    let state = dir.path().join(&names[1]);
    let mut bytes = fs::read(&state).unwrap();
    let whole = bytes.len();
    bytes.extend_from_within(whole - RECORD..whole - 1);
    fs::write(&state, &bytes).unwrap();
    let again = open(&folder, 1);
    assert_eq!(again.held, BTreeMap::from([(1, [1; 32]), (3, [3; 32])]));
    drop(again);
    bytes[40 + RECORD - 1] ^= 1;
    fs::write(&state, &bytes).unwrap();
    assert!(open(&folder, 1).held.is_empty());
}

#[test]
fn of_something_else_it_is_made_anew_and_what_holds_nothing_goes() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let Partial { mut temporary, mut journal, .. } = open(&folder, 1);
    temporary.file().set_len(LEN).unwrap();
    temporary.file().write_all_at(b"verified", 0).unwrap();
    journal.note(&mut temporary, 0, &[0; 32]).unwrap();
    // Somebody reads it while it arrives.
    let reader = fs::File::open(dir.path().join(&names(OsStr::new("name"))[0])).unwrap();
    drop((temporary, journal));
    let other = open(&folder, 2);
    assert!(other.held.is_empty());
    assert_eq!(other.temporary.file().metadata().unwrap().len(), 0);
    other.temporary.file().write_all_at(b"another!", 0).unwrap();
    let mut read = [0; 8];
    reader.read_exact_at(&mut read, 0).unwrap();
    assert_eq!(&read, b"verified", "it is told of that version still");
    drop(other);
    assert_eq!(left(dir.path()), Vec::<String>::new());
}

/// The names can be guessed: whatever somebody put there is neither followed nor written to.
#[test]
fn what_somebody_else_put_there_is_not_written_to() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let victim = dir.path().join("victim");
    let [partial, state] = names(OsStr::new("name")).map(|name| dir.path().join(name));
    for link in [false, true] {
        fs::write(&victim, b"precious").unwrap();
        for name in [&partial, &state] {
            let put = if link { symlink(&victim, name) } else { fs::hard_link(&victim, name) };
            put.unwrap();
        }
        let Partial { mut temporary, mut journal, held } = open(&folder, 1);
        assert!(held.is_empty());
        temporary.file().write_all_at(b"new", 0).unwrap();
        journal.note(&mut temporary, 0, &[0; 32]).unwrap();
        temporary.discard();
        journal.end();
        drop((temporary, journal));
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert_eq!(left(dir.path()), ["victim"]);
    }
}

/// Some file systems make up modes and owners (FAT, or NFS where root is nobody), so that these do not tell whose it is.
#[test]
fn one_that_is_written_stays_whatever_its_mode_is() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let mut first = open(&folder, 1);
    let [partial, _] = names(OsStr::new("name"));
    fs::set_permissions(dir.path().join(&partial), PermissionsExt::from_mode(0o755)).unwrap();
    let second = Partial::open(&folder, OsStr::new("name"), [1; 32], LEN);
    assert!(matches!(second, Err(Busy::Held(inode)) if inode == first.temporary.inode().unwrap()));
    first.temporary.rename(OsStr::new("name")).unwrap();
}

/// Somebody removes the file, and a later session makes it anew: what that has written so far is not taken for it.
#[test]
fn another_one_under_its_name_is_not_given_the_file_s() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let mut first = open(&folder, 1);
    let [partial, _] = names(OsStr::new("name"));
    fs::remove_file(dir.path().join(&partial)).unwrap();
    let mut second = open(&folder, 1);
    second.temporary.file().write_all_at(b"half", 0).unwrap();
    let error = first.temporary.rename(OsStr::new("name")).unwrap_err().to_string();
    assert!(error.contains("removed or replaced"), "{error}");
    assert!(!dir.path().join("name").exists());
    assert_eq!(fs::read(dir.path().join(&partial)).unwrap(), b"half");
    second.temporary.rename(OsStr::new("name")).unwrap();
}

#[test]
fn only_our_own_names_are_partial() {
    for name in [".mcp-0123456789abcdef.partial", ".mcp-ffffffffffffffff.state"] {
        assert!(is_partial(name.as_bytes()), "{name}");
    }
    for name in [".mcp-0123.partial", ".mcp-0123456789abcdef.part", "mcp-0123456789abcdef.state"] {
        assert!(!is_partial(name.as_bytes()), "{name}");
    }
}

/// Sessions that begin the same file at once: one has it, and to the others it is held; to none it is a failure.
#[test]
fn of_many_who_begin_at_once_one_has_it() {
    const MANY: usize = 8;
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    for _ in 0..200 {
        let together = std::sync::Barrier::new(MANY);
        let begin = || {
            together.wait();
            let opened = Partial::open(&folder, OsStr::new("name"), [1; 32], LEN);
            together.wait(); // nobody has given it back before
            match opened {
                Ok(partial) => Some(partial),
                Err(Busy::Held(_)) => None,
                Err(Busy::Failed(error)) => panic!("{error}"),
            }
        };
        let have: usize = std::thread::scope(|scope| {
            let all: Vec<_> = (0..MANY).map(|_| scope.spawn(begin)).collect();
            all.into_iter().map(|one| usize::from(one.join().unwrap().is_some())).sum()
        });
        assert_eq!(have, 1);
    }
}
