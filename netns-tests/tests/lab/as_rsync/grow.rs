//! A case's entries become files.

use super::case::{Entry, Kind};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// Times count from here, seconds since 1970: a day in 2001, long before any copy.
pub(super) const BASE: i64 = 1_000_000_000;

/// Makes a folder, and in it the entries in their order; modes and times of folders come last.
pub(super) fn grow(root: &Path, entries: &[Entry]) {
    fs::create_dir_all(root).unwrap();
    for entry in entries {
        let at = root.join(&entry.path);
        if let Some(above) = at.parent() {
            fs::create_dir_all(above).unwrap();
        }
        match &entry.kind {
            Kind::Folder { .. } => fs::create_dir_all(&at).unwrap(),
            Kind::File { content, mode } => {
                fs::write(&at, content).unwrap();
                fs::set_permissions(&at, Permissions::from_mode(*mode)).unwrap();
            }
            Kind::Link { target } => symlink(target, &at).unwrap(),
            Kind::Further { of } => fs::hard_link(root.join(of), &at).unwrap(),
        }
        if !matches!(entry.kind, Kind::Further { .. }) {
            set_time(&at, entry.time);
        }
    }
    set_folders(root);
    for entry in entries {
        if let Kind::Folder { mode } = entry.kind {
            let at = root.join(&entry.path);
            fs::set_permissions(&at, Permissions::from_mode(mode)).unwrap();
            set_time(&at, entry.time);
        }
    }
}

/// What folders are if nothing is said.
fn set_folders(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            set_folders(&entry.path());
        }
    }
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    set_time(folder, 0);
}

fn set_time(path: &Path, since_base: i64) {
    let second = 1_000_000_000;
    let tv_sec = BASE + since_base.div_euclid(second);
    let time = Timespec { tv_sec, tv_nsec: since_base.rem_euclid(second) };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}
