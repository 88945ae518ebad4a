//! What stands at a receiver and is not at the source: found by reading the list a second time, beside the names that
//! stand in the folders that it has whole.

use super::ground::Why;
use super::scan::names::Names;
use super::spool::Spool;
use crate::filter::Told;
use crate::message::LEAST_BOUND;
use core::ops::Range;
use std::io;

/// Of what stood there one in so many may be deleted, unless something else is said.
const SHARE: u64 = 10;

/// The parts of a list, put aside.
#[derive(Debug, Default)]
pub(crate) struct List {
    spool: Option<Spool>,
    parts: Vec<(u64, u32)>,
    /// Why it is not whole.
    lost: Option<String>,
}

impl List {
    /// Keeps the next part.
    pub(crate) fn keep(&mut self, bytes: &[u8], spool: impl FnOnce() -> io::Result<Spool>) {
        if self.lost.is_some() {
            return;
        }
        let kept = match &mut self.spool {
            Some(spool) => spool.append(bytes),
            none => spool().and_then(|spool| none.insert(spool).append(bytes)),
        };
        match kept {
            Ok(at) => self.parts.push((at, bytes.len() as u32)),
            Err(error) => {
                (self.spool, self.lost) = (None, Some(error.to_string()));
            }
        }
    }

    /// Why it is not whole, if it is not.
    pub(crate) fn lost(&self) -> Option<&str> {
        self.lost.as_deref()
    }

    /// How many parts it has.
    pub(crate) fn len(&self) -> u64 {
        self.parts.len() as u64
    }

    /// The bytes of a part.
    pub(crate) fn part(&self, number: u64) -> io::Result<Vec<u8>> {
        let part = usize::try_from(number).ok().and_then(|number| self.parts.get(number));
        match (part, &self.spool) {
            (Some((at, len)), Some(spool)) => spool.read(*at, *len as usize),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// How much may be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bound {
    /// So much, as it was said.
    pub(crate) most: Option<u64>,
    /// Entries that this tree has brought or replaced: they do not count as what stood there.
    pub(crate) brought: u64,
}

impl Bound {
    /// Entries that may be deleted where so many stand in the folders that are compared.
    pub(crate) fn of(self, standing: u64) -> u64 {
        let stood = standing.saturating_sub(self.brought);
        self.most.unwrap_or_else(|| LEAST_BOUND.max(stood / SHARE))
    }
}

/// What is to be deleted.
#[derive(Debug)]
pub(crate) struct Deletion<'a> {
    pub(crate) list: &'a List,
    pub(crate) rules: &'a Told,
    pub(crate) bound: Bound,
    /// Not in folders of another file system than the topmost ones.
    pub(crate) one_file_system: bool,
    /// What goes is to be told by name.
    pub(crate) named: bool,
}

/// How a name is cleared of a folder that stands where the source has something else.
#[derive(Debug)]
pub(crate) struct Clearing<'a> {
    pub(crate) rules: &'a Told,
    /// Entries that may be deleted: if there are more none is.
    pub(crate) most: u64,
    /// Not in folders of another file system than the topmost one.
    pub(crate) one_file_system: bool,
    /// What goes is to be told by name.
    pub(crate) named: bool,
}

/// What was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Deleted {
    pub(crate) count: u64,
    /// Paths from the root of the transfer of what could not be, and why, as far as they are kept; an empty one: nothing
    /// was deleted.
    pub(crate) failed: Vec<(Vec<u8>, Why)>,
    /// How many they are.
    pub(crate) failures: u64,
    pub(crate) notes: Vec<String>,
    /// Paths of what is gone and whether they were folders, if that is to be told, as far as they are kept.
    pub(crate) gone: Vec<(Vec<u8>, bool)>,
}

/// How far the names of a folder were compared with those that are listed.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    next: usize,
    last: Option<Vec<u8>>,
}

/// Names are listed in another order than that of their bytes, so that nothing can be said of those that stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disorder;

