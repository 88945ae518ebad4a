//! The file of the secret that all hosts share: one line, and while it is being replaced a second.

use crate::encoding::to_base64;
use crate::new_file::{self, WriteError};
use crate::places::Environment;
use crate::private::{self, MAX_SECRET, ReadError, Rule};
use crate::quote::quoted;
use std::path::{Path, PathBuf};
use tcpxm::trust::{Secret, SecretError};
use thiserror::Error;
use zeroize::Zeroizing;

/// Lines that a file may have.
const MAX_LINES: usize = 2;

/// A secret file that is no good. The fault of whoever looks after it.
#[derive(Debug, Error)]
pub enum SecretFileError {
    /// Not there.
    #[error(
        "{file}: there is no such file: mcp key --secret {file} makes one, for all hosts",
        file = quoted(.0)
    )]
    Missing(PathBuf),
    /// It cannot be read, or others can.
    #[error(transparent)]
    Read(ReadError),
    /// Nothing but blanks.
    #[error("{file} is empty: remove it, and mcp key --secret {file} makes one", file = quoted(.0))]
    Empty(PathBuf),
    /// A line that is no secret.
    #[error("{file}:{1}: {2}: mcp key --secret FILE makes a good one", file = quoted(.0))]
    Line(PathBuf, usize, SecretError),
    /// More than the secret and the one it replaces, or is replaced by.
    #[error(
        "{file}: it has more than {MAX_LINES} lines: the secret, and while it is replaced another",
        file = quoted(.0)
    )]
    Lines(PathBuf),
}

/// What a secret file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    first: Secret,
    second: Option<Secret>,
}

impl Secrets {
    /// Reads the file.
    pub fn read(path: &Path, environment: &Environment) -> Result<Self, SecretFileError> {
        let rule = Rule::of_secret(path, environment.credentials.as_deref());
        let bytes = private::read(path, rule, MAX_SECRET).map_err(|error| match error {
            ReadError::Missing(path) => SecretFileError::Missing(path),
            error => SecretFileError::Read(error),
        })?;
        Self::parse(path, &bytes)
    }

    /// Takes a file's bytes; the path is for messages. Blank lines do not count.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, SecretFileError> {
        let lines = bytes.split(|byte| *byte == b'\n').zip(1..);
        let mut lines = lines.filter(|(line, _)| !line.trim_ascii().is_empty());
        let secret = |(line, number): (&[u8], usize)| {
            Secret::from_line(line)
                .map_err(|error| SecretFileError::Line(path.to_owned(), number, error))
        };
        let first = lines.next().ok_or_else(|| SecretFileError::Empty(path.to_owned()))?;
        let second = lines.next();
        if lines.next().is_some() {
            return Err(SecretFileError::Lines(path.to_owned()));
        }
        Ok(Self { first: secret(first)?, second: second.map(secret).transpose()? })
    }

    /// The one to send with.
    pub fn first(&self) -> &Secret {
        &self.first
    }

    /// Those to accept.
    pub fn all(&self) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.first).chain(&self.second)
    }
}

/// A fresh secret as a line: 32 random bytes in base64, without the line's end.
pub fn line() -> Result<Zeroizing<String>, WriteError> {
    Ok(to_base64(&*new_file::random()?))
}

/// Makes a secret file with a fresh secret, for its owner alone; nothing is overwritten.
pub fn create(path: &Path) -> Result<(), WriteError> {
    let mut text = Zeroizing::new(String::with_capacity(64));
    text.push_str(&line()?);
    text.push('\n');
    new_file::create(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    const A: &str = "Tm90IGEgc2VjcmV0OiBpdCBzdGFuZHMgaW4gYSB0ZXN0";
    const B: &str = "Another line, for a test, of enough characters";

    fn parse(text: &str) -> Result<Secrets, SecretFileError> {
        Secrets::parse(Path::new("/etc/mcp/secret"), text.as_bytes())
    }

    fn refusal(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_first_line_is_sent_with_and_both_are_accepted() {
        let [a, b] = [A, B].map(|line| Secret::from_line(line.as_bytes()).unwrap());
        for one in [A.to_owned(), format!("{A}\n"), format!("{A}\r\n"), format!("\n{A}\n\n")] {
            let secrets = parse(&one).unwrap();
            assert_eq!(secrets.first(), &a, "{one:?}");
            assert_eq!(secrets.all().collect::<Vec<_>>(), [&a], "{one:?}");
        }
        for two in [format!("{A}\n{B}"), format!("{A}\r\n{B}\r\n"), format!("{A}\n\n{B}\n")] {
            let secrets = parse(&two).unwrap();
            assert_eq!(secrets.first(), &a, "{two:?}");
            assert_eq!(secrets.all().collect::<Vec<_>>(), [&a, &b], "{two:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_the_remedy_and_without_the_secret() {
        let remedy = "mcp key --secret FILE makes a good one";
        for empty in ["", "\n", " \r\n\t\n"] {
            assert_eq!(
                refusal(empty),
                "/etc/mcp/secret is empty: remove it, and mcp key --secret /etc/mcp/secret \
                 makes one"
            );
        }
        let short = &A[..31];
        assert_eq!(
            refusal(short),
            format!(
                "/etc/mcp/secret:1: the secret has 31 characters, at least 32 are needed: {remedy}"
            )
        );
        assert!(
            refusal(&format!("{A}\n\n{short}\n")).starts_with("/etc/mcp/secret:3: the secret ")
        );
        let binary = refusal(&format!("{A}\u{1}\n"));
        assert!(binary.contains("character 45 of the secret is not a printable"), "{binary}");
        assert!(refusal(&format!("{A}\n{B}\n{A}\n")).contains("more than 2 lines"));
        for why in [short.to_owned(), format!("{A}\u{1}"), format!("{A}\n{B}\n{B}")] {
            assert!(!refusal(&why).contains(&A[..8]), "{why:?}");
        }
        assert!(!format!("{:?}", parse(A).unwrap()).contains(&A[..8]));
    }

    #[test]
    fn a_made_one_can_be_read_and_is_another_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
        create(&one).unwrap();
        create(&two).unwrap();
        assert!(matches!(create(&one), Err(WriteError::Exists(_))));
        let environment = Environment::default();
        let read = |path| Secrets::read(path, &environment);
        assert_ne!(read(&one).unwrap(), read(&two).unwrap());
        assert_eq!(line().unwrap().len(), 44);
        std::fs::set_permissions(&one, Permissions::from_mode(0o640)).unwrap();
        let why = read(&one).unwrap_err().to_string();
        assert_eq!(why, format!("{0}: others can read it: run chmod 600 {0}", one.display()));
        // The same file as systemd would give it to a service.
        let credentials = Some(folder.path().to_owned());
        assert!(Secrets::read(&one, &Environment { credentials, ..environment.clone() }).is_ok());
        let gone = Path::new("/gone/secret");
        let why = Secrets::read(gone, &environment).unwrap_err().to_string();
        assert!(why.contains("mcp key --secret /gone/secret makes one"), "{why}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Secrets::parse(Path::new("s"), &bytes);
        }

        #[test]
        fn one_bad_line_spoils_the_file(bad in "[ -~]{1,31}", before: bool) {
            prop_assume!(!bad.trim().is_empty());
            let text = if before { format!("{bad}\n{A}\n") } else { format!("{A}\n{bad}\n") };
            prop_assert!(parse(&text).is_err());
        }
    }
}
