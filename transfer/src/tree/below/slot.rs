//! A file whose bytes come, from its beginning until it has its name.

use super::resumed::Hold;
use super::{Below, Way, mode_of, said};
use crate::blocks;
use crate::place::beneath::plain_name;
use crate::place::partial::{self, Journal, Partial};
use crate::place::room;
use crate::place::temporary::Temporary;
use crate::prefix::Arriving;
use crate::tree::entry::{Entry, Kind, Meta};
use crate::tree::ground::{Held, Why};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

/// It.
pub(crate) struct Slot {
    pub(super) temporary: Temporary,
    /// Of one that a later session may go on with: which of its blocks are there.
    pub(super) journal: Option<Journal>,
    pub(super) holding: Option<Hold>,
    /// What stands under a former name, open: whatever takes that name meanwhile, it is this.
    pub(super) former: Option<File>,
    pub(super) name: Vec<u8>,
    pub(super) way: Way,
    pub(super) meta: Meta,
    pub(super) len: u64,
    pub(super) arriving: Option<Arriving>,
}

impl Slot {
    /// It is to have so many bytes, which was not known before.
    pub(crate) fn lengthen(&mut self, len: u64) {
        self.len = self.len.max(len);
    }
}

impl Below<'_> {
    /// Begins one, with room for its bytes; the blocks that an earlier session has left of it, as it says.
    pub(super) fn begin_slot(&mut self, dir: &Way, entry: &Entry) -> Result<(Slot, Held), Why> {
        let Kind::File { len, data } = &entry.kind else { return Err("it is no file".to_owned()) };
        let folder = self.folder(dir)?;
        self.check_in_place(dir)?;
        if !self.resume && blocks::count(*len) > 1 && !dir.new {
            partial::remove(&folder, plain_name(self.name(entry)).map_err(said)?);
        }
        let (temporary, journal, holding, left) = if self.resume && blocks::count(*len) > 1 {
            let (Partial { temporary, journal, held }, hold) = self.partial(&folder, dir, entry)?;
            (temporary, Some(journal), Some(hold), held)
        } else {
            (Temporary::create(&folder).map_err(said)?, None, None, Held::new())
        };
        let unset = room::reserve(temporary.file().as_fd(), *len, data.as_deref(), folder.shown());
        self.refused(unset.map_err(said)?);
        let (name, way, meta) = (self.name(entry).to_vec(), dir.clone(), entry.meta.clone());
        let arriving = self.begin_watched(&temporary, &name, *len);
        let (former, len) = (self.former(dir, entry), *len);
        let slot = Slot { temporary, journal, holding, former, name, way, meta, len, arriving };
        Ok((slot, left))
    }

    /// Gives one its name that has all of its bytes.
    pub(super) fn keep_slot(&mut self, slot: Slot) -> Result<(), Why> {
        let Slot {
            temporary,
            mut journal,
            holding: _holding,
            former: _,
            name,
            way,
            meta,
            len,
            arriving,
        } = slot;
        let lost =
            |error| format!("cannot give {} its length: {error}", temporary.folder().shown());
        room::lengthen(temporary.file(), len).map_err(lost)?;
        let folder = temporary.folder();
        let standing = folder.may_replace(OsStr::from_bytes(&name), true).map_err(said)?;
        self.settle(temporary, (&name, &way), &meta, standing.and_then(|s| mode_of(&s)))?;
        journal.iter_mut().for_each(Journal::end);
        arriving.into_iter().for_each(Arriving::complete);
        Ok(())
    }
}
