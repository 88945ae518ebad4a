//! Whether two places are one, or one is in the other, by whatever names they are known.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Whether they have anything in common. Beside their names that is told by the folders that are there: where names fold
/// case, or a folder is mounted in two places, it has two paths.
pub(super) fn share(one: &Path, other: &Path) -> bool {
    is_in(one, other) || is_in(other, one)
}

/// Whether that is this place, or in it.
fn is_in(inner: &Path, outer: &Path) -> bool {
    if inner.starts_with(outer) {
        return true;
    }
    let there = outer.ancestors().find_map(|folder| Some((folder, id(folder)?)));
    let Some((folder, own)) = there else { return false };
    let rest = outer.strip_prefix(folder).unwrap_or(outer);
    let is_below =
        |above: &Path| inner.strip_prefix(above).is_ok_and(|below| below.starts_with(rest));
    inner.ancestors().any(|above| is_below(above) && id(above) == Some(own))
}

/// Device and number of what is there.
fn id(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Where a path that somebody has typed leads to by no symbolic link, as places of jobs are known; what is not there has
/// the path that it would have.
pub fn real(path: &Path) -> PathBuf {
    let found = path.ancestors().find_map(|folder| Some((folder, folder.canonicalize().ok()?)));
    let Some((folder, real)) = found else { return path.to_owned() };
    match path.strip_prefix(folder) {
        Ok(rest) if rest != Path::new("") => real.join(rest),
        _ => real,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_folder_of_two_names_is_one_place() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("a/x")).unwrap();
        fs::create_dir(at("b")).unwrap();
        symlink("a", at("other")).unwrap(); // stands for a second mount
        for (one, other) in [
            ("a", "a"),
            ("a", "a/x/new"),
            ("a/x", "other"),
            ("a/x", "other/x/new/deep"),
            ("a/new", "other/new"),
            ("a/new/deep", "other/new"),
        ] {
            assert!(share(&at(one), &at(other)) && share(&at(other), &at(one)), "{one} {other}");
        }
        let apart = [("a", "b"), ("a/new", "other/newer"), ("a/x", "other/y"), ("none", "b")];
        for (one, other) in apart {
            assert!(!share(&at(one), &at(other)) && !share(&at(other), &at(one)), "{one} {other}");
        }
        assert!(!share(Path::new("/srv/a"), Path::new("/srv/ab")));
        let (there, gone) = (real(&at("other/x")), real(&at("other/gone/deep")));
        let folder = dir.path().canonicalize().unwrap().join("a");
        assert_eq!((there, gone), (folder.join("x"), folder.join("gone/deep")));
    }
}
