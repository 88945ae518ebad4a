//! What mirror jobs are to a receiver: whoever takes part in some says it by [`Jobs`].

use crate::message::OfJob;
use std::ffi::OsStr;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use tcpxm::seal::Binding;
use tcpxm::trust::PublicKey;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct From {
    /// The key that was shown, where senders have keys.
    pub key: Option<PublicKey>,
    /// The key of its installation, once that has been shown ([`OfJob::shown`]).
    pub installation: Option<PublicKey>,
    /// Which association it is: what is shown on another one counts for nothing here.
    pub binding: Binding,
    /// Where that is.
    pub peer: SocketAddr,
}

impl From {
    /// Who that is for sure: by the key that whoever trusts it has listed, else by the one of its own making.
    pub fn who(&self) -> Option<PublicKey> {
        self.key.or(self.installation)
    }
}

/// Makes what shows who sends for the job of that id over the association of that binding.
pub type Shows<'a> = dyn Fn(&[u8; 16], &Binding) -> Vec<u8> + Send + Sync + 'a;

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

    /// What shows the sender which installation this is ([`crate::message::ToSender::Ready`]); empty: nothing.
    fn shows(&self, from: &From, job: &OfJob) -> Vec<u8>;

    /// A session for a job that began is over; `ok`: all that was listed is in place.
    fn end(&self, job: &OfJob, ok: bool);

    /// A word from somebody, and what is answered.
    fn hear(&self, from: &From, word: &[u8]) -> Vec<u8>;
}
