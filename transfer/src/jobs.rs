//! What mirror jobs are to a receiver: whoever takes part in some says it by [`Jobs`].

use crate::message::OfJob;
use std::ffi::OsStr;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use tcpxm::trust::PublicKey;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct From {
    /// The key that was shown, where senders have keys.
    pub key: Option<PublicKey>,
    /// Where that is.
    pub peer: SocketAddr,
}

/// The place below a root that a path and a name below it lead to; what leads elsewhere is refused by who writes there.
pub(crate) fn place(root: &Path, to: &[u8], below: &[u8]) -> PathBuf {
    let parts = to.split(|byte| *byte == b'/').chain([below]);
    let parts = parts.filter(|part| !part.is_empty() && *part != b".");
    parts.fold(root.to_owned(), |path, part| path.join(OsStr::from_bytes(part)))
}

/// What a receiver does about mirror jobs.
pub trait Jobs: Debug + Send + Sync {
    /// Something of a job is about to be written at this place, or what is not in it deleted.
    ///
    /// # Errors
    ///
    /// That may not be, and why: the sender is told.
    fn begin(&self, from: &From, job: &OfJob, place: &Path) -> Result<(), String>;

    /// A session for a job that began is over; `ok`: all that was listed is in place.
    fn end(&self, job: &OfJob, ok: bool);

    /// A word from somebody, and what is answered.
    fn hear(&self, from: &From, word: &[u8]) -> Vec<u8>;
}
