//! Folders that no mirror job sends: that of the program's state has keys, and changes while the job runs.

use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;
use transfer::tree::scan::{Inode, Stamp};

/// A source cannot be sent without what is to stay here.
#[derive(Debug, Error)]
pub enum ApartError {
    /// It is in it.
    #[error(
        "{} is {}, the folder of state of this program, or in it: that has the keys of this host and is never sent; send \
         another folder, or keep the state elsewhere (--state-dir)", .source_path.display(), .folder.display()
    )]
    Inside {
        /// The source.
        source_path: PathBuf,
        /// What it is in.
        folder: PathBuf,
    },
    /// It cannot be told what is what.
    #[error("cannot look at {}: {error}", .path.display())]
    Look {
        /// At what.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Such a folder, by the path that it was given by.
pub(super) type Apart = (PathBuf, Inode);

/// Which of these folders there are.
///
/// # Errors
///
/// That cannot be told.
pub(super) fn find(folders: &[&Path]) -> Result<Vec<Apart>, ApartError> {
    let mut all = Vec::new();
    for folder in folders {
        match folder.canonicalize().and_then(|real| id(&real)) {
            Ok(id) => all.push((folder.to_path_buf(), id)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(ApartError::Look { path: folder.to_path_buf(), error }),
        }
    }
    Ok(all)
}

/// A source is in none of these, if it is there.
///
/// # Errors
///
/// It is, or that cannot be told.
pub(super) fn check(source: &Path, apart: &[Apart]) -> Result<(), ApartError> {
    let Ok(real) = source.canonicalize() else { return Ok(()) };
    for above in real.ancestors() {
        let failed = |error| ApartError::Look { path: above.to_owned(), error };
        let own = id(above).map_err(failed)?;
        if let Some((folder, _)) = apart.iter().find(|(_, id)| *id == own) {
            let (source_path, folder) = (source.to_owned(), folder.clone());
            return Err(ApartError::Inside { source_path, folder });
        }
    }
    Ok(())
}

fn id(path: &Path) -> io::Result<Inode> {
    Stamp::at(path).map(|stamp| (stamp.dev, stamp.ino))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_source_that_is_in_the_folder_is_refused_and_one_around_it_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("home/state/jobs/a")).unwrap();
        symlink("home/state", at("link")).unwrap();
        let apart = find(&[&at("link"), &at("none")]).unwrap();
        assert_eq!(apart, [(at("link"), id(&at("home/state")).unwrap())]);
        for source in ["home", "", "none"] {
            assert!(check(&at(source), &apart).is_ok(), "{source}");
        }
        for inside in ["home/state", "home/state/jobs/a", "link", "link/jobs/"] {
            let why = check(&at(inside), &apart).unwrap_err();
            assert!(matches!(why, ApartError::Inside { .. }), "{inside}");
        }
    }
}
