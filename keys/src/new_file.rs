//! Writing a file such that it stands under its name whole or not at all, and for its owner alone.

use crate::quote::quoted;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;
use zeroize::Zeroizing;

/// Mode of what only its owner may read.
pub(crate) const PRIVATE: u32 = 0o600;

/// A file that cannot be made.
#[derive(Debug, Error)]
pub enum WriteError {
    /// Something has that name.
    #[error(
        "{file}: it exists already, and is not overwritten: name another, or remove it",
        file = quoted(.0)
    )]
    Exists(PathBuf),
    /// It has nowhere to stand.
    #[error(
        "{file}: its folder does not exist: run mkdir -p {folder}",
        file = quoted(.0),
        folder = quoted(.1)
    )]
    NoFolder(PathBuf, PathBuf),
    /// Somebody else holds its lock, and did for so long.
    #[error(
        "{file}: it cannot be written: another has had it locked for {} seconds, perhaps an mcp that \
         hangs: fuser {file} says which process, end that and try again",
        .1.as_secs(),
        file = quoted(.0)
    )]
    Locked(PathBuf, Duration),
    /// What the system said.
    #[error("{file}: it cannot be written: {1}", file = quoted(.0))]
    System(PathBuf, io::Error),
    /// No key without chance.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, WriteError> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut_slice()).map_err(WriteError::Random)?;
    Ok(bytes)
}

/// Makes a file that only its owner may read; one that exists stays as it is, also when it came
/// into being just now.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let beside = Beside::write(path, bytes, PRIVATE)?;
    // A link, unlike a rename, does not take the place of what is there.
    std::fs::hard_link(&beside.path, path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => WriteError::Exists(path.to_owned()),
        _ => WriteError::System(path.to_owned(), error),
    })?;
    drop(beside);
    sync_folder(path)
}

/// Puts another content in a file's place, or makes it: who reads it meanwhile reads the old or the new, whole.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), WriteError> {
    let beside = Beside::write(path, bytes, mode)?;
    std::fs::rename(&beside.path, path)
        .map_err(|error| WriteError::System(path.to_owned(), error))?;
    beside.keep();
    sync_folder(path)
}

/// Makes a folder and those above it, as far as they are missing.
pub(crate) fn folder(path: &Path, mode: u32) -> Result<(), WriteError> {
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|error| WriteError::System(path.to_owned(), error))
}

/// The folder that a file stands in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The name is on the disk when this returns.
fn sync_folder(path: &Path) -> Result<(), WriteError> {
    File::open(folder_of(path))
        .and_then(|folder| folder.sync_all())
        .map_err(|error| WriteError::System(path.to_owned(), error))
}

/// A complete file under a name beside the one it is to have; removed unless it is kept.
struct Beside {
    path: PathBuf,
}

impl Beside {
    fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<Self, WriteError> {
        let system = |error| WriteError::System(path.to_owned(), error);
        let name = path.file_name().ok_or_else(|| system(io::ErrorKind::InvalidInput.into()))?;
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{:016x}", u64::from_ne_bytes(*random()?)));
        let folder = folder_of(path);
        let beside = Self { path: folder.join(temporary) };
        let opened =
            OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(&beside.path);
        let mut file = match opened {
            Ok(file) => file,
            Err(error) => {
                beside.keep(); // it is not ours
                return Err(match error.kind() {
                    io::ErrorKind::NotFound => {
                        WriteError::NoFolder(path.to_owned(), folder.to_owned())
                    }
                    _ => system(error),
                });
            }
        };
        file.set_permissions(Permissions::from_mode(mode))
            .and_then(|()| file.write_all(bytes))
            .and_then(|()| file.sync_all())
            .map_err(system)?;
        Ok(beside)
    }

    fn keep(mut self) {
        self.path = PathBuf::new();
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // What cannot be removed stays; it is private, and whole.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::sync::Barrier;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_new_file_is_its_owners_and_nothing_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create(&path, b"one").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        let why = create(&path, b"two").unwrap_err();
        let remedy = "it exists already, and is not overwritten: name another, or remove it";
        assert_eq!(why.to_string(), format!("{}: {remedy}", path.display()));
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(names(folder.path()), ["key"]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &path).unwrap();
        assert!(matches!(create(&path, b"x"), Err(WriteError::Exists(_))));
        assert_eq!(names(folder.path()), ["key"]);
    }

    #[test]
    fn of_many_at_once_one_makes_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let barrier = Barrier::new(8);
        let begin = |n: u8| {
            barrier.wait();
            create(&path, &[n; 5000]).is_ok()
        };
        let made: Vec<bool> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|n| scope.spawn(move || begin(n))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(made.iter().filter(|made| **made).count(), 1);
        let winner = made.iter().position(|made| *made).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [winner as u8; 5000]);
        assert_eq!(names(folder.path()), ["key"]);
    }

    #[test]
    fn a_replaced_file_has_the_mode_that_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        for (bytes, mode) in [(b"one", 0o644), (b"two", 0o600)] {
            replace(&path, bytes, mode).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
            assert_eq!(path.metadata().unwrap().mode() & 0o777, mode);
        }
        assert_eq!(names(folder.path()), ["list"]);
    }

    #[test]
    fn without_a_folder_the_remedy_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("gone");
        let why = create(&gone.join("key"), b"x").unwrap_err().to_string();
        assert!(why.ends_with(&format!("run mkdir -p {}", gone.display())), "{why}");
    }
}
