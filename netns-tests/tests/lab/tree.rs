//! A tree to be copied, made by a seed: everything that is kept of one, and names that are odd.

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, lsetxattr, mknodat,
};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// A receiver takes no deeper folders (`docs/trees.md`): the tree's own is one of them, so is a deepest file's.
const DEEP: usize = 126;
/// A file system's block, as a rule.
const PAGE: u64 = 4096;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Names that some program somewhere takes for something else.
const NAMES: [&[u8]; 12] = [
    b"two\nlines",
    b"tab\tbell\x07escape\x1b[31m",
    b"\x7f\x01",
    b"not \xff\xfe UTF-8 \xc3",
    b"-rf",
    b"--delete",
    b" blanks ",
    b"trailing ",
    b"...",
    b"back\\slash \"quoted\" 'so' $HOME `id` *?[a-z]",
    b".mcp-",
    "\u{e4}\u{1f333}\u{202e}".as_bytes(),
];

fn set(path: &Path, name: &[u8], value: &[u8]) {
    lsetxattr(path, name, value, XattrFlags::empty())
        .unwrap_or_else(|e| panic!("{}: {}: {e}", path.display(), String::from_utf8_lossy(name)));
}

/// Draws that follow from a seed (`SplitMix64`).
#[derive(Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn bytes(&mut self, len: u64) -> Vec<u8> {
        let mut bytes: Vec<u8> = Vec::with_capacity(len as usize + 8);
        while (bytes.len() as u64) < len {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(len as usize);
        bytes
    }
}

/// A file with holes: its name, its length, and where it holds data, as beginnings and lengths.
type Sparse<'a> = (&'a str, u64, &'a [(u64, u64)]);

/// A tree that grows.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    pub(crate) dice: Dice,
    /// Owners and groups are of these numbers.
    ids: u32,
}

impl Tree {
    /// An empty one in a folder that is made.
    pub(crate) fn new(root: PathBuf, seed: u64) -> Self {
        fs::create_dir_all(&root).unwrap();
        // As many as this namespace has.
        let map = fs::read_to_string("/proc/self/uid_map").unwrap();
        let last = map.split_whitespace().last().and_then(|count| count.parse().ok());
        Self { root, dice: Dice(seed), ids: last.unwrap_or(1) }
    }

