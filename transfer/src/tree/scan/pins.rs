//! Whether the sources are at the end what they were at the beginning, and anything of each is sent: a folder that took
//! the place of another, as where a disk was mounted or is no more, does not say what may be deleted.

use crate::shown::shown;
use rustix::fs::{CWD, Mode, OFlags, fstat, openat};
use std::ffi::{CStr, CString};
use std::os::fd::AsFd;

/// Device and number of an inode.
pub(super) type Inode = (u64, u64);

/// A source that is a folder.
#[derive(Debug)]
struct Pin {
    /// Its number among the sources.
    source: usize,
    path: CString,
    inode: Inode,
    /// Whether names were found in it, once it was listed.
    filled: Option<bool>,
    /// Something in it is sent, or left out for what it is.
    told: bool,
    /// Another folder was walked.
    other: bool,
}

/// All sources that are folders, in their order.
#[derive(Debug, Default)]
pub(super) struct Pins {
    all: Vec<Pin>,
    /// The first folder that a list names and of which nothing is sent, and whether there are names in it.
    bare: Option<(Vec<u8>, bool)>,
}

/// Why a folder says nothing of what may be deleted.
fn bare(path: &[u8], filled: bool) -> String {
    let is = if filled { "has nothing that is sent" } else { "is empty" };
    format!("{} {is}, as where a disk is not mounted", shown(path))
}

pub(super) fn inode(folder: impl AsFd) -> Option<Inode> {
    fstat(folder).ok().map(|stat| (stat.st_dev, stat.st_ino))
}

/// What a path leads to.
fn at(path: &CStr) -> Option<Inode> {
    inode(openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?)
}

impl Pins {
    /// A folder that is sent, or what is in it.
    pub(super) fn push(
        &mut self,
        (source, path): (usize, &CStr),
        inode: Inode,
        filled: Option<bool>,
    ) {
        let path = path.to_owned();
        self.all.push(Pin { source, path, inode, filled, told: false, other: false });
    }

    /// Something of this source is sent, or left out for what it is.
    pub(super) fn tell(&mut self, source: usize) {
        if let Ok(index) = self.all.binary_search_by_key(&source, |pin| pin.source) {
            self.all[index].told = true;
        }
    }

    /// Nothing is sent of a folder that a list names.
    pub(super) fn bare(&mut self, path: &[u8], filled: bool) {
        self.bare.get_or_insert_with(|| (path.to_vec(), filled));
    }

    /// The source of this path is walked now. One that a rule leaves out never is.
    pub(super) fn enter(&mut self, path: &CStr, inode: Option<Inode>, filled: bool) {
        for pin in self.all.iter_mut().filter(|pin| *pin.path == *path) {
            pin.filled = Some(filled);
            pin.other |= inode != Some(pin.inode);
        }
    }

    /// Why nothing is to be deleted on their account; `empty`: not because nothing of one is sent.
    pub(super) fn doubt(&self, empty: bool) -> Option<String> {
        let of = |Pin { path, inode, filled, told, other, .. }: &Pin| {
            if *other || at(path) != Some(*inode) {
                let path = shown(path.to_bytes());
                return Some(format!("{path} is another folder by now, or none"));
            }
            filled.filter(|_| !told && !empty).map(|filled| bare(path.to_bytes(), filled))
        };
        let listed =
            || self.bare.as_ref().filter(|_| !empty).map(|(path, filled)| bare(path, *filled));
        self.all.iter().find_map(of).or_else(listed)
    }
}
