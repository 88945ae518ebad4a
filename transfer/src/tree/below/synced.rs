//! What is made durable before the verdict, and where that is.

use super::{Below, said};
use crate::message::Sync;
use crate::place::dirs::Folder;
use crate::tree::ground::Why;
use rustix::fs::syncfs;
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Folders that are made durable one by one where each file is; with more of them the file system is as a whole.
pub(super) const SYNCED: usize = 64;
/// File systems below the root that are made durable, at most: each is a descriptor.
const MOUNTED: usize = 64;

/// A file system that is mounted below the root.
#[derive(Debug)]
struct Mount {
    device: u64,
    /// A folder of it, one that may be read if there is one: else it cannot be made durable.
    folder: Arc<Folder>,
    is_read: bool,
}

/// The file systems that are mounted below the root, and that the tree goes into.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    kept: Vec<Mount>,
    /// One of them is beyond what is kept: that is told.
    beyond: bool,
}

impl Mounts {
    /// The tree has gone into a folder of one; `false`, once: that is one too many.
    fn note(&mut self, device: u64, here: &Arc<Folder>) -> bool {
        let known = self.kept.iter().position(|mount| mount.device == device);
        if known.is_none() && self.kept.len() >= MOUNTED {
            return std::mem::replace(&mut self.beyond, true);
        }
        if known.is_some_and(|at| self.kept[at].is_read) {
            return true;
        }
        let mount = Mount { device, folder: Arc::clone(here), is_read: here.is_read() };
        match known {
            Some(at) => self.kept[at] = mount,
            None => self.kept.push(mount),
        }
        true
    }
}

/// A name in a folder has changed, which is to be durable. With too many of them none is kept.
pub(super) fn note(changed: &mut Option<BTreeSet<Arc<[u8]>>>, folder: &[u8]) {
    if let Some(kept) = changed
        && !kept.contains(folder)
    {
        kept.insert(folder.into());
        if kept.len() > SYNCED {
            *changed = None;
        }
    }
}

impl Below<'_> {
    /// A name in a folder has changed.
    pub(super) fn change(&mut self, folder: &[u8]) {
        note(&mut self.changed, folder);
    }

    /// The tree has gone into a folder: which may be of another file system than the root.
    pub(super) fn note_mounted(&mut self) {
        let Some(dirs) = &self.dirs else { return };
        let (here, root) = (Arc::clone(dirs.here()), dirs.root().device());
        if here.device() == root || self.mounted.note(here.device(), &here) {
            return;
        }
        if self.sync != Sync::None {
            self.unset.insert(format!(
                "a power failure may still take what is in {}: more than {MOUNTED} file systems are mounted here",
                here.shown()
            ));
        }
    }

    /// Makes all file systems durable that something went into.
    fn sync_systems(&mut self) -> Result<(), Why> {
        let root = syncfs(self.beneath.root()).map_err(|error| error.to_string());
        self.mounted.kept.iter().fold(root, |all, mount| {
            let synced = syncfs(mount.folder.fd()).map_err(|error| {
                let shown = mount.folder.shown();
                match error {
                    // One that may only be entered cannot be asked for that (open(2), `O_PATH`).
                    Errno::BADF => format!(
                        "{shown} is on a file system of its own, of which this host may read no folder"
                    ),
                    error => format!("{shown}: {error}"),
                }
            });
            all.and(synced)
        })
    }

    /// Makes durable what is to be.
    pub(super) fn sync(&mut self) -> Result<(), Why> {
        let undone = |error: Why| format!("cannot make it durable: {error}");
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
                    None => self.sync_systems().err(),
                };
                let lost = |error| format!("a power failure may still take names: {error}");
                self.unset.extend(failed.map(lost));
                Ok(())
            }
            (Sync::Tree, _) => self.sync_systems().map_err(undone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::holder;
    use super::super::*;
    use super::*;
    use crate::place::beneath::Beneath;
    use std::fs;

    /// One that may be read, and one that may only be entered.
    fn folders(dir: &std::path::Path) -> [Arc<Folder>; 2] {
        fs::create_dir(dir.join("in")).unwrap();
        let beneath = Beneath::new(File::open(dir).unwrap().into());
        let read = Folder::open(&beneath, b"in", false).unwrap();
        [Arc::new(read), Arc::new(Folder::entered(&beneath, b"in").unwrap())]
    }

    #[test]
    fn of_each_file_system_a_folder_is_kept_that_may_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let [read, entered] = folders(dir.path());
        let mut mounts = Mounts::default();
        for (here, is_read) in [(&entered, false), (&read, true), (&entered, true)] {
            assert!(mounts.note(7, here));
            assert_eq!((mounts.kept[0].folder.is_read(), mounts.kept.len()), (is_read, 1));
        }
        let beyond = (0..3 * MOUNTED as u64).filter(|device| !mounts.note(100 + device, &read));
        assert_eq!(beyond.count(), 1, "it is told once");
        assert_eq!(mounts.kept.len(), MOUNTED);
    }

    #[test]
    fn a_tree_is_not_called_durable_where_a_file_system_cannot_be_asked_for_that() {
        let dir = tempfile::tempdir().unwrap();
        let [read, entered] = folders(dir.path());
        let finish = |sync, folder| {
            let root = Root::open(dir.path()).unwrap();
            let offer = Offer { sync, ..Offer::default() };
            let limits = Limits::default();
            let mut below = Below::new(&root, &offer, &limits, (holder(), &|| false)).unwrap();
            below.changed = None;
            below.mounted.note(7, folder);
            (below.finish(), below.unset().len())
        };
        let (failed, _) = finish(Sync::Tree, &entered);
        let why = failed.unwrap_err();
        assert!(why.starts_with("cannot make it durable: in is on a file system"), "{why}");
        assert_eq!(finish(Sync::Tree, &read), (Ok(Vec::new()), 0));
        // Where the files themselves are durable, it is told.
        assert_eq!(finish(Sync::File, &entered), (Ok(Vec::new()), 1));
        assert_eq!(finish(Sync::None, &entered), (Ok(Vec::new()), 0));
    }
}
