use super::super::lead::kind;
use super::super::tests::holder;
use super::*;
use crate::limits::Allow;
use crate::untried::is_root;
use rustix::fs::{Gid, Uid};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

const NOBODY: u32 = 65_534;

/// A look that fails for another reason than that nothing stands there: a name that is longer than any.
#[test]
fn what_cannot_be_looked_at_is_not_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let beneath = Beneath::new(File::open(dir.path()).unwrap().into());
    let folder = Folder::open(&beneath, b"", false).unwrap();
    assert_eq!(kind(&folder, OsStr::new("nothing")), Ok(None));
    let why = kind(&folder, OsStr::new(&"x".repeat(300))).unwrap_err();
    assert!(why.starts_with("cannot look at"), "{why}");
}

/// A folder that may be read and not entered: a copy opens up one of the daemon's own user, and fails in another's.
#[test]
fn a_dry_run_fails_where_a_copy_would_that_cannot_look() {
    if !is_root() {
        return;
    }
    for owner in [NOBODY, 1] {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("in");
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("file"), "").unwrap();
        fs::set_permissions(&inner, PermissionsExt::from_mode(0o444)).unwrap();
        chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        chown(&inner, Some(owner), Some(owner)).unwrap();
        let looks = std::thread::scope(|scope| scope.spawn(|| looks(dir.path())).join().unwrap());
        let (looked, notes, copied) = looks;
        for looked in looked {
            match looked {
                Ok(_) => assert_eq!(owner, NOBODY),
                Err(why) => {
                    assert!(owner == 1 && why.starts_with("cannot look at in/file"), "{why}");
                }
            }
        }
        assert_eq!(notes.iter().any(|note| note == CLOSED), owner == NOBODY, "{notes:?}");
        assert_eq!(copied.is_ok(), owner == NOBODY, "{copied:?}");
    }
}

type Looked = ([Result<Stands, Why>; 4], Vec<String>, Result<Stands, Why>);

/// What a dry run and a copy say of what stands in a folder `in`, by a user without rights: of this thread alone.
fn looks(dir: &Path) -> Looked {
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    set_thread_res_gid(gid, gid, gid).unwrap();
    set_thread_res_uid(uid, uid, uid).unwrap();
    let root = Root::open(dir).unwrap();
    let allow = Allow { device: true, ..Allow::default() };
    let limits = Limits { allow, ..Limits::default() };
    let offer = Offer { to: b"in".to_vec(), ..Offer::default() };
    let mut survey = Survey::new(&root, &offer, &limits, (holder(), &|| false)).unwrap();
    let entry = |kind| Entry { name: b"file".to_vec(), meta: Meta::default(), kind };
    let file = entry(Kind::File { len: 0, data: None });
    let link = entry(Kind::Symlink { target: b"target".to_vec() });
    let pipe = entry(Kind::Special(Device::Fifo));
    let looked = [
        survey.look(&file, None),
        survey.symlink(&link, b"target"),
        survey.special(&pipe, Device::Fifo),
        survey.enter(1, &entry(Kind::Dir)),
    ];
    let copied = Below::new(&root, &offer, &limits, (holder(), &|| false))
        .and_then(|mut below| below.look(&file, None));
    (looked, survey.notes(), copied)
}
