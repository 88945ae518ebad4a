//! What is told of entries that are changed, in the order of the list.

use super::TreeSink;
use super::part::FirstName;
use crate::tree::change::{By, Standing, change};
use crate::tree::entry::{Entry, Kind, Meta};
use crate::tree::ground::{Ground, Stands};

/// Entries that may have further names, at most, of which it is remembered what they come to: 48 MB.
const MAX_FIRST: usize = 1 << 20;

/// What an entry that may have further names comes to.
#[derive(Debug, Clone, Copy)]
pub(super) struct First {
    /// It is another inode in the end than what stands there now.
    other: bool,
    /// Bytes of a file.
    len: Option<u64>,
}

impl<G: Ground> TreeSink<G> {
    /// Tells which entries are changed, judged so, if that is asked for.
    pub(crate) fn itemizing(self, by: Option<By>) -> Self {
        Self { itemizes: by, ..self }
    }

    /// Changes nothing, and tells what would be changed.
    pub(crate) fn dry(self, by: By) -> Self {
        Self { dry: true, itemizes: Some(by), ..self }
    }

    /// What stands where an entry is to be, if that is to be told later.
    pub(super) fn before(&mut self, entry: &Entry) -> Option<Standing> {
        self.itemizes.and_then(|_| self.ground.standing(Some(entry), &entry.meta.attrs))
    }

    /// The same of the root of the transfer.
    pub(super) fn root_before(&mut self, meta: &Meta) -> Option<Standing> {
        self.itemizes.and_then(|_| self.ground.standing(None, &meta.attrs))
    }

    /// An entry came to this, and that stood there before.
    pub(super) fn came(
        &mut self,
        number: u64,
        entry: &Entry,
        before: Option<&Standing>,
        came: Stands,
    ) {
        let is_first = entry.meta.several && !matches!(entry.kind, Kind::Link { .. });
        if is_first && self.itemizes.is_some() && self.firsts.len() < MAX_FIRST {
            let len = if let Kind::File { len, .. } = entry.kind { Some(len) } else { None };
            let path = FirstName::of(&self.ground.path(&self.ground.here(), &entry.name));
            self.firsts.insert(path, First { other: came == Stands::Other, len });
        }
        self.note_change(number + 1, (entry, None), before, came);
    }

    /// So did the root of the transfer.
    pub(super) fn root_came(&mut self, meta: &Meta, before: Option<&Standing>) {
        let came = if before.is_some() { Stands::Same } else { Stands::Other };
        let entry = Entry { name: Vec::new(), meta: meta.clone(), kind: Kind::Dir };
        // A list may say it again.
        if self.changes.is_empty() {
            self.note_change(0, (&entry, None), before, came);
        }
    }

    /// Of a further name with the length of its first, if that is known.
    fn note_change(
        &mut self,
        place: u64,
        (entry, len): (&Entry, Option<u64>),
        before: Option<&Standing>,
        came: Stands,
    ) {
        let change = self.itemizes.and_then(|by: By| change(entry, before, came, by));
        if let Some(mut change) = change {
            if let (Some(len), Some(before)) = (len, before) {
                change = change.of_file(len, before);
            }
            self.new += u64::from(change.is_new() && place > 0);
            self.changes.push((place, change));
        }
    }

    /// A file would be sent.
    pub(super) fn would_arrive(&mut self, len: u64) {
        self.report.arrived += 1;
        self.report.bytes += len;
    }

    /// Whether the first name of others will be that of another inode, which none of them is a name of now.
    pub(super) fn is_anew(&self, to: &[u8]) -> bool {
        self.firsts.get(&FirstName::of(to)).is_some_and(|first| first.other)
    }

    /// How a further name will come to stand, as far as it shows before.
    pub(super) fn further_name(&mut self, number: u64, entry: &Entry) {
        let Some(before) = self.before(entry) else {
            return self.came(number, entry, None, Stands::Other);
        };
        let Kind::Link { to } = &entry.kind else { return };
        // A first name that is still to be sent is that of the old file now.
        let is_one = !self.is_anew(to) && self.ground.is_one(entry, to);
        let came = if is_one { Stands::Same } else { Stands::Other };
        let len = self.firsts.get(&FirstName::of(to)).and_then(|first| first.len);
        self.note_change(number + 1, (entry, len), Some(&before), came);
    }
}
