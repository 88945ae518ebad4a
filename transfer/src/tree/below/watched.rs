//! Who reads files while they arrive is told where they stand, and how far they can be read.

use super::{Below, Slot};
use crate::destination::Root;
use crate::limits::Limits;
use crate::message::Offer;
use crate::place::room;
use crate::place::temporary::Temporary;
use crate::prefix::{Arriving, Prefixes};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{PathBuf, absolute};
use std::sync::Arc;

/// Who is told.
pub(super) struct Watched {
    prefixes: Arc<Prefixes>,
    /// The root's path; absolute, since others stand elsewhere.
    root: PathBuf,
    /// How long a file is, is told with its end.
    stream: bool,
}

impl Watched {
    /// Somebody, if the session's limits say so.
    pub(super) fn new(root: &Root, offer: &Offer, limits: &Limits) -> Option<Self> {
        let prefixes = Arc::clone(limits.prefixes.as_ref()?);
        // Without a current folder there is no better name for it.
        let path = absolute(root.path()).unwrap_or_else(|_| root.path().to_owned());
        Some(Self { prefixes, root: path, stream: offer.stream })
    }
}

impl Below<'_> {
    /// A file of this name begins.
    pub(super) fn begin_watched(
        &self,
        temporary: &Temporary,
        name: &[u8],
        len: u64,
    ) -> Option<Arriving> {
        let Watched { prefixes, root, stream } = self.watched.as_ref()?;
        let place = |name: &OsStr| temporary.folder().shown().join(name).below(root);
        let (path, partial) = (place(OsStr::from_bytes(name)), place(temporary.name()));
        prefixes.begin(&path, &partial, (!stream).then_some(len))
    }
}

impl Slot {
    /// So many bytes from its beginning are what was sent.
    pub(super) fn tell_verified(&self, bytes: u64) {
        let Some(arriving) = &self.arriving else { return };
        // Where a file system could not give it its length at first, a hole at the end of these is not there yet.
        if room::lengthen(self.temporary.file(), bytes).is_ok() {
            arriving.verified(bytes);
        }
    }
}
