//! The way through the folders.

use super::acl::ProcPath;
use super::files_from::{FilesFrom, Part};
use super::look::{At, Device, Eye, Seen, device_of};
use super::names::Names;
use super::pins::{Pins, inode};
use super::sources::{Source, Sources};
use super::{Found, MAX_FOLDERS, Opener, Options, ScanError, Skipped, SourcesError, Stamp};
use crate::tree::entry::Entry;
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Looks at one entry after the other. See the [module](super).
#[derive(Debug)]
pub struct Walk {
    sources: Arc<Sources>,
    /// What alone is sent.
    listed: Option<FilesFrom>,
    /// What that says of the folder that all is below.
    root: Option<Part>,
    /// Index of the next name at the root.
    next: usize,
    /// The folders on the way down.
    levels: Vec<Level>,
    /// The path from the root of the transfer to the last of them.
    path: Vec<u8>,
    eye: Eye,
    /// Come before anything else.
    pending: VecDeque<Found>,
    /// What the sources were in the beginning; `None`: that was looked at in the end.
    pins: Option<Pins>,
    listing: Vec<u8>,
    /// Nobody wants more.
    over: Arc<AtomicBool>,
}

/// What is told of the root of the transfer. `whole`: all that stands in the sources is.
fn root_of(sources: &Sources, eye: &mut Eye, whole: bool) -> VecDeque<Found> {
    let Some(root) = sources.root() else { return VecDeque::new() };
    let mut told = VecDeque::from([match eye.open_folder(root) {
        Ok((meta, stamp)) => Found::Root(meta, stamp),
        Err(error) => Found::Failed { path: Vec::new(), error },
    }]);
    told.extend((whole && eye.options.deletes).then_some(Found::Whole));
    told
}

/// A folder that is entered.
struct Open {
    entry: Entry,
    dir: OwnedFd,
    stamp: Stamp,
    part: Option<Part>,
}

/// A folder that was entered.
#[derive(Debug)]
struct Level {
    dir: OwnedFd,
    device: Device,
    /// What the list says of it, if there is one.
    part: Option<Part>,
    names: Names,
    /// Index of the next one.
    next: usize,
    /// A list names it, and all that is in it is to be sent for that.
    is_source: bool,
    /// Something in it is sent, or left out for what it is.
    told: bool,
    /// How long the path is without it.
    above: usize,
}

impl Walk {
    /// Begins with these sources: `folder` for a folder of that name, `folder/` for what it holds; the rules
    /// are rsync's. Each must be there, may be read, and gives names that no other gives: else nothing is
    /// walked.
    pub fn new(sources: &[&Path], options: Options) -> Result<Self, SourcesError> {
        Self::with(sources, Eye::new(options, ProcPath::find()))
    }

    /// Of a folder what is listed, and the folders on the way there.
    pub fn listed(
        folder: &Path,
        listed: FilesFrom,
        options: Options,
    ) -> Result<Self, SourcesError> {
        let mut listing = Vec::new();
        let mut sources = Sources::listed(folder, &listed, &mut listing)?;
        let pins = Some(sources.pins());
        let sources = Arc::new(sources);
        let root = listed.root();
        let mut eye = Eye::new(options, ProcPath::find());
        let pending = if root.is_on_the_way() {
            VecDeque::new()
        } else {
            root_of(&sources, &mut eye, root.takes_all_names())
        };
        let (listed, root) = (Some(listed), Some(root));
        let (levels, path, over) = (Vec::new(), Vec::new(), Arc::default());
        Ok(Self { sources, listed, root, next: 0, levels, path, eye, pending, pins, listing, over })
    }

    pub(super) fn with(sources: &[&Path], mut eye: Eye) -> Result<Self, SourcesError> {
        let mut listing = Vec::new();
        let mut sources = Sources::open(sources, &mut listing)?;
        let pins = Some(sources.pins());
        let sources = Arc::new(sources);
        let pending = root_of(&sources, &mut eye, true);
        let (levels, path) = (Vec::new(), Vec::new());
        let over = Arc::default();
        let (listed, root) = (None, None);
        Ok(Self { sources, listed, root, next: 0, levels, path, eye, pending, pins, listing, over })
    }

