//! What is made durable before the verdict, and where that is.

use super::{Below, said};
use crate::message::Sync;
use crate::place::dirs::Folder;
use crate::tree::ground::Why;
use rustix::fs::syncfs;
use rustix::io::Errno;
use std::sync::Arc;

/// Folders that are made durable one by one where each file is; with more of them the file system is as a whole.
const SYNCED: usize = 64;
/// File systems below the root that are made durable, at most: each is a descriptor.
const MOUNTED: usize = 64;

impl Below<'_> {
    /// A name in a folder has changed.
    pub(super) fn change(&mut self, folder: &[u8]) {
        if let Some(changed) = &mut self.changed
            && !changed.contains(folder)
        {
            changed.insert(folder.into());
            if changed.len() > SYNCED {
                self.changed = None;
            }
        }
    }

    /// The tree has gone into a folder: which may be of another file system than the root.
    pub(super) fn note_mounted(&mut self) {
        let Some(dirs) = &self.dirs else { return };
        let (here, root) = (Arc::clone(dirs.here()), dirs.root().device());
        let is_known = |device| device == root || self.mounted.iter().any(|m| m.device() == device);
        if is_known(here.device()) {
            return;
        }
        if self.mounted.len() < MOUNTED {
            self.mounted.push(here);
        } else {
            self.unset.insert(format!(
                "a power failure may still take what is in {}: more than {MOUNTED} file systems are mounted here",
                here.shown()
            ));
        }
    }

    /// Makes all file systems durable that something went into.
    fn sync_systems(&mut self) -> Result<(), Errno> {
        syncfs(self.beneath.root())?;
        for folder in &self.mounted {
            match syncfs(folder.fd()) {
                // One that may only be entered cannot be asked for that (open(2), `O_PATH`).
                Err(error @ Errno::BADF) => {
                    let lost = format!(
                        "a power failure may still take what is in {}: {error}",
                        folder.shown()
                    );
                    self.unset.insert(lost);
                }
                done => done?,
            }
        }
        Ok(())
    }

    /// Makes durable what is to be.
    pub(super) fn sync(&mut self) -> Result<(), Why> {
        let undone = |error: Errno| format!("cannot make it durable: {error}");
        match (self.sync, &self.changed) {
            (Sync::None, _) => Ok(()),
            // The files are. What the system says of their names is told, and takes none of them away.
            (Sync::File, changed) => {
                let sync = |path: &Arc<[u8]>| {
                    let folder = Folder::open(&self.beneath, path, false).map_err(said)?;
                    folder.sync(&self.beneath).map_err(|error| error.to_string())
                };
                let failed: Option<Why> = match changed {
                    Some(changed) => changed.iter().find_map(|path| sync(path).err()),
                    None => self.sync_systems().err().map(|error| error.to_string()),
                };
                let lost = |error| format!("a power failure may still take names: {error}");
                self.unset.extend(failed.map(lost));
                Ok(())
            }
            (Sync::Tree, _) => self.sync_systems().map_err(undone),
        }
    }
}
