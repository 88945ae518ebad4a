//! Files that an earlier session has left, and that a later one may go on with.

use super::{Below, UNWANTED, Way, said};
use crate::holders::{Holders, Inode};
use crate::place::beneath::plain_name;
use crate::place::dirs::Folder;
use crate::place::partial::{self, Busy, Partial};
use crate::tree::entry::{Entry, Kind, Time};
use crate::tree::ground::{Ground, Why};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Instant;

/// Says of a partial file who writes it, as long as that is so.
pub(super) struct Hold {
    holders: Arc<Holders>,
    inode: Inode,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.holders.remove(self.inode);
    }
}

/// How often it is tried to have a partial file that somebody else held.
const TRIES: usize = 5;

impl Below<'_> {
    /// Opens the partial file of an entry, and takes it over from a session that its sender has left.
    pub(super) fn partial(
        &mut self,
        folder: &Arc<Folder>,
        dir: &Way,
        entry: &Entry,
    ) -> Result<(Partial, Hold), Why> {
        let Kind::File { len, .. } = entry.kind else { return Err("it is no file".to_owned()) };
        let name = plain_name(self.name(entry)).map_err(said)?;
        let key = self.key(dir, name, entry, len);
        let mut waited = None;
        for _ in 0..TRIES {
            // A sender may have left while this session did not run, or waited for another; what it begins now, nobody
            // would take over.
            if !self.begun && !self.holder.hears_of_its_sender(waited) {
                return Err(UNWANTED.to_owned());
            }
            match Partial::open(folder, name, key, len) {
                Ok(partial) => {
                    self.begun = true;
                    let inode = partial.temporary.inode().map_err(said)?;
                    self.holders.add(inode, &self.holder);
                    return Ok((partial, Hold { holders: Arc::clone(&self.holders), inode }));
                }
                Err(Busy::Failed(error)) => return Err(said(error)),
                Err(Busy::Held(inode)) => {
                    let path = folder.shown().join(name);
                    let taken = self.holders.take_over(inode, &self.holder.sender);
                    taken.map_err(|why| format!("{path} is refused: {why}"))?;
                    waited = Some(Instant::now());
                }
            }
        }
        Err(format!("{} is refused: another process is writing it", folder.shown().join(name)))
    }

    /// What a partial file of this entry is a part of.
    fn key(&self, dir: &Way, name: &OsStr, entry: &Entry, len: u64) -> partial::Key {
        let source = self.path(dir, &entry.name);
        let Time { secs, nanos } = entry.meta.mtime;
        let mut key = blake3::Hasher::new_derive_key("tcpxm 2026 what a partial file is a part of");
        for bytes in [&dir.path, name.as_bytes(), &source, &self.holder.sender] {
            key.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        }
        for number in [len, secs.cast_unsigned(), nanos.into()] {
            key.update(&number.to_le_bytes());
        }
        *key.finalize().as_bytes()
    }
}
