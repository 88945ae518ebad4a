//! What the source of a mirror job has to be still when a session ends.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use transfer::tree::scan::Stamp;

/// What a source is, beyond its path.
#[derive(Debug, Clone, Default)]
pub struct Pinned {
    /// Device and inode of its root.
    pub root: (u64, u64),
    /// Folders below it, from the root of the transfer, where something is mounted.
    pub mounts: Vec<PathBuf>,
}

impl Pinned {
    /// Whether a root of this device and inode is that one. The device of a file system without one of its own (btrfs, NFS,
    /// overlay) has another number after each start.
    pub fn is_root(&self, (dev, ino): (u64, u64)) -> bool {
        let is_drawn = |dev: u64| rustix::fs::major(dev) == 0;
        ino == self.root.1 && (dev == self.root.0 || (is_drawn(dev) && is_drawn(self.root.0)))
    }

    /// Why `source` is not that any more; paths of the transfer are below `above`.
    pub(super) fn doubt(&self, source: &Path, above: &Path) -> Option<String> {
        match source.metadata() {
            Ok(meta) if self.is_root((meta.dev(), meta.ino())) => {}
            Ok(_) => return Some("the folder is another one by now".to_owned()),
            Err(error) => return Some(format!("the folder cannot be looked at: {error}")),
        }
        let lost = self.mounts.iter().find(|path| !is_mounted(&above.join(path)))?;
        Some(format!("{} is not mounted any more", lost.display()))
    }
}

/// Whether something is mounted at that path; where the system does not tell, whether it is on another device than the
/// folder that it stands in.
fn is_mounted(path: &Path) -> bool {
    let Ok(own) = Stamp::at(path) else { return false };
    let above = || path.parent().and_then(|above| Stamp::at(above).ok());
    own.mount.unwrap_or_else(|| above().is_none_or(|above| above.dev != own.dev))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_that_is_gone_is_a_doubt() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("mnt")).unwrap();
        let meta = dir.path().metadata().unwrap();
        let root = (meta.dev(), meta.ino());
        let doubt = |mounts: &[&str], above: &Path| {
            let mounts = mounts.iter().map(PathBuf::from).collect();
            Pinned { root, mounts }.doubt(dir.path(), above)
        };
        assert_eq!(doubt(&[], dir.path()), None);
        for gone in ["mnt", "none"] {
            let why = doubt(&[gone], dir.path()).unwrap();
            assert_eq!(why, format!("{gone} is not mounted any more"));
        }
        assert_eq!(doubt(&["proc"], Path::new("/")), None, "that is mounted");
    }
}
