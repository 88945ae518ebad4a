//! Bits that lend an identity are given to nothing that is taken for the same by its length and time alone.

use super::*;
use crate::limits::Allow;
use crate::message::Keep;
use std::os::unix::fs::chown;

const MTIME: Time = Time { secs: 1_000_000_000, nanos: 0 };
/// Whose the file is at the sender, and anybody else.
const TOLD: (u32, u32) = (1001, 1002);
const ELSE: (u32, u32) = (2001, 2002);
const MODES: [u32; 4] = [0o755, 0o4755, 0o2755, 0o6755];

/// What is lent by a file: a user and a group, where its bits say so.
fn lent(path: &Path) -> (Option<u32>, Option<u32>) {
    let found = fs::metadata(path).unwrap();
    let lent = |bit, id| (found.mode() & bit != 0).then_some(id);
    (lent(0o4000, found.uid()), lent(0o2000, found.gid()))
}

/// Every file that may stand there, told as every file, with all that may be kept and allowed.
#[test]
fn what_was_not_verified_lends_no_identity_that_it_did_not_lend_before() {
    if !crate::untried::is_root() {
        return;
    }
    let (dir, root) = root();
    let path = dir.path().join("name");
    let bits = |number: usize| move |bit: usize| number & 1 << bit != 0;
    let mut same = 0;
    for number in 0..1 << 11 {
        let bit = bits(number);
        let pick = |low: usize| MODES[number >> low & 3];
        let (stands, told) = (pick(0), pick(2));
        let uid = if bit(4) { TOLD.0 } else { ELSE.0 };
        let gid = if bit(5) { TOLD.1 } else { ELSE.1 };
        let keep = Keep {
            perms: bit(6),
            times: true,
            owner: bit(7),
            group: bit(8),
            numeric_ids: true,
            ..Keep::default()
        };
        let allow = Allow { owner: bit(9), setuid: bit(10), ..Allow::default() };
        fs::write(&path, b"there").unwrap();
        super::several_names::set_time(&path, MTIME);
        chown(&path, Some(uid), Some(gid)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(stands)).unwrap();
        let before = lent(&path);
        let limits = Limits { allow, ..Limits::default() };
        let offer = Offer { keep, ..offer("") };
        let mut below = Below::new(&root, &offer, &limits, (holder(), NEVER)).unwrap();
        let meta = Meta { mode: told, mtime: MTIME, uid: TOLD.0, gid: TOLD.1, ..Meta::default() };
        let kind = Kind::File { len: 5, data: None };
        let looked = below.look(&Entry { name: b"name".to_vec(), meta, kind }, None).unwrap();
        same += usize::from(looked == Stands::Same);
        let case = format!("{stands:o} of {uid}:{gid} told as {told:o}, {keep:?} {allow:?}");
        let (user, group) = lent(&path);
        assert!(user.is_none() || user == before.0, "{case}: {before:?} {user:?}");
        assert!(group.is_none() || group == before.1, "{case}: {before:?} {group:?}");
        fs::remove_file(&path).unwrap();
    }
    assert!(same > 1 << 9, "most are taken for the same: {same}");
}
