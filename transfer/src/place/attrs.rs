//! Extended attributes and access control lists: what is to be changed of those that an inode has, and changing it.
//!
//! Attributes of users are set whoever asks. What counts as root's, and capabilities, which lend rights to whoever runs
//! the file, only root can set, and only for a sender that may set set-id bits. A list that says who may reach a file or
//! folder lends rights on that alone, as permission bits do, so that it needs no right. One for what is created in a folder
//! lends rights on what others bring there: in a folder that stood there it needs the right to set owners. What else there
//! is, is the system's own, and stays as it is.

use super::error::PlaceError;
use super::meta::{NotCarried, Rules};
use crate::destination::Shown;
use crate::tree::attrs::{ACCESS, Ace, Attrs, DEFAULT, List, acl_bytes, parse_acl};
use crate::xattr::{Class, Of, class};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io;

/// What is to be changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    remove: Vec<Vec<u8>>,
    set: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What is left out.
    pub left: Vec<NotCarried>,
}

impl Changes {
    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty()
    }

    /// Whether access control lists are.
    pub(crate) fn has_lists(&self) -> bool {
        self.names().any(is_list)
    }

    /// Whether other attributes are.
    pub(crate) fn has_others(&self) -> bool {
        !self.names().all(is_list)
    }

    /// Leaves the list for what is created in a folder as it is.
    fn spare_default(&mut self) {
        let is_set = self.set.remove(DEFAULT).is_some();
        let before = self.remove.len();
        self.remove.retain(|name| name != DEFAULT);
        if is_set || self.remove.len() < before {
            self.left.push(NotCarried::DefaultList);
        }
    }

    fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.set.keys().chain(&self.remove).map(Vec::as_slice)
    }

    /// Whether the permission bits are others afterwards: those of the group are a list's mask (acl(5)).
    fn moves_mode(&self) -> bool {
        self.set.contains_key(ACCESS) || self.remove.iter().any(|name| name == ACCESS)
    }
}

fn is_list(name: &[u8]) -> bool {
    name == ACCESS || name == DEFAULT
}

/// What can have lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lists {
    /// Nothing: a symbolic link.
    None,
    /// One that says who may reach it.
    Access,
    /// A folder that stood there: another one as well, for what is created in it, where the sender may set owners.
    Standing,
    /// A folder that this copy has made: both.
    Both,
}

/// Whether attributes are kept at all.
pub fn are_kept(rules: Rules) -> bool {
    rules.keep.xattrs || rules.keep.acls
}

/// Decides what to change, if `has` is there. `root`: this process is root.
pub fn plan(
    told: &Attrs,
    has: &BTreeMap<Vec<u8>, Vec<u8>>,
    lists: Lists,
    rules: Rules,
    root: bool,
) -> Changes {
    let (keep, lends) = (rules.keep, root && rules.allowed.setuid);
    let mut changes = Changes::default();
    let mut leave = |what| {
        if !changes.left.contains(&what) {
            changes.left.push(what);
        }
    };
    let mut wanted: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let told = told.list();
    for (name, value) in told.iter().filter(|_| keep.xattrs).flat_map(|told| &told.xattrs) {
        match class(name) {
            Class::Trusted if !lends => leave(NotCarried::Trusted),
            Class::Capability if !lends => leave(NotCarried::Capability),
            Class::System => {}
            _ => drop(wanted.insert(name.clone(), value.clone())),
        }
    }
    if keep.acls && keep.perms {
        let mut list = |name: &[u8], list: &[Ace]| {
            if !list.is_empty() {
                wanted.insert(name.to_vec(), acl_bytes(list));
            }
        };
        let none = List::default();
        let told = told.map_or(&none, |told| &**told);
        if lists != Lists::None {
            list(ACCESS, &told.access);
        }
        if matches!(lists, Lists::Standing | Lists::Both) {
            list(DEFAULT, &told.default);
        }
    }
    for (name, value) in has {
        let acl = is_list(name);
        let asked = match class(name) {
            _ if acl => keep.acls && keep.perms && lists != Lists::None,
            Class::User => keep.xattrs,
            Class::Trusted => keep.xattrs && lends,
            // As set-id bits, which go where they may not be set.
            Class::Capability => keep.xattrs && root,
            Class::System => false,
        };
        let is_same = |wanted: &Vec<u8>| {
            wanted == value
                || (acl && parse_acl(wanted).is_some_and(|list| Some(list) == parse_acl(value)))
        };
        match wanted.get(name) {
            Some(wanted_value) if is_same(wanted_value) => drop(wanted.remove(name)),
            None if asked => changes.remove.push(name.clone()),
            _ => {}
        }
    }
    changes.set = wanted;
    if lists == Lists::Standing && !rules.allowed.owner {
        changes.spare_default();
    }
    changes
}

