//! Names of one folder that fall together where the file system folds them: the second of two such entries would
//! silently take the place of the first.
//!
//! Which names may be one is decided by [`likeness`] over names alone; where file systems differ, the one at hand is
//! asked by looking. No table is trusted to be complete, for an entry takes the place only of what is known: of what
//! stood there, as the folder listed it when the tree came, under its own spelling or one that is the same. Where
//! nothing stood under a name, it is given only if nothing has come since. So of two entries that are one by whatever
//! rule, the second fails. Where nothing folds, nothing is listed and nothing remembered.

mod ask;
mod likeness;
mod names;

use super::dirs::Folder;
use super::error::PlaceError;
use super::temporary::is_its_own;
pub(crate) use ask::{Ask, Folds};
pub use likeness::{Likeness, key, likeness};
use names::{At, Heads, Names};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// A folder on the way to where the tree is.
#[derive(Debug, Default)]
struct Level {
    /// What it does with names; `None`: nobody has asked yet, or nobody can tell.
    folds: Option<Folds>,
    heads: Heads,
    /// Whether all that stood in it is known; `None`: it was not listed yet.
    known: Option<bool>,
}

/// The names that a tree has brought into the folders that it is in, as far as they fold.
#[derive(Debug)]
pub struct Taken {
    levels: Vec<Level>,
    names: Names,
    /// File systems that were asked, by their numbers.
    asked: HashMap<u64, Folds>,
    ask: Ask,
}

/// What an entry finds where it is to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Nothing stands there, so that what will by then is nothing that it may replace.
    pub free: bool,
    /// `false`: there are names that it was not compared with.
    pub compared: bool,
}

impl Claim {
    const REPLACES: Self = Self { free: false, compared: true };
}

impl Default for Taken {
    fn default() -> Self {
        Self::asking(Ask::SYSTEM)
    }
}

impl Taken {
    /// Asks so what a folder does with names, and what stands there.
    pub(crate) fn asking(ask: Ask) -> Self {
        let (names, asked) = (Names::default(), HashMap::new());
        Self { levels: vec![Level::default()], names, asked, ask }
    }

    /// What a folder does with names; where nobody can tell, as one that does the most.
    pub(crate) fn folds(&mut self, folder: &Arc<Folder>) -> Folds {
        (self.ask.folds)(folder, &mut self.asked).unwrap_or(Folds::ByLook)
    }

    /// The tree goes into a folder; one that is new folds as the one above does.
    pub fn enter(&mut self, new: bool) {
        let above = self.levels.last().and_then(|level| level.folds);
        let folds = above.filter(|_| new);
        self.levels.push(Level { folds, heads: self.names.enter(), known: None });
    }

    /// It goes back to the one above.
    pub fn leave(&mut self) {
        if self.levels.len() > 1
            && let Some(level) = self.levels.pop()
        {
            self.names.leave(&level.heads);
        }
    }

    /// An entry of the tree is to have this name in the folder that it is in: refused where one before it has a name
    /// that is the same there, or something stands there that cannot be told from one.
    pub fn claim(&mut self, folder: &Arc<Folder>, name: &OsStr) -> Result<Claim, PlaceError> {
        let Some(level) = self.levels.last_mut() else { return Ok(Claim::REPLACES) };
        if level.folds.is_none() {
            level.folds = (self.ask.folds)(folder, &mut self.asked);
        }
        let folds = level.folds.unwrap_or_else(|| self.ask.by_name(folder, name));
        if folds == Folds::Nothing {
            return Ok(Claim::REPLACES);
        }
        let names = &mut self.names;
        let known = *level.known.get_or_insert_with(|| {
            let mut add = |name: &[u8]| names.add(&mut level.heads, name).is_some();
            folder.is_new() || ask::list(folder, &mut add).is_ok()
        });
        let place = Place { folder, folds, look: self.ask, name };
        let alike = names.alike(&level.heads, name.as_bytes());
        let alike = alike.ok_or_else(|| place.refused("too many names there may be the same"))?;
        if let Some((own, _)) = alike.iter().find(|(at, _)| names.name(*at) == name.as_bytes()) {
            return place.own(names, *own);
        }
        let sees = place.sees(name)?;
        let other = place.same(names, &alike, sees.as_ref());
        if let Some(by) = other.and_then(|other| names.claimed_by(other)) {
            return Err(place.together(names.name(by)));
        }
        // What has exactly this name is not one of the tree that is the same: another session was quicker with it.
        let is_its_own = || is_its_own(folder, name).unwrap_or(false);
        if other.is_none() && sees.is_some() && known && !is_its_own() {
            return Err(place.refused(
                "something stands there whose name this file system takes for the same, or that has come \
                 meanwhile",
            ));
        }
        let own = names.add(&mut level.heads, name.as_bytes());
        if let Some(own) = own {
            names.claim(own, own);
            if let Some(other) = other {
                names.claim(other, own);
            }
        }
        let compared = own.is_some() && (known || sees.is_none());
        Ok(Claim { free: sees.is_none(), compared })
    }
}

/// Where an entry is to stand.
struct Place<'a> {
    folder: &'a Folder,
    folds: Folds,
    look: Ask,
    name: &'a OsStr,
}

impl Place<'_> {
    fn sees(&self, name: &OsStr) -> Result<Option<ask::Seen>, PlaceError> {
        let seen = (self.look.look)(self.folder, name);
        seen.map_err(|e| PlaceError::system("look at", &self.folder.shown().join(name), e))
    }

    /// The name is remembered in this very spelling.
    fn own(&self, names: &mut Names, own: At) -> Result<Claim, PlaceError> {
        match names.claimed_by(own) {
            Some(by) if by != own => Err(self.together(names.name(by))),
            // The same name once more is none of ours.
            _ => {
                names.claim(own, own);
                Ok(Claim::REPLACES)
            }
        }
    }

    /// The name among those that may be the same which is: by itself, or by what is seen there.
    fn same(
        &self,
        names: &Names,
        alike: &[(At, Likeness)],
        sees: Option<&ask::Seen>,
    ) -> Option<At> {
        let sure = alike.iter().find(|(_, likeness)| *likeness == Likeness::Same);
        let is_it = |at: At| {
            let there = self.sees(OsStr::from_bytes(names.name(at))).ok().flatten();
            sees.zip(there).is_some_and(|(sees, there)| sees.is(&there, self.folds))
        };
        let by_sight = || alike.iter().find(|(at, _)| is_it(*at));
        sure.or_else(by_sight).map(|(at, _)| *at)
    }

    fn together(&self, first: &[u8]) -> PlaceError {
        let at = |name| self.folder.shown().join(name);
        PlaceError::Together { first: at(OsStr::from_bytes(first)), second: at(self.name) }
    }

    fn refused(&self, why: &'static str) -> PlaceError {
        PlaceError::stands(&self.folder.shown().join(self.name), why)
    }
}

#[cfg(test)]
mod tests;
