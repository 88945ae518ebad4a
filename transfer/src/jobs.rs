//! What mirror jobs are to a receiver: whoever takes part in some says it by [`Jobs`].

use crate::destination::Root;
use crate::message::OfJob;
use crate::place::PlaceError;
use crate::place::beneath::plain_name;
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

/// The place of a job below a root: folders that lead there by no symbolic link, as whoever writes there has found them,
/// and the name below them, if it has one.
pub(crate) fn place(root: &Root, way: &[Vec<u8>], below: &[u8]) -> Result<PathBuf, PlaceError> {
    let way = way.iter().fold(root.real(), |path, name| path.join(OsStr::from_bytes(name)));
    Ok(if below.is_empty() { way } else { way.join(plain_name(below)?) })
}

/// What a receiver does about mirror jobs.
pub trait Jobs: Debug + Send + Sync {
    /// Whether [`Self::begin`] would let a job have this place. It is asked before anything is made on the way there, and
    /// nothing is kept of it: what is refused afterwards has had no place.
    ///
    /// # Errors
    ///
    /// It would not, and why: the sender is told.
    fn may_begin(&self, from: &From, job: &OfJob, place: &Path) -> Result<(), String>;

    /// Something of a job is about to be written at this place, or what is not in it deleted: the offer is accepted. No
    /// symbolic link leads there.
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
