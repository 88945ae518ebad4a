//! A look at the tree: what the walk of a copy finds, as the ledger keeps it.

use mtm::ledger::{Entry, Found, Kind};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use transfer::tree::entry::{Kind as Walked, Meta, Time};
use transfer::tree::scan::{Found as Seen, ScanError, Skipped, Stamp, Walk};

/// The root of the transfer among the entries, where what the source holds is sent without the folder.
pub(crate) const ROOT: &str = ".";

/// What was changed so shortly before a look may be changed again without another time: the clock that the kernel stamps
/// files with moves every 1 to 10 ms (`CONFIG_HZ`) …
const SETTLES: Duration = Duration::from_millis(100);
/// … and some file systems keep whole seconds, or every second one (FAT).
const SETTLES_COARSE: Duration = Duration::from_secs(2);

/// What a look has come to.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) began: Instant,
    pub(crate) took: Duration,
    pub(crate) found: Vec<Found>,
    /// What could not be looked at, and why.
    pub(crate) failed: Vec<(PathBuf, String)>,
    /// Folders that are never sent.
    pub(crate) apart: Vec<PathBuf>,
    /// Why what was found may not be the tree, if so.
    pub(crate) doubt: Option<String>,
    /// Something was changed so shortly before that it must be looked at again, so long after the beginning.
    pub(crate) unsettled: Option<Duration>,
}

impl Look {
    /// Looks at all of it.
    pub(crate) fn at(walk: Walk) -> Self {
        let (began, clock) = (Instant::now(), Time::now());
        let mut look = Self {
            began,
            took: Duration::ZERO,
            found: Vec::new(),
            failed: Vec::new(),
            apart: Vec::new(),
            doubt: None,
            unsettled: None,
        };
        let mut above = PathBuf::new();
        for seen in walk {
            match seen {
                Seen::Root(meta, stamp) => {
                    look.take(PathBuf::from(ROOT), Kind::Directory, &meta, (&stamp, clock));
                }
                Seen::Enter(entry, stamp) => {
                    above.push(OsStr::from_bytes(&entry.name));
                    look.take(above.clone(), Kind::Directory, &entry.meta, (&stamp, clock));
                }
                Seen::Leave => drop(above.pop()),
                Seen::Item(entry, stamp) => {
                    let path = above.join(OsStr::from_bytes(&entry.name));
                    let kind = match entry.kind {
                        Walked::Dir => Kind::Directory,
                        Walked::Symlink { .. } => Kind::Link,
                        Walked::Special(_) => Kind::Other,
                        // A further name of a symbolic link is one as well, and so is one of a device.
                        Walked::File { .. } | Walked::Link { .. } => Kind::File,
                    };
                    look.take(path, kind, &entry.meta, (&stamp, clock));
                }
                Seen::Failed { path, error } if !matches!(error, ScanError::Vanished) => {
                    look.failed.push((of_bytes(&path), error.to_string()));
                }
                Seen::Doubt(why) => look.doubt = Some(why),
                Seen::Skipped { path, what: Skipped::Apart } => look.apart.push(of_bytes(&path)),
                // What has vanished is gone, as if the look had come later.
                Seen::Failed { .. } | Seen::Whole | Seen::Skipped { .. } => {}
            }
        }
        look.took = began.elapsed();
        look
    }

    fn take(&mut self, path: PathBuf, kind: Kind, meta: &Meta, (stamp, clock): (&Stamp, Time)) {
        let settles = settles(stamp, clock);
        self.unsettled = self.unsettled.max(settles);
        self.found.push(Found {
            path,
            kind,
            size: if kind == Kind::File { stamp.size } else { 0 },
            mtime: nanos(stamp.mtime),
            ctime: if settles.is_none() { nanos(stamp.ctime) } else { 0 },
            mode: meta.mode,
            uid: meta.uid,
            gid: meta.gid,
            node: (stamp.dev, stamp.ino),
            mount: stamp.mount,
        });
    }

    /// What is known of an entry that could not be looked at, and of all below it, stands as it was.
    pub(crate) fn keep(&mut self, known: &[Entry]) {
        for entry in known.iter().filter(|entry| !entry.gone) {
            if self.failed.iter().any(|(path, _)| entry.found.path.starts_with(path)) {
                self.found.push(entry.found.clone()); // of what was found as well the first counts
            }
        }
    }