    pub(crate) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }

    /// A file of so many bytes that no other has.
    pub(crate) fn file(&mut self, path: impl AsRef<Path>, len: u64) -> PathBuf {
        let path = self.at(path);
        fs::write(&path, self.dice.bytes(len)).unwrap();
        path
    }

    /// Everything that `-a` keeps.
    pub(crate) fn grow(&mut self) {
        self.names();
        self.lengths();
        self.holes();
        self.links();
        self.deep();
        self.many(400);
        self.set_all();
    }

    /// What `-A`, `-X` and `-D` keep beside that: on some of everything, once owners are right, whose change takes
    /// capabilities away.
    pub(crate) fn with_attributes(&mut self) {
        fs::create_dir(self.at("specials")).unwrap();
        for name in ["pipe", "another pipe"] {
            mknodat(CWD, self.at("specials").join(name), FileType::Fifo, Mode::RUSR, 0).unwrap();
        }
        fs::hard_link(self.at("specials/pipe"), self.at("a later pipe")).unwrap();
        drop(UnixListener::bind(self.at("specials/socket")).unwrap());
        self.set_all();
        let all = self.all();
        for path in all {
            let meta = fs::symlink_metadata(&path).unwrap();
            let (plain, link) = (meta.is_file() || meta.is_dir(), meta.is_symlink());
            if plain && self.dice.below(4) == 0 {
                for n in 0..self.dice.below(4) {
                    let len = self.dice.below(200);
                    let value = self.dice.bytes(len);
                    set(&path, format!("user.of test {n}").as_bytes(), &value);
                }
            }
            if meta.is_file() && self.dice.below(10) == 0 {
                set(&path, b"security.capability", &self.capability());
            }
            if !link && self.dice.below(5) == 0 {
                let list = self.list();
                set(&path, b"system.posix_acl_access", &list);
            }
            if meta.is_dir() && self.dice.below(3) == 0 {
                let list = self.list();
                set(&path, b"system.posix_acl_default", &list);
            }
        }
    }

    /// Some of the rights that a file can lend (`struct vfs_cap_data`, linux/capability.h).
    fn capability(&mut self) -> [u8; 20] {
        let mut bytes = [0; 20];
        // Version 2, in effect when the program starts.
        bytes[..4].copy_from_slice(&0x0200_0001_u32.to_le_bytes());
        bytes[4..8].copy_from_slice(&((self.dice.below(1 << 20) as u32) | 1).to_le_bytes());
        bytes
    }

    /// An access control list (`linux/posix_acl_xattr.h`) with a user, a group and a mask.
    fn list(&mut self) -> Vec<u8> {
        let none = u32::MAX;
        let last = self.ids - 1;
        let entries = [(1, none), (2, 1.min(last)), (2, 33.min(last)), (4, none), (8, 8.min(last))];
        let mut bytes = 2_u32.to_le_bytes().to_vec();
        for (tag, id) in entries.into_iter().chain([(16, none), (32, none)]) {
            bytes.extend(u16::to_le_bytes(tag));
            bytes.extend((self.dice.below(8) as u16).to_le_bytes());
            bytes.extend(u32::to_le_bytes(id));
        }
        bytes
    }

    fn names(&mut self) {
        fs::create_dir(self.at("names")).unwrap();
        let long = [b'n'; 255];
        let names = NAMES.iter().copied().chain([&long[..]]);
        for (number, name) in names.enumerate() {
            let at = self.at("names").join(OsStr::from_bytes(name));
            match number % 3 {
                0 => drop(self.file(at, 100)),
                1 => symlink(OsStr::from_bytes(name), at).unwrap(),
                _ => {
                    fs::create_dir(&at).unwrap();
                    self.file(at.join(OsStr::from_bytes(name)), 100);
                }
            }
        }
    }

    /// Around what shares a block, and around blocks.
    fn lengths(&mut self) {
        fs::create_dir(self.at("lengths")).unwrap();
        fs::create_dir(self.at("nothing in it")).unwrap();
        for edge in [PAGE, 256 * KIB, MIB, 2 * MIB, 5 * MIB] {
            for len in [edge - 1, edge, edge + 1] {
                self.file(format!("lengths/{len}"), len);
            }
        }
        for len in 0..5 {
            self.file(format!("lengths/{len}"), len);
        }
    }

    fn holes(&mut self) {
        fs::create_dir(self.at("holes")).unwrap();
        let cases: [Sparse<'_>; 10] = [
            ("nothing else", 3 * MIB + 5, &[]),
            ("nothing else, and short", 5 * PAGE, &[]),
            ("smaller than a page", PAGE, &[(0, 100), (3000, 50)]),
            ("a page", 10 * PAGE, &[(0, 3 * PAGE), (4 * PAGE, 6 * PAGE)]),
            ("first", 2 * MIB, &[(MIB + 77, MIB - 77)]),
            ("last", 7 * MIB, &[(0, PAGE)]),
            ("last, not at a page's end", 7 * MIB + 13, &[(5, 10)]),
            ("over blocks", 40 * MIB, &[(0, 1), (17 * MIB - 3, 6), (40 * MIB - 1, 1)]),
            ("in a short file", 200 * KIB, &[(64 * KIB, 8 * KIB), (199 * KIB, KIB)]),
            ("far", 1 << 30, &[((1 << 30) - 2 * MIB, MIB)]),
        ];
        for (name, len, data) in cases {
            self.sparse(&format!("holes/{name}"), len, data);
        }
        let stripes: Vec<_> = (0..300).map(|n| (n * 3 * PAGE, PAGE)).collect();
        self.sparse("holes/many", 900 * PAGE, &stripes);
    }

    fn sparse(&mut self, path: &str, len: u64, data: &[(u64, u64)]) {
        let file = File::create(self.at(path)).unwrap();
        file.set_len(len).unwrap();
        for (at, len) in data {
            file.write_all_at(&self.dice.bytes(*len), *at).unwrap();
        }
    }

    fn links(&mut self) {
        fs::create_dir_all(self.at("links/a/b")).unwrap();
        fs::create_dir(self.at("a later folder")).unwrap();
        for (number, first) in
            ["lengths/0", "lengths/3", "lengths/1048577", "holes/last", "holes/nothing else"]
                .iter()
                .enumerate()
        {
            for place in ["links", "links/a", "links/a/b", "a later folder"] {
                fs::hard_link(self.at(first), self.at(format!("{place}/{number}"))).unwrap();
            }
        }
        for (name, target) in [
            ("dangling", "../nowhere"),
            ("absolute", "/etc/hostname"),
            ("to a folder", "a"),
            ("up", "../../../../.."),
            ("to itself", "to itself"),
            ("long", &"x/".repeat(2000)),
        ] {
            symlink(target, self.at("links").join(name)).unwrap();
        }
    }

    fn deep(&mut self) {
        let mut at = self.at("deep");
        for _ in 1..DEEP {
            at.push("d");
        }
        fs::create_dir_all(&at).unwrap();
        self.file(at.join("file"), 1000);
        let mut wide = self.at("wide");
        for _ in 0..12 {
            wide.push("w".repeat(250));
        }
        fs::create_dir_all(&wide).unwrap();
        self.file(wide.join("file"), 1000);
    }

    /// Small files in folders of about a hundred.
    pub(crate) fn many(&mut self, count: u64) {
        for number in 0..count {
            let folder = self.at(format!("many/{}", number / 100));
            fs::create_dir_all(&folder).unwrap();
            let len = self.dice.below(16 * KIB);
            self.file(folder.join(format!("file {number}")), len);
        }
    }

    /// An owner, a mode and a time for everything; of folders after what is in them.
    pub(crate) fn set_all(&mut self) {
        self.all().iter().rev().for_each(|path| self.set(path));
    }

    /// Everything, folders before what is in them.
    fn all(&self) -> Vec<PathBuf> {
        let mut all = vec![self.root.clone()];
        let mut next = 0;
        while next < all.len() {
            if fs::symlink_metadata(&all[next]).unwrap().is_dir() {
                let entries = fs::read_dir(&all[next]).unwrap();
                let mut below: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
                below.sort();
                all.append(&mut below);
            }
            next += 1;
        }
        all
    }

    fn set(&mut self, path: &Path) {
        // Some that have a name, and some that have none.
        let ids = [0, 0, 1, 2, 8, 33, 1000, 4242, 65_534];
        let mut id = || ids[self.dice.below(ids.len() as u64) as usize].min(self.ids - 1);
        let (uid, gid) = (Uid::from_raw(id()), Gid::from_raw(id()));
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(CWD, path, Some(uid), Some(gid), nofollow).unwrap();
        let meta = fs::symlink_metadata(path).unwrap();
        if !meta.is_symlink() {
            // Every bit, those of set-user-ID, set-group-ID and sticky among them.
            let mode = if self.dice.below(2) == 0 { 0o644 } else { self.dice.below(0o10000) };
            let mode = Mode::from_raw_mode(mode as u32);
            rustix::fs::chmodat(CWD, path, mode, AtFlags::empty()).unwrap();
        }
        self.set_time(path);
    }

    /// Any time between 1945 and 2096, to the nanosecond.
    pub(crate) fn set_time(&mut self, path: &Path) {
        let tv_sec = self.dice.below(4_800_000_000).cast_signed() - 788_000_000;
        // Not what the receiver takes for written a moment ago.
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
        let tv_sec = if tv_sec > now - 10 { tv_sec - 3_000_000_000 } else { tv_sec };
        let last_modification =
            Timespec { tv_sec, tv_nsec: self.dice.below(1_000_000_000).cast_signed() };
        let times = Timestamps { last_access: last_modification, last_modification };
        rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}
