//! Which installation speaks. Masters and receivers have each a key of their own, made at first use, by which the other
//! side knows them again: leases, incarnations and what a receiver has hang on it. Where senders and hosts are trusted by
//! their keys, a master is known by that key; where all share a secret, which says only who may speak, by this one.
//!
//! A key is shown by a signature over the binding of the association that it is shown on ([`tcpxm::seal::Binding`]): what
//! somebody has heard counts nowhere else, also not where he sits between the two.

use crate::words::JobId;
use core::fmt;
use serde::{Deserialize, Serialize};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use tcpxm::seal::Binding;
use tcpxm::trust::{Identity, PublicKey};
use zeroize::Zeroizing;

/// What is derived (BLAKE3, `derive_key`) of the 32 bytes that an installation keeps: its key …
const KEY: &str = "mtm 2026-11 key of an installation";
/// … and what a folder is called that it receives into: this tells nobody where it is.
const FOLDER: &str = "mtm 2026-11 instance of a receiver";
/// What a receiver's id is derived for, of its key and what its folder is called.
const INSTANCE: &str = "mtm 2026-11 installation and folder of a receiver";
/// What an installation's signatures are about.
const CONTEXT: &str = "mtm installation";

/// What an installation calls a folder that it receives into.
pub type Folder = [u8; 16];

/// As what it speaks: what is shown as the one is not shown as the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// As the master of a job.
    Master,
    /// As a receiver that receives into that folder: below another one it has nothing of what it has below this.
    Receiver(Folder),
}

impl Role {
    fn code(self) -> u8 {
        match self {
            Self::Master => 1,
            Self::Receiver(_) => 2,
        }
    }

    fn folder(self) -> Folder {
        match self {
            Self::Master => Folder::default(),
            Self::Receiver(folder) => folder,
        }
    }
}

/// This installation.
pub struct Installation {
    drawn: Zeroizing<[u8; 32]>,
    identity: Identity,
}

impl Installation {
    /// Of 32 bytes that it has drawn and kept.
    pub fn new(drawn: &[u8; 32]) -> Self {
        let mut random = Zeroizing::new([0; 64]);
        let mut hasher = blake3::Hasher::new_derive_key(KEY);
        hasher.update(drawn).finalize_xof().fill(random.as_mut_slice());
        Self { drawn: Zeroizing::new(*drawn), identity: Identity::generate(*random) }
    }

    /// By what others know it.
    pub fn public(&self) -> PublicKey {
        self.identity.public()
    }

    /// What it calls a folder that it receives into.
    pub fn folder(&self, root: &Path) -> Folder {
        let mut hasher = blake3::Hasher::new_derive_key(FOLDER);
        hasher.update(&*self.drawn).update(root.as_os_str().as_bytes());
        let mut folder = Folder::default();
        hasher.finalize_xof().fill(&mut folder);
        folder
    }

    /// Shows that it speaks of a job, over the association of this binding.
    pub fn shows(&self, role: Role, job: &JobId, binding: &Binding) -> Shown {
        let (key, folder) = (*self.public().as_bytes(), role.folder());
        let signature = self.identity.sign(CONTEXT, &message(role, job, binding));
        let ([first, second], _) = signature.as_chunks::<32>() else { unreachable!() };
        Shown { key, folder, signature: [*first, *second] }
    }
}

/// The public key alone.
impl fmt::Debug for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Installation({}, ..)", self.public())
    }
}

fn message(role: Role, job: &JobId, binding: &Binding) -> Vec<u8> {
    [&[role.code()][..], binding, job, &role.folder()].concat()
}

/// What shows who speaks, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    key: [u8; 32],
    /// Of a receiver; a master's is zeros.
    folder: Folder,
    signature: [[u8; 32]; 2],
}

impl Shown {
    /// The master's key, if it is shown here, for this job.
    pub fn master(&self, job: &JobId, binding: &Binding) -> Option<PublicKey> {
        self.check(Role::Master, job, binding)
    }

    /// Which receiver it is, if it is shown here, for this job: another key or another folder is another one.
    pub fn instance(&self, job: &JobId, binding: &Binding) -> Option<[u8; 16]> {
        let key = self.check(Role::Receiver(self.folder), job, binding)?;
        let mut hasher = blake3::Hasher::new_derive_key(INSTANCE);
        let mut id = [0; 16];
        hasher.update(key.as_bytes()).update(&self.folder).finalize_xof().fill(&mut id);
        Some(id)
    }

    fn check(&self, role: Role, job: &JobId, binding: &Binding) -> Option<PublicKey> {
        let key = PublicKey::from_bytes(self.key).ok()?;
        let signature = self.signature.as_flattened().try_into().ok()?;
        key.has_signed(CONTEXT, &message(role, job, binding), signature).then_some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: JobId = [1; 16];
    const HERE: Binding = [7; 32];

    fn receiver(drawn: u8, root: &str) -> Shown {
        let installation = Installation::new(&[drawn; 32]);
        installation.shows(Role::Receiver(installation.folder(Path::new(root))), &JOB, &HERE)
    }

    #[test]
    fn another_installation_and_another_folder_are_another_instance() {
        let id = |drawn, root| receiver(drawn, root).instance(&JOB, &HERE).unwrap();
        let one = id(1, "/srv");
        assert_eq!(one, id(1, "/srv"));
        assert_ne!(one, id(2, "/srv"));
        assert_ne!(one, id(1, "/srv2"));
    }

    #[test]
    fn what_is_shown_counts_here_for_this_job_and_in_this_role_alone() {
        let (master, other) = (Installation::new(&[1; 32]), Installation::new(&[2; 32]));
        let shown = master.shows(Role::Master, &JOB, &HERE);
        assert_eq!(shown.master(&JOB, &HERE), Some(master.public()));
        assert_eq!(shown.master(&JOB, &[8; 32]), None, "over another association");
        assert_eq!(shown.master(&[2; 16], &HERE), None, "of another job");
        assert_eq!(shown.instance(&JOB, &HERE), None, "as a receiver");
        let copied = Shown { key: *other.public().as_bytes(), ..shown };
        assert_eq!(copied.master(&JOB, &HERE), None, "with another key");
        let shown = receiver(1, "/srv");
        assert_eq!(shown.master(&JOB, &HERE), None, "as a master");
        let elsewhere = Shown { folder: [3; 16], ..shown };
        assert_eq!(elsewhere.instance(&JOB, &HERE), None, "with another folder");
    }

    #[test]
    fn debug_shows_the_public_key_alone() {
        let installation = Installation::new(&[0xab; 32]);
        let shown = format!("{installation:?}");
        assert_eq!(shown, format!("Installation({}, ..)", installation.public()));
    }
}
