//! The way through the folders.

use super::acl::ProcPath;
use super::look::{At, Device, Eye, Seen, device_of};
use super::names::Names;
use super::sources::{Source, Sources};
use super::{Found, MAX_FOLDERS, Opener, Options, ScanError, SourcesError};
use crate::tree::entry::Entry;
use rustix::fs::CWD;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Looks at one entry after the other. See the [module](super).
#[derive(Debug)]
pub struct Walk {
    sources: Arc<Sources>,
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

/// A folder that was entered.
#[derive(Debug)]
struct Level {
    dir: OwnedFd,
    device: Device,
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

    pub(super) fn with(sources: &[&Path], mut eye: Eye) -> Result<Self, SourcesError> {
        let mut listing = Vec::new();
        let sources = Arc::new(Sources::open(sources, &mut listing)?);
        let pending = sources.root().map(|dir| match eye.open_folder(dir) {
            Ok((meta, _)) => Found::Root(meta),
            Err(error) => Found::Failed { path: Vec::new(), error },
        });
        let (levels, path) = (Vec::new(), Vec::new());
        let over = Arc::default();
        Ok(Self { sources, next: 0, levels, path, eye, pending, listing, over })
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
    fn enter(&mut self, entry: Entry, dir: OwnedFd, device: Device, above: usize) -> Found {
        let mut names = Names::default();
        let over = || self.over.load(Ordering::Relaxed);
        let enters = !self.eye.options.one_file_system || self.device_above(device) == device;
        if !enters {
            // Told as an empty folder, as rsync(1) does with -x.
        } else if let Err(cause) = names.list_until(dir.as_fd(), &mut self.listing, &over) {
            let error = match cause.raw_os_error() {
                _ if over() => {
                    names = Names::default();
                    ScanError::Over
                }
                // It is gone, and so is what it held (getdents(2)).
                Some(errno) if errno == rustix::io::Errno::NOENT.raw_os_error() => {
                    ScanError::Vanished
                }
                _ => ScanError::List(cause),
            };
            self.pending = Some(Found::Failed { path: self.path.clone(), error });
        }
        names.sort();
        names.dedup();
        self.levels.push(Level { dir, device, names, next: 0, above });
        Found::Enter(entry)
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
        let (at, name) = if let Some(level) = self.levels.last_mut() {
            if level.next == level.names.len() {
                self.path.truncate(level.above);
                self.levels.pop();
                return Some(Found::Leave);
            }
            level.next += 1;
            let (name, hint) = level.names.get(level.next - 1);
            self.path.push(b'/');
            (At { dir: level.dir.as_fd(), path: name, hint, source: false }, name)
        } else {
            if self.next == self.sources.len() {
                return None;
            }
            self.next += 1;
            let (name, hint, source) = self.sources.get(self.next - 1);
            let at = match source {
                Source::Contents(dir) => At { dir: dir.as_fd(), path: name, hint, source: false },
                Source::Named(path) => At { dir: CWD, path, hint, source: true },
            };
            (at, name)
        };
        let name = name.to_bytes();
        self.path.extend_from_slice(name);
        let found = match self.eye.look(at, name, &self.path, depth < MAX_FOLDERS) {
            Ok(Seen::Folder(entry, dir, device)) => {
                return Some(self.enter(entry, dir, device, above));
            }
            Ok(Seen::Found(found)) => found,
            Err(error) => Found::Failed { path: self.path.clone(), error },
        };
        self.path.truncate(above);
        Some(found)
    }
}
