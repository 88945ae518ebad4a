//! Who may send to this daemon: `authorized_keys`, in the manner of sshd's (sshd(8)).
//!
//! A line is `[OPTIONS] mcp-ed25519 BASE64 [COMMENT]`; what begins with `#` is a comment. Options
//! have commas between them:
//!
//! - `root="DIR"`: what this key sends goes below that absolute path,
//! - `rate=900M`: bits per second, of all its sessions together,
//! - `size=10G`: bytes a session may have,
//! - `expiry="2027-01-31"`: from the beginning of that day (UTC), or from a time as RFC 3339 has
//!   it, the key is not taken any more,
//! - `allow=owner,setuid`: what this key may ask for beside bytes; without it nothing.
//!
//! One line with a fault and nothing of the file holds: a limit that was left out by mistake would
//! be a right that was given by mistake.

mod expiry;
mod options;

pub use options::OptionFault;

use crate::lines::{Fault, LineFault, List};
use crate::places::Environment;
use crate::private::{self, MAX_LIST, ReadError, Rule};
use crate::quote::quoted;
use mcp_cli::rights::Right;
use options::Options;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tcpxm::trust::{PublicKey, not_authorized};
use thiserror::Error;

/// A file that does not hold. The fault of whoever looks after it.
#[derive(Debug, Error)]
pub enum AuthorizedKeysError {
    /// It cannot be read, or others can write it.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A line is wrong.
    #[error(transparent)]
    Line(#[from] LineFault),
}

/// Why a key may not send, in words for whoever looks after the file; [`Refusal::to_sender`] is for the other.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// It is not in the file.
    #[error(
        "the key {} may not send here: it is not in {}: if it may, add this line there: {key}",
        key.fingerprint(),
        quoted(path)
    )]
    Unknown {
        /// The key that was shown.
        key: PublicKey,
        /// The file.
        path: PathBuf,
    },
    /// Its time is over.
    #[error(
        "the key {} may not send here: it has expired on {}: line {line} of {} says so",
        key.fingerprint(),
        humantime::format_rfc3339_seconds(*expiry),
        quoted(path)
    )]
    Expired {
        /// The key that was shown.
        key: PublicKey,
        /// When.
        expiry: SystemTime,
        /// The file.
        path: PathBuf,
        /// Its line, counted from 1.
        line: usize,
    },
}

impl Refusal {
    /// What its sender is told: nothing of where files stand here.
    pub fn to_sender(&self) -> String {
        match self {
            Self::Unknown { key, .. } => not_authorized(key),
            Self::Expired { key, expiry, .. } => format!(
                "the key {} may not send to this host: it has expired on {}: whoever looks after the host can \
                 give it more time",
                key.fingerprint(),
                humantime::format_rfc3339_seconds(*expiry)
            ),
        }
    }
}

/// What one key may do; `None`: as much as anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    /// Where what it sends goes: an absolute path.
    pub root: Option<PathBuf>,
    /// Bits per second, of all its sessions together.
    pub rate: Option<u64>,
    /// Bytes a session may have.
    pub size: Option<u64>,
    /// From then on it may nothing.
    pub expiry: Option<SystemTime>,
    /// What it may ask for beside bytes; what is not here is not allowed.
    pub allow: BTreeSet<Right>,
    /// What stands behind the key: `user@host`, by custom.
    pub comment: String,
    /// Its line in the file, counted from 1.
    pub line: usize,
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizedKeys {
    path: PathBuf,
    permits: BTreeMap<PublicKey, Permit>,
}

impl AuthorizedKeys {
    /// Reads the file; `None` if there is none.
    pub fn read(path: &Path, env: &Environment) -> Result<Option<Self>, AuthorizedKeysError> {
        match private::read(path, Rule::Unforged { uid: env.uid }, MAX_LIST) {
            Ok(bytes) => Self::parse(path, &bytes).map(Some),
            Err(ReadError::Missing(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a file's bytes; the path is for messages.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, AuthorizedKeysError> {
        let mut permits: BTreeMap<PublicKey, Permit> = BTreeMap::new();
        List::Authorized.read(path, bytes, |text, line| {
            let (key, permit) = parse_line(text, line)?;
            if let Some(first) = permits.get(&key) {
                return Err(Fault::Twice(first.line));
            }
            permits.insert(key, permit);
            Ok(())
        })?;
        Ok(Self { path: path.to_owned(), permits })
    }

    /// What the key may do at that time, if anything.
    pub fn permit(&self, key: &PublicKey, now: SystemTime) -> Result<&Permit, Refusal> {
        let Some(permit) = self.permits.get(key) else {
            return Err(Refusal::Unknown { key: *key, path: self.path.clone() });
        };
        match permit.expiry {
            Some(expiry) if expiry <= now => {
                let path = self.path.clone();
                Err(Refusal::Expired { key: *key, expiry, path, line: permit.line })
            }
            _ => Ok(permit),
        }
    }

    /// When the next of its keys expires after that time.
    pub fn next_expiry(&self, since: SystemTime) -> Option<SystemTime> {
        self.permits.values().filter_map(|permit| permit.expiry).filter(|at| *at > since).min()
    }

    /// The keys that have expired in the time after `since` and until `now`.
    pub fn expired(&self, since: SystemTime, now: SystemTime) -> Vec<Refusal> {
        let new = |permit: &Permit| permit.expiry.is_some_and(|expiry| expiry > since);
        let new = self.permits.iter().filter(|(_, permit)| new(permit));
        new.filter_map(|(key, _)| self.permit(key, now).err()).collect()
    }

    /// The same file with no key in it.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self { path: self.path.clone(), permits: BTreeMap::new() }
    }

    /// Every key of the file, those that have expired among them.
    pub fn keys(&self) -> impl Iterator<Item = (&PublicKey, &Permit)> {
        self.permits.iter()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Takes one line, which is neither blank nor a comment.
fn parse_line(text: &str, line: usize) -> Result<(PublicKey, Permit), Fault> {
    let is_key = |text: &str| text.split_ascii_whitespace().next() == Some(PublicKey::KIND);
    let (options, text) =
        if is_key(text) { (Options::default(), text) } else { options::split(text)? };
    // The kind and the key; the rest is the comment.
    let text = text.trim_ascii_start();
    let end_of_word = |text: &str| text.find([' ', '\t']).unwrap_or(text.len());
    let kind = end_of_word(text);
    let behind = text[kind..].trim_ascii_start();
    let key_at = text.len() - behind.len();
    let (key, comment) = text.split_at(key_at + end_of_word(behind));
    let key = key.parse()?;
    let Options { root, rate, size, expiry, allow } = options;
    let allow = allow.unwrap_or_default();
    let comment = comment.trim_ascii().to_owned();
    Ok((key, Permit { root, rate, size, expiry, allow, comment, line }))
}

#[cfg(test)]
mod tests;
