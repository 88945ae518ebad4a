//! Whose the entries are at this host.

use super::Below;
use crate::shown::shown;
use crate::tree::ground::Why;
use crate::tree::manifest::Owner;

/// The number of an owner that chown(2) takes for none.
pub(super) const NOBODY: u32 = u32::MAX;

impl Below<'_> {
    /// The numbers of an owner and a group here, by their names where those are known.
    pub(super) fn owner_here(&mut self, owner: &Owner) -> Result<(u32, u32), Why> {
        let keep = self.rules.keep;
        let may = self.rules.allowed.owner || self.rules.allowed.setuid;
        if !may || !(keep.owner || keep.group || keep.perms) {
            return Ok((owner.uid, owner.gid)); // whose they are here is nobody's question
        }
        let name = |name: &[u8]| (!name.is_empty()).then(|| name.to_vec());
        let (user, group) = (name(&owner.user), name(&owner.group));
        let failed = |error| format!("the system does not say who its owner is here: {error}");
        let uid = self.ids.owner(owner.uid, user.as_deref()).map_err(failed)?;
        let gid = self.ids.group(owner.gid, group.as_deref()).map_err(failed)?;
        if self.rules.allowed.owner {
            check_somebody("user", keep.owner && uid == NOBODY, &owner.user)?;
            check_somebody("group", keep.group && gid == NOBODY, &owner.group)?;
        }
        Ok((uid, gid))
    }
}

/// Whether an owner or a group can be one: a sender that knows no number of a name tells that of nobody.
fn check_somebody(what: &str, is_nobody: bool, name: &[u8]) -> Result<(), Why> {
    match (is_nobody, name) {
        (false, _) => Ok(()),
        (true, []) => Err(format!("nobody can have the number {NOBODY} as an owner or a group")),
        (true, name) => Err(format!(
            "no {what} is called {} on this host, nor at the sender, which would have a number for it",
            shown(name).escape_debug()
        )),
    }
}
