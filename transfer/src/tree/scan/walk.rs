//! The way through the folders.

use super::acl::ProcPath;
use super::files_from::{FilesFrom, Part};
use super::look::{At, Device, Eye, Seen, device_of};
use super::names::Names;
use super::sources::{Source, Sources};
use super::{Found, MAX_FOLDERS, Opener, Options, ScanError, SourcesError};
use crate::tree::entry::Entry;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    /// Comes before anything else.
    pending: Option<Found>,
    listing: Vec<u8>,
    /// Nobody wants more.
    over: Arc<AtomicBool>,
}

/// What is told of the root of the transfer.
fn root_of(sources: &Sources, eye: &mut Eye) -> Option<Found> {
    Some(match eye.open_folder(sources.root()?) {
        Ok((meta, _)) => Found::Root(meta),
        Err(error) => Found::Failed { path: Vec::new(), error },
    })
}

/// A folder that is entered.
struct Open {
    entry: Entry,
    dir: OwnedFd,
    device: Device,
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
        let sources = Arc::new(Sources::listed(folder, &listed, &mut listing)?);
        let root = listed.root();
        let mut eye = Eye::new(options, ProcPath::find());
        let pending = if root.is_on_the_way() { None } else { root_of(&sources, &mut eye) };
        let (listed, root) = (Some(listed), Some(root));
        let (levels, path, over) = (Vec::new(), Vec::new(), Arc::default());
        Ok(Self { sources, listed, root, next: 0, levels, path, eye, pending, listing, over })
    }

    pub(super) fn with(sources: &[&Path], mut eye: Eye) -> Result<Self, SourcesError> {
        let mut listing = Vec::new();
        let sources = Arc::new(Sources::open(sources, &mut listing)?);
        let pending = root_of(&sources, &mut eye);
        let (levels, path) = (Vec::new(), Vec::new());
        let over = Arc::default();
        let (listed, root) = (None, None);
        Ok(Self { sources, listed, root, next: 0, levels, path, eye, pending, listing, over })
    }

    /// Once this is set, no folder is listed any more, and the one that is just being listed not to its end: a folder of
    /// millions of names holds up nobody who waits for the walk to end.
    pub fn until(&mut self, over: Arc<AtomicBool>) {
        self.over = over;
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
    fn enter(&mut self, Open { entry, dir, device, part }: Open, above: usize) -> Found {
        let mut names = Names::default();
        if let Err(error) = self.list(&mut names, &dir, device, part.as_ref()) {
            self.pending = Some(Found::Failed { path: self.path.clone(), error });
        }
        names.sort();
        names.dedup();
        self.levels.push(Level { dir, device, part, names, next: 0, above });
        Found::Enter(entry)
    }

    /// The names in a folder that are looked at.
    fn list(
        &mut self,
        names: &mut Names,
        dir: &OwnedFd,
        device: Device,
        part: Option<&Part>,
    ) -> Result<(), ScanError> {
        if self.eye.options.one_file_system && self.device_above(device) != device {
            // Told as an empty folder, as rsync(1) does with -x.
            return Ok(());
        }
        if let (Some(listed), Some(part)) = (&self.listed, part) {
            names.extend(listed.names(part)).map_err(ScanError::List)?;
        }
        if part.is_some_and(|part| !part.takes_all_names()) {
            return Ok(());
        }
        let over = || self.over.load(Ordering::Relaxed);
        names.list_until(dir.as_fd(), &mut self.listing, &over).map_err(|cause| {
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

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.eye.links.len()
    }
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        if let Some(found) = self.pending.take() {
            return Some(found);
        }
        let depth = self.levels.len();
        let above = self.path.len();
        let (mut at, name, part) = if let Some(level) = self.levels.last_mut() {
            if level.next == level.names.len() {
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
                return None;
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
        if part.as_ref().is_some_and(Part::is_on_the_way) {
            at = at.on_the_way();
        }
        let found = match self.eye.look(at, name, &self.path, depth < MAX_FOLDERS) {
            Ok(Seen::Folder(entry, dir, device)) => {
                return Some(self.enter(Open { entry, dir, device, part }, above));
            }
            Ok(Seen::Found(found)) => {
                if part.is_some_and(|part| part.has_more()) {
                    let (path, error) = (self.path.clone(), ScanError::NoFolder);
                    self.pending = Some(Found::Failed { path, error });
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
            (Self::Vanished, Some(_)) => Self::Missing,
            (Self::Replaced, Some(part)) if part.is_on_the_way() => Self::NoFolder,
            (error, _) => error,
        }
    }
}
