//! A pack: of its files those that are lacking, each trusted by its own digest.

use super::part::FirstName;
use super::{TreeSink, places, push};
use crate::blocks::{BLOCK, Value, hashing};
use crate::tree::entry::Entry;
use crate::tree::files::UNREAD;
use crate::tree::gather::Wanted;
use crate::tree::ground::{Ground, Why};
use crate::tree::layout;
use blake3::Hash;
use core::ops::Range;
use std::borrow::Cow;

/// A file of a pack that is lacking.
pub(super) struct Small<G: Ground> {
    pub(super) number: u64,
    pub(super) dir: G::Dir,
    pub(super) entry: Entry,
    pub(super) row: u32,
    pub(super) at: u32,
    pub(super) len: u32,
    /// Something stands under a former name of it: whether that is it shows by its digest.
    pub(super) elsewhere: bool,
}

/// The files of a pack that are lacking, and how many it has in all.
pub(super) struct Pack<G: Ground> {
    pub(super) files: Vec<Small<G>>,
    pub(super) rows: u32,
    /// Its digests, once they have come and are right.
    pub(super) table: Option<Box<[u8]>>,
}

/// What came of a file of a pack.
enum Came<'b> {
    /// These are its bytes, with their digest.
    Whole(Cow<'b, [u8]>, Hash),
    /// It is not in place, and why.
    Failed(Why),
    /// It does not stand under its former name after all.
    Lacking,
}

impl<G: Ground> Small<G> {
    /// Its bytes in the session, where its pack begins.
    fn bytes(&self, begin: u64) -> Range<u64> {
        let at = begin + u64::from(self.at);
        at..at + u64::from(self.len)
    }
}

impl<G: Ground> Pack<G> {
    /// Whether its digests are known.
    pub(super) fn is_known(&self) -> bool {
        self.table.is_some()
    }

    /// The bytes of those files that must come, and all digests: the value is over all of them.
    pub(super) fn wanted(&self) -> Wanted {
        let files = self.files.iter().filter(|file| !file.elsewhere);
        let files = files.map(|file| places(file.row, file.at, file.len)[0].clone());
        let table = layout::table(self.rows);
        let table = (!self.is_known()).then_some(table.start as u32..BLOCK as u32);
        Wanted::new(files.chain(table))
    }

    /// The same as bytes of the session, of the pack that has this block.
    pub(super) fn lacking(&self, block: u64) -> Vec<Range<u64>> {
        let begin = block * BLOCK;
        let mut all: Vec<Range<u64>> = Vec::new();
        for file in self.files.iter().filter(|file| !file.elsewhere) {
            push(&mut all, file.bytes(begin));
        }
        let table = layout::table(self.rows);
        push(&mut all, begin + table.start..begin + table.end);
        all
    }

    /// Bytes of the session that may be had here, of the pack that has this block.
    pub(super) fn may_be_here(&self, block: u64) -> impl Iterator<Item = Range<u64>> {
        let elsewhere = self.files.iter().filter(|file| file.elsewhere);
        elsewhere.map(move |file| file.bytes(block * BLOCK))
    }
}

impl<G: Ground> TreeSink<G> {
    /// All that must come of a pack is there, its digests among that, and its value is told.
    pub(super) fn settle_pack(&mut self, block: u64, bytes: &[u8], value: Value) {
        let Some(super::Region::Pack(mut pack)) = self.regions.remove(&block) else { return };
        let table: Box<[u8]> = bytes[layout::table(pack.rows).start as usize..].into();
        let right = *hashing::whole(&table).as_bytes() == value;
        pack.table = Some(table);
        self.settle(block, bytes, (pack, right));
    }

    /// What did not stand elsewhere is there.
    pub(super) fn settle_rest(&mut self, block: u64, bytes: &[u8]) {
        let Some(super::Region::Pack(pack)) = self.regions.remove(&block) else { return };
        self.told.remove(&block);
        self.settle(block, bytes, (pack, true));
    }

