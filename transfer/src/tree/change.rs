//! Why an entry is changed at a receiver, in rsync's letters: decided from what stood there, without asking the system.

use super::entry::{Device, Entry, Kind, Time};
use super::ground::Stands;
use crate::message::Check;
use crate::place::meta::{Has, Keep, Of, Plan, Rules, Step, plan};
use serde::{Deserialize, Serialize};

/// How an entry is changed: bits, of which those that are not known are shown as nothing.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Change(u16);

impl Change {
    /// Bytes of a file are sent.
    const SENT: Self = Self(1);
    /// A folder or a symbolic link is made.
    const MADE: Self = Self(1 << 1);
    /// A further name is given.
    const LINKED: Self = Self(1 << 2);
    /// Nothing of its kind stood there.
    const NEW: Self = Self(1 << 3);
    /// Its contents differ by their digest; of a symbolic link what it says.
    const CONTENT: Self = Self(1 << 4);
    const SIZE: Self = Self(1 << 5);
    const TIME: Self = Self(1 << 6);
    /// It gets the time of the copy.
    const NOW: Self = Self(1 << 7);
    const PERMS: Self = Self(1 << 8);
    const OWNER: Self = Self(1 << 9);
    const GROUP: Self = Self(1 << 10);
    /// Its access control lists.
    const LISTS: Self = Self(1 << 11);
    /// Its extended attributes.
    const XATTRS: Self = Self(1 << 12);

    /// Bits as they come from a peer.
    pub fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The same, to be put aside.
    pub fn bits(self) -> u16 {
        self.0
    }

    /// Of a further name: the file that it is to be a name of has so many bytes.
    pub(crate) fn of_file(self, len: u64, before: &Standing) -> Self {
        let other = matches!(before.thing, Thing::File { len: stood } if stood != len);
        self.and(Self::SIZE, other && !self.is_new())
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn and(self, other: Self, condition: bool) -> Self {
        if condition { Self(self.0 | other.0) } else { self }
    }

    /// Whether bytes of a file are sent.
    pub fn is_sent(self) -> bool {
        self.has(Self::SENT)
    }

    /// Whether nothing of its kind stood there.
    pub fn is_new(self) -> bool {
        self.has(Self::NEW)
    }

    /// The eleven letters of rsync(1), `--itemize-changes`; `kind` is `f`, `d`, `L`, `D` or `S`.
    pub fn letters(self, kind: char) -> String {
        let update = match self {
            _ if self.has(Self::LINKED) => 'h',
            _ if self.has(Self::MADE) => 'c',
            _ if self.has(Self::SENT) => '<',
            _ => '.',
        };
        let (rest, none) = if self.is_new() {
            (['+'; 9], '+')
        } else {
            let of = |bit: Self, letter| if self.has(bit) { letter } else { '.' };
            let time = if self.has(Self::NOW) { 'T' } else { of(Self::TIME, 't') };
            let rest = [
                of(Self::CONTENT, 'c'),
                of(Self::SIZE, 's'),
                time,
                of(Self::PERMS, 'p'),
                of(Self::OWNER, 'o'),
                of(Self::GROUP, 'g'),
                '.', // of the time of the last reading, or of the birth, nothing is told
                of(Self::LISTS, 'a'),
                of(Self::XATTRS, 'x'),
            ];
            (rest, '.')
        };
        // As rsync(1): where nothing at all is told of it there are blanks.
        let blank = none == '.' && update != '<' && rest.iter().all(|letter| *letter == '.');
        let rest = rest.into_iter().map(|letter| if blank { ' ' } else { letter });
        [update, kind].into_iter().chain(rest).collect()
    }
}

/// What kind of thing stands somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Thing {
    File {
        len: u64,
    },
    Dir,
    /// What it says.
    Symlink(Vec<u8>),
    Special(Device),
    Other,
}

/// What of the attributes that are kept is to be changed where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Beside {
    /// Access control lists.
    pub(crate) lists: bool,
    /// Extended attributes.
    pub(crate) xattrs: bool,
}

/// What stood under the name of an entry before anything was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) thing: Thing,
    pub(crate) mtime: Time,
    pub(crate) has: Has,
    pub(crate) beside: Beside,
    /// It is the folder that a daemon receives into, of which the time alone is set.
    pub(crate) root: bool,
}

/// What is gone by.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct By {
    pub(crate) rules: Rules,
    pub(crate) check: Check,
    /// Files that are newer stay as they are.
    pub(crate) update: bool,
}

