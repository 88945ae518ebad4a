//! The file of an identity: a line that names its format, then its two private keys.
//!
//! ```text
//! mcp identity 1
//! ed25519 BASE64
//! noise BASE64
//! # mcp-ed25519 BASE64
//! ```
//!
//! The last line is for people: the public key.

use crate::encoding::{from_base64, to_base64};
use crate::new_file::{self, WriteError};
use crate::private::{self, MAX_SECRET, ReadError, Rule};
use crate::quote::quoted;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use tcpxm::trust::Identity;
use thiserror::Error;
use zeroize::Zeroizing;

/// Before the format's number in the first line.
const FORMAT: &str = "mcp identity ";
/// The format described above.
const VERSION: &str = "1";
/// The private keys, by their names in the file: the seed of the Ed25519 key, the X25519 key.
const NAMES: [&str; 2] = ["ed25519", "noise"];

/// An identity that cannot be had. The fault of whoever looks after the file.
#[derive(Debug, Error)]
pub enum IdentityFileError {
    /// It cannot be read, or others can.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It cannot be made.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Something else.
    #[error(
        "{file}: it is not an identity: its first line is not {FORMAT}{VERSION}",
        file = quoted(.0)
    )]
    Foreign(PathBuf),
    /// A format that came later.
    #[error(
        "{file}: it is an identity of format {1}, this program reads {VERSION}: upgrade it",
        file = quoted(.0)
    )]
    Newer(PathBuf, u32),
    /// A line that does not belong there, or twice.
    #[error(
        "{file}:{1}: this is neither ed25519 nor noise with 32 bytes in base64: {again}",
        file = quoted(.0),
        again = Again(.0)
    )]
    Line(PathBuf, usize),
    /// A key is missing.
    #[error("{file}: it has no line {1}: {again}", file = quoted(.0), again = Again(.0))]
    Incomplete(PathBuf, &'static str),
}

/// The remedy for a broken file.
struct Again<'a>(&'a Path);

impl std::fmt::Display for Again<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "restore it, or move {} away, and a new one is made", quoted(self.0))
    }
}

