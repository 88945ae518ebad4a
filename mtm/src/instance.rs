//! Which installation of a receiver answers: another one has none of what the last one had.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What the id is derived for (BLAKE3, `derive_key`).
const CONTEXT: &str = "mtm 2026-11 instance of a receiver";

/// The id of the daemon of this `installation`, 32 bytes that it has drawn and kept, that receives below `root`: below
/// another folder it has nothing of what it has below this one.
pub fn id(installation: &[u8; 32], root: &Path) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(installation).update(root.as_os_str().as_bytes());
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_installation_and_another_folder_are_another_instance() {
        let one = id(&[1; 32], Path::new("/srv"));
        assert_eq!(one, id(&[1; 32], Path::new("/srv")));
        assert_ne!(one, id(&[2; 32], Path::new("/srv")));
        assert_ne!(one, id(&[1; 32], Path::new("/srv2")));
    }
}