/// How an entry was changed, where that stood before and this came of it; `None`: not at all.
pub(crate) fn change(
    entry: &Entry,
    before: Option<&Standing>,
    came: Stands,
    by: By,
) -> Option<Change> {
    let none = Change::default();
    let (made, of) = match (&entry.kind, came) {
        (Kind::File { .. }, Stands::Other) => (Change::SENT, Of::Standing),
        (Kind::File { .. } | Kind::Special(_), Stands::Same) => (none, Of::Standing),
        (Kind::Dir, Stands::Other) => (Change::MADE, Of::OldDir),
        (Kind::Dir, Stands::Same) => (none, Of::OldDir),
        (Kind::Symlink { .. }, Stands::Other) => (Change::MADE, Of::Symlink),
        (Kind::Symlink { .. }, Stands::Same) => (none, Of::Symlink),
        (Kind::Link { .. }, Stands::Other) => (Change::LINKED, Of::Standing),
        (Kind::Special(_), Stands::Other) => (Change::MADE, Of::File),
        // A further name shares all with its first.
        (Kind::Link { .. }, Stands::Same) | (_, Stands::Left) => return None,
    };
    let Some(before) = before.filter(|before| is_of_kind(entry, &before.thing)) else {
        return (made != none).then(|| made.and(Change::NEW, true));
    };
    let is_file = matches!(entry.kind, Kind::File { .. });
    if is_file && by.update && before.mtime > entry.meta.mtime {
        return None;
    }
    let rules = if before.root {
        let keep = Keep { times: by.rules.keep.times, ..Keep::default() };
        Rules { keep, ..by.rules }
    } else {
        by.rules
    };
    let plan = plan(&entry.meta, of, before.has, None, rules);
    let mut all = attributes(made, &plan, before.has, rules.keep.perms);
    // A time that is taken for the same may have been rounded.
    let is_told = !is_file || made != none || by.check == Check::Digest;
    let differs = is_told && before.mtime != entry.meta.mtime;
    all = all.and(Change::TIME, rules.keep.times && differs);
    let is_link = matches!(entry.kind, Kind::Link { .. });
    // A further name shares all with its first, and of the daemon's own folder the time alone is set.
    let beside = if is_link || before.root { Beside::default() } else { before.beside };
    all = all.and(Change::LISTS, beside.lists).and(Change::XATTRS, beside.xattrs);
    all = all.and(Change::NOW, !rules.keep.times && made != none && !is_link);
    let (len, stood) = (len_of(&entry.kind), &before.thing);
    all = all.and(Change::SIZE, len.is_some_and(|len| *stood != Thing::File { len }));
    let content = match (&entry.kind, stood) {
        (Kind::File { .. }, _) => made != none && by.check == Check::Digest,
        (Kind::Symlink { target }, Thing::Symlink(says)) => made != none && target != says,
        _ => false,
    };
    all = all.and(Change::CONTENT, content);
    (all != none).then_some(all)
}

/// Adds what is set beside the content.
fn attributes(made: Change, plan: &Plan, has: Has, perms: bool) -> Change {
    plan.steps().fold(made, |all, step| match step {
        Step::Chown(uid, gid) => {
            all.and(Change::OWNER, uid.is_some()).and(Change::GROUP, gid.is_some())
        }
        Step::Chmod(bits) => all.and(Change::PERMS, perms && bits != has.mode),
        Step::Times(..) => all,
    })
}

fn len_of(kind: &Kind) -> Option<u64> {
    if let Kind::File { len, .. } = kind { Some(*len) } else { None }
}

