//! What a sender is told that was left out on purpose.

use super::Below;
use crate::place::meta::NotCarried;

impl Below<'_> {
    /// What is told was not set, and why.
    pub(super) fn left_out(&mut self, left: impl Iterator<Item = NotCarried>) {
        for left in left {
            let note = match left {
                NotCarried::Owner => {
                    "owners are not kept: this host allows no sender to set them (allow=owner)"
                }
                NotCarried::Group => {
                    "groups are not kept: this host allows no sender to set them (allow=owner)"
                }
                NotCarried::SetUid => {
                    "set-user-ID bits are not kept where the owner is not, or not allowed \
                                       (allow=setuid)"
                }
                NotCarried::Capability => {
                    "capabilities of files are not kept: they need root here, and a sender that may set them \
                                       (allow=setuid)"
                }
                NotCarried::Trusted => {
                    "attributes trusted.* are not kept: they need root here, and a sender that may set them \
                                       (allow=setuid)"
                }
                NotCarried::DefaultList => {
                    "default lists of folders that stood here already are not kept: this host allows no sender to \
                                       set them (allow=owner)"
                }
                NotCarried::SetGid => {
                    "set-group-ID bits are not kept where the group is not, or not allowed \
                                       (allow=setuid)"
                }
            };
            self.tell(note);
        }
    }

    /// Tells the sender, once.
    pub(super) fn tell(&mut self, note: &'static str) {
        if self.told.insert(note) {
            self.notes.insert(note);
        }
    }
}
