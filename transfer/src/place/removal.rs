//! Removes what stands somewhere and is not to stay, with all that is in it, from the bottom up.
//!
//! Every step is taken relative to the descriptor of the folder that was looked at: no symbolic link is followed, and
//! no mount point is crossed. What a rule protects stays, with the folders that it is in, and so does what is in a folder
//! that is moved away meanwhile.

mod in_place;
mod mounts;

use super::beneath::FOLDER;
use super::partial::is_partial;
use super::temporary::is_temporary;
use crate::filter::{Extra, Told};
use crate::tree::scan::names::{Hint, Names};
use in_place::{Moved, Place};
use rustix::fs::{
    AtFlags, FileType, Mode, ResolveFlags, Stat, fchmod, fstat, openat2, statat, unlinkat,
};
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Why something was not removed, in words for the sender.
type Why = String;

/// What the kernel is asked to hold to (openat2(2)): a mount point of the same file system is one as well.
const WITHIN: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// Folders open at a time, at most, on the way down: what is deeper stays, as for a sweep.
const MAX_DEPTH: usize = 256;
/// Owner's permissions that are needed for removing something from a folder (`S_IWUSR`, `S_IXUSR`).
const WORK: u32 = 0o300;
/// Of what could not be removed so many are told by name, and so many bytes of their paths; the others are counted.
const NAMED: usize = 10_000;
const NAMED_BYTES: usize = 4 << 20;
/// Of a longer path so many bytes are told (`PATH_MAX` of Linux): names in folders one in the other may have more than a
/// message takes.
const LONGEST: usize = 4096;
/// Whether the session is over is asked for every so many entries that are looked at; whether the folder that they are in
/// is still in its place, for every so many that are removed from it.
const ASKED: u64 = 32;

/// Of what is gone, as of failures, so many are told by name, where that is asked for.
const GONE: usize = 100_000;
const GONE_BYTES: usize = 8 << 20;

const MOUNTED: &str = "another file system is mounted there";

/// Why no more is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The session is over.
    Over,
    /// It would be more than may be.
    Bound,
}

/// Why a folder is not emptied any further.
enum Halt {
    Stop(Stop),
    Moved(Moved),
}

impl From<Stop> for Halt {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// What was found, and removed.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Entries that stand in the folders that were compared, or stood there.
    pub(crate) standing: u64,
    /// Of them those that are gone, or would be.
    pub(crate) extras: u64,
    /// What cannot be removed, and why.
    pub(crate) failed: Vec<(Vec<u8>, Why)>,
    pub(crate) failures: u64,
    bytes: usize,
    /// Paths of what is gone, or would be, and whether they are folders, where that is asked for.
    pub(crate) gone: Option<Vec<(Vec<u8>, bool)>>,
    gone_bytes: usize,
    /// Something is protected only because it would take too long to look at all rules.
    pub(crate) undecided: bool,
}

impl Tally {
    /// This is gone, or would be.
    fn count(&mut self, path: &[u8], is_folder: bool) {
        self.extras += 1;
        let Some(gone) = &mut self.gone else { return };
        self.gone_bytes += path.len().min(LONGEST);
        if gone.len() < GONE && self.gone_bytes <= GONE_BYTES {
            gone.push((path[..path.len().min(LONGEST)].to_vec(), is_folder));
        }
    }

    /// This path from the root of the transfer cannot be removed.
    pub(crate) fn fail(&mut self, path: &[u8], why: Why) {
        let path = &path[..path.len().min(LONGEST)];
        self.failures += 1;
        self.bytes += path.len();
        if self.failed.len() < NAMED && self.bytes <= NAMED_BYTES {
            self.failed.push((path.to_vec(), why));
        }
    }
}

/// Removes entries, or only counts what it would remove.
pub(crate) struct Removal<'a> {
    rules: &'a Told,
    /// So many entries may be removed; `None`: they are only counted.
    most: Option<u64>,
    is_over: &'a dyn Fn() -> bool,
    listing: Vec<u8>,
    /// Entries that were looked at.
    looked: u64,
    /// Entries that were removed since it was asked whether their folder is in place.
    unchecked: u64,
    pub(crate) tally: Tally,
}

impl<'a> Removal<'a> {
    /// Only counts.
    pub(crate) fn counting(rules: &'a Told, is_over: &'a dyn Fn() -> bool) -> Self {
        let (listing, tally) = (Vec::new(), Tally::default());
        Self { rules, most: None, is_over, listing, looked: 0, unchecked: 0, tally }
    }

