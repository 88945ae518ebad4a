//! A pack: of its files those that are lacking, each trusted by its own digest.

use super::part::FirstName;
use super::{TreeSink, places};
use crate::blocks::{BLOCK, Value, hashing};
use crate::tree::entry::Entry;
use crate::tree::files::UNREAD;
use crate::tree::gather::Wanted;
use crate::tree::ground::{Ground, Why};
use crate::tree::layout;
use blake3::Hash;
use core::ops::Range;

/// A file of a pack that is lacking.
pub(super) struct Small<G: Ground> {
    pub(super) number: u64,
    pub(super) dir: G::Dir,
    pub(super) entry: Entry,
    pub(super) row: u32,
    pub(super) at: u32,
    pub(super) len: u32,
}

/// The files of a pack that are lacking, and how many it has in all.
pub(super) struct Pack<G: Ground> {
    pub(super) files: Vec<Small<G>>,
    pub(super) rows: u32,
}

impl<G: Ground> Pack<G> {
    /// The bytes of those files, and all digests: the value is over all of them.
    pub(super) fn wanted(&self) -> Wanted {
        let files = self.files.iter().map(|file| places(file.row, file.at, file.len)[0].clone());
        let table = layout::table(self.rows);
        Wanted::new(files.chain([table.start as u32..BLOCK as u32]))
    }

    /// The same as bytes of the session, of the pack that has this block.
    pub(super) fn lacking(&self, block: u64) -> Vec<Range<u64>> {
        let begin = block * BLOCK;
        let mut all: Vec<Range<u64>> = Vec::new();
        for file in &self.files {
            let at = begin + u64::from(file.at);
            super::push(&mut all, at..at + u64::from(file.len));
        }
        let table = layout::table(self.rows);
        super::push(&mut all, begin + table.start..begin + table.end);
        all
    }
}

impl<G: Ground> TreeSink<G> {
    /// A pack is whole, and its value is told.
    pub(super) fn settle_pack(&mut self, block: u64, bytes: &[u8], value: Value) {
        let Some(super::Region::Pack(pack)) = self.regions.remove(&block) else { return };
        let table = layout::table(pack.rows);
        let right = *hashing::whole(&bytes[table.start as usize..]).as_bytes() == value;
        let checked = pack.files.iter().map(|file| {
            let [content, digest] = places(file.row, file.at, file.len);
            let content = &bytes[content.start as usize..content.end as usize];
            check(content, &bytes[digest.start as usize..digest.end as usize], right)
        });
        let checked: Vec<Result<(&[u8], Hash), Why>> = checked.collect();
        let good = pack.files.iter().zip(&checked).filter_map(|(file, checked)| {
            let (content, _) = checked.as_ref().ok()?;
            Some((&file.dir, &file.entry, *content))
        });
        let mut put = self.ground.files(&good.collect::<Vec<_>>()).into_iter();
        for (file, checked) in pack.files.iter().zip(checked) {
            let put = checked.and_then(|(_, digest)| match put.next() {
                Some(put) => put.map(|()| digest),
                None => Err("nobody has put it".to_owned()),
            });
            match put {
                Ok(digest) => {
                    self.report.arrived += 1;
                    self.report.bytes += u64::from(file.len);
                    self.digest = Some(digest);
                }
                Err(why) => {
                    let path = FirstName::of(&self.ground.path(&file.dir, &file.entry.name));
                    self.fail_first_name(file.number, &path, why);
                }
            }
        }
    }
}

/// A file's bytes and digest, if they are what was sent; `right`: the digests of its block are.
fn check<'b>(content: &'b [u8], digest: &[u8], right: bool) -> Result<(&'b [u8], Hash), Why> {
    if !right {
        Err("digest mismatch in the block that it came in".to_owned())
    } else if digest == UNREAD {
        Err(crate::message::UNREAD_THERE.to_owned())
    } else {
        let hash = hashing::whole(content);
        let same = hash.as_bytes() == digest;
        same.then_some((content, hash))
            .ok_or_else(|| "its bytes are not those that the sender read first".to_owned())
    }
}
