//! Owners and groups of which the sender has a name alone.

use super::super::owner::NOBODY;
use super::*;
use crate::limits::Allow;
use crate::message::Keep;

#[test]
fn a_name_that_nobody_has_fails_by_that_name_where_owners_are_set() {
    let told = Owner { uid: NOBODY, gid: 0, user: b"no-such\nuser".to_vec(), group: Vec::new() };
    let other = Owner { uid: 0, gid: NOBODY, user: Vec::new(), group: b"no-such-group".to_vec() };
    let keep = Keep { owner: true, group: true, ..Keep::default() };
    let offer = Offer { keep, ..offer("") };
    let said = |owner: &Owner, allow: Allow| {
        let (_dir, root) = root();
        let limits = Limits { allow, ..Limits::default() };
        let mut below = Below::new(&root, &offer, &limits, (holder(), NEVER)).unwrap();
        below.owner(owner)
    };
    let owner = Allow { owner: true, ..Allow::default() };
    let why = said(&told, owner).unwrap_err();
    assert!(why.starts_with("no user is called no-such\\nuser on this host"), "{why}");
    let why = said(&other, owner).unwrap_err();
    assert!(why.starts_with("no group is called no-such-group on this host"), "{why}");
    let why = said(&Owner { user: Vec::new(), ..told.clone() }, owner).unwrap_err();
    assert!(why.contains("4294967295"), "{why}");
    // Where they are left out it does not matter who they are.
    for allow in [Allow::default(), Allow { setuid: true, ..Allow::default() }] {
        assert_eq!(said(&told, allow), Ok((NOBODY, 0)), "{allow:?}");
    }
}