    /// A folder where something was mounted that is not mounted now, or is not there: what it held is not gone.
    pub(crate) fn unmounted(&self, known: &[Entry]) -> Option<PathBuf> {
        let (before, now) = (of_folders(known), ground(&self.found));
        let failed = |path: &Path| self.failed.iter().any(|(other, _)| path.starts_with(other));
        let is_still = |path: &Path| {
            let told = |ground: &Ground<'_>| ground.get(path).and_then(|(_, mount)| *mount);
            match (told(&before), told(&now)) {
                (_, Some(true)) => true,
                (Some(_), Some(false)) => false,
                // The system did not tell at one of the looks.
                (None, _) | (_, None) => is_elsewhere(&now, path) == Some(true),
            }
        };
        let lost = |path: &PathBuf| !is_still(path) && !failed(path);
        mounted(&before).into_iter().find(lost)
    }
}

/// Of each path the device, and whether something is mounted there, if that was told.
type Ground<'a> = HashMap<&'a Path, (u64, Option<bool>)>;

fn ground<'a>(all: impl IntoIterator<Item = &'a Found>) -> Ground<'a> {
    let one = |found: &'a Found| (found.path.as_path(), (found.node.0, found.mount));
    all.into_iter().map(one).collect()
}

fn of_folders(known: &[Entry]) -> Ground<'_> {
    let folders = known.iter().filter(|entry| !entry.gone && entry.found.kind == Kind::Directory);
    ground(folders.map(|entry| &entry.found))
}

/// Whether that is on another device than the folder that it stands in, if both are known.
fn is_elsewhere(ground: &Ground<'_>, path: &Path) -> Option<bool> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    Some(ground.get(path)?.0 != ground.get(above.unwrap_or(Path::new(ROOT)))?.0)
}

/// Folders below the root where something is mounted: where that was not told they are on another device than what they
/// stand in. The root is known by itself.
fn mounted(ground: &Ground<'_>) -> Vec<PathBuf> {
    let is_mounted = |(path, told): (&Path, Option<bool>)| {
        let elsewhere = is_elsewhere(ground, path).filter(|_| path != Path::new(ROOT));
        elsewhere.is_some_and(|elsewhere| told.unwrap_or(elsewhere))
    };
    let folders = ground.iter().map(|(path, (_, told))| (*path, *told));
    let mounted = folders.filter(|folder| is_mounted(*folder));
    let mut mounted: Vec<PathBuf> = mounted.map(|(path, _)| path.to_path_buf()).collect();
    mounted.sort();
    mounted
}

/// Folders of the tree where something is mounted.
pub(crate) fn mounts(known: &[Entry]) -> Vec<PathBuf> {
    mounted(&of_folders(known))
}

/// How long after `clock` it is certain that a change of what has this stamp had another time, if it is not yet.
fn settles(stamp: &Stamp, clock: Time) -> Option<Duration> {
    let is_coarse = stamp.ctime.nanos == 0 && stamp.mtime.nanos == 0;
    let settles = if is_coarse { SETTLES_COARSE } else { SETTLES };
    let (now, margin) = (clock.as_nanos(), settles.as_nanos().cast_signed());
    // What has a time to come, since a clock was set back, would not settle in years.
    let is_fresh = |time: Time| (now - margin..=now + margin).contains(&time.as_nanos());
    (is_fresh(stamp.ctime) || is_fresh(stamp.mtime)).then_some(settles)
}

/// A path of the transfer; its root has none.
pub(crate) fn of_bytes(path: &[u8]) -> PathBuf {
    if path.is_empty() { PathBuf::from(ROOT) } else { PathBuf::from(OsStr::from_bytes(path)) }
}

/// And back.
pub(crate) fn to_bytes(path: &Path) -> &[u8] {
    if path == Path::new(ROOT) { b"" } else { path.as_os_str().as_bytes() }
}

