//! Which key each host has shown: `known_hosts`, in the manner of ssh's (sshd(8)).
//!
//! A line is `HOST mcp-ed25519 BASE64 [COMMENT]`, HOST as [`HostName`] writes it. A host that is
//! new is taken as it is and remembered; one whose key has changed is refused. As with
//! [`crate::authorized_keys`], one line with a fault and nothing of the file holds.

use crate::host_name::HostName;
use crate::lines::{Fault, LineFault, List};
use crate::new_file::{self, PRIVATE, WriteError};
use crate::places::Environment;
use crate::private::{self, MAX_LIST, ReadError, Rule};
use crate::quote::quoted;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use tcpxm::trust::PublicKey;
use thiserror::Error;

/// A file that does not hold, or cannot be written. The fault of whoever looks after it.
#[derive(Debug, Error)]
pub enum KnownHostsError {
    /// It cannot be read, or others can write it.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A line is wrong.
    #[error(transparent)]
    Line(#[from] LineFault),
}

/// A host shows another key than the one that is known: it must not be sent anything.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the key of {host} has changed! Somebody may be listening in the middle, or the host was installed \
     anew. known: {known} ({file}:{line}); shown: {shown}; if it is right, remove line {line} of {file}",
    file = quoted(path)
)]
pub struct ChangedKey {
    /// The host.
    pub host: HostName,
    /// Its key according to the file.
    pub known: PublicKey,
    /// The key it shows.
    pub shown: PublicKey,
    /// The file.
    pub path: PathBuf,
    /// The line of the known key, counted from 1.
    pub line: usize,
}

/// Two names that lead to one address, and a known key of each: whichever the host shows, it is not that of
/// the other.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the key of {} or of {} has changed! Both names lead to the same address, and {file} has another key for \
     each (lines {} and {}): remove the line that is not right",
    hosts[0],
    hosts[1],
    lines[0],
    lines[1],
    file = quoted(path)
)]
pub struct Rivals {
    /// The names.
    pub hosts: [HostName; 2],
    /// The file.
    pub path: PathBuf,
    /// The lines of their keys, counted from 1.
    pub lines: [usize; 2],
}

/// A host is new, and new ones are not taken (`--strict`).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the key of {host} is not known, and --strict takes no new ones; if what it shows is right, add \
     this line to {}: {host} {shown}",
    quoted(path)
)]
pub struct UnknownKey {
    /// The host.
    pub host: HostName,
    /// The key it shows.
    pub shown: PublicKey,
    /// The file.
    pub path: PathBuf,
}

/// What the file says about a key that a host shows, if it does not contradict it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acquaintance {
    /// The very key.
    Known,
    /// Nothing.
    New,
}

/// What came of adding hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Added {
    /// Those that were new, in the order given.
    pub new: Vec<HostName>,
    /// Those that somebody else has added meanwhile, with another key. They were not added.
    pub changed: Vec<ChangedKey>,
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHosts {
    path: PathBuf,
    hosts: BTreeMap<HostName, Known>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    key: PublicKey,
    line: usize,
}

impl KnownHosts {
    /// Reads the file; where there is none, no host is known.
    pub fn read(path: &Path, environment: &Environment) -> Result<Self, KnownHostsError> {
        match private::read(path, Rule::Unforged { uid: environment.uid }, MAX_LIST) {
            Ok(bytes) => Self::parse(path, &bytes),
            Err(ReadError::Missing(_)) => Self::parse(path, b""),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a file's bytes; the path is for messages.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, KnownHostsError> {
        let mut hosts: BTreeMap<HostName, Known> = BTreeMap::new();
        List::Known.read(path, bytes, |text, line| {
            let (host, key) = parse_line(text)?;
            let known = *hosts.entry(host).or_insert(Known { key, line });
            if known.key == key { Ok(()) } else { Err(Fault::Contradiction(known.line)) }
        })?;
        Ok(Self { path: path.to_owned(), hosts })
    }

    /// How many hosts are known.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether the host is known by that key, or new.
    pub fn check(&self, host: &HostName, shown: &PublicKey) -> Result<Acquaintance, ChangedKey> {
        match self.hosts.get(host) {
            None => Ok(Acquaintance::New),
            Some(known) if known.key == *shown => Ok(Acquaintance::Known),
            Some(Known { key, line }) => Err(ChangedKey {
                host: host.clone(),
                known: *key,
                shown: *shown,
                path: self.path.clone(),
                line: *line,
            }),
        }
    }

    /// The same where new hosts are not taken.
    pub fn check_strictly(&self, host: &HostName, shown: &PublicKey) -> Result<(), StrictError> {
        match self.check(host, shown)? {
            Acquaintance::Known => Ok(()),
            Acquaintance::New => {
                let (host, path) = (host.clone(), self.path.clone());
                Err(UnknownKey { host, shown: *shown, path }.into())
            }
        }
    }

    /// The key of names that lead to one address, as far as any of them is known.
    pub fn one_key<'a>(
        &self,
        names: impl IntoIterator<Item = &'a HostName>,
    ) -> Result<Option<&PublicKey>, Rivals> {
        let mut first: Option<(&HostName, &Known)> = None;
        for (host, known) in names.into_iter().filter_map(|name| self.hosts.get_key_value(name)) {
            match first {
                Some((other, of_other)) if of_other.key != known.key => {
                    let (hosts, lines) =
                        ([other.clone(), host.clone()], [of_other.line, known.line]);
                    return Err(Rivals { hosts, path: self.path.clone(), lines });
                }
                Some(_) => {}
                None => first = Some((host, known)),
            }
        }
        Ok(first.map(|(_, known)| &known.key))
    }

