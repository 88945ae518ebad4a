//! Capabilities are given to nothing that is taken for the same by its length and time alone.

use super::*;
use crate::limits::Allow;
use crate::message::Keep;
use crate::tree::attrs::{Attrs, CAPABILITY, List};
use std::os::unix::fs::chown;

const MTIME: Time = Time { secs: 1_000_000_000, nanos: 0 };

/// The right to open raw sockets, and to set the clock (`struct vfs_cap_data`, linux/capability.h).
const SOCKETS: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const CLOCK: [u8; 20] = [1, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn what_was_not_verified_gets_no_capability_that_it_did_not_have() {
    if !crate::untried::is_root() {
        return;
    }
    let all = Allow { owner: true, setuid: true, ..Allow::default() };
    let none = Allow::default();
    let (same, other) = (Stands::Same, Stands::Other);
    for (has, uid, allow, looked) in [
        (None, 0, all, other),
        (Some(CLOCK), 0, all, other),
        (Some(SOCKETS), 0, all, same),
        // A change of owner would take it away, and setting it again would give it to those bytes.
        (Some(SOCKETS), 7, all, other),
        (Some(SOCKETS), 7, Allow { owner: false, ..all }, same),
        // It is left out, and goes where it stands.
        (None, 0, none, same),
        (Some(SOCKETS), 0, none, same),
    ] {
        let case = format!("{has:?} of {uid}, {allow:?}");
        let (dir, root) = root();
        let path = dir.path().join("name");
        fs::write(&path, b"there").unwrap();
        chown(&path, Some(uid), Some(0)).unwrap();
        super::several_names::set_time(&path, MTIME);
        let of = fs::File::open(&path).unwrap();
        let of = crate::xattr::Of::descriptor(of.as_fd());
        if let Some(has) = has {
            of.set(CAPABILITY, &has).unwrap();
        }
        let keep = Keep { times: true, owner: true, xattrs: true, ..Keep::default() };
        let keep = Keep { numeric_ids: true, ..keep };
        let limits = Limits { allow, ..Limits::default() };
        let offer = Offer { keep, ..offer("") };
        let mut below = Below::new(&root, &offer, &limits, (holder(), NEVER)).unwrap();
        let list =
            List { xattrs: vec![(CAPABILITY.to_vec(), SOCKETS.to_vec())], ..List::default() };
        let meta = Meta { mode: 0o755, mtime: MTIME, attrs: Attrs::from(list), ..Meta::default() };
        let kind = Kind::File { len: 5, data: None };
        let entry = Entry { name: b"name".to_vec(), meta, kind };
        assert_eq!(below.look(&entry, None), Ok(looked), "{case}");
        let stays = has.filter(|_| allow.setuid).map(|has| has.to_vec());
        assert_eq!(of.get(CAPABILITY).unwrap(), stays, "{case}");
    }
}