    /// Removes so many at most.
    pub(crate) fn of(most: u64, rules: &'a Told, is_over: &'a dyn Fn() -> bool) -> Self {
        Self { most: Some(most), ..Self::counting(rules, is_over) }
    }

    /// Keeps the names of what is gone, if that is `asked` for.
    pub(crate) fn naming(mut self, asked: bool) -> Self {
        self.tally.gone = asked.then(Vec::new);
        self
    }

    /// Whether it removes what it counts.
    pub(crate) fn removes(&self) -> bool {
        self.most.is_some()
    }

    /// The names in a folder, in order.
    pub(crate) fn list(&mut self, folder: BorrowedFd<'_>) -> std::io::Result<Names> {
        let mut names = Names::default();
        names.list_until(folder, &mut self.listing, self.is_over)?;
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Something in a folder that the source does not have, at this path from the root of the transfer. `check` is asked
    /// right before it is removed whether the folder is still where it was.
    pub(crate) fn extra(
        &mut self,
        folder: BorrowedFd<'_>,
        (name, hint): (&CStr, Hint),
        path: &mut Vec<u8>,
        check: &dyn Fn() -> Result<(), Why>,
    ) -> Result<(), Stop> {
        let Some(is_folder) = self.is_deletable(folder, (name, hint), path, false)? else {
            return Ok(());
        };
        if self.removes()
            && let Err(why) = check()
        {
            self.tally.fail(path, why);
            return Ok(());
        }
        match self.remove(folder, name, is_folder, (path, &Place::Compared(check))) {
            Ok(_) => Ok(()),
            Err(Halt::Stop(stop)) => Err(stop),
            Err(Halt::Moved(Moved { why, .. })) => {
                self.tally.fail(path, why);
                Ok(())
            }
        }
    }

    /// Whether an entry may go, and then whether it is a folder. Rules may take their time, also over what stays: so it is
    /// here that it is asked whether the session is over.
    fn is_deletable(
        &mut self,
        folder: BorrowedFd<'_>,
        (name, hint): (&CStr, Hint),
        path: &[u8],
        inside: bool,
    ) -> Result<Option<bool>, Stop> {
        self.looked += 1;
        if self.looked.is_multiple_of(ASKED) && (self.is_over)() {
            return Err(Stop::Over);
        }
        if is_temporary(name.to_bytes()) || is_partial(name.to_bytes()) {
            return Ok(None); // of this session, or of another
        }
        let is_folder = match hint {
            Hint::Folder => true,
            Hint::Unknown => match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => is_folder(&stat),
                Err(_) => return Ok(None),
            },
            _ => false,
        };
        self.tally.standing += 1;
        let said = self.rules.of(path, is_folder, inside);
        self.tally.undecided |= said == Extra::Undecided;
        Ok((said == Extra::Free).then_some(is_folder))
    }

