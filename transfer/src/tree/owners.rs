//! What owners and groups are called here.

use super::manifest::Owner;
use nix::unistd::{Gid, Group, Uid, User};
use std::collections::HashMap;

/// Looks each number up once, if names are asked for: whoever knows them may be far away (nsswitch.conf(5)).
#[derive(Debug)]
pub struct Owners {
    names: bool,
    users: HashMap<u32, Vec<u8>>,
    groups: HashMap<u32, Vec<u8>>,
}

impl Owners {
    /// With the names of the numbers, or without.
    pub fn new(names: bool) -> Self {
        Self { names, users: HashMap::new(), groups: HashMap::new() }
    }

    /// The owner and the group of these numbers, with the names that they have here.
    pub fn of(&mut self, uid: u32, gid: u32) -> Owner {
        if !self.names {
            return Owner { uid, gid, user: Vec::new(), group: Vec::new() };
        }
        let user = self.users.entry(uid).or_insert_with(|| {
            let found = User::from_uid(Uid::from_raw(uid)).ok().flatten();
            found.map(|user| user.name.into_bytes()).unwrap_or_default()
        });
        let group = self.groups.entry(gid).or_insert_with(|| {
            let found = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
            found.map(|group| group.name.into_bytes()).unwrap_or_default()
        });
        // Longer ones no part of a list has room for; a name that long is nobody's.
        let short = |name: &[u8]| if name.len() > 255 { Vec::new() } else { name.to_vec() };
        Owner { uid, gid, user: short(user), group: short(group) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_its_names_and_nobody_has_none() {
        let mut owners = Owners::new(true);
        let root = owners.of(0, 0);
        assert_eq!((&root.user[..], &root.group[..]), (&b"root"[..], &b"root"[..]));
        let nobody = owners.of(u32::MAX - 7, u32::MAX - 7);
        assert_eq!((nobody.user, nobody.group), (Vec::new(), Vec::new()));
    }

    #[test]
    fn nobody_is_asked_for_names_that_are_not_kept() {
        let mut owners = Owners::new(false);
        let root = owners.of(0, 0);
        assert_eq!((root.uid, root.user, root.group), (0, Vec::new(), Vec::new()));
        assert!(owners.users.is_empty() && owners.groups.is_empty());
    }
}