    /// Puts what there is of a pack, and declares what is lacking still; `right`: its digests are.
    fn settle(&mut self, block: u64, bytes: &[u8], (pack, right): (Pack<G>, bool)) {
        let Pack { files, rows, table } = pack;
        let known = table.as_deref().unwrap_or_default();
        // All are read before one of them takes the place of another.
        let fetch = |file: &Small<G>| {
            let fetched = file.elsewhere.then(|| self.ground.fetch(&file.dir, &file.entry));
            (came(file, (bytes, fetched.flatten()), known, right), file.elsewhere)
        };
        let came: Vec<(Came<'_>, bool)> = files.iter().map(fetch).collect();
        let good = files.iter().zip(&came).filter_map(|(file, (came, _))| match came {
            Came::Whole(content, _) => Some((&file.dir, &file.entry, &**content)),
            Came::Failed(_) | Came::Lacking => None,
        });
        let mut put = self.ground.files(&good.collect::<Vec<_>>()).into_iter();
        let mut rest = Vec::new();
        for (file, (came, elsewhere)) in files.into_iter().zip(came) {
            if elsewhere && !matches!(came, Came::Lacking) {
                push(&mut self.declared.have, file.bytes(block * BLOCK));
            }
            match came {
                Came::Whole(_, digest) => match put.next() {
                    Some(Ok(())) => self.is_put(&file, digest),
                    Some(Err(why)) => self.is_not_put(&file, why),
                    None => self.is_not_put(&file, "nobody has put it".to_owned()),
                },
                Came::Failed(why) => self.is_not_put(&file, why),
                Came::Lacking => rest.push(Small { elsewhere: false, ..file }),
            }
        }
        if rest.is_empty() {
            return;
        }
        for file in &rest {
            // Who does not know that it may be here waits for it, but not for ever: what came of it was not kept.
            push(&mut self.declared.again, file.bytes(block * BLOCK));
            push(&mut self.declared.lack, file.bytes(block * BLOCK));
        }
        let pack = Pack { files: rest, rows, table };
        self.regions.insert(block, super::Region::Pack(pack));
    }

    fn is_put(&mut self, file: &Small<G>, digest: Hash) {
        self.report.arrived += 1;
        self.report.bytes += u64::from(file.len);
        self.digest = Some(digest);
    }

    fn is_not_put(&mut self, file: &Small<G>, why: Why) {
        let path = FirstName::of(&self.ground.path(&file.dir, &file.entry.name));
        self.fail_first_name(file.number, &path, why);
    }
}

/// What came of a file, of which these are the bytes of its block or those that stand elsewhere; `table` has the digests
/// of the pack, which are `right` or not.
fn came<'b, G: Ground>(
    file: &Small<G>,
    (bytes, fetched): (&'b [u8], Option<Vec<u8>>),
    table: &[u8],
    right: bool,
) -> Came<'b> {
    let [content, digest] = places(file.row, file.at, file.len);
    let begin = (BLOCK as usize).saturating_sub(table.len());
    let digest = &table[digest.start as usize - begin..digest.end as usize - begin];
    let content = match fetched {
        Some(fetched) => Cow::Owned(fetched),
        None if file.elsewhere => Cow::Owned(Vec::new()), // no file of a pack is empty
        None => Cow::Borrowed(&bytes[content.start as usize..content.end as usize]),
    };
    match check(&content, digest, right) {
        Ok(hash) => Came::Whole(content, hash),
        Err(_) if file.elsewhere && right && digest != UNREAD => Came::Lacking,
        Err(why) => Came::Failed(why),
    }
}

/// A file's digest, if its bytes are what was sent; `right`: the digests of its block are.
fn check(content: &[u8], digest: &[u8], right: bool) -> Result<Hash, Why> {
    if !right {
        Err("digest mismatch in the block that it came in".to_owned())
    } else if digest == UNREAD {
        Err(crate::message::UNREAD_THERE.to_owned())
    } else {
        let hash = hashing::whole(content);
        let same = hash.as_bytes() == digest;
        same.then_some(hash)
            .ok_or_else(|| "its bytes are not those that the sender read first".to_owned())
    }
}