/// Reads an identity; `None` if there is no such file.
pub fn read(path: &Path) -> Result<Option<Identity>, IdentityFileError> {
    match private::read(path, Rule::Private, MAX_SECRET) {
        Ok(bytes) => parse(path, &bytes).map(Some),
        Err(ReadError::Missing(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Makes an identity that is kept nowhere.
pub fn random() -> Result<Identity, WriteError> {
    Ok(Identity::generate(*new_file::random()?))
}

/// Reads an identity, or makes one with its folder, and says whether it was made. If several do
/// so at once, all get the same.
pub fn read_or_create(path: &Path) -> Result<(Identity, bool), IdentityFileError> {
    match read(path) {
        Ok(Some(identity)) => return Ok((identity, false)),
        Ok(None) => {}
        // What stands in the place of a folder holds no identity: making one says what cannot be done.
        Err(IdentityFileError::Read(ReadError::System(_, error)))
            if error.kind() == ErrorKind::NotADirectory => {}
        Err(error) => return Err(error),
    }
    new_file::folder(new_file::folder_of(path), 0o700)?;
    let identity = random()?;
    match create(path, &identity) {
        Ok(()) => Ok((identity, true)),
        Err(WriteError::Exists(_)) => match read(path)? {
            Some(identity) => Ok((identity, false)),
            None => Err(WriteError::Exists(path.to_owned()).into()), // a link that leads nowhere
        },
        Err(error) => Err(error.into()),
    }
}

/// Writes an identity to a new file, for its owner alone; nothing is overwritten.
pub fn create(path: &Path, identity: &Identity) -> Result<(), WriteError> {
    let (seed, noise) = identity.parts();
    let mut text = Zeroizing::new(String::with_capacity(512));
    for part in [FORMAT, VERSION, "\n"] {
        text.push_str(part);
    }
    for (name, key) in NAMES.into_iter().zip([seed, noise]) {
        for part in [name, " ", &to_base64(key), "\n"] {
            text.push_str(part);
        }
    }
    for part in ["# ", &identity.public().to_string(), "\n"] {
        text.push_str(part);
    }
    new_file::create(path, text.as_bytes())
}

/// Takes a file's bytes; the path is for messages.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Identity, IdentityFileError> {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let format = lines.next().and_then(|line| line.strip_prefix(FORMAT.as_bytes()));
    match format.and_then(|version| str::from_utf8(version).ok()) {
        Some(VERSION) => {}
        Some(version) => {
            return Err(match version.parse() {
                Ok(version) => IdentityFileError::Newer(path.to_owned(), version),
                Err(_) => IdentityFileError::Foreign(path.to_owned()),
            });
        }
        None => return Err(IdentityFileError::Foreign(path.to_owned())),
    }
    let mut keys = [None, None];
    for (line, number) in lines.zip(2..) {
        if line.is_empty() || line[0] == b'#' {
            continue;
        }
        let wrong = || IdentityFileError::Line(path.to_owned(), number);
        let text = str::from_utf8(line).map_err(|_| wrong())?;
        let (name, key) = text.split_once(' ').ok_or_else(wrong)?;
        let at = NAMES.iter().position(|known| *known == name).ok_or_else(wrong)?;
        if keys[at].replace(from_base64(key.trim()).ok_or_else(wrong)?).is_some() {
            return Err(wrong());
        }
    }
    match keys {
        [Some(seed), Some(noise)] => Ok(Identity::from_parts(&seed, &noise)),
        [Some(_), None] => Err(IdentityFileError::Incomplete(path.to_owned(), NAMES[1])),
        _ => Err(IdentityFileError::Incomplete(path.to_owned(), NAMES[0])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::sync::Barrier;

    const WHOLE: &str = "mcp identity 1\n\
                         ed25519 AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n\
                         noise AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\n\
                         # a comment\n";

    fn refusal(text: &str) -> String {
        parse(Path::new("/var/lib/mcp/identity"), text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn the_format_is_the_one_described() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity");
        let identity = Identity::from_parts(&[1; 32], &[2; 32]);
        create(&path, &identity).unwrap();
        let public = identity.public().to_string();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, WHOLE.replace("a comment", &public));
        assert_eq!(read(&path).unwrap().unwrap().parts(), identity.parts());
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        assert!(parse(&path, WHOLE.replace('\n', "\r\n").as_bytes()).is_ok());
        assert!(matches!(create(&path, &identity), Err(WriteError::Exists(_))));
        std::fs::set_permissions(&path, Permissions::from_mode(0o604)).unwrap();
        let why = read(&path).unwrap_err().to_string();
        assert_eq!(why, format!("{0}: others can read it: run chmod 600 {0}", path.display()));
    }

    #[test]
    fn what_is_wrong_is_said_without_a_key() {
        assert!(refusal("").contains("it is not an identity"));
        assert!(refusal("-----BEGIN OPENSSH PRIVATE KEY-----\n").contains("it is not an identity"));
        assert!(refusal("mcp identity \u{e9}").contains("it is not an identity"));
        let newer = refusal(&WHOLE.replacen('1', "2", 1));
        assert!(newer.ends_with("of format 2, this program reads 1: upgrade it"), "{newer}");
        for (line, text) in [
            (2, WHOLE.replacen("AQEB", "AQE", 1)),
            (2, WHOLE.replacen("ed25519", "rsa", 1)),
            (3, WHOLE.replacen("noise", "ed25519", 1)),
            (5, format!("{WHOLE}more\n")),
        ] {
            let why = refusal(&text);
            assert!(why.starts_with(&format!("/var/lib/mcp/identity:{line}: ")), "{why}");
            assert!(!why.contains("AQEB") && !why.contains("AgIC"), "{why}");
        }
        assert!(refusal(&WHOLE.replacen("noise", "#", 1)).contains("it has no line noise"));
        assert!(refusal(&WHOLE.replacen("ed25519", "#", 1)).contains("it has no line ed25519"));
    }

    #[test]
    fn of_many_that_start_at_once_all_have_one_identity() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("identity");
        assert!(read(&path).unwrap().is_none());
        let barrier = Barrier::new(8);
        let start = || {
            barrier.wait();
            let (identity, made) = read_or_create(&path).unwrap();
            (identity.public(), made)
        };
        let all: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(all.iter().filter(|(_, made)| *made).count(), 1);
        assert!(all.iter().all(|(public, _)| *public == all[0].0));
        assert_eq!(path.parent().unwrap().metadata().unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity");
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        assert!(matches!(
            read_or_create(&path),
            Err(IdentityFileError::Write(WriteError::Exists(_)))
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            text in "(ed25519|noise|#)? ?[ -~]{0,50}\n",
        ) {
            let path = Path::new("identity");
            let _ = parse(path, &bytes);
            let _ = parse(path, &[b"mcp identity 1\n", &bytes[..]].concat());
            let _ = parse(path, &[b"mcp identity 1\n", text.as_bytes()].concat());
        }
    }
}