    /// Removes an entry of the folder that is at this place; whether it is gone.
    fn remove(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &CStr,
        is_folder: bool,
        (path, place): (&mut Vec<u8>, &Place<'_>),
    ) -> Result<bool, Halt> {
        if !is_folder {
            return Ok(self.unlink(folder, name, AtFlags::empty(), path)?);
        }
        let depth = place.depth();
        let opened = match enter(folder, name) {
            Ok(_) if depth >= MAX_DEPTH => Err(format!("it is deeper than {MAX_DEPTH} folders")),
            Ok(opened) => Ok(opened),
            Err(Errno::NOENT) => return Ok(true),
            Err(Errno::XDEV) => Err(MOUNTED.to_owned()),
            Err(errno) => Err(format!("cannot open the folder: {errno}")),
        };
        let emptied = match &opened {
            Ok((fd, stat)) => {
                let inner = Place::Emptied { above: place, folder, name, stat };
                self.empty(fd, stat, (path, &inner))
            }
            Err(why) => {
                self.tally.fail(path, why.clone());
                return Ok(false);
            }
        };
        match emptied {
            Ok(true) => Ok(self.unlink(folder, name, AtFlags::REMOVEDIR, path)?),
            // This one itself: those beside it are where they were.
            Err(Halt::Moved(Moved { depth: moved, why })) if moved == depth && depth > 0 => {
                self.tally.fail(path, why);
                Ok(false)
            }
            kept => kept,
        }
    }

    /// Removes what is in a folder; whether it is empty then.
    fn empty(
        &mut self,
        fd: &OwnedFd,
        stat: &Stat,
        (path, place): (&mut Vec<u8>, &Place<'_>),
    ) -> Result<bool, Halt> {
        let names = match self.list(fd.as_fd()) {
            Ok(names) => names,
            Err(_) if (self.is_over)() => return Err(Stop::Over.into()),
            Err(error) => {
                self.tally.fail(path, format!("cannot list the folder: {error}"));
                return Ok(false);
            }
        };
        let before = self.open_up(fd, stat);
        let (mut emptied, above) = (true, path.len());
        let mut stopped = Ok(());
        for index in 0..names.len() {
            let (name, hint) = names.get(index);
            path.push(b'/');
            path.extend_from_slice(name.to_bytes());
            let gone = self.entry(fd.as_fd(), (name, hint), (path, place));
            path.truncate(above);
            match gone {
                Ok(gone) => emptied &= gone,
                Err(halt) => {
                    stopped = Err(halt);
                    emptied = false;
                    break;
                }
            }
        }
        if let Some(before) = before.filter(|_| !emptied) {
            let _ = fchmod(fd, before); // it stays, as it was
        }
        stopped.map(|()| emptied)
    }

    /// Removes an entry of a folder that is being emptied, if it may go and the folder is in place; whether it is gone.
    fn entry(
        &mut self,
        folder: BorrowedFd<'_>,
        (name, hint): (&CStr, Hint),
        (path, place): (&mut Vec<u8>, &Place<'_>),
    ) -> Result<bool, Halt> {
        let Some(is_folder) = self.is_deletable(folder, (name, hint), path, true)? else {
            return Ok(false);
        };
        self.unchecked += 1;
        if self.removes() && (is_folder || self.unchecked >= ASKED) {
            place.check().map_err(Halt::Moved)?;
            self.unchecked = 0;
        }
        self.remove(folder, name, is_folder, (path, place))
    }

    /// An ordinary user may not remove anything from a folder of its own that is not to be written to. Its mode of before.
    fn open_up(&self, fd: &OwnedFd, stat: &Stat) -> Option<Mode> {
        let (before, us) = (stat.st_mode & 0o7777, rustix::process::geteuid().as_raw());
        if !self.removes() || before & WORK == WORK || us == 0 || us != stat.st_uid {
            return None;
        }
        fchmod(fd, Mode::from_raw_mode(before | WORK)).ok()?;
        Some(Mode::from_raw_mode(before))
    }

    fn unlink(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &CStr,
        flags: AtFlags,
        path: &[u8],
    ) -> Result<bool, Stop> {
        let is_folder = flags.contains(AtFlags::REMOVEDIR);
        let Some(most) = self.most else {
            self.tally.count(path, is_folder);
            return Ok(true);
        };
        if self.tally.extras >= most {
            return Err(Stop::Bound);
        }
        match unlinkat(folder, name, flags) {
            Ok(()) => {
                self.tally.count(path, is_folder);
                Ok(true)
            }
            Err(Errno::NOENT) => Ok(true),
            Err(errno) => {
                let why = match errno {
                    Errno::BUSY => MOUNTED.to_owned(),
                    errno => format!("cannot be deleted: {errno}"),
                };
                self.tally.fail(path, why);
                Ok(false)
            }
        }
    }
}

fn is_folder(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// Opens a folder that is to be emptied: none that is mounted.
fn enter(folder: BorrowedFd<'_>, name: &CStr) -> Result<(OwnedFd, Stat), Errno> {
    match openat2(folder, name, FOLDER, Mode::empty(), WITHIN) {
        // Older kernels do not know it, and filters older than it refuse it.
        Err(Errno::NOSYS | Errno::PERM) => mounts::enter(folder, name),
        opened => {
            let fd = opened?;
            let stat = fstat(&fd)?;
            if stat.st_dev == fstat(folder)?.st_dev { Ok((fd, stat)) } else { Err(Errno::XDEV) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Filter;
    use rustix::fs::openat;
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn rules(of: &[&str]) -> Told {
        let (mut filter, mut told) = (Filter::default(), Told::default());
        for rule in of {
            filter
                .rule(rule.as_bytes(), false, &|_| Err(std::io::ErrorKind::NotFound.into()))
                .unwrap();
        }
        filter.told().for_each(|rule| told.push(rule).unwrap());
        told
    }

    fn run(removal: &mut Removal<'_>, dir: &Path, name: &CStr) -> Result<(), Stop> {
        let folder = File::open(dir).unwrap();
        let mut path = name.to_bytes().to_vec();
        removal.extra(folder.as_fd(), (name, Hint::Unknown), &mut path, &|| Ok(()))
    }

    /// A folder with eight entries, two of which are links: to a folder, and to a file, that are elsewhere.
    fn tree(dir: &Path) {
        fs::create_dir_all(dir.join("x/a/b")).unwrap();
        fs::create_dir(dir.join("kept")).unwrap();
        for file in ["x/f", "x/a/g", "x/a/b/k.o", "kept/file"] {
            fs::write(dir.join(file), file).unwrap();
        }
        symlink(dir.join("kept"), dir.join("x/a/folder")).unwrap();
        symlink(dir.join("kept/file"), dir.join("x/file")).unwrap();
    }

    #[test]
    fn a_folder_goes_with_all_that_is_in_it_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        tree(dir.path());
        let rules = rules(&[]);
        let mut counting = Removal::counting(&rules, &|| false);
        run(&mut counting, dir.path(), c"x").unwrap();
        assert_eq!((counting.tally.standing, counting.tally.extras), (8, 8));
        assert!(dir.path().join("x/a/b/k.o").exists());
        let mut removal = Removal::of(8, &rules, &|| false);
        run(&mut removal, dir.path(), c"x").unwrap();
        assert_eq!((removal.tally.extras, removal.tally.failures), (8, 0));
        assert!(!dir.path().join("x").exists());
        assert_eq!(fs::read(dir.path().join("kept/file")).unwrap(), b"kept/file");
    }

    #[test]
    fn what_is_protected_stays_with_its_folders_and_without_a_word() {
        for (rule, stays, gone) in
            [("- *.o", "x/a/b/k.o", 4), ("P /x/a/b/", "x/a/b/k.o", 4), ("P f", "x/f", 6)]
        {
            let dir = tempfile::tempdir().unwrap();
            tree(dir.path());
            let rules = rules(&[rule]);
            let mut counting = Removal::counting(&rules, &|| false);
            run(&mut counting, dir.path(), c"x").unwrap();
            assert_eq!(counting.tally.extras, gone, "{rule}");
            let mut removal = Removal::of(gone, &rules, &|| false);
            run(&mut removal, dir.path(), c"x").unwrap();
            assert_eq!((removal.tally.extras, removal.tally.failures), (gone, 0), "{rule}");
            assert!(dir.path().join(stays).exists(), "{rule}");
        }
    }

    #[test]
    fn files_of_ours_that_are_not_whole_stay() {
        let dir = tempfile::tempdir().unwrap();
        tree(dir.path());
        let rules = rules(&[]);
        for name in [".mcp-1-0123456789abcdef.part", ".mcp-0123456789abcdef.partial"] {
            fs::write(dir.path().join("x").join(name), "").unwrap();
        }
        let mut removal = Removal::of(99, &rules, &|| false);
        run(&mut removal, dir.path(), c"x").unwrap();
        assert_eq!((removal.tally.extras, removal.tally.failures), (7, 0));
        assert_eq!(fs::read_dir(dir.path().join("x")).unwrap().count(), 2);
    }

    #[test]
    fn it_ends_at_its_bound_and_with_its_session() {
        let dir = tempfile::tempdir().unwrap();
        tree(dir.path());
        let rules = rules(&[]);
        let mut removal = Removal::of(3, &rules, &|| false);
        assert_eq!(run(&mut removal, dir.path(), c"x"), Err(Stop::Bound));
        assert_eq!(removal.tally.extras, 3);
        let mut removal = Removal::of(99, &rules, &|| true);
        assert_eq!(run(&mut removal, dir.path(), c"x"), Err(Stop::Over));
    }

    #[test]
    fn a_folder_that_was_moved_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        tree(dir.path());
        let (rules, folder) = (rules(&[]), File::open(dir.path()).unwrap());
        let mut removal = Removal::of(99, &rules, &|| false);
        let moved = || Err("it was moved".to_owned());
        let mut path = b"x".to_vec();
        removal.extra(folder.as_fd(), (c"x", Hint::Folder), &mut path, &moved).unwrap();
        assert_eq!(removal.tally.failed, [(b"x".to_vec(), "it was moved".to_owned())]);
        assert!(dir.path().join("x/f").exists());
    }

    /// Removes `x` from `root`, with all that is in it, and moves a folder out of the root once something is gone.
    fn moving(dir: &Path, from: &str) -> Vec<(Vec<u8>, Why)> {
        let (rules, root) = (rules(&[]), File::open(dir.join("root")).unwrap());
        let (source, aside) = (dir.join("root").join(from), dir.join("aside"));
        let full = count(&dir.join("root/x"));
        let moves = || {
            if !aside.exists() && count(&dir.join("root/x")) < full {
                fs::rename(&source, &aside).unwrap();
            }
            false
        };
        let mut removal = Removal::of(9999, &rules, &moves);
        let check = || match fs::exists(dir.join("root")) {
            Ok(true) => Ok(()),
            _ => Err("the root was moved".to_owned()),
        };
        removal.extra(root.as_fd(), (c"x", Hint::Folder), &mut b"x".to_vec(), &check).unwrap();
        removal.tally.failed
    }

    fn count(dir: &Path) -> usize {
        fs::read_dir(dir).unwrap().map(Result::unwrap).fold(0, |sum, entry| {
            let is_folder = entry.file_type().unwrap().is_dir();
            sum + 1 + if is_folder { count(&entry.path()) } else { 0 }
        })
    }

    #[test]
    fn a_folder_that_is_moved_meanwhile_keeps_what_is_left_in_it() {
        const EACH: usize = 100;
        for (moved, told) in [("x", "x"), ("x/b", "x/b"), ("x/b/c", "x/b/c"), ("", "x")] {
            let dir = tempfile::tempdir().unwrap();
            let x = dir.path().join("root/x");
            fs::create_dir_all(x.join("b/c")).unwrap();
            fs::create_dir(x.join("d")).unwrap();
            for folder in ["b/c", "d"] {
                (0..EACH).for_each(|n| fs::write(x.join(folder).join(n.to_string()), "").unwrap());
            }
            let failed = moving(dir.path(), moved);
            let told_of: Vec<_> =
                failed.iter().map(|(path, _)| String::from_utf8_lossy(path)).collect();
            assert_eq!(told_of, [told], "{moved}: {failed:?}");
            // It is asked before every so many entries.
            let left = count(&dir.path().join("aside"));
            assert!(left >= EACH - 2 * ASKED as usize, "{moved}: {left}");
            assert!(!x.join("d").exists(), "{moved}: what stands beside it goes");
        }
    }

    #[test]
    fn a_session_that_is_over_is_noticed_over_what_is_protected_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (rules, folder) = (rules(&["P *"]), File::open(dir.path()).unwrap());
        let looked = std::cell::Cell::new(0);
        let is_over = || looked.get() > 0;
        let mut removal = Removal::of(9999, &rules, &is_over);
        let stopped = (0..10 * ASKED).find_map(|n| {
            looked.set(n);
            let name = std::ffi::CString::new(n.to_string()).unwrap();
            let mut path = name.to_bytes().to_vec();
            removal.extra(folder.as_fd(), (&name, Hint::File), &mut path, &|| Ok(())).err()
        });
        assert_eq!(stopped, Some(Stop::Over));
        assert!(looked.get() < ASKED, "{}", looked.get());
        assert_eq!(removal.tally.extras, 0);
    }

    #[test]
    fn a_tree_that_is_too_deep_fails_by_name() {
        let dir = tempfile::tempdir().unwrap();
        // Longer than the system takes at a time.
        let name = "d".repeat(200);
        let mut at = OwnedFd::from(File::open(dir.path()).unwrap());
        for _ in 0..MAX_DEPTH + 2 {
            rustix::fs::mkdirat(&at, &name, Mode::RWXU).unwrap();
            at = openat(&at, &name, FOLDER, Mode::empty()).unwrap();
        }
        let (rules, name) = (rules(&[]), std::ffi::CString::new(name).unwrap());
        let mut removal = Removal::of(9999, &rules, &|| false);
        run(&mut removal, dir.path(), &name).unwrap();
        assert_eq!((removal.tally.extras, removal.tally.failures), (0, 1));
        let (path, why) = &removal.tally.failed[0];
        assert!(path.len() == LONGEST && why.contains("deeper"), "{why}");
    }
}