fn is_of_kind(entry: &Entry, thing: &Thing) -> bool {
    matches!(
        (&entry.kind, thing),
        (Kind::File { .. }, Thing::File { .. })
            | (Kind::Dir, Thing::Dir)
            | (Kind::Symlink { .. }, Thing::Symlink(_))
            | (Kind::Special(_), Thing::Special(_))
            | (Kind::Link { .. }, Thing::File { .. } | Thing::Symlink(_) | Thing::Special(_))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::meta::Allowed;
    use crate::tree::entry::Meta;

    fn told() -> Meta {
        let mtime = Time { secs: 100, nanos: 5 };
        Meta { mode: 0o644, mtime, uid: 7, gid: 8, ..Meta::default() }
    }

    fn entry(kind: Kind) -> Entry {
        Entry { name: b"name".to_vec(), meta: told(), kind }
    }

    fn stands(thing: Thing) -> Standing {
        let told = told();
        let has = Has { mode: told.mode, uid: told.uid, gid: told.gid };
        Standing { thing, mtime: told.mtime, has, beside: Beside::default(), root: false }
    }

    fn by(check: Check) -> By {
        let keep = Keep { perms: true, times: true, owner: true, group: true, ..Keep::default() };
        let allowed = Allowed { owner: true, setuid: true };
        By { rules: Rules { keep, allowed, umask: 0o22 }, check, update: false }
    }

    fn letters(entry: &Entry, before: Option<&Standing>, came: Stands, by: By) -> String {
        let kind = match entry.kind {
            Kind::Dir => 'd',
            Kind::Symlink { .. } => 'L',
            _ => 'f',
        };
        change(entry, before, came, by).map_or_else(String::new, |change| change.letters(kind))
    }

    #[test]
    fn each_difference_has_its_letter() {
        let file = entry(Kind::File { len: 10, data: None });
        let quick = by(Check::Quick);
        let same = stands(Thing::File { len: 10 });
        let longer = stands(Thing::File { len: 11 });
        let later = Time { secs: 101, nanos: 5 };
        let of = |before: &Standing, came| letters(&file, Some(before), came, quick);
        assert_eq!(letters(&file, None, Stands::Other, quick), "<f+++++++++");
        assert_eq!(of(&stands(Thing::Symlink(Vec::new())), Stands::Other), "<f+++++++++");
        assert_eq!(of(&same, Stands::Same), "");
        assert_eq!(of(&same, Stands::Other), "<f.........", "-I");
        assert_eq!(of(&longer, Stands::Other), "<f.s.......");
        assert_eq!(of(&Standing { mtime: later, ..longer.clone() }, Stands::Other), "<f.st......");
        // A time that the file system has rounded is the same.
        assert_eq!(of(&Standing { mtime: later, ..same.clone() }, Stands::Same), "");
        let digest = by(Check::Digest);
        let later_there = Standing { mtime: later, ..same.clone() };
        assert_eq!(letters(&file, Some(&later_there), Stands::Same, digest), ".f..t......");
        assert_eq!(letters(&file, Some(&same), Stands::Other, digest), "<fc........");
        for (has, told) in [
            (Has { mode: 0o600, ..same.has }, ".f...p....."),
            (Has { uid: 1, ..same.has }, ".f....o...."),
            (Has { gid: 1, ..same.has }, ".f.....g..."),
            (Has { mode: 0, uid: 1, gid: 1 }, ".f...pog..."),
        ] {
            assert_eq!(of(&Standing { has, ..same.clone() }, Stands::Same), told);
        }
        for (lists, xattrs, told) in [
            (true, false, ".f.......a."),
            (false, true, ".f........x"),
            (true, true, ".f.......ax"),
        ] {
            let beside = Beside { lists, xattrs };
            assert_eq!(of(&Standing { beside, ..same.clone() }, Stands::Same), told);
        }
    }

    #[test]
    fn what_is_not_kept_or_not_allowed_is_no_difference() {
        let file = entry(Kind::File { len: 10, data: None });
        let other = Standing {
            mtime: Time::default(),
            has: Has { mode: 0, uid: 1, gid: 1 },
            ..stands(Thing::File { len: 10 })
        };
        let quick = by(Check::Quick);
        let none = By { rules: Rules { keep: Keep::default(), ..quick.rules }, ..quick };
        assert_eq!(letters(&file, Some(&other), Stands::Other, none), "<f..T......");
        let denied = Rules { allowed: Allowed::default(), ..quick.rules };
        let denied = By { rules: denied, ..quick };
        assert_eq!(letters(&file, Some(&other), Stands::Other, denied), "<f..tp.....");
        // Of a daemon's own folder the time alone is set.
        let root = Standing { root: true, thing: Thing::Dir, ..other.clone() };
        assert_eq!(letters(&entry(Kind::Dir), Some(&root), Stands::Same, quick), ".d..t......");
        let newer = Standing { mtime: Time { secs: 999, nanos: 0 }, ..other };
        let update = By { update: true, ..quick };
        assert_eq!(letters(&file, Some(&newer), Stands::Same, update), "");
    }

    #[test]
    fn folders_and_links_have_letters_of_their_own() {
        let quick = by(Check::Quick);
        let link = entry(Kind::Symlink { target: b"to".to_vec() });
        let of = |says: &[u8], came| {
            letters(&link, Some(&stands(Thing::Symlink(says.to_vec()))), came, quick)
        };
        assert_eq!(letters(&link, None, Stands::Other, quick), "cL+++++++++");
        assert_eq!(
            (of(b"to", Stands::Same), of(b"at", Stands::Other)),
            (String::new(), "cLc........".to_owned())
        );
        let (folder, further) = (entry(Kind::Dir), entry(Kind::Link { to: b"first".to_vec() }));
        assert_eq!(letters(&folder, None, Stands::Other, quick), "cd+++++++++");
        assert_eq!(letters(&folder, Some(&stands(Thing::Dir)), Stands::Same, quick), "");
        assert_eq!(letters(&further, None, Stands::Other, quick), "hf+++++++++");
        let file = stands(Thing::File { len: 10 });
        assert_eq!(letters(&further, Some(&file), Stands::Other, quick), "hf         ");
        assert_eq!(letters(&further, Some(&file), Stands::Same, quick), "");
        let pipe = stands(Thing::Special(Device::Fifo));
        assert_eq!(letters(&further, Some(&pipe), Stands::Other, quick), "hf         ");
    }
}
