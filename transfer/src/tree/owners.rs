//! What owners and groups are called here.

use super::manifest::Owner;
use nix::unistd::{Gid, Group, Uid, User};
use std::collections::HashMap;

/// Who is told to be the owner or the group, instead of who is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id {
    /// Its number here, or [`Id::NOBODY`].
    pub number: u32,
    /// What it is called, if it is to go by that.
    pub name: Vec<u8>,
}

impl Id {
    /// The number of a name that is nobody's here: it fails at receivers where it is nobody's either.
    pub const NOBODY: u32 = u32::MAX;

    fn of(text: &str, find: impl FnOnce(&str) -> Option<u32>) -> Self {
        match text.parse() {
            Ok(number) => Self { number, name: Vec::new() },
            Err(_) => Self { number: find(text).unwrap_or(Self::NOBODY), name: text.into() },
        }
    }
}

/// Owners and groups that are told instead of those that there are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chown {
    /// The owner.
    pub user: Option<Id>,
    /// The group.
    pub group: Option<Id>,
}

impl Chown {
    /// They are told as they are.
    pub const NONE: Self = Self { user: None, group: None };

    /// Reads `USER:GROUP`, of which one may be missing, by names or numbers; `None`: it is no such text.
    pub fn parse(text: &str) -> Option<Self> {
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        let fits = |name: &str| name.len() <= 255 && !name.contains([':', '*', '\0']);
        if (user.is_empty() && group.is_empty()) || !fits(user) || !fits(group) {
            return None;
        }
        let user_of = |name: &str| Some(User::from_name(name).ok()??.uid.as_raw());
        let group_of = |name: &str| Some(Group::from_name(name).ok()??.gid.as_raw());
        Some(Self {
            user: (!user.is_empty()).then(|| Id::of(user, user_of)),
            group: (!group.is_empty()).then(|| Id::of(group, group_of)),
        })
    }

    /// The name that has no number here, if one has none.
    pub fn unknown(&self) -> Option<&[u8]> {
        let ids = [&self.user, &self.group].into_iter().flatten();
        ids.filter(|id| id.number == Id::NOBODY).map(|id| &id.name[..]).next()
    }
}

/// Looks each number up once, if names are asked for: whoever knows them may be far away (nsswitch.conf(5)).
#[derive(Debug)]
pub struct Owners {
    names: bool,
    chown: Chown,
    users: HashMap<u32, Vec<u8>>,
    groups: HashMap<u32, Vec<u8>>,
}

impl Owners {
    /// With the names of the numbers, or without.
    pub fn new(names: bool) -> Self {
        Self { names, chown: Chown::NONE, users: HashMap::new(), groups: HashMap::new() }
    }

    /// These are told in place of those that there are.
    #[must_use]
    pub fn instead(self, chown: Chown) -> Self {
        Self { chown, ..self }
    }

    /// The owner and the group of these numbers, with the names that they have here.
    pub fn of(&mut self, uid: u32, gid: u32) -> Owner {
        let mut owner = self.own(uid, gid);
        if let Some(Id { number, name }) = self.chown.user.clone() {
            (owner.uid, owner.user) = (number, if self.names { name } else { Vec::new() });
        }
        if let Some(Id { number, name }) = self.chown.group.clone() {
            (owner.gid, owner.group) = (number, if self.names { name } else { Vec::new() });
        }
        owner
    }

    fn own(&mut self, uid: u32, gid: u32) -> Owner {
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
    fn others_are_told_in_their_place() {
        let chown = |text| Chown::parse(text).unwrap();
        let mut owners = Owners::new(true).instead(chown("nobody of that name:7"));
        let told = owners.of(0, 0);
        assert_eq!((told.uid, &told.user[..]), (Id::NOBODY, &b"nobody of that name"[..]));
        assert_eq!((told.gid, &told.group[..]), (7, &b""[..]), "a number goes by its number");
        assert_eq!(chown("nobody of that name").unknown(), Some(&b"nobody of that name"[..]));
        let mut owners = Owners::new(true).instead(chown(":root"));
        let told = owners.of(u32::MAX - 7, 5);
        assert_eq!((told.uid, told.gid, &told.group[..]), (u32::MAX - 7, 0, &b"root"[..]));
        assert_eq!(chown("root:root").unknown(), None);
        assert_eq!(chown("root:"), chown("root"));
        for text in ["", ":", "a:b:c", "*:a"] {
            assert_eq!(Chown::parse(text), None, "{text}");
        }
    }

    #[test]
    fn nobody_is_asked_for_names_that_are_not_kept() {
        let mut owners = Owners::new(false);
        let root = owners.of(0, 0);
        assert_eq!((root.uid, root.user, root.group), (0, Vec::new(), Vec::new()));
        assert!(owners.users.is_empty() && owners.groups.is_empty());
    }
}