    /// Once this is set, no folder is listed any more, and the one that is just being listed not to its end: a folder of
    /// millions of names holds up nobody who waits for the walk to end.
    pub fn until(&mut self, over: Arc<AtomicBool>) {
        self.over = over;
    }

    /// How many entries had an access control list so far that is not told.
    pub fn lists(&self) -> Arc<AtomicU64> {
        self.eye.lists()
    }

    /// The base name of the file that is the only source, if it is one.
    pub fn single_file(&self) -> Option<Vec<u8>> {
        self.sources.single_file()
    }

    /// Opens the files that the walk tells of.
    pub fn opener(&self) -> Opener {
        Opener(Arc::clone(&self.sources))
    }

    /// Goes into a folder whose path is in place.
    fn enter(&mut self, Open { entry, dir, stamp, part }: Open, above: usize) -> Found {
        let (mut names, device) = (Names::default(), stamp.dev);
        match self.list(&mut names, &dir, device, part.as_ref()) {
            Ok(whole) if whole && self.eye.options.deletes => self.pending.push_back(Found::Whole),
            Ok(_) => {}
            Err(error) => {
                self.pending.push_back(Found::Failed { path: self.path.clone(), error });
            }
        }
        names.sort();
        names.dedup();
        if self.levels.is_empty()
            && let (Some(pins), Some(index)) = (&mut self.pins, self.next.checked_sub(1))
            && let Source::Named(path) = self.sources.get(index).2
        {
            pins.enter(path, inode(&dir), names.len() > 0);
        }
        let holder = self.levels.last().map_or(self.root.as_ref(), |level| level.part.as_ref());
        let is_source =
            part.as_ref().is_some_and(|part| part.is_listed() && part.takes_all_names())
                && holder.is_some_and(|holder| !holder.takes_all_names());
        self.levels.push(Level {
            dir,
            device,
            part,
            names,
            next: 0,
            is_source,
            told: false,
            above,
        });
        Found::Enter(entry, stamp)
    }

    /// The entry that is looked at is not left out by a rule.
    fn tell(&mut self) {
        let index = self.next.saturating_sub(1);
        let is_named = matches!(self.sources.get(index).2, Source::Named(_));
        // What is in a source: that of a named one stands in the folder that was entered for it.
        if self.levels.len() == usize::from(is_named)
            && let Some(pins) = &mut self.pins
        {
            pins.tell(self.sources.source(index));
        }
        if let Some(level) = self.levels.last_mut() {
            level.told = true;
        }
    }

    /// The names in a folder that are looked at; whether they are all that stand there.
    fn list(
        &mut self,
        names: &mut Names,
        dir: &OwnedFd,
        device: Device,
        part: Option<&Part>,
    ) -> Result<bool, ScanError> {
        if let (Some(listed), Some(part)) = (&self.listed, part) {
            names.extend(listed.names(part)).map_err(ScanError::List)?;
        }
        if part.is_some_and(|part| !part.takes_all_names()) {
            return Ok(false);
        }
        let by_name = part.is_some_and(Part::is_listed);
        if self.eye.options.one_file_system && !by_name && self.device_above(device) != device {
            // Told as an empty folder, as rsync(1) does with -x; what is listed by name is what it begins with.
            return Ok(false);
        }
        let over = || self.over.load(Ordering::Relaxed);
        let listed = names.list_until(dir.as_fd(), &mut self.listing, &over);
        listed.map(|()| true).map_err(|cause| {
            match cause.raw_os_error() {
                _ if over() => {
                    *names = Names::default();
                    ScanError::Over
                }
                // It is gone, and so is what it held (getdents(2)).
                Some(errno) if errno == rustix::io::Errno::NOENT.raw_os_error() => {
                    ScanError::Vanished
                }
                _ => ScanError::List(cause),
            }
        })
    }

