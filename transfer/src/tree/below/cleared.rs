//! A folder that stands where the source has something else, and that goes for it.

use super::extras::JOINED;
use super::{Below, Way, said, survey};
use crate::holders::Writing;
use crate::place::beneath::plain_name;
use crate::place::dirs::Folder;
use crate::place::folding::Folds;
use crate::place::removal::Removal;
use crate::tree::entry::Entry;
use crate::tree::extras::{Clearing, Deleted};
use crate::tree::ground::Ground;
use crate::tree::scan::names::Hint;
use rustix::fs::{AtFlags, FileType, statat};
use std::ffi::CString;
use std::sync::Arc;

const MANY: &str = "a folder stays that has something else's name at the source: more is in it than may be deleted \
                    (--max-delete)";

impl Below<'_> {
    /// Clears an entry's name in that folder, which has this path from the root folder. What was deleted; `None`: what
    /// stands there is no folder, or not all of it may go, and all of it stays.
    pub(super) fn clear_name(
        &mut self,
        (folder, path): (&Arc<Folder>, &Arc<[u8]>),
        entry: &Entry,
        clearing: &Clearing<'_>,
    ) -> Option<Deleted> {
        let name = plain_name(&entry.name).ok()?.to_owned();
        let stands = statat(folder.fd(), &name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        // Right below the root folder is what others have sent.
        if FileType::from_raw_mode(stands.st_mode) != FileType::Directory || path.is_empty() {
            return None;
        }
        let folds = if self.dry { survey::folds(folder) } else { self.taken.folds(folder) };
        // By another spelling it may have been listed.
        if !matches!(folds, Folds::Nothing) || self.is_shared() {
            return None;
        }
        if clearing.one_file_system {
            let topmost = Folder::open(&self.beneath, &self.base, false).ok()?;
            if topmost.device() != folder.device() {
                return None;
            }
        }
        let name = CString::new(entry.name.clone()).ok()?;
        let way = Way { path: Arc::clone(path), new: false, free: false };
        let mut below = self.path(&way, &entry.name);
        let Clearing { rules, most, named, .. } = clearing;
        let mut counting = Removal::counting(rules, self.is_over).naming(*named);
        let free = || Ok(());
        counting.extra(folder.fd(), (&name, Hint::Folder), &mut below, &free).ok()?;
        let counted = counting.tally;
        // What stays, whatever keeps it, keeps the folder: then nothing in it goes.
        if counted.failures > 0 || counted.extras == 0 || counted.extras != counted.standing {
            return None;
        }
        if counted.extras > *most {
            self.tell(MANY);
            return None;
        }
        if self.dry {
            return Some(Deleted::of(counted, Vec::new()));
        }
        let (beneath, writing) = (Arc::clone(&self.beneath), self.writing.as_ref());
        let check = || {
            if writing.is_some_and(Writing::is_joined) {
                return Err(JOINED.to_owned());
            }
            folder.check_in_place(&beneath, path).map_err(said)
        };
        let mut removal = Removal::of(*most, rules, self.is_over).naming(*named);
        // What is gone is told, also where it was ended.
        let _ = removal.extra(folder.fd(), (&name, Hint::Folder), &mut below, &check);
        self.change(path);
        Some(Deleted::of(removal.tally, Vec::new()))
    }
}