    /// The key by which a host is known.
    pub fn key(&self, host: &HostName) -> Option<&PublicKey> {
        self.hosts.get(host).map(|known| &known.key)
    }
}

/// Why a host is refused where new ones are not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StrictError {
    /// It has another key than before.
    #[error(transparent)]
    Changed(#[from] ChangedKey),
    /// It is new.
    #[error(transparent)]
    Unknown(#[from] UnknownKey),
}

/// Takes one line, which is neither blank nor a comment.
fn parse_line(text: &str) -> Result<(HostName, PublicKey), Fault> {
    let mut words = text.split_ascii_whitespace();
    let host = words.next().unwrap_or_default().parse()?;
    let key = [words.next(), words.next()].map(Option::unwrap_or_default).join(" ");
    Ok((host, key.parse()?))
}

/// Remembers hosts that showed their keys for the first time, all at once. The file, and its
/// folder, are made if they are missing; others that add to it at the same time lose nothing, and
/// whoever reads it sees all of these hosts or none.
pub fn add(
    path: &Path,
    environment: &Environment,
    shown: &[(HostName, PublicKey)],
) -> Result<Added, KnownHostsError> {
    if shown.is_empty() {
        return Ok(Added::default());
    }
    // Daemons of other users read /etc/mcp.
    let mode = if environment.uid == 0 { 0o755 } else { 0o700 };
    new_file::folder(new_file::folder_of(path), mode)?;
    let (file, path) = locked(path)?;
    let rule = Rule::Unforged { uid: environment.uid };
    let mut text = private::read_opened(&file, &path, rule, MAX_LIST)?;
    let mut known = KnownHosts::parse(&path, &text)?;
    if text.last().is_some_and(|byte| *byte != b'\n') {
        text.push(b'\n');
    }
    let mut lines = text.split(|byte| *byte == b'\n').count() - 1;
    let mut added = Added::default();
    for (host, key) in shown {
        match known.check(host, key) {
            Ok(Acquaintance::Known) => {}
            Ok(Acquaintance::New) => {
                lines += 1;
                known.hosts.insert(host.clone(), Known { key: *key, line: lines });
                text.extend_from_slice(format!("{host} {key}\n").as_bytes());
                added.new.push(host.clone());
            }
            Err(changed) => added.changed.push(changed),
        }
    }
    if !added.new.is_empty() {
        let mode = file.metadata().map_or(PRIVATE, |metadata| metadata.mode() & 0o777);
        new_file::replace(&path, &text, mode)?;
    }
    Ok(added)
}

/// Who adds hosts has the file locked for some milliseconds, as long as the disk takes; who has it for so much
/// longer hangs, or means harm, and nobody is to wait for that.
const PATIENCE: Duration = Duration::from_secs(2);
/// The lock is asked for so often meanwhile: a wait in flock(2) would have no end, and Ctrl-C would not end it.
const AGAIN: Duration = Duration::from_millis(5);

/// Opens the file, made if need be, and waits for a while until nobody else has it locked. Gives the path
/// that links lead to as well: what is replaced is the file, not a link to it.
fn locked(path: &Path) -> Result<(File, PathBuf), WriteError> {
    let system = |error: io::Error| WriteError::System(path.to_owned(), error);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let begin = Instant::now();
    loop {
        let opened = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR);
        let file = File::from(opened.map_err(|errno| system(errno.into()))?);
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK | Errno::INTR) if begin.elapsed() < PATIENCE => {
                thread::sleep(AGAIN);
                continue;
            }
            Err(Errno::WOULDBLOCK) => return Err(WriteError::Locked(path.to_owned(), PATIENCE)),
            Err(errno) => return Err(system(errno.into())),
        }
        // Whoever had the lock may have put another file in its place, or taken it away.
        match still(&file, path) {
            Ok(Some(real)) => return Ok((file, real)),
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(system(error)),
        }
    }
}

/// The real path of a file, if `path` leads to it.
fn still(file: &File, path: &Path) -> io::Result<Option<PathBuf>> {
    let real = std::fs::canonicalize(path)?;
    let [held, named] = [file.metadata()?, real.metadata()?].map(|data| (data.dev(), data.ino()));
    Ok((held == named).then_some(real))
}

#[cfg(test)]
mod tests;