/// Nanoseconds since 1970, as far as the ledger has room for them: up to the year 2262.
fn nanos(time: Time) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(if time.secs < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use transfer::tree::scan::Options;

    fn look(of: &Path) -> Look {
        Look::at(Walk::new(&[of], Options { links: true, ..Options::default() }).unwrap())
    }

    fn entries(look: &Look) -> Vec<Entry> {
        let entry = |(number, found): (u32, &Found)| Entry {
            number,
            found: found.clone(),
            version: 1,
            gone: false,
        };
        (0..).zip(&look.found).map(entry).collect()
    }

    #[test]
    fn entries_have_the_paths_of_the_transfer() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("tree");
        fs::create_dir_all(root.join("a")).unwrap();
        fs::write(root.join("a/f"), "four").unwrap();
        let paths = |look: &Look| -> Vec<(String, Kind, u64)> {
            let of = |f: &Found| (f.path.display().to_string(), f.kind, f.size);
            look.found.iter().map(of).collect()
        };
        let named = look(&root);
        let name = |path: &str, kind, size| (path.to_owned(), kind, size);
        let all = [
            name("tree", Kind::Directory, 0),
            name("tree/a", Kind::Directory, 0),
            name("tree/a/f", Kind::File, 4),
        ];
        assert_eq!(paths(&named), all);
        let contents = look(&root.join("."));
        let all = [
            name(".", Kind::Directory, 0),
            name("a", Kind::Directory, 0),
            name("a/f", Kind::File, 4),
        ];
        assert_eq!(paths(&contents), all);
        assert_eq!((of_bytes(b""), to_bytes(Path::new("."))), (PathBuf::from("."), &b""[..]));
    }

    #[test]
    fn what_was_just_changed_is_to_be_looked_at_again() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("f"), "x").unwrap();
        std::thread::sleep(SETTLES + Duration::from_millis(20));
        let later = look(dir.path());
        assert!(later.unsettled.is_none() && later.found.iter().all(|found| found.ctime > 0));
        let at = |secs, nanos| Time { secs, nanos };
        let of = |ctime| {
            let (mtime, ctime) = (at(10, ctime % 2), at(100, ctime));
            let stamp = Stamp { dev: 1, ino: 2, size: 3, mtime, ctime, mount: None };
            [99, 100, 101, 102, 103].map(|now| settles(&stamp, at(now, 99)))
        };
        let (no, coarse, fine) = (None, Some(SETTLES_COARSE), Some(SETTLES));
        assert_eq!(of(0), [coarse, coarse, coarse, no, no]);
        assert_eq!(of(1), [no, fine, no, no, no]);
    }

    #[test]
    fn what_cannot_be_looked_at_is_not_gone() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("ab"), "x").unwrap();
        let all = look(&dir.path().join("."));
        let known = entries(&all);
        let mut next = Look { found: Vec::new(), ..all };
        next.failed.push(("a".into(), "cannot open the folder".to_owned()));
        next.keep(&known);
        let kept: Vec<_> = next.found.iter().map(|found| found.path.clone()).collect();
        assert_eq!(kept, [PathBuf::from("a"), PathBuf::from("a/b")]);
    }

    /// The same from a system that does not tell where mounts begin.
    fn untold(mut look: Look) -> Look {
        look.found.iter_mut().for_each(|found| found.mount = None);
        look
    }

    #[test]
    fn a_folder_that_is_not_mounted_any_more_is_not_empty() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("mnt/x")).unwrap();
        let now = untold(look(&dir.path().join(".")));
        let mut known = entries(&now);
        assert_eq!(now.unmounted(&known), None);
        for entry in &mut known {
            if entry.found.path.starts_with("mnt") {
                entry.found.node.0 += 1;
            }
        }
        assert_eq!(now.unmounted(&known), Some("mnt".into()));
        let told = look(&dir.path().join("."));
        assert_eq!(told.unmounted(&known), Some("mnt".into()));
        let mut moved = untold(look(&dir.path().join(".")));
        moved.found.iter_mut().for_each(|found| found.node.0 = 77);
        assert_eq!(moved.unmounted(&entries(&now)), None, "the whole tree is on another device");
    }

    #[test]
    fn what_is_mounted_is_told_by_the_system() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("mnt/x")).unwrap();
        for root in [dir.path().join("."), dir.path().to_owned()] {
            let now = look(&root);
            let mut known = entries(&now);
            let first = known[0].found.path.clone();
            let mnt = known[1].found.path.clone();
            if known[0].found.mount.is_none() {
                return; // an old kernel
            }
            for entry in &mut known {
                // Also where the root is one.
                let is_mount = entry.found.path == mnt || entry.found.path == first;
                entry.found.mount = Some(is_mount);
            }
            let only = vec![mnt.clone()];
            assert_eq!(mounts(&known), only, "a bind mount of the same file system");
            assert_eq!(now.unmounted(&known), Some(mnt.clone()));
            let with = |mount| {
                let mut now = look(&root);
                let found = now.found.iter_mut().find(|found| found.path == mnt).unwrap();
                found.mount = mount;
                now
            };
            assert_eq!(with(Some(true)).unmounted(&known), None);
            assert_eq!(with(None).unmounted(&known), Some(mnt.clone()), "on the same device");
            // What has a device of its own and is none, as a subvolume, may go.
            for entry in &mut known {
                entry.found.mount = Some(false);
                entry.found.node.0 += u64::from(entry.found.path == mnt);
            }
            assert_eq!((mounts(&known), now.unmounted(&known)), (vec![], None));
        }
    }
}