    /// The file system of the folder that holds the one which is looked at, of which this is its own: what is given
    /// by name is held by none.
    fn device_above(&self, own: Device) -> Device {
        match (self.levels.last(), self.next.checked_sub(1)) {
            (Some(level), _) => level.device,
            (None, Some(index)) => match self.sources.get(index).2 {
                Source::Contents(dir) => device_of(dir).unwrap_or(own),
                Source::Named(_) => own,
            },
            (None, None) => own,
        }
    }

    /// A folder of which parts are listed: a rule that leaves it out does so with all in it but those, and it is not
    /// whole.
    fn as_ruled(&self, part: Part) -> Part {
        let left_out = part.has_more() && self.eye.leaves_out(&self.path, true);
        if left_out { part.on_the_way() } else { part }
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.eye.links.len()
    }
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        if let Some(found) = self.pending.pop_front() {
            return Some(found);
        }
        let depth = self.levels.len();
        let above = self.path.len();
        let (mut at, name, part) = if let Some(level) = self.levels.last_mut() {
            if level.next == level.names.len() {
                if level.is_source
                    && !level.told
                    && let Some(pins) = &mut self.pins
                {
                    pins.bare(&self.path, level.names.len() > 0);
                }
                self.path.truncate(level.above);
                self.levels.pop();
                return Some(Found::Leave);
            }
            level.next += 1;
            let (name, hint) = level.names.get(level.next - 1);
            self.path.push(b'/');
            (At::below(level.dir.as_fd(), name, hint), name, level.part.as_ref())
        } else {
            if self.next == self.sources.len() {
                let pins = self.pins.take().filter(|_| self.eye.options.deletes)?;
                return pins.doubt(self.eye.options.empty).map(Found::Doubt);
            }
            self.next += 1;
            let (name, hint, source) = self.sources.get(self.next - 1);
            let at = match source {
                Source::Contents(dir) => At::below(dir.as_fd(), name, hint),
                Source::Named(path) => At::source(path, hint),
            };
            (at, name, self.root.as_ref())
        };
        let name = name.to_bytes();
        self.path.extend_from_slice(name);
        let part = self.listed.as_ref().zip(part).map(|(listed, part)| listed.child(part, name));
        if let Some(part) = part.as_ref().filter(|part| part.is_on_the_way() || part.has_more()) {
            at = at.on_the_way();
            at = if part.is_on_the_way() { at.as_folder() } else { at };
        }
        let seen = self.eye.look(at, name, &self.path, depth < MAX_FOLDERS);
        let by_rule = |seen: &Seen| {
            let what = |what: &Skipped| !matches!(what, Skipped::Special | Skipped::Symlink);
            matches!(seen, Seen::Found(Found::Skipped { what: skipped, .. }) if what(skipped))
        };
        if !seen.as_ref().is_ok_and(by_rule) {
            self.tell();
        }
        let found = match seen {
            Ok(Seen::Folder(entry, dir, stamp)) => {
                let part = part.map(|part| self.as_ruled(part));
                return Some(self.enter(Open { entry, dir, stamp, part }, above));
            }
            Ok(Seen::Found(found)) => {
                if part.is_some_and(|part| part.has_more()) {
                    let (path, error) = (self.path.clone(), ScanError::NoFolder);
                    self.pending.push_back(Found::Failed { path, error });
                }
                found
            }
            Err(error) => {
                let error = error.of_listed(part.as_ref());
                Found::Failed { path: self.path.clone(), error }
            }
        };
        self.path.truncate(above);
        Some(found)
    }
}

impl ScanError {
    /// What it means of a name that the list says, which was never seen to be there.
    fn of_listed(self, part: Option<&Part>) -> Self {
        match (self, part) {
            (Self::Vanished, Some(part)) if part.is_on_the_way() || part.is_listed() => {
                Self::Missing
            }
            (Self::Replaced, Some(part)) if part.is_on_the_way() => Self::NoFolder,
            (error, _) => error,
        }
    }
}