impl Comparison {
    /// The next name that is listed: which of those that stand there, in their order, come before it and are not listed,
    /// and whether it stands there itself.
    pub(crate) fn listed(
        &mut self,
        standing: &Names,
        name: &[u8],
    ) -> Result<(Range<usize>, bool), Disorder> {
        if self.last.as_deref().is_some_and(|last| last >= name) {
            return Err(Disorder);
        }
        self.last = Some(name.to_vec());
        let begin = self.next;
        let stands = |index: usize| standing.get(index).0.to_bytes();
        while self.next < standing.len() && stands(self.next) < name {
            self.next += 1;
        }
        let end = self.next;
        let is_there = end < standing.len() && stands(end) == name;
        self.next += usize::from(is_there);
        Ok((begin..end, is_there))
    }

    /// No name is listed any more: the others that stand there.
    pub(crate) fn rest(&mut self, standing: &Names) -> Range<usize> {
        let begin = std::mem::replace(&mut self.next, standing.len());
        begin..standing.len()
    }

    /// Whether a name was listed.
    pub(crate) fn is_begun(&self) -> bool {
        self.last.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::scan::names::Hint;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::ffi::CString;

    fn names(list: impl IntoIterator<Item = Vec<u8>>) -> Names {
        let mut names = Names::default();
        for name in list {
            names.push(&CString::new(name).unwrap(), Hint::File).unwrap();
        }
        names.sort();
        names
    }

    proptest! {
        #[test]
        fn extras_are_what_stands_there_and_is_not_listed(
            stands in prop::collection::btree_set("[a-c\\.~]{1,3}", 0..30),
            listed in prop::collection::btree_set("[a-c\\.~]{1,3}", 0..30),
        ) {
            let bytes = |set: &BTreeSet<String>| -> BTreeSet<Vec<u8>> {
                set.iter().map(|name| name.clone().into_bytes()).collect()
            };
            let (stands, listed) = (bytes(&stands), bytes(&listed));
            let standing = names(stands.clone());
            let (mut comparison, mut extras, mut both) =
                (Comparison::default(), Vec::new(), 0);
            for name in &listed {
                let (before, is_there) = comparison.listed(&standing, name).unwrap();
                extras.extend(before);
                both += usize::from(is_there);
            }
            extras.extend(comparison.rest(&standing));
            let found: BTreeSet<Vec<u8>> =
                extras.iter().map(|index| standing.get(*index).0.to_bytes().to_vec()).collect();
            prop_assert_eq!(extras.len(), found.len());
            prop_assert_eq!(found, stands.difference(&listed).cloned().collect());
            prop_assert_eq!(both, stands.intersection(&listed).count());
        }
    }

    #[test]
    fn of_names_in_disorder_nothing_is_said() {
        let standing = names([b"a".to_vec(), b"b".to_vec()]);
        for name in [&b"b"[..], b"a"] {
            let mut comparison = Comparison::default();
            assert_eq!(comparison.listed(&standing, b"b"), Ok((0..1, true)));
            assert_eq!(comparison.listed(&standing, name), Err(Disorder));
        }
    }

    #[test]
    fn a_tenth_of_what_stood_there_or_a_thousand_may_go() {
        let bound = |most, brought, standing| Bound { most, brought }.of(standing);
        assert_eq!(bound(None, 0, 0), 1000);
        assert_eq!(bound(None, 0, 10_009), 1000);
        assert_eq!(bound(None, 0, 20_000), 2000);
        // What was brought just now is no reason to delete more.
        assert_eq!(bound(None, 100_000, 109_000), 1000);
        assert_eq!(bound(None, 5, 3), 1000);
        assert_eq!((bound(Some(0), 0, 50_000), bound(Some(9), 0, 0)), (0, 9));
    }

    #[test]
    fn a_list_that_cannot_be_put_aside_is_not_whole() {
        let mut list = List::default();
        list.keep(b"one", || Spool::create(&std::env::temp_dir()));
        list.keep(b"two", || panic!("it has one"));
        assert_eq!((list.len(), list.part(1).unwrap(), list.lost()), (2, b"two".to_vec(), None));
        assert!(list.part(2).is_err());
        let mut list = List::default();
        list.keep(b"one", || Ok(Spool::full()));
        assert!(list.lost().is_some() && list.part(0).is_err());
    }
}
