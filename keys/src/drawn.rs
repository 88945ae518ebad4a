//! 32 random bytes that a daemon keeps in its folder of state, drawn when they are first needed: the key under which it
//! recognises the connection ids that it gave, also after a restart, and the id of its installation.

use crate::encoding::{from_hex, to_hex};
use crate::new_file::{self, WriteError};
use crate::private::{self, MAX_SECRET, ReadError, Rule};
use crate::quote::quoted;
use std::fmt;
use std::path::{Path, PathBuf};
use thiserror::Error;
use zeroize::Zeroizing;

/// Bytes that cannot be kept. The fault of whoever looks after the file, or of the file system; the daemon runs with
/// [`Drawn::random`], and its next start does not have them.
#[derive(Debug, Error)]
pub enum DrawnError {
    /// It cannot be read, or others can.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It cannot be made.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Something else.
    #[error(
        "{file}: it is not 64 hexadecimal digits: remove it, and a new one is made",
        file = quoted(.0)
    )]
    Foreign(PathBuf),
}

/// 32 secret bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Drawn(Zeroizing<[u8; 32]>);

impl Drawn {
    /// One that nobody keeps.
    pub fn random() -> Result<Self, DrawnError> {
        Ok(Self(new_file::random()?))
    }

    /// Reads them, or draws some and makes the file with its folder. If several do so at once, all get the same.
    pub fn read_or_create(path: &Path) -> Result<Self, DrawnError> {
        if let Some(key) = Self::read(path)? {
            return Ok(key);
        }
        new_file::folder(new_file::folder_of(path), 0o700)?;
        let key = Self::random()?;
        let mut text = Zeroizing::new(String::with_capacity(2 * key.0.len() + 1));
        text.push_str(&to_hex(&key.0));
        text.push('\n');
        match new_file::create(path, text.as_bytes()) {
            Ok(()) => Ok(key),
            Err(WriteError::Exists(exists)) => {
                Self::read(path)?.ok_or_else(|| WriteError::Exists(exists).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads them; `None` if there is no such file.
    fn read(path: &Path) -> Result<Option<Self>, DrawnError> {
        match private::read(path, Rule::Private, MAX_SECRET) {
            Ok(bytes) => from_hex(bytes.trim_ascii())
                .map(|key| Some(Self(key)))
                .ok_or_else(|| DrawnError::Foreign(path.to_owned())),
            Err(ReadError::Missing(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Nothing of it.
impl fmt::Debug for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Drawn(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn it_is_made_once_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state").join("drawn");
        let key = Drawn::read_or_create(&path).unwrap();
        assert_eq!(Drawn::read_or_create(&path).unwrap(), key);
        assert_eq!(std::fs::read_to_string(&path).unwrap().len(), 65);
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        assert_ne!(Drawn::random().unwrap(), key);
        assert_eq!(format!("{key:?}"), "Drawn(..)");
    }

    #[test]
    fn what_is_no_key_is_an_error_with_its_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("drawn");
        for wrong in [&b""[..], b"x", &[b'0'; 63], &[b'0'; 65], &[b'g'; 64], &[0xff; 64]] {
            std::fs::write(&path, wrong).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            let why = Drawn::read_or_create(&path).unwrap_err().to_string();
            assert!(why.ends_with("remove it, and a new one is made"), "{why}");
            assert_eq!(std::fs::read(&path).unwrap(), wrong);
        }
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let why = Drawn::read_or_create(&path).unwrap_err().to_string();
        assert!(why.contains("chmod 600"), "{why}");
    }

    #[test]
    fn without_a_writable_place_it_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(Drawn::read_or_create(&file.join("drawn")).is_err());
    }
}
