//! Names of open folders, in as little memory as they take: those that stand there, and those that entries have
//! claimed.

use super::likeness::{Likeness, key, likeness};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// Names that are remembered at a time, at most, in all open folders: about 70 MB. A folder of a million fits.
pub(super) const MAX_NAMES: usize = 1 << 20;
/// And their bytes, with what stands before each.
const MAX_BYTES: usize = 32 << 20;
/// Names of one folder that may be one, at most: entries have one or two. With more, a sender that means harm would have
/// each compared with all.
pub(super) const MAX_ALIKE: usize = 64;

/// Bytes before each name: the one before it that may be the same, the one that has claimed it, its length.
const HEAD: usize = 9;
/// There is none.
const NONE: u32 = u32::MAX;

/// Where a name is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At(u32);

/// The names of one folder: by the hash of what they have in common the last of them.
#[derive(Debug, Default)]
pub(super) struct Heads {
    last: HashMap<u64, u32>,
    count: usize,
    begin: usize,
}

/// The names of all open folders; those of the deepest stand last.
#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    count: usize,
    hasher: RandomState,
}

impl Names {
    /// Those of a folder below.
    pub(super) fn enter(&self) -> Heads {
        Heads { begin: self.bytes.len(), ..Heads::default() }
    }

    /// They are of no use any more.
    pub(super) fn leave(&mut self, heads: &Heads) {
        self.count -= heads.count;
        self.bytes.truncate(heads.begin);
    }

    /// Remembers a name of the deepest folder; `None`: there is no room.
    pub(super) fn add(&mut self, heads: &mut Heads, name: &[u8]) -> Option<At> {
        let (at, len) = (u32::try_from(self.bytes.len()).ok()?, u8::try_from(name.len()).ok()?);
        if self.count >= MAX_NAMES || self.bytes.len() + HEAD + name.len() > MAX_BYTES {
            return None;
        }
        let before = heads.last.insert(self.hasher.hash_one(key(name)), at).unwrap_or(NONE);
        self.bytes.extend_from_slice(&before.to_le_bytes());
        self.bytes.extend_from_slice(&NONE.to_le_bytes());
        self.bytes.push(len);
        self.bytes.extend_from_slice(name);
        self.count += 1;
        heads.count += 1;
        Some(At(at))
    }

    /// The names of the deepest folder that may be one with this, or are it; `None`: too many.
    pub(super) fn alike(&self, heads: &Heads, name: &[u8]) -> Option<Vec<(At, Likeness)>> {
        let mut alike = Vec::new();
        let mut next = heads.last.get(&self.hasher.hash_one(key(name))).copied().unwrap_or(NONE);
        while next != NONE {
            if alike.len() >= MAX_ALIKE {
                return None;
            }
            let at = At(next);
            alike.push((at, likeness(self.name(at), name)));
            next = self.word(next);
        }
        // Another one with the same hash is one in billions.
        alike.retain(|(_, likeness)| *likeness != Likeness::Distinct);
        Some(alike)
    }

    pub(super) fn name(&self, At(at): At) -> &[u8] {
        let rest = self.bytes.get(at as usize + HEAD - 1..).unwrap_or_default();
        rest.split_first().and_then(|(len, rest)| rest.get(..usize::from(*len))).unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0 && self.bytes.capacity() == 0
    }

    /// Which name an entry has that takes this one's place.
    pub(super) fn claimed_by(&self, At(at): At) -> Option<At> {
        Some(self.word(at + 4)).filter(|by| *by != NONE).map(At)
    }

    /// An entry takes its place, which has that name.
    pub(super) fn claim(&mut self, At(at): At, At(by): At) {
        if let Some(word) = self.bytes.get_mut(at as usize + 4..at as usize + 8) {
            word.copy_from_slice(&by.to_le_bytes());
        }
    }

    fn word(&self, at: u32) -> u32 {
        let word = self.bytes.get(at as usize..).and_then(|rest| rest.first_chunk());
        word.map_or(NONE, |word| u32::from_le_bytes(*word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_has_an_end_and_goes_with_its_folder() {
        let mut names = Names::default();
        let mut above = names.enter();
        names.add(&mut above, b"first").unwrap();
        let mut heads = names.enter();
        let all =
            (0..MAX_NAMES).filter(|n| names.add(&mut heads, format!("n{n}").as_bytes()).is_some());
        assert_eq!(all.count(), MAX_NAMES - 1);
        let alike = names.alike(&heads, b"N7").unwrap();
        assert_eq!(alike.len(), 1, "what is remembered still counts");
        assert_eq!((names.name(alike[0].0), alike[0].1), (&b"n7"[..], Likeness::Same));
        // Of a table an eighth stays free, and each place has a byte beside its own (hashbrown).
        assert!(names.bytes.capacity() + heads.last.capacity() * 8 / 7 * 17 < 80 << 20);
        names.leave(&heads);
        assert_eq!((names.count, names.bytes.len()), (1, HEAD + 5));
        assert_eq!(names.alike(&above, b"FIRST").unwrap().len(), 1);
        let long = vec![b'x'; 255];
        let mut heads = names.enter();
        while names.add(&mut heads, &long).is_some() {}
        assert!(names.bytes.len() <= MAX_BYTES && names.count < MAX_NAMES);
    }

    #[test]
    fn no_more_than_so_many_are_compared() {
        let mut names = Names::default();
        let mut heads = names.enter();
        for dots in 0..=MAX_ALIKE {
            assert_eq!(names.alike(&heads, b"a").unwrap().len(), dots);
            names.add(&mut heads, format!("a{}", ".".repeat(dots)).as_bytes()).unwrap();
        }
        assert_eq!(names.alike(&heads, b"a"), None);
        assert_eq!(names.alike(&heads, b"b").unwrap().len(), 0);
    }
}
