//! Reading a file whose worth depends on what others can do to it.
//!
//! What is checked is what was opened: the descriptor's owner and mode, not the path's, which
//! somebody may exchange in between. The folders above are not looked at: who can write there can take the file
//! away, or put another in its place that is root's or this user's and kept from others, but none of his own.

use crate::quote::quoted;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use thiserror::Error;
use zeroize::Zeroizing;

/// Longest file of secrets or of an identity, in bytes: theirs are a few hundred.
pub const MAX_SECRET: u64 = 64 * 1024;
/// Longest list of keys, in bytes: some 100,000 of them.
pub const MAX_LIST: u64 = 16 * 1024 * 1024;

/// Read by others, by user and group, as mode bits.
const READ: u32 = 0o044;
/// Written by others.
const WRITE: u32 = 0o022;
/// Of these, the group's.
const GROUP: u32 = 0o070;

/// What others must not be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Read it, or write it: it belongs to root or to the effective user, as ssh wants it of its keys.
    Private,
    /// The same, but the group may read it: systemd's credentials are root's, and the service's
    /// by an access list, of which the mode shows the mask.
    Credential,
    /// Write it: it belongs to root or to this user, and nobody else has the right.
    Unforged {
        /// The user.
        uid: u32,
    },
}

impl Rule {
    /// The rule for a secret at that path; `credentials` is where systemd puts a service's.
    pub fn of_secret(path: &Path, credentials: Option<&Path>) -> Self {
        let inside = path.components().all(|part| part != std::path::Component::ParentDir);
        match credentials {
            Some(folder) if inside && path.starts_with(folder) => Self::Credential,
            _ => Self::Private,
        }
    }
}

/// A file that cannot be read, or not be trusted. The fault of whoever looks after it.
#[derive(Debug, Error)]
pub enum ReadError {
    /// Not there.
    #[error("{file}: there is no such file", file = quoted(.0))]
    Missing(PathBuf),
    /// Others than its owner can read it.
    #[error("{file}: others can read it: run chmod 600 {file}", file = quoted(.0))]
    Readable(PathBuf),
    /// Others than its owner can write it.
    #[error("{file}: others can write it: run chmod go-w {file}", file = quoted(.0))]
    Writable(PathBuf),
    /// Its owner is another, who can write it.
    #[error(
        "{file}: it belongs to user {1}, who can write it: run chown {2} {file}",
        file = quoted(.0)
    )]
    Owner(PathBuf, u32, u32),
    /// Its owner is another, who knows what is in it, and can exchange it.
    #[error(
        "{file}: it belongs to user {1}, who can read and write it: if it is to be trusted, run chown {2} {file}",
        file = quoted(.0)
    )]
    Foreign(PathBuf, u32, u32),
    /// A directory, a device, a pipe.
    #[error("{file}: it is not a regular file: name one", file = quoted(.0))]
    Irregular(PathBuf),
    /// Longer than what is read.
    #[error("{file}: it is longer than {1} bytes: is this the right file?", file = quoted(.0))]
    TooLong(PathBuf, u64),
    /// What the system said.
    #[error("{file}: it cannot be read: {1}", file = quoted(.0))]
    System(PathBuf, io::Error),
}

/// Reads a whole file of at most `limit` bytes to which the rule applies. The bytes are
/// overwritten when they are dropped.
pub fn read(path: &Path, rule: Rule, limit: u64) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    // A pipe must not keep us waiting for its other end, nor a terminal become ours.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    let file = File::from(opened.map_err(|errno| match errno {
        rustix::io::Errno::NOENT => ReadError::Missing(path.to_owned()),
        errno => ReadError::System(path.to_owned(), errno.into()),
    })?);
    read_opened(&file, path, rule, limit)
}

/// The same from a file that is open, at its beginning; `path` is for messages.
pub fn read_opened(
    file: &File,
    path: &Path,
    rule: Rule,
    limit: u64,
) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let system = |error| ReadError::System(path.to_owned(), error);
    let metadata = file.metadata().map_err(system)?;
    if !metadata.is_file() {
        return Err(ReadError::Irregular(path.to_owned()));
    }
    let user = rustix::process::geteuid().as_raw();
    permit(path, rule, user, metadata.mode(), metadata.uid())?;
    // Room for all of it at once: a buffer that grows leaves copies behind. The rest is what the
    // standard library wants to have free when it looks for the end.
    let room = metadata.len().min(limit) + 64;
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(room).unwrap_or(0)));
    file.take(limit + 1).read_to_end(&mut bytes).map_err(system)?;
    if bytes.len() as u64 > limit {
        return Err(ReadError::TooLong(path.to_owned(), limit));
    }
    Ok(bytes)
}