/// What is to be changed of what is open.
pub(crate) fn changes(
    of: &Of<'_>,
    told: &Attrs,
    lists: Lists,
    rules: Rules,
    path: &Shown,
) -> Result<Changes, PlaceError> {
    let failed = |errno| PlaceError::system("read the extended attributes of", path, errno);
    let mut has = BTreeMap::new();
    for name in of.names().map_err(failed)? {
        if (is_list(&name) || class(&name) != Class::System)
            && let Some(value) = of.get(&name).map_err(failed)?
        {
            has.insert(name, value);
        }
    }
    Ok(plan(told, &has, lists, rules, rustix::process::geteuid().is_root()))
}

/// Changes it. `open_up` gives the owner the permission to write, without which nobody but root may (xattr(7)).
/// Whether the permission bits are others now.
pub(crate) fn change(
    of: &Of<'_>,
    changes: &Changes,
    path: &Shown,
    open_up: &dyn Fn() -> Result<(), Errno>,
) -> Result<bool, PlaceError> {
    let mut opened = false;
    let mut done = |name: &[u8], what: &'static str, act: &dyn Fn() -> Result<(), Errno>| {
        let mut result = act();
        if result == Err(Errno::ACCESS) && !opened {
            opened = true;
            result = open_up().and_then(|()| act());
        }
        result.map_err(|errno| {
            let name = String::from_utf8_lossy(name);
            let cause = io::Error::new(io::Error::from(errno).kind(), format!("{name}: {errno}"));
            PlaceError::system(what, path, cause)
        })
    };
    for name in &changes.remove {
        done(name, "remove an extended attribute of", &|| of.remove(name))?;
    }
    for (name, value) in &changes.set {
        done(name, "set an extended attribute of", &|| of.set(name, value))?;
    }
    Ok(opened || changes.moves_mode())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::meta::{Allowed, Keep};
    use crate::tree::attrs::CAPABILITY;

    type Pairs<'a> = &'a [(&'a [u8], &'a [u8])];

    fn pairs(pairs: Pairs<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
        pairs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
    }

    fn rules(setuid: bool) -> Rules {
        let keep = Keep { xattrs: true, acls: true, perms: true, ..Keep::default() };
        Rules { keep, allowed: Allowed { setuid, ..Allowed::default() }, umask: 0 }
    }

    fn planned(told: Pairs<'_>, has: Pairs<'_>, rules: Rules, root: bool) -> Changes {
        let told = Attrs::from(List { xattrs: pairs(told), ..List::default() });
        plan(&told, &pairs(has).into_iter().collect(), Lists::Access, rules, root)
    }

    #[test]
    fn what_differs_is_set_and_what_is_too_much_is_removed() {
        let told: Pairs<'_> = &[(b"user.a", b"1"), (b"user.b", b"2")];
        let has: Pairs<'_> = &[(b"user.b", b"2"), (b"user.c", b"3"), (b"security.selinux", b"x")];
        let changes = planned(told, has, rules(false), false);
        assert_eq!(changes.set, pairs(&[(b"user.a", b"1")]).into_iter().collect());
        assert_eq!(changes.remove, [b"user.c"]);
        assert!(changes.left.is_empty());
        assert!(planned(told, told, rules(false), false).is_empty());
    }

    #[test]
    fn what_lends_rights_is_set_by_root_for_who_may() {
        let told: Pairs<'_> = &[(CAPABILITY, b"c"), (b"trusted.t", b"t"), (b"security.ima", b"i")];
        let both = [NotCarried::Capability, NotCarried::Trusted];
        for (allowed, root) in [(false, true), (true, false), (false, false)] {
            let changes = planned(told, &[], rules(allowed), root);
            assert!(changes.is_empty());
            assert_eq!(changes.left, both);
        }
        let changes = planned(told, &[], rules(true), true);
        assert_eq!(changes.set, pairs(&told[..2]).into_iter().collect());
        assert!(changes.left.is_empty());
    }

    #[test]
    fn a_capability_goes_where_it_may_not_be_set_and_roots_own_stay() {
        let has: Pairs<'_> = &[(CAPABILITY, b"c"), (b"trusted.t", b"t")];
        assert_eq!(planned(has, has, rules(false), true).remove, [CAPABILITY]);
        assert!(planned(&[], has, rules(true), false).is_empty());
        assert_eq!(planned(&[], has, rules(true), true).remove.len(), 2);
    }

    #[test]
    fn without_being_asked_nothing_is_touched() {
        let none = Rules { keep: Keep::default(), ..rules(true) };
        let has: Pairs<'_> = &[(b"user.a", b"1"), (CAPABILITY, b"c"), (ACCESS, b"l")];
        assert!(planned(&[(b"user.b", b"2")], has, none, true).is_empty());
    }

    #[test]
    fn the_same_list_in_another_order_is_the_same() {
        let ace = |tag, id| Ace { tag, id, perm: 7, name: Vec::new() };
        let users = [ace(1, u32::MAX), ace(2, 5), ace(2, 6), ace(4, u32::MAX)];
        let mut turned = users.clone();
        turned.swap(1, 2);
        let has = BTreeMap::from([(ACCESS.to_vec(), acl_bytes(&turned))]);
        let told = Attrs::from(List { access: users.to_vec(), ..List::default() });
        assert!(plan(&told, &has, Lists::Access, rules(false), false).is_empty());
        let other = Attrs::from(List { access: users[1..].to_vec(), ..List::default() });
        assert!(plan(&other, &has, Lists::Access, rules(false), false).moves_mode());
        let none = plan(&Attrs::default(), &has, Lists::Access, rules(false), false);
        assert_eq!(none.remove, [ACCESS]);
        assert!(none.moves_mode());
        // A link has none, and only a folder has one for what is in it.
        let default = Attrs::from(List { default: users.to_vec(), ..List::default() });
        assert!(plan(&default, &BTreeMap::new(), Lists::Access, rules(false), false).is_empty());
        assert!(!plan(&default, &BTreeMap::new(), Lists::Both, rules(false), false).is_empty());
        assert!(plan(&told, &BTreeMap::new(), Lists::None, rules(false), false).is_empty());
    }

    /// It would lend rights on what other senders bring there.
    #[test]
    fn what_is_created_in_a_folder_that_stood_there_gets_its_list_from_who_may_set_owners() {
        let users = [1, 4].map(|tag| Ace { tag, id: u32::MAX, perm: 7, name: Vec::new() });
        let told = Attrs::from(List { default: users.to_vec(), ..List::default() });
        let (none, has) =
            (BTreeMap::new(), BTreeMap::from([(DEFAULT.to_vec(), acl_bytes(&users))]));
        for (told, has, changed) in
            [(&told, &none, true), (&Attrs::default(), &has, true), (&told, &has, false)]
        {
            for (owner, lists, done) in [
                (true, Lists::Standing, changed),
                (false, Lists::Both, changed),
                (false, Lists::Standing, false),
            ] {
                let allowed = Allowed { owner, ..Allowed::default() };
                let changes = plan(told, has, lists, Rules { allowed, ..rules(false) }, false);
                assert_eq!(!changes.is_empty(), done, "{owner} {lists:?}");
                let left = if changed && !done { &[NotCarried::DefaultList][..] } else { &[] };
                assert_eq!(changes.left, left, "{owner} {lists:?}");
            }
        }
    }
}
