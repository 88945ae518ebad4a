//! Files that have other names, in the root or out of it: those stay what they are.

use super::*;
use crate::message::Keep;

const MTIME: Time = Time { secs: 1_000_000_000, nanos: 0 };

fn keeping(root: &Root) -> Below<'static> {
    let offer =
        Offer { keep: Keep { perms: true, times: true, ..Keep::default() }, ..Offer::default() };
    Below::new(root, &offer, &Limits::default(), (holder(), NEVER)).unwrap()
}

fn told(mode: u32, kind: Kind) -> Entry {
    Entry { name: b"name".to_vec(), meta: Meta { mode, mtime: MTIME, ..Meta::default() }, kind }
}

pub(super) fn set_time(path: &Path, mtime: Time) {
    use rustix::fs::{CWD, Timespec, Timestamps, utimensat};
    let at = Timespec { tv_sec: mtime.secs, tv_nsec: mtime.nanos.into() };
    let times = Timestamps { last_access: at, last_modification: at };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// What is set on a file is set on all of its names: where that would change something, a file of its own takes the
/// name instead.
#[test]
fn what_is_told_of_a_file_is_not_set_on_its_other_names() {
    let (dir, root) = root();
    let outside = tempfile::tempdir().unwrap();
    let (other, name) = (outside.path().join("other"), dir.path().join("name"));
    fs::write(&other, b"there").unwrap();
    fs::set_permissions(&other, PermissionsExt::from_mode(0o600)).unwrap();
    set_time(&other, MTIME);
    fs::hard_link(&other, &name).unwrap();
    let file = |mode| told(mode, Kind::File { len: 5, data: None });
    assert_eq!(keeping(&root).look(&file(0o600), None), Ok(Stands::Same), "nothing is to be set");
    let mut below = keeping(&root);
    assert_eq!(below.look(&file(0o644), None), Ok(Stands::Other));
    let way = below.here();
    below.files(&[(&way, &file(0o644), b"there")]).remove(0).unwrap();
    let mode = |path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(&other), mode(&name)), (0o600, 0o644));
    // With one name it is set in its place.
    assert_eq!(keeping(&root).look(&file(0o640), None), Ok(Stands::Same));
    assert_eq!(mode(&name), 0o640);
}

#[test]
fn what_is_told_of_a_symbolic_link_is_not_set_on_its_other_names() {
    let (dir, root) = root();
    let outside = tempfile::tempdir().unwrap();
    let (other, name) = (outside.path().join("other"), dir.path().join("name"));
    symlink("target", &other).unwrap();
    set_time(&other, Time { secs: 5, nanos: 0 });
    fs::hard_link(&other, &name).unwrap();
    let link = told(0o777, Kind::Symlink { target: b"target".to_vec() });
    assert_eq!(keeping(&root).symlink(&link, b"target"), Ok(Stands::Other));
    let time = |path| fs::symlink_metadata(path).unwrap().mtime();
    assert_eq!((time(&other), time(&name)), (5, MTIME.secs));
    fs::hard_link(&name, dir.path().join("more")).unwrap();
    assert_eq!(keeping(&root).symlink(&link, b"target"), Ok(Stands::Same), "nothing is to be set");
}