/// Whether a file of that mode and owner keeps to the rule, for this effective user.
fn permit(path: &Path, rule: Rule, user: u32, mode: u32, owner: u32) -> Result<(), ReadError> {
    match rule {
        Rule::Private | Rule::Credential if owner != 0 && owner != user => {
            Err(ReadError::Foreign(path.to_owned(), owner, user))
        }
        Rule::Private if mode & (READ | WRITE) != 0 => Err(ReadError::Readable(path.to_owned())),
        Rule::Credential if mode & (READ & !GROUP | WRITE) != 0 => {
            Err(ReadError::Readable(path.to_owned()))
        }
        Rule::Unforged { uid } if owner != 0 && owner != uid => {
            Err(ReadError::Owner(path.to_owned(), owner, uid))
        }
        Rule::Unforged { .. } if mode & WRITE != 0 => Err(ReadError::Writable(path.to_owned())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType};
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn file(mode: u32, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    fn refusal(path: &Path, rule: Rule) -> String {
        read(path, rule, 100).unwrap_err().to_string()
    }

    #[test]
    fn only_the_owner_may_read_a_private_file() {
        for mode in [0o600, 0o400, 0o700, 0o711] {
            let (_folder, path) = file(mode, b"x");
            assert_eq!(**read(&path, Rule::Private, 100).unwrap(), *b"x", "{mode:o}");
        }
        for mode in [0o640, 0o604, 0o644, 0o620, 0o602, 0o440] {
            let (_folder, path) = file(mode, b"x");
            let shown = path.display();
            let remedy = format!("{shown}: others can read it: run chmod 600 {shown}");
            assert_eq!(refusal(&path, Rule::Private), remedy, "{mode:o}");
        }
    }

    #[test]
    fn a_private_file_belongs_to_root_or_to_the_effective_user() {
        let path = Path::new("secret");
        for rule in [Rule::Private, Rule::Credential] {
            let owned = |owner, user| permit(path, rule, user, 0o600, owner);
            assert!(owned(0, 1000).is_ok() && owned(1000, 1000).is_ok() && owned(0, 0).is_ok());
            for user in [0, 1000] {
                let why = owned(1001, user).unwrap_err().to_string();
                let remedy = format!("if it is to be trusted, run chown {user} secret");
                let begins = "secret: it belongs to user 1001, who can read and write it";
                assert_eq!(why, format!("{begins}: {remedy}"));
            }
        }
        // And of a file that is there, where this user can make one of somebody else.
        let (_folder, path) = file(0o600, b"x");
        if std::os::unix::fs::chown(&path, Some(1001), None).is_ok() {
            let user = rustix::process::geteuid().as_raw();
            assert!(
                refusal(&path, Rule::Private)
                    .ends_with(&format!("chown {user} {}", path.display()))
            );
        }
    }

    #[test]
    fn the_group_may_read_a_credential() {
        for (mode, good) in
            [(0o440, true), (0o400, true), (0o640, true), (0o444, false), (0o660, false)]
        {
            let (folder, path) = file(mode, b"x");
            let rule = Rule::of_secret(&path, Some(folder.path()));
            assert_eq!(rule, Rule::Credential);
            assert_eq!(read(&path, rule, 100).is_ok(), good, "{mode:o}");
        }
        let credentials = Some(Path::new("/run/credentials/mcpd.service"));
        for outside in [
            "/run/credentials/mcpd.service2/secret",
            "/run/credentials/mcpd.service/../../../etc/secret",
            "/etc/secret",
        ] {
            assert_eq!(Rule::of_secret(Path::new(outside), credentials), Rule::Private);
        }
        assert_eq!(Rule::of_secret(Path::new("/etc/secret"), None), Rule::Private);
    }

    #[test]
    fn nobody_else_may_write_a_list() {
        let (_folder, path) = file(0o644, b"x");
        let uid = rustix::process::geteuid().as_raw();
        assert!(read(&path, Rule::Unforged { uid }, 100).is_ok());
        for mode in [0o664, 0o646, 0o622] {
            let (_folder, path) = file(mode, b"x");
            let shown = path.display();
            let remedy = format!("{shown}: others can write it: run chmod go-w {shown}");
            assert_eq!(refusal(&path, Rule::Unforged { uid }), remedy, "{mode:o}");
        }
        let path = Path::new("list");
        let owned = |owner, uid| permit(path, Rule::Unforged { uid }, uid, 0o644, owner);
        assert!(owned(0, 1000).is_ok() && owned(1000, 1000).is_ok());
        let why = owned(1001, 0).unwrap_err().to_string();
        assert_eq!(why, "list: it belongs to user 1001, who can write it: run chown 0 list");
    }

    #[test]
    fn what_a_link_leads_to_counts() {
        let (folder, path) = file(0o644, b"x");
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(refusal(&link, Rule::Private).contains("chmod 600"));
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert!(read(&link, Rule::Private, 100).is_ok());
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let (folder, path) = file(0o600, b"x");
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for irregular in [folder.path(), &pipe, Path::new("/dev/null")] {
            let why = refusal(irregular, Rule::Private);
            assert!(why.ends_with("it is not a regular file: name one"), "{why}");
        }
        let missing = path.with_extension("gone");
        assert!(matches!(read(&missing, Rule::Private, 9), Err(ReadError::Missing(_))));
        let below = path.join("below a file");
        assert!(matches!(read(&below, Rule::Private, 9), Err(ReadError::System(..))));
    }

    #[test]
    fn as_much_is_read_as_the_limit_says() {
        let (_folder, path) = file(0o600, &[b'x'; 200]);
        assert_eq!(read(&path, Rule::Private, 200).unwrap().len(), 200);
        let why = read(&path, Rule::Private, 199).unwrap_err();
        assert!(matches!(why, ReadError::TooLong(_, 199)), "{why}");
    }
}
